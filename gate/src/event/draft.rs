//! The event of a request as text, written once: first as its intent, then with its end put in.
//!
//! The text is byte for byte that of [`Event`], whose serializer would need a copy of every fact;
//! a test compares the two.

use std::{collections::BTreeMap, net::IpAddr, ops::Range};

use latchkey_engine::reason::Reason;

use super::{EventOutcome, Exchanged, SCHEMA_VERSION, digest, severity};
use crate::{
    admit::{Facts, SlotFact, SlotValue},
    json::plain_until,
};

#[cfg(doc)]
use super::Event;

/// The event of a request, whose end can still be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The JSON object up to its `detail`, which is the last member.
    text: String,
    /// Where the outcome stands.
    outcome: Range<usize>,
    /// Where the status stands, and the numbers that follow it.
    numbers: Range<usize>,
    event_id: String,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// In a word.
    pub outcome: EventOutcome,
    /// The HTTP status that the client got; 0 when it got none.
    pub status: u16,
    /// From the first byte in to the last byte out, in microseconds.
    pub latency_us: u64,
    /// Of that, waiting for the tool server.
    pub upstream_latency_us: u64,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// What else there is to say.
    pub detail: Option<&'a str>,
}

/// An event as text that lacks nothing but its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsealed {
    /// The JSON object without its closing brace.
    pub(super) text: String,
}

/// A key as it is written, which needs no escapes.
macro_rules! key {
    ($name:literal) => {
        concat!("\"", $name, "\":")
    };
}

impl Draft {
    /// Writes the event of one request, as [`Event::request`] states it.
    #[must_use]
    pub fn request(facts: &Facts, exchanged: &Exchanged<'_>) -> Self {
        let mut out = Object::with_capacity(1536);
        heading(&mut out, facts, exchanged);
        decision(&mut out, facts, exchanged);
        let start = out.key(key!("outcome"));
        out.text.push_str(outcome_text(exchanged.outcome));
        let outcome = start..out.text.len();
        out.word(key!("reason"), facts.reason.as_str());
        out.maybe(key!("rule_id"), facts.rule.as_deref());
        out.word(key!("severity"), severity(facts));
        if let Some(activation) = &facts.activation {
            out.open(key!("break_glass"), '{');
            out.word(key!("activation_id"), activation);
            out.text.push('}');
        }
        out.comma();
        let start = out.text.len();
        let ending = Ending::of(facts, exchanged);
        ending.write_numbers(&mut out.text);
        let numbers = start..out.text.len();
        if let Some(address) = facts.address {
            out.key(key!("source_ip"));
            push_address(&mut out.text, address);
        }
        out.word(key!("bundle_digest"), exchanged.bundle_digest);
        out.maybe(key!("source_commit"), exchanged.source_commit);
        out.word(key!("sidecar_id"), exchanged.sidecar_id);
        out.word(key!("sidecar_version"), exchanged.sidecar_version);
        Self {
            text: out.text,
            outcome,
            numbers,
            event_id: exchanged.event_id.to_owned(),
        }
    }

    /// The id of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// Appends the event to a text as it stands if nobody sees its end: a whole JSON object.
    pub fn write_intent(&self, out: &mut String, detail: &str) {
        out.push_str(&self.text);
        out.push_str(",\"detail\":");
        push_text(out, detail);
        out.push('}');
    }

    /// The event with its end.
    #[must_use]
    pub fn ended(&self, ending: &Ending<'_>) -> Unsealed {
        let part = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        // What sealing appends fits in, too.
        let mut text = String::with_capacity(self.text.len() + 256);
        text.push_str(part(0..self.outcome.start));
        text.push_str(outcome_text(ending.outcome));
        text.push_str(part(self.outcome.end..self.numbers.start));
        ending.write_numbers(&mut text);
        text.push_str(part(self.numbers.end..self.text.len()));
        if let Some(detail) = ending.detail {
            text.push_str(",\"detail\":");
            push_text(&mut text, detail);
        }
        Unsealed { text }
    }
}

impl<'a> Ending<'a> {
    /// The end that is known already.
    #[must_use]
    pub fn of(facts: &'a Facts, exchanged: &Exchanged<'_>) -> Self {
        Self {
            outcome: exchanged.outcome,
            status: exchanged.status,
            latency_us: exchanged.latency_us,
            upstream_latency_us: exchanged.upstream_latency_us,
            bytes_in: exchanged.bytes_in,
            bytes_out: exchanged.bytes_out,
            detail: facts.detail.as_deref(),
        }
    }

    fn write_numbers(&self, out: &mut String) {
        out.push_str("\"status\":");
        push_number(out, u64::from(self.status));
        out.push_str(",\"latency_us\":");
        push_number(out, self.latency_us);
        out.push_str(",\"upstream_latency_us\":");
        push_number(out, self.upstream_latency_us);
        out.push_str(",\"bytes_in\":");
        push_number(out, self.bytes_in);
        out.push_str(",\"bytes_out\":");
        push_number(out, self.bytes_out);
    }
}

