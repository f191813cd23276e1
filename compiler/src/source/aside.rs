//! Texts that stay where they were read from until somebody asks for them again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Tree;

/// A tree that can be asked again, from any thread.
pub type Lasting = Arc<dyn Tree + Send + Sync>;

/// Where a text is read again, and how it is known to be the same.
pub(super) struct Aside {
    tree: Lasting,
    fingerprint: u64,
    /// Whether it was asked for, and is gone or another one.
    lost: AtomicBool,
}

impl Aside {
    pub(super) fn new(tree: &Lasting, text: &str) -> Self {
        Self {
            tree: Arc::clone(tree),
            fingerprint: fingerprint(text.as_bytes()),
            lost: AtomicBool::new(false),
        }
    }

    /// The text once more; nothing where it is no longer the same, for places in it would be wrong.
    pub(super) fn read(&self, path: &str) -> String {
        let bytes = self.tree.read(path).ok();
        let same = bytes.filter(|bytes| fingerprint(bytes) == self.fingerprint);
        let text = same.and_then(|bytes| String::from_utf8(bytes).ok());
        if text.is_none() {
            self.lost.store(true, Ordering::Relaxed);
        }
        text.unwrap_or_default()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside")
            .field("fingerprint", &self.fingerprint)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// A number that tells texts apart which nobody made alike on purpose: who writes to the project
/// while it is read gains nothing by it.
fn fingerprint(bytes: &[u8]) -> u64 {
    // The fractional part of the golden ratio, so that every bit of a word moves the upper ones.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let add = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let sum = words.fold(bytes.len() as u64, add);
    rest.iter().map(|byte| u64::from(*byte)).fold(sum, add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileId, Folder, Memory, SourceMap};

    #[test]
    fn a_text_set_aside_is_read_again_and_never_another_one() {
        let root = std::env::temp_dir().join(format!("latchkey-aside-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let texts = [("a.yaml", "roles: {}\n"), ("b.yaml", "rules: {}\n")];
        for (path, text) in texts {
            std::fs::write(root.join(path), text).unwrap();
        }
        let files = texts.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let mut sources = SourceMap::from_files(files.into());
        let tree: Lasting = Arc::new(Folder::new(&root));
        sources.set_aside(&tree);
        std::fs::write(root.join("b.yaml"), "rules: []\n").unwrap();
        let text = |at| sources.file(FileId(at)).unwrap().text();
        assert_eq!((text(0), text(1)), ("roles: {}\n", ""));
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(text(0), "roles: {}\n");
        let lost = sources.files().filter(|(_, file)| file.is_lost());
        assert_eq!(lost.map(|(id, _)| id.0).collect::<Vec<_>>(), [1]);
        assert_eq!(sources.size(), 20);
    }

    #[test]
    fn what_is_not_utf8_stays() {
        let files = [("a.yaml".to_owned(), b"a: \xff\n".to_vec())];
        let mut sources = SourceMap::from_files(files.into());
        let tree: Lasting = Arc::new(Memory::default());
        sources.set_aside(&tree);
        let file = sources.file(FileId(0)).unwrap();
        assert_eq!(file.text(), "a: \u{fffd}\n");
        assert!(!file.is_lost());
    }

    #[test]
    fn texts_that_differ_have_different_fingerprints() {
        let texts = [
            "",
            "\0",
            "a",
            "b",
            "aaaaaaaa",
            "aaaaaaab",
            "aaaaaaaab",
            "abaaaaaa",
        ];
        let all: std::collections::BTreeSet<u64> =
            texts.iter().map(|it| fingerprint(it.as_bytes())).collect();
        assert_eq!(all.len(), texts.len());
    }
}
