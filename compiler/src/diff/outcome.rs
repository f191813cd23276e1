//! The outcome of one class of callers on one permission, in both policies, as one diagram.
//!
//! This mirrors the order of checks in `latchkey_engine::decide`; each finding is replayed through
//! the real one before it is reported.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    condition::{Attribute, Root, Segment, Test, Value as Literal},
    id::{AttributeId, ScopeId},
    index::{
        Access, ArgumentFact, ArgumentPath, Effect, Obligation, PrincipalType, Risk, ScopeSource,
        Surface, Unlock,
    },
    reason::Reason,
    time::Dates,
};

use serde_json::Value;

use super::{
    diagram::{Diagram, NodeId, Variable},
    domain::{Collector, Flag, Key, Region},
    formula::At,
    lists::{Ask, Body, Said},
    shape::Shape,
    texts,
    view::{Membership, View, now},
    witness::Choice,
    words,
    world::{Facts, Known, Side},
};

pub(super) use super::diagram::TooLarge;

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outcome {
    pub(super) reason: Reason,
    /// Those of an allow; where only an activation is missing, of what it allows.
    pub(super) obligations: BTreeSet<Obligation>,
    /// Whether an activation for these callers makes it an allow.
    pub(super) unlockable: bool,
}

impl Outcome {
    /// Allowed, or waiting for an activation and nothing else.
    pub(super) fn is_reachable(&self) -> bool {
        matches!(self.reason, Reason::Ok | Reason::BreakGlassRequired)
    }

    /// What two reachable outcomes come to together: an agent is covered by whom it acts for.
    fn with(mut self, other: Self) -> Self {
        if other.reason != Reason::Ok {
            self.reason = other.reason;
        }
        self.obligations.extend(other.obligations);
        self.unlockable |= other.unlockable;
        self
    }
}

/// One permission under comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) sides: [&'a Side<'a>; 2],
    pub(super) known: [&'a Known; 2],
    /// Kinds of texts that were found already.
    pub(super) texts: &'a texts::Known,
    /// `server/name`.
    pub(super) surface: &'a str,
    pub(super) operation: Option<&'a str>,
    /// Whether who acts and who is acted for are free, as for one caller in the middle of a chain;
    /// otherwise they are the caller itself.
    pub(super) chain: bool,
    /// On both sides the scope of who acts, where that is somebody else: what the caller's scope
    /// decides, the actor's does.
    pub(super) actor: Option<Actor>,
    /// Who acts and who is acted for, where they are somebody; conditions read them then.
    pub(super) cast: Option<[&'a [Known; 2]; 2]>,
    /// The only values of the argument that names the scope which are asked about, where that is
    /// not all of them: all other calls count as refused.
    pub(super) within: Option<&'a BTreeSet<String>>,
}

/// A scope on both sides; a caller may have none.
pub(super) type Actor = [Option<ScopeId>; 2];

/// The diagrams of both outcomes, and of their pair.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) diagram: Diagram,
    pub(super) domains: Vec<(Key, Vec<Region>)>,
    /// What each flag tests.
    pub(super) flags: BTreeMap<Key, Flag>,
    /// Texts that tests of each attribute name.
    pub(super) hints: BTreeMap<Attribute, BTreeSet<String>>,
    /// Pairs of outcomes, old and new; the leaves of `root`.
    pub(super) pairs: Vec<[Outcome; 2]>,
    pub(super) root: NodeId,
}

impl Answer {
    /// A way through the diagram, by what its variables stand for.
    pub(super) fn choice(&self, way: Vec<(Variable, Vec<usize>)>) -> Choice {
        let named = way.into_iter().filter_map(|(variable, regions)| {
            Some((self.domains.get(variable as usize)?.0.clone(), regions))
        });
        named.collect()
    }

    /// The regions of a variable; none where nothing reads it.
    pub(super) fn regions(&self, key: &Key) -> &[Region] {
        let mut domains = self.domains.iter();
        let found = domains.find(|(known, _)| known == key);
        found.map_or(&[], |(_, regions)| regions)
    }
}

