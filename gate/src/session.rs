//! Whose handles an exchange may use and gives out.
//!
//! A session belongs to the caller who opened it: issuer, subject, actor chain and audience of the
//! token, at one server. Whoever else names it is answered as for a session that never was.

use latchkey_engine::{id::ServerId, time::Time};
use sha2::{Digest as _, Sha256};

use crate::{
    gate::Gate,
    identity::Identity,
    json::{self, Value},
    seal::{Purpose, Sealer},
    task::Task,
};

/// The longest session id of a server, in bytes.
const MAX_SESSION: usize = 1024;

/// How long a call may wait for input, in seconds.
const STATE_LIFETIME: i64 = 3600;

/// What the handles of one exchange are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    server: String,
    caller: [u8; 32],
    /// As the server named it.
    session: Option<String>,
    /// The event after which a stream is resumed, as the server named it.
    event: Option<String>,
    /// The tasks that the request names.
    tasks: Vec<Task>,
    modern: bool,
}

impl Bond {
    /// The bond of a request without a session.
    pub(crate) fn new(
        gate: &Gate,
        server: ServerId,
        identity: Option<&Identity>,
        modern: bool,
    ) -> Self {
        let server = gate.policy().server_entry(server);
        Self {
            server: server.map(|server| server.name.clone()).unwrap_or_default(),
            caller: identity.map_or([0; 32], Identity::caller),
            session: None,
            event: None,
            tasks: Vec::new(),
            modern,
        }
    }

    /// The same within a session that is named in its sealed form, and after an event of it; `None`
    /// where one of them was not given to this caller.
    pub(crate) fn within(
        mut self,
        sealer: &Sealer,
        session: &str,
        event: Option<&str>,
    ) -> Option<Self> {
        let opened = sealer.open_text(Purpose::Session, &self.owner(), session)?;
        self.session = Some(opened);
        if let Some(event) = event {
            let opened = sealer.open_text(Purpose::Event, &self.place(), event)?;
            self.event = Some(opened);
        }
        Some(self)
    }

    /// The session that the server knows, for the request on its way to it.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The event that the server knows, for the request on its way to it.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The tasks that the request names.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The request names this task of its caller.
    pub(crate) fn name_task(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// Who calls, as a digest.
    pub(crate) fn caller(&self) -> [u8; 32] {
        self.caller
    }

    /// Whether the exchange is of the era that has no sessions.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        self.modern
    }

    /// Takes the session id of an answer, and gives the caller's form of it. `None` where the
    /// caller gets none: the era has none, or it is no id.
    pub fn open_session(&mut self, sealer: &Sealer, named: &[u8]) -> Option<String> {
        let visible = named.iter().all(|byte| (0x21..=0x7e).contains(byte));
        if self.modern || named.is_empty() || named.len() > MAX_SESSION || !visible {
            return None;
        }
        let sealed = sealer.seal(Purpose::Session, &self.owner(), named)?;
        self.session = String::from_utf8(named.to_vec()).ok();
        Some(sealed)
    }

    /// The caller's form of an event's id; `None` where the caller gets none.
    pub(crate) fn seal_event(&self, sealer: &Sealer, event: &[u8]) -> Option<String> {
        if self.modern {
            return None;
        }
        sealer.seal(Purpose::Event, &self.place(), event)
    }

    /// The caller's form of something that belongs to the session.
    pub(crate) fn seal_place(
        &self,
        sealer: &Sealer,
        purpose: Purpose,
        handle: &str,
    ) -> Option<String> {
        sealer.seal(purpose, &self.place(), handle.as_bytes())
    }

    /// What the server calls something that belongs to the session, if this caller was given it.
    pub(crate) fn open_place(
        &self,
        sealer: &Sealer,
        purpose: Purpose,
        sealed: &str,
    ) -> Option<String> {
        sealer.open_text(purpose, &self.place(), sealed)
    }

