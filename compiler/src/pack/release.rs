//! The release statement: what the files of a release are, and from what they were built.

use ed25519_dalek::SigningKey;
use latchkey_engine::time::Time;
use latchkey_gate::supply::{self, Digest, Release, Statement, dsse};

use super::{Files, PackError, SIGNED, Source, UNSIGNED};
use crate::source::SourceMap;

/// What a release says besides its files.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The project.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The epoch of the trust root.
    pub epoch: u64,
    /// The version; never goes down within an epoch.
    pub version: u64,
    /// The digest of the statement before.
    pub previous: Option<Digest>,
    /// When it is issued; the time of the commit where this says nothing.
    pub issued_at: Option<Time>,
    /// The first instant at which it is no longer in force.
    pub not_after: Option<Time>,
    /// The digest of the test result.
    pub tests: Option<Digest>,
    /// The committed state that it was built from.
    pub source: Option<Source>,
}

/// Adds the statement about all files, signed when there are keys, and answers it with its digest.
/// Signing reads no clock: the commit's own time is vouched for, so the same commit gives the same
/// bytes.
pub fn seal(
    files: &mut Files,
    facts: &Facts,
    sources: &SourceMap,
    keys: &[SigningKey],
) -> Result<(Statement, Digest), PackError> {
    let source = facts.source.as_ref();
    let release = Release {
        epoch: facts.epoch,
        previous: facts.previous,
        issued_at: facts.issued_at.or(source.map(|source| source.time)),
        not_after: facts.not_after,
        source: source.map(|source| supply::Source {
            commit: source.commit.clone(),
            tree_sha256: tree_digest(sources),
        }),
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        tests: facts.tests,
        ..Release::new(&facts.project, &facts.channel, facts.version)
    };
    let statement = Statement::about(files, release);
    let payload = statement
        .encode()
        .map_err(|error| PackError(error.to_string()))?;
    let digest = Digest::of(&payload);
    if keys.is_empty() {
        files.insert(UNSIGNED.to_owned(), payload);
    } else {
        let envelope = dsse::sign(dsse::Kind::Statement, &payload, keys);
        files.insert(SIGNED.to_owned(), envelope.into_bytes());
    }
    Ok((statement, digest))
}

/// The digest of the input: of the lines that `sha256sum` prints for every file of the project,
/// sorted by path.
pub fn tree_digest(sources: &SourceMap) -> Digest {
    let mut lines = String::new();
    for (_, file) in sources.files() {
        let digest = Digest::of(file.text().as_bytes());
        lines.push_str(&digest.to_string());
        lines.push_str("  ");
        lines.push_str(file.path());
        lines.push('\n');
    }
    Digest::of(lines.as_bytes())
}
