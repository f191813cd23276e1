//! A token issuer for development and tests; a production issuer is an identity provider.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Map, Value, json};

/// Signs access tokens with one Ed25519 key.
#[derive(Debug)]
pub struct Mint {
    kid: String,
    key: SigningKey,
}

impl Mint {
    /// An issuer's key from 32 secret bytes.
    pub fn from_seed(kid: &str, seed: [u8; 32]) -> Self {
        Self {
            kid: kid.to_owned(),
            key: SigningKey::from_bytes(&seed),
        }
    }

    /// The JWK Set with the public key.
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        let key = json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x,
        });
        json!({ "keys": [key] }).to_string()
    }

    /// An `at+jwt` with exactly these claims.
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid });
        self.sign_raw(
            &header.to_string(),
            &Value::Object(claims.clone()).to_string(),
        )
    }

    /// Signs header and payload as they are, well formed or not.
    pub fn sign_raw(&self, header: &str, payload: &str) -> String {
        let signed = signing_input(header, payload);
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a JWS signs.
pub(super) fn signing_input(header: &str, payload: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    )
}
