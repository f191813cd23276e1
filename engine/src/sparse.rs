//! Columns of which most entries are absent.

use crate::time::{Dates, Time};

/// A column that takes memory only for the values that are there, and 2 bits for each entry.
///
/// A column without any value takes none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse<T> {
    /// For each 64 entries: which are there, and how many values come before.
    blocks: Vec<(u64, u32)>,
    values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy> Sparse<T> {
    /// The column whose entries are there where a mark is; `None` unless there is one value for
    /// each mark.
    pub(crate) fn from_marks(
        marks: impl ExactSizeIterator<Item = bool>,
        values: Vec<T>,
    ) -> Option<Self> {
        if values.is_empty() {
            return { marks }.all(|mark| !mark).then(Self::default);
        }
        let mut blocks = vec![(0_u64, 0_u32); marks.len().div_ceil(64)];
        for (at, mark) in marks.enumerate() {
            if let Some((bits, _)) = blocks.get_mut(at / 64) {
                *bits |= u64::from(mark) << (at % 64);
            }
        }
        let mut before = 0;
        for (bits, rank) in &mut blocks {
            *rank = before;
            before += bits.count_ones();
        }
        (before as usize == values.len()).then_some(Self { blocks, values })
    }

    /// The entry at a position; `None` also beyond the end.
    #[inline]
    #[must_use]
    pub fn get(&self, at: usize) -> Option<T> {
        let (bits, before) = self.blocks.get(at / 64)?;
        let bit = 1_u64 << (at % 64);
        if bits & bit == 0 {
            return None;
        }
        let rank = *before as usize + (bits & (bit - 1)).count_ones() as usize;
        self.values.get(rank).copied()
    }

    /// The values that are there, in order.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: Copy> FromIterator<Option<T>> for Sparse<T> {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(entries: I) -> Self {
        let entries: Vec<Option<T>> = entries.into_iter().collect();
        let values: Vec<T> = entries.iter().filter_map(|entry| *entry).collect();
        Self::from_marks(entries.iter().map(Option::is_some), values).unwrap_or_default()
    }
}

/// A column of periods, of which most are always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Periods {
    /// The first instant in force of each.
    pub(crate) not_before: Sparse<Time>,
    /// The first instant no longer in force of each.
    pub(crate) expires: Sparse<Time>,
}

impl Periods {
    /// The period at a position; always, where none is.
    #[inline]
    #[must_use]
    pub fn get(&self, at: usize) -> Dates {
        Dates {
            not_before: self.not_before.get(at),
            expires: self.expires.get(at),
        }
    }
}

impl FromIterator<Dates> for Periods {
    fn from_iter<I: IntoIterator<Item = Dates>>(periods: I) -> Self {
        let periods: Vec<Dates> = periods.into_iter().collect();
        Self {
            not_before: periods.iter().map(|it| it.not_before).collect(),
            expires: periods.iter().map(|it| it.expires).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_column_is_its_entries() {
        for (count, step) in [(0, 1), (1, 1), (64, 3), (65, 64), (200, 7), (130, 1000)] {
            let entries: Vec<Option<usize>> = (0..count)
                .map(|at| (at % step == step - 1).then_some(at))
                .collect();
            let column: Sparse<usize> = entries.iter().copied().collect();
            for (at, entry) in entries.iter().enumerate() {
                assert_eq!(column.get(at), *entry, "{at} of {count}");
            }
            assert_eq!(column.get(count), None);
            assert!(column.get(count + 64).is_none());
        }
    }

    #[test]
    fn marks_and_values_must_agree() {
        let column = |marks: &[bool], values: Vec<u32>| {
            Sparse::from_marks(marks.iter().copied(), values).is_some()
        };
        assert!(column(&[true, false], vec![1]) && column(&[false], vec![]));
        assert!(!column(&[true, true], vec![1]) && !column(&[true], vec![]));
        assert!(!column(&[false], vec![1]));
    }
}