    /// The caller's form of where a list goes on: servers name entries there that the caller may not
    /// see.
    pub(crate) fn seal_cursor(&self, sealer: &Sealer, cursor: &str) -> Option<String> {
        sealer.seal(Purpose::Cursor, &self.owner(), cursor.as_bytes())
    }

    /// The server's form of it, if this caller was given it.
    pub(crate) fn open_cursor(&self, sealer: &Sealer, cursor: &str) -> Option<String> {
        sealer.open_text(Purpose::Cursor, &self.owner(), cursor)
    }

    /// The caller's form of the state of a call that waits for input: it opens for the same call by
    /// the same caller, for an hour.
    pub(crate) fn seal_state(
        &self,
        sealer: &Sealer,
        call: &[u8; 32],
        state: &str,
        now: Time,
    ) -> Option<String> {
        let ends = now.0.saturating_add(STATE_LIFETIME).to_be_bytes();
        let text = [&ends[..], state.as_bytes()].concat();
        sealer.seal(Purpose::State, &self.waiting(call), &text)
    }

    /// The server's form of such a state, if it is of this call and caller and not too old.
    pub(crate) fn open_state(
        &self,
        sealer: &Sealer,
        call: &[u8; 32],
        sealed: &str,
        now: Time,
    ) -> Option<String> {
        let text = sealer.open(Purpose::State, &self.waiting(call), sealed)?;
        let (ends, state) = text.split_first_chunk()?;
        if i64::from_be_bytes(*ends) <= now.0 {
            return None;
        }
        String::from_utf8(state.to_vec()).ok()
    }

    fn waiting<'b>(&'b self, call: &'b [u8; 32]) -> [&'b [u8]; 3] {
        [self.server.as_bytes(), &self.caller, call]
    }

    /// What a session and a task are bound to.
    pub(crate) fn owner(&self) -> [&[u8]; 2] {
        [self.server.as_bytes(), &self.caller]
    }

    /// What belongs to a session is bound to.
    fn place(&self) -> [&[u8]; 3] {
        let session = self.session.as_deref().unwrap_or_default();
        [self.server.as_bytes(), &self.caller, session.as_bytes()]
    }
}

fn text<'d>(object: Value<'d>, key: &str) -> &'d str {
    object
        .get(key)
        .and_then(|value| value.as_text())
        .unwrap_or_default()
}

