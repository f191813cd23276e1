//! The trust root: who may release what, and how that is changed.
//!
//! ```json
//! {"version": 1, "project": "acme", "epoch": 1, "expires": "2027-11-22T00:00:00Z",
//!  "keys": {"ci": {"algorithm": "ed25519", "spki": "MCowBQYDK2VwAyEA..."}, "clock": {...}},
//!  "identities": {"ci-flow": {"kind": "sigstore", "issuer": "https://token.actions.example",
//!    "subject": "https://github.example/acme/policy/release.yml@refs/heads/main",
//!    "trusted_root_sha256": "<digest>"}},
//!  "roles": {"root": {"threshold": 1, "members": ["ci"]},
//!    "release": {"main": {"threshold": 1, "members": ["ci", "ci-flow"]}},
//!    "freshness": {"main": {"threshold": 1, "members": ["clock"]}}},
//!  "min_version": {"main": 12}, "revoked": ["<digest of a statement>"]}
//! ```
//!
//! A sidecar is given one version of it by its operator. The next one comes with the bundles, in an
//! envelope that the root role of both versions has signed; see [`rotate`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ed25519_dalek::VerifyingKey;
use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::dsse::{Envelope, Kind};
use super::{Digest, Identity, Refused, instant, keys, read_json};

/// Longest trust file, in bytes.
pub const MAX_TRUST: usize = 256 * 1024;
/// Most keys, and most identities, in one trust file.
const MAX_MEMBERS: usize = 64;

/// Whom a sidecar believes about the policy of one project; sound by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    file: File,
    keys: BTreeMap<String, VerifyingKey>,
}

/// Some members, and how many of them must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// How many distinct members must sign; at least 1.
    pub threshold: usize,
    /// The names of the keys and identities that may.
    pub members: Vec<String>,
}

/// The roles of a trust root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Who may change the trust root; without it, only whoever installs it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Role>,
    /// Who may release, by channel.
    pub release: BTreeMap<String, Role>,
    /// Who says which release is the newest, by channel; a channel that has this role follows its
    /// pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub freshness: BTreeMap<String, Role>,
}

/// A key as a trust file writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Always `ed25519`.
    pub algorithm: String,
    /// The base64 of its `SubjectPublicKeyInfo`.
    pub spki: String,
    /// The first instant at which its signatures count.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// The first instant at which they count no more, also those made before.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// The members of a role that count at some time.
#[derive(Debug)]
pub(super) struct Members<'t> {
    /// Keys by name.
    pub(super) keys: Vec<(&'t str, VerifyingKey)>,
    /// Identities by name.
    pub(super) identities: Vec<(&'t str, &'t Identity)>,
    /// How many must have signed.
    pub(super) threshold: usize,
}

impl TrustRoot {
    /// A first root: one key that releases one channel of a project, and may change the root.
    pub fn of_one_key(project: &str, channel: &str, name: &str, key: VerifyingKey) -> Self {
        let role = Role {
            threshold: 1,
            members: vec![name.to_owned()],
        };
        let file = File {
            version: 1,
            project: project.to_owned(),
            epoch: 1,
            expires: None,
            keys: BTreeMap::from([(name.to_owned(), KeyEntry::of(&key))]),
            identities: BTreeMap::new(),
            roles: Roles {
                root: Some(role.clone()),
                release: BTreeMap::from([(channel.to_owned(), role)]),
                freshness: BTreeMap::new(),
            },
            min_version: BTreeMap::new(),
            revoked: BTreeSet::new(),
        };
        Self {
            file,
            keys: BTreeMap::from([(name.to_owned(), key)]),
        }
    }

