//! An opened bundle: the index, proved sound, with the look-ups that decisions need.

use std::{ops::Range, sync::OnceLock};

use sha2::{Digest, Sha256};

use crate::{
    bundle::OpenError,
    call::Caller,
    condition::Program,
    id::{
        AttributeId, BindingId, GroupId, IssuerId, PermissionId, PrincipalId, RoleId, RuleId,
        ServerId, SurfaceId,
    },
    index::{BindingColumns, Group, Index, Issuer, Obligation, Risk, Server, Surface, SurfaceKind},
};

pub(crate) mod facts;
pub(crate) mod grants;
pub(crate) mod obligations;
mod reach;
pub(crate) mod roles;
pub(crate) mod rules;
mod slots;

pub use grants::Grants;
pub use obligations::ObligationSource;

/// A policy in force. The only way to one is [`Policy::open`].
#[derive(Debug)]
pub struct Policy {
    digest: [u8; 32],
    index: Index,
    /// The first surface of each server, and one past the last.
    server_surfaces: Vec<u32>,
    /// See [`Index::permission_starts`].
    permission_starts: Vec<PermissionId>,
    /// Issuers by the text of their URL.
    issuers_by_url: Vec<IssuerId>,
    /// Groups that a claim gives, by issuer and then claim value.
    groups_by_claim: Vec<(IssuerId, GroupId)>,
    slots: slots::Slots,
    obligations: obligations::Table,
    pub(crate) facts: facts::Plan,
    pub(crate) program: Program,
    pub(crate) roles: roles::Table,
    /// Made on first use.
    binding_columns: OnceLock<BindingColumns>,
    /// Made on first use.
    binding_order: OnceLock<Vec<BindingId>>,
    pub(crate) rules: rules::Table,
}

impl Policy {
    /// Opens bundle bytes: proves everything once and refuses any deviation.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let index = crate::bundle::decode(bytes)?;
        let digest = Sha256::digest(bytes).into();
        Self::build(index, digest)
    }

    fn build(index: Index, digest: [u8; 32]) -> Result<Self, OpenError> {
        let permission_starts = index.permission_starts();
        let obligations = obligations::Table::build(&index, &permission_starts)?;
        let roles = roles::Table::build(&index, &permission_starts);
        Ok(Self {
            digest,
            server_surfaces: server_surfaces(&index),
            issuers_by_url: issuers_by_url(&index),
            groups_by_claim: groups_by_claim(&index),
            slots: slots::Slots::build(&index, &permission_starts),
            facts: facts::Plan::build(&index)?,
            program: Program::compile(&index.attributes, &index.formulas)
                .map_err(|what| OpenError { offset: 0, what })?,
            binding_columns: OnceLock::new(),
            binding_order: OnceLock::new(),
            rules: rules::Table::build(&index, &permission_starts),
            obligations,
            roles,
            permission_starts,
            index,
        })
    }

    /// The SHA-256 of the bundle's bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The tables.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }
}

