//! Limits on calls: how many in a window, and how many at a time.
//!
//! The buckets come with the permit and are named, so that what is used up outlives a swap of the
//! bundle. A call is let through by all of its limits or counted by none.

mod header;
mod places;
mod rates;
mod shared;

use std::{sync::Arc, time::Duration};

use latchkey_engine::index::{Obligation, Pool, Reach};
use latchkey_gate::{admit::Charge, call::obligation_text};

pub use header::Told;
pub(crate) use header::seconds_up;
use places::Places;
use rates::Rates;

use crate::store::Place;

/// All that is counted in this process.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    places: Places,
}

/// A call that all of its limits let through.
#[derive(Debug, Default)]
pub struct Counted {
    /// Its places, for as long as it lasts.
    pub held: Held,
    /// What its caller is told of its rates.
    pub told: Told,
}

/// A call's places among those that are allowed at a time; dropping it gives them back.
#[derive(Debug, Default)]
pub struct Held {
    limits: Option<Arc<Limits>>,
    places: Vec<u64>,
    shared: Option<Place>,
}

/// A call came too early, or beside too many others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// When the next call may be tried.
    pub retry_after: Duration,
    /// The limit that refused.
    pub limit: Obligation,
    /// Whether the store that it is counted in did not answer.
    pub lost: bool,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: Obligation,
    /// How many more calls would be let through now.
    pub calls: u32,
    /// When all of it is there again.
    pub full_in: Duration,
}

/// When to try again where places come back as calls end, which nobody can know.
const NEXT_PLACE: Duration = Duration::from_secs(1);

impl Limits {
    /// Nothing used yet. Beyond about `most` buckets of each kind, those of one limit share one
    /// until some are forgotten, so that memory is bounded and a flood of names buys nothing.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            rates: Rates::new(most),
            places: Places::new(most),
        }
    }

    /// Counts a call in all of its buckets, or in none.
    pub fn take(self: &Arc<Self>, charges: &[Charge]) -> Result<Counted, Throttled> {
        let mut counted = Counted::default();
        for (at, charge) in charges.iter().enumerate() {
            match self.take_one(charge, &mut counted.held) {
                Ok(left) => counted.told.extend(left),
                Err(throttled) => {
                    for taken in charges.get(..at).unwrap_or_default() {
                        self.rates.give_back(taken);
                    }
                    return Err(throttled);
                }
            }
        }
        Ok(counted)
    }

    /// Forgets buckets that are full again. Call from time to time.
    pub fn forget_idle(&self) {
        self.rates.forget_idle();
    }

    fn take_one(
        self: &Arc<Self>,
        charge: &Charge,
        held: &mut Held,
    ) -> Result<Option<Left>, Throttled> {
        let limit = charge.obligation;
        match limit {
            Obligation::Rate { .. } => self.rates.take(charge).map(Some),
            Obligation::Concurrency { count, .. } => {
                let place = self.places.take(charge, count).ok_or(Throttled {
                    retry_after: NEXT_PLACE,
                    limit,
                    lost: false,
                })?;
                held.limits = Some(Arc::clone(self));
                held.places.push(place);
                Ok(None)
            }
        }
    }
}

/// What a stream of a caller is counted by.
pub(crate) fn stream(most: u32, caller: Option<&str>) -> Charge {
    Charge {
        obligation: Obligation::Concurrency {
            pool: Pool::Caller,
            reach: Reach::Server,
            count: most,
        },
        key: [caller.unwrap_or("anonymous"), " streams"].concat(),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(limits) = &self.limits {
            for place in &self.places {
                limits.places.give_back(*place);
            }
        }
    }
}

impl Throttled {
    /// The limit for people and audit: `rate server team 300/m`.
    #[must_use]
    pub fn detail(&self) -> String {
        let (kind, text) = obligation_text(self.limit);
        let lost = if self.lost {
            ": the shared store does not answer"
        } else {
            ""
        };
        [kind, " ", &text, lost].concat()
    }
}

/// The name of a limit's pool as one word.
fn pool_word(pool: Pool, reach: Reach) -> &'static str {
    match (pool, reach) {
        (Pool::Caller, _) => "caller",
        (Pool::Team, _) => "team",
        (Pool::Organization, _) => "organization",
        (Pool::Source, _) => "source",
        (Pool::Everyone, Reach::Surface) => "surface",
        (Pool::Everyone, Reach::Server) => "server",
    }
}

#[cfg(test)]
mod tests;