    /// Reads a trust file and refuses one that cannot mean what it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > MAX_TRUST {
            return fault(format!("it is longer than {MAX_TRUST} bytes"));
        }
        let file: File = read_json(bytes).map_err(TrustError)?;
        if file.version == 0 || file.project.is_empty() {
            return fault("version must be from 1 and project must not be empty");
        }
        let keys = read_keys(&file.keys)?;
        check_identities(&file)?;
        check_roles(&file)?;
        let unknown = |channel: &&String| !file.roles.release.contains_key(*channel);
        if let Some(channel) = file.min_version.keys().find(unknown) {
            return fault(format!(
                "min_version names {channel:?}, which is no release channel"
            ));
        }
        Ok(Self { file, keys })
    }

    /// The text of the trust file.
    pub fn to_json(&self) -> String {
        // Text and numbers under text keys: there is nothing in a trust file that cannot be written.
        serde_json::to_string_pretty(&self.file).unwrap_or_default() + "\n"
    }

    /// The version of this root.
    pub fn version(&self) -> u64 {
        self.file.version
    }

    /// The project whose policy this root speaks for.
    pub fn project(&self) -> &str {
        &self.file.project
    }

    /// The epoch that releases must state.
    pub fn epoch(&self) -> u64 {
        self.file.epoch
    }

    /// The first instant at which nothing new is accepted by it any more.
    pub fn expires(&self) -> Option<Time> {
        self.file.expires
    }

    /// The roles.
    pub fn roles(&self) -> &Roles {
        &self.file.roles
    }

    /// The channels that can be released, with the role of each.
    pub fn channels(&self) -> &BTreeMap<String, Role> {
        &self.file.roles.release
    }

    /// The keys by name.
    pub fn keys(&self) -> &BTreeMap<String, VerifyingKey> {
        &self.keys
    }

    /// The keys by name, as the file writes them.
    pub fn key_entries(&self) -> &BTreeMap<String, KeyEntry> {
        &self.file.keys
    }

    /// The identities by name.
    pub fn identities(&self) -> &BTreeMap<String, Identity> {
        &self.file.identities
    }

    /// The lowest version of a channel that may be in force.
    pub fn min_version(&self, channel: &str) -> u64 {
        self.file.min_version.get(channel).copied().unwrap_or(1)
    }

    /// The lowest versions by channel, where they are stated.
    pub fn min_versions(&self) -> &BTreeMap<String, u64> {
        &self.file.min_version
    }

    /// The statements whose releases must not be in force any more.
    pub fn revoked(&self) -> &BTreeSet<Digest> {
        &self.file.revoked
    }

    /// Whether the release of this statement must not be in force any more.
    pub fn revokes(&self, statement: &Digest) -> bool {
        self.file.revoked.contains(statement)
    }

    /// The members of a role that count at `now`.
    pub(super) fn members<'t>(&'t self, role: &'t Role, now: Time) -> Members<'t> {
        let key = |name: &'t String| {
            let entry = self.file.keys.get(name)?;
            let early = entry.not_before.is_some_and(|begin| now < begin);
            let late = entry.not_after.is_some_and(|end| now >= end);
            let key = *self.keys.get(name)?;
            (!early && !late).then_some((name.as_str(), key))
        };
        let identity = |name: &'t String| Some((name.as_str(), self.file.identities.get(name)?));
        Members {
            keys: role.members.iter().filter_map(key).collect(),
            identities: role.members.iter().filter_map(identity).collect(),
            threshold: role.threshold,
        }
    }
}

impl KeyEntry {
    /// A key that counts at all times.
    pub fn of(key: &VerifyingKey) -> Self {
        Self {
            algorithm: ALGORITHM.to_owned(),
            spki: keys::public_text(key),
            not_before: None,
            not_after: None,
        }
    }
}

