//! Bindings, laid out as decisions search them.
//!
//! A binding has one **row** for each subject that it names. The rows of one subject lie together,
//! so that a caller, who is several subjects at once, is a few ranges of rows. What only some
//! bindings have is in sparse columns. The other way, from a binding to its subjects, is found on
//! demand: only tools ask for it.

use super::Subject;
use crate::{
    id::{BindingId, FormulaId, GroupId, PrincipalId, RoleSetId, ScopeId, TagId},
    index::PrincipalType,
    sparse::{Periods, Sparse},
    strings::Strings,
    time::Dates,
};

/// Up to this many rows, looking at all of them beats searching; longer lists are sorted by scope.
pub(crate) const SCAN: usize = 16;

/// Set in a row whose binding has a condition.
const CONDITIONAL: u32 = 1 << 31;
/// Set in a row whose binding has dates.
const DATED: u32 = 1 << 30;
/// Set in a row whose binding reaches into other organizations.
const CROSS: u32 = 1 << 29;
const FLAGS: u32 = CONDITIONAL | DATED | CROSS;

/// The most roles and sets of roles together, so that the flags fit beside one.
pub(crate) const MAX_ROLE_SETS: usize = CROSS as usize;

/// All bindings. Made from [`BindingColumns`], and by opening a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings {
    /// Names, sorted.
    pub names: Strings,
    /// The condition of each.
    pub conditions: Sparse<FormulaId>,
    /// The period of each.
    pub dates: Periods,
    pub(crate) holders: Holders,
    /// Where the rows of each subject end.
    ends: Vec<u32>,
    rows: Vec<Row>,
}

/// What one binding gives one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) scope: ScopeId,
    pub(crate) binding: BindingId,
    /// The role set, with the flags.
    set: u32,
}

/// The same as columns of equal length, binding by binding: what the compiler fills in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingColumns {
    /// Names, sorted.
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

impl Row {
    pub(crate) fn new(scope: ScopeId, binding: BindingId, set: RoleSetId) -> Self {
        Self {
            scope,
            binding,
            set: set.0,
        }
    }

    /// The same row of a binding with or without these.
    pub(crate) fn with(mut self, conditional: bool, dated: bool, crosses: bool) -> Self {
        for (holds, flag) in [(conditional, CONDITIONAL), (dated, DATED), (crosses, CROSS)] {
            if holds {
                self.set |= flag;
            }
        }
        self
    }

    /// The roles that the binding gives.
    #[inline]
    pub(crate) fn roles(self) -> RoleSetId {
        RoleSetId(self.set & !FLAGS)
    }

    /// Whether the binding has a condition.
    #[inline]
    pub(crate) fn is_conditional(self) -> bool {
        self.set & CONDITIONAL != 0
    }

    /// Whether the binding has dates.
    #[inline]
    pub(crate) fn is_dated(self) -> bool {
        self.set & DATED != 0
    }

    /// Whether the binding reaches into other organizations.
    #[inline]
    pub(crate) fn crosses(self) -> bool {
        self.set & CROSS != 0
    }
}

/// How many there are of each kind of subject, so that every subject has one dense number:
/// principals, groups, tags, types, everyone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holders {
    /// How many principals there are.
    pub principals: u32,
    /// How many groups there are.
    pub groups: u32,
    /// How many tags there are.
    pub tags: u32,
}

impl Holders {
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
    pub(crate) fn len(self) -> usize {
        self.number(Subject::Everyone) as usize + 1
    }

    /// All subjects, in the order of their numbers.
    fn subjects(self) -> impl Iterator<Item = Subject> {
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

/// Where the rows of bindings go, while they are laid out.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How many rows each subject has; then where its next one goes.
    next: Vec<u32>,
    rows: Vec<Row>,
}

impl Layout {
    /// Counts the rows of each subject, by number; `None` when a number is not of these holders.
    pub(crate) fn count(
        holders: Holders,
        numbers: impl Iterator<Item = Option<u32>>,
    ) -> Option<Self> {
        let mut next = vec![0_u32; holders.len()];
        for number in numbers {
            *next.get_mut(number? as usize)? += 1;
        }
        let mut total = 0_u32;
        for start in &mut next {
            let count = *start;
            *start = total;
            total = total.checked_add(count)?;
        }
        let none = Row::new(ScopeId(0), BindingId(0), RoleSetId(0));
        Some(Self {
            next,
            rows: vec![none; total as usize],
        })
    }

    /// Puts the next row of a subject, which was counted.
    #[inline]
    pub(crate) fn put(&mut self, number: u32, row: Row) {
        if let Some(next) = self.next.get_mut(number as usize)
            && let Some(slot) = self.rows.get_mut(*next as usize)
        {
            *slot = row;
            *next += 1;
        }
    }
}

impl Bindings {
    /// The bindings of these parts. Rows must have been put binding by binding, each that was
    /// counted.
    pub(crate) fn from_parts(
        names: Strings,
        conditions: Sparse<FormulaId>,
        dates: Periods,
        holders: Holders,
        layout: Layout,
    ) -> Self {
        // Where the next row would go is now where each list ends.
        let (ends, mut rows) = (layout.next, layout.rows);
        let mut start = 0;
        for end in &ends {
            let end = *end as usize;
            if let Some(list) = rows.get_mut(start..end)
                && list.len() > SCAN
            {
                list.sort_unstable();
            }
            start = end;
        }
        Self {
            names,
            conditions,
            dates,
            holders,
            ends,
            rows,
        }
    }

    /// All rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Where the rows of a subject lie, by its number.
    pub(crate) fn span(&self, number: u32) -> (u32, u32) {
        let at = number as usize;
        let end = self.ends.get(at).copied().unwrap_or(0);
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        (start.copied().unwrap_or(0).min(end), end)
    }

    /// The bindings one by one, with their subjects.
    #[must_use]
    pub fn columns(&self) -> BindingColumns {
        let count = self.names.len();
        let mut ends = vec![0_u32; count];
        for row in &self.rows {
            if let Some(end) = ends.get_mut(row.binding.index()) {
                *end += 1;
            }
        }
        let mut total = 0;
        for start in &mut ends {
            total += std::mem::replace(start, total);
        }
        let mut columns = BindingColumns {
            names: self.names.clone(),
            subjects: vec![Subject::Everyone; self.rows.len()],
            roles: vec![RoleSetId(0); count],
            scopes: vec![ScopeId(0); count],
            conditions: (0..count).map(|at| self.conditions.get(at)).collect(),
            dates: (0..count).map(|at| self.dates.get(at)).collect(),
            cross_organization: vec![false; count],
            subject_ends: ends,
        };
        for (subject, number) in self.holders.subjects().zip(0..) {
            let (start, end) = self.span(number);
            let rows = self.rows.get(start as usize..end as usize);
            for row in rows.unwrap_or_default() {
                columns.add(*row, subject);
            }
        }
        columns
    }
}

impl BindingColumns {
    /// Adds one row to its binding; the ends are where the binding's next subject goes.
    fn add(&mut self, row: Row, subject: Subject) {
        let at = row.binding.index();
        if let Some(next) = self.subject_ends.get_mut(at)
            && let Some(slot) = self.subjects.get_mut(*next as usize)
        {
            *slot = subject;
            *next += 1;
        }
        if let (Some(set), Some(scope), Some(crosses)) = (
            self.roles.get_mut(at),
            self.scopes.get_mut(at),
            self.cross_organization.get_mut(at),
        ) {
            (*set, *scope, *crosses) = (row.roles(), row.scope, row.crosses());
        }
    }
}
