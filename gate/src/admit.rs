//! From a request to a verdict: the one path that tests, tools and the sidecar share.

mod bucket;
mod facts;
mod listen;
mod own;
mod permit;
mod protocol;
mod surface;
mod task;
pub(crate) mod tools;

use latchkey_engine::{
    call::{Arguments, Call, Operation, Scopes},
    decide::discover,
    decision::Visibility,
    id::{ServerId, SurfaceId},
    overlay::Overlay,
    reason::Reason,
    time::Time,
};

pub use facts::{Facts, SlotFact, SlotValue, Who};
pub use permit::{Body, Charge, Permit};

use crate::{
    bridge,
    classify::{self, Message, Refused, What},
    gate::Gate,
    identity::Identity,
    inbound::Inbound,
    passage,
    seal::Sealer,
    session::Bond,
    wire::{Refusal, Reply},
};

/// What becomes of a request, and all that is known of it.
#[derive(Debug)]
pub struct Verdict {
    /// Forward or refuse.
    pub outcome: Outcome,
    /// What the audit event says.
    pub facts: Facts,
}

/// Forward or refuse.
#[derive(Debug)]
pub enum Outcome {
    /// It may go on, as the permit says.
    Forward(Permit),
    /// It may not; this is the answer.
    Refuse(Refusal),
}

/// Decides one request by policy alone: sessions and other handles are not looked at. `identity` is
/// `None` for a request that carries no token; a token that is present and bad goes to [`refuse`].
#[must_use]
pub fn admit(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
) -> Verdict {
    Stage::new(gate, overlay, inbound, identity, now).run()
}

/// The same as [`admit`] for who stands between caller and server: the handles that the request
/// names must be its caller's own, and the permit says what they are called by the server.
#[must_use]
pub fn admit_bound(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
    sealer: &Sealer,
) -> Verdict {
    let stage = Stage {
        sealer: Some(sealer),
        ..Stage::new(gate, overlay, inbound, identity, now)
    };
    stage.run()
}

/// The same as [`admit_bound`] for a request that was forwarded before and whose answer still runs:
/// that the state of its call has grown old meanwhile does not end it.
#[must_use]
pub fn admit_again(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
    sealer: &Sealer,
) -> Verdict {
    let stage = Stage {
        sealer: Some(sealer),
        again: true,
        ..Stage::new(gate, overlay, inbound, identity, now)
    };
    stage.run()
}

/// The same as [`admit`], and the facts name every granting binding and every near miss: for
/// `test`, `eval` and `explain`.
#[must_use]
pub fn admit_explained(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
) -> Verdict {
    let stage = Stage {
        explain: true,
        ..Stage::new(gate, overlay, inbound, identity, now)
    };
    stage.run()
}

/// Refuses a request for a reason found outside: a bad token, a body over the limit (give what was
/// read of it), a listener's rule. The answer still fits the request: its protocol and its id.
/// A request that is malformed besides is refused as that, as [`admit`] would.
#[must_use]
pub fn refuse(gate: &Gate, inbound: &Inbound<'_>, reason: Reason) -> Verdict {
    let mut facts = Facts::of(gate, inbound, None);
    facts.reason = reason;
    facts.failed.push(reason);
    // A body that is cut off or over the limit is no message.
    let readable = reason > Reason::PolicyUnavailable;
    let reply = if readable {
        let parsed = classify::parse(gate, inbound);
        let asked = parsed.and_then(|message| {
            let asked = classify::classify(gate, inbound, &message)?;
            Ok((asked.method, asked.path, asked.protocol, asked.reply))
        });
        match asked {
            Ok((method, path, protocol, reply)) => {
                (facts.method, facts.path, facts.protocol) = (method, path, protocol);
                reply
            }
            Err(refused) => return malformed(facts, refused),
        }
    } else {
        classify::blank_reply(gate, inbound.server)
    };
    Verdict {
        outcome: Outcome::Refuse(Refusal::plain(reason, reply)),
        facts,
    }
}