impl<'a> Question<'a> {
    /// What callers come to without a chain, whatever values their calls have: the other fields
    /// narrow it, or put the callers into one.
    pub(super) fn alone(
        sides: [&'a Side<'a>; 2],
        known: [&'a Known; 2],
        texts: &'a texts::Known,
        (surface, operation): (&'a str, Option<&'a str>),
    ) -> Self {
        Self {
            sides,
            known,
            texts,
            surface,
            operation,
            chain: false,
            actor: None,
            cast: None,
            within: None,
        }
    }

    /// What either policy says.
    fn views(&self) -> [View<'a>; 2] {
        [View::new(self, 0), View::new(self, 1)]
    }

    /// Whether calls take place where their caller belongs, in either policy.
    pub(super) fn takes_scope_from_caller(&self) -> bool {
        self.sides
            .iter()
            .any(|side| side.takes_scope_from_caller(self.surface))
    }

    /// Whether some condition on this permission reads attributes of a root, in either policy.
    pub(super) fn reads(&self, root: Root) -> bool {
        self.views().iter().any(|view| view.reads(root))
    }
}

/// The name of the element attribute that stands for a list of one, where a list names scopes.
pub(super) fn argument(path: &ArgumentPath, each: bool) -> Attribute {
    let mut path: Vec<Segment> = path.iter().cloned().map(Segment::Field).collect();
    path.extend(each.then_some(Segment::Each));
    Attribute {
        root: Root::Args,
        path,
    }
}

/// Compares the outcomes of a question.
pub(super) fn compare(question: &Question<'_>) -> Result<Answer, TooLarge> {
    answer(question, &[], None)
}

/// Compares what calls of several callers come to, who act for one another: all must be allowed,
/// and what is asked of any of them is asked of the call. The regions are cut as those of `like`
/// are, or finer.
pub(super) fn chained(members: &[Question<'_>], like: &Question<'_>) -> Result<Answer, TooLarge> {
    let (first, others) = members.split_first().ok_or(TooLarge)?;
    answer(first, others, Some(like))
}

fn answer(
    question: &Question<'_>,
    others: &[Question<'_>],
    like: Option<&Question<'_>>,
) -> Result<Answer, TooLarge> {
    let views = question.views();
    let more: Vec<_> = others.iter().map(Question::views).collect();
    let cuts = like.map(Question::views);
    let mut collector = Collector::default();
    for view in views.iter().chain(more.iter().chain(&cuts).flatten()) {
        view.collect(&mut collector);
    }
    let shape = |attribute: &Attribute| shape_of(&views, question.operation, attribute);
    let fold = |attribute: &Attribute| views.iter().rev().find_map(|view| view.fold(attribute));
    let (flags, hints) = collector.take_hints();
    let domains = collector.domains(&shape, &fold, question.texts);
    let mut build = Build::new(domains);
    let [mut old, mut new] = [build.outcome(&views[0])?, build.outcome(&views[1])?];
    for [was, is] in &more {
        let (was, is) = (build.outcome(was)?, build.outcome(is)?);
        (old, new) = (build.all_of(old, was)?, build.all_of(new, is)?);
    }
    let Build {
        mut diagram,
        domains,
        outcomes,
        ..
    } = build;
    let mut pairs: Vec<[u32; 2]> = Vec::new();
    let root = diagram.combine(old, new, &mut |a, b| {
        let at = pairs
            .iter()
            .position(|pair| *pair == [a, b])
            .unwrap_or_else(|| {
                pairs.push([a, b]);
                pairs.len() - 1
            });
        u32::try_from(at).unwrap_or(u32::MAX)
    })?;
    let outcome = |at: u32| {
        outcomes
            .get(at as usize)
            .cloned()
            .unwrap_or_else(|| deny(Reason::Internal))
    };
    let pairs = pairs.into_iter().map(|pair| pair.map(outcome)).collect();
    Ok(Answer {
        diagram,
        domains,
        flags,
        hints,
        pairs,
        root,
    })
}

/// What an argument can be: by the new schema where there is one, pinned by the operation.
fn shape_of(views: &[View<'_>; 2], operation: Option<&str>, attribute: &Attribute) -> Shape {
    let schemas: Vec<_> = views.iter().filter_map(View::schema).collect();
    let agree = schemas.iter().all(|schema| Some(schema) == schemas.first());
    let mut shape = Shape::of(attribute, schemas.last().copied().filter(|_| agree));
    for view in views.iter().rev() {
        let Some((_, surface)) = view.surface else {
            continue;
        };
        if let (Some(operations), Some(value)) = (&surface.operations, operation)
            && argument(&operations.argument, false) == *attribute
        {
            shape.required = true;
            shape.member = Some(value.to_owned());
            shape = shape.confined(vec![value.into()]);
        }
        let forced = surface
            .arguments
            .iter()
            .filter_map(|fact| Some((fact, fact.force.as_ref()?)));
        for (fact, text) in forced {
            if argument(&fact.argument, false) == *attribute {
                shape.required = true;
                shape.values = Some(vec![serde_json::from_str(text).unwrap_or_default()]);
            }
        }
    }
    if let Some(elements) = elements_of(views, attribute) {
        shape.required = true;
        shape.values = Some(elements);
    }
    match settled(views, attribute) {
        Some(fact) if fact.forbid => Shape::absent(),
        Some(fact) if !fact.only.is_empty() && shape.values.is_none() => {
            shape.confined(values(fact.only.iter()))
        }
        _ => shape,
    }
}

/// What the elements of a list can be, where only these texts are accepted before and after, or
/// each chooses an operation of either side.
fn elements_of(views: &[View<'_>; 2], attribute: &Attribute) -> Option<Vec<Value>> {
    let (Segment::Each, path) = attribute.path.split_last()? else {
        return None;
    };
    let list = Attribute {
        root: attribute.root,
        path: path.to_vec(),
    };
    if let Some(fact) = settled(views, &list).filter(|it| !it.only.is_empty()) {
        return Some(values(fact.only.iter()));
    }
    let surfaces = views.iter().filter_map(|view| view.surface);
    let operations = surfaces.filter_map(|(_, surface)| surface.operations.as_ref());
    let of_list = operations.filter(|it| argument(&it.argument, false) == list);
    let declared: BTreeSet<&String> = of_list
        .flat_map(|it| it.values.iter().map(|(value, _)| value))
        .collect();
    (!declared.is_empty()).then(|| values(declared.into_iter()))
}

fn values<'t>(texts: impl Iterator<Item = &'t String>) -> Vec<Value> {
    texts.map(|text| text.as_str().into()).collect()
}

/// The fact of an argument that both sides agree on: what it forbids is refused before and after.
fn settled<'a>(views: &[View<'a>; 2], attribute: &Attribute) -> Option<&'a ArgumentFact> {
    let find = |view: &View<'a>| {
        let (_, surface) = view.surface?;
        let mut facts = surface.arguments.iter();
        facts.find(|fact| argument(&fact.argument, view.is_each(fact)) == *attribute)
    };
    let [old, new] = views;
    find(old).filter(|fact| find(new) == Some(*fact))
}

