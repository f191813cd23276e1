//! How roles and bindings are spelt: as columns.

use super::{
    OpenError,
    columns::{Flags, ids, numbers, read_labels, read_lists, write_labels, write_lists},
    format::{Reader, Wire, Writer},
    principals::{read_periods, write_periods},
};
use crate::{
    id::{
        BindingId, FormulaId, GroupId, PermissionId, PrincipalId, RoleId, RoleSetId, ScopeId, TagId,
    },
    index::{
        PrincipalType, Roles, Subject,
        bindings::{BindingColumns, Bindings, Bounds, FlaggedSet, MAX_ROLE_SETS, More, Row},
    },
    lists::Lists,
    sparse::Periods,
    strings::Strings,
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
    pub fn new(columns: BindingColumns, bounds: Bounds) -> Result<Self, &'static str> {
        let mut section = Writer::default();
        write(&columns, bounds, &mut section)?;
        drop(columns);
        let mut reader = Reader::new(&section.bytes, 0);
        read(bounds, &mut reader).map_err(|error| error.what)
    }
}

/// Appends the section of the bindings, sorted.
pub(super) fn write(
    columns: &BindingColumns,
    bounds: Bounds,
    to: &mut Writer,
) -> Result<(), &'static str> {
    let order = order(columns)?;
    let subjects = || order.iter().map(|it| columns.subjects_of(*it));
    let mut counts = vec![0_u32; bounds.subjects() - 1];
    for first in subjects().filter_map(<[Subject]>::first) {
        let number = number(bounds, packed(*first).unwrap_or(u32::MAX));
        let count = number.and_then(|number| counts.get_mut(number as usize));
        *count.ok_or(WRONG_SUBJECTS)? += 1;
    }
    for count in counts {
        count.write(to);
    }
    let names = order.iter().map(|it| columns.names.get(it.index()));
    write_labels(&names.collect(), to);
    for binding in &order {
        to.bytes.push(flags_of(columns, *binding));
    }
    let set = order.iter().map(|it| columns.roles.get(it.index()));
    let scope = order.iter().map(|it| columns.scopes.get(it.index()));
    scope.flatten().for_each(|scope| scope.write(to));
    set.flatten().for_each(|set| set.write(to));
    let more = || subjects().filter_map(|all| all.get(1..).filter(|more| !more.is_empty()));
    more().for_each(|more| to.count(more.len()));
    more().flatten().for_each(|subject| subject.write(to));
    let condition = order.iter().map(|it| columns.conditions.get(it.index()));
    let condition = condition.flatten().flatten();
    condition.for_each(|condition| condition.write(to));
    let dates = order
        .iter()
        .map(|it| columns.dates.get(it.index()).copied());
    write_periods(&dates.flatten().collect::<Periods>(), to);
    Ok(())
}

/// The bindings by first subject, scope and name.
fn order(columns: &BindingColumns) -> Result<Vec<BindingId>, &'static str> {
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
    let ids = (0..).map(BindingId).take(count);
    // Names are looked up only to tell those apart that are alike otherwise: each is elsewhere.
    let places = ids.zip(&columns.scopes).map(|(it, scope)| {
        let first = columns.subjects_of(it).first().copied();
        Some((first?, *scope, it))
    });
    let places: Option<Vec<(Subject, ScopeId, BindingId)>> = places.collect();
    let mut places = places.ok_or("a binding without subjects")?;
    let name = |it: BindingId| columns.names.get(it.index());
    places.sort_by(|one, other| {
        let alike = (one.0, one.1).cmp(&(other.0, other.1));
        alike.then_with(|| name(one.2).cmp(name(other.2)))
    });
    Ok(places.into_iter().map(|(.., it)| it).collect())
}

fn flags_of(columns: &BindingColumns, binding: BindingId) -> u8 {
    let at = binding.index();
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
        (columns.subjects_of(binding).len() > 1, SEVERAL),
    ];
    let holding = marks.into_iter().filter(|(holds, _)| *holds);
    holding.fold(0, |flags, (_, flag)| flags | flag)
}

