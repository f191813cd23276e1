//! Keys that are with their issuers, as they were fetched last.

use std::{collections::BTreeMap, sync::Arc};

use super::KeySet;

/// The keys of the issuers whose keys are not in the policy. An issuer that is not here has none
/// that may be used: they were never fetched, or they are too old.
#[derive(Clone, Debug, Default)]
pub struct LiveKeys {
    sets: BTreeMap<String, (Option<String>, Arc<KeySet>)>,
    development: Option<(String, Arc<KeySet>)>,
}

impl LiveKeys {
    /// No keys of any issuer.
    pub const NONE: &'static Self = &Self {
        sets: BTreeMap::new(),
        development: None,
    };

    /// The keys of an issuer, by the exact value of `iss`, that came from the place that the policy
    /// names; `None` for a place means the issuer's metadata.
    #[must_use]
    pub fn get(&self, issuer: &str, uri: Option<&str>) -> Option<&KeySet> {
        let (from, keys) = self.sets.get(issuer)?;
        (from.as_deref() == uri).then_some(keys)
    }

    /// The keys that stand in for those of an issuer on a workstation.
    #[must_use]
    pub fn development(&self, issuer: &str) -> Option<&KeySet> {
        let (name, keys) = self.development.as_ref()?;
        (name == issuer).then_some(keys)
    }

    /// Sets the keys of an issuer, and where they came from.
    pub fn set(&mut self, issuer: &str, uri: Option<&str>, keys: Arc<KeySet>) {
        let from = uri.map(str::to_owned);
        self.sets.insert(issuer.to_owned(), (from, keys));
    }

    /// Takes the keys of an issuer away.
    pub fn remove(&mut self, issuer: &str) {
        self.sets.remove(issuer);
    }

    /// Lets keys stand in for those of one issuer. For the development profile alone.
    pub fn set_development(&mut self, development: Option<(String, Arc<KeySet>)>) {
        self.development = development;
    }
}
