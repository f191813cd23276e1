//! Lists laid end to end.

/// Lists in one allocation, with the end of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            ends: Vec::new(),
            items: Vec::new(),
        }
    }
}

impl<T> Lists<T> {
    /// The lists of these lengths; `None` unless the items are as many.
    pub(crate) fn from_lengths(
        lengths: impl ExactSizeIterator<Item = u32>,
        items: Vec<T>,
    ) -> Option<Self> {
        let mut ends = Vec::with_capacity(lengths.len());
        let mut end = 0_u32;
        for length in lengths {
            end = end.checked_add(length)?;
            ends.push(end);
        }
        (end as usize == items.len()).then_some(Self { ends, items })
    }

    /// How many lists there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The list at a position; empty when there is none.
    #[inline]
    #[must_use]
    pub fn get(&self, at: usize) -> &[T] {
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(u32::MAX),
        };
        let end = self.ends.get(at).copied().unwrap_or(0);
        self.items
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// Whether some list is empty.
    pub(crate) fn has_empty(&self) -> bool {
        let starts = [0].iter().chain(&self.ends);
        starts.zip(&self.ends).any(|(start, end)| start == end)
    }

    /// All lists, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> + Clone {
        (0..self.len()).map(|at| self.get(at))
    }

    /// The items of all lists, in order.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }
}

impl<T: Ord> Lists<T> {
    /// Whether each list is sorted and distinct. None may be empty.
    pub(crate) fn each_rises(&self) -> bool {
        // All falls must be where one list ends and the next begins.
        let mut falls = 0_u32;
        let next = self.items.get(1..).unwrap_or_default();
        for (a, b) in self.items.iter().zip(next) {
            falls = falls.wrapping_add(u32::from(a >= b));
        }
        for end in &self.ends {
            let end = *end as usize;
            let before = end.checked_sub(1).and_then(|at| self.items.get(at));
            if before.zip(self.items.get(end)).is_some_and(|(a, b)| a >= b) {
                falls = falls.wrapping_sub(1);
            }
        }
        falls == 0
    }
}

impl<T, L: IntoIterator<Item = T>> FromIterator<L> for Lists<T> {
    /// Lists of more than 4 Gi items together are cut off; no bundle can hold them.
    fn from_iter<I: IntoIterator<Item = L>>(lists: I) -> Self {
        let mut all = Self::default();
        for list in lists {
            all.items.extend(list);
            let end = u32::try_from(all.items.len()).unwrap_or(u32::MAX);
            all.ends.push(end);
        }
        all.items.shrink_to_fit();
        all.ends.shrink_to_fit();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_by_position() {
        let lists: Lists<u8> = [vec![1, 2], vec![], vec![3]].into_iter().collect();
        let found: Vec<&[u8]> = lists.iter().collect();
        assert_eq!(found, [&[1, 2][..], &[], &[3]]);
        assert!(lists.get(3).is_empty() && lists.get(usize::MAX).is_empty());
        let lengths = [2, 0, 1].into_iter();
        assert_eq!(Lists::from_lengths(lengths, vec![1, 2, 3]), Some(lists));
        assert_eq!(Lists::from_lengths([2].into_iter(), vec![1]), None);
    }

    #[test]
    fn each_list_rises_by_itself() {
        let rises = |all: &[&[u8]]| {
            let lists: Lists<u8> = all.iter().map(|list| list.iter().copied()).collect();
            lists.each_rises()
        };
        assert!(rises(&[]) && rises(&[&[1]]) && rises(&[&[1, 2], &[1, 2], &[3], &[0]]));
        assert!(!rises(&[&[1, 1]]) && !rises(&[&[1], &[3, 2], &[0]]) && !rises(&[&[2, 1]]));
        let lists: Lists<u8> = [vec![1], vec![], vec![2]].into_iter().collect();
        assert!(lists.has_empty());
    }
}