/// The flag of a list whose elements are not taken apart: whether they are accepted.
pub(super) fn accepts(fact: &ArgumentFact) -> Key {
    Key::Flag(words::only(&argument(&fact.argument, false), &fact.only))
}

/// Whether every element of a list is one of the texts that are accepted.
pub(super) fn only_of(fact: &ArgumentFact) -> Ask {
    let texts = fact.only.iter().cloned().map(Literal::Text).collect();
    let element = argument(&fact.argument, true);
    // The test is of the element, whatever its place among the attributes of the policy.
    let test = Test::In(AttributeId(0), texts);
    Ask::Quantifier {
        every: true,
        words: words::only(&argument(&fact.argument, false), &fact.only),
        body: Body::Literal(element, test, false),
        default: false,
    }
}

fn deny(reason: Reason) -> Outcome {
    Outcome {
        reason,
        obligations: BTreeSet::new(),
        unlockable: false,
    }
}

/// Builds diagrams over fixed domains.
pub(super) struct Build {
    pub(super) diagram: Diagram,
    domains: Vec<(Key, Vec<Region>)>,
    variables: BTreeMap<Key, Variable>,
    /// Leaves of outcome diagrams.
    outcomes: Vec<Outcome>,
}

impl Build {
    fn new(domains: Vec<(Key, Vec<Region>)>) -> Self {
        let numbered = domains.iter().zip(0..);
        let variables = numbered.map(|((key, _), at)| (key.clone(), at)).collect();
        Self {
            diagram: Diagram::default(),
            domains,
            variables,
            outcomes: Vec::new(),
        }
    }

