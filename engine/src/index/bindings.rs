//! Bindings, laid out as decisions search them.
//!
//! Bindings are sorted by the first subject that they name, then by scope, then by name, so that
//! what one subject holds lies together and can be searched by scope, and a binding's position
//! says whose it is. Subjects that a binding names besides its first have rows of their own. What
//! only some bindings have is in sparse columns.

use super::Subject;
use crate::{
    id::{BindingId, FormulaId, GroupId, PrincipalId, RoleSetId, ScopeId, TagId},
    index::PrincipalType,
    sparse::{Periods, Sparse},
    strings::Strings,
    time::Dates,
};

/// Set beside a role set when the binding has a condition.
const CONDITIONAL: u32 = 1 << 31;
/// Set beside a role set when the binding has dates.
const DATED: u32 = 1 << 30;
/// Set beside a role set when the binding reaches into other organizations.
const CROSS: u32 = 1 << 29;
const FLAGS: u32 = CONDITIONAL | DATED | CROSS;

/// The most roles and sets of roles together, so that the flags fit beside one.
pub(crate) const MAX_ROLE_SETS: u32 = CROSS;

/// All bindings. Made from [`BindingColumns`], and by opening a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings {
    /// The name of each.
    pub names: Strings,
    /// The condition of each.
    pub conditions: Sparse<FormulaId>,
    /// The period of each.
    pub dates: Periods,
    pub(crate) bounds: Bounds,
    /// The scope of each.
    pub(crate) scopes: Vec<ScopeId>,
    /// What else a row has of each.
    pub(crate) sets: Vec<FlaggedSet>,
    /// Where the bindings of each first subject end.
    pub(crate) ends: Vec<u32>,
    /// The rows of subjects that are not the first of their binding.
    pub(crate) more: More,
}

/// Rows of further subjects: those of one subject lie together, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct More {
    /// Where the rows of each subject end; nothing when there are no rows.
    pub(crate) ends: Vec<u32>,
    pub(crate) rows: Vec<Row>,
}

/// A role set, with what else decisions must know of the binding at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlaggedSet(u32);

/// What one binding gives one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) scope: ScopeId,
    pub(crate) binding: BindingId,
    pub(crate) set: FlaggedSet,
}

/// The same as columns of equal length, in any order: what the compiler fills in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingColumns {
    /// Names.
    pub names: Strings,
    /// Where each binding's subjects end in `subjects`.
    pub subject_ends: Vec<u32>,
    /// Subjects, binding by binding; each binding's sorted and distinct.
    pub subjects: Vec<Subject>,
    /// The roles that each gives.
    pub roles: Vec<RoleSetId>,
    /// The scope that each holds in.
    pub scopes: Vec<ScopeId>,
    /// The condition of each.
    pub conditions: Vec<Option<FormulaId>>,
    /// The period of each.
    pub dates: Vec<Dates>,
    /// Whether each reaches into other organizations.
    pub cross_organization: Vec<bool>,
}

impl BindingColumns {
    /// The subjects of a binding; none when there is no such binding.
    #[must_use]
    pub fn subjects_of(&self, binding: BindingId) -> &[Subject] {
        let end = |at: usize| self.subject_ends.get(at).map(|end| *end as usize);
        let at = binding.index();
        let start = at.checked_sub(1).and_then(end).unwrap_or(0);
        end(at)
            .and_then(|end| self.subjects.get(start..end))
            .unwrap_or_default()
    }
}

impl FlaggedSet {
    /// The set of these roles, of a binding with or without the others.
    #[inline]
    pub(crate) fn new(set: RoleSetId, conditional: bool, dated: bool, crosses: bool) -> Self {
        let conditional = u32::from(conditional) << 31;
        Self(set.0 | conditional | u32::from(dated) << 30 | u32::from(crosses) << 29)
    }

    /// The roles that the binding gives.
    #[inline]
    pub(crate) fn roles(self) -> RoleSetId {
        RoleSetId(self.0 & !FLAGS)
    }

    /// Whether the binding has a condition.
    #[inline]
    pub(crate) fn is_conditional(self) -> bool {
        self.0 & CONDITIONAL != 0
    }

    /// Whether the binding has dates.
    #[inline]
    pub(crate) fn is_dated(self) -> bool {
        self.0 & DATED != 0
    }

    /// Whether the binding reaches into other organizations.
    #[inline]
    pub(crate) fn crosses(self) -> bool {
        self.0 & CROSS != 0
    }
}

/// How many there are of what bindings name. So every subject has one dense number: principals,
/// groups, tags, types, everyone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How many principals there are.
    pub principals: u32,
    /// How many groups there are.
    pub groups: u32,
    /// How many tags there are.
    pub tags: u32,
    /// How many scopes there are.
    pub scopes: u32,
    /// How many role sets there are, those of one role among them.
    pub role_sets: u32,
}

