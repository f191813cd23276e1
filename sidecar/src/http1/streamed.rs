//! Exchanges of which a body, or all that follows, is passed as it comes.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::http::response::Parts;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answered, Connection, Fault, Sent, answered};
use crate::upload::{Stopped, Upload};

/// The answer to a request to change the protocol.
#[derive(Debug)]
pub enum Turn {
    /// The connection is a tunnel from here on.
    Switched(Parts),
    /// The server goes on in HTTP.
    Answered(Answered),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends the head that was written, and the body as it comes, and reads the head of the answer,
    /// which may come before the end of the body.
    pub async fn exchange_streamed(
        &mut self,
        upload: &mut Upload,
        bodiless: bool,
    ) -> Result<Answered, Fault> {
        let mut sent = 0;
        let mut interim = 0;
        loop {
            poll_fn(|cx| self.poll_streamed(cx, &mut sent, upload)).await?;
            if let Some(head) = self.take_head(&mut interim, false)? {
                return Ok(answered(head, true, bodiless));
            }
        }
    }

    /// Sends the head that was written, which asks for another protocol.
    pub async fn exchange_to_switch(&mut self) -> Result<Turn, Fault> {
        let mut sent = Sent::default();
        let mut interim = 0;
        loop {
            poll_fn(|cx| self.poll_exchange(cx, &mut sent, &Bytes::new())).await?;
            match self.take_head(&mut interim, true)? {
                Some(head) if head.parts.status.as_u16() == 101 => {
                    return Ok(Turn::Switched(head.parts));
                }
                Some(head) => return Ok(Turn::Answered(answered(head, sent.all, false))),
                None => {}
            }
        }
    }

    /// Writes what there is of the request, and reads something of the answer.
    fn poll_streamed(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut usize,
        upload: &mut Upload,
    ) -> Poll<Result<(), Fault>> {
        let written = match self.poll_head(cx, sent) {
            Poll::Ready(Ok(())) => upload.poll_write(cx, &mut self.stream),
            Poll::Ready(Err(error)) if *sent == 0 => {
                return Poll::Ready(Err(Fault::Unsent(error)));
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Stopped::Server(error))),
            Poll::Pending => Poll::Pending,
        };
        if let Poll::Ready(Err(stopped @ Stopped::Caller(_))) = written {
            return Poll::Ready(Err(Fault::Stopped(stopped)));
        }
        // What the server has said before it closed, or stopped reading, counts.
        match (self.poll_read(cx), written) {
            (Poll::Ready(Ok(1..)), _) => Poll::Ready(Ok(())),
            (Poll::Ready(Ok(0)), _) => {
                let error = std::io::ErrorKind::UnexpectedEof.into();
                Poll::Ready(Err(Fault::Broken(error)))
            }
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(Fault::Broken(error))),
            (Poll::Pending, Poll::Ready(Err(stopped))) => Poll::Ready(Err(Fault::Stopped(stopped))),
            (Poll::Pending, _) => upload
                .poll_late(cx)
                .map(|stopped| Err(Fault::Stopped(stopped))),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, sent: &mut usize) -> Poll<std::io::Result<()>> {
        while let Some(rest) = self.head.get(*sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(count)) => *sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
