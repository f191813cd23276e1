//! Which releases may be put in force: trust, signatures, and the version floor.

use std::path::PathBuf;

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Digest, Floor, MAX_TRUST, Offer, Required, Statement, Subject, TrustRoot, accept,
};

use super::{
    Release, Source, SupplyError,
    directory::{self, Files, PLACES, last_good, slice_name},
};
use crate::config::{Config, TrustConfig};

/// Judges releases for one server, and remembers how far it has come.
#[derive(Debug)]
pub(super) struct Verifier {
    floor: Floor,
    floor_path: PathBuf,
}

/// A release that may be put in force once its floor is persisted.
#[derive(Debug)]
pub(super) struct Verified {
    /// What it says of itself.
    pub(super) release: Release,
    /// The floor that it sets; an unsigned one sets none.
    floor: Option<Floor>,
}

/// The largest stored floor that is read, in bytes.
const LARGEST_FLOOR: u64 = 64 * 1024;

impl Verifier {
    /// Reads the stored floor; a damaged one is an error and not an empty one.
    pub(super) fn open(config: &Config) -> Result<Self, SupplyError> {
        let floor_path = config.state.directory.join("floor.json");
        let floor = match directory::read(&floor_path, LARGEST_FLOOR)? {
            None => Floor::default(),
            Some(bytes) => Floor::parse(&bytes)
                .map_err(|error| SupplyError::of(format!("{}: {error}", floor_path.display())))?,
        };
        Ok(Self { floor, floor_path })
    }

    /// Verifies everything about a release but the content of its slice.
    pub(super) fn verify(
        &self,
        files: &Files,
        config: &Config,
        now: Time,
    ) -> Result<Verified, SupplyError> {
        match (&config.trust, &files.signed) {
            (Some(trust), Some(envelope)) => {
                self.verify_signed(&read_trust(trust)?, envelope, files, config, now)
            }
            _ if config.profile.development => verify_unsigned(files, config),
            _ => Err(SupplyError::of(
                "release.dsse.json is missing: sign with `latchkey build --key`; only the \
                 development profile takes unsigned bundles"
                    .to_owned(),
            )),
        }
    }

    /// Whether the trust file revokes the release of this statement, whatever is on offer.
    pub(super) fn revokes(config: &Config, statement: &Digest) -> bool {
        let trust = config.trust.as_ref().map(read_trust);
        trust.is_some_and(|trust| trust.is_ok_and(|trust| trust.revokes(statement)))
    }

    fn verify_signed(
        &self,
        trust: &TrustRoot,
        envelope: &[u8],
        files: &Files,
        config: &Config,
        now: Time,
    ) -> Result<Verified, SupplyError> {
        let slice = slice_name(&config.bundle.server);
        let offer = Offer {
            channel: config.bundle.channel.as_deref(),
            ..Offer::new(envelope)
        };
        let subjects = subjects(files, &slice);
        let accepted = accept(trust, &self.floor, &offer, now)
            .and_then(|accepted| {
                accepted.check_files(&subjects, Required::File(&slice))?;
                Ok(accepted)
            })
            .map_err(|refused| SupplyError::of(format!("{}: {refused}", refused.word())))?;
        for warning in &accepted.warnings {
            tracing::warn!(target: "supply", %warning, "release accepted with a warning");
        }
        let release = release(&accepted.statement, accepted.digest, &accepted.floor, true);
        Ok(Verified {
            release,
            floor: Some(accepted.floor),
        })
    }

    /// Persists the floor of a release, before it is put in force; then keeps a copy of it.
    pub(super) fn persist(
        &mut self,
        verified: Verified,
        files: &Files,
        config: &Config,
        source: Source,
    ) -> Result<(), SupplyError> {
        if let Some(floor) = verified.floor
            && floor != self.floor
        {
            crate::files::replace(&self.floor_path, floor.to_json().as_bytes()).map_err(
                |error| {
                    SupplyError::of(format!(
                        "cannot write the version floor {}: {error}",
                        self.floor_path.display()
                    ))
                },
            )?;
            self.floor = floor;
        }
        if source == Source::Directory
            && let Err(error) = files.write(&last_good(config), &config.bundle.server)
        {
            tracing::warn!(target: "supply", %error, "the last good copy was not kept");
        }
        Ok(())
    }
}

fn read_trust(config: &TrustConfig) -> Result<TrustRoot, SupplyError> {
    let file = config.file.display();
    let bytes = directory::read(&config.file, MAX_TRUST as u64)?
        .ok_or_else(|| SupplyError::of(format!("the trust file {file} is missing")))?;
    TrustRoot::parse(&bytes).map_err(|error| SupplyError::of(format!("{file}: {error}")))
}

/// Takes a statement at its word, but for the digests of the files.
fn verify_unsigned(files: &Files, config: &Config) -> Result<Verified, SupplyError> {
    let bytes = files.unsigned.as_deref().ok_or_else(|| {
        SupplyError::of(
            "neither release.dsse.json with a [trust] file, nor release.json: is [bundle] \
             directory what `latchkey build --out` wrote?"
                .to_owned(),
        )
    })?;
    let statement = Statement::parse(bytes)
        .map_err(|error| SupplyError::of(format!("release.json: {error}")))?;
    for subject in subjects(files, &slice_name(&config.bundle.server)) {
        if !statement.subjects.contains(&subject) {
            return Err(SupplyError::of(format!(
                "{} is not the file that release.json names",
                subject.name
            )));
        }
    }
    tracing::warn!(target: "supply", "an UNSIGNED bundle is taken: development profile");
    Ok(Verified {
        release: release(&statement, Digest::of(bytes), &Floor::default(), false),
        floor: None,
    })
}

fn subjects(files: &Files, slice: &str) -> Vec<Subject> {
    let mut subjects = vec![Subject::of(slice, &files.slice)];
    if let Some(places) = &files.places {
        subjects.push(Subject::of(PLACES, places));
    }
    subjects
}

fn release(statement: &Statement, digest: Digest, floor: &Floor, signed: bool) -> Release {
    let facts = &statement.release;
    Release {
        version: facts.version,
        not_after: facts.not_after,
        trusted_time: floor.trusted_time,
        commit: facts.source.as_ref().map(|source| source.commit.clone()),
        statement: digest,
        signed,
    }
}
