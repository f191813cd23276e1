//! Two policies side by side: callers by class, surfaces by name.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;
use latchkey_engine::{
    condition::{Attribute, Root, Segment},
    id::{
        BindingId, GroupId, IssuerId, PermissionId, PrincipalId, RuleId, ScopeId, SurfaceId, TagId,
    },
    index::{Access, Index, PrincipalType, ScopeSource, Subject, Surface},
    policy::Policy,
    time::Dates,
};
use latchkey_gate::{call::StatedCaller, gate::Gate};

/// One of the two policies, with the look-ups that the analysis needs.
#[derive(Debug, Clone)]
pub(super) struct Side<'a> {
    pub(super) gate: &'a Gate,
    pub(super) policy: &'a Policy,
    pub(super) index: &'a Index,
    /// The bindings that give each permission.
    pub(super) grants: Vec<Arc<Vec<BindingId>>>,
    /// The rules that speak of each permission.
    pub(super) rules: Vec<Arc<Vec<RuleId>>>,
    /// The schemas, read.
    pub(super) schemas: Arc<[serde_json::Value]>,
    /// The bindings that name each subject, what they give aside; sorted.
    pub(super) named: Arc<HashMap<Subject, Vec<BindingId>>>,
    /// Whether some binding or rule names each principal itself.
    pub(super) direct: Vec<bool>,
    /// A binding whose condition is left out, for a question of what it does.
    pub(super) unconditional: Option<BindingId>,
    /// Whether every break-glass counts as activated.
    pub(super) unlocked: bool,
    /// The groups that a token of each issuer can add.
    pub(super) claimable: Arc<[Arc<BTreeSet<GroupId>>]>,
}

/// Callers that no decision of either policy tells apart, but by groups of their tokens.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// How the report names them; sorted.
    pub(super) subjects: Vec<String>,
    /// One of them.
    pub(super) sample: Sample,
    /// All of them: issuer and subject of each.
    pub(super) identities: Vec<(String, String)>,
    /// Issuers whose undeclared subjects are among them, and such a subject of each.
    pub(super) strangers: Vec<(String, String)>,
    /// What the old and the new policy know of them: the same where the policies are.
    known: [Arc<Known>; 2],
}

/// A caller that a witness can state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sample {
    /// Nobody.
    Anonymous,
    /// The issuer's name and the subject, and the principal's name where both policies have it.
    Identity {
        issuer: String,
        subject: String,
        principal: Option<String>,
    },
}

/// What one policy knows of a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// The issuer does not exist.
    NoIssuer,
    /// No identity at all.
    Anonymous,
    /// The issuer may speak for declared principals only, and this is none.
    Undeclared(Facts),
    /// A principal of an organization that the issuer may not speak for: refused at the door.
    Foreign,
    /// A caller.
    Caller(Facts),
}

/// The facts of a caller that decisions can depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Facts {
    pub(super) declared: bool,
    pub(super) kind: Option<PrincipalType>,
    pub(super) scope: Option<ScopeId>,
    pub(super) suspended: bool,
    pub(super) dates: Dates,
    pub(super) tags: BTreeSet<TagId>,
    pub(super) groups: BTreeSet<GroupId>,
    /// Groups that a token of its issuer can add.
    pub(super) claimable: Arc<BTreeSet<GroupId>>,
    /// The principal, where a binding or rule names it; others are alike.
    pub(super) principal: Option<PrincipalId>,
    /// Its name, where some condition reads names.
    pub(super) name: Option<String>,
}

impl<'a> Side<'a> {
    pub(super) fn new(gate: &'a Gate) -> Self {
        let policy = gate.policy();
        let index = policy.index();
        let starts = index.permission_starts();
        let count = starts.last().map_or(0, |end| end.index());
        let mut side = Self {
            gate,
            policy,
            index,
            grants: Vec::new(),
            rules: Vec::new(),
            schemas: index
                .schemas
                .iter()
                .map(|text| serde_json::from_str(text).unwrap_or_default())
                .collect(),
            named: Arc::default(),
            direct: vec![false; index.principals.names.len()],
            unconditional: None,
            unlocked: false,
            claimable: claimable(index),
        };
        side.fill_bindings(count);
        side.fill_rules(count);
        side
    }