/// Which request it is, who makes it, and of what.
fn heading(out: &mut Object, facts: &Facts, exchanged: &Exchanged<'_>) {
    let who = &facts.who;
    let (actor, principal) = (who.callers.first(), who.callers.last());
    out.key(key!("schema_version"));
    push_number(&mut out.text, u64::from(SCHEMA_VERSION));
    out.word(key!("event_id"), exchanged.event_id);
    out.word(key!("event_time"), exchanged.event_time);
    out.word(key!("event_type"), "request");
    out.word(key!("request_id"), exchanged.request_id);
    out.word(key!("trace_id"), exchanged.trace_id);
    out.word(key!("span_id"), exchanged.span_id);
    out.word(key!("principal_id"), principal.map_or("anonymous", |it| it));
    let actor = actor.filter(|_| who.callers.len() > 1);
    out.maybe(key!("actor_id"), actor.map(String::as_str));
    out.word(key!("principal_type"), who.principal_type);
    out.maybe(key!("tenant_id"), who.organization.as_deref());
    out.maybe(key!("team"), who.team.as_deref());
    out.words(key!("scope"), facts.scopes.iter().map(String::as_str));
    out.words(key!("groups"), who.groups.iter().map(String::as_str));
    out.maybe(key!("issuer"), who.issuer.as_deref());
    out.maybe(key!("jti"), who.token_id.as_deref());
    out.word(key!("server"), &facts.server);
    out.word(key!("method"), &facts.method);
    out.word(key!("path_template"), &facts.path);
    out.maybe(key!("surface_id"), facts.surface.as_deref());
    out.maybe(key!("op"), facts.operation.as_deref());
    out.maybe(key!("risk"), facts.risk);
    let permissions = facts.permissions.iter().map(String::as_str);
    out.words(key!("required_permissions"), permissions);
}

/// What was decided, and from what.
fn decision(out: &mut Object, facts: &Facts, exchanged: &Exchanged<'_>) {
    out.open(key!("authz"), '{');
    out.open(key!("input"), '{');
    out.words(key!("chain"), facts.who.callers.iter().map(String::as_str));
    out.maybe(key!("protocol"), facts.protocol.as_deref());
    out.open(key!("slots"), '{');
    slots(out, facts, exchanged);
    out.text.push_str("}}");
    out.open(key!("output"), '{');
    out.words(
        key!("granted_by"),
        facts.granted_by.iter().map(String::as_str),
    );
    out.words(key!("matched"), facts.matched.iter().map(String::as_str));
    out.words(
        key!("failed"),
        facts.failed.iter().map(|it| Reason::as_str(*it)),
    );
    out.open(key!("missed"), '{');
    // Most often there are none, and a map costs more than a look.
    if !facts.missed.is_empty() {
        let missed: BTreeMap<&str, &str> = facts
            .missed
            .iter()
            .map(|(name, why)| (name.as_str(), *why))
            .collect();
        for (name, why) in missed {
            out.name(name);
            push_text(&mut out.text, why);
        }
    }
    out.text.push('}');
    let undetermined = facts.undetermined.iter().map(String::as_str);
    out.words(key!("undetermined"), undetermined);
    out.text.push_str("}}");
    out.word(
        key!("decision"),
        if facts.is_allow() { "allow" } else { "deny" },
    );
}

fn slots(out: &mut Object, facts: &Facts, exchanged: &Exchanged<'_>) {
    if facts.slots.is_empty() {
        return;
    }
    let mut sorted: Vec<&SlotFact> = facts.slots.iter().collect();
    sorted.sort_unstable_by_key(|slot| &*slot.attribute);
    for slot in sorted {
        out.name(&slot.attribute);
        match &slot.value {
            SlotValue::Absent => push_text(&mut out.text, "absent"),
            SlotValue::Value(text) => {
                out.text.push('{');
                out.word(key!("value"), text);
                out.text.push('}');
            }
            SlotValue::Digest(text) => {
                out.text.push('{');
                out.word(key!("digest"), &digest(exchanged.digest_key, text));
                out.text.push('}');
            }
        }
    }
}

fn outcome_text(outcome: EventOutcome) -> &'static str {
    match outcome {
        EventOutcome::Success => "\"success\"",
        EventOutcome::Denied => "\"denied\"",
        EventOutcome::ClientError => "\"client_error\"",
        EventOutcome::UpstreamError => "\"upstream_error\"",
        EventOutcome::Timeout => "\"timeout\"",
        EventOutcome::Internal => "\"internal\"",
    }
}

/// A JSON object that is being written.
struct Object {
    text: String,
}

impl Object {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text }
    }

    /// Separates the next member from the one before, if there is one.
    fn comma(&mut self) {
        if !matches!(self.text.as_bytes().last(), Some(b'{' | b'[')) {
            self.text.push(',');
        }
    }

    /// Writes the key of a member, and answers where its value starts.
    fn key(&mut self, key: &'static str) -> usize {
        self.comma();
        self.text.push_str(key);
        self.text.len()
    }

    /// Writes a key that is a name.
    fn name(&mut self, name: &str) {
        self.comma();
        push_text(&mut self.text, name);
        self.text.push(':');
    }

    fn open(&mut self, key: &'static str, bracket: char) {
        self.key(key);
        self.text.push(bracket);
    }

    fn word(&mut self, key: &'static str, value: &str) {
        self.key(key);
        push_text(&mut self.text, value);
    }

    fn maybe(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.word(key, value);
        }
    }

    fn words<'a>(&mut self, key: &'static str, values: impl Iterator<Item = &'a str>) {
        self.open(key, '[');
        for value in values {
            self.comma();
            push_text(&mut self.text, value);
        }
        self.text.push(']');
    }
}

/// A JSON string. Most need no escapes, which is cheap to see.
fn push_text(out: &mut String, value: &str) {
    if plain_until(value.as_bytes(), 0) == value.len() {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        // A text can always be written.
        out.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

fn push_address(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            // Formatting costs several times as much.
            for (at, octet) in address.octets().into_iter().enumerate() {
                out.push_str(if at == 0 { "\"" } else { "." });
                push_number(out, u64::from(octet));
            }
            out.push('"');
        }
        IpAddr::V6(address) => push_text(out, &address.to_string()),
    }
}

fn push_number(out: &mut String, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        first = at;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let digits = digits.get(first..).unwrap_or_default();
    out.push_str(std::str::from_utf8(digits).unwrap_or("0"));
}