impl Bounds {
    /// The number of a subject.
    pub(crate) fn number(self, subject: Subject) -> u32 {
        let groups = self.principals;
        let tags = groups.saturating_add(self.groups);
        let types = tags.saturating_add(self.tags);
        match subject {
            Subject::Principal(PrincipalId(at)) => at,
            Subject::Group(GroupId(at)) => groups.saturating_add(at),
            Subject::Tag(TagId(at)) => tags.saturating_add(at),
            Subject::Type(PrincipalType::Human) => types,
            Subject::Type(PrincipalType::Service) => types.saturating_add(1),
            Subject::Type(PrincipalType::Agent) => types.saturating_add(2),
            Subject::Everyone => types.saturating_add(3),
        }
    }

    /// How many numbers there are.
    pub(crate) fn subjects(self) -> usize {
        self.number(Subject::Everyone) as usize + 1
    }

    /// All subjects, in the order of their numbers.
    fn all_subjects(self) -> impl Iterator<Item = Subject> {
        let kinds = [
            PrincipalType::Human,
            PrincipalType::Service,
            PrincipalType::Agent,
        ];
        (0..self.principals)
            .map(|at| Subject::Principal(PrincipalId(at)))
            .chain((0..self.groups).map(|at| Subject::Group(GroupId(at))))
            .chain((0..self.tags).map(|at| Subject::Tag(TagId(at))))
            .chain(kinds.map(Subject::Type))
            .chain([Subject::Everyone])
    }
}

impl More {
    /// Lays out the rows of further subjects, by number.
    pub(crate) fn new(bounds: Bounds, mut rows: Vec<(u32, Row)>) -> Self {
        if rows.is_empty() {
            return Self::default();
        }
        rows.sort_unstable();
        let mut ends = vec![0_u32; bounds.subjects()];
        for (number, _) in &rows {
            if let Some(end) = ends.get_mut(*number as usize) {
                *end = end.saturating_add(1);
            }
        }
        let mut total = 0_u32;
        for end in &mut ends {
            total = total.saturating_add(*end);
            *end = total;
        }
        Self {
            ends,
            rows: rows.into_iter().map(|(_, row)| row).collect(),
        }
    }
}

impl Bindings {
    /// The row of a binding's first subject.
    #[inline]
    pub(crate) fn row(&self, binding: BindingId) -> Option<Row> {
        Some(Row {
            scope: *self.scopes.get(binding.index())?,
            binding,
            set: *self.sets.get(binding.index())?,
        })
    }

    /// All rows of first subjects.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let columns = self.scopes.iter().zip(&self.sets).zip(0..);
        columns.map(|((scope, set), at)| Row {
            scope: *scope,
            binding: BindingId(at),
            set: *set,
        })
    }

    /// Which bindings have this subject, by its number, as their first.
    pub(crate) fn first_of(&self, number: u32) -> (u32, u32) {
        span(&self.ends, number)
    }

    /// Which further rows speak of this subject, by its number.
    pub(crate) fn more_of(&self, number: u32) -> (u32, u32) {
        span(&self.more.ends, number)
    }

    /// Which of two bindings has the lower name.
    #[inline]
    pub(crate) fn lower(&self, one: BindingId, other: BindingId) -> BindingId {
        let name = |it: BindingId| self.names.get(it.index());
        if one == other || name(one) <= name(other) {
            one
        } else {
            other
        }
    }

    /// The bindings one by one, with their subjects.
    #[must_use]
    pub fn columns(&self) -> BindingColumns {
        let mut named: Vec<(BindingId, Subject)> = Vec::with_capacity(self.names.len());
        for (subject, number) in self.bounds.all_subjects().zip(0..) {
            let (start, end) = self.first_of(number);
            named.extend((start..end).map(|at| (BindingId(at), subject)));
            let (start, end) = self.more_of(number);
            let rows = self.more.rows.get(start as usize..end as usize);
            named.extend(rows.into_iter().flatten().map(|row| (row.binding, subject)));
        }
        named.sort_unstable();
        let count = self.names.len();
        let mut ends = Vec::with_capacity(count);
        for (next, (binding, _)) in (0_u32..).zip(&named) {
            while ends.len() < binding.index() {
                ends.push(next);
            }
        }
        ends.resize(count, u32::try_from(named.len()).unwrap_or(u32::MAX));
        BindingColumns {
            names: self.names.clone(),
            subject_ends: ends,
            subjects: named.into_iter().map(|(_, subject)| subject).collect(),
            roles: self.sets.iter().map(|set| set.roles()).collect(),
            scopes: self.scopes.clone(),
            conditions: (0..count).map(|at| self.conditions.get(at)).collect(),
            dates: (0..count).map(|at| self.dates.get(at)).collect(),
            cross_organization: self.sets.iter().map(|set| set.crosses()).collect(),
        }
    }
}

/// What lies between two ends.
fn span(ends: &[u32], number: u32) -> (u32, u32) {
    let at = number as usize;
    let end = ends.get(at).copied().unwrap_or(0);
    let start = at.checked_sub(1).and_then(|before| ends.get(before));
    (start.copied().unwrap_or(0).min(end), end)
}
