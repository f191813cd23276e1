//! One recorded event, decided again as far as its facts go.

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use latchkey_engine::{
    call::{Arguments as Slots, Call, Operation, Scopes},
    decide::{decide, discover},
    decision::{Because, NoTrace, Visibility},
    id::{PermissionId, ScopeId, SurfaceId},
    index::{Access, Risk, Surface, Unlock},
    overlay::{Activation, Overlay},
    reason::Reason,
    time::Time,
};
use latchkey_gate::{event::Event, identity::Identity};

use super::{
    Policy,
    facts::Arguments,
    scopes::{Before, scopes},
    time_of,
    who::{self, Callers, Weight},
};
use crate::diff::Unchanged;

/// The most callers, and the most answers, that are remembered.
const MAX_REMEMBERED: usize = 16_384;

/// What a candidate makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What it was.
    Same,
    Allowed,
    /// Denied, and by which rule.
    Denied(Reason, Option<String>),
    /// It depends on these, which were not logged.
    Needs(BTreeSet<String>),
}

/// Decides events of one log.
pub(super) struct Judge<'p> {
    candidate: Policy<'p>,
    baseline: Option<Policy<'p>>,
    unchanged: Option<Unchanged<'p>>,
    callers: HashMap<String, Rc<Result<Callers, Verdict>>>,
    alike: HashMap<String, bool>,
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("candidate", &self.candidate)
            .finish_non_exhaustive()
    }
}

/// The callers of an event in one word: the actor first, then whom it acts for. Undeclared callers
/// of one issuer are one.
pub(super) fn chain_of(event: &Event) -> String {
    let names = event.authz.input.chain.iter();
    let names: Vec<String> = names
        .map(|name| match name.split_once('#') {
            Some((issuer, _)) => format!("undeclared:{issuer}"),
            None => name.clone(),
        })
        .collect();
    if names.is_empty() {
        "anonymous".to_owned()
    } else {
        names.join(" for ")
    }
}

impl<'p> Judge<'p> {
    pub(super) fn new(candidate: Policy<'p>, baseline: Option<Policy<'p>>) -> Self {
        Self {
            candidate,
            baseline,
            unchanged: baseline.map(|it| Unchanged::new(it.gate, candidate.gate)),
            callers: HashMap::new(),
            alike: HashMap::new(),
        }
    }

    /// Whether another bundle than the baseline decided an event.
    pub(super) fn is_foreign(&self, event: &Event) -> bool {
        self.baseline.is_some_and(|it| it.slice(event).is_none())
    }

    pub(super) fn judge(&mut self, event: &Event, surface: &str) -> Verdict {
        if self.candidate.slice(event).is_some()
            || is_before_policy(event)
            || self.is_alike(event, surface)
        {
            return Verdict::Same;
        }
        let verdict = match self.decide(event, surface) {
            Ok(verdict) | Err(verdict) => verdict,
        };
        self.with_suspensions(event, verdict)
    }

