//! What the source offers: the statement first, then the files that it names.

use latchkey_carrier::{Carrier, Fetched, How, names};
use latchkey_gate::supply::{Keyless, Offer, Pointer, Statement, Subject};

use super::{SupplyError, roots::Roots};
use crate::{config::BundleConfig, metrics::Metrics};

/// The statement without signatures, of which only the development profile takes note.
const UNSIGNED: &str = "release.json";
/// The places that slices may name.
pub(super) const PLACES: &str = "places.lkm";

/// A statement that is offered, with its signatures; nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    /// The envelope; the bare statement where nobody signed.
    pub(super) envelope: Vec<u8>,
    /// The Sigstore bundles over the same statement.
    pub(super) sigstore: Vec<Vec<u8>>,
    /// Whether it is an envelope, to be judged by the trust root.
    pub(super) signed: bool,
}

/// A release for one server: the very buffers that are verified, opened and kept.
#[derive(Debug)]
pub(super) struct Package {
    /// The statement and its signatures.
    pub(super) offered: Offered,
    /// `<server>.lkb`
    pub(super) slice: Vec<u8>,
    /// `places.lkm`
    pub(super) places: Option<Vec<u8>>,
}

impl Offered {
    /// The statement that the pointer names, or else the one in force at the source; in the
    /// development profile, or else the one that nobody signed.
    pub(super) async fn fetch(
        carrier: &Carrier,
        roots: &Roots,
        pointer: Option<&Pointer>,
    ) -> Result<Self, SupplyError> {
        if roots.root().is_some() {
            let pointed = pointer.map(|pointer| pointer.statement);
            if let Some(found) = carrier.statement(pointed).await? {
                return Ok(Self {
                    envelope: found.envelope,
                    sigstore: found.sigstore,
                    signed: true,
                });
            }
        }
        if !roots.takes_unsigned() {
            let what = "release.dsse.json is missing: sign with `latchkey build --key`; only the \
                        development profile takes unsigned bundles";
            return Err(SupplyError::refused("file_missing", what));
        }
        let bytes = carrier.get(UNSIGNED, names::LARGEST_ENVELOPE).await?;
        let envelope = bytes.ok_or_else(|| {
            let what = "neither release.dsse.json with a [trust] file, nor release.json: is \
                        [bundle] source what `latchkey build --out` wrote?";
            SupplyError::refused("file_missing", what)
        })?;
        Ok(Self {
            envelope,
            sigstore: Vec::new(),
            signed: false,
        })
    }

    /// The offer to the gate.
    pub(super) fn offer<'a>(
        &'a self,
        config: &'a BundleConfig,
        keyless: &'a dyn Keyless,
        pointer: Option<&'a Pointer>,
    ) -> Offer<'a> {
        Offer {
            sigstore: &self.sigstore,
            keyless,
            channel: config.channel.as_deref(),
            pointer,
            strict_chain: config.strict_chain,
            min_version: config.min_version,
            ..Offer::new(&self.envelope)
        }
    }
}

impl Package {
    /// Fetches what one server needs of an accepted release, by patch on what is there already.
    pub(super) async fn fetch(
        carrier: &Carrier,
        offered: Offered,
        statement: &Statement,
        config: &BundleConfig,
        metrics: &Metrics,
        have: Option<&Self>,
    ) -> Result<Self, SupplyError> {
        let name = slice_name(&config.server);
        let slice = statement.subject(&name).ok_or_else(|| {
            let what = format!(
                "the release has no {name}; correct [bundle] server, or the policy's servers"
            );
            SupplyError::refused("file_missing", what)
        })?;
        let held = have.map(|have| have.slice.as_slice());
        let slice = counted(carrier.subject(slice, held).await?, metrics);
        let places = match statement.subject(PLACES) {
            None => None,
            Some(places) => {
                let held = have.and_then(|have| have.places.as_deref());
                Some(counted(carrier.subject(places, held).await?, metrics))
            }
        };
        Ok(Self {
            offered,
            slice,
            places,
        })
    }

    /// Describes the files from the very buffers that will be used.
    pub(super) fn subjects(&self, server: &str) -> Vec<Subject> {
        let slice = Subject::of(&slice_name(server), &self.slice);
        let places = self.places.as_ref();
        let places = places.map(|places| Subject::of(PLACES, places));
        [slice].into_iter().chain(places).collect()
    }
}

/// The name of a server's slice.
pub(super) fn slice_name(server: &str) -> String {
    format!("{server}.lkb")
}

fn counted(fetched: Fetched, metrics: &Metrics) -> Vec<u8> {
    let how = match fetched.how {
        How::Held => "held",
        How::Patch => "patch",
        How::Compressed => "compressed",
        How::Whole => "whole",
    };
    metrics.supply.fetched(how, fetched.transferred);
    fetched.bytes
}
