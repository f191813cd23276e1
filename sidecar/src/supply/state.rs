//! What outlives a restart: the version floor, the trust root, and what was good last.
//!
//! ```text
//! floor.json                  how far this sidecar has come; names the next two by digest
//! last-good/<statement>/      the release accepted last: statement, signatures, slice, places
//! pointers/<pointer>.json     the pointer heeded last: its denials outlive a restart
//! trust.json                  the trust root in use
//! ```
//!
//! INVARIANT: whatever `floor.json` names lies beside it, whole. So files are written first, under
//! the digest that names them, each synced, renamed and its folder synced; then the floor, in the
//! same way; and what the floor names no more is removed last. Killed at any point, a sidecar finds
//! the old floor with the old files or the new floor with the new ones. The floor only names what
//! was verified, and is written before anything is put in force.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use latchkey_carrier::names;
use latchkey_gate::supply::{Digest, Floor, MAX_TRUST, TrustRoot};

use super::{
    SupplyError,
    offered::{Offered, PLACES, Package, slice_name},
};
use crate::files;

/// The largest stored floor, and the largest slice, in bytes.
const LARGEST_FLOOR: u64 = 64 << 10;
const LARGEST_SLICE: u64 = 1 << 30;

/// What outlives a restart.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    slice: String,
    floor: Floor,
    fault: Option<Fault>,
    unsaved: Option<Unsaved>,
}

/// Why there is no floor to go by.
#[derive(Debug)]
enum Fault {
    /// None was stored: a first start, or a volume that is gone.
    Lost,
    /// It cannot be read.
    Damaged(String),
}

/// What is not on the disk yet.
#[derive(Debug, Default)]
struct Unsaved {
    release: Option<(Digest, Package)>,
    pointer: Option<(Digest, Vec<u8>)>,
}

/// What goes with a new floor.
#[derive(Debug)]
pub(super) enum With {
    /// The release that it names.
    Release(Package),
    /// The pointer that it names, in its envelope.
    Pointer(Vec<u8>),
}

impl State {
    /// Reads the floor.
    pub(super) fn open(folder: &Path, server: &str) -> Self {
        let path = folder.join("floor.json");
        let damaged = |error: &dyn std::fmt::Display| {
            let what = format!("{}: {error}", path.display());
            (Floor::default(), Some(Fault::Damaged(what)))
        };
        let (floor, fault) = match files::read(&path, LARGEST_FLOOR) {
            Ok(None) => (Floor::default(), Some(Fault::Lost)),
            Ok(Some(bytes)) => match Floor::parse(&bytes) {
                Ok(floor) => (floor, None),
                Err(error) => damaged(&error),
            },
            Err(error) => damaged(&error),
        };
        Self {
            folder: folder.to_owned(),
            slice: slice_name(server),
            floor,
            fault,
            unsaved: None,
        }
    }

    /// How far this sidecar has come.
    pub(super) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Whether all that is known is on the disk.
    pub(super) fn is_persisted(&self) -> bool {
        self.unsaved.is_none()
    }

    /// Refuses to go on from a floor that is not known, unless a fresh pointer will say where to.
    pub(super) fn check(&self, required: bool, has_freshness: bool) -> Result<(), SupplyError> {
        match &self.fault {
            None => Ok(()),
            Some(Fault::Lost) if !required => Ok(()),
            Some(Fault::Lost) => Err(SupplyError::refused(
                "state_lost",
                format!(
                    "there is no floor.json in {} and [state] required is set; restore it, or \
                     begin anew with `latchkey-sidecar --config FILE --init`",
                    self.folder.display()
                ),
            )),
            Some(Fault::Damaged(_)) if !required && has_freshness => Ok(()),
            Some(Fault::Damaged(what)) => Err(SupplyError::refused("state_damaged", what.clone())),
        }
    }

    /// Sets the floor and persists it, with what it names. Without room on the disk it is set all
    /// the same, and saved as soon as there is.
    pub(super) fn advance(&mut self, floor: Floor, with: With) -> io::Result<()> {
        let unsaved = self.unsaved.get_or_insert_default();
        match (with, floor.statement, floor.pointer) {
            (With::Release(package), Some(digest), _) => unsaved.release = Some((digest, package)),
            (With::Pointer(envelope), _, Some(digest)) => {
                unsaved.pointer = Some((digest, envelope));
            }
            _ => {}
        }
        self.floor = floor;
        self.save()
    }

    /// Saves what could not be saved before.
    pub(super) fn retry(&mut self) -> io::Result<()> {
        if self.is_persisted() {
            return Ok(());
        }
        self.save()
    }

