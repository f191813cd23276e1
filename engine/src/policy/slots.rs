//! Which arguments a call of each surface must bring: those that some condition can read.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    condition::{Formula, Root, Test},
    id::{AttributeId, FormulaId, PermissionId, RoleSetId, SurfaceId},
    index::Index,
};

/// The argument attributes of each surface.
#[derive(Debug)]
pub(crate) struct Slots {
    starts: Vec<u32>,
    attributes: Vec<AttributeId>,
}

impl Slots {
    pub(crate) fn build(index: &Index, permission_starts: &[PermissionId]) -> Self {
        let mut sets = vec![BTreeSet::<AttributeId>::new(); index.surfaces.len()];
        let mut reads = Reads {
            index,
            known: BTreeMap::new(),
        };
        for (condition, permissions) in guarded(index) {
            let arguments = reads.arguments(condition);
            if arguments.is_empty() {
                continue;
            }
            let surfaces: BTreeSet<SurfaceId> = permissions
                .map(|it| Index::permission_surface(permission_starts, it).0)
                .collect();
            for surface in surfaces {
                if let Some(set) = sets.get_mut(surface.index()) {
                    set.extend(&arguments);
                }
            }
        }
        let mut slots = Self {
            starts: vec![0],
            attributes: Vec::new(),
        };
        for set in sets {
            slots.attributes.extend(set);
            let end = super::id(slots.attributes.len()).unwrap_or(u32::MAX);
            slots.starts.push(end);
        }
        slots
    }

    /// The attributes of one surface, sorted.
    #[inline]
    pub(crate) fn of(&self, surface: SurfaceId) -> &[AttributeId] {
        let span = super::span(&self.starts, surface.index());
        self.attributes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

/// Every condition, with the permissions of which a call can meet it.
fn guarded(
    index: &Index,
) -> impl Iterator<Item = (FormulaId, Box<dyn Iterator<Item = PermissionId> + '_>)> {
    let bindings = &index.bindings;
    let rows = bindings.rows().filter(|row| row.set.is_conditional());
    let mut bindings: Vec<(FormulaId, RoleSetId)> = rows
        .filter_map(|row| {
            Some((
                bindings.conditions.get(row.binding.index())?,
                row.set.roles(),
            ))
        })
        .collect();
    bindings.sort_unstable();
    bindings.dedup();
    let bindings = bindings.into_iter().map(move |(condition, set)| {
        let permissions = index.permissions_of(set);
        (
            condition,
            Box::new(permissions) as Box<dyn Iterator<Item = _>>,
        )
    });
    let rules = index.rules.iter().filter_map(|rule| {
        let permissions = rule.permissions.iter().copied();
        let permissions = Box::new(permissions) as Box<dyn Iterator<Item = _>>;
        rule.condition.map(|condition| (condition, permissions))
    });
    bindings.chain(rules)
}

/// Which arguments each condition reads, found once.
struct Reads<'a> {
    index: &'a Index,
    known: BTreeMap<FormulaId, BTreeSet<AttributeId>>,
}

impl Reads<'_> {
    fn arguments(&mut self, root: FormulaId) -> BTreeSet<AttributeId> {
        if let Some(known) = self.known.get(&root) {
            return known.clone();
        }
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![root];
        while let Some(formula) = open.pop() {
            if !seen.insert(formula) {
                continue;
            }
            match self.index.formulas.get(formula.index()) {
                None | Some(Formula::Constant(_)) => {}
                Some(Formula::All(parts) | Formula::Any(parts)) => open.extend(parts),
                Some(Formula::Literal { test, .. }) => found.extend(read_by(test)),
                Some(Formula::Every(list, body) | Formula::Some(list, body)) => {
                    found.insert(*list);
                    open.push(*body);
                }
            }
        }
        found.retain(|attribute| {
            let attribute = self.index.attributes.get(attribute.index());
            attribute.is_some_and(|attribute| attribute.root == Root::Args)
        });
        self.known.insert(root, found.clone());
        found
    }
}

/// The attributes that a test reads.
pub(crate) fn read_by(test: &Test) -> impl Iterator<Item = AttributeId> {
    let (first, second) = match test {
        Test::Present(it)
        | Test::True(it)
        | Test::Compare(it, ..)
        | Test::In(it, _)
        | Test::Member(it, _)
        | Test::StartsWith(it, _)
        | Test::EndsWith(it, _)
        | Test::Contains(it, _)
        | Test::Matches(it, _)
        | Test::Size(it, ..)
        | Test::Network(it, _)
        | Test::During(it, _) => (*it, None),
        Test::Same(one, other) => (*one, Some(*other)),
    };
    [first].into_iter().chain(second)
}
