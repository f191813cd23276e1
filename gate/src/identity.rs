//! Who calls: from verified claims to the callers that the policy knows.

use std::{fmt, sync::Arc};

use latchkey_engine::{
    call::{Caller, MAX_CALLERS},
    id::{IssuerId, PermissionId, ScopeId, ServerId},
    index::PrincipalType,
    reason::Reason,
    time::Time,
};
use sha2::{Digest as _, Sha256};

use crate::{
    admit::Who,
    certificate::ClientCertificate,
    gate::{Gate, hex},
    token::{
        Claims, Confirmation, IssuerKind, IssuerProfile, LiveKeys, ProofRule, Shown, TokenError,
        Verifier, spiffe,
    },
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
    /// The stable reason: `unauthenticated`, `token_expired`, `principal_unknown` or
    /// `issuer_unavailable`.
    pub reason: Reason,
    /// What exactly is wrong, for logs; it quotes nothing of the token.
    pub what: String,
    /// What is wrong with the token, when it is that.
    pub token: Option<TokenError>,
}

impl IdentityError {
    /// What exactly is wrong, where that is more than the reason, for audit events.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        (self.what != self.reason.title()).then(|| self.what.clone())
    }
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
                TokenError::KeysUnavailable => Reason::IssuerUnavailable,
                _ => Reason::Unauthenticated,
            },
            what: error.to_string(),
            token: Some(error),
        }
    }
}

impl From<Reason> for IdentityError {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            what: reason.title().to_owned(),
            token: None,
        }
    }
}

/// An identity that counts once it is shown what its token is bound to. Owned, as [`Identity`].
#[derive(Debug, Clone)]
pub struct Vouched {
    identity: Arc<Identity>,
    confirmation: Confirmation,
    rules: [ProofRule; 2],
}

impl Vouched {
    /// The identity, when what was shown is what the token is bound to.
    pub fn check(&self, shown: &Shown) -> Result<&Arc<Identity>, TokenError> {
        self.confirmation.check(shown, self.rules)?;
        Ok(&self.identity)
    }

    /// The identity on a stream for which it was shown already what its token is bound to, when
    /// tokens that are bound so are taken now.
    pub fn again(&self) -> Result<&Arc<Identity>, TokenError> {
        self.confirmation.is_taken(self.rules)?;
        Ok(&self.identity)
    }

    /// The first instant at which the token is no longer accepted.
    #[must_use]
    pub fn expires_at(&self) -> Time {
        self.identity.expires_at
    }
}

impl Gate {
    /// Verifies a token for a server, as it stands after its scheme, and resolves its callers.
    pub fn verify(
        &self,
        token: &str,
        server: ServerId,
        live: &LiveKeys,
        now: Time,
    ) -> Result<Vouched, IdentityError> {
        let claims = self.verifier(server, live).verify(token, now.0)?;
        let identity = self.identity(&claims)?;
        let asked = |rule: Option<ProofRule>| rule.unwrap_or_default();
        Ok(Vouched {
            confirmation: claims.confirmation,
            rules: [
                asked(self.issuer_settings(identity.issuer).map(|it| it.proof)),
                asked(self.server_settings(server).map(|it| it.proof)),
            ],
            identity: Arc::new(identity),
        })
    }

    /// By what the tokens for a server are verified.
    #[must_use]
    pub fn verifier<'a>(&'a self, server: ServerId, live: &'a LiveKeys) -> Verifier<'a> {
        let settings = self.server_settings(server);
        Verifier {
            issuers: self.issuers(),
            live,
            audience: settings.and_then(|it| it.audience.as_deref()),
        }
    }

    /// The caller that a client certificate is: `None` when no issuer speaks for certificates of
    /// its kind.
    ///
    /// A certificate with a SPIFFE id is of the issuer that is its trust domain, and of no other;
    /// one without is of the issuer for certificates that is no trust domain, with `dns:` and the
    /// one of its names that a principal declares.
    pub fn certificate(
        &self,
        certificate: &ClientCertificate,
        now: Time,
    ) -> Result<Option<Identity>, IdentityError> {
        let Some((issuer, subject)) = self.certified(certificate)? else {
            return Ok(None);
        };
        if certificate.not_after <= now {
            return Err(Reason::TokenExpired.into());
        }
        let claims = Claims {
            issuer: issuer.to_owned(),
            subject,
            audience: String::new(),
            issued_at: now.0,
            expires_at: certificate.not_after.0,
            token_id: None,
            groups: Vec::new(),
            actors: Vec::new(),
            permissions: None,
            confirmation: Confirmation::default(),
            token_hash: certificate.fingerprint,
        };
        let mut identity = self.identity(&claims)?;
        identity.expires_at = certificate.not_after;
        Ok(Some(identity))
    }

    /// The issuer and subject that a certificate is of.
    fn certified(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Option<(&str, String)>, IdentityError> {
        let mut issuers = self.issuers().iter();
        let kind = |it: &&IssuerProfile| it.kind == IssuerKind::Certificate;
        if let Some(id) = &certificate.spiffe_id {
            let domain = spiffe::trust_domain(id.as_str()).ok_or(Reason::Unauthenticated)?;
            let issuer = issuers.find(|it| kind(it) && it.issuer == domain);
            return Ok(issuer.map(|it| (it.issuer.as_str(), id.to_string())));
        }
        let Some(issuer) = issuers.find(|it| kind(it) && !spiffe::is_trust_domain(&it.issuer))
        else {
            return Ok(None);
        };
        let policy = self.policy();
        let declared = policy.issuer_by_url(&issuer.issuer);
        let subjects = certificate.dns_names.iter().map(|it| format!("dns:{it}"));
        let mut known = subjects.filter(|subject| {
            declared.is_some_and(|issuer| policy.principal_by_identity(issuer, subject).is_some())
        });
        match (known.next(), known.next()) {
            (Some(subject), None) => Ok(Some((issuer.issuer.as_str(), subject))),
            (None, _) => Err(Reason::PrincipalUnknown.into()),
            // Which of them calls is not for the order of names to say.
            (Some(_), Some(_)) => Err(Reason::Unauthenticated.into()),
        }
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

    /// Whether a token of an issuer may name a caller that belongs to a scope and whose own issuer
    /// may be another one: it must be let speak for the caller's organization.
    #[must_use]
    pub fn vouches(&self, issuer: IssuerId, own: IssuerId, scope: Option<ScopeId>) -> bool {
        let policy = self.policy();
        let Some(issuer) = policy.issuer_entry(issuer) else {
            return false;
        };
        let speaks_for = |it: &ScopeId| issuer.organizations.contains(it);
        match scope.and_then(|scope| policy.index().scopes.organization(scope)) {
            Some(organization) => speaks_for(&organization),
            // Who belongs to no organization is abroad nowhere, so it takes an issuer that may
            // speak for all that the caller's own may.
            None => policy
                .issuer_entry(own)
                .is_some_and(|own| own.organizations.iter().all(speaks_for)),
        }
    }

    fn check_vouched(&self, issuer: IssuerId, caller: &Caller) -> Result<(), Reason> {
        let vouched = self.vouches(issuer, caller.issuer, caller.scope);
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
