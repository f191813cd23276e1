//! The body of a request that goes upstream as it comes. Nobody reads it; what is held of it at a time
//! is one piece.

use std::{
    fmt, io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Incoming};
use latchkey_engine::reason::Reason;
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep},
};

use crate::meter::Meter;

/// The body of a request on its way upstream.
pub struct Upload {
    body: Incoming,
    /// What is being written: the line before a piece, the piece, and what ends it.
    writing: [Bytes; 3],
    /// Whether it goes in chunks, because its length is not known.
    in_chunks: bool,
    /// How much more it may have.
    left: u64,
    /// How much of it has come.
    taken: Arc<AtomicU64>,
    /// Whether all of it has come.
    ended: bool,
    /// Whether all of it is written.
    over: bool,
    waits: Waits,
    meter: Arc<Meter>,
}

/// How long each side may let the other wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the caller sends more of it.
    pub caller: Duration,
    /// Until the server takes more of it, and when it has all, until its answer begins.
    pub server: Duration,
}

/// Who is waited for, and until when.
#[derive(Debug)]
struct Waits {
    patience: Patience,
    on_server: bool,
    until: Pin<Box<Sleep>>,
}

/// Why a body does not get through.
#[derive(Debug)]
pub enum Stopped {
    /// The caller stopped sending, broke off or sent too much.
    Caller(Reason),
    /// The server does not take it, or does not answer.
    Patience,
    /// The connection to the server is broken.
    Server(io::Error),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(reason) => write!(f, "the caller's body: {}", reason.title()),
            Self::Patience => f.write_str("it did not go on in time"),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("taken", &self.taken)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Upload {
    /// A body of at most this many bytes; the reason where its head says that it has more.
    pub fn new(
        body: Incoming,
        most: u64,
        patience: Patience,
        meter: &Arc<Meter>,
    ) -> Result<Self, Reason> {
        let size = body.size_hint();
        if size.lower() > most {
            return Err(Reason::PayloadTooLarge);
        }
        Ok(Self {
            in_chunks: size.exact().is_none(),
            ended: false,
            over: false,
            body,
            writing: Default::default(),
            left: most,
            taken: Arc::default(),
            waits: Waits {
                patience,
                on_server: false,
                until: Box::pin(tokio::time::sleep(patience.caller)),
            },
            meter: Arc::clone(meter),
        })
    }

    /// How long it is, where its head says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Counts what has come of it.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// Whether all of it is written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Writes what can be written now; ready when all of it is.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Stopped>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let progress = self.poll_pieces(cx, stream);
        match progress {
            Poll::Pending if self.waits.are_over(cx) => Poll::Ready(Err(if self.waits.on_server {
                Stopped::Patience
            } else {
                Stopped::Caller(Reason::MalformedRequest)
            })),
            progress => progress,
        }
    }

    /// Ready when the answer should have begun.
    pub fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Stopped> {
        if self.over && self.waits.are_over(cx) {
            return Poll::Ready(Stopped::Patience);
        }
        Poll::Pending
    }

    fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Stopped>> {
        loop {
            ready!(self.poll_piece(cx, stream)).map_err(Stopped::Server)?;
            if self.ended {
                ready!(Pin::new(stream).poll_flush(cx)).map_err(Stopped::Server)?;
                self.over = true;
                self.waits.restart();
                return Poll::Ready(Ok(()));
            }
            self.waits.on(false);
            let Poll::Ready(frame) = pin!(&mut self.body).poll_frame(cx) else {
                // What is buffered under TLS must not wait for what is to come.
                let _ = Pin::new(&mut *stream).poll_flush(cx);
                return Poll::Pending;
            };
            match frame {
                None => self.end(),
                Some(Err(_)) => return Poll::Ready(Err(Stopped::Caller(Reason::MalformedRequest))),
                Some(Ok(frame)) => {
                    // Trailers are dropped: they could say what headers may not.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.take(data)?;
                }
            }
            self.waits.on(true);
        }
    }

    /// Writes what is left of one piece.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        for part in &mut self.writing {
            while !part.is_empty() {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, part))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                part.advance(count);
                self.waits.restart();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Stopped> {
        let length = data.len() as u64;
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(Stopped::Caller(Reason::PayloadTooLarge))?;
        self.taken.fetch_add(length, Relaxed);
        if data.is_empty() {
            return Ok(());
        }
        self.writing = if self.in_chunks {
            let line = format!("{length:x}\r\n");
            [line.into(), data, Bytes::from_static(b"\r\n")]
        } else {
            [data, Bytes::new(), Bytes::new()]
        };
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        if self.in_chunks {
            self.writing = [Bytes::from_static(b"0\r\n\r\n"), Bytes::new(), Bytes::new()];
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.ended {
            self.meter.leave_unread();
        }
    }
}

impl Waits {
    fn on(&mut self, server: bool) {
        if self.on_server != server {
            self.on_server = server;
            self.restart();
        }
    }

    /// Something has gone on.
    fn restart(&mut self) {
        let patience = if self.on_server {
            self.patience.server
        } else {
            self.patience.caller
        };
        self.until.as_mut().reset(Instant::now() + patience);
    }

    fn are_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.until.as_mut().poll(cx).is_ready()
    }
}
