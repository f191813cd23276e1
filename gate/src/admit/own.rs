//! A client's own side of a session: its answers to the server, what it tells of it, and what it
//! says that it can be asked for.

use super::{Body, Facts, Permit, Stage, Verdict};
use crate::{
    classify::{CAPABILITIES_KEY, VERSION_KEY},
    filter,
    json::{self, Document, Edit, Object, Value, splice},
    method::Note,
    seal::Purpose,
    session::Bond,
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

    /// The request with what its client says that it can be asked for cut down to what the server
    /// may ask; `None` where nothing has to change.
    pub(super) fn within_rules(&self, document: &Document<'_>, permit: &Permit) -> Option<String> {
        // Who only decides changes nothing.
        self.sealer?;
        let method = document.root().get("method")?.as_text()?;
        let stateless = method != "initialize";
        if stateless && said(document.root(), stateless).is_none() {
            return None;
        }
        let changed;
        let document = match permit.body() {
            Body::Original => document,
            Body::Rewritten(bytes) => {
                changed = json::parse(bytes).ok()?;
                &changed
            }
        };
        let said = said(document.root(), stateless)?;
        let settings = self.gate.server_settings(self.inbound.server)?;
        let text = filter::capabilities(&settings.server_requests, said)?;
        let at = said.span();
        splice(document.source(), vec![Edit { at, text }])
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