    /// The baseline, where it decided this event.
    fn before(&self, event: &Event) -> Option<Policy<'p>> {
        let decided = |it: &Policy<'p>| it.slice(event).is_some();
        self.baseline.filter(decided)
    }

    /// Whether both policies say the same of all that the event is about.
    fn is_alike(&mut self, event: &Event, surface: &str) -> bool {
        let (Some(before), Some(unchanged)) = (self.before(event), &self.unchanged) else {
            return false;
        };
        let issuer = event.issuer.as_deref().unwrap_or_default();
        let operation = event.op.as_deref().unwrap_or_default();
        let chain = event.authz.input.chain.join("\u{1f}");
        let key = format!("{surface}\u{1e}{operation}\u{1e}{issuer}\u{1e}{chain}");
        if let Some(known) = self.alike.get(&key) {
            return *known;
        }
        let operations: Vec<Option<&str>> = match &event.op {
            None => vec![None],
            Some(all) => all.split(',').map(Some).collect(),
        };
        let identities = who::identities(self.candidate.gate, Some(before.gate), event);
        let alike = identities.is_ok_and(|callers| {
            let mut operations = operations.iter();
            operations.all(|operation| unchanged.holds(surface, *operation, &callers))
        });
        remember(&mut self.alike, key, alike);
        alike
    }

    fn callers(&mut self, event: &Event) -> Rc<Result<Callers, Verdict>> {
        let before = self.before(event);
        let key = format!(
            "{}\u{1e}{}\u{1e}{}\u{1e}{}",
            event.issuer.as_deref().unwrap_or_default(),
            event.authz.input.chain.join("\u{1f}"),
            event.groups.join("\u{1f}"),
            before.map_or("", |_| event.bundle_digest.as_str()),
        );
        if let Some(known) = self.callers.get(&key) {
            return Rc::clone(known);
        }
        let found = Rc::new(who::callers(self.candidate.gate, before, event));
        remember(&mut self.callers, key, Rc::clone(&found));
        found
    }

    fn decide(&mut self, event: &Event, name: &str) -> Result<Verdict, Verdict> {
        let callers = self.callers(event);
        let callers = callers.as_ref().as_ref().map_err(Clone::clone)?;
        let denied = |reason| Verdict::Denied(reason, None);
        let policy = self.candidate.gate.policy();
        let id = policy.surface_by_name(name);
        let entry = id.and_then(|id| policy.surface_entry(id));
        let (Some(surface), Some(entry)) = (id, entry) else {
            return Err(denied(Reason::SurfaceUnmatched));
        };
        let now = time_of(event).ok_or_else(|| needs("the time of the event"))?;
        let before = self.before(event).map(|it| it.gate.policy());
        let before = before.and_then(|policy| {
            let id = policy.surface_by_name(name)?;
            Some((policy, policy.surface_entry(id)?))
        });
        let positions = operations(entry, event, before)?;
        let actors = callers.identity.as_ref().map_or(&[][..], Identity::callers);
        let case = Case {
            judge: self,
            event,
            surface,
            entry,
            positions,
            scopes: scopes(policy, entry, actors, event, before)?,
            arguments: Arguments::of(policy.index(), policy.slots(surface), event),
            now,
        };
        let verdict = case.verdict(callers);
        Ok(case.validated(verdict, before))
    }

    /// A suspension by an overlay stands whatever the policy says; one by the policy does not.
    fn with_suspensions(&self, event: &Event, verdict: Verdict) -> Verdict {
        let denied = matches!(verdict, Verdict::Denied(Reason::PrincipalSuspended, _));
        if event.reason != Reason::PrincipalSuspended.as_str() || denied {
            return verdict;
        }
        let Some(before) = self.before(event) else {
            return needs("whether an overlay suspended the caller");
        };
        let policy = before.gate.policy();
        let principals = &policy.index().principals;
        let by_git = event.authz.input.chain.iter().any(|name| {
            policy.principal(name).is_some_and(|id| {
                let dates = principals.dates.get(id.index());
                principals.suspended.binary_search(&id).is_ok()
                    || !time_of(event).is_some_and(|now| dates.contain(now))
            })
        });
        if by_git { verdict } else { Verdict::Same }
    }
}

/// One event, joined with the candidate's surface.
struct Case<'a, 'p> {
    judge: &'a Judge<'p>,
    event: &'a Event,
    surface: SurfaceId,
    entry: &'a Surface,
    positions: Option<Vec<usize>>,
    scopes: Vec<ScopeId>,
    arguments: Arguments,
    now: Time,
}

impl Case<'_, '_> {
    /// The verdict, with what is not known of the token's groups.
    fn verdict(&self, callers: &Callers) -> Verdict {
        let verdict = self.decided(callers.identity.as_ref());
        let Some(at_most) = &callers.at_most else {
            return verdict;
        };
        let weights = self
            .permissions()
            .map(|it| who::weigh(self.judge.candidate, it, &callers.unsure));
        let weights: Vec<Weight> = weights.collect();
        if weights.iter().all(|it| *it == Weight::None) {
            return verdict;
        }
        let monotone = !weights.contains(&Weight::Any);
        if monotone && self.decided(Some(at_most)) == verdict {
            return verdict;
        }
        needs("the groups in the token")
    }

    fn permissions(&self) -> impl Iterator<Item = PermissionId> {
        let policy = self.judge.candidate.gate.policy();
        let whole = self.positions.is_none().then_some(None).into_iter();
        let each = self.positions.iter().flatten().map(|at| Some(*at));
        whole
            .chain(each)
            .filter_map(|at| policy.permission(self.surface, at))
    }

    fn decided(&self, identity: Option<&Identity>) -> Verdict {
        let policy = self.judge.candidate.gate.policy();
        let overlay = self.activations(identity);
        self.arguments.with_slots(|slots| {
            let call = Call {
                callers: identity.map_or(&[], Identity::callers),
                surface: Some(self.surface),
                operation: self
                    .positions
                    .as_ref()
                    .map_or(Operation::None, |it| Operation::These(it)),
                scopes: Scopes::These(&self.scopes),
                arguments: Slots::Slots(slots),
                address: self.event.source_ip.as_ref().and_then(|it| it.parse().ok()),
                // Of a restriction only what it kept back is known.
                token_permissions: has_failed(self.event, Reason::TokenScope).then_some(&[]),
                token_id: None,
                now: self.now,
            };
            let decision = decide(policy, &overlay, &call, &mut NoTrace);
            if decision.is_allow() {
                return Verdict::Allowed;
            }
            let rule = match decision.because {
                Some(Because::Rule(rule)) => Some(policy.rule_name(rule).to_owned()),
                _ => None,
            };
            let denied = Verdict::Denied(decision.reason, rule);
            if discover(policy, &overlay, &call) == Visibility::Never
                || decision.reason == Reason::BreakGlassRequired
            {
                return denied;
            }
            // No activation was at hand, so that nothing that is not known can help.
            if self.is_locked() {
                return Verdict::Denied(Reason::BreakGlassRequired, None);
            }
            Verdict::Needs(self.arguments.unknown().cloned().collect())
        })
    }

