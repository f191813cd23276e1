//! The way to a child, for a request that has a permit.

use std::time::Instant;

use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::{Body, Permit},
    identity::Identity,
    wire::Refusal,
};

use super::{launch::Launch, server::Call};
use crate::{
    arriving::Arriving,
    run::Worker,
    upstream::{Inflow, Outbound},
};

/// Sends one request, once, to the server that is started so. Consumes the permit: a second sending
/// needs a second decision.
pub async fn send(
    worker: &Worker,
    launch: &Launch,
    permit: Permit,
    outbound: Outbound<'_>,
    identity: Option<&Identity>,
) -> Result<Inflow, Refusal> {
    let Some(server) = worker.shared.children.server(launch) else {
        return Err(permit.refusal(Reason::UpstreamUnavailable));
    };
    let body = match permit.body() {
        Body::Original => outbound.body,
        Body::Rewritten(bytes) => bytes.to_vec().into(),
    };
    let started = Instant::now();
    let call = Call {
        method: outbound.method,
        headers: &outbound.headers,
        body,
        caller: identity.map_or([0; 32], Identity::caller),
    };
    match server.send(call).await {
        Ok(response) => Ok(Inflow {
            response: response.map(Arriving::Child),
            filter: permit.filter(),
            asked: outbound.headers,
            waited: started.elapsed(),
        }),
        Err(reason) => Err(permit.refusal(reason)),
    }
}
