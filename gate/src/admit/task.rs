//! What is asked about a task: only by its caller, and decided as the call that made it.

use latchkey_engine::index::SurfaceKind;

use super::{Facts, Outcome, Permit, Stage, Verdict};
use crate::{
    classify::Source,
    filter::{Filter, FilterKind},
    inbound::Inbound,
    json::{self, Edit, Value, splice},
    session::Bond,
    task::Task,
    wire::Reply,
};

/// The most tasks that one stream follows.
const MAX_TASKS: usize = 256;

impl Stage<'_> {
    /// Forwards under the server's id what a caller asks about a task of its own. Another caller's
    /// task is answered as one that never was.
    pub(super) fn task(
        &self,
        facts: Facts,
        reply: Reply,
        bond: Option<&mut Bond>,
        id: Value<'_>,
    ) -> Verdict {
        let opened = bond.and_then(|bond| Some((self.opened_task(bond, id)?, bond)));
        let Some((task, bond)) = opened else {
            let mut verdict = self.unmatched(facts, reply, true);
            verdict.facts.detail = Some("the task was not given to this caller".to_owned());
            return verdict;
        };
        let mut verdict = self.follow(facts, reply, &task);
        if let Outcome::Forward(permit) = &mut verdict.outcome {
            let source = std::str::from_utf8(self.inbound.body).unwrap_or_default();
            // The edit is of this very text.
            permit.rewrite(splice(source, vec![named(id, &task)]).unwrap_or_default());
            bond.name_task(task);
        }
        verdict
    }

    /// Of the tasks that a caller wants to hear of, its own that it may follow.
    pub(super) fn followed(&self, reply: &Reply, bond: &Bond, wanted: Value<'_>) -> Vec<Task> {
        let Some(wanted) = wanted.as_array() else {
            return Vec::new();
        };
        let own = wanted.values().take(MAX_TASKS);
        let own = own.filter_map(|id| self.opened_task(bond, id));
        own.filter(|task| {
            let facts = Facts::of(self.gate, self.inbound, self.identity);
            let verdict = self.follow(facts, reply.clone(), task);
            matches!(verdict.outcome, Outcome::Forward(_))
        })
        .collect()
    }

    /// The task of this caller that a message names.
    pub(super) fn opened_task(&self, bond: &Bond, id: Value<'_>) -> Option<Task> {
        Task::open(self.sealer?, bond, id.as_text()?)
    }

    /// Decides the call that made the task. Nothing is counted again.
    fn follow(&self, facts: Facts, reply: Reply, task: &Task) -> Verdict {
        let mut verdict = self.call_of(facts, reply.clone(), task);
        if matches!(verdict.outcome, Outcome::Forward(_)) {
            verdict.facts.obligations.clear();
            let server = self.inbound.server;
            let kind = FilterKind::Task;
            let filter = Some(Filter { server, kind });
            let permit = Permit::protocol(server, &verdict.facts, filter, reply);
            verdict.outcome = Outcome::Forward(permit);
        }
        verdict
    }

    fn call_of(&self, facts: Facts, reply: Reply, task: &Task) -> Verdict {
        let policy = self.gate.policy();
        let surface = policy.surface(self.inbound.server, task.tool());
        let tool = |it: &_| {
            let entry = policy.surface_entry(*it);
            entry.is_some_and(|entry| entry.kind == SurfaceKind::Tool)
        };
        let Some(surface) = surface.filter(tool) else {
            return self.unmatched(facts, reply, true);
        };
        let Some(call) = task.call() else {
            // Which arguments it had is not known: it must be allowed with any.
            return self.completion(facts, reply, surface);
        };
        let document = json::parse(call.as_bytes()).ok();
        let root = document.as_ref().map(json::Document::root);
        let Some(params) = root.and_then(|root| root.get("params")?.as_object()) else {
            return self.unmatched(facts, reply, true);
        };
        let inbound = Inbound {
            headers: &[],
            body: call.as_bytes(),
            ..*self.inbound
        };
        let made = Stage::new(self.gate, self.overlay, &inbound, self.identity, self.now);
        made.surface(facts, reply, surface, &Source::Message(params))
    }
}

/// The edit that names a task as its server does.
pub(super) fn named(id: Value<'_>, task: &Task) -> Edit {
    Edit {
        at: id.span(),
        text: serde_json::Value::from(task.id()).to_string(),
    }
}
