//! What one policy says of one class of callers on one permission.

use std::{cell::OnceCell, collections::BTreeSet};

use latchkey_engine::{
    condition::{Attribute, Formula, Root, Segment, Test, Value},
    id::{AttributeId, BindingId, FormulaId, GroupId, PermissionId, ScopeId},
    index::{Access, ArgumentFact, Fold, Risk, Rule, ScopeSource, Subject, Surface},
    scope::ScopeTree,
    time::Dates,
};

use super::{
    domain::{Collector, Key, Region},
    formula::ask_of,
    lists::{Ask, Body},
    outcome::{Question, accepts, argument, only_of},
    shape::Shape,
    words,
    world::{Facts, Known, Side},
};

/// One side of a question.
pub(super) struct View<'a> {
    pub(super) side: &'a Side<'a>,
    pub(super) known: &'a Known,
    pub(super) permission: Option<PermissionId>,
    pub(super) surface: Option<(ScopeId, &'a Surface)>,
    pub(super) risk: Risk,
    /// Whether the scope's argument is a list.
    pub(super) each: bool,
    /// See [`Question::chain`].
    chain: bool,
    /// The scope of who acts: see [`Question::actor`].
    own: Option<ScopeId>,
    /// See [`Question::cast`].
    cast: Option<[&'a Known; 2]>,
    /// See [`Question::within`].
    within: Option<&'a BTreeSet<String>>,
    /// See [`View::bindings`]; looked for when they are asked for.
    bindings: OnceCell<Vec<BindingId>>,
}

impl<'a> View<'a> {
    pub(super) fn new(question: &Question<'a>, at: usize) -> Self {
        let [old, new] = question.sides;
        let [known_old, known_new] = question.known;
        let (side, known) = if at == 0 {
            (old, known_old)
        } else {
            (new, known_new)
        };
        let found = side.surface(question.surface).map(|(_, surface)| surface);
        let home = found.and_then(|surface| side.policy.server_entry(surface.server));
        let permission = side.permission(question.surface, question.operation);
        let surface = home
            .zip(found)
            .map(|(server, surface)| (server.scope, surface));
        let risk = permission
            .and_then(|it| side.policy.permission_risk(it))
            .unwrap_or(Risk::Read);
        let mut view = Self {
            side,
            known,
            permission,
            surface,
            risk,
            each: false,
            chain: question.chain,
            own: None,
            cast: None,
            within: question.within,
            bindings: OnceCell::new(),
        };
        view.cast = question
            .cast
            .and_then(|[principal, subject]| Some([principal.get(at)?, subject.get(at)?]));
        view.own = match question.actor {
            Some(scopes) => scopes.get(at).copied().flatten(),
            None => view.caller().and_then(|facts| facts.scope),
        };
        view.each = view.scope_is_list();
        view
    }

    pub(super) fn schema(&self) -> Option<&'a serde_json::Value> {
        self.side.schema(self.surface?.1)
    }

    pub(super) fn fold(&self, attribute: &Attribute) -> Option<Fold> {
        self.surface?.1.arguments.iter().find_map(|fact| {
            let folds = argument(&fact.argument, false) == *attribute
                || argument(&fact.argument, true) == *attribute;
            fact.fold.filter(|_| folds)
        })
    }

    pub(super) fn scope_is_list(&self) -> bool {
        let Some((
            _,
            Surface {
                scope: ScopeSource::Map { argument: path, .. },
                ..
            },
        )) = self.surface
        else {
            return false;
        };
        let shape = Shape::of(&argument(path, false), self.schema());
        shape.list == Some(true) && shape.text == Some(false)
    }

    /// The caller as rules see it: on a public surface whoever is not declared is anonymous.
    pub(super) fn facts(&self) -> Option<&'a Facts> {
        self.seen(self.caller())
    }

    /// Who acts, or who is acted for, as conditions see it: the caller itself where nobody else is.
    pub(super) fn speaker(&self, id: AttributeId) -> Option<&'a Facts> {
        let root = self.side.index.attributes.get(id.index())?.root;
        match (self.cast, root) {
            (Some([principal, _]), Root::Principal) => self.seen(principal.facts()),
            (Some([_, subject]), Root::Subject) => self.seen(subject.facts()),
            _ => self.facts(),
        }
    }

    fn seen(&self, facts: Option<&'a Facts>) -> Option<&'a Facts> {
        let public = self
            .surface
            .is_some_and(|(_, surface)| surface.access == Access::Public);
        facts.filter(|facts| !public || facts.declared)
    }

    fn caller(&self) -> Option<&'a Facts> {
        self.known.facts()
    }

    /// The bindings that give the permission to somebody whom the class can be, sorted.
    pub(super) fn bindings(&self) -> impl Iterator<Item = BindingId> {
        let found = self.bindings.get_or_init(|| self.found());
        found.iter().copied()
    }

    fn found(&self) -> Vec<BindingId> {
        let given = self
            .permission
            .and_then(|it| self.side.grants.get(it.index()));
        let Some(given) = given else {
            return Vec::new();
        };
        let mut subjects = vec![Subject::Everyone];
        if let Some(facts) = self.facts() {
            subjects.extend(facts.principal.map(Subject::Principal));
            subjects.extend(facts.kind.map(Subject::Type));
            subjects.extend(facts.tags.iter().copied().map(Subject::Tag));
            let groups = facts.groups.iter().chain(facts.claimable.iter());
            subjects.extend(groups.copied().map(Subject::Group));
        }
        let named = subjects.iter().filter_map(|it| self.side.named.get(it));
        let mut found: Vec<BindingId> = named
            .flatten()
            .copied()
            .filter(|binding| given.binary_search(binding).is_ok())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &'a Rule> {
        let list = self
            .permission
            .and_then(|it| self.side.rules.get(it.index()));
        let index = self.side.index;
        list.into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|id| index.rules.get(id.index()))
    }

    /// Whether some condition on the permission reads attributes of a root.
    pub(super) fn reads(&self, root: Root) -> bool {
        let bindings = self.bindings().filter_map(|it| self.condition(it));
        let rules = self.rules().filter_map(|rule| rule.condition);
        bindings.chain(rules).any(|it| self.formula_reads(it, root))
    }

    fn formula_reads(&self, id: FormulaId, root: Root) -> bool {
        let index = self.side.index;
        let of = |id: &AttributeId| {
            let attribute = index.attributes.get(id.index());
            attribute.is_some_and(|it| it.root == root)
        };
        match index.formulas.get(id.index()) {
            None | Some(Formula::Constant(_)) => false,
            Some(Formula::All(parts) | Formula::Any(parts)) => {
                parts.iter().any(|it| self.formula_reads(*it, root))
            }
            Some(Formula::Every(list, body) | Formula::Some(list, body)) => {
                of(list) || self.formula_reads(*body, root)
            }
            Some(Formula::Literal { test, .. }) => read_by(test).any(|id| of(&id)),
        }
    }

    pub(super) fn condition(&self, binding: BindingId) -> Option<FormulaId> {
        if self.side.unconditional == Some(binding) {
            return None;
        }
        self.side.index.bindings.conditions.get(binding.index())
    }

    pub(super) fn binding_dates(&self, binding: BindingId) -> Dates {
        self.side.index.bindings.dates.get(binding.index())
    }

    /// Whether the class is among the subjects: surely, or when its token carries a group.
    pub(super) fn among(&self, subjects: &[Subject]) -> Membership {
        let mut groups = BTreeSet::new();
        for subject in subjects {
            let sure = match (subject, self.facts()) {
                (Subject::Everyone, _) => true,
                (_, None) => false,
                (Subject::Type(kind), Some(facts)) => facts.kind == Some(*kind),
                (Subject::Tag(tag), Some(facts)) => facts.tags.contains(tag),
                (Subject::Group(group), Some(facts)) => {
                    if facts.claimable.contains(group) {
                        groups.insert(*group);
                    }
                    facts.groups.contains(group)
                }
                (Subject::Principal(id), Some(facts)) => facts.principal == Some(*id),
            };
            if sure {
                return Membership::Always;
            }
        }
        if groups.is_empty() {
            Membership::Never
        } else {
            Membership::With(groups)
        }
    }

    pub(super) fn collect(&self, collector: &mut Collector) {
        let Some((_, surface)) = self.surface else {
            return;
        };
        if let ScopeSource::Map {
            argument: path,
            exact,
            prefixes,
        } = &surface.scope
        {
            let reads = collector.attribute(&argument(path, self.each));
            let texts = exact.texts().iter();
            for text in texts.filter(|text| self.asks_about_text(text)) {
                reads.text(text);
            }
            for text in prefixes.texts().iter() {
                reads.prefix(text);
            }
        }
        for fact in surface
            .arguments
            .iter()
            .filter(|fact| fact.forbid || !fact.only.is_empty())
        {
            let attribute = argument(&fact.argument, self.is_each(fact));
            let reads = collector.attribute(&attribute);
            for text in &fact.only {
                reads.text(text);
            }
            if !fact.forbid && !self.is_each(fact) {
                reads.list(&attribute, only_of(fact));
                collector.other(accepts(fact));
            }
        }
        if surface.access != Access::Public {
            collector.other(Key::Token);
        }
        if let Some(facts) = self.facts() {
            collect_dates(collector, facts.dates);
        }
        // What holds nowhere that is asked about has no part in an answer.
        let places = self.places();
        let tree = &self.side.index.scopes;
        let matters = |scope: ScopeId| places.iter().any(|place| tree.covers(scope, *place));
        for binding in self.bindings() {
            let scope = self.side.policy.bindings().scopes.get(binding.index());
            if !scope.is_some_and(|it| matters(*it)) {
                continue;
            }
            let among = self.among(self.side.subjects(binding));
            self.collect_member(collector, &among);
            if among != Membership::Never {
                collect_dates(collector, self.binding_dates(binding));
                self.collect_formula(collector, self.condition(binding), false);
            }
        }
        for rule in self.rules().filter(|rule| matters(rule.scope)) {
            self.collect_member(collector, &self.among(&rule.who));
            self.collect_member(collector, &self.among(&rule.except));
            collect_dates(collector, rule.dates);
            self.collect_formula(collector, rule.condition, true);
        }
    }

    pub(super) fn is_each(&self, fact: &ArgumentFact) -> bool {
        matches!(&self.surface, Some((_, surface)) if self.each
            && matches!(&surface.scope, ScopeSource::Map { argument, .. } if *argument == fact.argument))
    }

    pub(super) fn collect_member(&self, collector: &mut Collector, among: &Membership) {
        if let Membership::With(groups) = among {
            for group in groups {
                collector.other(self.group(*group));
            }
        }
    }

    pub(super) fn group(&self, group: GroupId) -> Key {
        let groups = &self.side.index.groups;
        let claim = groups
            .get(group.index())
            .and_then(|group| group.claim.as_ref());
        let (issuer, value) = claim.map_or(("", ""), |(issuer, value)| {
            let issuer = self.side.policy.issuer_entry(*issuer);
            (
                issuer.map_or("", |issuer| issuer.name.as_str()),
                value.as_str(),
            )
        });
        Key::Group(issuer.to_owned(), value.to_owned())
    }

    pub(super) fn collect_formula(
        &self,
        collector: &mut Collector,
        id: Option<FormulaId>,
        default: bool,
    ) {
        let index = self.side.index;
        match id.and_then(|id| index.formulas.get(id.index())) {
            None | Some(Formula::Constant(_)) => {}
            Some(Formula::All(parts) | Formula::Any(parts)) => {
                for part in parts {
                    self.collect_formula(collector, Some(*part), default);
                }
            }
            Some(Formula::Every(list, _) | Formula::Some(list, _)) => {
                if let (Some(attribute), Some(ask)) = (
                    self.request(*list),
                    id.and_then(|id| self.quantified(id, default)),
                ) {
                    collector.attribute(attribute).list(attribute, ask);
                    collector.other(self.quantifier(id, default));
                }
            }
            Some(Formula::Literal { test, .. }) => self.collect_test(collector, test),
        }
    }

    /// A quantifier, apart from its index.
    pub(super) fn quantified(&self, id: FormulaId, default: bool) -> Option<Ask> {
        let (every, body) = match self.side.index.formulas.get(id.index())? {
            Formula::Every(_, body) => (true, body),
            Formula::Some(_, body) => (false, body),
            _ => return None,
        };
        Some(Ask::Quantifier {
            every,
            body: self.body(*body)?,
            default,
            words: words::formula(self.side.index, id),
        })
    }

    fn body(&self, id: FormulaId) -> Option<Body> {
        let all = |parts: &[FormulaId]| -> Option<Vec<Body>> {
            parts.iter().map(|it| self.body(*it)).collect()
        };
        Some(match self.side.index.formulas.get(id.index())? {
            Formula::Constant(value) => Body::Constant(*value),
            Formula::All(parts) => Body::All(all(parts)?),
            Formula::Any(parts) => Body::Any(all(parts)?),
            Formula::Literal { test, negated } => {
                let attribute = self.side.index.attributes.get(tested(test).index())?;
                Body::Literal(attribute.clone(), test.clone(), *negated)
            }
            Formula::Every(..) | Formula::Some(..) => return None,
        })
    }

    pub(super) fn quantifier(&self, id: Option<FormulaId>, default: bool) -> Key {
        let text = id.map_or_else(String::new, |id| words::formula(self.side.index, id));
        Key::Flag(if default {
            format!("{text} (undetermined counts)")
        } else {
            text
        })
    }

    pub(super) fn collect_test(&self, collector: &mut Collector, test: &Test) {
        if let Test::Same(left, right) = test {
            for (this, other) in [(left, right), (right, left)] {
                if let Some(attribute) = self.request(*this) {
                    for text in self.texts(*other) {
                        collector.attribute(attribute).text(&text);
                    }
                }
            }
            if let (Some(left), Some(right)) = (self.request(*left), self.request(*right)) {
                collector.attribute(left).test(test);
                collector.attribute(right).test(test);
                collector.same(left, right);
                collector.flag(self.flag(test), self.side.index, test);
            }
            return;
        }
        let id = tested(test);
        if let Some(attribute) = self.request(id) {
            let reads = collector.attribute(attribute);
            reads.test(test);
            if let Some(ask) = ask_of(test).filter(|_| attribute.root == Root::Args) {
                reads.list(attribute, ask);
            }
            if is_opaque(test) {
                collector.flag(self.flag(test), self.side.index, test);
            }
        } else if let (Constant::Groups, Test::Member(_, Value::Text(name))) =
            (self.constant(id), test)
            && let Some(group) = self.claimable(id, name)
        {
            collector.other(self.group(group));
        }
    }

    /// The texts that an attribute of the caller or the scope can be.
    pub(super) fn texts(&self, id: AttributeId) -> Vec<String> {
        let tree = &self.side.index.scopes;
        match self.constant(id) {
            Constant::Text(text) => vec![text],
            Constant::Scope(team) => self
                .places()
                .into_iter()
                .filter_map(|scope| scope_text(tree, scope, team))
                .collect(),
            Constant::Absent | Constant::Groups | Constant::Tags => Vec::new(),
        }
    }

    /// All scopes that a call can be decided in.
    pub(super) fn scopes(&self) -> Vec<ScopeId> {
        let Some((home, surface)) = self.surface else {
            return Vec::new();
        };
        let own = self.own;
        let tree = &self.side.index.scopes;
        let mut scopes: Vec<_> = match &surface.scope {
            ScopeSource::Server | ScopeSource::Unscoped => vec![home],
            ScopeSource::Principal => own.into_iter().collect(),
            ScopeSource::Force { team: true, .. } => {
                own.and_then(|it| tree.team(it)).into_iter().collect()
            }
            ScopeSource::Force { .. } => own
                .and_then(|it| tree.organization(it))
                .into_iter()
                .collect(),
            ScopeSource::Map {
                exact, prefixes, ..
            } => [exact.scopes(), prefixes.scopes()].concat(),
        };
        scopes.retain(|scope| tree.covers(home, *scope));
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// The values of the argument that names the scope with which a call can be allowed, as far as
    /// that is cheap to see, at a scope or below; `None` is all values.
    pub(super) fn open_within(&self, top: ScopeId) -> Option<BTreeSet<String>> {
        let (_, surface) = self.surface?;
        let tree = &self.side.index.scopes;
        let columns = self.side.policy.bindings();
        let granted = self
            .bindings()
            .filter_map(|it| columns.scopes.get(it.index()).copied());
        let mut granted: Vec<ScopeId> = granted.collect();
        granted.dedup();
        let needed = surface.access == Access::Permission;
        // Most callers are given nothing, and then no value needs a look at the tree.
        texts_for(surface, |it| {
            (!needed || granted.iter().any(|at| tree.covers(*at, it))) && tree.covers(top, it)
        })
    }

    /// The scopes of [`Self::scopes`] that are asked about.
    fn places(&self) -> Vec<ScopeId> {
        let (Some((home, surface)), Some(within)) = (self.surface, self.within) else {
            return self.scopes();
        };
        let ScopeSource::Map { exact, .. } = &surface.scope else {
            return self.scopes();
        };
        let tree = &self.side.index.scopes;
        let mut places: Vec<ScopeId> = within.iter().filter_map(|text| exact.get(text)).collect();
        places.retain(|scope| tree.covers(home, *scope));
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Whether calls with these values of the scope's argument are asked about.
    pub(super) fn asks_about(&self, region: &Region) -> bool {
        match region {
            Region::Exactly(text) => self.asks_about_text(text),
            _ => self.within.is_none(),
        }
    }

    fn asks_about_text(&self, text: &str) -> bool {
        self.within.is_none_or(|within| within.contains(text))
    }

    /// Whether a scope lies in another organization than the caller.
    pub(super) fn is_abroad(&self, scope: ScopeId) -> bool {
        let tree = &self.side.index.scopes;
        let own = self.facts().and_then(|facts| facts.scope);
        let own = own.and_then(|it| tree.organization(it));
        own.is_some_and(|own| tree.organization(scope).is_some_and(|it| it != own))
    }

    /// The scope of a call whose scope argument lies in a region.
    pub(super) fn scope_of(&self, region: &Region) -> Option<ScopeId> {
        let (home, surface) = self.surface?;
        let ScopeSource::Map {
            exact, prefixes, ..
        } = &surface.scope
        else {
            return None;
        };
        let scope = match region {
            Region::Exactly(text) => exact.get(text).or_else(|| prefixes.by_prefix(text)),
            Region::Texts(texts) => prefixes.by_prefix(&texts.prefix),
            _ => None,
        };
        scope.filter(|scope| self.side.index.scopes.covers(home, *scope))
    }

    /// The group of this name, where a token can make its speaker one of it.
    pub(super) fn claimable(&self, id: AttributeId, name: &str) -> Option<GroupId> {
        let group = self.side.policy.group(name)?;
        let facts = self.speaker(id)?;
        facts.claimable.contains(&group).then_some(group)
    }

    pub(super) fn flag(&self, test: &Test) -> Key {
        Key::Flag(words::test(self.side.index, test))
    }

    /// The attribute, when it is one of the request and thus a variable. An argument that is forced
    /// to the caller's scope is none: whatever is sent, conditions read the scope's name.
    pub(super) fn request(&self, id: AttributeId) -> Option<&'a Attribute> {
        let attribute = self.side.index.attributes.get(id.index())?;
        let free = match attribute.root {
            Root::Args => self.forced(attribute).is_none(),
            Root::Request => true,
            Root::Principal | Root::Subject => self.chain,
            Root::Scope => false,
        };
        free.then_some(attribute)
    }

    /// Whether an attribute is forced to the caller's team, or else organization.
    fn forced(&self, attribute: &Attribute) -> Option<bool> {
        let (_, surface) = self.surface?;
        match &surface.scope {
            ScopeSource::Force {
                argument: path,
                team,
            } => (argument(path, false) == *attribute).then_some(*team),
            _ => None,
        }
    }

    /// What the attribute is for this class, when it is one of the caller. A single caller is both
    /// principal and subject.
    pub(super) fn constant(&self, id: AttributeId) -> Constant {
        let Some(attribute) = self.side.index.attributes.get(id.index()) else {
            return Constant::Absent;
        };
        if let Some(team) = self.forced(attribute) {
            return Constant::Scope(team);
        }
        let [Segment::Field(name)] = attribute.path.as_slice() else {
            return Constant::Absent;
        };
        match (attribute.root, name.as_str(), self.speaker(id)) {
            (Root::Principal | Root::Subject, "groups", _) => Constant::Groups,
            (Root::Principal | Root::Subject, "tags", _) => Constant::Tags,
            (Root::Principal | Root::Subject, name, Some(facts)) => facts
                .text(self.side, name)
                .map_or(Constant::Absent, Constant::Text),
            (Root::Scope, "organization", _) => Constant::Scope(false),
            (Root::Scope, "team", _) => Constant::Scope(true),
            _ => Constant::Absent,
        }
    }
}

