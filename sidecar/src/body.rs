//! Bodies that are read as a whole, within bounds of size and time.

use std::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use latchkey_engine::reason::Reason;

/// Why there is less than the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// It broke off, or is framed in no legal way.
    Broken,
    /// It did not arrive in time.
    Slow,
}

impl Unread {
    /// The reason where it is the body of a server's answer.
    pub(crate) const fn of_server(self) -> Reason {
        match self {
            Self::TooLarge | Self::Broken => Reason::UpstreamUnavailable,
            Self::Slow => Reason::UpstreamTimeout,
        }
    }

    /// The reason that a request with such a body is refused for.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::PayloadTooLarge,
            Self::Broken | Self::Slow => Reason::MalformedRequest,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is larger than it may be",
            Self::Broken => "the body broke off",
            Self::Slow => "the body did not arrive in time",
        })
    }
}

/// Reads a body of at most `most` bytes. On an error, what was read so far and what is wrong.
pub(crate) async fn read(
    mut body: impl Body<Data = Bytes> + Unpin,
    most: usize,
    timeout: Duration,
) -> Result<Bytes, (Bytes, Unread)> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > most as u64 {
        return Err((Bytes::new(), Unread::TooLarge));
    }
    let mut so_far = Bytes::new();
    let outcome = {
        let mut reading = pin!(collect(&mut body, most, &mut so_far));
        // Most bodies come with their head: only the others cost a timer.
        let first = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => tokio::time::timeout(timeout, reading)
                .await
                .unwrap_or(Err(Unread::Slow)),
        }
    };
    match outcome {
        Ok(()) => Ok(so_far),
        Err(unread) => Err((so_far, unread)),
    }
}

async fn collect(
    body: &mut (impl Body<Data = Bytes> + Unpin),
    most: usize,
    so_far: &mut Bytes,
) -> Result<(), Unread> {
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Unread::Broken)?.into_data();
        let Ok(data) = data else { continue };
        if so_far.len() + rest.len() + data.len() > most {
            return Err(Unread::TooLarge);
        }
        if so_far.is_empty() && rest.is_empty() {
            *so_far = data;
        } else {
            rest.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    if !rest.is_empty() {
        let mut whole = BytesMut::with_capacity(so_far.len() + rest.len());
        whole.extend_from_slice(so_far);
        whole.extend_from_slice(&rest);
        *so_far = whole.freeze();
    }
    Ok(())
}
