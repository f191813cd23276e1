//! A tree with some of its files replaced.

use std::collections::BTreeMap;
use std::io;

use super::Tree;

/// A tree in which some texts are not those of the files: what an editor has not saved, or what a
/// fix would write.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    base: &'a dyn Tree,
    over: &'a BTreeMap<String, Vec<u8>>,
}

impl<'a> Overlay<'a> {
    /// The files of `base`, except that those of `over` have these bytes.
    pub fn new(base: &'a dyn Tree, over: &'a BTreeMap<String, Vec<u8>>) -> Self {
        Self { base, over }
    }
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("over", &self.over.keys())
            .finish_non_exhaustive()
    }
}

impl Tree for Overlay<'_> {
    fn paths(&self) -> io::Result<Vec<String>> {
        let mut paths = self.base.paths()?;
        paths.extend(self.over.keys().cloned());
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.over.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.base.read(path),
        }
    }
}