const WRONG_SUBJECTS: &str = "subjects must exist, and be sorted and distinct";
const WRONG_ORDER: &str = "bindings must be sorted by scope and name, and distinct";
const MISSING: &str = "an id without an entry";

/// Reads the section of the bindings, whose subjects, scopes and roles are within these bounds.
pub(super) fn read(bounds: Bounds, from: &mut Reader<'_>) -> Result<Bindings, OpenError> {
    let counts_wrong = from.wrong("subjects have other bindings than there are");
    // No binding speaks of everyone, who is the last subject.
    let counts = from.words(bounds.subjects() - 1)?;
    let names = read_labels(from)?;
    let count = names.len();
    let ends = ends_of(counts, count).ok_or(counts_wrong)?;
    let flags = Flags::read(count, KNOWN, from)?;
    let missing = from.wrong(MISSING);
    let mut highest = [0; 2];
    let scopes = ids(from.words(count)?, |scope| {
        highest[0] = scope.max(highest[0]);
        ScopeId(scope)
    });
    let sets = numbers(from.words(count)?).zip(flags.each);
    let sets: Vec<FlaggedSet> = sets
        .map(|(set, flags)| {
            highest[1] = set.max(highest[1]);
            flagged_set(set, *flags)
        })
        .collect();
    let limits = [bounds.scopes, bounds.role_sets.min(MAX_ROLE_SETS)];
    if count > 0 && highest.iter().zip(limits).any(|(it, limit)| *it >= limit) {
        return Err(missing);
    }
    if !is_sorted(&ends, &scopes, &names) {
        return Err(from.wrong(WRONG_ORDER));
    }
    let more = Further::read(flags, from)?;
    let conditions_wrong = from.wrong("as many conditions as flags were expected");
    let conditions = ids(from.words(flags.count(CONDITIONAL))?, FormulaId);
    let conditions = flags
        .sparse(CONDITIONAL, conditions)
        .ok_or(conditions_wrong)?;
    let dates = read_periods(flags, [NOT_BEFORE, EXPIRES], from)?;
    let mut bindings = Bindings {
        names,
        conditions,
        dates,
        bounds,
        scopes,
        sets,
        ends,
        more: More::default(),
    };
    let rows = more.rows(&bindings).ok_or(from.wrong(WRONG_SUBJECTS))?;
    bindings.more = More::new(bounds, rows);
    Ok(bindings)
}

/// Where the bindings of each subject end, and at last of everyone, who has none.
fn ends_of(counts: &[[u8; 4]], total: usize) -> Option<Vec<u32>> {
    let mut ends = Vec::with_capacity(counts.len() + 1);
    let mut end = 0_u32;
    for count in numbers(counts) {
        end = end.checked_add(count)?;
        ends.push(end);
    }
    ends.push(end);
    (end as usize == total).then_some(ends)
}

#[inline]
fn flagged_set(set: u32, flags: u8) -> FlaggedSet {
    FlaggedSet::new(
        RoleSetId(set),
        flags & CONDITIONAL != 0,
        flags & (NOT_BEFORE | EXPIRES) != 0,
        flags & CROSS_ORGANIZATION != 0,
    )
}

/// Whether the bindings of each subject are sorted by scope and then name, and distinct.
fn is_sorted(ends: &[u32], scopes: &[ScopeId], names: &Strings) -> bool {
    let mut start = 0;
    ends.iter().all(|end| {
        let end = *end as usize;
        let own = scopes.get(start..end).unwrap_or_default();
        let sorted = own.windows(2).zip(start..).all(|(pair, at)| match pair {
            [a, b] if a == b => names.is_below_next(at),
            [a, b] => a < b,
            _ => true,
        });
        start = end;
        sorted
    })
}

/// The subjects that bindings name besides their first.
struct Further<'a> {
    bindings: Vec<u32>,
    /// How many further subjects each has.
    counts: &'a [[u8; 4]],
    subjects: &'a [[u8; 4]],
}

