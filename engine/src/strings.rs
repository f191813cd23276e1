//! A table of texts in one allocation.

/// Texts laid end to end, with the end of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    heap: String,
    ends: Vec<u32>,
}

impl Strings {
    /// The texts of a heap that end at these offsets; `None` unless they fill it, in order, and
    /// none cuts a character.
    pub(crate) fn from_parts(heap: String, ends: Vec<u32>) -> Option<Self> {
        let whole = |end: &u32| heap.is_char_boundary(*end as usize);
        let bounded = heap.is_ascii() || ends.iter().all(whole);
        let filled = ends.last().map_or(0, |end| *end as usize) == heap.len();
        (bounded && filled && ends.is_sorted()).then_some(Self { heap, ends })
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

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut strings = Self::default();
        for text in texts {
            strings.push(text.as_ref());
        }
        strings
    }
}
