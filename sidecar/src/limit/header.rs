//! What callers are told of their limits: `RateLimit-Policy` and `RateLimit`, as structured fields.

use std::time::Duration;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use latchkey_engine::index::{Obligation, Pool};

use super::{Left, Throttled, pool_word};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What one limit takes of a field, most often.
const ROOM: usize = 64;

/// The state of the rates that a call fell under.
#[derive(Debug, Default)]
pub struct Told(Vec<Left>);

impl Told {
    /// Adds what is left of a limit, where that says nothing of the calls of others.
    pub fn extend(&mut self, left: impl IntoIterator<Item = Left>) {
        self.0.extend(left.into_iter().filter(|it| {
            let Obligation::Rate { pool, .. } = it.limit else {
                return false;
            };
            matches!(pool, Pool::Caller | Pool::Source)
        }));
    }

    /// Writes both fields, when a rate was counted. What the tool server says of limits of its
    /// own is replaced.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let room = ROOM * self.0.len();
        let (mut policy, mut state) = (String::with_capacity(room), String::with_capacity(room));
        for (at, left) in self.0.iter().enumerate() {
            let Obligation::Rate {
                pool,
                reach,
                count,
                seconds,
            } = left.limit
            else {
                continue;
            };
            // Two limits of one pool have two names. Each number is written once: every answer
            // has these fields, and formatting costs more than the count.
            let (count, seconds) = (count.to_string(), seconds.to_string());
            let comma = if at == 0 { "\"" } else { ", \"" };
            let name = [comma, pool_word(pool, reach), "-", &count, "-", &seconds].concat();
            for part in [&name, "\";q=", &count, ";w=", &seconds] {
                policy.push_str(part);
            }
            let (calls, full) = (left.calls.to_string(), seconds_up(left.full_in).to_string());
            for part in [&name, "\";r=", &calls, ";t=", &full] {
                state.push_str(part);
            }
        }
        for (name, text) in [(POLICY, policy), (STATE, state)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

impl From<&Throttled> for Told {
    fn from(throttled: &Throttled) -> Self {
        let rate = matches!(throttled.limit, Obligation::Rate { .. }) && !throttled.lost;
        Self(rate.then(|| throttled.left()).into_iter().collect())
    }
}

impl Throttled {
    /// Nothing is left of the limit; some is there again when the next call may be tried.
    fn left(&self) -> Left {
        Left {
            limit: self.limit,
            calls: 0,
            full_in: self.retry_after,
        }
    }

    /// Seconds until the next call may be tried, at least one.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        seconds_up(self.retry_after)
    }
}

/// Whole seconds, at least one.
pub(crate) fn seconds_up(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1)
}
