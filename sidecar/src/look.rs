//! The answer to a call: whether it has to be read before it is passed on.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame};
use latchkey_gate::filter::{self, Watch};

use crate::{
    answer::First,
    arriving::Arriving,
    body::{self, Unread},
};

/// What is known of an answer that is no stream.
pub(crate) enum Looked {
    /// All of it, and nothing in it is decided or sealed.
    Whole(Bytes),
    /// It begins with a result, which passes as it comes and is watched.
    Passed(First),
    /// All of it, and it has to be filtered.
    Filtered(Bytes),
    /// It cannot be read.
    Unread(Unread),
}

/// Reads an answer as far as it has to be. A result in which nothing can be sealed passes as it
/// comes, however large; `sealed` says whether something can be.
pub(crate) async fn look(
    incoming: &mut Arriving,
    sealed: bool,
    most: usize,
    slowest: Duration,
) -> Looked {
    let first = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
    let first = match tokio::time::timeout(slowest, first).await {
        Ok(None) => return Looked::Whole(Bytes::new()),
        Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Ok(Some(Err(error))) => return Looked::Passed(Poll::Ready(Some(Err(error)))),
        Err(_) => return Looked::Unread(Unread::Slow),
    };
    let body = if incoming.is_end_stream() {
        first
    } else if !sealed && leads_with_result(&first) {
        return Looked::Passed(Poll::Ready(Some(Ok(Frame::data(first)))));
    } else {
        let most = most.saturating_sub(first.len());
        let rest = match body::read(incoming, most, slowest).await {
            Ok(rest) => rest,
            Err((_, unread)) => return Looked::Unread(unread),
        };
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        whole.freeze()
    };
    if filter::needs_look(&body) {
        Looked::Filtered(body)
    } else {
        Looked::Whole(body)
    }
}

fn leads_with_result(first: &[u8]) -> bool {
    let mut watch = Watch::default();
    watch.take(first) && watch.leads_with_result()
}