    /// The surface with this name, and its entry.
    pub(super) fn surface(&self, name: &str) -> Option<(SurfaceId, &'a Surface)> {
        let id = self.policy.surface_by_name(name)?;
        Some((id, self.policy.surface_entry(id)?))
    }

    /// The permission of a surface's operation, by name.
    pub(super) fn permission(&self, name: &str, operation: Option<&str>) -> Option<PermissionId> {
        let (id, surface) = self.surface(name)?;
        let at = match (&surface.operations, operation) {
            (None, None) => None,
            (Some(operations), Some(operation)) => Some(
                operations
                    .values
                    .iter()
                    .position(|(value, _)| value == operation)?,
            ),
            _ => return None,
        };
        self.policy.permission(id, at)
    }

    /// The schema of a surface, read.
    pub(super) fn schema(&self, surface: &Surface) -> Option<&serde_json::Value> {
        self.schemas.get(surface.schema?.index())
    }

    /// The subjects of a binding.
    pub(super) fn subjects(&self, binding: BindingId) -> &'a [Subject] {
        self.policy.bindings().subjects_of(binding)
    }

    fn bindings(&self) -> impl Iterator<Item = BindingId> + use<> {
        (0..u32::try_from(self.index.bindings.names.len()).unwrap_or(0)).map(BindingId)
    }

    fn fill_bindings(&mut self, permissions: usize) {
        let mut grants = vec![Vec::new(); permissions];
        let mut named: HashMap<Subject, Vec<BindingId>> = HashMap::new();
        let mut given: Vec<PermissionId> = Vec::new();
        for binding in self.bindings() {
            let set = self.policy.bindings().roles.get(binding.index()).copied();
            given.clear();
            let of_set = |set| self.index.permissions_of(set);
            given.extend(set.into_iter().flat_map(of_set));
            given.sort_unstable();
            given.dedup();
            for permission in &given {
                if let Some(list) = grants.get_mut(permission.index()) {
                    list.push(binding);
                }
            }
            for subject in self.subjects(binding) {
                named.entry(*subject).or_default().push(binding);
                if let Subject::Principal(id) = subject
                    && let Some(direct) = self.direct.get_mut(id.index())
                {
                    *direct = true;
                }
            }
        }
        self.named = Arc::new(named);
        self.grants = grants.into_iter().map(Arc::new).collect();
    }

    fn fill_rules(&mut self, permissions: usize) {
        let mut rules = vec![Vec::new(); permissions];
        for (at, rule) in self.index.rules.iter().enumerate() {
            let id = RuleId(u32::try_from(at).unwrap_or(u32::MAX));
            for permission in &rule.permissions {
                if let Some(list) = rules.get_mut(permission.index()) {
                    list.push(id);
                }
            }
            for subject in rule.who.iter().chain(&rule.except) {
                if let Subject::Principal(it) = subject
                    && let Some(named) = self.direct.get_mut(it.index())
                {
                    *named = true;
                }
            }
        }
        self.rules = rules.into_iter().map(Arc::new).collect();
    }

    /// Whether some condition reads who acts or who is acted for.
    pub(super) fn reads_chain(&self) -> bool {
        let of_chain = |it: &Attribute| matches!(it.root, Root::Principal | Root::Subject);
        self.index.attributes.iter().any(of_chain)
    }

    /// Whether a surface asks for no identity.
    pub(super) fn is_public(&self, surface: &str) -> bool {
        let found = self.surface(surface);
        found.is_some_and(|(_, surface)| surface.access == Access::Public)
    }

    /// Whether calls of a surface take place where their caller belongs.
    pub(super) fn takes_scope_from_caller(&self, surface: &str) -> bool {
        let scope = self.surface(surface).map(|(_, surface)| &surface.scope);
        matches!(
            scope,
            Some(ScopeSource::Principal | ScopeSource::Force { .. })
        )
    }

    pub(super) fn reads_names(&self) -> bool {
        let name = [Segment::Field("name".to_owned())];
        let named =
            |it: &Attribute| matches!(it.root, Root::Principal | Root::Subject) && it.path == name;
        self.index.attributes.iter().any(named)
    }

    /// What this policy knows of a subject of an issuer.
    pub(super) fn known(&self, issuer: &str, subject: &str, names: bool) -> Known {
        let Some(issuer) = self.policy.issuer(issuer) else {
            return Known::NoIssuer;
        };
        match self.policy.principal_by_identity(issuer, subject) {
            Some(principal) if self.is_foreign(issuer, principal) => Known::Foreign,
            Some(principal) => Known::Caller(self.declared(issuer, principal, names)),
            None => self.undeclared(issuer),
        }
    }

    /// Whether a token of one issuer may name a caller of another one in a chain; `None` where one
    /// of the issuers does not exist.
    pub(super) fn vouches(&self, token: &str, issuer: &str, subject: &str) -> Option<bool> {
        let (token, issuer) = (self.policy.issuer(token)?, self.policy.issuer(issuer)?);
        let caller = self.policy.caller(issuer, subject, &[]);
        Some(self.gate.vouches(token, issuer, caller.scope))
    }

    fn is_foreign(&self, issuer: IssuerId, principal: PrincipalId) -> bool {
        let scope = self.index.principals.scopes.get(principal.index());
        let organization = scope.and_then(|scope| self.index.scopes.organization(*scope));
        let entry = self.policy.issuer_entry(issuer);
        organization.is_some_and(|organization| {
            !entry.is_some_and(|entry| entry.organizations.contains(&organization))
        })
    }

    fn undeclared(&self, issuer: IssuerId) -> Known {
        let Some(entry) = self.policy.issuer_entry(issuer) else {
            return Known::NoIssuer;
        };
        let scope = match entry.organizations.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let facts = Facts {
            kind: entry.undeclared_type,
            scope,
            claimable: self.claimable(issuer),
            ..Facts::default()
        };
        if entry.undeclared {
            Known::Caller(facts)
        } else {
            Known::Undeclared(facts)
        }
    }

    fn declared(&self, issuer: IssuerId, principal: PrincipalId, names: bool) -> Facts {
        let principals = &self.index.principals;
        let at = principal.index();
        let named = self.direct.get(at).copied().unwrap_or_default();
        Facts {
            declared: true,
            kind: principals.types.get(at).copied(),
            scope: principals.scopes.get(at).copied(),
            suspended: principals.suspended.binary_search(&principal).is_ok(),
            dates: principals.dates.get(at),
            tags: of(&principals.tags, principal),
            groups: of(&principals.groups, principal),
            claimable: self.claimable(issuer),
            principal: named.then_some(principal),
            name: names.then(|| self.policy.principal_name(principal).to_owned()),
        }
    }

    fn claimable(&self, issuer: IssuerId) -> Arc<BTreeSet<GroupId>> {
        let groups = self.claimable.get(issuer.index());
        groups.cloned().unwrap_or_default()
    }

    /// Every identity: issuer name, subject, principal name.
    fn identities(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let principals = &self.index.principals;
        principals
            .identities
            .iter()
            .enumerate()
            .map(move |(at, (issuer, principal))| {
                let issuer = self
                    .policy
                    .issuer_entry(*issuer)
                    .map_or("", |it| it.name.as_str());
                let subject = principals.identity_subjects.get(at);
                let name = self.policy.principal_name(*principal);
                (issuer, subject, name)
            })
    }
}

