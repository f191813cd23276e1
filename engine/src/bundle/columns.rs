//! Columns: many values of one kind, laid end to end and read at once.

use super::{
    OpenError,
    format::{Reader, Wire, Writer},
};
use crate::{lists::Lists, sparse::Sparse, strings::Strings};

/// Appends names: their count, the length of each in one byte, and all bytes.
pub(super) fn write_labels(names: &Strings, to: &mut Writer) {
    to.count(names.len());
    for name in names.iter() {
        let length = u8::try_from(name.len()).unwrap_or_else(|_| {
            to.overflow = true;
            u8::MAX
        });
        to.bytes.push(length);
    }
    to.bytes.extend_from_slice(names.heap().as_bytes());
}

/// Reads names; that they are legal is for [`super::check`] to prove.
pub(super) fn read_labels(from: &mut Reader<'_>) -> Result<Strings, OpenError> {
    let count = from.count(1)?;
    let lengths = from.take(count)?;
    let lengths = lengths.iter().map(|length| u32::from(*length));
    let (heap, ends) = read_heap(lengths, from)?;
    Ok(Strings::from_labels(heap.to_owned(), ends))
}

/// Appends texts: their count, the length of each in four bytes, and all bytes.
pub(super) fn write_texts(texts: &Strings, to: &mut Writer) {
    to.count(texts.len());
    for text in texts.iter() {
        to.count(text.len());
    }
    to.bytes.extend_from_slice(texts.heap().as_bytes());
}

/// Reads texts.
pub(super) fn read_texts(from: &mut Reader<'_>) -> Result<Strings, OpenError> {
    let count = from.count(4)?;
    let lengths = from.words(count)?;
    let wrong = from.wrong("a text that is not UTF-8");
    let (heap, ends) = read_heap(numbers(lengths), from)?;
    Strings::from_parts(heap.to_owned(), ends).ok_or(wrong)
}

/// The bytes of texts of these lengths, which come next, and where each ends.
fn read_heap<'a>(
    lengths: impl ExactSizeIterator<Item = u32>,
    from: &mut Reader<'a>,
) -> Result<(&'a str, Vec<u32>), OpenError> {
    let mut ends = Vec::with_capacity(lengths.len());
    let mut end = 0_u32;
    let mut overflow = false;
    for length in lengths {
        let (sum, over) = end.overflowing_add(length);
        (end, overflow) = (sum, overflow | over);
        ends.push(end);
    }
    if overflow {
        return Err(from.wrong("texts of more than 4 GiB"));
    }
    let wrong = from.wrong("a text that is not UTF-8");
    let heap = std::str::from_utf8(from.take(end as usize)?);
    heap.map(|heap| (heap, ends)).map_err(|_| wrong)
}

/// Numbers of a column.
pub(super) fn numbers(words: &[[u8; 4]]) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// A column of ids in memory.
pub(super) fn ids<T>(words: &[[u8; 4]], make: impl FnMut(u32) -> T) -> Vec<T> {
    numbers(words).map(make).collect()
}

/// Appends lists of ids: the length of each, and all items.
pub(super) fn write_lists<T: Copy>(lists: &Lists<T>, number: impl Fn(T) -> u32, to: &mut Writer) {
    for list in lists.iter() {
        to.count(list.len());
    }
    for item in lists.items() {
        number(*item).write(to);
    }
}

/// Reads this many lists of ids.
pub(super) fn read_lists<T>(
    count: usize,
    from: &mut Reader<'_>,
    make: impl Fn(u32) -> T,
) -> Result<Lists<T>, OpenError> {
    let wrong = from.wrong("lists longer than the bytes that are left");
    let lengths = from.words(count)?;
    let total: u64 = numbers(lengths).map(u64::from).sum();
    let total = usize::try_from(total).map_err(|_| wrong.clone())?;
    let items = ids(from.words(total)?, make);
    Lists::from_lengths(numbers(lengths), items).ok_or(wrong)
}

/// A column of one byte of flags for each entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags<'a> {
    pub(super) each: &'a [u8],
    /// The flags that some entry has.
    some: u8,
}

impl<'a> Flags<'a> {
    /// Reads a column in which only these bits may be set.
    pub(super) fn read(count: usize, known: u8, from: &mut Reader<'a>) -> Result<Self, OpenError> {
        let wrong = from.wrong("a flag that does not exist");
        let each = from.take(count)?;
        let some = each.iter().fold(0, |some, flags| some | flags);
        if some & !known == 0 {
            Ok(Self { each, some })
        } else {
            Err(wrong)
        }
    }

    /// How many entries have a flag.
    pub(super) fn count(self, flag: u8) -> usize {
        if self.some & flag == 0 {
            return 0;
        }
        let in_chunk = |chunk: &[u8]| {
            let marks = chunk.iter().map(|it| u8::from(it & flag != 0));
            usize::from(marks.fold(0, u8::wrapping_add))
        };
        // Few enough at a time that a byte holds their count.
        self.each.chunks(255).map(in_chunk).sum()
    }

    /// The positions of the entries that have a flag.
    pub(super) fn positions(self, flag: u8) -> impl Iterator<Item = u32> + 'a {
        let each = if self.some & flag == 0 {
            &[]
        } else {
            self.each
        };
        let all = each.iter().zip(0..);
        all.filter(move |(flags, _)| *flags & flag != 0)
            .map(|(_, at)| at)
    }

    /// The column of the values that the entries with a flag have.
    pub(super) fn sparse<T: Copy>(self, flag: u8, values: Vec<T>) -> Option<Sparse<T>> {
        if self.some & flag == 0 {
            return values.is_empty().then(Sparse::default);
        }
        Sparse::from_marks(self.each.iter().map(|it| it & flag != 0), values)
    }
}
