//! Names found by their hash.

use std::{hash::BuildHasher, sync::OnceLock};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Where the names of a list stand in it. It is made when it is first asked, and is to be dropped
/// when the list changes.
#[derive(Debug, Default)]
pub(crate) struct Lookup(OnceLock<Box<(DefaultHashBuilder, HashTable<u32>)>>);

/// Lists up to this length are looked through.
const FEW: usize = 8;

impl Lookup {
    /// The place of a name in a list in which no name is twice.
    pub(crate) fn find<T>(
        &self,
        name: &str,
        list: &[T],
        name_of: impl Fn(&T) -> &str,
    ) -> Option<usize> {
        if list.len() <= FEW {
            return list.iter().position(|it| name_of(it) == name);
        }
        let (hasher, places) = &**self.0.get_or_init(|| Box::new(places(list, &name_of)));
        let is_it = |at: &u32| list.get(*at as usize).is_some_and(|it| name_of(it) == name);
        let at = places.find(hasher.hash_one(name), is_it)?;
        usize::try_from(*at).ok()
    }
}

fn places<T>(list: &[T], name_of: impl Fn(&T) -> &str) -> (DefaultHashBuilder, HashTable<u32>) {
    let hasher = DefaultHashBuilder::default();
    let mut places = HashTable::with_capacity(list.len());
    let hash = |it: &T| hasher.hash_one(name_of(it));
    for (item, at) in list.iter().zip(0_u32..) {
        let again = |at: &u32| list.get(*at as usize).map_or(0, hash);
        places.insert_unique(hash(item), at, again);
    }
    (hasher, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_short_lists_and_in_long_ones() {
        for count in [0, 1, FEW, FEW + 1, 1000] {
            let names: Vec<String> = (0..count).map(|it| format!("name-{it}")).collect();
            let lookup = Lookup::default();
            for (at, name) in names.iter().enumerate() {
                assert_eq!(lookup.find(name, &names, String::as_str), Some(at));
            }
            assert_eq!(lookup.find("name", &names, String::as_str), None);
        }
    }
}