/// The groups that a token of each issuer can add.
fn claimable(index: &Index) -> Arc<[Arc<BTreeSet<GroupId>>]> {
    let mut found = vec![BTreeSet::new(); index.issuers.len()];
    for (group, at) in index.groups.iter().zip(0..) {
        let issuer = group.claim.as_ref().map(|(issuer, _)| issuer.index());
        if let Some(groups) = issuer.and_then(|issuer| found.get_mut(issuer)) {
            groups.insert(GroupId(at));
        }
    }
    found.into_iter().map(Arc::new).collect()
}

impl Class {
    /// The scope of its callers on both sides.
    pub(super) fn scopes(&self) -> [Option<ScopeId>; 2] {
        self.known()
            .map(|known| known.facts().and_then(|facts| facts.scope))
    }

    /// What the old and the new policy know of its callers.
    pub(super) fn known(&self) -> [&Known; 2] {
        self.known.each_ref().map(|known| &**known)
    }
}

impl Known {
    /// The facts of somebody with an identity.
    pub(super) fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Caller(facts) | Self::Undeclared(facts) => Some(facts),
            Self::NoIssuer | Self::Anonymous | Self::Foreign => None,
        }
    }

    /// The same without what a token can add: it speaks of the last of a chain only.
    pub(super) fn without_claims(&self) -> Self {
        let mut known = self.clone();
        if let Self::Caller(facts) | Self::Undeclared(facts) = &mut known {
            facts.claimable = Arc::default();
        }
        known
    }
}

