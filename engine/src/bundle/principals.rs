//! How scopes and principals are spelt: as columns.

use super::{
    OpenError,
    columns::{Flags, ids, numbers, read_labels, read_texts, write_labels, write_texts},
    format::{Reader, Wire, Writer},
};
use crate::{
    id::{GroupId, IssuerId, PrincipalId, ScopeId, TagId},
    index::{PrincipalType, Principals},
    scope::ScopeTree,
    sparse::Periods,
    time::Time,
};

const NOT_BEFORE: u8 = 1;
const EXPIRES: u8 = 2;
const SUSPENDED: u8 = 4;
const TAGGED: u8 = 8;
const GROUPED: u8 = 16;
const KNOWN: u8 = NOT_BEFORE | EXPIRES | SUSPENDED | TAGGED | GROUPED;

impl Wire for Principals {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        write_labels(&self.names, to);
        for kind in &self.types {
            kind.write(to);
        }
        for scope in &self.scopes {
            scope.write(to);
        }
        let tags = per_principal(&self.tags, self.names.len());
        let groups = per_principal(&self.groups, self.names.len());
        for (principal, at) in (0..self.names.len()).zip(0_u32..) {
            let suspended = self.suspended.binary_search(&PrincipalId(at)).is_ok();
            let mut flags = 0;
            let mut mark = |holds, flag| flags |= if holds { flag } else { 0 };
            let dates = self.dates.get(principal);
            mark(dates.not_before.is_some(), NOT_BEFORE);
            mark(dates.expires.is_some(), EXPIRES);
            mark(suspended, SUSPENDED);
            mark(tags.get(principal).is_some_and(|it| *it > 0), TAGGED);
            mark(groups.get(principal).is_some_and(|it| *it > 0), GROUPED);
            to.bytes.push(flags);
        }
        write_periods(&self.dates, to);
        write_relation(&tags, self.tags.iter().map(|(_, tag)| tag.0), to);
        write_relation(&groups, self.groups.iter().map(|(_, group)| group.0), to);
        write_identities(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let names = read_labels(from)?;
        let count = names.len();
        let types = read_types(count, from)?;
        let scopes = ids(from.words(count)?, ScopeId);
        let flags = Flags::read(count, KNOWN, from)?;
        let dates = read_periods(flags, [NOT_BEFORE, EXPIRES], from)?;
        let tags = read_relation(flags, TAGGED, from, TagId)?;
        let groups = read_relation(flags, GROUPED, from, GroupId)?;
        let (identities, identity_subjects) = read_identities(from)?;
        Ok(Self {
            names,
            types,
            scopes,
            dates,
            suspended: flags.positions(SUSPENDED).map(PrincipalId).collect(),
            identities,
            identity_subjects,
            tags,
            groups,
        })
    }
}

fn read_types(count: usize, from: &mut Reader<'_>) -> Result<Vec<PrincipalType>, OpenError> {
    let wrong = from.wrong("a choice that does not exist");
    let types = from.take(count)?;
    if types.iter().fold(0, |highest, it| highest.max(*it)) > 2 {
        return Err(wrong);
    }
    let kind = |it: &u8| match it {
        0 => PrincipalType::Human,
        1 => PrincipalType::Service,
        _ => PrincipalType::Agent,
    };
    Ok(types.iter().map(kind).collect())
}

/// Appends the ends of periods that are there: all beginnings, then all ends.
pub(super) fn write_periods(periods: &Periods, to: &mut Writer) {
    for time in periods.not_before.values() {
        time.write(to);
    }
    for time in periods.expires.values() {
        time.write(to);
    }
}

/// Reads the periods of entries with these flags.
pub(super) fn read_periods(
    flags: Flags<'_>,
    [not_before, expires]: [u8; 2],
    from: &mut Reader<'_>,
) -> Result<Periods, OpenError> {
    let mut times = |flag: u8| {
        let wrong = from.wrong("as many values as flags were expected");
        let values = from.longs(flags.count(flag))?;
        let values = values.iter().map(|it| Time(i64::from_le_bytes(*it)));
        flags.sparse(flag, values.collect()).ok_or(wrong)
    };
    Ok(Periods {
        not_before: times(not_before)?,
        expires: times(expires)?,
    })
}

