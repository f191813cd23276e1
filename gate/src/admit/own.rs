//! A client's own side of a session: its answers to the server, what it tells of it, and what it
//! says that it can be asked for.

use latchkey_engine::{reason::Reason, time::Time};

use super::{Body, Facts, Permit, Stage, Verdict, task::named};
use crate::{
    classify::{CAPABILITIES_KEY, RELATED_TASK, VERSION_KEY},
    filter,
    json::{self, Document, Edit, Object, Value, splice},
    method::Note,
    seal::Purpose,
    session::{self, Bond},
    task::Task,
    wire::Reply,
};

impl Stage<'_> {
    /// An answer to a request of the server: forwarded under the server's id when it was this caller
    /// who was asked, in this session.
    pub(super) fn answer(
        &self,
        facts: Facts,
        reply: Reply,
        bond: Option<&Bond>,
        id: Value<'_>,
    ) -> Verdict {
        match self.opened(bond, Purpose::Request, id) {
            Some(edit) => self.own(facts, reply, vec![edit]),
            None => self.unmatched(facts, reply, false),
        }
    }

    /// What a client tells of its own side. Without a session it could be about anybody's request.
    pub(super) fn note(
        &self,
        facts: Facts,
        reply: Reply,
        bond: Option<&Bond>,
        note: Note,
        params: Option<Object<'_>>,
    ) -> Verdict {
        let in_session = bond.is_some_and(|bond| bond.session().is_some());
        let edits = match note {
            // Ids belong to a session, and the session to this caller: nobody else's can be meant.
            Note::Cancelled => in_session.then(Vec::new),
            Note::RootsChanged => (in_session && self.may_show_roots()).then(Vec::new),
            Note::Progress => params
                .and_then(|params| params.get("progressToken"))
                .and_then(|token| self.opened(bond, Purpose::Progress, token))
                .map(|edit| vec![edit]),
        };
        match edits {
            Some(edits) => self.own(facts, reply, edits),
            None => self.unmatched(facts, reply, false),
        }
    }

    /// What has to change in an allowed request: what its client says that it can be asked for, cut
    /// down to what the server may ask, and the state that the server gave out. `None` where nothing
    /// has to; an error where the state is not this call's.
    pub(super) fn within_rules(
        &self,
        document: &Document<'_>,
        bond: Option<&Bond>,
        permit: &Permit,
    ) -> Result<Option<String>, Reason> {
        let root = document.root();
        // Who only decides changes nothing.
        if self.sealer.is_none() {
            return Ok(None);
        }
        let method = root.get("method").and_then(|it| it.as_text());
        let stateless = method != Some("initialize");
        let state = self.state(root, bond)?;
        let task = self.related(root, bond)?;
        let cursor = self.cursor(root, bond)?;
        if state.is_none() && task.is_none() && cursor.is_none() && said(root, stateless).is_none()
        {
            return Ok(None);
        }
        let changed;
        let document = match permit.body() {
            Body::Original => document,
            Body::Rewritten(bytes) => {
                changed = json::parse(bytes).map_err(|_| Reason::Internal)?;
                &changed
            }
        };
        let mut edits = self.capabilities(document.root(), stateless);
        let params = document.root().get("params");
        let held = params.and_then(|params| params.get("requestState"));
        edits.extend(held.zip(state).map(|(held, state)| Edit {
            at: held.span(),
            text: serde_json::Value::from(state).to_string(),
        }));
        let held = params.and_then(|params| params.get("cursor"));
        edits.extend(held.zip(cursor).map(|(held, cursor)| Edit {
            at: held.span(),
            text: serde_json::Value::from(cursor).to_string(),
        }));
        edits.extend(
            related(document.root())?
                .zip(task)
                .map(|(id, task)| named(id, &task)),
        );
        if edits.is_empty() {
            return Ok(None);
        }
        splice(document.source(), edits)
            .map(Some)
            .ok_or(Reason::Internal)
    }

    fn capabilities(&self, root: Value<'_>, stateless: bool) -> Vec<Edit> {
        let settings = self.gate.server_settings(self.inbound.server);
        let cut = said(root, stateless)
            .zip(settings)
            .and_then(|(said, settings)| {
                let text = filter::capabilities(&settings.server_requests, said)?;
                let at = said.span();
                Some(Edit { at, text })
            });
        cut.into_iter().collect()
    }

    /// The state of a call that waited for input, as the server gave it out.
    fn state(&self, root: Value<'_>, bond: Option<&Bond>) -> Result<Option<String>, Reason> {
        let params = root.get("params");
        let held = params.and_then(|params| params.get("requestState"));
        let (Some(held), Some(bond), Some(sealer)) = (held, bond, self.sealer) else {
            return Ok(None);
        };
        let at = if self.again { Time(i64::MIN) } else { self.now };
        let opened = held
            .as_text()
            .filter(|_| bond.is_modern())
            .zip(session::call(root))
            .and_then(|(held, call)| bond.open_state(sealer, &call, held, at));
        opened.map(Some).ok_or(Reason::StateInvalid)
    }

    /// Where the list that is asked for goes on, as the server gave it out.
    fn cursor(&self, root: Value<'_>, bond: Option<&Bond>) -> Result<Option<String>, Reason> {
        let method = root.get("method").and_then(|it| it.as_text());
        let cursor = root.get("params").and_then(|it| it.get("cursor"));
        let cursor =
            cursor.filter(|it| !it.is_null() && method.is_some_and(|it| it.ends_with("/list")));
        let (Some(cursor), Some(bond), Some(sealer)) = (cursor, bond, self.sealer) else {
            return Ok(None);
        };
        let opened = cursor.as_text().and_then(|it| bond.open_cursor(sealer, it));
        opened.map(Some).ok_or(Reason::StateInvalid)
    }

    /// The caller's task that a message says it belongs to.
    fn related(&self, root: Value<'_>, bond: Option<&Bond>) -> Result<Option<Task>, Reason> {
        let (Some(id), Some(bond)) = (related(root)?, bond) else {
            return Ok(None);
        };
        let task = self.opened_task(bond, id);
        task.map(Some).ok_or(Reason::StateInvalid)
    }

    fn may_show_roots(&self) -> bool {
        let settings = self.gate.server_settings(self.inbound.server);
        settings.is_some_and(|settings| settings.server_requests.roots)
    }

    /// The edit that names something of the server as the server does.
    fn opened(&self, bond: Option<&Bond>, purpose: Purpose, sealed: Value<'_>) -> Option<Edit> {
        let opened = bond?.open_place(self.sealer?, purpose, sealed.as_text()?)?;
        Some(Edit {
            at: sealed.span(),
            text: opened,
        })
    }

    /// Traffic of the caller's own session, with these changes.
    fn own(&self, facts: Facts, reply: Reply, edits: Vec<Edit>) -> Verdict {
        let mut verdict = self.protocol(facts, reply, None);
        if let super::Outcome::Forward(permit) = &mut verdict.outcome
            && !edits.is_empty()
        {
            let source = std::str::from_utf8(self.inbound.body).unwrap_or_default();
            // The edits are of this very text.
            permit.rewrite(splice(source, edits).unwrap_or_default());
        }
        verdict
    }
}

/// The id of the task that a message of a client says it belongs to.
fn related(root: Value<'_>) -> Result<Option<Value<'_>>, Reason> {
    let part = root.get("params").or_else(|| root.get("result"));
    let Some(meta) = part.and_then(|part| part.get("_meta")?.as_object()) else {
        return Ok(None);
    };
    let unread = |_| Reason::StateInvalid;
    meta.refuse_case_variants(&[RELATED_TASK]).map_err(unread)?;
    let Some(task) = meta.get(RELATED_TASK) else {
        return Ok(None);
    };
    let task = task.as_object().ok_or(Reason::StateInvalid)?;
    task.refuse_case_variants(&["taskId"]).map_err(unread)?;
    Ok(task.get("taskId"))
}

/// What a client says that it can be asked for.
fn said(root: Value<'_>, stateless: bool) -> Option<Object<'_>> {
    let params = root.get("params")?;
    if !stateless {
        return params.get("capabilities")?.as_object();
    }
    let meta = params.get("_meta")?;
    meta.get(VERSION_KEY)?;
    meta.get(CAPABILITIES_KEY)?.as_object()
}
