use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;
use crate::token::mint::{Mint, signing_input};

const NOW: i64 = 1_800_000_000;
const TOKEN: &str = "a.b.c";

fn mint() -> Mint {
    Mint::from_seed("k", [5; 32])
}

fn public() -> Value {
    let set: Value = serde_json::from_str(&mint().jwks()).unwrap();
    let x = &set["keys"][0]["x"];
    json!({"kty": "OKP", "crv": "Ed25519", "x": x})
}

fn header(changes: &Value) -> String {
    let base = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public()});
    merged(base, changes)
}

fn payload(changes: &Value) -> String {
    let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN.as_bytes()));
    let base = json!({
        "htm": "POST", "htu": "https://tools.acme.example/github",
        "iat": NOW, "jti": "j-1", "ath": ath,
    });
    merged(base, changes)
}

/// The members with some replaced; `null` removes one.
fn merged(mut base: Value, changes: &Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    base.as_object_mut().unwrap().retain(|_, it| !it.is_null());
    base.to_string()
}

fn check(header: &str, payload: &str, nonces: &[String], now: i64) -> Result<Proof, ProofError> {
    let expected = Expected {
        method: "POST",
        urls: &["https://tools.acme.example/github".to_owned()],
        token: Some(TOKEN),
        nonces,
        now,
    };
    verify(&mint().sign_raw(header, payload), &expected)
}

fn judge(header_changes: &Value, changes: &Value) -> Result<Proof, ProofError> {
    check(&header(header_changes), &payload(changes), &[], NOW)
}

#[test]
fn a_good_proof_gives_key_and_replay_key() {
    let none = json!({});
    let proof = judge(&none, &none).unwrap();
    assert_eq!((proof.issued_at, proof.until), (NOW, NOW + WINDOW));
    let canonical = format!(
        "{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":{}}}",
        public()["x"]
    );
    let thumbprint: [u8; 32] = Sha256::digest(canonical.as_bytes()).into();
    assert_eq!(proof.thumbprint, thumbprint);
    let other = judge(&none, &json!({"jti": "j-2"})).unwrap();
    assert_ne!(proof.replay_key, other.replay_key);
    for changes in [
        json!({"htu": "HTTPS://Tools.acme.example:443/github/?a=1#b"}),
        json!({"iat": NOW + AHEAD}),
        json!({"iat": NOW - WINDOW + 1}),
        json!({"nonce": "unasked"}),
    ] {
        assert!(judge(&none, &changes).is_ok(), "{changes}");
    }
}

#[test]
fn what_is_about_something_else_is_refused() {
    for (changes, expected) in [
        (json!({"htm": "GET"}), ProofError::Method),
        (json!({"htm": "post"}), ProofError::Method),
        (json!({"htm": null}), ProofError::Malformed("htm")),
        (
            json!({"htu": "https://tools.acme.example/other"}),
            ProofError::Url,
        ),
        (
            json!({"htu": "http://tools.acme.example/github"}),
            ProofError::Url,
        ),
        (
            json!({"htu": "https://evil.example/github"}),
            ProofError::Url,
        ),
        (json!({"htu": 7}), ProofError::Malformed("htu")),
        (json!({"ath": null}), ProofError::Token),
        (json!({"ath": "AAAA"}), ProofError::Token),
        (json!({"jti": null}), ProofError::Malformed("jti")),
        (json!({"jti": ""}), ProofError::Malformed("jti")),
        (
            json!({"jti": "x".repeat(257)}),
            ProofError::Malformed("jti"),
        ),
        (json!({"iat": null}), ProofError::Malformed("iat")),
        (json!({"iat": "now"}), ProofError::Malformed("iat")),
        (json!({"iat": NOW + AHEAD + 1}), ProofError::Time),
        (json!({"iat": NOW - WINDOW}), ProofError::Time),
        (json!({"exp": NOW}), ProofError::Time),
        (json!({"nbf": NOW + 1}), ProofError::Time),
    ] {
        assert_eq!(judge(&json!({}), &changes), Err(expected), "{changes}");
    }
}

#[test]
fn the_header_and_its_key_are_judged_strictly() {
    let mut private = public();
    private["d"] = json!("AAAA");
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32])});
    let other: Value = serde_json::from_str(&Mint::from_seed("k", [6; 32]).jwks()).unwrap();
    for (changes, expected) in [
        (json!({"typ": "at+jwt"}), ProofError::Type),
        (json!({"typ": null}), ProofError::Type),
        (json!({"alg": "none"}), ProofError::Algorithm),
        (json!({"alg": "HS256"}), ProofError::Algorithm),
        (json!({"alg": "ES256"}), ProofError::Algorithm),
        (json!({"crit": ["x"]}), ProofError::Header("crit")),
        (json!({"b64": false}), ProofError::Header("b64")),
        (json!({"jwk": null}), ProofError::Malformed("jwk")),
        (
            json!({"jwk": private}),
            ProofError::Key("it is private or symmetric"),
        ),
        (
            json!({"jwk": {"kty": "oct", "k": "AAAA"}}),
            ProofError::Key("it is private or symmetric"),
        ),
        (json!({"jwk": weak}), ProofError::Key("the key is weak")),
        (json!({"jwk": other["keys"][0]}), ProofError::Signature),
    ] {
        assert_eq!(judge(&changes, &json!({})), Err(expected), "{changes}");
    }
    let large = "x".repeat(MAX_PROOF + 1);
    let expected = Expected {
        method: "POST",
        urls: &[],
        token: None,
        nonces: &[],
        now: NOW,
    };
    assert_eq!(
        verify(&large, &expected),
        Err(ProofError::Malformed("size"))
    );
    assert_eq!(verify("a.b", &expected), Err(ProofError::Malformed("form")));
}

#[test]
fn a_nonce_of_this_server_can_be_asked_for() {
    let nonces = ["n-1".to_owned(), "n-0".to_owned()];
    let with = |changes: &Value| check(&header(&json!({})), &payload(changes), &nonces, NOW);
    assert!(with(&json!({"nonce": "n-0"})).is_ok());
    for changes in [json!({}), json!({"nonce": "n-2"}), json!({"nonce": 1})] {
        assert_eq!(with(&changes), Err(ProofError::Nonce), "{changes}");
    }
}

#[test]
fn a_key_of_p256_signs_too() {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    });
    let signed = signing_input(
        &header(&json!({"alg": "ES256", "jwk": jwk})),
        &payload(&json!({})),
    );
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    let proof = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let expected = Expected {
        method: "POST",
        urls: &["https://tools.acme.example/github".to_owned()],
        token: Some(TOKEN),
        nonces: &[],
        now: NOW,
    };
    assert!(verify(&proof, &expected).is_ok());
}
