//! The requests of one HTTP/2 connection: how many came, and which answers nobody takes.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::frames::Counts;

/// The requests of one HTTP/2 connection.
#[derive(Debug, Default)]
pub struct Streams {
    counts: Mutex<Counts>,
    /// How many requests there were, whole or not, that leave their event elsewhere.
    told: AtomicU64,
    next: AtomicU64,
    /// Since when each answer waits for its caller.
    waiting: Mutex<BTreeMap<u64, Instant>>,
}

/// An answer's body that is told of when its caller does not take it.
#[derive(Debug)]
pub struct Paced<B> {
    body: B,
    streams: Arc<Streams>,
    key: u64,
}

/// How many requests a caller may take back, whatever else it does.
const MOST_RESETS: u64 = 100;

impl Streams {
    /// What the frames have said so far.
    pub fn set(&self, counts: Counts) {
        *lock(&self.counts) = counts;
    }

    /// Whether a head has begun and is not complete.
    #[must_use]
    pub fn has_partial_head(&self) -> bool {
        lock(&self.counts).partial
    }

    /// A request has arrived.
    pub fn arrive(&self) {
        self.told.fetch_add(1, Relaxed);
    }

    /// How many heads came that no request came of, since this was asked last.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let opened = lock(&self.counts).opened;
        opened.saturating_sub(self.told.fetch_max(opened, Relaxed))
    }

    /// Whether the caller takes back so many requests that it cannot be about the answers.
    #[must_use]
    pub fn resets_too_much(&self) -> bool {
        let counts = *lock(&self.counts);
        counts.resets > MOST_RESETS && counts.resets > counts.opened / 2
    }

    /// Whether an answer has waited for its caller for so long.
    #[must_use]
    pub fn has_waited(&self, limit: Duration) -> bool {
        let waiting = lock(&self.waiting);
        waiting.values().any(|since| since.elapsed() > limit)
    }
}

impl<B: Body> Paced<B> {
    /// An answer that is about to leave.
    pub fn new(streams: &Arc<Streams>, body: B) -> Self {
        Self {
            key: streams.next.fetch_add(1, Relaxed),
            streams: Arc::clone(streams),
            body,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        lock(&self.streams.waiting).remove(&self.key);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            // The protocol holds it until the caller has room, and only then asks again or drops
            // the body.
            lock(&self.streams.waiting).insert(self.key, Instant::now());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        lock(&self.streams.waiting).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[test]
    fn heads_without_a_request_are_told_once() {
        let streams = Streams::default();
        streams.set(Counts {
            opened: 3,
            ..Counts::default()
        });
        streams.arrive();
        assert_eq!(streams.lost(), 2);
        assert_eq!(streams.lost(), 0);
        streams.set(Counts {
            opened: 4,
            ..Counts::default()
        });
        streams.arrive();
        assert_eq!(streams.lost(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_waits() {
        let streams = Arc::new(Streams::default());
        let mut body = Paced::new(&streams, Full::new(Bytes::from("answer")));
        assert!(!streams.has_waited(Duration::ZERO));
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(streams.has_waited(Duration::from_millis(1)));
        assert!(body.frame().await.is_none());
        assert!(!streams.has_waited(Duration::ZERO));
        let mut left = Paced::new(&streams, Full::new(Bytes::from("answer")));
        left.frame().await.unwrap().unwrap();
        assert!(streams.has_waited(Duration::ZERO));
        drop(left);
        assert!(!streams.has_waited(Duration::ZERO));
    }
}
