//! Names found by their hash.

use std::{
    hash::BuildHasher,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Where the names of a sorted list stand in it. It is to be dropped when the list changes.
///
/// The table of hashes is made once so much was asked that it pays: an editor changes a name of a
/// hundred thousand, asks for ten, and changes the next one.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    asked: AtomicUsize,
    table: OnceLock<Box<Table>>,
}

type Table = (DefaultHashBuilder, HashTable<u32>);

/// Lists up to this length are looked through.
const FEW: usize = 8;
/// To put this many names into the table costs as much as to look for one without it.
const A_SEARCH: usize = 16;

impl Lookup {
    /// The place of a name in a sorted list in which no name is twice.
    pub(crate) fn find<T>(
        &self,
        name: &str,
        list: &[T],
        name_of: impl Fn(&T) -> &str,
    ) -> Option<usize> {
        if list.len() <= FEW {
            return list.iter().position(|it| name_of(it) == name);
        }
        let asked = || self.asked.fetch_add(1, Ordering::Relaxed);
        if self.table.get().is_none() && asked() < list.len() / A_SEARCH {
            return list.binary_search_by(|it| name_of(it).cmp(name)).ok();
        }
        let table = || Box::new(table(list, &name_of));
        let (hasher, places) = &**self.table.get_or_init(table);
        let is_it = |at: &u32| list.get(*at as usize).is_some_and(|it| name_of(it) == name);
        let at = places.find(hasher.hash_one(name), is_it)?;
        usize::try_from(*at).ok()
    }
}

fn table<T>(list: &[T], name_of: impl Fn(&T) -> &str) -> Table {
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
            let names: Vec<String> = (0..count).map(|it| format!("name-{it:04}")).collect();
            let lookup = Lookup::default();
            for (at, name) in names.iter().enumerate() {
                assert_eq!(lookup.find("name", &names, String::as_str), None);
                assert_eq!(lookup.find(name, &names, String::as_str), Some(at));
            }
            assert_eq!(lookup.table.get().is_some(), count > FEW);
        }
    }
}
