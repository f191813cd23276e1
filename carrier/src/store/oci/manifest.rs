//! The manifest: which blob each name is.

use std::collections::BTreeMap;

use latchkey_gate::supply::Digest;
use serde::{Deserialize, Serialize};

use crate::names;

/// The media type of a manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The empty JSON object, which is the configuration of an artifact that has none.
pub(super) const EMPTY: &[u8] = b"{}";

const ARTIFACT: &str = "application/vnd.latchkey.bundle.v1";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";

/// A manifest that was read.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Its digest, as `sha256:...`.
    pub(super) digest: String,
    /// The layers by name.
    pub(super) layers: BTreeMap<String, Layer>,
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// What it is.
    pub(super) media_type: String,
    /// Its digest, as `sha256:...`.
    pub(super) digest: String,
    /// Its size in bytes.
    pub(super) size: u64,
}

impl Manifest {
    /// Reads a manifest of a release.
    pub(super) fn parse(bytes: &[u8], digest: String) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if wire.artifact_type.as_deref() != Some(ARTIFACT) {
            let found = wire.artifact_type.unwrap_or(wire.config.media_type);
            return Err(format!("holds {found:?}, where a release is {ARTIFACT}"));
        }
        let mut layers = BTreeMap::new();
        for descriptor in wire.layers {
            if !is_digest(&descriptor.digest) {
                return Err("its manifest names a blob by no SHA-256 digest".to_owned());
            }
            let title = descriptor.annotations.get(TITLE);
            let Some(name) = title.filter(|title| names::is_legal(title)) else {
                continue;
            };
            let layer = Layer {
                media_type: descriptor.media_type,
                digest: descriptor.digest,
                size: descriptor.size,
            };
            if layers.insert(name.clone(), layer).is_some() {
                return Err(format!("its manifest has {name} twice"));
            }
        }
        Ok(Self { digest, layers })
    }

    /// The layer of a name; a file is found by its digest whatever its name.
    pub(super) fn layer(&self, name: &str) -> Option<&Layer> {
        let by_digest = || {
            let hex = name.strip_prefix("files/")?;
            let of = |layer: &&Layer| layer.digest.strip_prefix("sha256:") == Some(hex);
            self.layers.values().find(of)
        };
        self.layers.get(name).or_else(by_digest)
    }
}

/// The bytes of a manifest; the same layers give the same bytes.
pub(super) fn encode(layers: &BTreeMap<String, Layer>) -> Vec<u8> {
    let descriptor = |(name, layer): (&String, &Layer)| Descriptor {
        media_type: layer.media_type.clone(),
        digest: layer.digest.clone(),
        size: layer.size,
        annotations: BTreeMap::from([(TITLE.to_owned(), name.clone())]),
    };
    let wire = Wire {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        artifact_type: Some(ARTIFACT.to_owned()),
        config: Descriptor {
            media_type: EMPTY_TYPE.to_owned(),
            digest: format!("sha256:{}", Digest::of(EMPTY)),
            size: EMPTY.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers: layers.iter().map(descriptor).collect(),
    };
    // Text and numbers in plain records: there is nothing in a manifest that cannot be written.
    serde_json::to_vec(&wire).unwrap_or_default()
}

/// What the file of a name is.
pub(super) fn media_type(name: &str) -> &'static str {
    if name.starts_with("patches/") {
        "application/vnd.latchkey.patch.v1+zstd"
    } else if name.ends_with(".dsse.json") {
        "application/vnd.dsse.envelope.v1+json"
    } else if name.contains(".sigstore.") {
        "application/vnd.dev.sigstore.bundle.v0.3+json"
    } else if name == "places.lkm" {
        "application/vnd.latchkey.places.v1"
    } else {
        "application/vnd.latchkey.policy.v1"
    }
}

/// Whether a text is `sha256:` and a digest.
pub(super) fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.parse::<Digest>().is_ok())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}