/// Servers and surfaces.
impl Policy {
    /// The server with this name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<ServerId> {
        let servers = &self.index.servers;
        let at = servers.binary_search_by(|server| server.name.as_str().cmp(name));
        at.ok().and_then(id).map(ServerId)
    }

    /// The entry of a server.
    #[must_use]
    pub fn server_entry(&self, server: ServerId) -> Option<&Server> {
        self.index.servers.get(server.index())
    }

    /// The surface of a server with this name, whatever its kind.
    #[must_use]
    pub fn surface(&self, server: ServerId, name: &str) -> Option<SurfaceId> {
        let key = (server, name);
        let surfaces = &self.index.surfaces;
        let at = surfaces.binary_search_by(|it| (it.server, it.name.as_str()).cmp(&key));
        at.ok().and_then(id).map(SurfaceId)
    }

    /// The entry of a surface.
    #[must_use]
    pub fn surface_entry(&self, surface: SurfaceId) -> Option<&Surface> {
        self.index.surfaces.get(surface.index())
    }

    /// All surfaces of a server, in name order.
    pub fn surfaces(
        &self,
        server: ServerId,
    ) -> impl ExactSizeIterator<Item = SurfaceId> + DoubleEndedIterator + use<> {
        span(&self.server_surfaces, server.index()).map(SurfaceId)
    }

    /// The name of a surface with its server's: `server/name`. Empty for no surface.
    #[must_use]
    pub fn surface_name(&self, surface: SurfaceId) -> String {
        self.surface_parts(surface)
            .map_or_else(String::new, |(server, name)| [server, "/", name].concat())
    }

    /// The names of a surface's server and of the surface.
    pub(crate) fn surface_parts(&self, surface: SurfaceId) -> Option<(&str, &str)> {
        let surface = self.surface_entry(surface)?;
        let server = self.server_entry(surface.server)?;
        Some((server.name.as_str(), surface.name.as_str()))
    }

    /// The surface with this `server/name`.
    #[must_use]
    pub fn surface_by_name(&self, name: &str) -> Option<SurfaceId> {
        let (server, name) = name.split_once('/')?;
        self.surface(self.server(server)?, name)
    }

    /// The argument attributes that a condition which can apply to the surface reads, sorted: what
    /// [`Arguments::Slots`](crate::call::Arguments::Slots) must hold, in this order.
    #[must_use]
    pub fn slots(&self, surface: SurfaceId) -> &[AttributeId] {
        self.slots.of(surface)
    }
}

/// Issuers, principals and callers.
impl Policy {
    /// The issuer with this name in the policy.
    #[must_use]
    pub fn issuer(&self, name: &str) -> Option<IssuerId> {
        let issuers = &self.index.issuers;
        let at = issuers.binary_search_by(|issuer| issuer.name.as_str().cmp(name));
        at.ok().and_then(id).map(IssuerId)
    }

    /// The issuer whose tokens carry exactly this `iss`.
    #[must_use]
    pub fn issuer_by_url(&self, url: &str) -> Option<IssuerId> {
        let text = |issuer: &IssuerId| self.issuer_entry(*issuer).map_or("", |it| it.url.as_str());
        let at = self
            .issuers_by_url
            .binary_search_by(|issuer| text(issuer).cmp(url));
        at.ok().and_then(|at| self.issuers_by_url.get(at).copied())
    }

    /// The entry of an issuer.
    #[must_use]
    pub fn issuer_entry(&self, issuer: IssuerId) -> Option<&Issuer> {
        self.index.issuers.get(issuer.index())
    }

