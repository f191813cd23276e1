//! Limits that several sidecars count together, and what holds while they cannot.

use std::sync::Arc;

use latchkey_engine::index::Obligation;
use latchkey_gate::{
    admit::Charge,
    settings::{OnLoss, ServerSettings},
};

use super::{Counted, Limits, NEXT_PLACE, Throttled};
use crate::store::{Lost, Store};

impl Limits {
    /// Counts a call in all of its buckets, or in none: in the store where the server's sidecars
    /// share one, and else here.
    pub async fn count(
        self: &Arc<Self>,
        store: Option<&Arc<Store>>,
        settings: Option<&ServerSettings>,
        charges: &[Charge],
    ) -> Result<Counted, Throttled> {
        let Some(settings) = settings.filter(|it| it.shared_store) else {
            return self.take(charges);
        };
        let Some(store) = store else {
            return self.without_store(settings, charges);
        };
        // Boxed: calls without shared limits have no room for it to pay for.
        match Box::pin(store.take(charges, settings.sharing)).await {
            Ok(taken) => taken.map(|(place, left)| {
                let mut counted = Counted::default();
                counted.held.shared = place;
                counted.told.extend(left);
                counted
            }),
            Err(Lost) => self.without_store(settings, charges),
        }
    }

    /// Every limit that is not to be counted alone refuses; of the others each sidecar has its
    /// share.
    fn without_store(
        self: &Arc<Self>,
        settings: &ServerSettings,
        charges: &[Charge],
    ) -> Result<Counted, Throttled> {
        let loss = settings.on_store_loss;
        let refuses = |charge: &&Charge| {
            let on_loss = match charge.obligation {
                Obligation::Rate { .. } => loss.rate,
                Obligation::Concurrency { .. } => loss.concurrency,
            };
            on_loss == OnLoss::Deny
        };
        if let Some(charge) = charges.iter().find(refuses) {
            return Err(Throttled {
                retry_after: NEXT_PLACE,
                limit: charge.obligation,
                lost: true,
            });
        }
        let sidecars = settings.replicas.max(1);
        let shares: Vec<Charge> = charges.iter().map(|it| share(it, sidecars)).collect();
        self.take(&shares)
    }
}

/// One sidecar's share of a limit: rounded down, so that all of them together keep to it.
fn share(charge: &Charge, sidecars: u32) -> Charge {
    let mut charge = charge.clone();
    let (Obligation::Rate { count, .. } | Obligation::Concurrency { count, .. }) =
        &mut charge.obligation;
    *count /= sidecars;
    charge
}
