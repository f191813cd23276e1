//! DSSE envelopes: one payload of a stated type, any number of Ed25519 signatures over its exact
//! bytes (secure-systems-lab/dsse, protocol 1.0.2).

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::{Digest, keys};
use crate::json::{self, Limits};

/// Longest envelope that is read, in bytes.
pub const MAX_ENVELOPE: usize = 4 << 20;
/// Most signature entries in one envelope.
pub const MAX_SIGNATURES: usize = 64;

/// What is in an envelope; the type is signed with the payload, so that none passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A release statement.
    Statement,
    /// A freshness pointer.
    Pointer,
    /// A version of the trust root.
    Trust,
}

impl Kind {
    /// The payload type.
    pub const fn payload_type(self) -> &'static str {
        match self {
            Self::Statement => "application/vnd.in-toto+json",
            Self::Pointer => "application/vnd.latchkey.pointer.v1+json",
            Self::Trust => "application/vnd.latchkey.trust.v1+json",
        }
    }

    /// The noun for messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Statement => "release statement",
            Self::Pointer => "freshness pointer",
            Self::Trust => "trust root",
        }
    }
}

/// Signs a payload with every key; one envelope as JSON text.
///
/// Signing is deterministic: the same payload and keys give the same bytes.
pub fn sign(kind: Kind, payload: &[u8], keys: &[SigningKey]) -> String {
    write(kind, payload, &entries(kind, payload, keys))
}

/// Adds the signatures of more keys to an envelope; those that it has stay, except those of the
/// same keys.
pub fn countersign(kind: Kind, envelope: &[u8], keys: &[SigningKey]) -> Result<String, DsseError> {
    let payload = Envelope::read(kind, envelope)?.payload;
    let added = entries(kind, &payload, keys);
    let own = |entry: &Value| {
        added
            .iter()
            .any(|new| new.get("keyid") == entry.get("keyid"))
    };
    let document: Value = serde_json::from_slice(envelope).map_err(|_| DsseError::Shape)?;
    let before = document.get("signatures").and_then(Value::as_array);
    let before = before.ok_or(DsseError::Shape)?.iter();
    let mut all: Vec<Value> = before.filter(|entry| !own(entry)).cloned().collect();
    all.extend(added);
    if all.len() > MAX_SIGNATURES {
        return Err(DsseError::TooManySignatures);
    }
    Ok(write(kind, &payload, &all))
}

/// An envelope that was read; nothing in it is verified.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The payload: once signers are counted, parse these bytes and no others.
    pub payload: Vec<u8>,
    message: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Envelope {
    /// Reads an envelope that must hold a payload of this kind.
    pub fn read(kind: Kind, envelope: &[u8]) -> Result<Self, DsseError> {
        let (payload, signatures) = read(kind, envelope)?;
        Ok(Self {
            message: pae(kind, &payload),
            payload,
            signatures,
        })
    }

    /// The names of the keys that signed, sorted.
    ///
    /// Every key is tried on every entry: the key ids of an envelope are unsigned and only hints.
    /// Keys count by their bytes, so one key under two names counts once.
    pub fn signers(&self, keys: &[(&str, VerifyingKey)]) -> Vec<String> {
        let mut counted: Vec<[u8; 32]> = Vec::new();
        let mut signers = Vec::new();
        for (name, key) in keys {
            let signs = |it: &Signature| keys::holds(key, &self.message, it);
            let fresh = !counted.contains(key.as_bytes());
            if fresh && self.signatures.iter().any(signs) {
                counted.push(*key.as_bytes());
                signers.push((*name).to_owned());
            }
        }
        signers.sort_unstable();
        signers
    }
}

/// The key id that [`sign`] writes: the digest of the public key's 32 bytes.
pub fn key_id(key: &VerifyingKey) -> String {
    Digest::of(key.as_bytes()).to_string()
}

/// Why an envelope cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsseError {
    /// Longer than [`MAX_ENVELOPE`].
    TooLarge,
    /// Not strict JSON.
    Json(json::JsonError),
    /// Without `payload`, `payloadType` or `signatures` in their form.
    Shape,
    /// Another payload type than this kind's.
    PayloadType(Kind),
    /// More than [`MAX_SIGNATURES`] entries.
    TooManySignatures,
}

impl fmt::Display for DsseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the envelope is longer than {MAX_ENVELOPE} bytes"),
            Self::Json(error) => write!(f, "the envelope is not strict JSON: {error}"),
            Self::Shape => f.write_str("the envelope is not a DSSE envelope"),
            Self::PayloadType(kind) => write!(
                f,
                "the envelope's payload type is not {}; it must hold a {}",
                kind.payload_type(),
                kind.noun()
            ),
            Self::TooManySignatures => {
                write!(f, "the envelope has more than {MAX_SIGNATURES} signatures")
            }
        }
    }
}

impl std::error::Error for DsseError {}

/// Both alphabets are decoded, with or without padding, as the protocol asks.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_ALPHABET: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_ALPHABET: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

fn entries(kind: Kind, payload: &[u8], keys: &[SigningKey]) -> Vec<Value> {
    let message = pae(kind, payload);
    let entry = |key: &SigningKey| {
        json!({
            "keyid": key_id(&key.verifying_key()),
            "sig": STANDARD.encode(key.sign(&message).to_bytes()),
        })
    };
    keys.iter().map(entry).collect()
}

fn write(kind: Kind, payload: &[u8], signatures: &[Value]) -> String {
    let envelope = json!({
        "payloadType": kind.payload_type(),
        "payload": STANDARD.encode(payload),
        "signatures": signatures,
    });
    format!("{envelope}\n")
}

fn read(kind: Kind, envelope: &[u8]) -> Result<(Vec<u8>, Vec<Signature>), DsseError> {
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
    if text("payloadType")? != kind.payload_type() {
        return Err(DsseError::PayloadType(kind));
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
    Ok((payload, entries.values().filter_map(signature).collect()))
}

/// The pre-authentication encoding: what is signed.
fn pae(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let payload_type = kind.payload_type();
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
