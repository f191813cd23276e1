//! Entries of one policy that do nothing: it is compared with itself without them.
//!
//! What a call would come to is asked with the same diagrams as a comparison of two policies, as if
//! every break-glass were activated. An entry is called idle only where both diagrams are equal for
//! every caller and permission; where they cannot be built, it counts as needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::{HashMap, HashSet};
use latchkey_engine::{
    id::{BindingId, PermissionId, RuleId, ScopeId},
    index::{Effect, Index, Rule, Subject},
    reason::Reason,
    scope::ScopeTree,
};
use latchkey_gate::gate::Gate;

use super::{
    obligations,
    outcome::{self, Actor, Outcome, Question},
    texts,
    view::{Membership, View},
    world::{self, Kind, Known, Side},
};

mod contradiction;

/// How much is compared: in bindings and rules that have to be looked at, one by one.
const BUDGET: usize = 300_000;
/// The most contradictions that are confirmed by comparisons of whole policies.
const MOST_CONFIRMED: usize = 24;
/// The most deny rules of one caller and permission of which pairs are compared.
const MOST_DENIES: usize = 12;

/// What does nothing in a policy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// Entries without effect.
    pub entries: Vec<(Entry, Why)>,
    /// Entries whose condition is true for every call that it could matter for.
    pub always: Vec<Entry>,
    /// Pairs of deny rules that leave nothing of a permission which neither takes away alone: the
    /// rules, a caller, the permission.
    pub contradictions: Vec<(String, String, String, String)>,
    /// How many entries were not looked at, for there is too much of them.
    pub skipped: usize,
}

/// An entry by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A binding.
    Binding(String),
    /// A rule.
    Rule(String),
}

/// Why an entry does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Other entries of its kind do all of it: this one, or several together.
    Others(Option<String>),
    /// Its condition is never true.
    Never,
    /// Nothing that it speaks of is ever in question.
    Unreachable,
}

/// Finds what does nothing, but for entries that are known already.
#[must_use]
pub fn find(gate: &Gate, known: &BTreeSet<Entry>) -> Idle {
    let base = Side {
        unlocked: true,
        ..Side::new(gate)
    };
    let classes = world::kinds(&base);
    let mut search = Search {
        homes: classes.iter().map(Kind::scopes).collect(),
        speaks_of: speaks_of(&classes),
        classes,
        chains: base.reads_chain(),
        base,
        left: BUDGET / 3,
        to_confirm: MOST_CONFIRMED,
        idle: Idle::default(),
        texts: texts::Known::default(),
    };
    search.forget(known);
    search.contradictions();
    search.left += BUDGET - BUDGET / 3;
    // Of two that say the same, the later name is the one to remove.
    for id in ids(search.base.index.rules.len()).map(RuleId) {
        search.rule(id, known);
    }
    for id in ids(search.base.index.bindings.names.len()).map(BindingId) {
        search.binding(id, known);
    }
    search.idle
}

fn ids(count: usize) -> impl Iterator<Item = u32> {
    (0..u32::try_from(count).unwrap_or(0)).rev()
}

struct Search<'a> {
    /// The policy without what was found idle already.
    base: Side<'a>,
    classes: Vec<Kind>,
    chains: bool,
    /// Where callers belong.
    homes: BTreeSet<Actor>,
    /// The classes that each subject can mean.
    speaks_of: HashMap<Subject, Vec<usize>>,
    left: usize,
    /// How many more contradictions are looked at a second time.
    to_confirm: usize,
    idle: Idle,
    texts: texts::Known,
}

/// What is asked about: callers and permissions that an entry can concern, and where.
struct Reach {
    classes: Vec<usize>,
    permissions: Vec<(String, Option<String>, PermissionId)>,
    scope: ScopeId,
}

/// Whether there are others in the chain that conditions may read, and where the first of them
/// belongs if that is elsewhere.
type Standing = (bool, Option<Actor>);

/// The work is more than the budget.
struct TooMuch;