    /// The outcome as a function of the request: the checks in their order, last first.
    fn outcome(&mut self, view: &View<'_>) -> Result<NodeId, TooLarge> {
        let (Some((home, surface)), Some(_)) = (view.surface, view.permission) else {
            return self.refuse(Reason::SurfaceUnmatched);
        };
        let public = surface.access == Access::Public;
        let decided = match &surface.scope {
            ScopeSource::Map { argument: path, .. } => self.by_scope(view, path)?,
            ScopeSource::Server | ScopeSource::Unscoped => self.decided(view, home)?,
            ScopeSource::Principal | ScopeSource::Force { .. } => match view.scopes().as_slice() {
                [scope] => self.decided(view, *scope)?,
                _ => self.refuse(Reason::ScopeInvalid)?,
            },
        };
        match view.known {
            Known::Anonymous | Known::NoIssuer | Known::Undeclared(_) | Known::Caller(_)
                if public =>
            {
                Ok(decided)
            }
            Known::Anonymous | Known::NoIssuer => self.refuse(Reason::Unauthenticated),
            Known::Undeclared(_) | Known::Foreign => self.refuse(Reason::PrincipalUnknown),
            Known::Caller(facts) if facts.suspended => self.refuse(Reason::PrincipalSuspended),
            Known::Caller(facts) => {
                let refused = self.refuse(Reason::PrincipalSuspended)?;
                let dates = self.dates(facts.dates)?;
                self.diagram.choose(dates, decided, refused)
            }
        }
    }

    /// What two callers of one chain come to together.
    fn all_of(&mut self, one: NodeId, other: NodeId) -> Result<NodeId, TooLarge> {
        let outcomes = &mut self.outcomes;
        self.diagram.combine(one, other, &mut |one, other| {
            let find = |at: u32| outcomes.get(at as usize).cloned();
            match (find(one), find(other)) {
                (Some(first), Some(second)) if first.is_reachable() => {
                    // An activation helps only where it is all that is missing.
                    if !second.is_reachable() {
                        return other;
                    }
                    intern(outcomes, first.with(second))
                }
                _ => one,
            }
        })
    }

    /// The outcome where an argument names the scope.
    fn by_scope(&mut self, view: &View<'_>, path: &ArgumentPath) -> Result<NodeId, TooLarge> {
        let key = Key::Attribute(argument(path, view.each));
        let Some((variable, regions)) = self.variable(&key) else {
            return self.refuse(Reason::ScopeInvalid);
        };
        let mut known: BTreeMap<Option<ScopeId>, NodeId> = BTreeMap::new();
        let mut children = Vec::with_capacity(regions.len());
        for region in &regions {
            let scope = view.scope_of(region).filter(|_| view.asks_about(region));
            let node = match (known.get(&scope), scope) {
                (Some(node), _) => *node,
                (None, Some(scope)) => self.decided(view, scope)?,
                (None, None) => self.refuse(Reason::ScopeInvalid)?,
            };
            known.insert(scope, node);
            children.push(node);
        }
        self.by_region(variable, &children)
    }

