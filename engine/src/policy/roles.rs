//! Whether a set of roles gives a permission, as one look-up.

use crate::{
    id::{PermissionId, RoleSetId},
    index::Index,
};

/// Above this, bit sets give way to the sorted lists of the index.
const MAX_BITS_BYTES: usize = 1 << 20;

/// The permissions of each role set as bits, where those are small enough to stay in a cache.
#[derive(Debug)]
pub(crate) struct Table {
    /// How many words each set has; none when there are no bits.
    words: usize,
    bits: Vec<u64>,
}

impl Table {
    pub(crate) fn build(index: &Index, permission_starts: &[PermissionId]) -> Self {
        let count = permission_starts.last().map_or(0, |end| end.index());
        let words = count.div_ceil(64);
        let size = words.saturating_mul(index.role_set_count());
        if size.saturating_mul(8) <= MAX_BITS_BYTES {
            Self::bits(index, words, size)
        } else {
            Self::lists()
        }
    }

    fn bits(index: &Index, words: usize, size: usize) -> Self {
        let mut bits = vec![0_u64; size];
        for (set, at) in (0..index.role_set_count()).zip(0..) {
            let own = bits.get_mut(set * words..(set + 1) * words);
            let own = own.unwrap_or_default();
            for permission in index.permissions_of(RoleSetId(at)) {
                if let Some(word) = own.get_mut(permission.index() / 64) {
                    *word |= 1 << (permission.0 % 64);
                }
            }
        }
        Self { words, bits }
    }

    fn lists() -> Self {
        Self {
            words: 0,
            bits: Vec::new(),
        }
    }

    /// Whether a set of roles gives a permission.
    #[inline]
    pub(crate) fn gives(&self, index: &Index, set: RoleSetId, permission: PermissionId) -> bool {
        if self.words == 0 {
            return listed(index, set, permission);
        }
        self.bits
            .get(set.index() * self.words + permission.index() / 64)
            .is_some_and(|word| word >> (permission.0 % 64) & 1 == 1)
    }
}

/// Whether a role of the set lists the permission.
fn listed(index: &Index, set: RoleSetId, permission: PermissionId) -> bool {
    let gives = |at: usize| {
        let list = index.roles.permissions.get(at);
        list.binary_search(&permission).is_ok()
    };
    match set.index().checked_sub(index.roles.names.len()) {
        None => gives(set.index()),
        Some(at) => {
            let roles = index.role_sets.get(at).iter();
            roles.map(|role| role.index()).any(gives)
        }
    }
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
            let bits = Table::bits(&index, words, words * index.role_set_count());
            let lists = Table::lists();
            for set in (0..).map(RoleSetId).take(index.role_set_count()) {
                for permission in (0..count).map(PermissionId) {
                    let given = bits.gives(&index, set, permission);
                    assert_eq!(given, lists.gives(&index, set, permission));
                    let given_by_role = index.permissions_of(set);
                    assert_eq!(given, { given_by_role }.any(|it| it == permission));
                }
            }
        }
    }
}
