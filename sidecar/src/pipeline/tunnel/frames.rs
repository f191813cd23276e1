//! Where the frames of a WebSocket begin and end, and the one that ends it (RFC 6455, section 5).

/// The longest head of a frame: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;
/// The opcode of a frame that ends the WebSocket, in the byte that has its last bit set.
const CLOSE: u8 = 0x8;
/// The longest text of such a frame, beside its code.
const LONGEST_REASON: usize = 123;

/// Follows what passes in one direction, without a look at what the frames hold.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The head of a frame, as far as it has passed.
    head: Vec<u8>,
    /// What is still to pass of the frame behind its head.
    left: u64,
    /// Nothing may follow the frame that ends it.
    closed: bool,
}

impl Frames {
    /// Goes over what passes.
    pub(super) fn pass(&mut self, mut piece: &[u8]) {
        loop {
            let inside = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (inside, rest) = piece.split_at(inside.min(piece.len()));
            self.left -= inside.len() as u64;
            let Some((byte, rest)) = rest.split_first() else {
                return;
            };
            piece = rest;
            self.head.push(*byte);
            if let Some(length) = self.length() {
                self.closed |= self.head.first().is_some_and(|it| it & 0xf == CLOSE);
                self.left = length;
                self.head.clear();
            }
        }
    }

    /// Whether a frame may be put here.
    pub(super) fn is_between(&self) -> bool {
        self.head.is_empty() && self.left == 0 && !self.closed
    }

    /// The length behind the head, once that is whole.
    fn length(&self) -> Option<u64> {
        let second = *self.head.get(1)?;
        let short = second & 0x7f;
        let longer = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        debug_assert!(self.head.len() <= LONGEST_HEAD, "{:?}", self.head);
        if self.head.len() < 2 + longer + mask {
            return None;
        }
        let bytes = self.head.get(2..2 + longer)?;
        Some(match longer {
            0 => u64::from(short),
            _ => bytes.iter().fold(0, |all, it| all << 8 | u64::from(*it)),
        })
    }
}

/// The frame that ends a WebSocket with a code and a reason in ASCII. What a client sends is masked.
pub(super) fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = reason.as_bytes().iter().take(LONGEST_REASON);
    let payload: Vec<u8> = code.to_be_bytes().iter().chain(reason).copied().collect();
    let length = u8::try_from(payload.len()).unwrap_or(0);
    let mut frame = vec![0x80 | CLOSE, length | if mask.is_some() { 0x80 } else { 0 }];
    frame.extend(mask.into_iter().flatten());
    let masks = mask.unwrap_or_default().into_iter().cycle();
    frame.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of each form of length, with and without a mask.
    fn frames() -> Vec<Vec<u8>> {
        let mut frames = vec![vec![0x81, 0], vec![0x89, 0x80, 1, 2, 3, 4]];
        frames.push([&[0x01, 3][..], b"abc"].concat());
        frames.push([&[0x80, 0x83, 1, 2, 3, 4][..], b"def"].concat());
        frames.push([&[0x82, 126, 1, 0][..], &[0x88; 256]].concat());
        frames.push([&[0xc2, 0xfe, 0, 126, 1, 2, 3, 4][..], &[0x88; 126]].concat());
        frames.push([&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1][..], &vec![7; 65_537]].concat());
        frames
    }

    #[test]
    fn the_end_of_each_frame_is_known_however_it_comes() {
        for size in [1, 2, 3, 5, 1000, 100_000] {
            let mut followed = Frames::default();
            assert!(followed.is_between());
            for frame in frames() {
                let (last, others) = frame.split_last().unwrap();
                for piece in others.chunks(size) {
                    followed.pass(piece);
                    assert!(!followed.is_between(), "{piece:?}");
                }
                followed.pass(&[*last]);
                assert!(
                    followed.is_between(),
                    "{size}: {:?}",
                    frame.first_chunk::<2>()
                );
            }
        }
        let mut all = Frames::default();
        all.pass(&frames().concat());
        assert!(all.is_between());
    }

    #[test]
    fn nothing_follows_the_frame_that_ends_it() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let mut followed = Frames::default();
            followed.pass(&close(1000, "", mask));
            assert!(followed.left == 0 && followed.head.is_empty());
            assert!(!followed.is_between());
        }
    }

    #[test]
    fn the_frame_that_ends_it_is_that_of_the_standard() {
        assert_eq!(close(1008, "no", None), [0x88, 4, 0x03, 0xf0, b'n', b'o']);
        let masked = [0x88, 0x84, 1, 2, 3, 4, 0x02, 0xf2, b'n' ^ 3, b'o' ^ 4];
        assert_eq!(close(1008, "no", Some([1, 2, 3, 4])), masked);
        // A control frame is no longer than 125 bytes.
        assert_eq!(close(1008, &"x".repeat(200), None).len(), 2 + 125);
    }
}
