//! Which permissions each set of roles gives, as one look-up.

use crate::{
    id::{PermissionId, RoleSetId},
    index::Index,
};

/// Above this, bit sets give way to sorted lists.
const MAX_BITS_BYTES: usize = 1 << 20;

/// The permissions of each role set.
#[derive(Debug)]
pub(crate) enum Table {
    /// One bit for each permission.
    Bits { words: usize, bits: Vec<u64> },
    /// Sorted lists, one after the other.
    Lists {
        starts: Vec<u32>,
        permissions: Vec<PermissionId>,
    },
}

impl Table {
    pub(crate) fn build(index: &Index, permission_starts: &[PermissionId]) -> Self {
        let count = permission_starts.last().map_or(0, |end| end.index());
        let words = count.div_ceil(64);
        let size = words.saturating_mul(index.role_sets.len());
        if size.saturating_mul(8) <= MAX_BITS_BYTES {
            Self::bits(index, words, size)
        } else {
            Self::lists(index)
        }
    }

    fn bits(index: &Index, words: usize, size: usize) -> Self {
        let mut bits = vec![0_u64; size];
        for at in 0..index.role_sets.len() {
            let set = bits.get_mut(at * words..(at + 1) * words);
            let set = set.unwrap_or_default();
            for permission in permissions_of(index, at) {
                if let Some(word) = set.get_mut(permission.index() / 64) {
                    *word |= 1 << (permission.0 % 64);
                }
            }
        }
        Self::Bits { words, bits }
    }

    fn lists(index: &Index) -> Self {
        let mut starts = vec![0];
        let mut permissions = Vec::new();
        for at in 0..index.role_sets.len() {
            let mut set: Vec<_> = permissions_of(index, at).collect();
            set.sort_unstable();
            set.dedup();
            permissions.append(&mut set);
            starts.push(super::id(permissions.len()).unwrap_or(u32::MAX));
        }
        permissions.shrink_to_fit();
        Self::Lists {
            starts,
            permissions,
        }
    }

    /// Whether a set of roles gives a permission.
    #[inline]
    pub(crate) fn gives(&self, set: RoleSetId, permission: PermissionId) -> bool {
        match self {
            Self::Bits { words, bits } => bits
                .get(set.index() * words + permission.index() / 64)
                .is_some_and(|word| word >> (permission.0 % 64) & 1 == 1),
            Self::Lists {
                starts,
                permissions,
            } => {
                let span = super::span(starts, set.index());
                permissions
                    .get(span.start as usize..span.end as usize)
                    .is_some_and(|list| list.binary_search(&permission).is_ok())
            }
        }
    }
}

/// The permissions of a role set, by position, in no order.
pub(crate) fn permissions_of(index: &Index, set: usize) -> impl Iterator<Item = PermissionId> {
    let roles = index.role_sets.get(set).into_iter().flatten();
    roles
        .filter_map(|role| index.roles.get(role.index()))
        .flat_map(|role| role.permissions.iter().copied())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{Rng, World};

    #[test]
    fn bits_and_lists_agree() {
        for seed in 0..50 {
            let index = World::random(&mut Rng::new(seed)).index();
            let count = index.permission_starts().last().map_or(0, |end| end.0);
            let words = (count as usize).div_ceil(64);
            let bits = Table::bits(&index, words, words * index.role_sets.len());
            let lists = Table::lists(&index);
            for set in (0..).map(RoleSetId).take(index.role_sets.len()) {
                for permission in (0..count).map(PermissionId) {
                    let given = bits.gives(set, permission);
                    assert_eq!(given, lists.gives(set, permission));
                    let given_by_role = permissions_of(&index, set.index());
                    assert_eq!(given, { given_by_role }.any(|it| it == permission));
                }
            }
        }
    }
}
