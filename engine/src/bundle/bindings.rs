//! How roles and bindings are spelt: as columns.

use super::{
    OpenError,
    columns::{
        flagged, ids, numbers, read_flags, read_labels, read_lists, write_labels, write_lists,
    },
    format::{Reader, Wire, Writer},
    principals::{read_periods, write_periods},
};
use crate::{
    id::{
        BindingId, FormulaId, GroupId, PermissionId, PrincipalId, RoleId, RoleSetId, ScopeId, TagId,
    },
    index::{
        PrincipalType, Roles, Subject,
        bindings::{BindingColumns, Bindings, Holders, Layout, MAX_ROLE_SETS, Row},
    },
    lists::Lists,
    sparse::{Periods, Sparse},
};

const CONDITIONAL: u8 = 1;
const NOT_BEFORE: u8 = 2;
const EXPIRES: u8 = 4;
const CROSS_ORGANIZATION: u8 = 8;
/// Names several subjects.
const SEVERAL: u8 = 16;
const KNOWN: u8 = CONDITIONAL | NOT_BEFORE | EXPIRES | CROSS_ORGANIZATION | SEVERAL;

/// A subject is four bytes: what kind it is in the highest three bits, which one in the others.
const KIND: u32 = 29;

impl Wire for Roles {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        write_labels(&self.names, to);
        write_lists(&self.permissions, |it| it.0, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let names = read_labels(from)?;
        let permissions = read_lists(names.len(), from, PermissionId)?;
        Ok(Self { names, permissions })
    }
}

impl Wire for Lists<RoleId> {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.count(self.len());
        write_lists(self, |it| it.0, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let count = from.count(4)?;
        read_lists(count, from, RoleId)
    }
}

impl Bindings {
    /// Lays out bindings that are given one by one; the error says what is wrong with them.
    pub fn new(columns: &BindingColumns, holders: Holders) -> Result<Self, &'static str> {
        let mut section = Writer::default();
        write(columns, &mut section)?;
        let mut reader = Reader::new(&section.bytes, 0);
        read(holders, &mut reader).map_err(|error| error.what)
    }
}

/// Appends the section of the bindings.
pub(super) fn write(columns: &BindingColumns, to: &mut Writer) -> Result<(), &'static str> {
    let count = columns.names.len();
    let lengths = [
        columns.subject_ends.len(),
        columns.roles.len(),
        columns.scopes.len(),
        columns.conditions.len(),
        columns.dates.len(),
        columns.cross_organization.len(),
    ];
    let last = columns.subject_ends.last().map_or(0, |end| *end as usize);
    if lengths != [count; 6] || last != columns.subjects.len() {
        return Err("columns of different lengths");
    }
    let subjects = || {
        (0..)
            .map(BindingId)
            .take(count)
            .map(|it| columns.subjects_of(it))
    };
    if subjects().any(<[Subject]>::is_empty) {
        return Err("a binding without subjects");
    }
    write_labels(&columns.names, to);
    for (at, subjects) in subjects().enumerate() {
        to.bytes.push(flags_of(columns, at, subjects.len()));
    }
    for subjects in subjects().filter(|subjects| subjects.len() > 1) {
        to.count(subjects.len());
    }
    for subject in &columns.subjects {
        subject.write(to);
    }
    for scope in &columns.scopes {
        scope.write(to);
    }
    for set in &columns.roles {
        set.write(to);
    }
    for condition in columns.conditions.iter().flatten() {
        condition.write(to);
    }
    write_periods(&columns.dates.iter().copied().collect::<Periods>(), to);
    Ok(())
}

fn flags_of(columns: &BindingColumns, at: usize, subjects: usize) -> u8 {
    let dates = columns.dates.get(at).copied().unwrap_or_default();
    let marks = [
        (
            matches!(columns.conditions.get(at), Some(Some(_))),
            CONDITIONAL,
        ),
        (dates.not_before.is_some(), NOT_BEFORE),
        (dates.expires.is_some(), EXPIRES),
        (
            columns.cross_organization.get(at) == Some(&true),
            CROSS_ORGANIZATION,
        ),
        (subjects > 1, SEVERAL),
    ];
    let holding = marks.into_iter().filter(|(holds, _)| *holds);
    holding.fold(0, |flags, (_, flag)| flags | flag)
}

