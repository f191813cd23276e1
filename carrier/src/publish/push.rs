//! From a folder to where readers fetch it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use latchkey_gate::supply::{Digest, Subject};

use super::offer::Offer;
use super::{Pushed, Written, absolute, may_follow};
use crate::carrier::{Carrier, Options};
use crate::error::{CarrierError, Kind};
use crate::location::Location;
use crate::peek::{self, Peeked};
use crate::{names, patch};

/// From how many versions before there are patches.
const PATCHED_VERSIONS: usize = 10;

/// A push in progress.
struct Push<'a> {
    target: &'a Carrier,
    offer: &'a Offer,
    written: Vec<Written>,
    present: usize,
}

/// Publishes the release in a folder.
pub(super) async fn push(
    from: &Path,
    to: &Location,
    options: &Options,
) -> Result<Pushed, CarrierError> {
    let offer = Offer::read(&absolute(from)?, options).await?;
    if let Location::Folder(folder) = to {
        fs::create_dir_all(folder).map_err(|error| {
            let what = format!("cannot be made: {error}");
            CarrierError::new(Kind::Storage, folder.display(), what)
        })?;
    }
    let target = Carrier::open(to, options.clone())?;
    let history = history(&target, &offer).await?;
    let waits_for_pointer = check_pointer(&target, &offer).await?;
    let mut push = Push {
        target: &target,
        offer: &offer,
        written: Vec::new(),
        present: 0,
    };
    push.check_trust().await?;
    push.lasting(&history).await?;
    push.changing().await?;
    target
        .store()
        .finish(&offer.peeked.statement, &history)
        .await?;
    let release = &offer.peeked.statement.release;
    Ok(Pushed {
        statement: offer.peeked.digest,
        epoch: release.epoch,
        version: release.version,
        written: push.written,
        present: push.present,
        waits_for_pointer,
    })
}

/// The releases at the target, the newest first, as far back as patches go.
async fn history(target: &Carrier, offer: &Offer) -> Result<Vec<Peeked>, CarrierError> {
    let mut history = Vec::new();
    let Some(held) = target.get(names::RELEASE, names::LARGEST_ENVELOPE).await? else {
        return Ok(history);
    };
    let held = peek::statement(&held).map_err(|error| {
        let what = format!(
            "{}: {error}; remove it if it is not a release",
            names::RELEASE
        );
        target.error(Kind::Conflict, what)
    })?;
    may_follow(target.location(), &held, &offer.peeked)?;
    let mut next = Some(held);
    while let Some(release) = next.take() {
        let previous = release.statement.release.previous;
        history.push(release);
        if history.len() <= PATCHED_VERSIONS
            && let Some(previous) = previous
            && !history.iter().any(|known| known.digest == previous)
        {
            let name = names::statement(&previous);
            let envelope = target.get(&name, names::LARGEST_ENVELOPE).await?;
            // Where the chain is broken there are fewer patches, and nothing else is amiss.
            next = envelope.and_then(|envelope| peek::statement(&envelope).ok());
        }
    }
    history.retain(|release| release.digest != offer.peeked.digest);
    history.truncate(PATCHED_VERSIONS);
    Ok(history)
}

/// The pointer must not go back, and must lead somewhere.
async fn check_pointer(target: &Carrier, offer: &Offer) -> Result<Option<Digest>, CarrierError> {
    let conflict = |what: String| Err(target.error(Kind::Conflict, what));
    let held = target.get(names::POINTER, names::LARGEST_POINTER).await?;
    let held = held.as_deref().and_then(peek::pointer);
    let Some(new) = &offer.pointer else {
        let stays = held.map(|held| held.statement);
        return Ok(stays.filter(|statement| *statement != offer.peeked.digest));
    };
    let Some(new) = peek::pointer(new) else {
        return conflict(format!("{} is not a freshness pointer", names::POINTER));
    };
    if let Some(held) = held
        && held.pointer_version > new.pointer_version
    {
        return conflict(format!(
            "holds pointer version {}, and this is {}; sign a new pointer",
            held.pointer_version, new.pointer_version
        ));
    }
    let older = names::statement(&new.statement);
    if new.statement != offer.peeked.digest
        && target.get(&older, names::LARGEST_ENVELOPE).await?.is_none()
    {
        return conflict(format!(
            "the pointer names {}, which is neither this release nor at the target; sign a pointer \
             to a release that is there",
            new.statement
        ));
    }
    Ok(Some(new.statement).filter(|statement| *statement != offer.peeked.digest))
}