    /// The declared group with this name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<GroupId> {
        let groups = &self.index.groups;
        let at = groups.binary_search_by(|group| group.name.as_str().cmp(name));
        at.ok().and_then(id).map(GroupId)
    }

    /// The name of a group; empty for none.
    #[must_use]
    pub fn group_name(&self, group: GroupId) -> &str {
        let group = self.index.groups.get(group.index());
        group.map_or("", |group| group.name.as_str())
    }

    /// The declared principal with this name.
    #[must_use]
    pub fn principal(&self, name: &str) -> Option<PrincipalId> {
        let at = self.index.principals.names.position(name);
        at.and_then(id).map(PrincipalId)
    }

    /// The name of a principal; empty for none.
    #[must_use]
    pub fn principal_name(&self, principal: PrincipalId) -> &str {
        self.index.principals.names.get(principal.index())
    }

    /// The declared principal that an issuer calls by this subject.
    #[must_use]
    pub fn principal_by_identity(&self, issuer: IssuerId, subject: &str) -> Option<PrincipalId> {
        let principals = &self.index.principals;
        let identities = &principals.identities;
        let start = identities.partition_point(|(it, _)| *it < issuer);
        let count = identities
            .get(start..)?
            .partition_point(|(it, _)| *it == issuer);
        let at = lowest(start..start + count, |at| {
            principals.identity_subjects.get(at) >= subject
        });
        let (_, principal) = identities.get(start..start + count)?.get(at - start)?;
        (principals.identity_subjects.get(at) == subject).then_some(*principal)
    }

    /// Who a verified token speaks of: its issuer, its subject, and the values of its groups claim.
    /// Values that no group of this issuer is declared for mean nothing.
    #[must_use]
    pub fn caller(&self, issuer: IssuerId, subject: &str, claim_groups: &[&str]) -> Caller {
        let principals = &self.index.principals;
        let principal = self.principal_by_identity(issuer, subject);
        let mut groups = self.claimed_groups(issuer, claim_groups);
        let declared = self.issuer_entry(issuer);
        let (kind, scope) = match principal {
            Some(principal) => {
                groups.extend(pairs_of(&principals.groups, principal).map(|(_, group)| *group));
                (
                    principals.types.get(principal.index()).copied(),
                    principals.scopes.get(principal.index()).copied(),
                )
            }
            None => (
                declared.and_then(|issuer| issuer.undeclared_type),
                declared.and_then(|issuer| match issuer.organizations.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                }),
            ),
        };
        groups.sort_unstable();
        groups.dedup();
        let grants = self.resolve(principal, kind, &groups);
        Caller {
            issuer,
            principal,
            kind,
            scope,
            groups,
            grants,
        }
    }

    fn claimed_groups(&self, issuer: IssuerId, values: &[&str]) -> Vec<GroupId> {
        let mut groups = Vec::new();
        for value in values {
            let key = (issuer, *value);
            let start = self
                .groups_by_claim
                .partition_point(|entry| claim_key(&self.index.groups, *entry) < key);
            let found = self.groups_by_claim.get(start..).unwrap_or_default().iter();
            groups.extend(
                found
                    .take_while(|entry| claim_key(&self.index.groups, **entry) == key)
                    .map(|(_, group)| *group),
            );
        }
        groups
    }

    fn resolve(
        &self,
        principal: Option<PrincipalId>,
        kind: Option<crate::index::PrincipalType>,
        groups: &[GroupId],
    ) -> Grants {
        let tags = principal
            .into_iter()
            .flat_map(|principal| pairs_of(&self.index.principals.tags, principal))
            .map(|(_, tag)| *tag);
        let bindings = &self.index.bindings;
        let groups = groups.iter().copied();
        let subjects = grants::numbers(bindings.bounds, principal, kind, groups, tags);
        let selectors = self.rules.selectors_of(&subjects);
        Grants::resolve(bindings, &subjects, selectors)
    }
}

/// Permissions, bindings, rules and roles.
impl Policy {
    /// How many permissions there are; their ids are dense.
    #[must_use]
    pub fn permission_count(&self) -> u32 {
        self.permission_starts.last().map_or(0, |end| end.0)
    }

    /// The permission of a surface: of the operation at this position, or without one of a surface
    /// that has none.
    #[must_use]
    pub fn permission(&self, surface: SurfaceId, operation: Option<usize>) -> Option<PermissionId> {
        let entry = self.surface_entry(surface)?;
        if entry.operations.is_some() != operation.is_some() {
            return None;
        }
        let operation = operation.unwrap_or(0);
        if operation >= entry.permission_count() {
            return None;
        }
        let start = self.permission_starts.get(surface.index())?;
        Some(PermissionId(start.0.checked_add(id(operation)?)?))
    }

    /// All permissions of a surface, in operation order.
    pub fn permissions(
        &self,
        surface: SurfaceId,
    ) -> impl ExactSizeIterator<Item = PermissionId> + use<> {
        let bound = |at: usize| self.permission_starts.get(at).map_or(0, |start| start.0);
        let at = surface.index();
        (bound(at)..bound(at.saturating_add(1))).map(PermissionId)
    }

    /// The surface that a permission belongs to, and the position of its operation if it has one.
    #[must_use]
    pub fn permission_surface(
        &self,
        permission: PermissionId,
    ) -> Option<(SurfaceId, Option<usize>)> {
        if permission.0 >= self.permission_count() {
            return None;
        }
        let (surface, at) = Index::permission_surface(&self.permission_starts, permission);
        let entry = self.surface_entry(surface)?;
        Some((surface, entry.operations.is_some().then_some(at)))
    }

