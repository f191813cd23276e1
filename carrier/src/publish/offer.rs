//! A release in a folder, read and checked against its statement.

use std::fs;
use std::path::Path;

use latchkey_gate::supply::Subject;

use crate::carrier::{Carrier, Options};
use crate::error::{CarrierError, Kind};
use crate::location::Location;
use crate::names;
use crate::peek::{self, Peeked};

/// A release with everything that goes with it.
pub(super) struct Offer {
    /// The statement, unverified.
    pub(super) peeked: Peeked,
    /// Its envelope.
    pub(super) envelope: Vec<u8>,
    /// The Sigstore bundles over it.
    pub(super) sigstore: Vec<Vec<u8>>,
    /// The freshness pointer.
    pub(super) pointer: Option<Vec<u8>>,
    /// The versions of the trust root, ascending.
    pub(super) trust: Vec<(u64, Vec<u8>)>,
    /// The subjects with their bytes.
    pub(super) files: Vec<(Subject, Vec<u8>)>,
}

impl Offer {
    /// Reads the release in force in a folder.
    pub(super) async fn read(folder: &Path, options: &Options) -> Result<Self, CarrierError> {
        let location = Location::Folder(folder.to_owned());
        let carrier = Carrier::open(&location, options.clone())?;
        let envelope = carrier.get(names::RELEASE, names::LARGEST_ENVELOPE).await?;
        let Some(envelope) = envelope else {
            let what = format!(
                "there is no {}; give the folder that `latchkey build --out` or `latchkey release` \
                 wrote",
                names::RELEASE
            );
            return Err(carrier.error(Kind::Missing, what));
        };
        let peeked = read_statement(&carrier, &envelope)?;
        let mut files = Vec::new();
        for subject in &peeked.statement.subjects {
            let fetched = carrier.subject(subject, None).await?;
            files.push((subject.clone(), fetched.bytes));
        }
        Ok(Self {
            sigstore: carrier.sigstore(Some(peeked.digest), true).await?,
            pointer: carrier.get(names::POINTER, names::LARGEST_POINTER).await?,
            trust: trust_roots(&carrier, folder).await?,
            peeked,
            envelope,
            files,
        })
    }
}

/// Reads the statement in an envelope, for what it says and not for whether it is to be believed.
pub(super) fn read_statement(carrier: &Carrier, envelope: &[u8]) -> Result<Peeked, CarrierError> {
    let damaged = |error: &str| {
        let what = format!("{}: {error}; release it again", names::RELEASE);
        carrier.error(Kind::Damaged, what)
    };
    let peeked = peek::statement(envelope).map_err(|error| damaged(&error))?;
    let mut subjects = peeked.statement.subjects.iter();
    match subjects.find(|subject| names::is_reserved(&subject.name)) {
        Some(subject) => Err(damaged(&format!("{} cannot be a subject", subject.name))),
        None => Ok(peeked),
    }
}

async fn trust_roots(
    carrier: &Carrier,
    folder: &Path,
) -> Result<Vec<(u64, Vec<u8>)>, CarrierError> {
    let fault = |error| carrier.error(Kind::Storage, format!("cannot be listed: {error}"));
    let mut versions = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let version = name.to_str().and_then(names::trust_version);
        versions.extend(version);
    }
    versions.sort_unstable();
    let mut roots = Vec::new();
    for version in versions {
        if let Some(root) = carrier.trust(version).await? {
            roots.push((version, root));
        }
    }
    Ok(roots)
}
