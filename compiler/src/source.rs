//! Where text comes from: file trees, the source map, and byte-exact places in it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

mod aside;
mod folder;
mod glob;
mod overlay;

pub use aside::Lasting;
pub use folder::Folder;
pub use glob::Glob;
pub use overlay::Overlay;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// A file of a [`SourceMap`]; ids are dense and follow the order of the paths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// A half-open byte range of one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `range` of `file`; offsets past `u32::MAX` saturate (files are bounded far below).
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let start = offset(range.start);
        Self {
            file,
            start,
            end: offset(range.end).max(start),
        }
    }

    /// The smallest span that covers both; `other` must be in the same file, or `self` is returned.
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file {
            return self;
        }
        let (start, end) = (self.start.min(other.start), self.end.max(other.end));
        Self {
            file: self.file,
            start,
            end,
        }
    }

    /// The byte range, for slicing text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}..{}", self.file.0, self.start, self.end)
    }
}

/// A value and the exact text it was read from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its text, quotes included.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with the value replaced.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: change(self.value),
            span: self.span,
        }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One file of a project.
#[derive(Debug)]
pub struct File {
    path: String,
    /// Nothing while it is set aside.
    text: OnceLock<String>,
    /// How many bytes the text has.
    size: usize,
    invalid_at: Option<usize>,
    lines: OnceLock<Vec<usize>>,
    aside: Option<aside::Aside>,
}

impl File {
    /// The path relative to the project, with `/` between its parts.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text; bytes that are not UTF-8 are replaced, see [`File::invalid_at`]. One that was set
    /// aside is read again, and is empty where that comes to something else, see
    /// [`File::is_lost`].
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let aside = self.aside.as_ref();
            aside.map_or_else(String::new, |it| it.read(&self.path))
        })
    }

    /// Whether the text was set aside, asked for again, and is no longer what it was.
    pub fn is_lost(&self) -> bool {
        self.aside.as_ref().is_some_and(aside::Aside::is_lost)
    }

    fn set_aside(&mut self, tree: &Lasting) {
        if self.invalid_at.is_none() && self.size <= MAX_FILE_BYTES {
            self.aside = Some(aside::Aside::new(tree, self.text()));
            self.text = OnceLock::new();
            self.lines = OnceLock::new();
        }
    }

    /// The offset of the first byte that is not UTF-8.
    pub fn invalid_at(&self) -> Option<usize> {
        self.invalid_at
    }

    /// The line and column of a byte offset; past the end it is the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text().len());
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start <= offset);
        let start = starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text().get(start..).unwrap_or_default();
        let column = before
            .char_indices()
            .take_while(|(at, _)| start + at < offset)
            .count();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Position {
            line: number(line.max(1)),
            column: number(column + 1),
        }
    }

    /// The bytes of a line (from 1) without its line break, or `None` past the end.
    pub fn line(&self, line: u32) -> Option<Range<usize>> {
        let starts = self.line_starts();
        let index = (line as usize).checked_sub(1)?;
        let start = *starts.get(index)?;
        let end = starts.get(index + 1).copied().unwrap_or(self.text().len());
        let text = self.text().get(start..end)?;
        Some(start..start + text.trim_end_matches(['\n', '\r']).len())
    }

    fn line_starts(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let breaks = self.text().match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(breaks).collect()
        })
    }
}

/// All text that diagnostics may point into, in the order of the paths.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Arc<File>>,
}

