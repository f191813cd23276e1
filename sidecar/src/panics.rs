//! A panic costs one request: it is caught where the request is served, told and recorded as an
//! internal error, and the thread goes on with the others.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// What a future comes to; `None` when it panics. What it held has been dropped by then, and so
/// recorded.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match caught_now(|| future.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        // It is not polled again.
        None => Poll::Ready(None),
    })
    .await
}

/// What a function answers; `None` when it panics. Nothing that it changed may be used again.
pub(crate) fn caught_now<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