    fn is_locked(&self) -> bool {
        let policy = self.judge.candidate.gate.policy();
        let destructive = |it| policy.permission_risk(it) == Some(Risk::Destructive);
        self.entry.unlock == Unlock::BreakGlass
            && self.entry.access != Access::Public
            && self.event.break_glass.is_none()
            && self.permissions().any(destructive)
    }

    /// The activation that the event names, for all who could have needed it.
    fn activations(&self, identity: Option<&Identity>) -> Overlay {
        let Some(used) = &self.event.break_glass else {
            return Overlay::default();
        };
        let names = identity.map_or(&[][..], Identity::names).iter();
        let each = names.map(|name| Activation {
            id: used.activation_id.clone(),
            principal: name.clone(),
            surfaces: self.event.surface_id.iter().cloned().collect(),
            scope: "platform".to_owned(),
            expires: Time(self.now.0.saturating_add(1)),
        });
        Overlay {
            activations: each.collect(),
            ..Overlay::default()
        }
        .sorted()
    }

    /// The verdict, with what is known of whether the arguments pass the candidate's schema.
    fn validated(&self, verdict: Verdict, before: Before<'_>) -> Verdict {
        if let Verdict::Denied(..) = verdict {
            return verdict;
        }
        let changed = before.is_some_and(|(policy, surface)| {
            let candidate = self.judge.candidate.gate.policy();
            let text = |policy: &latchkey_engine::policy::Policy, surface: &Surface| {
                let schema = surface.schema?;
                policy.index().schemas.get(schema.index()).cloned()
            };
            text(policy, surface) != text(candidate, self.entry)
                || surface.arguments != self.entry.arguments
        });
        match (has_failed(self.event, Reason::SchemaViolation), changed) {
            (_, true) => needs("the arguments, since their schema differs"),
            (true, false) => Verdict::Denied(Reason::SchemaViolation, None),
            (false, false) => verdict,
        }
    }
}

/// The operations of an event as positions; `None` where the surface has none.
fn operations(
    entry: &Surface,
    event: &Event,
    before: Before<'_>,
) -> Result<Option<Vec<usize>>, Verdict> {
    let Some(operations) = &entry.operations else {
        return Ok(None);
    };
    let Some(named) = &event.op else {
        // What was no operation then is none where there are the same.
        if before.is_some_and(|(_, surface)| surface.operations == entry.operations) {
            return Err(Verdict::Denied(Reason::OperationUnknown, None));
        }
        let argument = operations.argument.join(".");
        return Err(Verdict::Needs(BTreeSet::from([format!("args.{argument}")])));
    };
    let position = |name: &str| {
        let mut values = operations.values.iter();
        values.position(|(value, _)| value == name)
    };
    let mut positions: Vec<usize> = named
        .split(',')
        .map(position)
        .collect::<Option<_>>()
        .ok_or(Verdict::Denied(Reason::OperationUnknown, None))?;
    positions.sort_unstable();
    Ok(Some(positions))
}

/// Whether an event was refused before, or apart from, any policy.
fn is_before_policy(event: &Event) -> bool {
    let door = matches!(
        Reason::from_word(&event.reason),
        Some(
            Reason::MalformedRequest
                | Reason::PayloadTooLarge
                | Reason::PolicyUnavailable
                | Reason::TokenExpired
                | Reason::TokenReplayed
                | Reason::TokenRevoked
                | Reason::ChainTooLong
                | Reason::AuditUnavailable
                | Reason::Internal
                | Reason::SessionUnknown
                | Reason::StateInvalid
                | Reason::IssuerUnavailable
                | Reason::Overloaded
        )
    );
    door || has_failed(event, Reason::DeniedByOverlay) || has_failed(event, Reason::TokenRevoked)
}

fn has_failed(event: &Event, reason: Reason) -> bool {
    let mut failed = event.authz.output.failed.iter();
    failed.any(|it| it == reason.as_str())
}

fn needs(what: &str) -> Verdict {
    Verdict::Needs(BTreeSet::from([what.to_owned()]))
}

/// Remembers an answer, and forgets all others when there are too many.
fn remember<T>(known: &mut HashMap<String, T>, key: String, value: T) {
    if known.len() >= MAX_REMEMBERED {
        known.clear();
    }
    known.insert(key, value);
}