    /// The exact form of a permission, as in tokens, audit and reports:
    /// `tools:<server>/<name>:call[:<operation>]`, also `prompts:`, `resources:` and `routes:`.
    /// Empty for none.
    #[must_use]
    pub fn permission_name(&self, permission: PermissionId) -> String {
        self.spell_permission(permission).unwrap_or_default()
    }

    fn spell_permission(&self, permission: PermissionId) -> Option<String> {
        let (surface, operation) = self.permission_surface(permission)?;
        let entry = self.surface_entry(surface)?;
        let (server, own) = self.surface_parts(surface)?;
        let mut name = [plural(&entry.kind), ":", server, "/", own, ":call"].concat();
        if let (Some(at), Some(operations)) = (operation, &entry.operations) {
            name.push(':');
            name.push_str(&operations.values.get(at)?.0);
        }
        Some(name)
    }

    /// The permission with this exact form.
    #[must_use]
    pub fn permission_by_name(&self, name: &str) -> Option<PermissionId> {
        let (kind, rest) = name.split_once(':')?;
        let (surface, action) = rest.split_once(':')?;
        let surface = self.surface_by_name(surface)?;
        let entry = self.surface_entry(surface)?;
        if plural(&entry.kind) != kind {
            return None;
        }
        let operation = match action.strip_prefix("call")? {
            "" => None,
            operation => {
                let operation = operation.strip_prefix(':')?;
                let values = &entry.operations.as_ref()?.values;
                let at = values.binary_search_by(|(value, _)| value.as_str().cmp(operation));
                Some(at.ok()?)
            }
        };
        self.permission(surface, operation)
    }

    /// The risk of a permission: its operation's, or its surface's.
    #[must_use]
    pub fn permission_risk(&self, permission: PermissionId) -> Option<Risk> {
        let (surface, operation) = self.permission_surface(permission)?;
        let entry = self.surface_entry(surface)?;
        match (operation, &entry.operations) {
            (Some(at), Some(operations)) => operations.values.get(at).map(|(_, risk)| *risk),
            _ => Some(entry.risk),
        }
    }

    /// What a call of a permission may have to carry: position, obligation and where it comes
    /// from. The surface's come first, then those of require rules in rule order; at most 64.
    /// All permissions of one surface share their positions, so that a call of several operations
    /// has one set.
    pub fn obligations(
        &self,
        permission: PermissionId,
    ) -> impl Iterator<Item = (usize, Obligation, ObligationSource)> {
        let surface = self.permission_surface(permission).map(|(it, _)| it);
        surface
            .into_iter()
            .flat_map(|surface| self.obligations.of(surface))
            .enumerate()
            .map(|(at, (obligation, source))| (at, *obligation, *source))
    }

    /// Whether calls of a surface may have to carry anything.
    pub(crate) fn has_obligations(&self, surface: SurfaceId) -> bool {
        !self.obligations.of(surface).is_empty()
    }

    /// The positions of one surface's obligations that come from one source.
    pub(crate) fn obligation_bits(&self, surface: SurfaceId, source: ObligationSource) -> u64 {
        self.obligations.bits(surface, source)
    }

    /// The bindings one by one. Decisions do not need them so: they are laid out on first use.
    #[must_use]
    pub fn bindings(&self) -> &BindingColumns {
        self.binding_columns
            .get_or_init(|| self.index.bindings.columns())
    }

    /// All bindings in name order, which decisions do not need either.
    #[must_use]
    pub fn bindings_by_name(&self) -> &[BindingId] {
        self.binding_order.get_or_init(|| {
            let names = &self.index.bindings.names;
            let mut order: Vec<BindingId> = (0..).map(BindingId).take(names.len()).collect();
            order.sort_by_key(|it| names.get(it.index()));
            order
        })
    }

    /// The name of a binding; empty for none.
    #[must_use]
    pub fn binding_name(&self, binding: BindingId) -> &str {
        self.index.bindings.names.get(binding.index())
    }

    /// The binding with this name.
    #[must_use]
    pub fn binding(&self, name: &str) -> Option<BindingId> {
        let text = |it: &BindingId| self.index.bindings.names.get(it.index());
        let order = self.bindings_by_name();
        let at = order.binary_search_by(|it| text(it).cmp(name)).ok()?;
        order.get(at).copied()
    }

