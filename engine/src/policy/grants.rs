//! Which rows of the bindings speak of a caller.
//!
//! A caller is several subjects at once (itself, its groups, tags and type), so its [`Grants`] name
//! a few ranges of rows, or hold one merged copy when there would be many.

use crate::{
    id::{BindingId, GroupId, PrincipalId, ScopeId, TagId},
    index::{Bindings, Bounds, PrincipalType, Subject, bindings::Row},
};

/// With more lists than this, a caller's rows are merged.
const MAX_LISTS: usize = 4;
/// Above this many rows, lists stay apart: every cached caller would hold a copy.
const MAX_MERGED: usize = 1024;
/// Up to this many rows, looking at all of them beats searching.
const SCAN: usize = 16;

/// The grants of one caller, resolved once for one policy.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Ranges of bindings; those after the last are empty.
    first: [(u32, u32); MAX_LISTS],
    rest: Rest,
    /// Which selectors of rules speak of the caller, as bits.
    pub(crate) selectors: Vec<u64>,
}

/// What few callers have.
#[derive(Debug, Clone, Default)]
enum Rest {
    #[default]
    None,
    /// More ranges of bindings, and ranges of the rows of further subjects.
    Ranges(Box<[(u32, u32)]>, Box<[(u32, u32)]>),
    /// Instead of all ranges the caller's own rows, sorted.
    Merged(Box<[Row]>),
}

/// The numbers of all subjects that a caller is, sorted.
pub(crate) fn numbers(
    bounds: Bounds,
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
        .map(|subject| bounds.number(subject))
        .collect()
}

impl Grants {
    /// The rows of a caller that is all these subjects.
    pub(crate) fn resolve(bindings: &Bindings, subjects: &[u32], selectors: Vec<u64>) -> Self {
        let ranges = |of: &dyn Fn(u32) -> (u32, u32)| -> Vec<(u32, u32)> {
            let all = subjects.iter().map(|subject| of(*subject));
            all.filter(|(from, to)| from < to).collect()
        };
        let own = ranges(&|subject| bindings.first_of(subject));
        let more = ranges(&|subject| bindings.more_of(subject));
        let all = own.iter().chain(&more);
        let total: usize = all.map(|(from, to)| (to - from) as usize).sum();
        let mut first = [(0, 0); MAX_LISTS];
        if own.len() + more.len() > MAX_LISTS && total <= MAX_MERGED {
            return Self {
                first,
                rest: Rest::Merged(merged(bindings, &own, &more)),
                selectors,
            };
        }
        for (slot, range) in first.iter_mut().zip(&own) {
            *slot = *range;
        }
        let own = own.get(MAX_LISTS..).unwrap_or_default();
        let rest = if own.is_empty() && more.is_empty() {
            Rest::None
        } else {
            Rest::Ranges(own.into(), more.into())
        };
        Self {
            first,
            rest,
            selectors,
        }
    }

    /// Shows every row of the caller whose scope is one of these, sorted.
    #[inline]
    pub(crate) fn visit(&self, bindings: &Bindings, scopes: &[ScopeId], mut see: impl FnMut(Row)) {
        for (from, to) in self.first {
            if from == to {
                break;
            }
            visit_bindings(bindings, from, to, scopes, &mut see);
        }
        match &self.rest {
            Rest::None => {}
            Rest::Ranges(own, more) => {
                for (from, to) in own {
                    visit_bindings(bindings, *from, *to, scopes, &mut see);
                }
                for (from, to) in more {
                    let rows = bindings.more.rows.get(*from as usize..*to as usize);
                    visit_rows(rows.unwrap_or_default(), scopes, &mut see);
                }
            }
            Rest::Merged(rows) => visit_rows(rows, scopes, &mut see),
        }
    }

    /// Shows every row of the caller, in any scope.
    pub(crate) fn visit_all(&self, bindings: &Bindings, mut see: impl FnMut(Row)) {
        let (own, more): (&[_], &[_]) = match &self.rest {
            Rest::None => (&[], &[]),
            Rest::Ranges(own, more) => (own, more),
            Rest::Merged(rows) => return rows.iter().copied().for_each(see),
        };
        for (from, to) in self.first.iter().chain(own) {
            let rows = (*from..*to).filter_map(|at| bindings.row(BindingId(at)));
            rows.for_each(&mut see);
        }
        for (from, to) in more {
            let rows = bindings.more.rows.get(*from as usize..*to as usize);
            rows.into_iter().flatten().copied().for_each(&mut see);
        }
    }
}

/// The rows of all ranges, sorted.
fn merged(bindings: &Bindings, own: &[(u32, u32)], more: &[(u32, u32)]) -> Box<[Row]> {
    let own = own.iter().flat_map(|(from, to)| *from..*to);
    let own = own.filter_map(|at| bindings.row(BindingId(at)));
    let more = more
        .iter()
        .filter_map(|(from, to)| bindings.more.rows.get(*from as usize..*to as usize));
    let mut rows: Vec<Row> = own.chain(more.flatten().copied()).collect();
    rows.sort_unstable();
    // One binding may name several of the caller's groups.
    rows.dedup();
    rows.into()
}

/// Shows those of a range of bindings, all of one subject, that hold in one of these scopes.
#[inline]
fn visit_bindings(
    bindings: &Bindings,
    from: u32,
    to: u32,
    wanted: &[ScopeId],
    see: &mut impl FnMut(Row),
) {
    let Some(column) = bindings.scopes.get(from as usize..to as usize) else {
        return;
    };
    let mut show = |at: u32| {
        if let Some(row) = bindings.row(BindingId(at)) {
            see(row);
        }
    };
    if column.len() <= SCAN {
        for (scope, at) in column.iter().zip(from..) {
            // At most three: `contains` would be a call for each row.
            if wanted.iter().any(|it| it == scope) {
                show(at);
            }
        }
        return;
    }
    for scope in wanted {
        let first = column.partition_point(|it| it < scope);
        let found = column.iter().zip(from..).skip(first);
        found
            .take_while(|(it, _)| *it == scope)
            .for_each(|(_, at)| show(at));
    }
}

#[inline]
fn visit_rows(rows: &[Row], wanted: &[ScopeId], see: &mut impl FnMut(Row)) {
    for scope in wanted {
        let first = rows.partition_point(|row| row.scope < *scope);
        let found = rows.get(first..).unwrap_or_default().iter();
        found
            .take_while(|row| row.scope == *scope)
            .for_each(|row| see(*row));
    }
}
