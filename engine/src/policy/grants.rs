//! Which rows of the bindings speak of a caller.
//!
//! A caller is several subjects at once (itself, its groups, tags and type), so its [`Grants`] name
//! a few ranges of rows, or hold one merged copy when there would be many.

use crate::{
    id::{BindingId, GroupId, PrincipalId, ScopeId, TagId},
    index::{Bindings, Bounds, PrincipalType, Subject, bindings::Row},
    scope::Covering,
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
    /// Boxed, so that what most callers have lies in one or two cache lines.
    rest: Option<Box<Rest>>,
    /// Which selectors of rules speak of the caller, as bits.
    pub(crate) selectors: Vec<u64>,
}

/// What few callers have.
#[derive(Debug, Clone)]
enum Rest {
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
                rest: Some(Box::new(Rest::Merged(merged(bindings, &own, &more)))),
                selectors,
            };
        }
        for (slot, range) in first.iter_mut().zip(&own) {
            *slot = *range;
        }
        let own = own.get(MAX_LISTS..).unwrap_or_default();
        let rest = (!own.is_empty() || !more.is_empty())
            .then(|| Box::new(Rest::Ranges(own.into(), more.into())));
        Self {
            first,
            rest,
            selectors,
        }
    }

    /// Shows every row of the caller whose scope is one of these.
    #[inline]
    pub(crate) fn visit(&self, bindings: &Bindings, scopes: &Covering, mut see: impl FnMut(Row)) {
        for (from, to) in self.first {
            if from == to {
                break;
            }
            visit_bindings(bindings, from, to, scopes, &mut see);
        }
        match self.rest.as_deref() {
            None => {}
            Some(Rest::Ranges(own, more)) => {
                for (from, to) in own {
                    visit_bindings(bindings, *from, *to, scopes, &mut see);
                }
                for (from, to) in more {
                    let rows = bindings.more.rows.get(*from as usize..*to as usize);
                    visit_rows(rows.unwrap_or_default(), scopes.as_slice(), &mut see);
                }
            }
            Some(Rest::Merged(rows)) => visit_rows(rows, scopes.as_slice(), &mut see),
        }
    }

    /// Which of two rows of the caller is of the binding with the lower name.
    pub(crate) fn lower(&self, bindings: &Bindings, one: Row, other: Row) -> Row {
        // What one subject holds in one scope is in name order, and needs no look at the names.
        let holds = |(from, to): &(u32, u32)| {
            let own = from..to;
            own.contains(&&one.binding.0) && own.contains(&&other.binding.0)
        };
        let ordered = one.scope == other.scope && self.first.iter().any(holds);
        let first = if ordered {
            one.binding.min(other.binding)
        } else {
            bindings.lower(one.binding, other.binding)
        };
        if first == one.binding { one } else { other }
    }

    /// How many rows the caller has.
    pub(crate) fn row_count(&self) -> usize {
        let count = |ranges: &[(u32, u32)]| -> usize {
            let sizes = ranges.iter().map(|(from, to)| to.saturating_sub(*from));
            sizes.map(|size| size as usize).sum()
        };
        let rest = match self.rest.as_deref() {
            None => 0,
            Some(Rest::Ranges(own, more)) => count(own) + count(more),
            Some(Rest::Merged(rows)) => rows.len(),
        };
        count(&self.first) + rest
    }

    /// Shows every row of the caller, in any scope.
    pub(crate) fn visit_all(&self, bindings: &Bindings, mut see: impl FnMut(Row)) {
        let (own, more): (&[_], &[_]) = match self.rest.as_deref() {
            None => (&[], &[]),
            Some(Rest::Ranges(own, more)) => (own, more),
            Some(Rest::Merged(rows)) => return rows.iter().copied().for_each(see),
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
    wanted: &Covering,
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
        // No processor can guess which hold here, so they are gathered without a branch for each.
        let holds = column.iter().zip(0..).fold(0_u32, |holds, (scope, at)| {
            holds | u32::from(wanted.contains(*scope)) << at
        });
        ones(holds).for_each(|at| show(from + at));
        return;
    }
    for scope in wanted.as_slice() {
        let first = column.partition_point(|it| it < scope);
        let found = column.iter().zip(from..).skip(first);
        found
            .take_while(|(it, _)| *it == scope)
            .for_each(|(_, at)| show(at));
    }
}

/// The positions of the bits that are set, lowest first.
fn ones(mut bits: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then(|| bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        at
    })
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
