//! From a location into a folder.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::offer::read_statement;
use super::{Pulled, absolute, may_follow};
use crate::carrier::{Carrier, Found, Options};
use crate::error::{CarrierError, Kind};
use crate::location::Location;
use crate::store::{storage, write_whole};
use crate::{names, peek};

/// Most versions of the trust root that are fetched.
const MOST_ROOTS: u32 = 1000;

/// Fetches the release that a location offers into a folder.
pub(super) async fn pull(
    from: &Location,
    to: &Path,
    options: &Options,
) -> Result<Pulled, CarrierError> {
    let to = absolute(to)?;
    let source = Carrier::open(from, options.clone())?;
    let Some(found) = source.release().await? else {
        return Err(source.lacks(names::RELEASE));
    };
    let peeked = read_statement(&source, &found.envelope)?;
    let here = Location::Folder(to.clone());
    let held = Carrier::open(&here, options.clone())?;
    if is_taken(&to)? {
        let before = held.get(names::RELEASE, names::LARGEST_ENVELOPE).await?;
        let before = before.and_then(|before| peek::statement(&before).ok());
        let Some(before) = before else {
            let what = "holds something else than a release; give an empty folder or a new one";
            return Err(held.error(Kind::Conflict, what));
        };
        may_follow(&here, &before, &peeked)?;
    }
    let aside = sibling(&to, "new");
    let _ = fs::remove_dir_all(&aside);
    let mut pulled = Pulled {
        statement: peeked.digest,
        epoch: peeked.statement.release.epoch,
        version: peeked.statement.release.version,
        subjects: Vec::new(),
        transferred: 0,
    };
    for subject in &peeked.statement.subjects {
        let have = fs::read(to.join(&subject.name)).ok();
        let fetched = source.subject(subject, have.as_deref()).await?;
        write_whole(&aside.join(&subject.name), &fetched.bytes)?;
        pulled.transferred += fetched.transferred;
        pulled.subjects.push((subject.name.clone(), fetched.how));
    }
    write_envelopes(&source, &found, &aside).await?;
    replace(&aside, &to)?;
    Ok(pulled)
}

async fn write_envelopes(
    source: &Carrier,
    found: &Found,
    folder: &Path,
) -> Result<(), CarrierError> {
    write_whole(&folder.join(names::RELEASE), &found.envelope)?;
    for (n, bundle) in (1..).zip(&found.sigstore) {
        write_whole(&folder.join(names::sigstore(n)), bundle)?;
    }
    if let Some(pointer) = &found.pointer {
        write_whole(&folder.join(names::POINTER), pointer)?;
    }
    write_roots(source, found, folder).await
}

/// The trust roots, from the first or second on: the first is often installed by other means.
///
/// Where the earliest are gone, those below the one that the pointer names are found.
async fn write_roots(source: &Carrier, found: &Found, folder: &Path) -> Result<(), CarrierError> {
    let mut missing_from = 1;
    for version in 1..=u64::from(MOST_ROOTS) {
        match source.trust(version).await? {
            Some(root) => write_whole(&folder.join(names::trust(version)), &root)?,
            None if version == 1 => {}
            None => {
                missing_from = version;
                break;
            }
        }
    }
    let named = found.pointer.as_deref().and_then(peek::pointer);
    let newest = named.map_or(0, |pointer| pointer.trust_version);
    for version in (missing_from..=newest)
        .rev()
        .zip(0..MOST_ROOTS)
        .map(|(version, _)| version)
    {
        match source.trust(version).await? {
            Some(root) => write_whole(&folder.join(names::trust(version)), &root)?,
            None => break,
        }
    }
    Ok(())
}

fn is_taken(folder: &Path) -> Result<bool, CarrierError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(storage(folder, "cannot be listed", &error)),
    }
}

/// Puts a folder in the place of another.
fn replace(aside: &Path, to: &Path) -> Result<(), CarrierError> {
    let old = sibling(to, "old");
    let moved = || -> io::Result<()> {
        let _ = fs::remove_dir_all(&old);
        match fs::rename(to, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(aside, to)?;
        let _ = fs::remove_dir_all(&old);
        let parent = to.parent().unwrap_or_else(|| Path::new("/"));
        fs::File::open(parent)?.sync_all()
    };
    moved().map_err(|error| storage(to, "cannot be put in place", &error))
}

fn sibling(folder: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    folder.with_file_name(name)
}