    /// The function that is one of these in each region of a variable, which they may read, too.
    pub(super) fn by_region(
        &mut self,
        variable: Variable,
        each: &[NodeId],
    ) -> Result<NodeId, TooLarge> {
        let functions: Vec<NodeId> = each
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let of = each
            .iter()
            .filter_map(|it| functions.binary_search(it).ok());
        let of: Vec<usize> = of.collect();
        self.diagram.select(variable, &of, functions)
    }

    /// The outcome at one scope, from the argument facts on.
    fn decided(&mut self, view: &View<'_>, scope: ScopeId) -> Result<NodeId, TooLarge> {
        let Some((_, surface)) = view.surface else {
            return self.refuse(Reason::SurfaceUnmatched);
        };
        let abroad = view.is_abroad(scope);
        let (granted, reason) = match surface.access {
            Access::Public => (self.diagram.leaf(1)?, Reason::NoPermission),
            Access::Authenticated if !abroad => (self.diagram.leaf(1)?, Reason::NoPermission),
            _ if abroad => (self.granted(view, scope)?, Reason::CrossOrganization),
            _ => (self.granted(view, scope)?, Reason::NoPermission),
        };
        let mut result = self.refuse(reason)?;
        // Most callers have no binding at most scopes: then no rule is looked at.
        if granted != self.diagram.leaf(0)? {
            let then = self.not_denied(view, surface, scope)?;
            result = self.diagram.choose(granted, then, result)?;
        }
        let valid = self.valid(view)?;
        let refused = self.refuse(Reason::SchemaViolation)?;
        self.diagram.choose(valid, result, refused)
    }

    /// The outcome from check 6 on: who has the permission is asked for before.
    fn not_denied(
        &mut self,
        view: &View<'_>,
        surface: &Surface,
        scope: ScopeId,
    ) -> Result<NodeId, TooLarge> {
        let locked = surface.access != Access::Public
            && view.risk == Risk::Destructive
            && surface.unlock == Unlock::BreakGlass
            && !view.side.unlocked;
        let mut result = self.allowed(view, scope)?;
        if locked {
            result = self.locked(view, result)?;
        }
        if surface.access != Access::Public {
            let permits = self.flag(&Key::Token)?;
            let refused = self.refuse(Reason::TokenScope)?;
            result = self.diagram.choose(permits, result, refused)?;
        }
        let denied = self.denied(view, scope)?;
        let refused = self.refuse(Reason::DeniedByPolicy)?;
        self.diagram.choose(denied, refused, result)
    }

    /// What an activation would allow. There is none for agents, who can act for somebody who has
    /// one, nor for whom nobody declares.
    fn locked(&mut self, view: &View<'_>, allowed: NodeId) -> Result<NodeId, TooLarge> {
        let is_agent = |facts: &Facts| facts.kind == Some(PrincipalType::Agent);
        let Some(own) = view.facts().filter(|it| it.declared || is_agent(it)) else {
            return self.refuse(Reason::BreakGlassRequired);
        };
        let unlockable = !is_agent(own);
        let (same, outcomes) = (self.diagram.leaf(0)?, &mut self.outcomes);
        self.diagram.combine(allowed, same, &mut |at, _| {
            let found = outcomes.get(at as usize).cloned();
            let locked = found.map(|allowed| Outcome {
                reason: Reason::BreakGlassRequired,
                unlockable,
                ..allowed
            });
            let locked = locked.unwrap_or_else(|| deny(Reason::Internal));
            intern(outcomes, locked)
        })
    }

