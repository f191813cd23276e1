//! DSSE envelopes: one payload, any number of Ed25519 signatures over its exact bytes.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::json;

use super::Digest;
use crate::json::{self, Limits};

/// The payload type of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Longest envelope that is read, in bytes.
pub const MAX_ENVELOPE: usize = 4 << 20;
/// Most signature entries in one envelope.
pub const MAX_SIGNATURES: usize = 64;

/// A payload whose signatures reached the threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The bytes that were verified; parse these and no others.
    pub payload: Vec<u8>,
    /// The names of the trusted keys that signed, sorted.
    pub signers: Vec<String>,
}

/// Signs a payload with every key; one envelope as JSON text.
///
/// Signing is deterministic: the same payload and keys give the same bytes.
pub fn sign(payload: &[u8], keys: &[SigningKey]) -> String {
    let message = pae(PAYLOAD_TYPE, payload);
    let signatures = keys.iter().map(|key| {
        json!({
            "keyid": key_id(&key.verifying_key()),
            "sig": STANDARD.encode(key.sign(&message).to_bytes()),
        })
    });
    let envelope = json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(payload),
        "signatures": signatures.collect::<Vec<_>>(),
    });
    format!("{envelope}\n")
}

/// Verifies an envelope against the keys of one role.
///
/// Every trusted key is tried on every entry: the key ids of an envelope are unsigned and only
/// hints. Keys count by their bytes, so one key under two names counts once.
pub fn verify(
    envelope: &[u8],
    keys: &[(&str, VerifyingKey)],
    threshold: usize,
) -> Result<Verified, DsseError> {
    let Envelope {
        payload,
        signatures,
    } = read(envelope)?;
    let message = pae(PAYLOAD_TYPE, &payload);
    let mut counted: Vec<[u8; 32]> = Vec::new();
    let mut signers = Vec::new();
    for (name, key) in keys {
        let signs = |signature: &Signature| key.verify_strict(&message, signature).is_ok();
        if !counted.contains(key.as_bytes()) && !key.is_weak() && signatures.iter().any(signs) {
            counted.push(*key.as_bytes());
            signers.push((*name).to_owned());
        }
    }
    // A threshold of nothing would let anyone in.
    if counted.len() < threshold.max(1) {
        return Err(DsseError::Threshold {
            valid: counted.len(),
            threshold: threshold.max(1),
        });
    }
    signers.sort_unstable();
    Ok(Verified { payload, signers })
}

/// The payload of an envelope, without any check of its signatures: for display only.
pub fn unverified_payload(envelope: &[u8]) -> Result<Vec<u8>, DsseError> {
    read(envelope).map(|envelope| envelope.payload)
}

/// The key id that [`sign`] writes: the digest of the public key's 32 bytes.
pub fn key_id(key: &VerifyingKey) -> String {
    Digest::of(key.as_bytes()).to_string()
}

/// Why an envelope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsseError {
    /// Longer than [`MAX_ENVELOPE`].
    TooLarge,
    /// Not strict JSON.
    Json(json::JsonError),
    /// Without `payload`, `payloadType` or `signatures` in their form.
    Shape,
    /// A payload type that is not ours.
    PayloadType,
    /// More than [`MAX_SIGNATURES`] entries.
    TooManySignatures,
    /// Too few trusted keys have signed.
    Threshold {
        /// Distinct trusted keys with a valid signature.
        valid: usize,
        /// How many the role needs.
        threshold: usize,
    },
}

impl fmt::Display for DsseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the envelope is longer than {MAX_ENVELOPE} bytes"),
            Self::Json(error) => write!(f, "the envelope is not strict JSON: {error}"),
            Self::Shape => f.write_str("the envelope is not a DSSE envelope"),
            Self::PayloadType => write!(f, "the envelope's payload type is not {PAYLOAD_TYPE}"),
            Self::TooManySignatures => {
                write!(f, "the envelope has more than {MAX_SIGNATURES} signatures")
            }
            Self::Threshold { valid, threshold } => write!(
                f,
                "{valid} of the {threshold} signatures that the trust file asks for are valid; sign \
                 with the keys that it names"
            ),
        }
    }
}

impl std::error::Error for DsseError {}

/// Both alphabets are decoded, with or without padding, as the protocol asks.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ALPHABET: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_ALPHABET: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

fn read(envelope: &[u8]) -> Result<Envelope, DsseError> {
    if envelope.len() > MAX_ENVELOPE {
        return Err(DsseError::TooLarge);
    }
    let limits = Limits {
        bytes: MAX_ENVELOPE,
        depth: 8,
        nodes: 4096,
    };
    let document = json::parse_with(envelope, limits).map_err(DsseError::Json)?;
    let object = document.root().as_object().ok_or(DsseError::Shape)?;
    let text = |name| {
        object
            .get(name)
            .and_then(|value| value.as_text())
            .ok_or(DsseError::Shape)
    };
    if text("payloadType")? != PAYLOAD_TYPE {
        return Err(DsseError::PayloadType);
    }
    let payload = decode(text("payload")?).ok_or(DsseError::Shape)?;
    let entries = object.get("signatures").and_then(|list| list.as_array());
    let entries = entries.ok_or(DsseError::Shape)?;
    if entries.len() > MAX_SIGNATURES {
        return Err(DsseError::TooManySignatures);
    }
    // The list is unsigned: refusing the whole for one bad entry would let anyone block a release.
    let signature = |entry: json::Value<'_>| {
        let bytes: [u8; 64] = decode(entry.get("sig")?.as_text()?)?.try_into().ok()?;
        Some(Signature::from_bytes(&bytes))
    };
    Ok(Envelope {
        payload,
        signatures: entries.values().filter_map(signature).collect(),
    })
}

/// The pre-authentication encoding: what is signed.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_ALPHABET
        .decode(text)
        .or_else(|_| URL_ALPHABET.decode(text))
        .ok()
}