impl Facts {
    /// A text attribute of the caller, as conditions read it.
    pub(super) fn text(&self, side: &Side<'_>, name: &str) -> Option<String> {
        let tree = &side.index.scopes;
        let named = |scope: Option<ScopeId>| scope.map(|scope| tree.name(scope).to_owned());
        match name {
            "name" => self.name.clone(),
            "type" => self.kind.map(|kind| type_word(kind).to_owned()),
            "organization" => named(self.scope.and_then(|scope| tree.organization(scope))),
            "team" => named(self.scope.and_then(|scope| tree.team(scope))),
            _ => None,
        }
    }
}

impl Sample {
    /// The caller as a call states it, with these claim values; nobody is nothing.
    pub(super) fn stated(&self, groups: Vec<String>) -> Option<StatedCaller> {
        let Self::Identity {
            issuer,
            subject,
            principal,
        } = self
        else {
            return None;
        };
        Some(StatedCaller {
            principal: principal.clone(),
            issuer: Some(issuer.clone()),
            subject: principal.is_none().then(|| subject.clone()),
            groups,
        })
    }
}

/// The word of a type in conditions.
fn type_word(kind: PrincipalType) -> &'static str {
    match kind {
        PrincipalType::Human => "human",
        PrincipalType::Service => "service",
        PrincipalType::Agent => "agent",
    }
}

/// What pairs that are sorted by principal say of one.
fn of<T: Copy + Ord>(pairs: &[(PrincipalId, T)], principal: PrincipalId) -> BTreeSet<T> {
    let start = pairs.partition_point(|(it, _)| *it < principal);
    let pairs = pairs.get(start..).unwrap_or_default().iter();
    pairs
        .take_while(|(it, _)| *it == principal)
        .map(|(_, value)| *value)
        .collect()
}

/// All callers of either policy, by class.
pub(super) fn classes(old: &Side<'_>, new: &Side<'_>) -> Vec<Class> {
    let classes = by_knowledge(old, new, Members::add).into_iter();
    classes
        .filter_map(|(known, members)| members.into_class(known))
        .collect()
}

/// Callers that no decision of one policy tells apart, but by groups of their tokens.
#[derive(Debug)]
pub(super) struct Kind {
    /// The first of their names, as a report names them.
    pub(super) subject: Box<str>,
    known: Arc<Known>,
}

/// All callers of one policy, by kind: in the order of their classes.
pub(super) fn kinds(side: &Side<'_>) -> Vec<Kind> {
    let first = |least: &mut Option<Box<str>>, caller: &Caller<'_>| {
        let name = caller.label();
        if least.as_deref().is_none_or(|least| *name < *least) {
            *least = Some(name.into());
        }
    };
    let kinds = by_knowledge(side, side, first).into_iter();
    kinds
        .filter_map(|([known, _], subject)| subject.map(|subject| Kind { subject, known }))
        .collect()
}

impl Kind {
    /// The scope of its callers, for both sides of a question.
    pub(super) fn scopes(&self) -> [Option<ScopeId>; 2] {
        [self.known.facts().and_then(|facts| facts.scope); 2]
    }

    /// What the policy knows of its callers, for both sides of a question.
    pub(super) fn known(&self) -> [&Known; 2] {
        [&self.known; 2]
    }
}

/// Somebody who may call.
enum Caller<'a> {
    /// Of an identity that one of the policies declares.
    Declared {
        issuer: &'a str,
        subject: &'a str,
        /// The name of the principal.
        name: &'a str,
        /// Whether both policies give it this name.
        both: bool,
    },
    /// Of an identity that none declares.
    Stranger { issuer: &'a str, subject: &'a str },
    /// Without an identity.
    Nobody,
}