    /// The release that the floor names.
    pub(super) fn release(&self) -> io::Result<Option<Package>> {
        let Some(digest) = &self.floor.statement else {
            return Ok(None);
        };
        let folder = self.folder.join("last-good").join(digest.to_string());
        let read = |name: &str, largest| files::read(&folder.join(name), largest);
        let envelope = read(names::RELEASE, names::LARGEST_ENVELOPE)?;
        let slice = read(&self.slice, LARGEST_SLICE)?;
        let (Some(envelope), Some(slice)) = (envelope, slice) else {
            return Ok(None);
        };
        let mut sigstore = Vec::new();
        for n in 1..=names::MOST_SIGSTORE {
            match read(&names::sigstore(n), names::LARGEST_ENVELOPE)? {
                Some(bundle) => sigstore.push(bundle),
                None => break,
            }
        }
        Ok(Some(Package {
            offered: Offered {
                envelope,
                sigstore,
                signed: true,
            },
            slice,
            places: read(PLACES, LARGEST_SLICE)?,
        }))
    }

    /// The envelope of the pointer that the floor names.
    pub(super) fn pointer(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(digest) = &self.floor.pointer else {
            return Ok(None);
        };
        let path = self.folder.join("pointers").join(format!("{digest}.json"));
        files::read(&path, names::LARGEST_POINTER)
    }

    /// The stored trust root; what cannot be read is as good as none, for the floor knows its
    /// version.
    pub(super) fn trust(&self) -> Option<TrustRoot> {
        let bytes = files::read(&self.folder.join("trust.json"), MAX_TRUST as u64).ok()??;
        TrustRoot::parse(&bytes).ok()
    }

    /// Stores the trust root in use.
    pub(super) fn save_trust(&self, root: &TrustRoot) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        files::replace(&self.folder.join("trust.json"), root.to_json().as_bytes())
    }

    /// Files first, then the floor that names them, then away with what it names no more.
    fn save(&mut self) -> io::Result<()> {
        let unsaved = self.unsaved.get_or_insert_default();
        if let Some((digest, package)) = &unsaved.release {
            let folder = make(&self.folder, "last-good")?;
            write_release(&folder, digest, package, &self.slice)?;
        }
        if let Some((digest, envelope)) = &unsaved.pointer {
            let folder = make(&self.folder, "pointers")?;
            files::replace(&folder.join(format!("{digest}.json")), envelope)?;
        }
        let floor = self.floor.to_json();
        files::replace(&self.folder.join("floor.json"), floor.as_bytes())?;
        self.unsaved = None;
        self.fault = None;
        let statement = self.floor.statement.map(|digest| digest.to_string());
        prune(&self.folder.join("last-good"), statement.as_deref());
        let pointer = self.floor.pointer.map(|digest| format!("{digest}.json"));
        prune(&self.folder.join("pointers"), pointer.as_deref());
        Ok(())
    }
}

/// Writes an empty floor, so that `[state] required` has one to go by; never over another.
pub fn init(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join("floor.json");
    if path.exists() {
        let what = "there is a floor already; remove it first if it is to be forgotten";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    files::replace(&path, Floor::default().to_json().as_bytes())
}

fn make(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = parent.join(name);
    if !folder.is_dir() {
        fs::create_dir_all(&folder)?;
        files::sync_directory(parent)?;
    }
    Ok(folder)
}

/// Writes a release aside and renames it as one.
fn write_release(folder: &Path, digest: &Digest, package: &Package, slice: &str) -> io::Result<()> {
    let aside = folder.join(format!("{digest}.new"));
    remove(&aside)?;
    fs::create_dir_all(&aside)?;
    let Offered {
        envelope, sigstore, ..
    } = &package.offered;
    files::write_private(&aside.join(names::RELEASE), envelope)?;
    files::write_private(&aside.join(slice), &package.slice)?;
    if let Some(places) = &package.places {
        files::write_private(&aside.join(PLACES), places)?;
    }
    for (n, bundle) in (1..).zip(sigstore) {
        files::write_private(&aside.join(names::sigstore(n)), bundle)?;
    }
    files::sync_directory(&aside)?;
    let place = folder.join(digest.to_string());
    // There only after a kill between the two renames, or when it was found damaged.
    remove(&place)?;
    fs::rename(&aside, &place)?;
    files::sync_directory(folder)
}

fn prune(folder: &Path, keep: Option<&str>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if keep.is_none_or(|keep| entry.file_name() != *keep) {
            // What stays is removed after the next release.
            let _ = remove(&entry.path());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