/// What makes two requests the same call: method, name or URI, and arguments in canonical form.
pub(crate) fn call(root: Value<'_>) -> Option<[u8; 32]> {
    let params = root.get("params")?;
    let arguments = match params.get("arguments").filter(|value| !value.is_null()) {
        Some(arguments) => {
            serde_json_canonicalizer::to_string(&json::to_value(arguments).ok()?).ok()?
        }
        None => "{}".to_owned(),
    };
    let mut digest = Sha256::new();
    for part in [
        text(root, "method"),
        text(params, "name"),
        text(params, "uri"),
        &arguments,
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    Some(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use latchkey_engine::index::Disclose;

    use super::*;
    use crate::testing::{actor, claims, gate, identity, server};

    fn sealer() -> Sealer {
        Sealer::new(&[[1; 32]]).unwrap()
    }

    #[test]
    fn a_session_is_its_openers() {
        let gate = gate(Disclose::Code);
        let github = server(&gate, "github");
        let bond = |who: Option<&Identity>, server| Bond::new(&gate, server, who, false);
        let alice = identity(&gate, "alice");
        let sealed = bond(Some(&alice), github)
            .open_session(&sealer(), b"s-1")
            .unwrap();
        let named = |bond: Bond| bond.within(&sealer(), &sealed, None);
        let opened = named(bond(Some(&alice), github)).unwrap();
        assert_eq!(opened.session(), Some("s-1"));
        let other = |change: fn(&mut crate::token::Claims)| {
            let mut claims = claims("alice");
            change(&mut claims);
            gate.identity(&claims).unwrap()
        };
        // Another token of the same caller is the same caller.
        let later = other(|it| (it.token_id, it.token_hash) = (Some("t-2".into()), [8; 32]));
        assert!(named(bond(Some(&later), github)).is_some());
        let acted_for = other(|it| it.actors = vec![actor("bot")]);
        let elsewhere = other(|it| it.audience = "https://other.example".into());
        let bob = identity(&gate, "bot");
        for who in [Some(&acted_for), Some(&elsewhere), Some(&bob), None] {
            assert_eq!(named(bond(who, github)), None);
        }
        assert_eq!(named(bond(Some(&alice), server(&gate, "desk"))), None);
    }

    #[test]
    fn an_event_belongs_to_its_session() {
        let gate = gate(Disclose::Code);
        let alice = identity(&gate, "alice");
        let mut bond = Bond::new(&gate, server(&gate, "github"), Some(&alice), false);
        let blank = bond.clone();
        let first = bond.open_session(&sealer(), b"s-1").unwrap();
        let event = bond.seal_event(&sealer(), b"7").unwrap();
        let second = bond.open_session(&sealer(), b"s-2").unwrap();
        let resumed = |session: &str, event: &str| {
            let bond = blank.clone().within(&sealer(), session, Some(event))?;
            bond.event().map(str::to_owned)
        };
        assert_eq!(resumed(&first, &event).as_deref(), Some("7"));
        assert_eq!(resumed(&second, &event), None);
        assert_eq!(resumed(&first, "7"), None);
        assert_eq!(resumed(&first, &first), None);
    }

    #[test]
    fn what_is_no_session_is_given_to_nobody() {
        let gate = gate(Disclose::Code);
        let mut bond = Bond::new(&gate, server(&gate, "github"), None, false);
        for odd in [&b""[..], b"a b", b"\xff", &[b'a'; MAX_SESSION + 1]] {
            assert_eq!(bond.open_session(&sealer(), odd), None);
        }
        let mut modern = Bond::new(&gate, server(&gate, "github"), None, true);
        assert_eq!(modern.open_session(&sealer(), b"s-1"), None);
        assert_eq!(modern.seal_event(&sealer(), b"7"), None);
    }

    #[test]
    fn a_state_belongs_to_its_call_for_an_hour() {
        let gate = gate(Disclose::Code);
        let bond = |name: &str| {
            let who = identity(&gate, name);
            Bond::new(&gate, server(&gate, "github"), Some(&who), true)
        };
        let of = |params: &str| {
            let text = format!(r#"{{"method":"tools/call","params":{params}}}"#);
            call(json::parse(text.as_bytes()).unwrap().root()).unwrap()
        };
        let asked = of(r#"{"name":"t","arguments":{"a":1,"b":2}}"#);
        let now = crate::testing::NOW;
        let alice = bond("alice");
        let sealed = alice.seal_state(&sealer(), &asked, "s", now).unwrap();
        let open = |bond: &Bond, call: &[u8; 32], seconds| {
            bond.open_state(&sealer(), call, &sealed, Time(now.0 + seconds))
        };
        let retried = of(r#"{"arguments":{"b":2,"a":1},"name":"t","requestState":"x"}"#);
        assert_eq!(open(&alice, &retried, 3599).as_deref(), Some("s"));
        assert_eq!(open(&alice, &retried, 3600), None);
        assert_eq!(open(&bond("bot"), &retried, 0), None);
        for other in [
            r#"{"name":"t","arguments":{"a":1,"b":3}}"#,
            r#"{"name":"u","arguments":{"a":1,"b":2}}"#,
            r#"{"name":"t"}"#,
        ] {
            assert_eq!(open(&alice, &of(other), 0), None, "{other}");
        }
        assert_eq!(of(r#"{"name":"t"}"#), of(r#"{"name":"t","arguments":{}}"#));
    }
}
