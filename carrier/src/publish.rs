//! Moving a whole release: from a folder to where readers fetch it, and back.
//!
//! Whoever reads while a push runs sees the release before or the one after: what is named by its
//! digest goes first, and the names that change go last, the statement before the pointer that
//! names it. Between those two a reader that follows pointers still finds the release before under
//! its digest.

mod offer;
mod pull;
mod push;

use std::path::{Path, PathBuf};

use latchkey_gate::supply::{Digest, Release};

use crate::carrier::{How, Options};
use crate::error::{CarrierError, Kind};
use crate::location::Location;
use crate::peek::Peeked;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the statement.
    pub statement: Digest,
    /// The epoch of the release.
    pub epoch: u64,
    /// Its version.
    pub version: u64,
    /// What was written, in order.
    pub written: Vec<Written>,
    /// How many files were there already.
    pub present: usize,
    /// Readers that follow pointers stay with this statement, because no newer pointer was pushed.
    pub waits_for_pointer: Option<Digest>,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a pull did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The digest of the statement.
    pub statement: Digest,
    /// The epoch of the release.
    pub epoch: u64,
    /// Its version.
    pub version: u64,
    /// The subjects, and how each came.
    pub subjects: Vec<(String, How)>,
    /// How many bytes of subjects were transferred.
    pub transferred: u64,
}

/// Publishes the release in a folder, with patches from the last ten versions at the target.
///
/// Nothing is deleted at the target but, in a registry, the files and patches of releases before
/// the last ten. Every file is checked against the statement before anything is written. A target that holds a
/// higher version, another release under the same version, or another project is refused. Pushes to
/// one location are the caller's to keep apart: two at once may each not see the other.
pub async fn push(from: &Path, to: &Location, options: &Options) -> Result<Pushed, CarrierError> {
    push::push(from, to, options).await
}

/// Fetches the release that a location offers into a folder, which appears whole.
///
/// The statement is not verified; that is for the caller to do, in the folder. What the folder
/// held before serves for patches and is replaced, unless it is a higher version or no release.
pub async fn pull(from: &Location, to: &Path, options: &Options) -> Result<Pulled, CarrierError> {
    pull::pull(from, to, options).await
}

/// Refuses to put a release in the place of one that it must not follow.
fn may_follow(place: &Location, held: &Peeked, new: &Peeked) -> Result<(), CarrierError> {
    let conflict = |what: String| Err(CarrierError::new(Kind::Conflict, place, what));
    let (old, next) = (&held.statement.release, &new.statement.release);
    if old.project != next.project || old.channel != next.channel {
        return conflict(format!(
            "holds {}, and this is {}; one location is for one channel of one project",
            target(old),
            target(next)
        ));
    }
    let (before, after) = ((old.epoch, old.version), (next.epoch, next.version));
    if after < before {
        return conflict(format!(
            "holds version {} of epoch {}, and this is {} of {}; to go back, release the old \
             content under a higher version",
            before.1, before.0, after.1, after.0
        ));
    }
    if after == before && held.digest != new.digest {
        return conflict(format!(
            "holds version {} as {}, and this is {}; release it under a higher version",
            old.version, held.digest, new.digest
        ));
    }
    Ok(())
}

fn target(release: &Release) -> String {
    format!("{}/{}", release.project, release.channel)
}

/// The folder, absolute, so that it has a name and a parent.
fn absolute(folder: &Path) -> Result<PathBuf, CarrierError> {
    std::path::absolute(folder).map_err(|error| {
        CarrierError::new(
            Kind::Unusable,
            folder.display(),
            format!("no path: {error}"),
        )
    })
}

#[cfg(test)]
mod tests;
