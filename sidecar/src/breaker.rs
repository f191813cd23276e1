//! Leaves a tool server alone that does not answer.
//!
//! After some calls in a row without an answer it is not asked for a while; then one call tries,
//! and what becomes of it decides for all.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use latchkey_engine::reason::Reason;
use latchkey_gate::settings;

/// What is known of a server's health.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Calls in a row that it did not answer.
    failures: u32,
    /// Until when it is left alone.
    open_until: Option<Instant>,
}

/// Leave to ask; say how it went with [`Asking::settle`].
#[derive(Debug)]
pub struct Asking<'b> {
    breaker: Option<(&'b Breaker, settings::Breaker)>,
}

impl Breaker {
    /// Leave to ask the server, or for how long it is left alone.
    pub fn ask(&self, settings: Option<settings::Breaker>) -> Result<Asking<'_>, Duration> {
        let Some(settings) = settings else {
            return Ok(Asking { breaker: None });
        };
        let mut state = self.lock();
        if let Some(until) = state.open_until {
            let now = Instant::now();
            if now < until {
                return Err(until - now);
            }
            // This call tries; those beside it wait until it knows.
            state.open_until = Some(now + pause(settings));
        }
        Ok(Asking {
            breaker: Some((self, settings)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// How it went: a reason why there was no answer, or that there was one.
    pub fn settle(self, failed: Option<Reason>) {
        let Some((breaker, settings)) = self.breaker else {
            return;
        };
        let mut state = breaker.lock();
        match failed {
            Some(Reason::UpstreamTimeout | Reason::UpstreamUnavailable) => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= settings.failures {
                    state.open_until = Some(Instant::now() + pause(settings));
                }
            }
            _ => *state = State::default(),
        }
    }
}

fn pause(settings: settings::Breaker) -> Duration {
    Duration::from_millis(u64::from(settings.pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER_TWO: Option<settings::Breaker> = Some(settings::Breaker {
        failures: 2,
        pause: 40,
    });

    fn fail(breaker: &Breaker) {
        let asking = breaker.ask(AFTER_TWO).unwrap();
        asking.settle(Some(Reason::UpstreamTimeout));
    }

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_call_try() {
        let breaker = Breaker::default();
        fail(&breaker);
        breaker.ask(AFTER_TWO).unwrap().settle(None);
        fail(&breaker);
        assert!(breaker.ask(AFTER_TWO).is_ok());
        fail(&breaker);
        assert!(breaker.ask(AFTER_TWO).is_err());
        std::thread::sleep(Duration::from_millis(60));
        let probe = breaker.ask(AFTER_TWO).unwrap();
        assert!(breaker.ask(AFTER_TWO).is_err());
        probe.settle(Some(Reason::UpstreamUnavailable));
        assert!(breaker.ask(AFTER_TWO).is_err());
        std::thread::sleep(Duration::from_millis(60));
        breaker.ask(AFTER_TWO).unwrap().settle(None);
        assert!(breaker.ask(AFTER_TWO).is_ok());
        assert!(breaker.ask(AFTER_TWO).is_ok());
    }

    #[test]
    fn without_settings_it_never_opens() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            let asking = breaker.ask(None).unwrap();
            asking.settle(Some(Reason::UpstreamTimeout));
        }
        assert!(breaker.ask(None).is_ok());
    }
}
