//! Who calls: from verified claims to the callers that the policy knows.

use std::{fmt, sync::Arc};

use latchkey_engine::{
    call::{Caller, MAX_CALLERS},
    id::{IssuerId, PermissionId, ScopeId},
    index::PrincipalType,
    reason::Reason,
    time::Time,
};
use sha2::{Digest as _, Sha256};

use crate::{
    admit::Who,
    gate::{Gate, hex},
    token::{self, Claims, TokenError},
};

/// The longest subject that names an undeclared caller, in characters.
const MAX_SHOWN: usize = 128;

/// The callers behind one verified token, resolved against one gate. Owned: keep it with the
/// token's hash for as long as the gate stands and [`Identity::expires_at`] is ahead.
#[derive(Debug, Clone)]
pub struct Identity {
    callers: Vec<Caller>,
    who: Arc<Who>,
    permissions: Option<Vec<PermissionId>>,
    expires_at: Time,
    token_hash: [u8; 32],
    issuer: IssuerId,
    caller: [u8; 32],
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
        &self.who.callers
    }

    /// The current actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names().first().map_or("", String::as_str)
    }

    /// The same in names, as audit events carry it.
    #[must_use]
    pub fn who(&self) -> &Arc<Who> {
        &self.who
    }

    /// The token's `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.who.token_id.as_deref()
    }

    /// The permissions that the token is restricted to, sorted; `None` is no restriction.
    #[must_use]
    pub fn permissions(&self) -> Option<&[PermissionId]> {
        self.permissions.as_deref()
    }

    /// The first instant at which the token is no longer accepted, its issuer's clock skew
    /// included.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// The SHA-256 of the token as sent.
    #[must_use]
    pub fn token_hash(&self) -> [u8; 32] {
        self.token_hash
    }

    /// Who calls and for which audience, as a digest of the exact claims: another token of the same
    /// caller has the same. What a caller opens is bound to it.
    #[must_use]
    pub fn caller(&self) -> [u8; 32] {
        self.caller
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
    /// The stable reason: `unauthenticated`, `token_expired` or `principal_unknown`.
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

impl From<TokenError> for IdentityError {
    fn from(error: TokenError) -> Self {
        Self {
            reason: match error {
                TokenError::Expired => Reason::TokenExpired,
                _ => Reason::Unauthenticated,
            },
            what: error.to_string(),
        }
    }
}

impl Gate {
    /// Verifies a bearer token, as it stands after `Bearer `, and resolves its callers.
    pub fn verify(&self, token: &str, now: Time) -> Result<Identity, IdentityError> {
        let claims = token::verify(token, self.issuers(), now.0)?;
        self.identity(&claims).map_err(|reason| IdentityError {
            reason,
            what: reason.title().to_owned(),
        })
    }

    /// Resolves verified claims. `sub` is the one acted for and `act` the chain (RFC 8693): the
    /// current actor comes first, the subject last. Groups belong to the subject.
    pub fn identity(&self, claims: &Claims) -> Result<Identity, Reason> {
        let policy = self.policy();
        let issuer = policy
            .issuer_by_url(&claims.issuer)
            .ok_or(Reason::Unauthenticated)?;
        let mut callers = Vec::with_capacity(claims.actors.len().min(MAX_CALLERS) + 1);
        let mut names = Vec::with_capacity(callers.capacity());
        // One more than is allowed, so that the decision sees a chain that is too long.
        for actor in claims.actors.iter().take(MAX_CALLERS) {
            let own = match &actor.issuer {
                None => issuer,
                Some(url) => policy.issuer_by_url(url).ok_or(Reason::PrincipalUnknown)?,
            };
            let caller = policy.caller(own, &actor.subject, &[]);
            self.check_vouched(issuer, &caller)?;
            names.push(self.caller_name(&caller, &actor.subject));
            callers.push(caller);
        }
        let groups: Vec<&str> = claims.groups.iter().map(String::as_str).collect();
        let subject = policy.caller(issuer, &claims.subject, &groups);
        self.check_vouched(issuer, &subject)?;
        names.push(self.caller_name(&subject, &claims.subject));
        callers.push(subject);
        let skew = policy.issuer_entry(issuer).map_or(0, |it| it.clock_skew);
        Ok(Identity {
            who: Arc::new(self.who(&callers, names, issuer, claims)),
            callers,
            permissions: claims.permissions.as_ref().map(|it| self.known(it)),
            expires_at: Time(claims.expires_at.saturating_add(i64::from(skew))),
            token_hash: claims.token_hash,
            issuer,
            caller: caller(claims),
        })
    }

    /// Refuses a caller of an organization that the token's issuer may not speak for, whoever
    /// vouches for it elsewhere.
    fn check_vouched(&self, issuer: IssuerId, caller: &Caller) -> Result<(), Reason> {
        let policy = self.policy();
        let entry = policy.issuer_entry(issuer).ok_or(Reason::Unauthenticated)?;
        let tree = &policy.index().scopes;
        let speaks_for = |it: &ScopeId| entry.organizations.contains(it);
        let vouched = match caller.scope.and_then(|scope| tree.organization(scope)) {
            Some(organization) => speaks_for(&organization),
            // Who belongs to no organization is abroad nowhere, so it takes an issuer that may
            // speak for all that the caller's own may.
            None => policy
                .issuer_entry(caller.issuer)
                .is_some_and(|own| own.organizations.iter().all(speaks_for)),
        };
        vouched.then_some(()).ok_or(Reason::PrincipalUnknown)
    }

    fn caller_name(&self, caller: &Caller, subject: &str) -> String {
        let policy = self.policy();
        if let Some(principal) = caller.principal {
            return policy.principal_name(principal).to_owned();
        }
        let issuer = policy.issuer_entry(caller.issuer);
        let issuer = issuer.map_or("", |issuer| issuer.name.as_str());
        let subject: String = subject.chars().take(MAX_SHOWN).collect();
        format!("{issuer}#{subject}")
    }

    fn who(
        &self,
        callers: &[Caller],
        names: Vec<String>,
        issuer: IssuerId,
        claims: &Claims,
    ) -> Who {
        let policy = self.policy();
        let tree = &policy.index().scopes;
        let actor = callers.first();
        let scope = actor.and_then(|actor| actor.scope);
        let organization = scope.and_then(|scope| tree.organization(scope));
        let team = scope.and_then(|scope| tree.team(scope));
        let groups = actor.map_or(&[][..], |actor| actor.groups.as_slice());
        let groups = groups.iter().map(|group| policy.group_name(*group));
        Who {
            callers: names,
            principal_type: match actor.and_then(|actor| actor.kind) {
                Some(PrincipalType::Human) => "human",
                Some(PrincipalType::Service) => "service",
                Some(PrincipalType::Agent) => "agent",
                None => "unknown",
            },
            organization: organization.map(|it| tree.name(it).to_owned()),
            team: team.map(|it| tree.name(it).to_owned()),
            groups: groups.map(str::to_owned).collect(),
            issuer: policy.issuer_entry(issuer).map(|it| it.name.clone()),
            token_id: claims.token_id.clone(),
            token_hash: Some(hex(&claims.token_hash)),
        }
    }

    /// The permissions of a token that exist here; the others restrict nothing here and grant
    /// nothing anywhere.
    fn known(&self, names: &[String]) -> Vec<PermissionId> {
        let policy = self.policy();
        let mut known: Vec<PermissionId> = names
            .iter()
            .filter_map(|name| policy.permission_by_name(name))
            .collect();
        known.sort_unstable();
        known.dedup();
        known
    }
}

/// Issuer, audience, subject and actors, each with its length, so that no two lists look alike.
fn caller(claims: &Claims) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    for part in [&claims.issuer, &claims.audience, &claims.subject] {
        add(part);
    }
    for actor in &claims.actors {
        add(actor.issuer.as_deref().unwrap_or(&claims.issuer));
        add(&actor.subject);
    }
    digest.finalize().into()
}
