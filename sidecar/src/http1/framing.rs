//! Where the body of an answer ends.

use bytes::{Bytes, BytesMut};

use super::{Fault, chunks::Chunks};

/// Where a body ends.
#[derive(Debug)]
pub(super) enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// After the last chunk.
    Chunked(Chunks),
    /// With the connection.
    Close,
}

/// What of a body was read already.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) data: Option<Bytes>,
    /// Whether nothing of the body follows.
    pub(super) over: bool,
}

impl Framing {
    /// Takes what is there of the body.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Taken, Fault> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= here as u64;
                Ok(Taken {
                    data: (here > 0).then(|| read.split_to(here).freeze()),
                    over: *left == 0,
                })
            }
            Self::Chunked(chunks) => Ok(Taken {
                data: chunks.next(read)?,
                over: chunks.is_over(),
            }),
            Self::Close => Ok(Taken {
                data: (!read.is_empty()).then(|| read.split().freeze()),
                over: false,
            }),
        }
    }
}