impl<'a> Search<'a> {
    fn forget(&mut self, known: &BTreeSet<Entry>) {
        let (mut rules, mut named) = (BTreeSet::new(), HashSet::new());
        for entry in known {
            match entry {
                Entry::Rule(name) => rules.extend(self.base.policy.rule(name)),
                Entry::Binding(name) => _ = named.insert(name.as_str()),
            }
        }
        // They are read through once: to find some by name, all would be sorted by it.
        let names = self.base.index.bindings.names.iter().zip(0..);
        let bindings = names.filter(|(name, _)| named.contains(name));
        let bindings: HashSet<BindingId> = bindings.map(|(_, at)| BindingId(at)).collect();
        for list in &mut self.base.rules {
            Arc::make_mut(list).retain(|it| !rules.contains(it));
        }
        for list in &mut self.base.grants {
            Arc::make_mut(list).retain(|it| !bindings.contains(it));
        }
    }

    fn rule(&mut self, id: RuleId, known: &BTreeSet<Entry>) {
        let Some(rule) = self.base.index.rules.get(id.index()) else {
            return;
        };
        let entry = Entry::Rule(rule.name.clone());
        if known.contains(&entry) {
            return;
        }
        if self.left == 0 {
            self.idle.skipped += 1;
            return;
        }
        match self.judge_rule(id, rule) {
            Err(TooMuch) => self.idle.skipped += 1,
            Ok(None) => {}
            Ok(Some(Judged::Always)) => self.idle.always.push(entry),
            Ok(Some(Judged::Idle(why))) => {
                drop_rule(&mut self.base, id);
                self.idle.entries.push((entry, why));
            }
        }
    }

    fn judge_rule(&mut self, id: RuleId, rule: &'a Rule) -> Result<Option<Judged>, TooMuch> {
        let who = (!rule.who.is_empty()).then_some(rule.who.as_slice());
        let reach = self.reach(&rule.permissions, (rule.scope, who), |view| {
            let among = rule.who.is_empty() || view.among(&rule.who) != Membership::Never;
            among && view.among(&rule.except) != Membership::Always
        })?;
        // Nobody is meant, or nothing: there are lints of their own for that.
        if reach.classes.is_empty() || reach.permissions.is_empty() {
            return Ok(None);
        }
        let base = self.base.clone();
        let mut less = base.clone();
        drop_rule(&mut less, id);
        let needed = self.differ(&base, &less, &reach)?;
        if needed && rule.condition.is_none() {
            return Ok(None);
        }
        let others = same_kind(&base, id, rule, &reach);
        let (mut alone, mut none) = (base.clone(), less);
        for other in &others {
            drop_rule(&mut alone, *other);
            drop_rule(&mut none, *other);
        }
        let index = without_condition(base.index, id, rule);
        let open = index.as_ref().map(|index| over(&alone, index));
        if needed {
            let restricts = match &open {
                Some(open) => self.differ(&alone, open, &reach)?,
                None => true,
            };
            return Ok((!restricts).then_some(Judged::Always));
        }
        let why = if self.differ(&alone, &none, &reach)? {
            Why::Others(
                self.shadow(&others, (&alone, &none), &reach, add_rule)?
                    .map(|other| base.policy.rule_name(other).to_owned()),
            )
        } else {
            match &open {
                Some(open) if self.differ(open, &none, &reach)? => Why::Never,
                _ => Why::Unreachable,
            }
        };
        Ok(Some(Judged::Idle(why)))
    }

