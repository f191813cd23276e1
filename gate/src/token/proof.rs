//! What shows that a token is in the hands that it was given to (RFC 7800, 8705, 9449).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::TokenError;
use crate::json::Value;

/// What a token's `cnf` binds it to; all of it must be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: the RFC 7638 thumbprint of the key of DPoP proofs.
    pub key: Option<[u8; 32]>,
    /// `x5t#S256`: the SHA-256 of the client certificate.
    pub certificate: Option<[u8; 32]>,
}

/// What came with a token, each part verified on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The thumbprint of the key of a DPoP proof for this very request and token; only where the
    /// token came under the scheme `DPoP`.
    pub key: Option<[u8; 32]>,
    /// The SHA-256 of the certificate that the connection was authenticated by.
    pub certificate: Option<[u8; 32]>,
}

/// Which tokens are taken, by what they are bound to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum ProofRule {
    /// Bearer tokens, and bound ones whose binding is shown.
    #[default]
    Any,
    /// Only tokens bound to a key, with a DPoP proof.
    Dpop,
    /// Only tokens bound to the client certificate of the connection.
    Certificate,
    /// Only tokens bound to either.
    Bound,
}

impl Confirmation {
    /// Reads `cnf`. A method that is not known here cannot be checked, so the token is refused.
    pub(super) fn read(cnf: Option<Value<'_>>) -> Result<Self, TokenError> {
        let Some(cnf) = cnf else {
            return Ok(Self::default());
        };
        let methods = cnf.as_object().ok_or(TokenError::Claim("cnf"))?;
        let digest = |name: &str| match methods.get(name) {
            Some(value) => digest(value).map(Some),
            None => Ok(None),
        };
        let read = Self {
            key: digest("jkt")?,
            certificate: digest("x5t#S256")?,
        };
        let known = usize::from(read.key.is_some()) + usize::from(read.certificate.is_some());
        if known == 0 || known != methods.len() {
            return Err(TokenError::ProofRequired);
        }
        Ok(read)
    }

    /// Whether the token is good in the hands of whoever bears it.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.key.is_none() && self.certificate.is_none()
    }

    /// Checks the binding against what was shown, and against what the policy asks for.
    ///
    /// A token that is bound to a key is refused as a bearer token, and one that is not bound to
    /// a key is refused with a proof: else the proof would say nothing.
    pub fn check(&self, shown: &Shown, rules: [ProofRule; 2]) -> Result<(), TokenError> {
        self.is_taken(rules)?;
        let held = self.certificate.is_none() || self.certificate == shown.certificate;
        if self.key != shown.key || !held {
            return Err(TokenError::ProofRequired);
        }
        Ok(())
    }

    /// Checks the binding against what the policy asks for.
    pub fn is_taken(&self, rules: [ProofRule; 2]) -> Result<(), TokenError> {
        let taken = rules.iter().all(|rule| rule.takes(self));
        taken.then_some(()).ok_or(TokenError::ProofRequired)
    }
}

impl ProofRule {
    /// Whether a token that is bound so may come.
    fn takes(self, bound: &Confirmation) -> bool {
        match self {
            Self::Any => true,
            Self::Dpop => bound.key.is_some(),
            Self::Certificate => bound.certificate.is_some(),
            Self::Bound => !bound.is_bearer(),
        }
    }
}

fn digest(value: Value<'_>) -> Result<[u8; 32], TokenError> {
    let text = value.as_text().ok_or(TokenError::Claim("cnf"))?;
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.map_err(|_| TokenError::Claim("cnf"))?;
    bytes.try_into().map_err(|_| TokenError::Claim("cnf"))
}
