//! A body in chunks.

use bytes::{Bytes, BytesMut};

use super::Fault;

/// The longest line of a chunk's size, and of a trailer.
const LONGEST_LINE: usize = 4096;
/// The most trailers.
const MOST_TRAILERS: usize = 100;

/// How far a body in chunks is read.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    step: Step,
    trailers: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Size,
    /// So many bytes of data are still to come.
    Data(u64),
    /// The end of the line after the data.
    DataEnd,
    /// Trailers, which are dropped: they could say what headers may not.
    Trailers,
    Over,
}

impl Chunks {
    /// Whether the last chunk and its trailers are read.
    pub(super) fn is_over(&self) -> bool {
        self.step == Step::Over
    }

    /// The next data that was read; `None` when more must be read, or the body is over.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        while self.advance(read)? {}
        let Step::Data(left) = self.step else {
            return Ok(None);
        };
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
        if here == 0 {
            return Ok(None);
        }
        let data = read.split_to(here).freeze();
        self.step = match left - here as u64 {
            0 => Step::DataEnd,
            left => Step::Data(left),
        };
        // So that the end of a body is known with its last data, where both came together.
        while self.advance(read)? {}
        Ok(Some(data))
    }

    /// Reads a line between data; false when there is none, or data comes next.
    fn advance(&mut self, read: &mut BytesMut) -> Result<bool, Fault> {
        if matches!(self.step, Step::Data(_) | Step::Over) {
            return Ok(false);
        }
        let Some(line) = line(read)? else {
            return Ok(false);
        };
        self.step = match self.step {
            Step::Size => match size(&line).ok_or(Fault::Unreadable("a chunk's size"))? {
                0 => Step::Trailers,
                size => Step::Data(size),
            },
            Step::DataEnd if line.is_empty() => Step::Size,
            Step::DataEnd => return Err(Fault::Unreadable("a chunk longer than its size")),
            _ if line.is_empty() => Step::Over,
            _ => {
                self.trailers += 1;
                if self.trailers > MOST_TRAILERS {
                    return Err(Fault::Unreadable("too many trailers"));
                }
                Step::Trailers
            }
        };
        Ok(true)
    }
}

/// Takes a line off the front, without its end.
fn line(read: &mut BytesMut) -> Result<Option<BytesMut>, Fault> {
    let Some(at) = read.iter().position(|byte| *byte == b'\n') else {
        if read.len() > LONGEST_LINE {
            return Err(Fault::Unreadable("a line that is too long"));
        }
        return Ok(None);
    };
    let mut line = read.split_to(at + 1);
    let bare = at
        .checked_sub(1)
        .filter(|end| line.get(*end) == Some(&b'\r'));
    match bare {
        Some(end) if end <= LONGEST_LINE => {
            line.truncate(end);
            Ok(Some(line))
        }
        Some(_) => Err(Fault::Unreadable("a line that is too long")),
        None => Err(Fault::Unreadable("a line end without its return")),
    }
}

/// Hexadecimal digits, and extensions after a `;`, which mean nothing here.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let hex = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| hex)?;
    u64::from_str_radix(digits, 16).ok()
}