/// Reads the section of the bindings, of which these may be the subjects.
pub(super) fn read(holders: Holders, from: &mut Reader<'_>) -> Result<Bindings, OpenError> {
    let names = read_labels(from)?;
    let count = names.len();
    let flags = read_flags(count, KNOWN, from)?;
    let counts_wrong = from.wrong("several subjects are two or more");
    let counts = from.words(flagged(flags, SEVERAL))?;
    if numbers(counts).any(|count| count < 2) {
        return Err(counts_wrong);
    }
    let several: u64 = numbers(counts).map(u64::from).sum();
    let total = usize::try_from(several).unwrap_or(usize::MAX);
    let total = total.saturating_add(count - counts.len());
    let sets_wrong = from.wrong("an id without an entry");
    let subjects_wrong = from.wrong("subjects must exist, and be sorted and distinct");
    let columns = Raw {
        flags,
        counts,
        subjects: from.words(total)?,
        scopes: from.words(count)?,
        sets: from.words(count)?,
    };
    if numbers(columns.sets).any(|set| set as usize >= MAX_ROLE_SETS) {
        return Err(sets_wrong);
    }
    let conditions_wrong = from.wrong("as many conditions as flags were expected");
    let conditions = ids(from.words(flagged(flags, CONDITIONAL))?, FormulaId);
    let marks = flags.iter().map(|it| it & CONDITIONAL != 0);
    let conditions = Sparse::from_marks(marks, conditions).ok_or(conditions_wrong)?;
    let dates = read_periods(flags, [NOT_BEFORE, EXPIRES], from)?;
    columns
        .lay_out(holders)
        .map(|layout| Bindings::from_parts(names, conditions, dates, holders, layout))
        .ok_or(subjects_wrong)
}

/// The columns that become rows.
struct Raw<'a> {
    flags: &'a [u8],
    /// How many subjects each binding has that has several.
    counts: &'a [[u8; 4]],
    subjects: &'a [[u8; 4]],
    scopes: &'a [[u8; 4]],
    sets: &'a [[u8; 4]],
}

impl Raw<'_> {
    /// The rows of all bindings; `None` when a subject does not exist, or those of a binding are
    /// not sorted and distinct.
    fn lay_out(&self, holders: Holders) -> Option<Layout> {
        let numbers_of = Numbers::of(holders);
        let mut layout = Layout::count(
            holders,
            numbers(self.subjects).map(|subject| numbers_of.number(subject)),
        )?;
        let mut counts = numbers(self.counts);
        let mut subjects = self.subjects;
        let columns = self
            .flags
            .iter()
            .zip(numbers(self.scopes))
            .zip(numbers(self.sets));
        for (((flags, scope), set), binding) in columns.zip(0..) {
            let row = Row::new(ScopeId(scope), BindingId(binding), RoleSetId(set)).with(
                flags & CONDITIONAL != 0,
                flags & (NOT_BEFORE | EXPIRES) != 0,
                flags & CROSS_ORGANIZATION != 0,
            );
            let count = if flags & SEVERAL == 0 {
                1
            } else {
                counts.next()?
            };
            let (own, rest) = subjects.split_at_checked(count as usize)?;
            subjects = rest;
            if let [first, more @ ..] = own {
                let mut before = u32::from_le_bytes(*first);
                layout.put(numbers_of.number(before)?, row);
                for subject in numbers(more) {
                    if subject <= before {
                        return None;
                    }
                    before = subject;
                    layout.put(numbers_of.number(subject)?, row);
                }
            }
        }
        Some(layout)
    }
}

/// How the subjects of bindings become dense numbers.
struct Numbers {
    /// For each kind how many there are, and the number of the first.
    kinds: [(u32, u32); 8],
}