impl Push<'_> {
    /// A version of the trust root may gain signatures, and nothing else.
    async fn check_trust(&self) -> Result<(), CarrierError> {
        for (version, root) in &self.offer.trust {
            let name = names::trust(*version);
            let held = self.target.get(&name, names::LARGEST_ENVELOPE).await?;
            if held.is_some_and(|held| peek::digest(&held) != peek::digest(root)) {
                let what = format!("holds another {name}; a trust root is replaced by the next");
                return Err(self.target.error(Kind::Conflict, what));
            }
        }
        Ok(())
    }

    /// Everything that is named by digest: nobody asks for it before a changing name leads there.
    async fn lasting(&mut self, history: &[Peeked]) -> Result<(), CarrierError> {
        let nothing = Digest::of(b"");
        for (subject, bytes) in &self.offer.files {
            let name = names::file(&subject.sha256);
            self.put_once(&name, bytes).await?;
            let compressed = names::patch(&nothing, &subject.sha256);
            let whole = if self.has(&compressed).await? {
                bytes.len()
            } else {
                self.put_patch(&compressed, b"", bytes, bytes.len()).await?
            };
            self.patches(subject, bytes, whole, history).await?;
        }
        let digest = &self.offer.peeked.digest;
        for (n, bundle) in (1..).zip(&self.offer.sigstore) {
            let name = names::statement_sigstore(digest, n);
            self.put(&name, bundle).await?;
        }
        // Signatures are added to an envelope without a change of its payload, so this may change.
        self.put(&names::statement(digest), &self.offer.envelope)
            .await
    }

    /// The names that change, each leading only to what is there already.
    async fn changing(&mut self) -> Result<(), CarrierError> {
        for (version, root) in &self.offer.trust {
            self.put(&names::trust(*version), root).await?;
        }
        self.put(names::RELEASE, &self.offer.envelope).await?;
        for (n, bundle) in (1..).zip(&self.offer.sigstore) {
            self.put(&names::sigstore(n), bundle).await?;
        }
        if let Some(pointer) = &self.offer.pointer {
            self.put(names::POINTER, pointer).await?;
        }
        Ok(())
    }

    /// The patches to one subject from its last versions.
    async fn patches(
        &mut self,
        subject: &Subject,
        bytes: &[u8],
        whole: usize,
        history: &[Peeked],
    ) -> Result<(), CarrierError> {
        let mut done = BTreeSet::from([subject.sha256]);
        for release in history {
            let Some(old) = release.statement.subject(&subject.name) else {
                continue;
            };
            let name = names::patch(&old.sha256, &subject.sha256);
            if !done.insert(old.sha256) || self.has(&name).await? {
                continue;
            }
            match self.target.subject(old, None).await {
                Ok(old) => {
                    self.put_patch(&name, &old.bytes, bytes, whole).await?;
                }
                // A version that is not there any more needs no patch.
                Err(error) if matches!(error.kind(), Kind::Missing | Kind::Damaged) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts the patch, unless it saves next to nothing over the `whole`; answers its size.
    async fn put_patch(
        &mut self,
        name: &str,
        from: &[u8],
        to: &[u8],
        whole: usize,
    ) -> Result<usize, CarrierError> {
        let Ok(patch) = patch::make(from, to) else {
            return Ok(whole);
        };
        if patch.len() < whole - whole / 8 {
            self.put(name, &patch).await?;
        }
        Ok(patch.len().min(whole))
    }

    async fn has(&mut self, name: &str) -> Result<bool, CarrierError> {
        let has = self.target.store().has(name, None).await?;
        self.present += usize::from(has);
        Ok(has)
    }

    /// Puts what never changes under its name.
    async fn put_once(&mut self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        let size = bytes.len() as u64;
        if self.target.store().has(name, Some(size)).await? {
            self.present += 1;
            return Ok(());
        }
        self.put(name, bytes).await
    }

    async fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        self.target.store().put(name, bytes).await?;
        self.written.push(Written {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
        });
        Ok(())
    }
}
