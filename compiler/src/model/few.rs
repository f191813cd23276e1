//! A set of a few things.

use std::{borrow::Borrow, ops::Deref};

/// A small set: sorted, none twice, and no larger than what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few<T>(Box<[T]>);

impl<T> Few<T> {
    /// Whether it has this one.
    pub fn contains<Q: ?Sized + PartialEq>(&self, wanted: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.iter().any(|it| it.borrow() == wanted)
    }

    /// Takes one away.
    pub fn remove(&mut self, unwanted: &T)
    where
        T: PartialEq,
    {
        let mut all = std::mem::take(&mut self.0).into_vec();
        all.retain(|it| it != unwanted);
        self.0 = all.into_boxed_slice();
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Self(items.into_boxed_slice())
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
