//! The claims of a token whose signature has been verified.

use super::{Confirmation, DeclaredType, IssuerKind, IssuerProfile, TokenError, resource, spiffe};
use crate::json::{Array, Kind, Object, Value};

/// The `type` of the RFC 9396 authorization detail that restricts a token to permissions.
///
/// Such a detail is `{"type": "latchkey_permissions", "permissions": ["tools:..."]}` and nothing
/// else. Without any the token is not restricted; with an empty list it permits nothing.
pub const PERMISSIONS_TYPE: &str = "latchkey_permissions";

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`, equal to the profile's.
    pub issuer: String,
    /// `sub`: on whose behalf, or who, when there is no actor.
    pub subject: String,
    /// The one of our audiences that the token is for.
    pub audience: String,
    /// `iat`, in seconds since 1970, UTC.
    pub issued_at: i64,
    /// `exp`, in seconds since 1970, UTC.
    pub expires_at: i64,
    /// `jti`.
    pub token_id: Option<String>,
    /// The groups that the issuer's group claim lists, as they stand in the token.
    pub groups: Vec<String>,
    /// The actor chain of `act`, current actor first.
    pub actors: Vec<Actor>,
    /// The permissions that the token is restricted to, if it is.
    pub permissions: Option<Vec<String>>,
    /// What the token is bound to: to be checked before the rest is believed.
    pub confirmation: Confirmation,
    /// SHA-256 of the token as sent.
    pub token_hash: [u8; 32],
}

/// One member of the actor chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its own `iss`; absent means the token's issuer.
    pub issuer: Option<String>,
    /// Its `sub`.
    pub subject: String,
}

/// Reads and judges the claims of an authentic token.
pub(super) fn read(
    body: Object<'_>,
    profile: &IssuerProfile,
    server: Option<&str>,
    declared: DeclaredType,
    now: i64,
    token_hash: [u8; 32],
) -> Result<Claims, TokenError> {
    let subject = text(body, "sub")?.ok_or(TokenError::Claim("sub"))?;
    if profile.kind == IssuerKind::Spiffe
        && spiffe::trust_domain(subject) != Some(profile.issuer.as_str())
    {
        return Err(TokenError::Claim("sub"));
    }
    let audience = audience(body, profile, server)?;
    let (issued_at, expires_at) = period(body, profile, declared, now)?;
    if declared == DeclaredType::Other {
        refuse_identity_token(body)?;
    }
    let token_id = text(body, "jti")?;
    if profile.require_token_id && token_id.is_none() {
        return Err(TokenError::Claim("jti"));
    }
    Ok(Claims {
        issuer: profile.issuer.clone(),
        subject: subject.to_owned(),
        audience: audience.to_owned(),
        issued_at,
        expires_at,
        token_id: token_id.map(str::to_owned),
        groups: groups(body, profile)?,
        actors: actors(body)?,
        permissions: permissions(body)?,
        confirmation: Confirmation::read(body.get("cnf"))?,
        token_hash,
    })
}

/// Exactly one of our audiences, once. Where the server has an audience of its own, that is the
/// only one of the issuer's that counts.
fn audience<'p>(
    body: Object<'_>,
    profile: &'p IssuerProfile,
    server: Option<&str>,
) -> Result<&'p str, TokenError> {
    let ours = |named: &str| {
        let named = resource::canonical(named);
        let counts = |it: &&String| server.is_none_or(|own| resource::canonical(it) == own);
        let mut audiences = profile.audiences.iter().filter(counts);
        audiences.find(|it| resource::canonical(it) == named)
    };
    match body.get("aud").map(|aud| aud.kind()) {
        Some(Kind::Text(audience)) => ours(audience).ok_or(TokenError::Audience),
        Some(Kind::Array(list)) => {
            let mut hits = strings(list, "aud")?.into_iter().filter_map(ours);
            match (hits.next(), hits.next()) {
                (Some(audience), None) => Ok(audience),
                _ => Err(TokenError::Audience),
            }
        }
        _ => Err(TokenError::Claim("aud")),
    }
    .map(String::as_str)
}

/// `iat` and `exp`, judged at `now`.
fn period(
    body: Object<'_>,
    profile: &IssuerProfile,
    declared: DeclaredType,
    now: i64,
) -> Result<(i64, i64), TokenError> {
    let skew = i64::from(profile.clock_skew);
    // A JWT-SVID need not say when it was issued; its rest of life is then held to the maximum.
    let unsaid = (declared == DeclaredType::Svid).then_some(now);
    let issued_at = instant(body, "iat")?.or(unsaid);
    let issued_at = issued_at.ok_or(TokenError::Claim("iat"))?;
    let expires_at = instant(body, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let not_before = instant(body, "nbf")?;
    if expires_at <= issued_at && unsaid.is_none() {
        return Err(TokenError::Claim("exp"));
    }
    if expires_at.saturating_sub(issued_at) > i64::from(profile.max_lifetime) {
        return Err(TokenError::Lifetime);
    }
    let ahead = now.saturating_add(skew);
    if issued_at > ahead || not_before.is_some_and(|not_before| not_before > ahead) {
        return Err(TokenError::NotYetValid);
    }
    if now >= expires_at.saturating_add(skew) {
        return Err(TokenError::Expired);
    }
    Ok((issued_at, expires_at))
}

/// An access token that does not say so must at least not look like an identity token.
fn refuse_identity_token(body: Object<'_>) -> Result<(), TokenError> {
    for name in ["nonce", "at_hash", "c_hash"] {
        if body.get(name).is_some() {
            return Err(TokenError::Claim(name));
        }
    }
    let client = text(body, "client_id")?.or(text(body, "azp")?);
    client.map(|_| ()).ok_or(TokenError::Claim("client_id"))
}

fn groups(body: Object<'_>, profile: &IssuerProfile) -> Result<Vec<String>, TokenError> {
    let Some(name) = &profile.groups_claim else {
        return Ok(Vec::new());
    };
    let Some(value) = body.get(name) else {
        return Ok(Vec::new());
    };
    let list = value.as_array().ok_or(TokenError::Claim("groups"))?;
    Ok(strings(list, "groups")?
        .into_iter()
        .map(str::to_owned)
        .collect())
}

fn actors(body: Object<'_>) -> Result<Vec<Actor>, TokenError> {
    let mut actors = Vec::new();
    let mut next = body.get("act");
    while let Some(actor) = next {
        let actor = actor.as_object().ok_or(TokenError::Claim("act"))?;
        let part = |name| text(actor, name).map_err(|_| TokenError::Claim("act"));
        let subject = part("sub")?.ok_or(TokenError::Claim("act"))?.to_owned();
        actors.push(Actor {
            issuer: part("iss")?.map(str::to_owned),
            subject,
        });
        next = actor.get("act");
    }
    Ok(actors)
}

/// The union of all permission details; a detail with any further member restricts in a way that
/// is not enforced here, so it is refused.
fn permissions(body: Object<'_>) -> Result<Option<Vec<String>>, TokenError> {
    const NAME: &str = "authorization_details";
    let wrong = TokenError::Claim(NAME);
    let Some(details) = body.get(NAME) else {
        return Ok(None);
    };
    let mut found: Option<Vec<String>> = None;
    for detail in details.as_array().ok_or(wrong)?.values() {
        let detail = detail.as_object().ok_or(wrong)?;
        if text(detail, "type").map_err(|_| wrong)?.ok_or(wrong)? != PERMISSIONS_TYPE {
            continue;
        }
        let list = detail
            .get("permissions")
            .and_then(|list| list.as_array())
            .ok_or(wrong)?;
        if detail.len() != 2 {
            return Err(wrong);
        }
        let list = strings(list, NAME)?.into_iter().map(str::to_owned);
        found.get_or_insert_default().extend(list);
    }
    if let Some(permissions) = &mut found {
        permissions.sort_unstable();
        permissions.dedup();
    }
    Ok(found)
}

fn strings<'d>(list: Array<'d>, claim: &'static str) -> Result<Vec<&'d str>, TokenError> {
    list.values()
        .map(|value| non_empty(value).ok_or(TokenError::Claim(claim)))
        .collect()
}

/// A string claim: absent, or present and not empty.
fn text<'d>(body: Object<'d>, name: &'static str) -> Result<Option<&'d str>, TokenError> {
    match body.get(name) {
        Some(value) => non_empty(value).map(Some).ok_or(TokenError::Claim(name)),
        None => Ok(None),
    }
}

fn non_empty(value: Value<'_>) -> Option<&str> {
    value.as_text().filter(|text| !text.is_empty())
}

/// A time claim: absent, or a non-negative integer written as one.
fn instant(body: Object<'_>, name: &'static str) -> Result<Option<i64>, TokenError> {
    match body.get(name) {
        Some(value) => match value.as_i64() {
            Some(seconds) if seconds >= 0 => Ok(Some(seconds)),
            _ => Err(TokenError::Claim(name)),
        },
        None => Ok(None),
    }
}