impl<'a> Caller<'a> {
    /// How a report names it.
    fn label(&self) -> Cow<'a, str> {
        match self {
            Self::Declared { name, .. } => Cow::Borrowed(name),
            Self::Stranger { issuer, .. } => Cow::Owned(format!("undeclared:{issuer}")),
            Self::Nobody => Cow::Borrowed("anonymous"),
        }
    }

    fn sample(&self) -> Sample {
        match *self {
            Self::Nobody => Sample::Anonymous,
            Self::Stranger { issuer, subject } => Sample::Identity {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                principal: None,
            },
            Self::Declared {
                issuer,
                subject,
                name,
                both,
            } => Sample::Identity {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                principal: both.then(|| name.to_owned()),
            },
        }
    }
}

/// Every caller of either policy, added to the others of whom the policies know the same.
fn by_knowledge<M: Default>(
    old: &Side<'_>,
    new: &Side<'_>,
    add: impl Fn(&mut M, &Caller<'_>),
) -> BTreeMap<[Arc<Known>; 2], M> {
    let names = old.reads_names() || new.reads_names();
    let same = std::ptr::eq(old, new);
    let known = |issuer: &str, subject: &str| {
        let before = Arc::new(old.known(issuer, subject, names));
        let after = if same {
            Arc::clone(&before)
        } else {
            Arc::new(new.known(issuer, subject, names))
        };
        [before, after]
    };
    let mut identities: Vec<_> = old.identities().collect();
    if !same {
        identities.extend(new.identities());
    }
    // Stable, so that of the names by both policies the new one is the last.
    identities.sort_by_key(|(issuer, subject, _)| (*issuer, *subject));
    let mut classes: BTreeMap<[Arc<Known>; 2], M> = BTreeMap::new();
    for names in identities.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        let (Some((_, _, first)), Some((issuer, subject, name))) = (names.first(), names.last())
        else {
            continue;
        };
        let caller = Caller::Declared {
            issuer,
            subject,
            name,
            both: (same || names.len() == 2) && first == name,
        };
        add(classes.entry(known(issuer, subject)).or_default(), &caller);
    }
    for (issuer, subject) in &strangers(old, new) {
        let caller = Caller::Stranger { issuer, subject };
        add(classes.entry(known(issuer, subject)).or_default(), &caller);
    }
    let nobody = Arc::new(Known::Anonymous);
    let nobody = classes.entry([Arc::clone(&nobody), nobody]).or_default();
    add(nobody, &Caller::Nobody);
    classes
}

/// Who is of a class.
#[derive(Default)]
struct Members {
    subjects: Vec<String>,
    /// The first of them.
    sample: Option<Sample>,
    identities: Vec<(String, String)>,
    strangers: Vec<(String, String)>,
}

impl Members {
    fn add(&mut self, caller: &Caller<'_>) {
        self.subjects.push(caller.label().into_owned());
        self.sample.get_or_insert_with(|| caller.sample());
        let identity = |issuer: &str, subject: &str| (issuer.to_owned(), subject.to_owned());
        match caller {
            Caller::Declared {
                issuer, subject, ..
            } => self.identities.push(identity(issuer, subject)),
            Caller::Stranger { issuer, subject } => {
                self.strangers.push(identity(issuer, subject));
            }
            Caller::Nobody => {}
        }
    }

    fn into_class(mut self, known: [Arc<Known>; 2]) -> Option<Class> {
        self.subjects.sort_unstable();
        self.subjects.dedup();
        Some(Class {
            subjects: self.subjects,
            sample: self.sample?,
            identities: self.identities,
            strangers: self.strangers,
            known,
        })
    }
}

/// For each issuer a subject that neither policy declares.
fn strangers(old: &Side<'_>, new: &Side<'_>) -> BTreeSet<(String, String)> {
    let issuers = old.index.issuers.iter().chain(&new.index.issuers);
    issuers
        .map(|issuer| {
            let taken = |subject: &str| {
                [old, new].iter().any(|side| {
                    let id = side.policy.issuer(&issuer.name);
                    id.is_some_and(|id| side.policy.principal_by_identity(id, subject).is_some())
                })
            };
            let mut subject = "someone-undeclared".to_owned();
            while taken(&subject) {
                subject.push('-');
            }
            (issuer.name.clone(), subject)
        })
        .collect()
}
