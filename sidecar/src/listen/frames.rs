//! Counts what an HTTP/2 connection asks for, by the heads of its frames.
//!
//! The protocol library answers a request whose head is malformed or too large by itself and tells
//! nobody. Counting the heads that came in shows how many of them there were, so that each
//! leaves its event.

/// What the frames of a connection have said so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Request heads that are complete.
    pub opened: u64,
    /// Whether a head has begun and is not complete.
    pub partial: bool,
    /// Requests that were taken back.
    pub resets: u64,
}

/// Reads the heads of frames off a connection, however its bytes are cut.
#[derive(Debug)]
pub struct Frames {
    /// What is left of the preface, or of a frame's payload.
    skip: u64,
    /// The head of the next frame, as far as it has come.
    head: [u8; HEAD],
    have: usize,
    /// What ends when `skip` does.
    current: Current,
    /// The highest stream that was opened.
    last: u32,
    /// The stream whose head is not complete.
    opening: Option<u32>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Other,
    /// The last frame of a head.
    EndOfHead,
}

const PREFACE: u64 = 24;
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            have: 0,
            current: Current::Other,
            last: 0,
            opening: None,
            counts: Counts::default(),
        }
    }
}

impl Frames {
    /// Takes the next bytes, and says what there was so far.
    pub fn take(&mut self, mut bytes: &[u8]) -> Counts {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let here = self.skip.min(bytes.len() as u64);
                self.skip -= here;
                bytes = usize::try_from(here)
                    .ok()
                    .and_then(|here| bytes.get(here..))
                    .unwrap_or_default();
                if self.skip == 0 {
                    self.end();
                }
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else {
                break;
            };
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.begin();
            }
        }
        self.counts.partial = self.opening.is_some();
        self.counts
    }

    /// A frame's head is complete.
    fn begin(&mut self) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.skip = u64::from(u32::from_be_bytes([0, l0, l1, l2]));
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.current = Current::Other;
        match kind {
            HEADERS if stream > self.last => self.opening = Some(stream),
            RST_STREAM => self.counts.resets += 1,
            _ => {}
        }
        let of_head = matches!(kind, HEADERS | CONTINUATION);
        if of_head && flags & END_HEADERS != 0 && self.opening == Some(stream) {
            self.current = Current::EndOfHead;
        }
        if self.skip == 0 {
            self.end();
        }
    }

    /// A frame is complete.
    fn end(&mut self) {
        if std::mem::replace(&mut self.current, Current::Other) == Current::EndOfHead
            && let Some(stream) = self.opening.take()
        {
            self.last = stream;
            self.counts.opened += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD + payload, 0xff);
        frame
    }

    #[test]
    fn counts_heads_however_they_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, 18)); // SETTINGS
        bytes.extend(frame(HEADERS, END_HEADERS | 1, 1, 40));
        bytes.extend(frame(HEADERS, 0, 3, 40));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 3, 7));
        bytes.extend(frame(0, 1, 3, 1000)); // DATA
        bytes.extend(frame(HEADERS, END_HEADERS, 3, 4)); // trailers
        bytes.extend(frame(RST_STREAM, 0, 1, 4));
        bytes.extend(frame(HEADERS, END_HEADERS, 5, 0));
        let whole = Frames::default().take(&bytes);
        let expected = Counts {
            opened: 3,
            partial: false,
            resets: 1,
        };
        assert_eq!(whole, expected);
        for size in [1, 2, 7, 9, 10, 64] {
            let mut frames = Frames::default();
            let mut counts = Counts::default();
            for piece in bytes.chunks(size) {
                counts = frames.take(piece);
            }
            assert_eq!(counts, expected, "{size}");
        }
    }

    #[test]
    fn a_head_without_its_end_is_partial() {
        let mut frames = Frames::default();
        frames.take(&[0; 24]);
        assert!(frames.take(&frame(HEADERS, 0, 1, 5)).partial);
        let end = frame(CONTINUATION, END_HEADERS, 1, 5);
        assert!(frames.take(&end[..12]).partial);
        let counts = frames.take(&end[12..]);
        assert!(!counts.partial);
        assert_eq!(counts.opened, 1);
    }
}