/// How many pairs each principal has in a sorted relation.
fn per_principal<T>(pairs: &[(PrincipalId, T)], count: usize) -> Vec<u32> {
    let mut counts = vec![0; count];
    for (principal, _) in pairs {
        if let Some(count) = counts.get_mut(principal.index()) {
            *count += 1;
        }
    }
    counts
}

/// Appends a relation: how many pairs each principal has that has any, and their other sides.
fn write_relation(counts: &[u32], items: impl Iterator<Item = u32>, to: &mut Writer) {
    for count in counts.iter().filter(|count| **count > 0) {
        count.write(to);
    }
    for item in items {
        item.write(to);
    }
}

fn read_relation<T>(
    flags: Flags<'_>,
    flag: u8,
    from: &mut Reader<'_>,
    make: impl Fn(u32) -> T,
) -> Result<Vec<(PrincipalId, T)>, OpenError> {
    let wrong = from.wrong("a list that must not be empty");
    let counts = from.words(flags.count(flag))?;
    if numbers(counts).any(|count| count == 0) {
        return Err(wrong);
    }
    let total: u64 = numbers(counts).map(u64::from).sum();
    let mut items = numbers(from.words(usize::try_from(total).unwrap_or(usize::MAX))?);
    let mut pairs = Vec::with_capacity(items.len());
    let principals = flags.positions(flag).map(PrincipalId);
    for (principal, count) in principals.zip(numbers(counts)) {
        let own = items.by_ref().take(count as usize);
        pairs.extend(own.map(|item| (principal, make(item))));
    }
    Ok(pairs)
}

/// Appends the identities: how many each issuer has, whose they are, and their subjects.
fn write_identities(principals: &Principals, to: &mut Writer) {
    let identities = &principals.identities;
    let issuers = identities.last().map_or(0, |(last, _)| last.index() + 1);
    to.count(issuers);
    let mut rest = identities.as_slice();
    for issuer in (0..).map(IssuerId).take(issuers) {
        let own = rest.partition_point(|(it, _)| *it <= issuer);
        to.count(own);
        rest = rest.get(own..).unwrap_or_default();
    }
    for (_, principal) in identities {
        principal.write(to);
    }
    write_texts(&principals.identity_subjects, to);
}

type Identities = (Vec<(IssuerId, PrincipalId)>, crate::strings::Strings);

fn read_identities(from: &mut Reader<'_>) -> Result<Identities, OpenError> {
    let issuers = from.count(4)?;
    let wrong = from.wrong("the last issuer of identities has one");
    let counts = from.words(issuers)?;
    if numbers(counts).last() == Some(0) {
        return Err(wrong);
    }
    let total: u64 = numbers(counts).map(u64::from).sum();
    let mut principals = numbers(from.words(usize::try_from(total).unwrap_or(usize::MAX))?);
    let mut identities = Vec::with_capacity(principals.len());
    for (count, issuer) in numbers(counts).zip(0..) {
        let own = principals.by_ref().take(count as usize);
        identities.extend(own.map(|principal| (IssuerId(issuer), PrincipalId(principal))));
    }
    Ok((identities, read_texts(from)?))
}

impl Wire for ScopeTree {
    const MIN: usize = 8;

    /// The organizations, how many teams each has, and the teams.
    fn write(&self, to: &mut Writer) {
        let (organizations, teams) = self.names();
        write_labels(&organizations, to);
        for count in self.team_counts() {
            count.write(to);
        }
        write_labels(&teams, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let organizations = read_labels(from)?;
        let wrong = from.wrong("the organizations have other teams");
        let counts = from.words(organizations.len())?;
        let teams = read_labels(from)?;
        Self::from_names(&organizations, numbers(counts), &teams).ok_or(wrong)
    }
}
