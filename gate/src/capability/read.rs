//! Reading back what a sidecar wrote, and what an issuer said of a caller.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Capability, ISSUER, Origin};
use crate::{
    json::{self, Array, Limits, Object},
    token::{Actor, MAX_TOKEN, PERMISSIONS_TYPE},
};

/// The longest actor chain that is read; the decision refuses shorter ones already.
const MAX_CHAIN: usize = 8;

/// What an authentic payload says; `None` when it is not in the one form that is written.
pub(super) fn capability(payload: &str) -> Option<Capability> {
    let bytes = decode(payload)?;
    let document = parse(&bytes)?;
    let body = document.root().as_object()?;
    if text(body, "iss")? != ISSUER {
        return None;
    }
    let own = body.get("latchkey")?.as_object()?;
    let mut details = body.get("authorization_details")?.as_array()?.values();
    let detail = details.next()?.as_object()?;
    if details.next().is_some() || text(detail, "type")? != PERMISSIONS_TYPE {
        return None;
    }
    let parents = texts(own.get("parents")?.as_array()?)?;
    let depth = match own.get("depth") {
        Some(depth) => usize::try_from(depth.as_i64()?).ok()?,
        // A sidecar that is not up to date yet follows one line, and no actor's.
        None => parents.len(),
    };
    Some(Capability {
        server: text(body, "aud")?
            .strip_prefix("urn:latchkey:server:")?
            .to_owned(),
        origin: Origin {
            issuer: text(own, "issuer")?.to_owned(),
            subject: text(body, "sub")?.to_owned(),
            actors: actors(body)?,
            groups: texts(own.get("groups")?.as_array()?)?,
        },
        permissions: texts(detail.get("permissions")?.as_array()?)?,
        id: text(body, "jti")?.to_owned(),
        issued_at: body.get("iat")?.as_i64()?,
        expires_at: body.get("exp")?.as_i64()?,
        parents,
        depth,
        single_use: own.get("single_use")?.as_bool()?,
        request: match body.get("req_hash") {
            Some(hash) => Some(hash.as_text()?.to_owned()),
            None => None,
        },
        memory: text(own, "memory")?.to_owned(),
    })
}

/// Who a verified access token speaks of.
pub(super) fn origin(token: &str, issuer: &str, groups_claim: Option<&str>) -> Option<Origin> {
    let bytes = decode(token.split('.').nth(1)?)?;
    let document = parse(&bytes)?;
    let body = document.root().as_object()?;
    if text(body, "iss")? != issuer {
        return None;
    }
    let groups = groups_claim.and_then(|name| body.get(name));
    Some(Origin {
        issuer: issuer.to_owned(),
        subject: text(body, "sub")?.to_owned(),
        actors: actors(body)?,
        groups: match groups {
            Some(groups) => texts(groups.as_array()?)?,
            None => Vec::new(),
        },
    })
}

fn actors(body: Object<'_>) -> Option<Vec<Actor>> {
    let mut actors = Vec::new();
    let mut next = body.get("act");
    while let Some(actor) = next {
        let actor = actor.as_object()?;
        let issuer = match actor.get("iss") {
            Some(issuer) => Some(issuer.as_text()?.to_owned()),
            None => None,
        };
        actors.push(Actor {
            issuer,
            subject: text(actor, "sub")?.to_owned(),
        });
        if actors.len() > MAX_CHAIN {
            return None;
        }
        next = actor.get("act");
    }
    Some(actors)
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

fn parse(bytes: &[u8]) -> Option<json::Document<'_>> {
    let limits = Limits {
        bytes: MAX_TOKEN,
        depth: 16,
        nodes: 4096,
    };
    json::parse_with(bytes, limits).ok()
}

fn text<'d>(body: Object<'d>, name: &str) -> Option<&'d str> {
    let text = body.get(name)?.as_text()?;
    (!text.is_empty()).then_some(text)
}

fn texts(list: Array<'_>) -> Option<Vec<String>> {
    list.values()
        .map(|value| value.as_text().map(str::to_owned))
        .collect()
}
