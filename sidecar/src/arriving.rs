//! The body of a tool server's answer, from wherever it comes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::{http1, stdio};

/// The body of a tool server's answer.
#[derive(Debug)]
pub enum Arriving {
    /// Over HTTP.
    Http(http1::Body),
    /// From the standard output of a child.
    Child(stdio::Stream),
}

/// The tool server broke off in the middle of an answer.
#[derive(Debug)]
pub enum BrokeOff {
    /// Over HTTP.
    Http(http1::Fault),
    /// The child ended.
    Child,
}

impl fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Child => f.write_str("its process ended"),
        }
    }
}

impl std::error::Error for BrokeOff {}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        Poll::Ready(match self.get_mut() {
            Self::Http(body) => {
                let data = ready!(body.poll(cx));
                data.map(|data| data.map(Frame::data).map_err(BrokeOff::Http))
            }
            Self::Child(stream) => {
                let data = ready!(stream.poll(cx));
                data.map(|data| data.map(Frame::data).map_err(|_| BrokeOff::Child))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_over(),
            Self::Child(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(body) => body.size_hint(),
            Self::Child(_) => SizeHint::default(),
        }
    }
}
