//! Access tokens: a strict verifier of compact JWS for one declared profile per issuer.
//!
//! Nothing in a token chooses how it is verified: the algorithm is the key's, the key comes from
//! the issuer's declared set, and every header or claim that would change the meaning is either
//! understood and checked or refused. Signatures are checked by `aws-lc-rs`.

mod claims;
pub mod dpop;
pub mod jws;
mod keys;
mod live;
pub mod mint;
mod proof;
pub mod resource;
pub mod spiffe;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use claims::{Actor, Claims, PERMISSIONS_TYPE};
pub use keys::{Algorithm, KeySet, KeySetError, KeyUse, SkippedKey};
pub use live::LiveKeys;
pub use proof::{Confirmation, ProofRule, Shown};

use jws::Parts;

use crate::json::{self, Limits, Object};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// What one declared issuer's tokens must look like.
#[derive(Clone, Debug)]
pub struct IssuerProfile {
    /// The exact value of `iss`.
    pub issuer: String,
    /// What its tokens are.
    pub kind: IssuerKind,
    /// Accepted audiences; a token names exactly one of them.
    pub audiences: Vec<String>,
    /// Algorithms this issuer may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Accepted values of `typ`; empty means `at+jwt` and `application/at+jwt`.
    ///
    /// A token taken by any other value must carry `client_id` or `azp` and none of `nonce`,
    /// `at_hash` and `c_hash`, so that an identity token cannot pass for an access token.
    pub accept_typ: Vec<String>,
    /// The claim that lists groups, if groups are read at all.
    pub groups_claim: Option<String>,
    /// Tolerated clock difference, in seconds.
    pub clock_skew: u32,
    /// Longest accepted `exp - iat`, in seconds.
    pub max_lifetime: u32,
    /// Whether `jti` must be present.
    pub require_token_id: bool,
    /// What its tokens must be bound to.
    pub proof: ProofRule,
    /// The issuer's public keys.
    pub keys: Keys,
}

/// What the tokens of an issuer are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IssuerKind {
    /// OAuth 2 access tokens (RFC 9068).
    #[default]
    Oauth,
    /// SPIFFE JWT-SVIDs: the issuer is a trust domain, `sub` the id of a workload in it.
    Spiffe,
    /// None: its subjects are client certificates.
    Certificate,
}

impl IssuerKind {
    /// What the keys of such an issuer are for.
    #[must_use]
    pub fn key_use(self) -> KeyUse {
        match self {
            Self::Spiffe => KeyUse::JwtSvid,
            Self::Oauth | Self::Certificate => KeyUse::Signature,
        }
    }
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In the policy.
    Pinned(KeySet),
    /// With the issuer, at this URL or at the one that its metadata names; who verifies has the
    /// latest.
    Live(Option<String>),
}

/// By what tokens are verified.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    /// The declared issuers.
    pub issuers: &'a [IssuerProfile],
    /// The keys that are with the issuers.
    pub live: &'a LiveKeys,
    /// The audience of the server, where it has one of its own: no other counts then.
    pub audience: Option<&'a str>,
}

impl<'a> Verifier<'a> {
    /// Verifies a token of any of the issuers at `now` (seconds since 1970, UTC).
    ///
    /// The unverified `iss` only selects the profile; everything is then checked against that one.
    /// What the token is bound to ([`Claims::confirmation`]) is for the caller to check.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        let parts = Parts::split(token)?;
        let payload = decode(parts.payload)?;
        let document = object_limits(&payload)?;
        let body = document.root().as_object();
        let body = body.ok_or(TokenError::Malformed("payload"))?;
        let profile = self.select(body)?;
        let declared = check_signature(&parts, profile, self.live)?;
        let token_hash = Sha256::digest(token.as_bytes()).into();
        let audience = self.audience;
        claims::read(body, profile, audience, declared, now, token_hash)
    }

    /// The issuer that a token names, without any belief in the token.
    #[must_use]
    pub fn claimed_issuer(&self, token: &str) -> Option<&'a IssuerProfile> {
        let payload = decode(Parts::split(token).ok()?.payload).ok()?;
        let document = object_limits(&payload).ok()?;
        self.select(document.root().as_object()?).ok()
    }

    /// A token is of the issuer that it names. A JWT-SVID need not name any: then, and only then,
    /// it is of the trust domain of its subject.
    fn select(&self, body: Object<'_>) -> Result<&'a IssuerProfile, TokenError> {
        let declared = |url: &str| {
            let mut issuers = self.issuers.iter();
            issuers.find(|it| it.issuer == url && it.kind != IssuerKind::Certificate)
        };
        let issuer = match body.get("iss") {
            Some(issuer) => Some(issuer.as_text().ok_or(TokenError::Claim("iss"))?),
            None => None,
        };
        if let Some(profile) = issuer.and_then(declared) {
            return Ok(profile);
        }
        let subject = body.get("sub").and_then(|subject| subject.as_text());
        let domain = subject.and_then(spiffe::trust_domain).and_then(declared);
        match (domain, issuer) {
            (Some(profile), _) if profile.kind == IssuerKind::Spiffe => Ok(profile),
            (_, Some(_)) => Err(TokenError::UnknownIssuer),
            (_, None) => Err(TokenError::Claim("iss")),
        }
    }
}

