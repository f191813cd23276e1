//! A folder that goes away.

use std::path::{Path, PathBuf};

use super::super::Failure;

/// A new folder for temporary files, private to this process; removed in the end.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Failure::usage(format!("there is no source of randomness: {error}"))
        })?;
        let name = format!("latchkey-rebuild-{:016x}", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // An existing folder is an error: it would be somebody else's.
        builder
            .create(&path)
            .map_err(|error| Failure::file("make", &path, &error))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
