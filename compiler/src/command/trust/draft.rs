//! A trust file that is being written; [`TrustRoot::parse`] judges it in the end.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::VerifyingKey;
use latchkey_engine::time::Time;
use latchkey_gate::supply::{Digest, Identity, KeyEntry, Role, Roles, TrustRoot};
use serde::Serialize;

use super::super::Failure;
use super::role::RoleName;

/// The members of a trust file, in their order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Draft {
    pub(super) version: u64,
    pub(super) project: String,
    pub(super) epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    keys: BTreeMap<String, KeyEntry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    identities: BTreeMap<String, Identity>,
    roles: Roles,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) min_version: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) revoked: BTreeSet<Digest>,
}

impl Draft {
    /// A first version that trusts nobody yet.
    pub(super) fn first(project: &str, channels: &[String]) -> Self {
        let nobody = Role {
            threshold: 1,
            members: Vec::new(),
        };
        let release = channels.iter().map(|it| (it.clone(), nobody.clone()));
        Self {
            version: 1,
            project: project.to_owned(),
            epoch: 1,
            expires: None,
            keys: BTreeMap::new(),
            identities: BTreeMap::new(),
            roles: Roles {
                root: None,
                release: release.collect(),
                freshness: BTreeMap::new(),
            },
            min_version: BTreeMap::new(),
            revoked: BTreeSet::new(),
        }
    }

    /// The version after a trust root, with nothing changed yet.
    pub(super) fn after(root: &TrustRoot) -> Self {
        Self {
            version: root.version() + 1,
            project: root.project().to_owned(),
            epoch: root.epoch(),
            expires: root.expires().map(|it| it.to_string()),
            keys: root.key_entries().clone(),
            identities: root.identities().clone(),
            roles: root.roles().clone(),
            min_version: root.min_versions().clone(),
            revoked: root.revoked().clone(),
        }
    }

    /// Names a key. The same key under the same name again is the same.
    pub(super) fn add_key(&mut self, name: &str, key: &VerifyingKey) -> Result<(), Failure> {
        let entry = KeyEntry::of(key);
        match self.keys.get(name) {
            Some(there) if there.spki != entry.spki => Err(Failure::usage(format!(
                "there is another key with the name {name:?}"
            ))
            .help("give another name, or `--replace-key` where the key itself changes")),
            Some(_) => Ok(()),
            None => {
                self.keys.insert(name.to_owned(), entry);
                Ok(())
            }
        }
    }

    /// Puts another key under a name, which keeps its roles.
    pub(super) fn replace_key(&mut self, name: &str, key: &VerifyingKey) -> Result<(), Failure> {
        let entry = self.keys.get_mut(name).ok_or_else(|| unknown(name))?;
        *entry = KeyEntry::of(key);
        Ok(())
    }

    /// Forgets a key or an identity, also in every role.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let key = self.keys.remove(name).is_some();
        let identity = self.identities.remove(name).is_some();
        if !key && !identity {
            return Err(unknown(name));
        }
        let roles = &mut self.roles;
        let all = roles.release.values_mut();
        for role in all
            .chain(roles.freshness.values_mut())
            .chain(&mut roles.root)
        {
            role.members.retain(|it| it != name);
        }
        self.drop_empty();
        Ok(())
    }

    /// Names an identity.
    pub(super) fn add_identity(&mut self, name: &str, identity: Identity) -> Result<(), Failure> {
        match self.identities.insert(name.to_owned(), identity) {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!(
                "there is another identity with the name {name:?}"
            ))
            .help("remove that one, or give another name")),
        }
    }

    /// Lets a key or identity into a role, which is made where it is not there.
    pub(super) fn join(&mut self, role: &RoleName, name: &str) -> Result<(), Failure> {
        if !self.keys.contains_key(name) && !self.identities.contains_key(name) {
            return Err(unknown(name));
        }
        for role in self.named(role, true)? {
            if !role.members.iter().any(|it| it == name) {
                role.members.push(name.to_owned());
                role.members.sort();
            }
        }
        Ok(())
    }

    /// Takes a key or identity out of a role. A root or freshness role without members is gone.
    pub(super) fn leave(&mut self, role: &RoleName, name: &str) -> Result<(), Failure> {
        for role in self.named(role, false)? {
            role.members.retain(|it| it != name);
        }
        self.drop_empty();
        Ok(())
    }

    /// Says how many members of a role must agree.
    pub(super) fn threshold(&mut self, role: &RoleName, count: usize) -> Result<(), Failure> {
        for role in self.named(role, false)? {
            role.threshold = count;
        }
        Ok(())
    }

    /// Says when nothing new is accepted any more.
    pub(super) fn expires(&mut self, end: Time) {
        self.expires = Some(end.to_string());
    }

    /// Begins a new epoch, in which versions start over, and so do their minima.
    pub(super) fn new_epoch(&mut self) {
        self.epoch += 1;
        self.min_version.clear();
    }

    /// The trust root that this means.
    pub(super) fn finish(&self) -> Result<TrustRoot, Failure> {
        let bytes = serde_json::to_vec(self).map_err(|it| Failure::internal(it.to_string()))?;
        TrustRoot::parse(&bytes).map_err(|error| {
            Failure::usage(error.to_string())
                .help("`--threshold ROLE=N` and `--add-member ROLE=NAME` change roles")
        })
    }

    fn named(&mut self, role: &RoleName, make: bool) -> Result<Vec<&mut Role>, Failure> {
        let missing = |what: String| {
            Failure::usage(format!("the trust file has no {what}"))
                .help("name a member of it first, or correct the channel")
        };
        let roles = &mut self.roles;
        let nobody = || Role {
            threshold: 1,
            members: Vec::new(),
        };
        match role {
            RoleName::Root => {
                if make {
                    roles.root.get_or_insert_with(nobody);
                }
                let root = roles.root.as_mut();
                root.map(|it| vec![it])
                    .ok_or_else(|| missing("root role".to_owned()))
            }
            RoleName::Release(None) => Ok(roles.release.values_mut().collect()),
            RoleName::Release(Some(channel)) => {
                let role = roles.release.get_mut(channel);
                role.map(|it| vec![it])
                    .ok_or_else(|| missing(format!("channel {channel:?}")))
            }
            RoleName::Freshness(channel) => {
                let channels = channel.as_ref().map_or_else(
                    || roles.release.keys().cloned().collect(),
                    |channel| vec![channel.clone()],
                );
                for channel in channels.iter().filter(|_| make) {
                    roles
                        .freshness
                        .entry(channel.clone())
                        .or_insert_with(nobody);
                }
                let of = roles.freshness.iter_mut();
                let found: Vec<_> = of
                    .filter(|(name, _)| channels.contains(name))
                    .map(|(_, role)| role)
                    .collect();
                if found.is_empty() {
                    return Err(missing("freshness role for it".to_owned()));
                }
                Ok(found)
            }
        }
    }

    fn drop_empty(&mut self) {
        self.roles.root.take_if(|it| it.members.is_empty());
        self.roles.freshness.retain(|_, it| !it.members.is_empty());
    }
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!(
        "the trust file has no key and no identity {name:?}"
    ))
    .help("`latchkey trust show` lists them; `--add-key NAME=FILE` adds one")
}
