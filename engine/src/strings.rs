//! A table of texts in one allocation.

use std::ops::Range;

use crate::name::MAX_LABEL;

/// Texts laid end to end, with the end of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    heap: String,
    ends: Vec<u32>,
}

impl Strings {
    /// The texts of a heap that end at these offsets, which rise to the end of the heap; `None`
    /// when one cuts a character.
    pub(crate) fn from_parts(heap: String, ends: Vec<u32>) -> Option<Self> {
        let whole = |end: &u32| heap.is_char_boundary(*end as usize);
        let bounded = heap.is_ascii() || ends.iter().all(whole);
        bounded.then_some(Self { heap, ends })
    }

    /// As [`Self::from_parts`], for names: one that cuts a character is then no label, which
    /// whoever reads names proves of each.
    pub(crate) fn from_labels(heap: String, ends: Vec<u32>) -> Self {
        Self { heap, ends }
    }

    /// Whether the text at a position is below the next one.
    #[inline]
    pub(crate) fn is_below_next(&self, at: usize) -> bool {
        self.is_rising(at..at + 2)
    }

    /// All texts, one after the other.
    pub(crate) fn heap(&self) -> &str {
        &self.heap
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends a text. Answers false, and changes nothing, once 4 GiB would be passed.
    pub fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.heap.len() + text.len()) else {
            return false;
        };
        self.heap.push_str(text);
        self.ends.push(end);
        true
    }

    /// The text at a position; empty when there is none.
    #[must_use]
    pub fn get(&self, at: usize) -> &str {
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0) as usize,
        };
        let end = self.ends.get(at).copied().unwrap_or(0) as usize;
        self.heap.get(start..end).unwrap_or("")
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Whether the texts of a range of positions rise: each is below the next.
    #[must_use]
    pub(crate) fn is_rising(&self, range: Range<usize>) -> bool {
        let Some(ends) = self.ends.get(range.clone()) else {
            return false;
        };
        let first = range.start.checked_sub(1).and_then(|at| self.ends.get(at));
        let mut start = first.map_or(0, |end| *end as usize);
        let mut before: Option<(u128, &str)> = None;
        for end in ends {
            let end = *end as usize;
            let Some(text) = self.heap.get(start..end) else {
                return false;
            };
            let key = self.prefix(start, text.len());
            if let Some((last, below)) = before {
                // Most texts differ early, and comparing numbers is a good deal faster.
                if last > key || (last == key && below >= text) {
                    return false;
                }
            }
            before = Some((key, text));
            start = end;
        }
        true
    }

    /// The first bytes of a text as a number that orders like them; what is missing counts as zero.
    #[inline]
    fn prefix(&self, start: usize, length: usize) -> u128 {
        const WIDTH: usize = size_of::<u128>();
        let rest = self.heap.as_bytes().get(start..).unwrap_or_default();
        let key = if let Some(first) = rest.first_chunk::<WIDTH>() {
            u128::from_be_bytes(*first)
        } else {
            let mut first = [0; WIDTH];
            for (to, from) in first.iter_mut().zip(rest) {
                *to = *from;
            }
            u128::from_be_bytes(first)
        };
        if length >= WIDTH {
            key
        } else {
            let missing = u32::try_from(8 * (WIDTH - length)).unwrap_or(0);
            key & u128::MAX.checked_shl(missing).unwrap_or(0)
        }
    }

    /// Whether every text is a [label](crate::name::is_label).
    #[must_use]
    pub(crate) fn are_labels(&self) -> bool {
        /// So many names that their bytes are still in the nearest cache for the second look.
        const BLOCK: usize = 512;
        let heap = self.heap.as_bytes();
        let mut start = 0_usize;
        self.ends.chunks(BLOCK).all(|ends| {
            let last = ends.last().map_or(start, |end| *end as usize);
            let mut legal = are_inner(heap.get(start..last).unwrap_or_default());
            for end in ends {
                let end = *end as usize;
                let length = end.wrapping_sub(start);
                legal &= length.wrapping_sub(1) < MAX_LABEL;
                legal &= heap.get(start).is_some_and(|first| *first != b'-');
                legal &= heap
                    .get(end.wrapping_sub(1))
                    .is_some_and(|last| *last != b'-');
                start = end;
            }
            legal
        })
    }

    /// The position of a text in a table that is sorted by bytes.
    #[must_use]
    pub fn position(&self, text: &str) -> Option<usize> {
        let mut low = 0;
        let mut high = self.len();
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Gives back what growth left over.
    pub fn shrink_to_fit(&mut self) {
        self.heap.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// Whether all bytes may be in a label. There is no early end, so that many are looked at at once.
fn are_inner(bytes: &[u8]) -> bool {
    let other = |byte: &u8| {
        let letter = u8::from(byte.wrapping_sub(b'a') < 26);
        let digit = u8::from(byte.wrapping_sub(b'0') < 10);
        1 ^ (letter | digit | u8::from(*byte == b'-'))
    };
    let (chunks, rest) = bytes.as_chunks::<64>();
    let mut others = rest.iter().fold(0, |others, byte| others | other(byte));
    for chunk in chunks {
        others |= chunk.iter().fold(0, |others, byte| others | other(byte));
    }
    others == 0
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut strings = Self::default();
        for text in texts {
            strings.push(text.as_ref());
        }
        strings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::is_label;

    #[test]
    fn rising_is_what_the_order_of_texts_says() {
        let long = "a-prefix-of-sixteen";
        let texts = [
            "",
            "a",
            "a\0",
            "a\0b",
            "aa",
            "b",
            "a-prefix-of-sixte",
            "a-prefix-of-sixt",
            long,
            "a-prefix-of-sixteem",
            "z\u{fc}",
            "z",
        ];
        for one in texts {
            for other in texts {
                // With and without more bytes behind.
                for table in [vec![one, other], vec!["x", one, other, long]] {
                    let at = table.len() / 4;
                    let strings: Strings = table.iter().collect();
                    assert_eq!(
                        strings.is_rising(at..at + 2),
                        one < other,
                        "{one:?} {other:?}"
                    );
                }
            }
        }
        let strings: Strings = texts.iter().collect();
        assert!(strings.is_rising(1..6) && strings.is_rising(3..3));
        assert!(!strings.is_rising(0..texts.len()) && !strings.is_rising(0..99));
    }

    #[test]
    fn labels_are_labels_in_a_table_too() {
        let longest = "l".repeat(MAX_LABEL);
        let longer = "l".repeat(MAX_LABEL + 1);
        for text in [
            "a", "a1", "a-1", "1", &longest, "", "-", "-a", "a-", "A", "a b", "\u{fc}", "a_b",
            &longer,
        ] {
            let alone: Strings = [text].iter().collect();
            assert_eq!(alone.are_labels(), is_label(text), "{text:?}");
            let among: Strings = ["x", text, "y"].iter().collect();
            assert_eq!(among.are_labels(), is_label(text), "{text:?}");
        }
    }
}