    /// Check 5, and the part of check 4 that asks for bindings from abroad.
    fn granted(&mut self, view: &View<'_>, scope: ScopeId) -> Result<NodeId, TooLarge> {
        let tree = &view.side.index.scopes;
        let abroad = view.is_abroad(scope);
        let mut granted = self.diagram.leaf(0)?;
        let bindings: Vec<_> = view.bindings().collect();
        for binding in bindings {
            let columns = view.side.policy.bindings();
            let at = columns.scopes.get(binding.index()).copied();
            let crosses = columns.cross_organization.get(binding.index()) == Some(&true);
            if !at.is_some_and(|at| tree.covers(at, scope)) || (abroad && !crosses) {
                continue;
            }
            let mut holds = self.member(view, &view.among(view.side.subjects(binding)))?;
            let dates = self.dates(view.binding_dates(binding))?;
            holds = self.and(holds, dates)?;
            let condition = self.formula(
                At {
                    view,
                    scope,
                    default: false,
                },
                view.condition(binding),
            )?;
            holds = self.and(holds, condition)?;
            granted = self.or(granted, holds)?;
        }
        Ok(granted)
    }

    fn denied(&mut self, view: &View<'_>, scope: ScopeId) -> Result<NodeId, TooLarge> {
        let mut denied = self.diagram.leaf(0)?;
        let rules: Vec<_> = view
            .rules()
            .filter(|rule| rule.effect == Effect::Deny)
            .collect();
        for rule in rules {
            let matches = self.matches(view, rule, scope)?;
            denied = self.or(denied, matches)?;
        }
        Ok(denied)
    }

    /// The allow, with the obligations of every require rule that matches.
    fn allowed(&mut self, view: &View<'_>, scope: ScopeId) -> Result<NodeId, TooLarge> {
        let own = view
            .surface
            .map(|(_, surface)| surface.obligations.as_slice());
        let base = Outcome {
            reason: Reason::Ok,
            obligations: own.unwrap_or_default().iter().copied().collect(),
            unlockable: false,
        };
        let leaf = self.intern(base);
        let mut result = self.diagram.leaf(leaf)?;
        let rules: Vec<_> = view.rules().collect();
        for rule in rules {
            let Effect::Require(more) = &rule.effect else {
                continue;
            };
            let matches = self.matches(view, rule, scope)?;
            let outcomes = &mut self.outcomes;
            let with = self
                .diagram
                .combine(result, matches, &mut |outcome, matches| {
                    if matches == 0 {
                        outcome
                    } else {
                        join(outcomes, outcome, more)
                    }
                })?;
            result = with;
        }
        Ok(result)
    }

    fn matches(
        &mut self,
        view: &View<'_>,
        rule: &latchkey_engine::index::Rule,
        scope: ScopeId,
    ) -> Result<NodeId, TooLarge> {
        let no = self.diagram.leaf(0)?;
        if !view.side.index.scopes.covers(rule.scope, scope) {
            return Ok(no);
        }
        let mut holds = if rule.who.is_empty() {
            self.diagram.leaf(1)?
        } else {
            self.member(view, &view.among(&rule.who))?
        };
        let except = self.member(view, &view.among(&rule.except))?;
        holds = self.diagram.choose(except, no, holds)?;
        let dates = self.dates(rule.dates)?;
        holds = self.and(holds, dates)?;
        let condition = self.formula(
            At {
                view,
                scope,
                default: true,
            },
            rule.condition,
        )?;
        self.and(holds, condition)
    }

    /// Whether the argument facts hold.
    fn valid(&mut self, view: &View<'_>) -> Result<NodeId, TooLarge> {
        let mut valid = self.diagram.leaf(1)?;
        let Some((_, surface)) = view.surface else {
            return Ok(valid);
        };
        for fact in surface
            .arguments
            .iter()
            .filter(|fact| fact.forbid || !fact.only.is_empty())
        {
            let key = Key::Attribute(argument(&fact.argument, view.is_each(fact)));
            let Some((variable, regions)) = self.variable(&key) else {
                continue;
            };
            let (no, yes) = (self.diagram.leaf(0)?, self.diagram.leaf(1)?);
            let only = only_of(fact);
            let flag = self.flag(&accepts(fact))?;
            let each = regions.iter().map(|region| match region {
                Region::Absent => yes,
                Region::Exactly(text) if !fact.forbid && fact.only.contains(text) => yes,
                Region::List(lists) if !fact.forbid => match lists.says(&only) {
                    Some(Said::Yes) => yes,
                    Some(Said::No | Said::Undetermined) => no,
                    None => flag,
                },
                _ => no,
            });
            let holds = self.by_region(variable, &each.collect::<Vec<_>>())?;
            valid = self.and(valid, holds)?;
        }
        Ok(valid)
    }

