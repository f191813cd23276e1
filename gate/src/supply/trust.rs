//! The trust root: who may release what.
//!
//! ```json
//! {"version": 1, "project": "acme", "epoch": 1,
//!  "keys": {"ci": {"algorithm": "ed25519", "spki": "MCowBQYDK2VwAyEA..."}},
//!  "roles": {"release": {"main": {"threshold": 1, "members": ["ci"]}}},
//!  "min_version": {"main": 12}, "revoked": ["<digest of a statement>"]}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::{Digest, keys, read_json};

/// Longest trust file, in bytes.
pub const MAX_TRUST: usize = 256 * 1024;
/// Most keys in one trust file.
const MAX_KEYS: usize = 64;

/// Whom a sidecar believes about the policy of one project; sound by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    /// The version of this root; a sidecar never goes back to a lower one.
    pub(super) version: u64,
    pub(super) project: String,
    pub(super) epoch: u64,
    pub(super) keys: BTreeMap<String, VerifyingKey>,
    /// The release role of each channel.
    pub(super) release: BTreeMap<String, Role>,
    pub(super) min_version: BTreeMap<String, u64>,
    pub(super) revoked: BTreeSet<Digest>,
}

/// Some keys, and how many of them must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// How many distinct keys must sign; at least 1.
    pub threshold: usize,
    /// The names of the keys that may.
    pub members: Vec<String>,
}

impl TrustRoot {
    /// A first root: one key that releases one channel of a project.
    pub fn of_one_key(project: &str, channel: &str, name: &str, key: VerifyingKey) -> Self {
        let role = Role {
            threshold: 1,
            members: vec![name.to_owned()],
        };
        Self {
            version: 1,
            project: project.to_owned(),
            epoch: 1,
            keys: BTreeMap::from([(name.to_owned(), key)]),
            release: BTreeMap::from([(channel.to_owned(), role)]),
            min_version: BTreeMap::new(),
            revoked: BTreeSet::new(),
        }
    }

    /// Reads a trust file and refuses one that cannot mean what it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > MAX_TRUST {
            return fault(format!("it is longer than {MAX_TRUST} bytes"));
        }
        let file: File = read_json(bytes).map_err(TrustError)?;
        let keys = read_keys(&file.keys)?;
        if file.version == 0 || file.project.is_empty() {
            return fault("version must be from 1 and project must not be empty");
        }
        if file.roles.release.is_empty() {
            return fault("roles.release names no channel, so nothing could be released");
        }
        for (channel, role) in &file.roles.release {
            check_role(channel, role, &keys)?;
        }
        let unknown = |channel: &&String| !file.roles.release.contains_key(*channel);
        if let Some(channel) = file.min_version.keys().find(unknown) {
            return fault(format!(
                "min_version names {channel:?}, which is no release channel"
            ));
        }
        Ok(Self {
            version: file.version,
            project: file.project,
            epoch: file.epoch,
            keys,
            release: file.roles.release,
            min_version: file.min_version,
            revoked: file.revoked,
        })
    }

    /// The text of the trust file.
    pub fn to_json(&self) -> String {
        let keys = self.keys.iter().map(|(name, key)| {
            let spki = keys::public_text(key);
            (
                name.clone(),
                FileKey {
                    algorithm: ALGORITHM.to_owned(),
                    spki,
                },
            )
        });
        let file = File {
            version: self.version,
            project: self.project.clone(),
            epoch: self.epoch,
            keys: keys.collect(),
            roles: Roles {
                release: self.release.clone(),
            },
            min_version: self.min_version.clone(),
            revoked: self.revoked.clone(),
        };
        // Text and numbers under text keys: there is nothing in a trust file that cannot be written.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// The version of this root.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The project whose policy this root speaks for.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The epoch that releases must state.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The channels that can be released, with the role of each.
    pub fn channels(&self) -> &BTreeMap<String, Role> {
        &self.release
    }

    /// Whether the release of this statement must not be in force any more.
    pub fn revokes(&self, statement: &Digest) -> bool {
        self.revoked.contains(statement)
    }

    /// The keys by name.
    pub fn keys(&self) -> &BTreeMap<String, VerifyingKey> {
        &self.keys
    }

    /// The keys of a role with their names.
    pub(super) fn members<'t>(&'t self, role: &'t Role) -> Vec<(&'t str, VerifyingKey)> {
        let key = |name: &'t String| Some((name.as_str(), *self.keys.get(name)?));
        role.members.iter().filter_map(key).collect()
    }
}

/// Why a trust file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustError(pub String);

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the trust file cannot be used: {}", self.0)
    }
}

impl std::error::Error for TrustError {}

const ALGORITHM: &str = "ed25519";

/// The trust file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    project: String,
    epoch: u64,
    keys: BTreeMap<String, FileKey>,
    roles: Roles,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    min_version: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    revoked: BTreeSet<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    algorithm: String,
    spki: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    release: BTreeMap<String, Role>,
}

fn read_keys(
    file: &BTreeMap<String, FileKey>,
) -> Result<BTreeMap<String, VerifyingKey>, TrustError> {
    if file.len() > MAX_KEYS {
        return fault(format!("it has more than {MAX_KEYS} keys"));
    }
    let mut keys: BTreeMap<String, VerifyingKey> = BTreeMap::new();
    for (name, entry) in file {
        if entry.algorithm != ALGORITHM {
            return fault(format!("key {name:?}: the algorithm must be {ALGORITHM}"));
        }
        let key = keys::read_public(&entry.spki)
            .map_err(|error| TrustError(format!("key {name:?}: {error}")))?;
        // Two names for one key would let it count twice.
        if let Some((other, _)) = keys.iter().find(|(_, other)| **other == key) {
            return fault(format!("keys {other:?} and {name:?} are the same key"));
        }
        keys.insert(name.clone(), key);
    }
    Ok(keys)
}

fn check_role(
    channel: &str,
    role: &Role,
    keys: &BTreeMap<String, VerifyingKey>,
) -> Result<(), TrustError> {
    let distinct: BTreeSet<&String> = role.members.iter().collect();
    if distinct.len() != role.members.len() {
        return fault(format!("channel {channel:?} names a member twice"));
    }
    if let Some(name) = role.members.iter().find(|name| !keys.contains_key(*name)) {
        return fault(format!(
            "channel {channel:?} names {name:?}, which is not among the keys"
        ));
    }
    if !(1..=role.members.len()).contains(&role.threshold) {
        return fault(format!(
            "channel {channel:?}: the threshold must be 1 to its members"
        ));
    }
    Ok(())
}

fn fault<T>(what: impl Into<String>) -> Result<T, TrustError> {
    Err(TrustError(what.into()))
}