/// Why a token is refused. It never quotes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN`].
    TooLarge,
    /// Not three segments of strict base64url over strict JSON; names the part.
    Malformed(&'static str),
    /// A header member that changes how a token is read; names it.
    Header(&'static str),
    /// `typ` is absent or is not one that the issuer's access tokens have.
    Type,
    /// `alg` is unknown, not declared for the issuer, or not the key's.
    Algorithm,
    /// No usable key has this `kid`, or `kid` is absent and there are several keys.
    UnknownKey,
    /// The signature does not verify.
    Signature,
    /// `iss` is not a declared issuer.
    UnknownIssuer,
    /// `aud` does not name exactly one of the declared audiences.
    Audience,
    /// Past `exp`.
    Expired,
    /// Before `nbf`, or issued in the future.
    NotYetValid,
    /// `exp - iat` is above the issuer's maximum.
    Lifetime,
    /// Bound (`cnf`) to something that was not shown, or not bound to what it must be.
    ProofRequired,
    /// The DPoP proof that came with it is refused.
    Proof(dpop::ProofError),
    /// The issuer's keys are with the issuer, and are not known here or are too old.
    KeysUnavailable,
    /// A claim is absent where it must be present, or has another form; names it.
    Claim(&'static str),
}

impl TokenError {
    /// The stable word for logs and audit events.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Header(_) => "header_refused",
            Self::Type => "type_refused",
            Self::Algorithm => "algorithm_refused",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Audience => "audience_refused",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Lifetime => "lifetime_refused",
            Self::ProofRequired => "proof_required",
            Self::Proof(_) => "proof_refused",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Claim(_) => "claim_refused",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the token is longer than {MAX_TOKEN} bytes"),
            Self::Malformed(part) => write!(f, "the token's {part} is not well formed"),
            Self::Header(name) => write!(f, "the token's header has `{name}`, which is refused"),
            Self::Type => f.write_str("the token's `typ` is not that of an access token"),
            Self::Algorithm => {
                f.write_str("the token's `alg` is not declared for this issuer and key")
            }
            Self::UnknownKey => f.write_str("no key of the issuer has the token's `kid`"),
            Self::Signature => f.write_str("the token's signature does not verify"),
            Self::UnknownIssuer => f.write_str("the token's issuer is not declared"),
            Self::Audience => f.write_str("the token is not for exactly one of our audiences"),
            Self::Expired => f.write_str("the token has expired; get a new one"),
            Self::NotYetValid => f.write_str("the token is not valid yet; check both clocks"),
            Self::Lifetime => f.write_str("the token lives longer than its issuer may grant"),
            Self::ProofRequired => f.write_str(
                "the token is bound to a key or certificate that was not shown, or is not bound \
                 to what it must be",
            ),
            Self::Proof(error) => error.fmt(f),
            Self::KeysUnavailable => {
                f.write_str("the issuer's keys could not be fetched, or are too old to be used")
            }
            Self::Claim(name) => write!(f, "the token's `{name}` is absent or has a wrong form"),
        }
    }
}

impl std::error::Error for TokenError {}

/// The `typ` values of an RFC 9068 access token.
const ACCESS_TOKEN_TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];
/// The `typ` values of a JWT-SVID, which may also leave it out.
const SVID_TYPES: [&str; 2] = ["JWT", "JOSE"];

/// How a token declared itself, after its signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeclaredType {
    /// An RFC 9068 access token.
    AccessToken,
    /// A type that only this issuer's profile takes for one.
    Other,
    /// A SPIFFE JWT-SVID.
    Svid,
}

/// Checks header and signature; what comes back is authentic but not yet judged.
fn check_signature(
    parts: &Parts<'_>,
    profile: &IssuerProfile,
    live: &LiveKeys,
) -> Result<DeclaredType, TokenError> {
    let header = parts.header()?;
    let document = object_limits(&header).map_err(|_| TokenError::Malformed("header"))?;
    let header = jws::Header::read(&document)?;
    let declared = declared_type(header.object(), profile)?;
    let algorithm = header.algorithm(&profile.algorithms)?;
    let kid = header.key_name()?;
    let keys = match (&profile.keys, live.development(&profile.issuer)) {
        (_, Some(keys)) | (Keys::Pinned(keys), None) => keys,
        (Keys::Live(uri), None) => live
            .get(&profile.issuer, uri.as_deref())
            .ok_or(TokenError::KeysUnavailable)?,
    };
    parts.check(keys, kid, algorithm)?;
    Ok(declared)
}

fn declared_type(header: Object<'_>, profile: &IssuerProfile) -> Result<DeclaredType, TokenError> {
    let typ = match header.get("typ") {
        Some(typ) => Some(typ.as_text().ok_or(TokenError::Type)?),
        None => None,
    };
    // Media types are compared without case (RFC 7515 4.1.9).
    let is = |name: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(name));
    let access_token = ACCESS_TOKEN_TYPES.into_iter().any(is);
    let accepted = match profile.kind {
        IssuerKind::Spiffe => typ.is_none() || SVID_TYPES.into_iter().any(is),
        _ if profile.accept_typ.is_empty() => access_token,
        _ => profile.accept_typ.iter().any(|name| is(name)),
    };
    if !accepted {
        return Err(TokenError::Type);
    }
    Ok(match (access_token, profile.kind) {
        (true, _) => DeclaredType::AccessToken,
        (_, IssuerKind::Spiffe) => DeclaredType::Svid,
        _ => DeclaredType::Other,
    })
}

fn decode(segment: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| TokenError::Malformed("payload"))
}

fn object_limits(bytes: &[u8]) -> Result<json::Document<'_>, TokenError> {
    let limits = Limits {
        bytes: MAX_TOKEN,
        depth: 16,
        nodes: 4096,
    };
    json::parse_with(bytes, limits).map_err(|_| TokenError::Malformed("payload"))
}

#[cfg(test)]
mod tests;
