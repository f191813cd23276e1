//! Key files: PKCS#8 and `SubjectPublicKeyInfo` as OpenSSL reads and writes them.
//!
//! A private key is a PEM file with the label `PRIVATE KEY`. A public key is the base64 of its
//! `SubjectPublicKeyInfo`, one line, which is also the body of its PEM file with the label
//! `PUBLIC KEY`. `openssl genpkey -algorithm ed25519` makes keys that are read here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

/// The DER in front of the 32 secret bytes of a version 1 PKCS#8 key.
const PRIVATE_PREFIX: [u8; 16] =
    *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// The DER in front of the 32 public bytes.
const PUBLIC_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The PEM text of a private key; keep it secret.
pub fn private_pem(key: &SigningKey) -> String {
    let der = [PRIVATE_PREFIX.as_slice(), key.as_bytes()].concat();
    pem("PRIVATE KEY", &STANDARD.encode(der))
}

/// The PEM text of a public key.
pub fn public_pem(key: &VerifyingKey) -> String {
    pem("PUBLIC KEY", &public_text(key))
}

/// The one-line text of a public key, as trust files hold it.
pub fn public_text(key: &VerifyingKey) -> String {
    STANDARD.encode([PUBLIC_PREFIX.as_slice(), key.as_bytes()].concat())
}

/// Reads the PEM text of a private key.
pub fn read_private(text: &str) -> Result<SigningKey, KeyError> {
    let body = unwrap_pem(text, "PRIVATE KEY").ok_or(KeyError::NotPrivatePem)?;
    let secret = strip(&body, &PRIVATE_PREFIX).ok_or(KeyError::NotEd25519)?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Reads a public key: its one-line text or its PEM text. A weak key is refused.
pub fn read_public(text: &str) -> Result<VerifyingKey, KeyError> {
    let body = if text.contains("-----") {
        unwrap_pem(text, "PUBLIC KEY").ok_or(KeyError::NotPublic)?
    } else {
        text.trim().to_owned()
    };
    let public = strip(&body, &PUBLIC_PREFIX).ok_or(KeyError::NotPublic)?;
    let key = VerifyingKey::from_bytes(&public).map_err(|_| KeyError::NotPublic)?;
    if key.is_weak() {
        Err(KeyError::Weak)
    } else {
        Ok(key)
    }
}

/// Whether a signature holds: the one way in which Latchkey checks Ed25519.
///
/// Strict: neither key nor nonce in the small subgroup, canonical encodings, no cofactor; so that
/// no two honest readers can differ over one signature.
pub fn holds(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    !key.is_weak() && key.verify_strict(message, signature).is_ok()
}

/// Why a key cannot be used. It never quotes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not a PEM file with one private key.
    NotPrivatePem,
    /// A private key that is not Ed25519 in PKCS#8 version 1.
    NotEd25519,
    /// Not the public key of Ed25519 in one of its two forms.
    NotPublic,
    /// A key under which a signature can hold for more than one message.
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPrivatePem => {
                "not a PEM file with a private key; `latchkey keygen` writes one"
            }
            Self::NotEd25519 => "the private key is not Ed25519 in PKCS#8; make one with `keygen`",
            Self::NotPublic => {
                "not an Ed25519 public key (base64 of its SubjectPublicKeyInfo, or PEM)"
            }
            Self::Weak => "the public key is weak: it lies in the small subgroup",
        })
    }
}

impl std::error::Error for KeyError {}

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// The base64 body of a PEM text that holds exactly one block of this label.
fn unwrap_pem(text: &str, label: &str) -> Option<String> {
    let text = text.trim();
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    Some(body.split_ascii_whitespace().collect())
}

fn strip(body: &str, prefix: &[u8]) -> Option<[u8; 32]> {
    STANDARD
        .decode(body)
        .ok()?
        .strip_prefix(prefix)?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_are_those_of_openssl() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let pem = private_pem(&key);
        assert_eq!(read_private(&pem).map(|key| key.to_bytes()), Ok([5; 32]));
        let public = key.verifying_key();
        assert_eq!(read_public(&public_text(&public)), Ok(public));
        assert_eq!(read_public(&public_pem(&public)), Ok(public));
        // The example of RFC 8410, section 10.
        let rfc = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let rfc_public = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        let read = read_private(rfc).expect("RFC 8410");
        assert_eq!(public_text(&read.verifying_key()), rfc_public);
        for bad in [
            "",
            "x",
            rfc_public,
            &pem.replace("PRIVATE", "PUBLIC"),
            &pem.repeat(2),
        ] {
            assert!(read_private(bad).is_err(), "{bad}");
        }
        assert_eq!(read_public(&pem), Err(KeyError::NotPublic));
    }
}