    /// The one of some other entries that makes an entry idle by itself.
    fn shadow<I: Copy>(
        &mut self,
        others: &BTreeSet<I>,
        (alone, none): (&Side<'_>, &Side<'_>),
        reach: &Reach,
        add: impl Fn(&mut Side<'_>, I),
    ) -> Result<Option<I>, TooMuch> {
        for other in others.iter().take(MOST_DENIES) {
            let (mut with, mut without) = (alone.clone(), none.clone());
            add(&mut with, *other);
            add(&mut without, *other);
            if !self.differ(&with, &without, reach)? {
                return Ok(Some(*other));
            }
        }
        Ok(None)
    }

    fn binding(&mut self, id: BindingId, known: &BTreeSet<Entry>) {
        if self.left == 0 {
            self.idle.skipped += 1;
            return;
        }
        let entry = Entry::Binding(self.base.policy.binding_name(id).to_owned());
        if known.contains(&entry) {
            return;
        }
        match self.judge_binding(id) {
            Err(TooMuch) => self.idle.skipped += 1,
            Ok(None) => {}
            Ok(Some(Judged::Always)) => self.idle.always.push(entry),
            Ok(Some(Judged::Idle(why))) => {
                drop_binding(&mut self.base, id);
                self.idle.entries.push((entry, why));
            }
        }
    }

    fn judge_binding(&mut self, id: BindingId) -> Result<Option<Judged>, TooMuch> {
        let base = self.base.clone();
        let subjects: &[Subject] = base.subjects(id);
        let given = given(&base, id);
        let scopes = &base.policy.bindings().scopes;
        let scope = scopes.get(id.index()).copied();
        let scope = scope.unwrap_or(ScopeTree::PLATFORM);
        let reach = self.reach(&given, (scope, Some(subjects)), |view| {
            view.among(subjects) != Membership::Never
        })?;
        if reach.classes.is_empty() || reach.permissions.is_empty() {
            return Ok(None);
        }
        let conditional = base.index.bindings.conditions.get(id.index()).is_some();
        let mut less = base.clone();
        drop_binding(&mut less, id);
        let needed = self.differ(&base, &less, &reach)?;
        if needed && !conditional {
            return Ok(None);
        }
        let others = self.other_bindings(&less, &reach);
        let (mut alone, mut none) = (base.clone(), less.clone());
        for (_, _, permission) in &reach.permissions {
            let at = permission.index();
            if let Some(list) = alone.grants.get_mut(at) {
                *list = Arc::new(vec![id]);
            }
            if let Some(list) = none.grants.get_mut(at) {
                *list = Arc::default();
            }
        }
        let open = Side {
            unconditional: Some(id),
            ..alone.clone()
        };
        if needed {
            let restricts = self.differ(&alone, &open, &reach)?;
            return Ok((!restricts).then_some(Judged::Always));
        }
        let why = if self.differ(&alone, &none, &reach)? {
            let by = self.shadow(&others, (&alone, &none), &reach, add_binding)?;
            Why::Others(by.map(|other| base.policy.binding_name(other).to_owned()))
        } else if conditional && self.differ(&open, &none, &reach)? {
            Why::Never
        } else if self.is_contradicted(&given) {
            return Ok(None);
        } else {
            Why::Unreachable
        };
        Ok(Some(Judged::Idle(why)))
    }

    /// Whether some of these permissions are taken away by two rules: that is told already.
    fn is_contradicted(&self, permissions: &[PermissionId]) -> bool {
        let policy = self.base.policy;
        let mut names = permissions.iter().map(|it| policy.permission_name(*it));
        let told = &self.idle.contradictions;
        names.any(|name| told.iter().any(|(.., permission)| *permission == name))
    }

    /// The bindings that give one of the permissions in question to one of the callers.
    fn other_bindings(&self, less: &Side<'_>, reach: &Reach) -> BTreeSet<BindingId> {
        let mut others = BTreeSet::new();
        for class in reach.classes.iter().filter_map(|at| self.classes.get(*at)) {
            for (surface, operation, _) in &reach.permissions {
                let permission = (surface.as_str(), operation.as_deref());
                let question =
                    Question::alone([less, less], class.known(), &self.texts, permission);
                others.extend(View::new(&question, 0).bindings());
            }
        }
        others
    }

    /// The callers that an entry can mean, and the permissions that it speaks of.
    fn reach(
        &mut self,
        permissions: &[PermissionId],
        (scope, who): (ScopeId, Option<&[Subject]>),
        means: impl Fn(&View<'_>) -> bool,
    ) -> Result<Reach, TooMuch> {
        let meant: BTreeSet<usize> = match who {
            None => (0..self.classes.len()).collect(),
            Some(who) => {
                let found = who.iter().filter_map(|it| self.speaks_of.get(it));
                found.flatten().copied().collect()
            }
        };
        self.spend(meant.len() + permissions.len())?;
        let side = &self.base;
        let permissions = permissions.iter().filter_map(|permission| {
            let (surface, at) = side.policy.permission_surface(*permission)?;
            let entry = side.policy.surface_entry(surface)?;
            let operations = entry.operations.as_ref();
            let operation = operations.zip(at);
            let operation = operation.and_then(|(all, at)| all.values.get(at));
            let operation = operation.map(|(value, _)| value.clone());
            Some((side.policy.surface_name(surface), operation, *permission))
        });
        let permissions: Vec<_> = permissions.collect();
        // Who is not declared is anonymous on public surfaces, and somebody on others.
        let public = |it: &&(String, _, _)| side.is_public(&it.0);
        let doors = [
            permissions.iter().find(public),
            permissions.iter().find(|it| !public(it)),
        ];
        let is_meant = |class: &Kind| {
            doors.iter().flatten().any(|(surface, operation, _)| {
                let permission = (surface.as_str(), operation.as_deref());
                let question =
                    Question::alone([side, side], class.known(), &self.texts, permission);
                means(&View::new(&question, 0))
            })
        };
        let classes = meant.into_iter();
        let classes = classes.filter(|at| self.classes.get(*at).is_some_and(is_meant));
        Ok(Reach {
            classes: classes.collect(),
            permissions,
            scope,
        })
    }

    /// Where in a chain a class is asked about: alone, anywhere, and on surfaces whose calls take
    /// place where their caller belongs, behind somebody of each other scope that counts.
    fn standings(&self, class: &Kind, surface: &str, within: ScopeId) -> Vec<Standing> {
        let mut all = vec![(false, None)];
        all.extend(self.chains.then_some((true, None)));
        if !self.base.takes_scope_from_caller(surface) {
            return all;
        }
        let tree = &self.base.index.scopes;
        let place = |actor: Actor| {
            let sides = [&self.base, &self.base];
            let question = Question {
                chain: true,
                actor: Some(actor),
                ..Question::alone(sides, class.known(), &self.texts, (surface, None))
            };
            View::new(&question, 0).scopes().first().copied()
        };
        let own = place(class.scopes());
        let homes = self.homes.iter().filter_map(|home| {
            let place = place(*home).filter(|it| Some(*it) != own)?;
            tree.covers(within, place).then_some((place, *home))
        });
        let homes: BTreeMap<ScopeId, Actor> = homes.collect();
        all.extend(homes.into_values().map(|home| (true, Some(home))));
        all
    }

    /// Whether any call that an entry can concern comes to something else on the two sides.
    fn differ(&mut self, old: &Side<'_>, new: &Side<'_>, reach: &Reach) -> Result<bool, TooMuch> {
        self.any([old, new], reach, tells)
    }

    /// Whether any call that an entry can concern has such outcomes; yes where it cannot be told.
    fn any(
        &mut self,
        sides: [&Side<'_>; 2],
        reach: &Reach,
        such: impl Fn(&Outcome, &Outcome) -> bool,
    ) -> Result<bool, TooMuch> {
        for at in &reach.classes {
            for (surface, operation, id) in &reach.permissions {
                let Some(class) = self.classes.get(*at) else {
                    continue;
                };
                for (chain, actor) in self.standings(class, surface, reach.scope) {
                    self.pay(*id)?;
                    let Some(class) = self.classes.get(*at) else {
                        continue;
                    };
                    let permission = (surface.as_str(), operation.as_deref());
                    let question = Question {
                        chain,
                        actor,
                        ..Question::alone(sides, class.known(), &self.texts, permission)
                    };
                    let within = open_within(&question, reach.scope);
                    // No such call can be allowed.
                    if within.as_ref().is_some_and(BTreeSet::is_empty) {
                        continue;
                    }
                    let question = Question {
                        within: within.as_ref(),
                        ..question
                    };
                    let Ok(answer) = outcome::compare(&question) else {
                        return Ok(true);
                    };
                    if answer.pairs.iter().any(|[old, new]| such(old, new)) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn pay(&mut self, permission: PermissionId) -> Result<(), TooMuch> {
        let rules = self.base.rules.get(permission.index());
        self.spend(rules.map_or(0, |it| it.len()) + 16)
    }

    fn spend(&mut self, work: usize) -> Result<(), TooMuch> {
        let left = self.left.checked_sub(work);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(TooMuch)
    }
}

/// The other rules of a rule's effect on the permissions in question.
fn same_kind(base: &Side<'_>, id: RuleId, rule: &Rule, reach: &Reach) -> BTreeSet<RuleId> {
    let lists = reach.permissions.iter();
    let lists = lists.filter_map(|(_, _, it)| base.rules.get(it.index()));
    let rules = lists.flat_map(|list| list.iter().copied());
    let others = rules.filter(|other| {
        let entry = base.index.rules.get(other.index());
        *other != id && entry.is_some_and(|it| kind(it) == kind(rule))
    });
    others.collect()
}

/// The policy with a rule that has lost its condition; none where it has none.
fn without_condition(index: &Index, id: RuleId, rule: &Rule) -> Option<Index> {
    rule.condition?;
    let mut index = index.clone();
    if let Some(rule) = index.rules.get_mut(id.index()) {
        rule.condition = None;
    }
    Some(index)
}

fn over<'x>(side: &Side<'x>, index: &'x Index) -> Side<'x> {
    Side {
        index,
        ..side.clone()
    }
}

/// What was found of one entry.
enum Judged {
    Idle(Why),
    Always,
}

/// Whether two outcomes differ in access or in what is asked in return.
fn tells(old: &Outcome, new: &Outcome) -> bool {
    match (old.reason == Reason::Ok, new.reason == Reason::Ok) {
        (true, true) => obligations(&old.obligations, &new.obligations).is_some(),
        (false, false) => false,
        _ => true,
    }
}

fn kind(rule: &Rule) -> bool {
    rule.effect == Effect::Deny
}

fn given(side: &Side<'_>, id: BindingId) -> Vec<PermissionId> {
    let set = side.policy.bindings().roles.get(id.index()).copied();
    let all = set
        .into_iter()
        .flat_map(|set| side.index.permissions_of(set));
    let all: BTreeSet<PermissionId> = all.collect();
    all.into_iter().collect()
}

/// The classes that each subject can mean.
fn speaks_of(classes: &[Kind]) -> HashMap<Subject, Vec<usize>> {
    let mut found: HashMap<Subject, Vec<usize>> = HashMap::new();
    for (at, class) in classes.iter().enumerate() {
        let mut add = |subject| found.entry(subject).or_default().push(at);
        add(Subject::Everyone);
        let [facts, _] = class.known().map(Known::facts);
        let Some(facts) = facts else { continue };
        facts
            .principal
            .map(Subject::Principal)
            .into_iter()
            .for_each(&mut add);
        facts.kind.map(Subject::Type).into_iter().for_each(&mut add);
        facts
            .tags
            .iter()
            .copied()
            .map(Subject::Tag)
            .for_each(&mut add);
        let groups: BTreeSet<_> = facts.groups.union(&facts.claimable).copied().collect();
        groups.into_iter().map(Subject::Group).for_each(&mut add);
    }
    found
}

/// The values of the scope's argument with which a call can be allowed by either side.
fn open_within(question: &Question<'_>, top: ScopeId) -> Option<BTreeSet<String>> {
    let mut old = View::new(question, 0).open_within(top)?;
    old.extend(View::new(question, 1).open_within(top)?);
    Some(old)
}

fn drop_rule(side: &mut Side<'_>, id: RuleId) {
    let Some(rule) = side.index.rules.get(id.index()) else {
        return;
    };
    for permission in &rule.permissions {
        if let Some(list) = side.rules.get_mut(permission.index()) {
            Arc::make_mut(list).retain(|it| *it != id);
        }
    }
}

fn add_rule(side: &mut Side<'_>, id: RuleId) {
    let Some(rule) = side.index.rules.get(id.index()) else {
        return;
    };
    for permission in &rule.permissions {
        if let Some(list) = side.rules.get_mut(permission.index()) {
            Arc::make_mut(list).push(id);
        }
    }
}

fn drop_binding(side: &mut Side<'_>, id: BindingId) {
    for permission in given(side, id) {
        if let Some(list) = side.grants.get_mut(permission.index()) {
            Arc::make_mut(list).retain(|it| *it != id);
        }
    }
}

fn add_binding(side: &mut Side<'_>, id: BindingId) {
    for permission in given(side, id) {
        if let Some(list) = side.grants.get_mut(permission.index())
            && let Err(at) = list.binary_search(&id)
        {
            Arc::make_mut(list).insert(at, id);
        }
    }
}
