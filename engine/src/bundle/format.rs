//! The alphabet of the format: little-endian numbers, counted lists, tagged choices.
//!
//! Every value has exactly one spelling: numbers have fixed width, a count is followed by exactly
//! that many entries, and a tag outside its range is refused. What is left to check is what the
//! tables say to each other; [`super::check`] does that.

use super::OpenError;

/// The first bytes of a bundle: a magic word and the major version of the format.
pub(super) const BUNDLE: [u8; 4] = *b"LKB\x01";
/// The first bytes of a places file.
pub(super) const PLACES: [u8; 4] = *b"LKM\x01";
/// The largest bundle that is opened, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 28;

/// How much more memory than bytes a count alone may claim.
const MAX_WIDENING: usize = 4;

/// A value with one encoding.
pub(super) trait Wire: Sized {
    /// The fewest bytes that a value takes; at least one, so that no count outgrows its bytes.
    const MIN: usize;

    /// Appends the value.
    fn write(&self, to: &mut Writer);

    /// Reads one value.
    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError>;
}

/// Bytes in the making.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    /// Whether something did not fit its width.
    pub(super) overflow: bool,
}

impl Writer {
    /// Appends a count.
    pub(super) fn count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or_else(|_| {
            self.overflow = true;
            u32::MAX
        });
        count.write(self);
    }

    /// Appends a text behind its length.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// Bytes to be read, from one offset of a file.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads bytes that lie at this offset of their file.
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Where reading stands, in the file.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// An error at this place.
    pub(super) fn wrong(&self, what: &'static str) -> OpenError {
        OpenError {
            offset: self.offset,
            what,
        }
    }

    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], OpenError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(self.wrong("the bytes end too early"));
        };
        self.bytes = rest;
        self.offset += count;
        Ok(taken)
    }

    /// The next numbers of four bytes.
    pub(super) fn words(&mut self, count: usize) -> Result<&'a [[u8; 4]], OpenError> {
        let bytes = self.take(count.saturating_mul(4))?;
        Ok(bytes.as_chunks().0)
    }

    /// The next numbers of eight bytes.
    pub(super) fn longs(&mut self, count: usize) -> Result<&'a [[u8; 8]], OpenError> {
        let bytes = self.take(count.saturating_mul(8))?;
        Ok(bytes.as_chunks().0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let wrong = self.wrong("the bytes end too early");
        <[u8; N]>::try_from(self.take(N)?).map_err(|_| wrong)
    }

    /// A count of entries that take at least `least` bytes each; refused before anything is
    /// allocated when the bytes that are left cannot hold them.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, OpenError> {
        let wrong = self.wrong("a count larger than the bytes that are left");
        let count = u32::read(self)? as usize;
        if count
            .checked_mul(least)
            .is_none_or(|needed| needed > self.bytes.len())
        {
            return Err(wrong);
        }
        Ok(count)
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Result<&'a str, OpenError> {
        let count = self.count(1)?;
        let wrong = self.wrong("a text that is not UTF-8");
        std::str::from_utf8(self.take(count)?).map_err(|_| wrong)
    }

    /// Proves that nothing is left.
    pub(super) fn end(&self) -> Result<(), OpenError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.wrong("bytes are left over"))
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            const MIN: usize = size_of::<$number>();

            fn write(&self, to: &mut Writer) {
                to.bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
                from.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, u32, u64, i64, u128, i128);

impl Wire for bool {
    const MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        u8::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let wrong = from.wrong("neither 0 nor 1");
        match u8::read(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(wrong),
        }
    }
}

impl Wire for String {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.text(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        from.text().map(str::to_owned)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const MIN: usize = 4;

    fn write(&self, to: &mut Writer) {
        to.count(self.len());
        for entry in self {
            entry.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        let count = from.count(T::MIN)?;
        // What lies in memory may be wider than its bytes: trust the count only so far.
        let trusted = from.bytes.len() * MAX_WIDENING / size_of::<T>().max(1);
        let mut list = Self::with_capacity(count.min(trusted));
        for _ in 0..count {
            list.push(T::read(from)?);
        }
        list.shrink_to_fit();
        Ok(list)
    }
}

impl<T: Wire> Wire for Option<T> {
    const MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        if bool::read(from)? {
            T::read(from).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    const MIN: usize = A::MIN + B::MIN;

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

/// Implements [`Wire`] for structs, field by field in the order given.
macro_rules! wire_structs {
    ($($name:ty { $first:ident $(, $field:ident)* $(,)? })*) => {$(
        impl Wire for $name {
            const MIN: usize = 1;

            fn write(&self, to: &mut Writer) {
                self.$first.write(to);
                $(self.$field.write(to);)*
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
                Ok(Self {
                    $first: Wire::read(from)?,
                    $($field: Wire::read(from)?,)*
                })
            }
        }
    )*};
}

/// Implements [`Wire`] for newtypes.
macro_rules! wire_newtypes {
    ($($name:ident($inner:ty)),* $(,)?) => {$(
        impl Wire for $name {
            const MIN: usize = <$inner as Wire>::MIN;

            fn write(&self, to: &mut Writer) {
                self.0.write(to);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
                <$inner>::read(from).map(Self)
            }
        }
    )*};
}

/// Implements [`Wire`] for enums without content, as one byte.
macro_rules! wire_choices {
    ($($name:ident { $($variant:ident = $tag:literal),* $(,)? })*) => {$(
        impl Wire for $name {
            const MIN: usize = 1;

            fn write(&self, to: &mut Writer) {
                let tag: u8 = match self { $(Self::$variant => $tag,)* };
                tag.write(to);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
                let wrong = from.wrong("a choice that does not exist");
                match u8::read(from)? {
                    $($tag => Ok(Self::$variant),)*
                    _ => Err(wrong),
                }
            }
        }
    )*};
}

/// Implements [`Wire`] for enums with content: a byte, then the fields.
macro_rules! wire_enums {
    ($($name:ident { $($tag:literal => $variant:ident $(($($item:ident),*))? $({$($field:ident),*})?),* $(,)? })*) => {$(
        impl Wire for $name {
            const MIN: usize = 1;

            fn write(&self, to: &mut Writer) {
                match self {
                    $(Self::$variant $(($($item),*))? $({$($field),*})? => {
                        let tag: u8 = $tag;
                        tag.write(to);
                        $($($item.write(to);)*)?
                        $($($field.write(to);)*)?
                    })*
                }
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, OpenError> {
                let wrong = from.wrong("a choice that does not exist");
                match u8::read(from)? {
                    $($tag => {
                        $($(let $item = Wire::read(from)?;)*)?
                        $($(let $field = Wire::read(from)?;)*)?
                        Ok(Self::$variant $(($($item),*))? $({$($field),*})?)
                    })*
                    _ => Err(wrong),
                }
            }
        }
    )*};
}

pub(super) use {wire_choices, wire_enums, wire_newtypes, wire_structs};
