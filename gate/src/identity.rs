//! Who calls: from verified claims to the callers that the policy knows.

use std::fmt;

use latchkey_engine::{
    call::Caller,
    id::{IssuerId, PermissionId},
    reason::Reason,
    time::Time,
};

use crate::gate::Gate;

/// The callers behind one verified token, resolved against one gate. Owned: keep it with the
/// token's hash for as long as the gate stands and [`Identity::expires_at`] is ahead.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) callers: Vec<Caller>,
    pub(crate) names: Vec<String>,
    pub(crate) token_id: Option<String>,
    pub(crate) permissions: Option<Vec<PermissionId>>,
    pub(crate) expires_at: Option<Time>,
    pub(crate) token_hash: String,
    pub(crate) issuer: IssuerId,
}

impl Identity {
    /// The chain: the current actor first, the one it acts for last; never empty.
    #[must_use]
    pub fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// The names of the callers for people and audit, in the same order: a declared principal's
    /// name, or `<issuer>#<subject>` for an undeclared subject.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The current actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The token's `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The permissions that the token is restricted to, sorted; `None` is no restriction.
    #[must_use]
    pub fn permissions(&self) -> Option<&[PermissionId]> {
        self.permissions.as_deref()
    }

    /// The first instant at which the token is no longer accepted, its issuer's clock skew
    /// included; `None` for a stated caller.
    #[must_use]
    pub fn expires_at(&self) -> Option<Time> {
        self.expires_at
    }

    /// The SHA-256 of the token in lower-case hex; empty for a stated caller.
    #[must_use]
    pub fn token_hash(&self) -> &str {
        &self.token_hash
    }

    /// The issuer that vouches.
    #[must_use]
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }
}

/// Why a token gives no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityError {
    /// The stable reason: `unauthenticated` or `token_expired`.
    pub reason: Reason,
    /// What exactly is wrong, for logs; it quotes nothing of the token.
    pub what: String,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)
    }
}

impl std::error::Error for IdentityError {}

impl Gate {
    /// Verifies a bearer token, as it stands after `Bearer `, and resolves its callers.
    pub fn verify(&self, token: &str, now: Time) -> Result<Identity, IdentityError> {
        let _ = (token, now);
        Err(IdentityError {
            reason: Reason::Unauthenticated,
            what: "tokens cannot be verified".to_owned(),
        })
    }
}