/// The values of the argument that names a surface's scope which stand for such scopes; `None`,
/// where these are not a few texts, is all values.
pub(super) fn texts_for(
    surface: &Surface,
    such: impl Fn(ScopeId) -> bool,
) -> Option<BTreeSet<String>> {
    let ScopeSource::Map {
        exact, prefixes, ..
    } = &surface.scope
    else {
        return None;
    };
    if prefixes.scopes().iter().any(|scope| such(*scope)) {
        return None;
    }
    let texts = exact.iter().filter(|(_, scope)| such(*scope));
    Some(texts.map(|(text, _)| text.to_owned()).collect())
}

/// Whether a class is among some subjects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Never,
    Always,
    With(BTreeSet<GroupId>),
}

/// An attribute of the caller or the scope.
pub(super) enum Constant {
    Absent,
    Text(String),
    Groups,
    Tags,
    /// The organization's or the team's name of the scope that is being decided.
    Scope(bool),
}

/// The name of a scope's organization or team.
pub(super) fn scope_text(tree: &ScopeTree, scope: ScopeId, team: bool) -> Option<String> {
    let node = if team {
        tree.team(scope)
    } else {
        tree.organization(scope)
    };
    node.map(|node| tree.name(node).to_owned())
}

fn collect_dates(collector: &mut Collector, dates: Dates) {
    if dates == Dates::default() {
        return;
    }
    let reads = collector.attribute(&now());
    for time in [dates.not_before, dates.expires].into_iter().flatten() {
        reads.instant(time.0);
    }
}