    fn member(&mut self, view: &View<'_>, among: &Membership) -> Result<NodeId, TooLarge> {
        match among {
            Membership::Never => self.diagram.leaf(0),
            Membership::Always => self.diagram.leaf(1),
            Membership::With(groups) => {
                let mut any = self.diagram.leaf(0)?;
                for group in groups {
                    let flag = self.flag(&view.group(*group))?;
                    any = self.or(any, flag)?;
                }
                Ok(any)
            }
        }
    }

    fn dates(&mut self, dates: Dates) -> Result<NodeId, TooLarge> {
        let Some((variable, regions)) = self.variable(&Key::Attribute(now())) else {
            return self.diagram.leaf(1);
        };
        self.literal(variable, regions.len(), |at| {
            let begins = regions.get(at).and_then(Region::stretch_begins);
            begins.is_some_and(|begins| dates.contain(begins))
        })
    }

    pub(super) fn flag(&mut self, key: &Key) -> Result<NodeId, TooLarge> {
        match self.variables.get(key) {
            None => self.diagram.leaf(0),
            Some(variable) => {
                let variable = *variable;
                self.literal(variable, 2, |at| at == 1)
            }
        }
    }

    pub(super) fn literal(
        &mut self,
        variable: Variable,
        count: usize,
        holds: impl Fn(usize) -> bool,
    ) -> Result<NodeId, TooLarge> {
        let (no, yes) = (self.diagram.leaf(0)?, self.diagram.leaf(1)?);
        let children: Vec<_> = (0..count)
            .map(|at| if holds(at) { yes } else { no })
            .collect();
        if children.is_empty() {
            Ok(no)
        } else {
            self.diagram.branch(variable, &children)
        }
    }

    pub(super) fn variable(&self, key: &Key) -> Option<(Variable, Vec<Region>)> {
        let variable = *self.variables.get(key)?;
        let (_, regions) = self.domains.get(variable as usize)?;
        Some((variable, regions.clone()))
    }

    pub(super) fn and(&mut self, left: NodeId, right: NodeId) -> Result<NodeId, TooLarge> {
        let no = self.diagram.leaf(0)?;
        self.diagram.choose(left, right, no)
    }

    pub(super) fn or(&mut self, left: NodeId, right: NodeId) -> Result<NodeId, TooLarge> {
        let yes = self.diagram.leaf(1)?;
        self.diagram.choose(left, yes, right)
    }

    pub(super) fn not(&mut self, of: NodeId) -> Result<NodeId, TooLarge> {
        let (no, yes) = (self.diagram.leaf(0)?, self.diagram.leaf(1)?);
        self.diagram.choose(of, no, yes)
    }

    fn refuse(&mut self, reason: Reason) -> Result<NodeId, TooLarge> {
        let leaf = self.intern(deny(reason));
        self.diagram.leaf(leaf)
    }

    fn intern(&mut self, outcome: Outcome) -> u32 {
        intern(&mut self.outcomes, outcome)
    }
}

fn intern(outcomes: &mut Vec<Outcome>, outcome: Outcome) -> u32 {
    let at = outcomes
        .iter()
        .position(|known| *known == outcome)
        .unwrap_or_else(|| {
            outcomes.push(outcome);
            outcomes.len() - 1
        });
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// An outcome with more obligations.
fn join(outcomes: &mut Vec<Outcome>, at: u32, more: &[Obligation]) -> u32 {
    let mut outcome = outcomes
        .get(at as usize)
        .cloned()
        .unwrap_or_else(|| deny(Reason::Internal));
    outcome.obligations.extend(more.iter().copied());
    intern(outcomes, outcome)
}