impl Numbers {
    fn of(holders: Holders) -> Self {
        let first = |subject| holders.number(subject);
        let none = (0, 0);
        Self {
            kinds: [
                (holders.principals, 0),
                (holders.groups, first(Subject::Group(GroupId(0)))),
                (holders.tags, first(Subject::Tag(TagId(0)))),
                (3, first(Subject::Type(PrincipalType::Human))),
                // No binding speaks of everyone.
                none,
                none,
                none,
                none,
            ],
        }
    }

    #[inline]
    fn number(&self, subject: u32) -> Option<u32> {
        let (count, first) = self.kinds.get((subject >> KIND) as usize)?;
        let at = subject & ((1 << KIND) - 1);
        (at < *count).then_some(*first + at)
    }
}

impl Wire for Subject {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        let (kind, at) = match self {
            Self::Principal(it) => (0, it.0),
            Self::Group(it) => (1, it.0),
            Self::Tag(it) => (2, it.0),
            Self::Type(PrincipalType::Human) => (3, 0),
            Self::Type(PrincipalType::Service) => (3, 1),
            Self::Type(PrincipalType::Agent) => (3, 2),
            Self::Everyone => (4, 0),
        };
        to.overflow |= at >> KIND != 0;
        (kind << KIND | at).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let wrong = from.wrong("a subject that does not exist");
        let subject = u32::read(from)?;
        let at = subject & ((1 << KIND) - 1);
        match (subject >> KIND, at) {
            (0, _) => Ok(Self::Principal(PrincipalId(at))),
            (1, _) => Ok(Self::Group(GroupId(at))),
            (2, _) => Ok(Self::Tag(TagId(at))),
            (3, 0) => Ok(Self::Type(PrincipalType::Human)),
            (3, 1) => Ok(Self::Type(PrincipalType::Service)),
            (3, 2) => Ok(Self::Type(PrincipalType::Agent)),
            (4, 0) => Ok(Self::Everyone),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::strings::Strings;

    fn columns(subjects: &[&[Subject]]) -> BindingColumns {
        let count = subjects.len();
        let mut columns = BindingColumns {
            names: (0..count)
                .map(|at| format!("b-{at:03}"))
                .collect::<Strings>(),
            roles: vec![RoleSetId(0); count],
            scopes: (0..count)
                .rev()
                .map(|at| ScopeId(u32::try_from(at).unwrap()))
                .collect(),
            conditions: vec![None; count],
            dates: vec![crate::time::Dates::default(); count],
            cross_organization: vec![false; count],
            ..BindingColumns::default()
        };
        for own in subjects {
            columns.subjects.extend_from_slice(own);
            let end = u32::try_from(columns.subjects.len()).unwrap();
            columns.subject_ends.push(end);
        }
        columns
    }

    const HOLDERS: Holders = Holders {
        principals: 2,
        groups: 1,
        tags: 0,
    };

    #[test]
    fn bindings_are_their_columns_again() {
        let (one, two) = (
            Subject::Principal(PrincipalId(0)),
            Subject::Principal(PrincipalId(1)),
        );
        let group = Subject::Group(GroupId(0));
        for given in [
            columns(&[]),
            columns(&[&[one]]),
            columns(&[&[two], &[one, two, group], &[group]]),
            columns(&vec![&[one, group][..]; 40]),
        ] {
            assert_eq!(Bindings::new(&given, HOLDERS).unwrap().columns(), given);
        }
    }

    #[test]
    fn subjects_that_are_none_are_refused() {
        let one = Subject::Principal(PrincipalId(0));
        for wrong in [
            &[one, one][..],
            &[Subject::Group(GroupId(0)), one],
            &[Subject::Principal(PrincipalId(2))],
            &[Subject::Group(GroupId(1))],
            &[Subject::Tag(TagId(0))],
            &[Subject::Everyone],
            &[],
        ] {
            assert!(
                Bindings::new(&columns(&[wrong]), HOLDERS).is_err(),
                "{wrong:?}"
            );
        }
    }
}