impl SourceMap {
    /// A map over files that are already in memory, by path.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, bytes)| Arc::new(file(path, bytes)))
            .collect();
        Self { files }
    }

    /// Gives a file another text.
    pub(crate) fn replace(&mut self, id: FileId, bytes: Vec<u8>) {
        if let Some(slot) = self.files.get_mut(id.0 as usize) {
            *slot = Arc::new(file(slot.path.clone(), bytes));
        }
    }

    /// Leaves the texts where they were read from, until somebody asks for one of them. Those that
    /// others hold as well, and those that were not read as they are, stay.
    pub(crate) fn set_aside(&mut self, tree: &Lasting) {
        for file in self.files.iter_mut().filter_map(Arc::get_mut) {
            file.set_aside(tree);
        }
    }

    /// How many bytes all texts have together.
    pub(crate) fn size(&self) -> usize {
        self.files.iter().map(|it| it.size).sum()
    }

    /// All files with their ids, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &File)> {
        let files = self.files.iter().map(|file| &**file);
        (0..).map(FileId).zip(files)
    }

    /// The file with this id.
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize).map(|file| &**file)
    }

    /// The file at this project path.
    pub fn find(&self, path: &str) -> Option<FileId> {
        let at = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()?;
        u32::try_from(at).ok().map(FileId)
    }

    /// The path of a file, or the empty string for an id of another map.
    pub fn path(&self, id: FileId) -> &str {
        self.file(id).map_or("", File::path)
    }

    /// The text under a span, or the empty string when the span is of another map.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .and_then(|file| file.text().get(span.range()))
            .unwrap_or_default()
    }

    /// The line and column where a span starts.
    pub fn position(&self, span: Span) -> Position {
        let start = Position { line: 1, column: 1 };
        self.file(span.file)
            .map_or(start, |file| file.position(span.start as usize))
    }

    /// `path:line:column` of the start of a span.
    pub fn place(&self, span: Span) -> String {
        let Position { line, column } = self.position(span);
        format!("{}:{line}:{column}", self.path(span.file))
    }
}

/// A set of files that a project can be read from: a folder, a Git revision, memory.
pub trait Tree: Sync {
    /// Every path of the tree, relative, with `/` between the parts, in any order.
    ///
    /// # Errors
    /// When the tree cannot be listed.
    fn paths(&self) -> io::Result<Vec<String>>;

    /// The bytes of one file; files over [`MAX_FILE_BYTES`] may be cut one byte past the limit.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// A tree in memory; an `Err` stands for a file that cannot be read, and says why.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<String, Result<Vec<u8>, String>>);

impl<P: Into<String>, T: Into<Vec<u8>>> FromIterator<(P, T)> for Memory {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(files: I) -> Self {
        Self(
            files
                .into_iter()
                .map(|(path, text)| (path.into(), Ok(text.into())))
                .collect(),
        )
    }
}

impl Tree for Memory {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes.clone()),
            Some(Err(why)) => Err(io::Error::other(why.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn file(path: String, bytes: Vec<u8>) -> File {
    let (text, invalid_at) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            (
                String::from_utf8_lossy(error.as_bytes()).into_owned(),
                Some(at),
            )
        }
    };
    File {
        path,
        size: text.len(),
        text: OnceLock::from(text),
        invalid_at,
        lines: OnceLock::new(),
        aside: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_offsets_count_bytes() {
        let files = BTreeMap::from([("a".to_owned(), "é: x\r\nö: yz".as_bytes().to_vec())]);
        let map = SourceMap::from_files(files);
        let file = map.file(FileId(0)).unwrap();
        assert_eq!(file.position(4), Position { line: 1, column: 4 });
        assert_eq!(file.position(11), Position { line: 2, column: 4 });
        assert_eq!(file.position(999), Position { line: 2, column: 6 });
        assert_eq!(file.text().get(file.line(1).unwrap()), Some("é: x"));
        assert_eq!(file.text().get(file.line(2).unwrap()), Some("ö: yz"));
        assert_eq!(file.line(3), None);
    }

    #[test]
    fn ids_follow_the_order_of_paths() {
        let map = SourceMap::from_files(
            ["b", "a/z", "a"]
                .map(|path| (path.to_owned(), Vec::new()))
                .into(),
        );
        let paths: Vec<_> = map.files().map(|(id, file)| (id.0, file.path())).collect();
        assert_eq!(paths, [(0, "a"), (1, "a/z"), (2, "b")]);
        assert_eq!(map.find("a/z"), Some(FileId(1)));
        assert_eq!(map.find("c"), None);
    }
}
