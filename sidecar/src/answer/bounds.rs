//! How much of an answer is passed on, and for how long.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use latchkey_gate::settings::ServerSettings;
use tokio::time::Sleep;

/// How much of an answer may still be passed on, and until when.
#[derive(Debug)]
pub struct Bounds {
    left: Option<u64>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Bounds {
    /// What the policy says of an answer: how large it may be, and how long it may last if it is an
    /// event stream. `None` where it says nothing.
    #[must_use]
    pub fn of(settings: Option<&ServerSettings>, is_stream: bool) -> Option<Box<Self>> {
        let most = settings.map_or(0, |it| it.response);
        let lasts = settings.map_or(0, |it| it.stream_duration);
        let bounds = Self {
            left: (most > 0 && !is_stream).then_some(most),
            until: (lasts > 0 && is_stream)
                .then(|| Box::pin(tokio::time::sleep(Duration::from_millis(lasts)))),
        };
        (bounds.left.is_some() || bounds.until.is_some()).then(|| Box::new(bounds))
    }

    /// Whether so many bytes are more than may still come.
    #[must_use]
    pub fn is_under(&self, count: u64) -> bool {
        self.left.is_some_and(|left| count > left)
    }

    /// Counts bytes; false when they are too many.
    pub fn take(&mut self, count: u64) -> bool {
        let enough = !self.is_under(count);
        self.left = self.left.map(|left| left.saturating_sub(count));
        enough
    }

    /// Whether its time is over; else the task is woken then.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.until.as_mut();
        until.is_some_and(|until| until.as_mut().poll(cx) == Poll::Ready(()))
    }
}
