//! The body of an answer, read from its connection as it is asked for.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use hyper::body::SizeHint;

use super::{
    Answered, Connection, Fault,
    framing::{Framing, Taken},
};
use crate::upload::{Stopped, Upload};

/// Where connections go that may serve another exchange.
pub trait Home: fmt::Debug + Send + Sync {
    /// Takes a connection whose answer has ended.
    fn take_back(&self, address: &Arc<str>, connection: Connection);
}

/// The body of an answer. Its connection goes home with the end of the answer; dropped before, it
/// closes, which cancels the call.
#[derive(Debug)]
pub struct Body {
    open: Option<Open>,
    framing: Framing,
}

/// A connection in use.
#[derive(Debug)]
struct Open {
    connection: Connection,
    home: Arc<dyn Home>,
    address: Arc<str>,
    lasting: bool,
    /// What of the request is still on its way.
    upload: Option<Box<Upload>>,
}

impl Body {
    /// The body that follows the head of an answer.
    #[must_use]
    pub fn new(
        connection: Connection,
        answered: Answered,
        home: Arc<dyn Home>,
        address: Arc<str>,
        upload: Option<Box<Upload>>,
    ) -> (hyper::http::response::Parts, Self) {
        let mut body = Self {
            open: Some(Open {
                connection,
                home,
                address,
                lasting: answered.lasting,
                upload: upload.filter(|upload| !upload.is_over()),
            }),
            framing: answered.framing,
        };
        if matches!(body.framing, Framing::Length(0)) {
            body.end();
        }
        (answered.parts, body)
    }

    /// Whether all of it was handed out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open.is_none()
    }

    /// How much there is to come, where the head says so.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }

    /// The next data.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let Some(open) = &mut self.open else {
                return Poll::Ready(None);
            };
            if let Err(fault) = open.send_more(cx) {
                return Poll::Ready(Some(Err(self.break_off(fault))));
            }
            let taken = match self.framing.take(&mut open.connection.read) {
                Err(fault) => return Poll::Ready(Some(Err(self.break_off(fault)))),
                Ok(taken) => taken,
            };
            match taken {
                Taken { data, over: true } => {
                    self.end();
                    return Poll::Ready(data.map(Ok));
                }
                Taken {
                    data: Some(data), ..
                } => return Poll::Ready(Some(Ok(data))),
                Taken { .. } => {}
            }
            match ready!(open.poll_more(cx)) {
                Ok(0) if matches!(self.framing, Framing::Close) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Ok(0) => {
                    let fault = Fault::Broken(io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Some(Err(self.break_off(fault))));
                }
                Ok(_) => {}
                Err(error) => {
                    let fault = Fault::Broken(error);
                    return Poll::Ready(Some(Err(self.break_off(fault))));
                }
            }
        }
    }

    fn break_off(&mut self, fault: Fault) -> Fault {
        self.open = None;
        fault
    }

    fn end(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        // Bytes after the end would be taken for the next answer.
        if open.lasting && open.upload.is_none() && open.connection.read.is_empty() {
            open.home.take_back(&open.address, open.connection);
        }
    }
}

impl Open {
    /// Sends more of the request. A server that takes no more of it may still answer.
    fn send_more(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match upload.poll_write(cx, &mut self.connection.stream) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.upload = None,
            Poll::Ready(Err(stopped @ Stopped::Caller(_))) => return Err(Fault::Stopped(stopped)),
            Poll::Ready(Err(_)) => {
                self.upload = None;
                self.lasting = false;
            }
        }
        Ok(())
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let connection = &mut self.connection;
        let more = connection.poll_read(cx);
        if more.is_pending() && connection.read.is_empty() {
            // A stream may wait for hours: it needs no space for that.
            connection.read = BytesMut::new();
            connection.head = Vec::new();
        }
        more
    }
}
