//! Who holds which bindings where, as rows that decisions can search.
//!
//! Each subject of a binding gets a row; the rows of one subject lie together, sorted by scope. A
//! caller is several subjects at once (itself, its groups, tags and type), so its
//! [`Grants`] name a few ranges of rows, or hold one merged copy when there would be many.

use crate::{
    id::{BindingId, GroupId, PrincipalId, RoleSetId, ScopeId, TagId},
    index::{Bindings, Index, PrincipalType, Subject},
};

/// With more lists than this, a caller's rows are merged.
const MAX_LISTS: usize = 4;
/// Above this many rows, lists stay apart: every cached caller would hold a copy.
const MAX_MERGED: usize = 1024;
/// Up to this many rows, looking at all of them beats searching.
const SCAN: usize = 16;

/// Set in a row whose binding has a condition or dates.
const GUARDED: u32 = 1 << 31;
/// Set in a row whose binding reaches into other organizations.
const CROSS: u32 = 1 << 30;

/// The most role sets, so that both flags fit beside one.
pub(crate) const MAX_ROLE_SETS: usize = CROSS as usize;

/// The grants of one caller, resolved once for one policy: ranges of its rows, or merged rows.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Ranges of the policy's rows; none is empty.
    ranges: Vec<(u32, u32)>,
    /// Instead of ranges, the caller's own rows.
    merged: Option<Box<Rows>>,
    /// Which selectors of rules speak of the caller, as bits.
    pub(crate) selectors: Vec<u64>,
}

/// Rows as columns, sorted by scope and then binding.
#[derive(Debug, Clone, Default)]
struct Rows {
    scopes: Vec<ScopeId>,
    /// The role set, with the flags.
    sets: Vec<u32>,
    bindings: Vec<BindingId>,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) scope: ScopeId,
    pub(crate) binding: BindingId,
    set: u32,
}

impl Row {
    /// The roles that the binding gives.
    #[inline]
    pub(crate) fn roles(self) -> RoleSetId {
        RoleSetId(self.set & !(GUARDED | CROSS))
    }

    /// Whether the binding has a condition or dates.
    #[inline]
    pub(crate) fn is_guarded(self) -> bool {
        self.set & GUARDED != 0
    }

    /// Whether the binding reaches into other organizations.
    #[inline]
    pub(crate) fn crosses(self) -> bool {
        self.set & CROSS != 0
    }
}

/// The rows of every subject.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Rows,
    /// The first row of each subject, and one past the last.
    starts: Vec<u32>,
    space: Space,
}

/// Every subject as one dense number: principals, groups, tags, types, everyone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    groups: u32,
    tags: u32,
    types: u32,
    everyone: u32,
}

impl Space {
    pub(crate) fn of(index: &Index) -> Self {
        let count = |len: usize| super::id(len).unwrap_or(u32::MAX);
        let groups = count(index.principals.names.len());
        let tags = groups.saturating_add(count(index.groups.len()));
        let types = tags.saturating_add(count(index.tags.len()));
        Self {
            groups,
            tags,
            types,
            everyone: types.saturating_add(3),
        }
    }

    /// The number of a subject.
    pub(crate) fn number(self, subject: Subject) -> u32 {
        match subject {
            Subject::Principal(PrincipalId(at)) => at,
            Subject::Group(GroupId(at)) => self.groups.saturating_add(at),
            Subject::Tag(TagId(at)) => self.tags.saturating_add(at),
            Subject::Type(PrincipalType::Human) => self.types,
            Subject::Type(PrincipalType::Service) => self.types.saturating_add(1),
            Subject::Type(PrincipalType::Agent) => self.types.saturating_add(2),
            Subject::Everyone => self.everyone,
        }
    }

    fn len(self) -> usize {
        self.everyone as usize + 1
    }
}

