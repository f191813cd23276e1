//! Which grants recorded calls could have needed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use latchkey_engine::{
    call::Caller,
    id::{BindingId, PermissionId, ScopeId},
    index::Subject,
    policy::Policy,
};
use latchkey_gate::{event::Event, gate::Gate};

use super::Seen;
use crate::replay;
use crate::text::Text;

/// The most different calls that are remembered, so as not to look twice.
const MAX_REMEMBERED: usize = 65_536;

/// The grants that recorded calls could have needed, collected event by event.
#[derive(Debug)]
pub struct Usage<'g> {
    gate: &'g Gate,
    /// The bindings that give each permission.
    grants: Vec<Vec<BindingId>>,
    used: HashSet<(BindingId, PermissionId)>,
    servers: BTreeMap<String, Period>,
    remembered: HashSet<String>,
}

#[derive(Debug, Default)]
struct Period {
    first: String,
    last: String,
    requests: usize,
    sidecars: BTreeSet<String>,
}

impl<'g> Usage<'g> {
    /// Nothing yet, of the policy that is to be narrowed.
    #[must_use]
    pub fn new(gate: &'g Gate) -> Self {
        let policy = gate.policy();
        let count = policy.permission_count() as usize;
        let mut grants = vec![Vec::new(); count];
        let columns = policy.bindings();
        for (binding, set) in (0..).map(BindingId).zip(&columns.roles) {
            let permissions: BTreeSet<_> = policy.index().permissions_of(*set).collect();
            for permission in permissions {
                if let Some(all) = grants.get_mut(permission.index()) {
                    all.push(binding);
                }
            }
        }
        Self {
            gate,
            grants,
            used: HashSet::new(),
            servers: BTreeMap::new(),
            remembered: HashSet::new(),
        }
    }

    /// Takes an event into account.
    pub fn take(&mut self, event: &Event) {
        if event.event_type != "request" {
            return;
        }
        let period = self.servers.entry(event.server.clone()).or_default();
        period.requests += 1;
        if period.first.is_empty() || event.event_time < period.first {
            period.first.clone_from(&event.event_time);
        }
        if event.event_time > period.last {
            period.last.clone_from(&event.event_time);
        }
        if !period.sidecars.contains(&event.sidecar_id) {
            period.sidecars.insert(event.sidecar_id.clone());
        }
        if replay::was_allowed(event)
            && let Some(surface) = &event.surface_id
            && self.is_new(event)
        {
            self.mark(event, surface);
        }
    }

    /// Whether a call like this was not looked at before.
    fn is_new(&mut self, event: &Event) -> bool {
        let key = format!(
            "{:?}",
            (
                &event.surface_id,
                &event.op,
                &event.scope,
                &event.issuer,
                &event.groups,
                &event.authz.input.chain,
            )
        );
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(key)
    }

    /// Marks every grant that the call could have needed. Whatever the policy does not know by
    /// the names in the event (a caller, a scope) could be anyone and anywhere.
    fn mark(&mut self, event: &Event, surface: &str) {
        let policy = self.gate.policy();
        let Some(id) = policy.surface_by_name(surface) else {
            return;
        };
        let operations = policy
            .surface_entry(id)
            .and_then(|it| it.operations.as_ref());
        let permissions: Vec<PermissionId> = match (operations, &event.op) {
            (Some(operations), Some(named)) => named
                .split(',')
                .filter_map(|name| {
                    let mut values = operations.values.iter();
                    let at = values.position(|(value, _)| value == name)?;
                    policy.permission(id, Some(at))
                })
                .collect(),
            (Some(operations), None) => (0..operations.values.len())
                .filter_map(|at| policy.permission(id, Some(at)))
                .collect(),
            (None, _) => policy.permission(id, None).into_iter().collect(),
        };
        let callers = replay::callers(self.gate, event);
        let tree = &policy.index().scopes;
        let scopes: Option<Vec<ScopeId>> = event.scope.iter().map(|it| tree.find(it)).collect();
        let columns = policy.bindings();
        for permission in permissions {
            for binding in self.grants.get(permission.index()).into_iter().flatten() {
                let own = columns.scopes.get(binding.index()).copied();
                let here = scopes.as_ref().zip(own).is_none_or(|(scopes, own)| {
                    scopes.iter().any(|scope| tree.covers(own, *scope))
                });
                let theirs = callers.as_ref().is_none_or(|callers| {
                    let subjects = columns.subjects_of(*binding);
                    callers.iter().any(|it| is_among(policy, it, subjects))
                });
                if here && theirs {
                    self.used.insert((*binding, permission));
                }
            }
        }
    }

    /// Whether some recorded call could have needed this of a binding.
    pub(super) fn is_used(&self, binding: BindingId, permission: PermissionId) -> bool {
        self.used.contains(&(binding, permission))
    }

    /// What the log shows of each server.
    pub(super) fn servers<'s>(
        &self,
        names: impl Iterator<Item = &'s Text>,
        least_seconds: i64,
    ) -> Vec<Seen> {
        let seen = names.map(|name| {
            let period = self.servers.get(name.as_str());
            let time = |text: &str| latchkey_engine::time::Time::parse(text);
            let length = period.and_then(|it| Some(time(&it.last)?.0 - time(&it.first)?.0));
            Seen {
                server: name.to_string(),
                first: period.map(|it| it.first.clone()),
                last: period.map(|it| it.last.clone()),
                requests: period.map_or(0, |it| it.requests),
                sidecars: period.map_or(0, |it| it.sidecars.len()),
                enough: length.is_some_and(|length| length >= least_seconds),
            }
        });
        seen.collect()
    }
}

fn is_among(policy: &Policy, caller: &Caller, subjects: &[Subject]) -> bool {
    let tags = &policy.index().principals.tags;
    subjects.iter().any(|subject| match subject {
        Subject::Everyone => true,
        Subject::Principal(id) => caller.principal == Some(*id),
        Subject::Group(id) => caller.groups.binary_search(id).is_ok(),
        Subject::Type(kind) => caller.kind == Some(*kind),
        Subject::Tag(tag) => caller
            .principal
            .is_some_and(|id| tags.binary_search(&(id, *tag)).is_ok()),
    })
}
