//! The release statement: an in-toto Statement v1 in canonical JSON (RFC 8785).

use std::collections::BTreeMap;
use std::fmt;

use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::{Digest, instant, read_json};

/// The `predicateType` of a release.
pub const PREDICATE_TYPE: &str = "urn:latchkey:release:v1";
/// The version of the engine in this build, for [`EngineNeed::min`].
pub const ENGINE: &str = env!("CARGO_PKG_VERSION");
/// The epoch of a trust root that was never compromised.
pub const FIRST_EPOCH: u64 = 1;
/// The major version of the bundle format that this build reads, for [`EngineNeed::format`].
pub const FORMAT: u32 = 1;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The largest integer that every JSON reader holds exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Most files in one release.
const MAX_SUBJECTS: usize = 10_000;

/// What is signed: which files, released as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The files, sorted by name.
    pub subjects: Vec<Subject>,
    /// The facts of the release.
    pub release: Release,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its name, without a folder.
    pub name: String,
    /// The digest of its uncompressed bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Subject {
    /// Describes the bytes of a file.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }
}

/// The facts of one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The project that the policy is of.
    pub project: String,
    /// The channel that it is released on.
    pub channel: String,
    /// The epoch; the trust root starts a new one after a compromise, and versions start over.
    pub epoch: u64,
    /// The version, from 1; it only rises within an epoch, also when content is reverted.
    pub version: u64,
    /// The digest of the statement before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When it was signed.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// The first instant at which it is no longer in force; absent means that it does not end.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// The committed state that it was built from; absent outside a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The version of the compiler, which together with the source makes the files.
    pub compiler: String,
    /// What a sidecar needs to run it.
    pub engine: EngineNeed,
    /// The digest of the test result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Digest>,
}

/// The committed state that a release was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The commit, as its full lower-case hexadecimal name.
    pub commit: String,
    /// The digest of the input files, independent of Git's own.
    pub tree_sha256: Digest,
}

/// What a sidecar needs to run a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineNeed {
    /// The lowest version of the engine, as `major.minor.patch`.
    pub min: String,
    /// The major version of the bundle format.
    pub format: u32,
}

impl Release {
    /// A release of the first epoch by this build that says nothing but what it must.
    pub fn new(project: &str, channel: &str, version: u64) -> Self {
        Self {
            project: project.to_owned(),
            channel: channel.to_owned(),
            epoch: FIRST_EPOCH,
            version,
            previous: None,
            issued_at: None,
            not_after: None,
            source: None,
            compiler: ENGINE.to_owned(),
            engine: EngineNeed {
                min: ENGINE.to_owned(),
                format: FORMAT,
            },
            tests: None,
        }
    }
}

impl Statement {
    /// The statement about these files.
    pub fn about(files: &BTreeMap<String, Vec<u8>>, release: Release) -> Self {
        let subjects = files.iter().map(|(name, bytes)| Subject::of(name, bytes));
        Self {
            subjects: subjects.collect(),
            release,
        }
    }

    /// The canonical bytes: what is signed, and what [`Digest::of`] names a release by.
    pub fn encode(&self) -> Result<Vec<u8>, StatementError> {
        self.check()?;
        let subject = self.subjects.iter().map(|subject| WireSubject {
            name: subject.name.clone(),
            digest: WireDigest {
                sha256: subject.sha256,
            },
        });
        let sizes = self
            .subjects
            .iter()
            .map(|subject| (subject.name.clone(), subject.size));
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            subject: subject.collect(),
            predicate: WirePredicate {
                release: self.release.clone(),
                sizes: sizes.collect(),
            },
        };
        serde_json_canonicalizer::to_vec(&wire).map_err(|error| StatementError(error.to_string()))
    }

    /// Reads a statement; only the canonical bytes of a sound one are taken.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let wire: Wire = read_json(bytes).map_err(StatementError)?;
        if wire.kind != STATEMENT_TYPE {
            return fault("its _type is not that of an in-toto Statement v1");
        }
        if wire.predicate_type != PREDICATE_TYPE {
            return fault(format!(
                "its predicateType is {:?}, where this version reads {PREDICATE_TYPE}",
                wire.predicate_type
            ));
        }
        let statement = wire.into_statement()?;
        if statement.encode()? != bytes {
            return fault("it is not in canonical form (RFC 8785)");
        }
        Ok(statement)
    }

    /// The file of this name.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }

    fn check(&self) -> Result<(), StatementError> {
        let release = &self.release;
        if release.project.is_empty() || release.channel.is_empty() {
            return fault("project and channel must not be empty");
        }
        if !(1..=MAX_INTEGER).contains(&release.version) || release.epoch > MAX_INTEGER {
            return fault("version must be from 1 and, like epoch, at most 2^53-1");
        }
        if triple(&release.engine.min).is_none() {
            return fault("engine.min must be major.minor.patch");
        }
        if let (Some(issued), Some(end)) = (release.issued_at, release.not_after)
            && issued >= end
        {
            return fault("not_after must be later than issued_at");
        }
        if let Some(source) = &release.source
            && !is_commit(&source.commit)
        {
            return fault("source.commit must be a full lower-case commit name");
        }
        self.check_subjects()
    }

    fn check_subjects(&self) -> Result<(), StatementError> {
        if self.subjects.is_empty() || self.subjects.len() > MAX_SUBJECTS {
            return fault(format!("a release has 1 to {MAX_SUBJECTS} files"));
        }
        if !self.subjects.is_sorted_by(|a, b| a.name < b.name) {
            return fault("the subjects must be sorted by name, each once");
        }
        for subject in &self.subjects {
            if !is_file_name(&subject.name) {
                return fault(format!("{:?} cannot be the name of a file", subject.name));
            }
            if subject.size > MAX_INTEGER {
                return fault(format!("the size of {} is too large", subject.name));
            }
        }
        Ok(())
    }
}

/// Why a statement cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementError(pub String);

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the release statement cannot be used: {}", self.0)
    }
}

impl std::error::Error for StatementError {}

/// The parts of `major.minor.patch`, for comparing.
pub(super) fn triple(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    let triple = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(triple)
}

/// The statement as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<WireSubject>,
    predicate: WirePredicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSubject {
    name: String,
    digest: WireDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDigest {
    sha256: Digest,
}

/// Unknown members are found by writing the statement again and comparing the bytes.
#[derive(Serialize, Deserialize)]
struct WirePredicate {
    #[serde(flatten)]
    release: Release,
    sizes: BTreeMap<String, u64>,
}

impl Wire {
    fn into_statement(self) -> Result<Statement, StatementError> {
        let WirePredicate { release, sizes } = self.predicate;
        if sizes.len() != self.subject.len() {
            return fault("sizes must list the subjects and nothing else");
        }
        let mut subjects = Vec::with_capacity(self.subject.len());
        for WireSubject { name, digest } in self.subject {
            let Some(size) = sizes.get(&name) else {
                return fault(format!("sizes lacks {name:?}"));
            };
            subjects.push(Subject {
                size: *size,
                name,
                sha256: digest.sha256,
            });
        }
        Ok(Statement { subjects, release })
    }
}

fn is_file_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(legal)
}

fn is_commit(name: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (name.len() == 40 || name.len() == 64) && name.bytes().all(hex)
}

fn fault<T>(what: impl Into<String>) -> Result<T, StatementError> {
    Err(StatementError(what.into()))
}
