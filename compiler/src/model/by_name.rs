//! Things by name.

use crate::text::{Lookup, Text};

/// Things by name: in the order of the names, and each found by the hash of its name.
#[derive(Debug)]
pub struct ByName<T> {
    /// Sorted, no name twice.
    entries: Vec<(Text, T)>,
    lookup: Lookup,
}

impl<T> ByName<T> {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.get_key_value(name).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let at = self.find(name)?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// The one with this name, and the name.
    pub fn get_key_value(&self, name: &str) -> Option<(&Text, &T)> {
        let (name, value) = self.entries.get(self.find(name)?)?;
        Some((name, value))
    }

    /// Whether there is one with this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Each with its name, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// Every name, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Text> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(name, _)| name)
    }

    /// Each, in the order of the names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Each with its name, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut T)> {
        self.entries.iter_mut().map(|(name, value)| (&*name, value))
    }

    /// Each, in the order of the names, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// Adds one, in place of another one of its name.
    pub fn insert(&mut self, name: Text, value: T) {
        if self.entries.last().is_none_or(|(last, _)| *last < name) {
            self.lookup = Lookup::default();
            return self.entries.push((name, value));
        }
        match self.entries.binary_search_by(|(it, _)| it.cmp(&name)) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = (name, value);
                }
            }
            Err(at) => {
                self.entries.insert(at, (name, value));
                self.lookup = Lookup::default();
            }
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        let at = self.find(name)?;
        self.lookup = Lookup::default();
        Some(self.entries.remove(at).1)
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&Text, &T) -> bool) {
        self.entries.retain(|(name, value)| wanted(name, value));
        self.lookup = Lookup::default();
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.lookup.find(name, &self.entries, |(it, _)| it)
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            lookup: Lookup::default(),
        }
    }
}

impl<T: Clone> Clone for ByName<T> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            lookup: Lookup::default(),
        }
    }
}

/// To put this many into their places takes as long as to sort all anew.
const MANY: usize = 100;

/// Of a name that comes twice the last one counts.
impl<T> FromIterator<(Text, T)> for ByName<T> {
    fn from_iter<I: IntoIterator<Item = (Text, T)>>(items: I) -> Self {
        let mut entries: Vec<_> = items.into_iter().collect();
        if !entries.is_sorted_by(|one, other| one.0 < other.0) {
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        entries.shrink_to_fit();
        Self {
            entries,
            lookup: Lookup::default(),
        }
    }
}

impl<T> Extend<(Text, T)> for ByName<T> {
    fn extend<I: IntoIterator<Item = (Text, T)>>(&mut self, more: I) {
        let more: Vec<_> = more.into_iter().collect();
        if more.len() < self.len() / MANY {
            return more
                .into_iter()
                .for_each(|(name, value)| self.insert(name, value));
        }
        let all = std::mem::take(&mut self.entries).into_iter();
        *self = all.chain(more).collect();
    }
}

impl<T, const N: usize> From<[(Text, T); N]> for ByName<T> {
    fn from(items: [(Text, T); N]) -> Self {
        items.into_iter().collect()
    }
}

/// See [`ByName::iter`].
type Iter<'a, T> =
    std::iter::Map<std::slice::Iter<'a, (Text, T)>, fn(&'a (Text, T)) -> (&'a Text, &'a T)>;

impl<'a, T> IntoIterator for &'a ByName<T> {
    type Item = (&'a Text, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> IntoIterator for ByName<T> {
    type Item = (Text, T);
    type IntoIter = std::vec::IntoIter<(Text, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u8),
        Remove(u8),
        Extend(Vec<(u8, u8)>),
        Keep(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<(u8, u8)>().prop_map(|(name, value)| Step::Insert(name, value)),
            any::<u8>().prop_map(Step::Remove),
            prop::collection::vec(any::<(u8, u8)>(), 0..20).prop_map(Step::Extend),
            any::<u8>().prop_map(Step::Keep),
        ]
    }

    fn name(name: u8) -> Text {
        Text::from(format!("name-{name}"))
    }

    proptest! {
        #[test]
        fn it_is_what_a_tree_is(steps in prop::collection::vec(step(), 0..40)) {
            let (mut ours, mut tree) = (ByName::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(at, value) => {
                        ours.insert(name(at), value);
                        tree.insert(name(at), value);
                    }
                    Step::Remove(at) => {
                        prop_assert_eq!(ours.remove(&name(at)), tree.remove(&name(at)));
                    }
                    Step::Extend(more) => {
                        let more = || more.iter().map(|(at, value)| (name(*at), *value));
                        ours.extend(more());
                        tree.extend(more());
                    }
                    Step::Keep(from) => {
                        ours.retain(|_, it| *it >= from);
                        tree.retain(|_, it| *it >= from);
                    }
                }
                for at in 0..=u8::MAX {
                    prop_assert_eq!(ours.get(&name(at)), tree.get(&name(at)));
                }
                prop_assert!(ours.iter().eq(&tree) && ours.len() == tree.len());
            }
        }
    }
}
