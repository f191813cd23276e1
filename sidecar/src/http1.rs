//! HTTP/1.1 to a tool server, one exchange at a time over one connection.
//!
//! Whoever waits for the answer drives the connection: there is no task behind it and nothing is
//! handed over. What a server answers is read strictly, because what two readers could read
//! differently could show a caller the answer to another's request: two lengths, a length beside
//! chunks, an unknown coding and bytes that nobody asked for end the connection.

mod body;
mod chunks;
mod framing;
mod head;
mod streamed;

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use hyper::http::response::Parts;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

pub use body::{Body, Home};
use framing::Framing;
pub use streamed::Turn;

use crate::{socket::Channel, upload::Stopped};

/// How much is read at once.
const BLOCK: usize = 4096;
/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 256 << 10;
/// The most interim answers before the real one.
const MOST_INTERIM: usize = 16;

/// A connection to a tool server that serves one exchange at a time.
#[derive(Debug)]
pub struct Connection<S = Channel> {
    stream: S,
    /// What has been read and belongs to nothing yet.
    read: BytesMut,
    /// The head of the request, and a short body with it.
    head: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Answered {
    /// Status and headers, without those that end at this hop.
    pub parts: Parts,
    framing: Framing,
    /// Whether the connection may serve another exchange after this answer.
    lasting: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nothing of the request was written: it may be tried on another connection.
    Unsent(io::Error),
    /// The connection broke, or was closed before the end.
    Broken(io::Error),
    /// The answer cannot be read in one way only.
    Unreadable(&'static str),
    /// The body that goes with the request does not get through.
    Stopped(Stopped),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(error) | Self::Broken(error) => error.fmt(f),
            Self::Unreadable(what) => write!(f, "its answer cannot be read: {what}"),
            Self::Stopped(stopped) => stopped.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection that was just made.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            head: Vec::new(),
        }
    }

    /// Whether it can serve an exchange: the server has neither closed it nor sent what nobody
    /// asked for.
    pub fn is_idle(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.read.is_empty() && self.poll_read(cx).is_pending()
    }

    /// The stream, and what was read of it already.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.read)
    }

    /// Where the head of the next request is written to.
    pub fn head(&mut self) -> &mut Vec<u8> {
        self.head.clear();
        &mut self.head
    }

    /// Sends the head that was written, and a body, and reads the head of the answer. `bodiless`
    /// says that the answer to this method has no body, whatever its head says.
    pub async fn exchange(&mut self, body: Bytes, bodiless: bool) -> Result<Answered, Fault> {
        let body = if self.head.len() + body.len() <= BLOCK {
            self.head.extend_from_slice(&body);
            Bytes::new()
        } else {
            body
        };
        let mut sent = Sent::default();
        let mut interim = 0;
        loop {
            poll_fn(|cx| self.poll_exchange(cx, &mut sent, &body)).await?;
            if let Some(head) = self.take_head(&mut interim, false)? {
                return Ok(answered(head, sent.all, bodiless));
            }
        }
    }

    /// Takes the head of the answer off what was read, once all of it is there. `may_switch` says
    /// whether the connection may change its protocol.
    fn take_head(
        &mut self,
        interim: &mut usize,
        may_switch: bool,
    ) -> Result<Option<head::Head>, Fault> {
        while let Some(head) = head::parse(&mut self.read)? {
            let switches = head.parts.status.as_u16() == 101;
            if !head.parts.status.is_informational() || (switches && may_switch) {
                return Ok(Some(head));
            }
            *interim += 1;
            if *interim > MOST_INTERIM || switches {
                return Err(Fault::Unreadable(
                    "an interim answer that was not asked for",
                ));
            }
        }
        if self.read.len() > LONGEST_HEAD {
            return Err(Fault::Unreadable("its head is too long"));
        }
        Ok(None)
    }

    /// Writes what is left of the request, and reads something of the answer.
    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut Sent,
        body: &[u8],
    ) -> Poll<Result<(), Fault>> {
        let written = match self.poll_write(cx, sent, body) {
            Poll::Ready(Err(error)) if sent.head == 0 => {
                return Poll::Ready(Err(Fault::Unsent(error)));
            }
            // What the server has said before it closed counts.
            written => written,
        };
        match self.poll_read(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Fault::Broken(match written {
                Poll::Ready(Err(error)) => error,
                _ => io::ErrorKind::UnexpectedEof.into(),
            }))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Fault::Broken(error))),
            Poll::Pending => match written {
                Poll::Ready(Err(error)) => Poll::Ready(Err(Fault::Broken(error))),
                _ => Poll::Pending,
            },
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut Sent,
        body: &[u8],
    ) -> Poll<io::Result<()>> {
        if sent.all {
            return Poll::Ready(Ok(()));
        }
        let stream = &mut self.stream;
        for (part, count) in [
            (self.head.as_slice(), &mut sent.head),
            (body, &mut sent.body),
        ] {
            while let Some(rest) = part.get(*count..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut *stream).poll_write(cx, rest)) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(more) => *count += more,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        sent.all = true;
        Poll::Ready(Ok(()))
    }

    /// Reads some bytes; none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < BLOCK / 2 {
            self.read.reserve(BLOCK);
        }
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }
}

fn answered(head: head::Head, all_sent: bool, bodiless: bool) -> Answered {
    let bodiless = bodiless || matches!(head.parts.status.as_u16(), 204 | 304);
    let framing = if bodiless {
        Framing::Length(0)
    } else {
        head.framing
    };
    Answered {
        // A server that answers before it has read all will not read the rest either.
        lasting: head.lasting && all_sent && !matches!(framing, Framing::Close),
        parts: head.parts,
        framing,
    }
}

/// How much of a request is written.
#[derive(Debug, Default)]
struct Sent {
    head: usize,
    body: usize,
    all: bool,
}

#[cfg(test)]
mod tests;