/// A request that is refused before it is classified.
fn malformed(mut facts: Facts, refused: Refused) -> Verdict {
    let reason = refused.fault.reason();
    facts.reason = reason;
    facts.failed = vec![reason];
    facts.detail = Some(refused.fault.to_string());
    Verdict {
        outcome: Outcome::Refuse(Refusal::malformed(refused.fault, refused.reply)),
        facts,
    }
}

/// All that the stages share.
struct Stage<'a> {
    gate: &'a Gate,
    overlay: &'a Overlay,
    inbound: &'a Inbound<'a>,
    identity: Option<&'a Identity>,
    now: Time,
    explain: bool,
    /// What the caller's handles are sealed with, where they are.
    sealer: Option<&'a Sealer>,
    /// Whether it was forwarded before.
    again: bool,
}

impl<'a> Stage<'a> {
    fn new(
        gate: &'a Gate,
        overlay: &'a Overlay,
        inbound: &'a Inbound<'a>,
        identity: Option<&'a Identity>,
        now: Time,
    ) -> Self {
        Self {
            gate,
            overlay,
            inbound,
            identity,
            now,
            explain: false,
            sealer: None,
            again: false,
        }
    }
}

impl Stage<'_> {
    /// `parse -> classify`, then by what is asked for:
    /// `bind -> validate -> decide` for a surface, and on a refusal `coarse`, which settles what
    /// the caller is told.
    fn run(&self) -> Verdict {
        let mut facts = Facts::of(self.gate, self.inbound, self.identity);
        let message = match classify::parse(self.gate, self.inbound) {
            Ok(message) => message,
            Err(refused) => return malformed(facts, refused),
        };
        let asked = match classify::classify(self.gate, self.inbound, &message) {
            Ok(asked) => asked,
            Err(refused) => return malformed(facts, refused),
        };
        facts.traceparent = message.traceparent();
        facts.method = asked.method;
        facts.path = asked.path;
        facts.protocol = asked.protocol;
        if let Reply::Rpc { id, .. } = &asked.reply {
            facts.rpc_id.clone_from(id);
        }
        let mut bond = match self.bond(&asked.reply) {
            Ok(bond) => bond,
            Err(reason) => return Self::unbound(facts, asked.reply, reason),
        };
        let modern = matches!(asked.reply, Reply::Rpc { modern: true, .. });
        let called = match &asked.what {
            What::Surface(surface, _) => Some(*surface),
            _ => None,
        };
        let mut verdict = match asked.what {
            What::Surface(surface, source) => self.surface(facts, asked.reply, surface, &source),
            What::Protocol(kind) => self.protocol(facts, asked.reply, kind),
            What::Answer(id) => self.answer(facts, asked.reply, bond.as_ref(), id),
            What::Note(note, params) => self.note(facts, asked.reply, bond.as_ref(), note, params),
            What::Listen(wanted) => self.listen(facts, asked.reply, bond.as_mut(), wanted),
            What::Task(id) => self.task(facts, asked.reply, bond.as_mut(), id),
            What::Tools => self.tools(facts, asked.reply),
            What::Completion(surface) => self.completion(facts, asked.reply, surface),
            What::Unmatched { surface } => self.unmatched(facts, asked.reply, surface),
        };
        if let Some(reason) = self.pass_unread(called, &mut verdict.outcome) {
            return Self::withdrawn(verdict, reason);
        }
        if let Outcome::Forward(permit) = &mut verdict.outcome {
            if let Message::Rpc(document) = &message {
                match self.within_rules(document, bond.as_ref(), permit) {
                    Ok(None) => {}
                    Ok(Some(body)) => permit.rewrite(body),
                    Err(reason) => return Self::withdrawn(verdict, reason),
                }
            }
            if self.sealer.is_some() && matches!(message, Message::Rpc(_)) {
                bridge::cross(
                    self.gate,
                    self.inbound.server,
                    permit,
                    self.inbound.body,
                    modern,
                );
            }
            if let Some(bond) = bond {
                permit.bind(bond);
            }
        }
        verdict
    }

    /// What the handles of an MCP exchange are bound to; none where they are not looked at.
    fn bond(&self, reply: &Reply) -> Result<Option<Bond>, Reason> {
        let (Some(sealer), Reply::Rpc { modern, .. }) = (self.sealer, reply) else {
            return Ok(None);
        };
        let header = |name| {
            self.inbound
                .header(name)
                .map_err(|_| Reason::SessionUnknown)
        };
        let bond = Bond::new(self.gate, self.inbound.server, self.identity, *modern);
        let Some(session) = header("mcp-session-id")? else {
            return Ok(Some(bond));
        };
        let event = header("last-event-id")?.filter(|_| self.inbound.method == "GET");
        let bond = bond.within(sealer, session, event);
        bond.map(Some).ok_or(Reason::SessionUnknown)
    }

    /// A handle that was not given to this caller; nothing else is said of it.
    fn unbound(facts: Facts, reply: Reply, reason: Reason) -> Verdict {
        Self::told(facts, Refusal::plain(reason, reply))
    }

    /// Says what of an allowed request may pass unread; a reason where it asks for more.
    fn pass_unread(&self, called: Option<SurfaceId>, outcome: &mut Outcome) -> Option<Reason> {
        let Outcome::Forward(permit) = outcome else {
            return None;
        };
        let settings = called.and_then(|surface| self.gate.surface_settings(surface));
        if settings.is_some_and(|it| it.body.is_some()) {
            permit.stream();
        }
        if passage::asks_for_web_socket(self.inbound) {
            let may = settings.is_some_and(|it| it.web_socket) && self.inbound.body.is_empty();
            if !may {
                return Some(Reason::UpgradeDenied);
            }
            permit.tunnel();
        }
        None
    }

    /// An allowed request that asks for something besides that it may not have.
    fn withdrawn(verdict: Verdict, reason: Reason) -> Verdict {
        match verdict.outcome {
            Outcome::Forward(permit) => Self::told(verdict.facts, permit.refusal(reason)),
            Outcome::Refuse(_) => verdict,
        }
    }

    fn told(mut facts: Facts, refusal: Refusal) -> Verdict {
        facts.reason = refusal.reason();
        facts.failed = vec![facts.reason];
        Verdict {
            outcome: Outcome::Refuse(refusal),
            facts,
        }
    }

    /// A call of which nothing is known but who makes it.
    fn blank_call(&self, surface: Option<SurfaceId>) -> Call<'_> {
        Call {
            callers: self.identity.map_or(&[], Identity::callers),
            surface,
            operation: Operation::Any,
            scopes: Scopes::Any,
            arguments: Arguments::Unknown,
            address: self.inbound.peer,
            token_permissions: self.identity.and_then(Identity::permissions),
            token_id: self.identity.and_then(Identity::token_id),
            now: self.now,
        }
    }

    /// The coarse stage: whether any call of this surface by this caller could be allowed.
    fn coarse(&self, surface: SurfaceId) -> Visibility {
        let call = self.blank_call(Some(surface));
        discover(self.gate.policy(), self.overlay, &call)
    }

    /// A refusal by decision, told as the server discloses.
    fn refused(&self, facts: Facts, surface: bool, reply: Reply) -> Verdict {
        let server = self.gate.policy().server_entry(self.inbound.server);
        let disclose = server.map(|server| server.disclose).unwrap_or_default();
        Verdict {
            outcome: Outcome::Refuse(Refusal::decided(&facts, disclose, surface, reply)),
            facts,
        }
    }
}

/// Whether a caller sees a surface: what lists are filtered by.
pub(crate) fn visibility(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    surface: SurfaceId,
) -> Visibility {
    let inbound = Inbound {
        server: ServerId(0),
        method: "",
        target: "",
        headers: &[],
        body: &[],
        peer: None,
    };
    Stage::new(gate, overlay, &inbound, identity, now).coarse(surface)
}

#[cfg(test)]
mod tests;
