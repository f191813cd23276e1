//! One decision for somebody else's enforcement, and its event.

use std::sync::Arc;

use hyper::StatusCode;
use latchkey_engine::{
    call::{Arguments, Call, Operation, Scopes},
    decide::discover,
    decision::Visibility,
    id::SurfaceId,
    index::Obligation,
    reason::Reason,
    time::Time,
};
use latchkey_gate::{
    admit::{Body, Charge, Facts, Outcome, Permit},
    call::{self, Stated},
    event::EventOutcome,
    identity::Identity,
};
use serde_json::Value;
use tokio::time::Instant;

use super::Point;
use crate::{
    answer::now, audit::AuditUnavailable, exchange::Exchange, meter::Meter, pins, supply::Active,
};

/// What is asked, once it is read.
#[derive(Debug)]
pub(super) enum Question {
    /// A call, in the words of `latchkey eval`.
    Call(Box<Stated>),
    /// A route by its template, of whose parameters nothing is known.
    Template(SurfaceId, Box<Stated>),
    /// One that is refused before there is a call.
    Refused(Reason, String),
}

/// A decision that is recorded.
#[derive(Debug)]
pub(super) struct Decided {
    /// All that is known.
    pub(super) facts: Facts,
    /// After how many seconds another try makes sense.
    pub(super) retry_after: Option<u32>,
    /// The id of the event.
    pub(super) event: String,
}

impl Decided {
    pub(super) fn is_allow(&self) -> bool {
        self.facts.is_allow()
    }
}

impl Point {
    /// Decides and records. `door` is what the event has as its path; `until` is how long a call
    /// waits for the definition of its tool.
    pub(super) async fn decide(
        &self,
        door: &str,
        traceparent: Option<&str>,
        until: Instant,
        ask: impl FnOnce(&Active, Time) -> Question,
    ) -> Result<Decided, AuditUnavailable> {
        let mut exchange = self.open(traceparent);
        let mut retry_after = None;
        match self.policy() {
            None => exchange.facts = Facts::blank(Reason::PolicyUnavailable),
            Some((active, now)) => {
                exchange.under(&active);
                let question = ask(&active, now);
                let (facts, permit) = self.weigh(&active, now, &question);
                exchange.facts = facts;
                if let Some(permit) = permit {
                    let facts = &mut exchange.facts;
                    retry_after = self.charge(&active, &permit, until, facts).await;
                }
            }
        }
        door.clone_into(&mut exchange.facts.path);
        close(exchange, retry_after)
    }

    /// What a call would be answered, without an event and without counting it.
    pub(super) fn weigh(
        &self,
        active: &Active,
        now: Time,
        question: &Question,
    ) -> (Facts, Option<Permit>) {
        let overlay = self.shared.overlay();
        let stated = match question {
            Question::Refused(reason, detail) => return (refused(*reason, detail), None),
            Question::Template(surface, stated) => {
                return (self.whole(active, now, *surface, stated), None);
            }
            Question::Call(stated) => stated,
        };
        let verdict = match call::verdict(&active.gate, &overlay, stated) {
            Ok(verdict) => verdict,
            Err(error) => return (refused(Reason::MalformedRequest, &error.to_string()), None),
        };
        let mut facts = verdict.facts;
        match verdict.outcome {
            Outcome::Refuse(_) => (facts, None),
            Outcome::Forward(permit) if has_forced_values(&permit, stated) => (facts, Some(permit)),
            Outcome::Forward(_) => {
                facts.reason = Reason::ScopeInvalid;
                facts.failed.push(Reason::ScopeInvalid);
                facts.detail =
                    Some("the policy forces an argument: the call must carry its value".to_owned());
                (facts, None)
            }
        }
    }

    /// Whether every call of a surface by this caller is allowed.
    fn whole(&self, active: &Active, now: Time, surface: SurfaceId, stated: &Stated) -> Facts {
        let policy = active.gate.policy();
        let identity = match call::identity(&active.gate, stated) {
            Ok(Ok(identity)) => identity,
            Ok(Err(reason)) => return refused(reason, reason.title()),
            Err(error) => return refused(Reason::MalformedRequest, &error.to_string()),
        };
        let reason = match self.visibility(active, now, surface, identity.as_ref()) {
            Visibility::Always => Reason::Ok,
            Visibility::Maybe => Reason::SchemaViolation,
            Visibility::Never => Reason::NoPermission,
        };
        let mut facts = Facts::blank(reason);
        facts.server = policy
            .server_entry(active.server)
            .map(|server| server.name.clone())
            .unwrap_or_default();
        facts.method = stated.method.clone().unwrap_or_default();
        facts.surface = Some(policy.surface_name(surface));
        if let Some(identity) = &identity {
            facts.who = Arc::clone(identity.who());
        }
        if reason == Reason::SchemaViolation {
            let what = "the decision depends on the values: ask with the path itself";
            facts.detail = Some(what.to_owned());
        }
        facts
            .failed
            .extend((reason != Reason::Ok).then_some(reason));
        facts
    }

