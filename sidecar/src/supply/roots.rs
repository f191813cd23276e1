//! The trust root in use: the one that the operator installed, and those that followed it.

use std::path::Path;

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Keyless, MAX_TRUST, NoKeyless, TrustRoot,
    keyless::{MAX_SIGSTORE_ROOT, SigstoreKeyless},
    rotate,
};

use super::{SupplyError, state::State};
use crate::{config::Config, files};

/// The trust root in use.
#[derive(Debug)]
pub(super) struct Roots {
    root: Option<TrustRoot>,
    keyless: Box<dyn Keyless + Send>,
    development: bool,
    channel: Option<String>,
}

impl Roots {
    /// The higher of the configured trust root and the stored one.
    pub(super) fn open(config: &Config, state: &State) -> Result<Self, SupplyError> {
        let sigstore = config
            .trust
            .as_ref()
            .and_then(|it| it.sigstore_root.as_ref());
        let mut roots = Self {
            root: config.trust.as_ref().and_then(|_| state.trust()),
            keyless: match sigstore {
                Some(path) => Box::new(read_sigstore(path)?),
                None => Box::new(NoKeyless),
            },
            development: config.profile.development,
            channel: config.bundle.channel.clone(),
        };
        if let Err(error) = roots.reload(config, state) {
            // Looked at again with every poll; until then nothing is taken.
            tracing::error!(target: "supply", %error, "the trust file cannot be used");
            roots.root = None;
        }
        Ok(roots)
    }

    /// Reads the configured trust root again, and uses it unless the one in use is higher.
    pub(super) fn reload(&mut self, config: &Config, state: &State) -> Result<(), SupplyError> {
        let Some(trust) = &config.trust else {
            return Ok(());
        };
        let configured = read_trust(&trust.file)?;
        let stored = self.root.take().or_else(|| state.trust());
        let higher = |root: &TrustRoot| {
            root.project() == configured.project() && root.version() > configured.version()
        };
        match stored {
            Some(root) if higher(&root) => self.root = Some(root),
            Some(root) if root == configured => self.root = Some(root),
            _ => self.install(configured, state),
        }
        Ok(())
    }

    /// The root in use; none only in the development profile, or without a usable trust file.
    pub(super) fn root(&self) -> Option<&TrustRoot> {
        self.root.as_ref()
    }

    /// Who verifies signatures of identities.
    pub(super) fn keyless(&self) -> &dyn Keyless {
        &*self.keyless
    }

    /// Whether a release may come without signatures.
    pub(super) fn takes_unsigned(&self) -> bool {
        self.development
    }

    /// Whether the channel follows a freshness pointer.
    pub(super) fn has_freshness(&self) -> bool {
        let Some(root) = &self.root else {
            return false;
        };
        let followed = &root.roles().freshness;
        match &self.channel {
            Some(channel) => followed.contains_key(channel),
            None => !followed.is_empty(),
        }
    }

    /// The version that may follow; none where nothing can follow.
    pub(super) fn next_version(&self) -> Option<u64> {
        let root = self.root.as_ref()?;
        root.version().checked_add(1)
    }

    /// Goes on to the next root, and stores it.
    pub(super) fn rotate(
        &mut self,
        envelope: &[u8],
        now: Time,
        state: &State,
    ) -> Result<(), SupplyError> {
        if let Some(root) = &self.root {
            let next = rotate(root, envelope, now)?;
            tracing::info!(target: "supply", version = next.version(), "trust root in use");
            self.install(next, state);
        }
        Ok(())
    }

    fn install(&mut self, root: TrustRoot, state: &State) {
        if let Err(error) = state.save_trust(&root) {
            // The source has it again after a restart, and the floor knows its version.
            tracing::error!(target: "supply", %error, "the trust root was not stored");
        }
        self.root = Some(root);
    }
}

fn read_trust(path: &Path) -> Result<TrustRoot, SupplyError> {
    let fault = |what: &dyn std::fmt::Display| {
        SupplyError::refused("bad_trust", format!("{}: {what}", path.display()))
    };
    let bytes = files::read(path, MAX_TRUST as u64).map_err(|error| fault(&error))?;
    let bytes = bytes.ok_or_else(|| fault(&"the trust file is missing"))?;
    TrustRoot::parse(&bytes).map_err(|error| fault(&error))
}

fn read_sigstore(path: &Path) -> Result<SigstoreKeyless, SupplyError> {
    let fault = |what: &dyn std::fmt::Display| {
        let what = format!("[trust] sigstore_root {}: {what}", path.display());
        SupplyError::refused("bad_sigstore_root", what)
    };
    let bytes = files::read(path, MAX_SIGSTORE_ROOT as u64).map_err(|error| fault(&error))?;
    let bytes = bytes.ok_or_else(|| fault(&"there is no such file"))?;
    SigstoreKeyless::new(&bytes).map_err(|error| fault(&error))
}
