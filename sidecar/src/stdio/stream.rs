//! A child's messages as the body of an HTTP answer.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    child::Child,
    desk::Ticket,
    mailbox::{BrokenOff, Letters, mailbox},
};

/// A child's messages to one caller, as the body of an answer.
#[derive(Debug)]
pub struct Stream {
    /// What was read to find out the form.
    first: Option<Bytes>,
    letters: Letters,
    form: Form,
    /// What ends with the answer: the wait for it, and then the need for its child.
    _held: Option<(Option<Ticket>, Arc<Child>)>,
}

/// How messages stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One message is the whole body.
    Json,
    /// Each message is an event.
    Events,
}

impl Stream {
    /// The body of an answer whose first message has been read already, or is still to come.
    #[must_use]
    pub(super) fn new(first: Option<Bytes>, letters: Letters, form: Form) -> Self {
        Self {
            first,
            letters,
            form,
            _held: None,
        }
    }

    /// A body that is known in full.
    #[must_use]
    pub fn whole(body: Option<Bytes>) -> Self {
        let (mailbox, letters) = mailbox(0, 0);
        mailbox.close(Ok(()));
        Self::new(body, letters, Form::Json)
    }

    /// The same, and the child that it comes from lives as long.
    #[must_use]
    pub(super) fn of(self, child: Arc<Child>, ticket: Option<Ticket>) -> Self {
        Self {
            _held: Some((ticket, child)),
            ..self
        }
    }

    /// The next bytes of the body.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let message = match self.first.take() {
            Some(message) => Some(Ok(message)),
            None => ready!(self.letters.poll(cx)),
        };
        Poll::Ready(message.map(|message| message.map(|message| self.form.of(message))))
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.first.is_none() && self.letters.is_over()
    }
}

impl Form {
    fn of(self, message: Bytes) -> Bytes {
        const BEFORE: &[u8] = b"event: message\ndata: ";
        if self == Self::Json {
            return message;
        }
        let mut event = BytesMut::with_capacity(BEFORE.len() + message.len() + 2);
        event.put_slice(BEFORE);
        event.put_slice(&message);
        event.put_slice(b"\n\n");
        event.freeze()
    }
}
