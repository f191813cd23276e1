//! One JSON Web Key, and what may be made of it.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::Algorithm;
use crate::json::Object;

/// Smallest and largest RSA modulus, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The public key, once for each algorithm that it may verify: its `alg`, or all of its kind.
pub(in crate::token) fn read(
    jwk: Object<'_>,
    usage: &str,
) -> Result<Vec<(Algorithm, ParsedPublicKey)>, &'static str> {
    let of_its_kind: &[Algorithm] = match (text(jwk, "kty"), text(jwk, "crv")) {
        (Some("OKP"), _) => &[Algorithm::EdDsa],
        (Some("EC"), Some("P-384")) => &[Algorithm::Es384],
        (Some("EC"), _) => &[Algorithm::Es256],
        (Some("RSA"), _) => &[Algorithm::Rs256, Algorithm::Ps256],
        _ => return Err("unknown kty"),
    };
    let mut algorithms = of_its_kind.to_vec();
    if let Some(declared) = jwk.get("alg") {
        let declared = declared.as_text().and_then(Algorithm::from_jose);
        algorithms.retain(|algorithm| Some(*algorithm) == declared);
        if algorithms.is_empty() {
            return Err("alg is not one that tokens of this key may use");
        }
    }
    if let Some(declared) = jwk.get("use")
        && declared.as_text() != Some(usage)
    {
        return Err("use is not that of a key for tokens");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or("key_ops is not an array")?;
        let verify = |operation: crate::json::Value<'_>| operation.as_text() == Some("verify");
        if !operations.values().any(verify) {
            return Err("key_ops has no verify");
        }
    }
    if jwk.get("kid").is_some_and(|kid| kid.as_text().is_none()) {
        return Err("kid is not a string");
    }
    let parse = |algorithm| Ok((algorithm, public_key(jwk, algorithm)?));
    algorithms.into_iter().map(parse).collect()
}

/// The RFC 7638 thumbprint of a key that [`read`] has taken.
pub(in crate::token) fn thumbprint(jwk: Object<'_>) -> Option<[u8; 32]> {
    // In the order of their names, without white space; the values need no escape.
    let names: &[&str] = match text(jwk, "kty")? {
        "OKP" => &["crv", "kty", "x"],
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut members = Vec::with_capacity(names.len());
    for name in names {
        members.push(format!("\"{name}\":\"{}\"", text(jwk, name)?));
    }
    let canonical = format!("{{{}}}", members.join(","));
    Some(Sha256::digest(canonical.as_bytes()).into())
}

/// Whether a JWK holds a symmetric or private key.
pub(in crate::token) fn is_secret(jwk: Object<'_>) -> bool {
    let private = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];
    text(jwk, "kty") == Some("oct") || private.iter().any(|name| jwk.get(name).is_some())
}

/// A member that is a string.
pub(in crate::token) fn text<'d>(jwk: Object<'d>, name: &str) -> Option<&'d str> {
    jwk.get(name)?.as_text()
}

fn public_key(jwk: Object<'_>, algorithm: Algorithm) -> Result<ParsedPublicKey, &'static str> {
    match algorithm {
        Algorithm::EdDsa => ed25519(jwk),
        Algorithm::Es256 => p256(jwk),
        Algorithm::Es384 => p384(jwk),
        Algorithm::Rs256 | Algorithm::Ps256 => rsa(jwk, algorithm),
    }
}

fn ed25519(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    if text(jwk, "crv") != Some("Ed25519") {
        return Err("crv is not Ed25519");
    }
    let point = bytes(jwk, "x")?;
    let point: [u8; 32] = point.try_into().map_err(|_| "x is not 32 bytes")?;
    // A small-order key verifies some signatures over any message.
    if VerifyingKey::from_bytes(&point)
        .map_err(|_| "x is not a point")?
        .is_weak()
    {
        return Err("the key is weak");
    }
    ParsedPublicKey::new(&ED25519, point).map_err(|_| "x is not a usable key")
}

fn p256(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    if text(jwk, "crv") != Some("P-256") {
        return Err("crv is not P-256");
    }
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 32 || y.len() != 32 {
        return Err("x or y is not 32 bytes");
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| "x and y are not on P-256")
}

fn p384(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 48 || y.len() != 48 {
        return Err("x or y is not 48 bytes");
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).map_err(|_| "x and y are not on P-384")
}

fn rsa(jwk: Object<'_>, algorithm: Algorithm) -> Result<ParsedPublicKey, &'static str> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let first = n.first().copied().unwrap_or_default();
    let bits = (n.len() * 8).saturating_sub(first.leading_zeros() as usize);
    if first == 0 || !RSA_BITS.contains(&bits) {
        return Err("the modulus is not of 2048 to 8192 bits");
    }
    // Smaller exponents have no use but old attacks.
    if e != [1, 0, 1] {
        return Err("the exponent is not 65537");
    }
    let parameters = match algorithm {
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    PublicKeyComponents { n, e }
        .to_parsed_public_key(parameters)
        .map_err(|_| "n and e are not a usable key")
}

fn bytes(jwk: Object<'_>, name: &str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(jwk, name).ok_or("a key member is absent")?;
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| "a key member is not base64url")
}