/// The time of the call.
pub(super) fn now() -> Attribute {
    Attribute {
        root: Root::Request,
        path: vec![Segment::Field("time".to_owned())],
    }
}

/// The attributes that a test reads.
pub(crate) fn read_by(test: &Test) -> impl Iterator<Item = AttributeId> + use<> {
    let other = match test {
        Test::Same(_, other) => Some(*other),
        _ => None,
    };
    std::iter::once(tested(test)).chain(other)
}

/// The attribute that a test reads; the first of two.
pub(super) fn tested(test: &Test) -> AttributeId {
    match test {
        Test::Present(id)
        | Test::True(id)
        | Test::Compare(id, ..)
        | Test::In(id, _)
        | Test::Member(id, _)
        | Test::StartsWith(id, _)
        | Test::EndsWith(id, _)
        | Test::Contains(id, _)
        | Test::Matches(id, _)
        | Test::Size(id, ..)
        | Test::Network(id, _)
        | Test::Same(id, _)
        | Test::During(id, _) => *id,
    }
}

/// Whether a test can go either way inside one region.
pub(super) fn is_opaque(test: &Test) -> bool {
    matches!(
        test,
        Test::Member(..)
            | Test::EndsWith(..)
            | Test::Contains(..)
            | Test::Matches(..)
            | Test::Size(..)
            | Test::Same(..)
    )
}
