//! The files of a release, as they lie in a directory.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::SupplyError;
use crate::config::Config;

/// The files of one release for one server, read once: what is verified is what is used.
#[derive(Debug)]
pub(super) struct Files {
    /// `release.dsse.json`
    pub(super) signed: Option<Vec<u8>>,
    /// `release.json`, the statement without signatures.
    pub(super) unsigned: Option<Vec<u8>>,
    /// `<server>.lkb`
    pub(super) slice: Vec<u8>,
    /// `places.lkm`
    pub(super) places: Option<Vec<u8>>,
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 4]>>);

const SIGNED: &str = "release.dsse.json";
const UNSIGNED: &str = "release.json";
pub(super) const PLACES: &str = "places.lkm";

/// The largest statement and the largest slice that are read, in bytes.
const LARGEST_STATEMENT: u64 = 4 << 20;
const LARGEST_SLICE: u64 = 1 << 30;

impl Files {
    /// Reads the files of a release.
    pub(super) fn read(directory: &Path, server: &str) -> Result<Self, SupplyError> {
        let slice = directory.join(slice_name(server));
        let slice = read(&slice, LARGEST_SLICE)?.ok_or_else(|| {
            SupplyError::of(format!(
                "{} is missing: is [bundle] directory what `latchkey build --out` wrote?",
                slice.display()
            ))
        })?;
        Ok(Self {
            signed: read(&directory.join(SIGNED), LARGEST_STATEMENT)?,
            unsigned: read(&directory.join(UNSIGNED), LARGEST_STATEMENT)?,
            slice,
            places: read(&directory.join(PLACES), LARGEST_SLICE)?,
        })
    }

    /// Replaces the copy in a directory.
    pub(super) fn write(&self, directory: &Path, server: &str) -> io::Result<()> {
        // Built aside and renamed as one, so that a crash leaves the old copy or the new.
        let aside = directory.with_extension("new");
        let _ = fs::remove_dir_all(&aside);
        fs::create_dir_all(&aside)?;
        let slice = slice_name(server);
        let files = [
            (SIGNED, self.signed.as_deref()),
            (UNSIGNED, self.unsigned.as_deref()),
            (PLACES, self.places.as_deref()),
            (&slice, Some(self.slice.as_slice())),
        ];
        for (name, bytes) in files {
            if let Some(bytes) = bytes {
                crate::files::write_private(&aside.join(name), bytes)?;
            }
        }
        let old = directory.with_extension("old");
        let _ = fs::remove_dir_all(&old);
        match fs::rename(directory, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&aside, directory)?;
        let _ = fs::remove_dir_all(&old);
        crate::files::sync_directory(directory.parent().unwrap_or_else(|| Path::new(".")))
    }
}

impl Stamp {
    /// The state of a release's files, and of the trust file that judges them.
    pub(super) fn of_release(config: &Config) -> Self {
        let slice = slice_name(&config.bundle.server);
        let names = [SIGNED, UNSIGNED, PLACES, &slice];
        let files = names.iter().map(|name| config.bundle.directory.join(name));
        let trust = config.trust.iter().map(|trust| trust.file.clone());
        Self(files.chain(trust).map(|path| state(&path)).collect())
    }

    /// The state of one file.
    pub(super) fn of_file(path: &Path) -> Self {
        Self(vec![state(path)])
    }
}

/// The name of a server's slice.
pub(super) fn slice_name(server: &str) -> String {
    format!("{server}.lkb")
}

/// Where the copy of what was good last is.
pub(super) fn last_good(config: &Config) -> PathBuf {
    config.state.directory.join("last-good")
}

fn state(path: &Path) -> Option<[i64; 4]> {
    let metadata = fs::metadata(path).ok()?;
    Some([
        i64::from_ne_bytes(metadata.ino().to_ne_bytes()),
        i64::from_ne_bytes(metadata.len().to_ne_bytes()),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ])
}

/// The bytes of a file, `None` when there is none.
pub(super) fn read(path: &Path, largest: u64) -> Result<Option<Vec<u8>>, SupplyError> {
    let fault = |error: &dyn std::fmt::Display| {
        SupplyError::of(format!("cannot read {}: {error}", path.display()))
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(&error)),
    };
    let mut bytes = Vec::new();
    file.take(largest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fault(&error))?;
    if bytes.len() as u64 > largest {
        return Err(fault(&format!("it holds more than {largest} bytes")));
    }
    Ok(Some(bytes))
}
