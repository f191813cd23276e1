//! What the gate makes of an offered statement.

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    self as gate, Accepted, Digest, Floor, Pointer, Refused, Required, Statement,
};

use super::{
    Release, Supply, SupplyError,
    offered::{Offered, Package, slice_name},
    status,
};

/// A statement that may be put in force once its files are proved.
#[derive(Debug)]
pub(super) struct Judged {
    /// What it says.
    pub(super) statement: Statement,
    /// Its digest.
    pub(super) digest: Digest,
    /// The floor to persist before it is put in force; none when nobody signed it.
    pub(super) floor: Option<Floor>,
    accepted: Option<Accepted>,
    signers: Vec<String>,
}

impl Supply {
    /// Judges a statement by the trust root and the floor.
    pub(super) fn judge(
        &self,
        offered: &Offered,
        pointer: Option<&Pointer>,
        now: Time,
    ) -> Result<Judged, SupplyError> {
        let config = &self.shared.config.bundle;
        let Some(root) = self.roots.root().filter(|_| offered.signed) else {
            // Only the development profile gets here.
            return Judged::unsigned(&offered.envelope);
        };
        let offer = offered.offer(config, self.roots.keyless(), pointer);
        let accepted = gate::accept(root, self.state.floor(), &offer, now)?;
        status::warn(&self.shared, &accepted.warnings);
        Ok(Judged::signed(accepted))
    }

    /// Judges the release that was good last. The floor names it, so it is nothing new; where calls
    /// are served for some time under a release that has ended, its end is no reason against it.
    pub(super) fn judge_last_good(
        &self,
        offered: &Offered,
        now: Time,
    ) -> Result<Judged, SupplyError> {
        let config = &self.shared.config.bundle;
        match self.judge(offered, self.pointer.as_ref(), now) {
            Err(error) if error.word() == "expired" && !config.serve_expired_for.0.is_zero() => {}
            judged => return judged,
        }
        let root = self.roots.root().ok_or(Refused::BrokenChain)?;
        let offer = offered.offer(config, self.roots.keyless(), self.pointer.as_ref());
        let standing = gate::stands(root, self.state.floor(), &offer, now)?;
        Ok(Judged {
            statement: standing.statement,
            digest: standing.digest,
            signers: standing.signers,
            accepted: None,
            floor: None,
        })
    }

    /// Why what runs may run no more, whatever else there is.
    pub(super) fn fallen(&self, now: Time) -> Option<Refused> {
        let running = self.running.as_ref().filter(|running| running.signed)?;
        let root = self.roots.root()?;
        let config = &self.shared.config.bundle;
        let offer = running.offer(config, self.roots.keyless(), self.pointer.as_ref());
        gate::stands(root, self.state.floor(), &offer, now).err()
    }
}

impl Judged {
    fn signed(accepted: Accepted) -> Self {
        Self {
            statement: accepted.statement.clone(),
            digest: accepted.digest,
            floor: Some(accepted.floor.clone()),
            signers: accepted.signers.clone(),
            accepted: Some(accepted),
        }
    }

    /// Takes a statement at its word.
    fn unsigned(bytes: &[u8]) -> Result<Self, SupplyError> {
        let statement = Statement::parse(bytes).map_err(Refused::Statement)?;
        tracing::debug!(target: "supply", "an UNSIGNED bundle is offered: development profile");
        Ok(Self {
            statement,
            digest: Digest::of(bytes),
            floor: None,
            signers: Vec::new(),
            accepted: None,
        })
    }

    /// Proves the files from the very buffers that will be used.
    pub(super) fn check_files(&self, package: &Package, server: &str) -> Result<(), SupplyError> {
        let files = package.subjects(server);
        let slice = slice_name(server);
        if let Some(accepted) = &self.accepted {
            return Ok(accepted.check_files(&files, Required::File(&slice))?);
        }
        for file in files {
            if self.statement.subject(&file.name) != Some(&file) {
                return Err(Refused::FileMismatch { name: file.name }.into());
            }
        }
        Ok(())
    }

    /// What the release says of itself.
    pub(super) fn release(&self) -> Release {
        let facts = &self.statement.release;
        let source = facts.source.as_ref();
        Release {
            project: facts.project.clone(),
            channel: facts.channel.clone(),
            epoch: facts.epoch,
            version: facts.version,
            not_after: facts.not_after,
            commit: source.map(|source| source.commit.clone()),
            statement: self.digest,
            signers: self.signers.clone(),
        }
    }
}