    /// The name of a rule; empty for none.
    #[must_use]
    pub fn rule_name(&self, rule: RuleId) -> &str {
        let rule = self.index.rules.get(rule.index());
        rule.map_or("", |rule| rule.name.as_str())
    }

    /// The rule with this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<RuleId> {
        let rules = &self.index.rules;
        let at = rules.binary_search_by(|rule| rule.name.as_str().cmp(name));
        at.ok().and_then(id).map(RuleId)
    }

    /// What the author of a rule tells a refused caller.
    #[must_use]
    pub fn rule_message(&self, rule: RuleId) -> Option<&str> {
        self.index.rules.get(rule.index())?.message.as_deref()
    }

    /// The name of a role; empty for none.
    #[must_use]
    pub fn role_name(&self, role: RoleId) -> &str {
        self.index.roles.names.get(role.index())
    }

    /// The roles of a binding that give a permission, in name order.
    pub fn roles_granting(
        &self,
        binding: BindingId,
        permission: PermissionId,
    ) -> impl Iterator<Item = RoleId> {
        let row = self.index.bindings.row(binding).into_iter();
        let roles = row.flat_map(|row| self.index.roles_of(row.set.roles()));
        roles.filter(move |role| {
            let given = self.index.roles.permissions.get(role.index());
            given.binary_search(&permission).is_ok()
        })
    }
}

/// A position as the number of an id.
pub(crate) fn id(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}

/// The entries of one key in a column of starts that has one more entry than there are keys.
pub(crate) fn span(starts: &[u32], at: usize) -> Range<u32> {
    let start = starts.get(at).copied().unwrap_or(0);
    let end = at.checked_add(1).and_then(|next| starts.get(next)).copied();
    start..end.unwrap_or(start)
}

fn plural(kind: &SurfaceKind) -> &'static str {
    match kind {
        SurfaceKind::Tool => "tools",
        SurfaceKind::Prompt => "prompts",
        SurfaceKind::Resource { .. } => "resources",
        SurfaceKind::Route { .. } => "routes",
    }
}

fn server_surfaces(index: &Index) -> Vec<u32> {
    (0..=index.servers.len())
        .map(|server| {
            let before = index
                .surfaces
                .partition_point(|surface| surface.server.index() < server);
            id(before).unwrap_or(u32::MAX)
        })
        .collect()
}

fn issuers_by_url(index: &Index) -> Vec<IssuerId> {
    let mut issuers: Vec<_> = index.issuers.iter().zip(0..).collect();
    issuers.sort_by_key(|(issuer, _)| issuer.url.as_str());
    issuers.into_iter().map(|(_, at)| IssuerId(at)).collect()
}

fn groups_by_claim(index: &Index) -> Vec<(IssuerId, GroupId)> {
    let mut groups: Vec<(IssuerId, GroupId)> = index
        .groups
        .iter()
        .zip(0..)
        .filter_map(|(group, at)| group.claim.as_ref().map(|claim| (claim.0, GroupId(at))))
        .collect();
    groups.sort_by(|a, b| claim_key(&index.groups, *a).cmp(&claim_key(&index.groups, *b)));
    groups
}

fn claim_key(groups: &[Group], entry: (IssuerId, GroupId)) -> (IssuerId, &str) {
    let claim = groups.get(entry.1.index()).and_then(|it| it.claim.as_ref());
    (entry.0, claim.map_or("", |(_, value)| value.as_str()))
}

/// The pairs of one principal in a sorted relation.
fn pairs_of<T: Copy>(
    pairs: &[(PrincipalId, T)],
    principal: PrincipalId,
) -> impl Iterator<Item = &(PrincipalId, T)> {
    let start = pairs.partition_point(|(it, _)| *it < principal);
    let rest = pairs.get(start..).unwrap_or_default();
    rest.iter().take_while(move |(it, _)| *it == principal)
}

/// The lowest position in a range that holds; the range's end if none does.
fn lowest(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