impl Table {
    pub(crate) fn build(index: &Index) -> Self {
        let space = Space::of(index);
        let mut starts = vec![0_u32; space.len() + 1];
        for subject in &index.bindings.subjects {
            if let Some(count) = starts.get_mut(space.number(*subject) as usize + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        Self {
            rows: fill(index, space, &starts),
            starts,
            space,
        }
    }

    /// The numbers of all subjects that a caller is, sorted.
    pub(crate) fn subjects(
        &self,
        principal: Option<PrincipalId>,
        kind: Option<PrincipalType>,
        groups: impl Iterator<Item = GroupId>,
        tags: impl Iterator<Item = TagId>,
    ) -> Vec<u32> {
        let own = principal.map(Subject::Principal).into_iter();
        let kind = kind.map(Subject::Type).into_iter();
        own.chain(groups.map(Subject::Group))
            .chain(tags.map(Subject::Tag))
            .chain(kind)
            .chain([Subject::Everyone])
            .map(|subject| self.space.number(subject))
            .collect()
    }

    /// The rows of a caller that is all these subjects.
    pub(crate) fn resolve(&self, subjects: &[u32], selectors: Vec<u64>) -> Grants {
        let ranges: Vec<(u32, u32)> = subjects
            .iter()
            .map(|subject| super::span(&self.starts, *subject as usize))
            .filter(|range| !range.is_empty())
            .map(|range| (range.start, range.end))
            .collect();
        let total: usize = ranges.iter().map(|(from, to)| (to - from) as usize).sum();
        if ranges.len() <= MAX_LISTS || total > MAX_MERGED {
            return Grants {
                ranges,
                merged: None,
                selectors,
            };
        }
        let mut rows: Vec<Row> = ranges
            .iter()
            .flat_map(|(from, to)| (*from as usize..*to as usize).filter_map(|at| self.rows.at(at)))
            .collect();
        rows.sort_unstable();
        // One binding may name several of the caller's groups.
        rows.dedup();
        Grants {
            ranges: Vec::new(),
            merged: Some(Box::new(Rows::from_rows(&rows))),
            selectors,
        }
    }

    /// Shows every row of a caller whose scope is one of these, sorted.
    #[inline]
    pub(crate) fn visit(&self, grants: &Grants, scopes: &[ScopeId], mut see: impl FnMut(Row)) {
        if let Some(rows) = &grants.merged {
            rows.visit(0, rows.scopes.len(), scopes, &mut see);
            return;
        }
        for (from, to) in &grants.ranges {
            self.rows
                .visit(*from as usize, *to as usize, scopes, &mut see);
        }
    }

    /// Shows every row of a caller, in any scope.
    pub(crate) fn visit_all(&self, grants: &Grants, mut see: impl FnMut(Row)) {
        if let Some(rows) = &grants.merged {
            (0..rows.scopes.len())
                .filter_map(|at| rows.at(at))
                .for_each(&mut see);
        }
        for (from, to) in &grants.ranges {
            (*from as usize..*to as usize)
                .filter_map(|at| self.rows.at(at))
                .for_each(&mut see);
        }
    }
}

impl Rows {
    fn from_rows(rows: &[Row]) -> Self {
        Self {
            scopes: rows.iter().map(|row| row.scope).collect(),
            sets: rows.iter().map(|row| row.set).collect(),
            bindings: rows.iter().map(|row| row.binding).collect(),
        }
    }

    #[inline]
    fn at(&self, at: usize) -> Option<Row> {
        Some(Row {
            scope: *self.scopes.get(at)?,
            set: *self.sets.get(at)?,
            binding: *self.bindings.get(at)?,
        })
    }

    #[inline]
    fn visit(&self, from: usize, to: usize, wanted: &[ScopeId], see: &mut impl FnMut(Row)) {
        let Some(column) = self.scopes.get(from..to) else {
            return;
        };
        if column.len() <= SCAN {
            for (scope, at) in column.iter().zip(from..) {
                // At most three: `contains` would be a call for each row.
                if wanted.iter().any(|it| it == scope)
                    && let Some(row) = self.at(at)
                {
                    see(row);
                }
            }
            return;
        }
        for scope in wanted {
            let first = column.partition_point(|it| it < scope);
            let found = column.get(first..).unwrap_or_default().iter();
            for (_, at) in found.take_while(|it| *it == scope).zip(from + first..) {
                if let Some(row) = self.at(at) {
                    see(row);
                }
            }
        }
    }
}

/// Lays the rows out subject by subject. Bindings are visited scope by scope, so that each
/// subject's rows come out sorted.
fn fill(index: &Index, space: Space, starts: &[u32]) -> Rows {
    let bindings = &index.bindings;
    let count = bindings.subjects.len();
    let mut rows = Rows {
        scopes: vec![ScopeId(0); count],
        sets: vec![0; count],
        bindings: vec![BindingId(0); count],
    };
    let mut next = starts.to_vec();
    let mut order: Vec<(ScopeId, u32)> = bindings.scopes.iter().copied().zip(0..).collect();
    order.sort_unstable();
    for (scope, binding) in order {
        let set = flagged_set(bindings, binding as usize);
        for subject in subjects_of(bindings, binding as usize) {
            let Some(slot) = next.get_mut(space.number(*subject) as usize) else {
                continue;
            };
            let at = *slot as usize;
            *slot += 1;
            if let (Some(to_scope), Some(to_set), Some(to_binding)) = (
                rows.scopes.get_mut(at),
                rows.sets.get_mut(at),
                rows.bindings.get_mut(at),
            ) {
                (*to_scope, *to_set, *to_binding) = (scope, set, BindingId(binding));
            }
        }
    }
    rows
}

fn flagged_set(bindings: &Bindings, binding: usize) -> u32 {
    let set = bindings.roles.get(binding).map_or(0, |set| set.0);
    let conditional = matches!(bindings.conditions.get(binding), Some(Some(_)));
    let dated = matches!(bindings.dates.get(binding), Some(Some(_)));
    let crosses = matches!(bindings.cross_organization.get(binding), Some(true));
    set | if conditional || dated { GUARDED } else { 0 } | if crosses { CROSS } else { 0 }
}

/// The subjects of a binding.
pub(crate) fn subjects_of(bindings: &Bindings, binding: usize) -> &[Subject] {
    let end = |at: usize| bindings.subject_ends.get(at).map(|end| *end as usize);
    let start = binding.checked_sub(1).and_then(end).unwrap_or(0);
    end(binding)
        .and_then(|end| bindings.subjects.get(start..end))
        .unwrap_or_default()
}
