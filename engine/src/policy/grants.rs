//! Which rows of the bindings speak of a caller.
//!
//! A caller is several subjects at once (itself, its groups, tags and type), so its [`Grants`] name
//! a few ranges of rows, or hold one merged copy when there would be many.

use crate::{
    id::{GroupId, PrincipalId, ScopeId, TagId},
    index::{
        Bindings, Holders, PrincipalType, Subject,
        bindings::{Row, SCAN},
    },
};

/// With more lists than this, a caller's rows are merged.
const MAX_LISTS: usize = 4;
/// Above this many rows, lists stay apart: every cached caller would hold a copy.
const MAX_MERGED: usize = 1024;

/// The grants of one caller, resolved once for one policy.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Ranges of the policy's rows; those after the last are empty.
    first: [(u32, u32); MAX_LISTS],
    /// More ranges, or the caller's own rows instead of any range.
    rest: Rest,
    /// Which selectors of rules speak of the caller, as bits.
    pub(crate) selectors: Vec<u64>,
}

#[derive(Debug, Clone, Default)]
enum Rest {
    #[default]
    None,
    Ranges(Box<[(u32, u32)]>),
    /// Sorted by scope and then binding.
    Merged(Box<[Row]>),
}

/// The numbers of all subjects that a caller is, sorted.
pub(crate) fn numbers(
    holders: Holders,
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
        .map(|subject| holders.number(subject))
        .collect()
}

impl Grants {
    /// The rows of a caller that is all these subjects.
    pub(crate) fn resolve(bindings: &Bindings, subjects: &[u32], selectors: Vec<u64>) -> Self {
        let ranges: Vec<(u32, u32)> = subjects
            .iter()
            .map(|subject| bindings.span(*subject))
            .filter(|(from, to)| from < to)
            .collect();
        let total: usize = ranges.iter().map(|(from, to)| (to - from) as usize).sum();
        if ranges.len() > MAX_LISTS && total <= MAX_MERGED {
            return Self {
                first: [(0, 0); MAX_LISTS],
                rest: Rest::Merged(merged(bindings, &ranges)),
                selectors,
            };
        }
        let mut first = [(0, 0); MAX_LISTS];
        for (slot, range) in first.iter_mut().zip(&ranges) {
            *slot = *range;
        }
        let rest = match ranges.get(MAX_LISTS..) {
            None | Some([]) => Rest::None,
            Some(more) => Rest::Ranges(more.into()),
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
        self.lists(bindings, |rows| visit(rows, scopes, &mut see));
    }

    /// Shows every row of the caller, in any scope.
    pub(crate) fn visit_all(&self, bindings: &Bindings, mut see: impl FnMut(Row)) {
        self.lists(bindings, |rows| rows.iter().copied().for_each(&mut see));
    }

    #[inline]
    fn lists<'a>(&'a self, bindings: &'a Bindings, mut see: impl FnMut(&'a [Row])) {
        let all = bindings.rows();
        let mut range = |(from, to): (u32, u32)| {
            see(all.get(from as usize..to as usize).unwrap_or_default());
        };
        for each in self.first {
            if each.0 == each.1 {
                break;
            }
            range(each);
        }
        match &self.rest {
            Rest::None => {}
            Rest::Ranges(more) => more.iter().copied().for_each(range),
            Rest::Merged(rows) => see(rows),
        }
    }
}

/// The rows of all ranges, sorted.
fn merged(bindings: &Bindings, ranges: &[(u32, u32)]) -> Box<[Row]> {
    let all = bindings.rows();
    let each = ranges
        .iter()
        .filter_map(|(from, to)| all.get(*from as usize..*to as usize));
    let mut rows: Vec<Row> = each.flatten().copied().collect();
    rows.sort_unstable();
    // One binding may name several of the caller's groups.
    rows.dedup();
    rows.into()
}

#[inline]
fn visit(rows: &[Row], wanted: &[ScopeId], see: &mut impl FnMut(Row)) {
    if rows.len() <= SCAN {
        for row in rows {
            // At most three: `contains` would be a call for each row.
            if wanted.iter().any(|it| *it == row.scope) {
                see(*row);
            }
        }
        return;
    }
    for scope in wanted {
        let first = rows.partition_point(|row| row.scope < *scope);
        let found = rows.get(first..).unwrap_or_default().iter();
        found
            .take_while(|row| row.scope == *scope)
            .for_each(|row| see(*row));
    }
}