    /// Whether a caller may ever call a surface.
    pub(super) fn visibility(
        &self,
        active: &Active,
        now: Time,
        surface: SurfaceId,
        identity: Option<&Identity>,
    ) -> Visibility {
        let call = Call {
            callers: identity.map_or(&[], Identity::callers),
            surface: Some(surface),
            operation: Operation::Any,
            scopes: Scopes::Any,
            arguments: Arguments::Unknown,
            address: None,
            token_permissions: identity.and_then(Identity::permissions),
            token_id: identity.and_then(Identity::token_id),
            now,
        };
        discover(active.gate.policy(), &self.shared.overlay(), &call)
    }

    /// The policy that a decision is taken under, if one may be.
    pub(super) fn policy(&self) -> Option<(Arc<Active>, Time)> {
        let active = self.shared.active()?;
        let now = now();
        let usable = !self.shared.is_over(&active, now) && self.shared.overlay_is_known();
        usable.then_some((active, now))
    }

    /// Compares an allowed call with its pin and counts it against its limits, as if it were passed
    /// on here, and says in the facts what becomes of it. How many calls run at a time only who is
    /// in their way can count.
    pub(super) async fn charge(
        &self,
        active: &Active,
        permit: &Permit,
        until: Instant,
        facts: &mut Facts,
    ) -> Option<u32> {
        if permit.tunnels() {
            facts.reason = Reason::UpgradeDenied;
            let what = "a WebSocket is decided again while it lasts, by the sidecar in its way";
            facts.detail = Some(what.to_owned());
            return None;
        }
        let charges = permit.obligations();
        let uncounted = |charge: &Charge| !matches!(charge.obligation, Obligation::Rate { .. });
        if charges.iter().any(uncounted) {
            facts.reason = Reason::RateLimited;
            let what = "a limit of calls at a time holds only with the sidecar in their way";
            facts.detail = Some(what.to_owned());
            return None;
        }
        let shared = &self.shared;
        let held = pins::hold_until(shared, active, facts, until).await;
        if held.is_err() || charges.is_empty() {
            return None;
        }
        let settings = active.gate.server_settings(active.server);
        let counted = shared
            .limits
            .count(shared.store.as_ref(), settings, charges);
        match counted.await {
            Ok(_) => {
                facts.reason = Reason::Ok;
                None
            }
            Err(throttled) => {
                facts.reason = Reason::RateLimited;
                facts.detail = Some(throttled.detail());
                Some(throttled.seconds())
            }
        }
    }

    /// Begins the event of one decision.
    pub(super) fn open(&self, traceparent: Option<&str>) -> Box<Exchange> {
        let meter = Arc::new(Meter::default());
        Exchange::open(Arc::clone(&self.shared), meter, traceparent)
    }

    /// Records a request that no decision was taken on.
    pub(super) fn note_refusal(
        &self,
        reason: Reason,
        what: &str,
        status: StatusCode,
    ) -> Result<(), AuditUnavailable> {
        let mut exchange = self.open(None);
        exchange.facts = refused(reason, what);
        exchange.status = status.as_u16();
        exchange.close(EventOutcome::ClientError)
    }
}

/// Records a decision before it is told.
pub(super) fn close(
    mut exchange: Box<Exchange>,
    retry_after: Option<u32>,
) -> Result<Decided, AuditUnavailable> {
    exchange.status = 200;
    let outcome = if exchange.facts.is_allow() {
        EventOutcome::Success
    } else {
        EventOutcome::Denied
    };
    exchange.close(outcome)?;
    Ok(Decided {
        event: exchange.request_id().to_owned(),
        facts: exchange.facts.clone(),
        retry_after,
    })
}

fn refused(reason: Reason, detail: &str) -> Facts {
    let mut facts = Facts::blank(reason);
    facts.failed.push(reason);
    facts.detail = Some(detail.to_owned());
    facts
}

/// Whether the values that the policy forces are in the call already: who asks cannot be made to
/// put them there.
fn has_forced_values(permit: &Permit, stated: &Stated) -> bool {
    let Body::Rewritten(bytes) = permit.body() else {
        return true;
    };
    let Ok(rewritten) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    let (sent, forced) = match &stated.body {
        Some(body) => (Some(body), Some(&rewritten)),
        None => (
            stated.arguments.as_ref(),
            rewritten.pointer("/params/arguments"),
        ),
    };
    let sent = sent.and_then(|sent| serde_json::from_str::<Value>(sent.get()).ok());
    sent.is_some() && sent.as_ref() == forced
}
