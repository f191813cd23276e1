//! A queue of messages that is bounded in bytes, from one side to another, across threads.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

/// The side that puts messages in.
#[derive(Debug, Clone)]
pub(super) struct Mailbox(Arc<Mutex<State>>);

/// The side that takes them out. Dropping it closes the mailbox.
#[derive(Debug)]
pub(super) struct Letters(Arc<Mutex<State>>);

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// There is no room: whoever reads is slower than whoever writes.
    Full,
    /// Nobody reads any more, or it was closed.
    Closed,
}

/// The messages did not end, they broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenOff;

#[derive(Debug)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// The most bytes that wait, and the most messages.
    most: (usize, usize),
    end: Option<Result<(), BrokenOff>>,
    /// Whether what was put in last is what it was for.
    answered: bool,
    reader: Option<Waker>,
}

/// A mailbox for at most this many bytes, in at most this many messages. One message always fits.
#[must_use]
pub(super) fn mailbox(bytes: usize, messages: usize) -> (Mailbox, Letters) {
    let state = Arc::new(Mutex::new(State {
        queue: VecDeque::new(),
        bytes: 0,
        most: (bytes, messages),
        end: None,
        answered: false,
        reader: None,
    }));
    (Mailbox(Arc::clone(&state)), Letters(state))
}

impl Mailbox {
    /// Puts a message in where there is room.
    pub(super) fn put(&self, message: Bytes) -> Result<(), NotTaken> {
        let mut state = lock(&self.0);
        if state.end.is_some() {
            return Err(NotTaken::Closed);
        }
        let bytes = state.bytes.saturating_add(message.len());
        let fits = bytes <= state.most.0 && state.queue.len() < state.most.1;
        if !fits && !state.queue.is_empty() {
            return Err(NotTaken::Full);
        }
        state.push(message);
        Ok(())
    }

    /// Puts the last message in, whether there is room or not.
    pub(super) fn put_last(&self, message: Bytes) {
        let mut state = lock(&self.0);
        if state.end.is_none() {
            state.end = Some(Ok(()));
            state.answered = true;
            state.push(message);
        }
    }

    /// Says that nothing follows: what is in it is still read.
    pub(super) fn close(&self, end: Result<(), BrokenOff>) {
        let mut state = lock(&self.0);
        if state.end.is_none() {
            state.end = Some(end);
            state.wake();
        }
    }

    /// Whether nothing can be put in any more.
    #[must_use]
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).end.is_some()
    }
}

impl Letters {
    /// The next message; `None` after the last.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let mut state = lock(&self.0);
        if let Some(message) = state.queue.pop_front() {
            state.bytes = state.bytes.saturating_sub(message.len());
            return Poll::Ready(Some(Ok(message)));
        }
        match state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broken)) => {
                state.end = Some(Ok(()));
                Poll::Ready(Some(Err(broken)))
            }
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next message; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Whether all has been read, and it has ended well.
    #[must_use]
    pub(super) fn is_over(&self) -> bool {
        let state = lock(&self.0);
        state.queue.is_empty() && state.end == Some(Ok(()))
    }

    /// Whether the last message that was read was put in as the last.
    #[must_use]
    pub(super) fn is_answered(&self) -> bool {
        let state = lock(&self.0);
        state.queue.is_empty() && state.answered
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.queue = VecDeque::new();
        state.end = Some(Ok(()));
    }
}

impl State {
    fn push(&mut self, message: Bytes) {
        self.bytes = self.bytes.saturating_add(message.len());
        self.queue.push_back(message);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn a_full_mailbox_takes_nothing_but_the_last_message() {
        let (mailbox, mut letters) = mailbox(10, 8);
        mailbox.put(text("0123456789abc")).unwrap();
        assert_eq!(mailbox.put(text("x")), Err(NotTaken::Full));
        mailbox.put_last(text("end"));
        assert_eq!(mailbox.put(text("x")), Err(NotTaken::Closed));
        assert_eq!(letters.next().await, Some(Ok(text("0123456789abc"))));
        assert!(!letters.is_over() && !letters.is_answered());
        assert_eq!(letters.next().await, Some(Ok(text("end"))));
        assert!(letters.is_over() && letters.is_answered());
        assert_eq!(letters.next().await, None);
    }

    #[tokio::test]
    async fn what_breaks_off_says_so_after_what_was_put_in() {
        let (mailbox, mut letters) = mailbox(100, 1);
        mailbox.put(text("a")).unwrap();
        assert_eq!(mailbox.put(text("b")), Err(NotTaken::Full));
        mailbox.close(Err(BrokenOff));
        assert_eq!(letters.next().await, Some(Ok(text("a"))));
        assert_eq!(letters.next().await, Some(Err(BrokenOff)));
        assert_eq!(letters.next().await, None);
    }

    #[tokio::test]
    async fn what_is_closed_is_over_and_not_answered() {
        let (mailbox, mut letters) = mailbox(100, 8);
        mailbox.put(text("a")).unwrap();
        mailbox.close(Ok(()));
        mailbox.put_last(text("end"));
        assert_eq!(letters.next().await, Some(Ok(text("a"))));
        assert!(letters.is_over() && !letters.is_answered());
        assert_eq!(letters.next().await, None);
    }

    #[tokio::test]
    async fn nobody_writes_to_whom_nobody_reads() {
        let (mailbox, letters) = mailbox(100, 8);
        drop(letters);
        assert_eq!(mailbox.put(text("a")), Err(NotTaken::Closed));
        assert!(mailbox.is_closed());
    }
}