/// The version after `current`, from its envelope: signed by enough of the root role of `current`
/// and of the new one, one version higher, and of the same project (as TUF section 5.3 asks).
pub fn rotate(current: &TrustRoot, envelope: &[u8], now: Time) -> Result<TrustRoot, Refused> {
    let of = Kind::Trust;
    let envelope = Envelope::read(of, envelope).map_err(|error| Refused::Envelope { of, error })?;
    // Read before its signatures are judged, for it says itself who must have signed.
    let next = TrustRoot::parse(&envelope.payload).map_err(Refused::Trust)?;
    for root in [current, &next] {
        let role = root.roles().root.as_ref().ok_or(Refused::NoRootRole {
            version: root.version(),
        })?;
        let members = root.members(role, now);
        let valid = envelope.signers(&members.keys).len();
        if valid < members.threshold.max(1) {
            let threshold = members.threshold;
            return Err(Refused::Threshold {
                of,
                valid,
                threshold,
                hint: None,
            });
        }
    }
    let (expected, found) = (current.version() + 1, next.version());
    let foreign = next.project() != current.project();
    if found != expected || foreign || next.epoch() < current.epoch() {
        return Err(Refused::TrustChain { expected, found });
    }
    Ok(next)
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    project: String,
    epoch: u64,
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    expires: Option<Time>,
    keys: BTreeMap<String, KeyEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    identities: BTreeMap<String, Identity>,
    roles: Roles,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    min_version: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    revoked: BTreeSet<Digest>,
}

fn read_keys(
    file: &BTreeMap<String, KeyEntry>,
) -> Result<BTreeMap<String, VerifyingKey>, TrustError> {
    if file.len() > MAX_MEMBERS {
        return fault(format!("it has more than {MAX_MEMBERS} keys"));
    }
    let mut keys: BTreeMap<String, VerifyingKey> = BTreeMap::new();
    for (name, entry) in file {
        if entry.algorithm != ALGORITHM {
            return fault(format!("key {name:?}: the algorithm must be {ALGORITHM}"));
        }
        if let (Some(begin), Some(end)) = (entry.not_before, entry.not_after)
            && begin >= end
        {
            return fault(format!(
                "key {name:?}: not_after must be later than not_before"
            ));
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

fn check_identities(file: &File) -> Result<(), TrustError> {
    if file.identities.len() > MAX_MEMBERS {
        return fault(format!("it has more than {MAX_MEMBERS} identities"));
    }
    let mut seen = BTreeMap::new();
    for (name, identity) in &file.identities {
        if identity.issuer.is_empty() || identity.subject.is_empty() {
            return fault(format!(
                "identity {name:?}: issuer and subject must not be empty"
            ));
        }
        if file.keys.contains_key(name) {
            return fault(format!("{name:?} is the name of a key and of an identity"));
        }
        // Two names for one identity would let it count twice.
        if let Some(other) = seen.insert((&identity.issuer, &identity.subject), name) {
            return fault(format!(
                "identities {other:?} and {name:?} are the same identity"
            ));
        }
    }
    Ok(())
}

fn check_roles(file: &File) -> Result<(), TrustError> {
    let Roles {
        root,
        release,
        freshness,
    } = &file.roles;
    if release.is_empty() {
        return fault("roles.release names no channel, so nothing could be released");
    }
    let is_key = |name: &String| file.keys.contains_key(name);
    for (channel, role) in release {
        let known = |name: &String| is_key(name) || file.identities.contains_key(name);
        check_role(&format!("release of {channel:?}"), role, known)?;
    }
    for (channel, role) in freshness {
        if !release.contains_key(channel) {
            return fault(format!(
                "roles.freshness names {channel:?}, which is no release channel"
            ));
        }
        check_role(&format!("freshness of {channel:?}"), role, is_key)?;
    }
    root.as_ref()
        .map_or(Ok(()), |role| check_role("root", role, is_key))
}

fn check_role(what: &str, role: &Role, known: impl Fn(&String) -> bool) -> Result<(), TrustError> {
    let distinct: BTreeSet<&String> = role.members.iter().collect();
    if distinct.len() != role.members.len() {
        return fault(format!("role {what} names a member twice"));
    }
    if let Some(name) = role.members.iter().find(|name| !known(name)) {
        return fault(format!(
            "role {what} names {name:?}, which is not among the keys (identities may only release)"
        ));
    }
    if !(1..=role.members.len()).contains(&role.threshold) {
        return fault(format!(
            "role {what}: the threshold must be 1 to its members"
        ));
    }
    Ok(())
}

fn fault<T>(what: impl Into<String>) -> Result<T, TrustError> {
    Err(TrustError(what.into()))
}