impl<'a> Further<'a> {
    fn read(flags: Flags<'_>, from: &mut Reader<'a>) -> Result<Self, OpenError> {
        let wrong = from.wrong("a list that must not be empty");
        let counts = from.words(flags.count(SEVERAL))?;
        if numbers(counts).any(|count| count == 0) {
            return Err(wrong);
        }
        let total: u64 = numbers(counts).map(u64::from).sum();
        Ok(Self {
            bindings: flags.positions(SEVERAL).collect(),
            counts,
            subjects: from.words(usize::try_from(total).unwrap_or(usize::MAX))?,
        })
    }

    /// A row for each, with the number of its subject; `None` when a subject does not exist, or
    /// those of a binding are not sorted and distinct.
    fn rows(&self, bindings: &Bindings) -> Option<Vec<(u32, Row)>> {
        let bounds = bindings.bounds;
        let mut rows = Vec::with_capacity(self.subjects.len());
        let mut subjects = numbers(self.subjects);
        for (binding, count) in self.bindings.iter().zip(numbers(self.counts)) {
            // The first subject is the one within whose bindings this one lies.
            let first = bindings.ends.partition_point(|end| end <= binding);
            let mut before = u32::try_from(first).ok()?;
            for subject in subjects.by_ref().take(count as usize) {
                let number = number(bounds, subject)?;
                if number <= before {
                    return None;
                }
                before = number;
                rows.push((number, bindings.row(BindingId(*binding))?));
            }
        }
        Some(rows)
    }
}

/// The dense number of a subject that a binding may name.
fn number(bounds: Bounds, subject: u32) -> Option<u32> {
    let at = subject & ((1 << KIND) - 1);
    let (count, first) = match subject >> KIND {
        0 => (bounds.principals, Subject::Principal(PrincipalId(0))),
        1 => (bounds.groups, Subject::Group(GroupId(0))),
        2 => (bounds.tags, Subject::Tag(TagId(0))),
        3 => (3, Subject::Type(PrincipalType::Human)),
        // No binding speaks of everyone.
        _ => return None,
    };
    (at < count).then(|| bounds.number(first).saturating_add(at))
}

/// A subject as it is spelt; `None` when its position is too large.
fn packed(subject: Subject) -> Option<u32> {
    let (kind, at) = match subject {
        Subject::Principal(it) => (0, it.0),
        Subject::Group(it) => (1, it.0),
        Subject::Tag(it) => (2, it.0),
        Subject::Type(PrincipalType::Human) => (3, 0),
        Subject::Type(PrincipalType::Service) => (3, 1),
        Subject::Type(PrincipalType::Agent) => (3, 2),
        Subject::Everyone => (4, 0),
    };
    (at >> KIND == 0).then_some(kind << KIND | at)
}

impl Wire for Subject {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        let packed = packed(*self);
        to.overflow |= packed.is_none();
        packed.unwrap_or(u32::MAX).write(to);
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

    const BOUNDS: Bounds = Bounds {
        principals: 2,
        groups: 1,
        tags: 0,
        scopes: 40,
        role_sets: 1,
    };

    /// What the columns say of each binding, by name.
    fn lines(columns: &BindingColumns) -> Vec<String> {
        let line = |at: usize| {
            let id = BindingId(u32::try_from(at).unwrap());
            let (name, scope) = (columns.names.get(at), columns.scopes[at]);
            format!("{name} {scope:?} {:?}", columns.subjects_of(id))
        };
        let mut lines: Vec<String> = (0..columns.names.len()).map(line).collect();
        lines.sort();
        lines
    }

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
            let bindings = Bindings::new(given.clone(), BOUNDS).unwrap();
            assert_eq!(lines(&bindings.columns()), lines(&given));
            let again = Bindings::new(bindings.columns(), BOUNDS).unwrap();
            assert_eq!(again, bindings);
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
                Bindings::new(columns(&[wrong]), BOUNDS).is_err(),
                "{wrong:?}"
            );
        }
    }
}
