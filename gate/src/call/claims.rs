//! The claims of a stated caller: what its token would say.

use latchkey_engine::{id::IssuerId, time::Time};

use super::{Stated, StatedCaller, StatedError};
use crate::{
    gate::Gate,
    token::{Actor, Claims, Confirmation},
};

/// How long a stated token lives, in seconds.
const LIFETIME: i64 = 300;

/// Builds the claims; `None` for an anonymous caller.
pub(super) fn build(
    gate: &Gate,
    stated: &Stated,
    now: Time,
) -> Result<Option<Claims>, StatedError> {
    let fault = |what: &str| Err(StatedError(what.to_owned()));
    let Some(actor) = &stated.caller else {
        if !stated.on_behalf_of.is_empty() {
            return fault("`on_behalf_of` without a `caller`");
        }
        if stated.token_id.is_some() || stated.token_permissions.is_some() {
            return fault("a token without a `caller`");
        }
        return Ok(None);
    };
    let mut chain = vec![actor];
    chain.extend(&stated.on_behalf_of);
    let Some((subject, actors)) = chain.split_last() else {
        return Ok(None);
    };
    if actors.iter().any(|actor| !actor.groups.is_empty()) {
        return fault("a token lists the groups of the last of the chain only");
    }
    let (issuer, name) = resolve(gate, subject)?;
    let url = |issuer: IssuerId| {
        let entry = gate.policy().issuer_entry(issuer);
        entry.map(|entry| entry.url.clone()).unwrap_or_default()
    };
    let mut act = Vec::with_capacity(actors.len());
    for actor in actors {
        let (own, subject) = resolve(gate, actor)?;
        act.push(Actor {
            issuer: (own != issuer).then(|| url(own)),
            subject,
        });
    }
    let entry = gate.policy().issuer_entry(issuer);
    let reads_groups = entry.is_some_and(|entry| entry.groups_claim.is_some());
    if !subject.groups.is_empty() && !reads_groups {
        return fault("`groups`: the issuer's tokens have no groups claim");
    }
    Ok(Some(Claims {
        issuer: url(issuer),
        subject: name,
        audience: String::new(),
        issued_at: now.0,
        expires_at: now.0.saturating_add(LIFETIME),
        token_id: stated.token_id.clone(),
        groups: subject.groups.clone(),
        actors: act,
        permissions: stated.token_permissions.clone(),
        confirmation: Confirmation::default(),
        token_hash: [0; 32],
    }))
}

/// The issuer and subject of a stated caller.
fn resolve(gate: &Gate, caller: &StatedCaller) -> Result<(IssuerId, String), StatedError> {
    let policy = gate.policy();
    let issuer = match &caller.issuer {
        None => None,
        Some(name) => Some(
            policy
                .issuer(name)
                .ok_or_else(|| StatedError(format!("there is no issuer `{name}`")))?,
        ),
    };
    let name = match (&caller.principal, &caller.subject) {
        (Some(name), None) => name,
        (None, Some(subject)) => {
            let issuer = issuer.ok_or_else(|| {
                StatedError("`subject` needs the `issuer` that knows it".to_owned())
            })?;
            return Ok((issuer, subject.clone()));
        }
        _ => {
            return Err(StatedError(
                "a caller is a `principal`, or an `issuer` and a `subject`".to_owned(),
            ));
        }
    };
    let principal = policy
        .principal(name)
        .ok_or_else(|| StatedError(format!("there is no principal `{name}`")))?;
    let principals = &policy.index().principals;
    let mut identities = gate.identities(principal).filter_map(|at| {
        let (from, _) = principals.identities.get(at)?;
        let fits = issuer.is_none_or(|issuer| issuer == *from);
        fits.then(|| (*from, principals.identity_subjects.get(at).to_owned()))
    });
    match (identities.next(), identities.next()) {
        (Some(identity), None) => Ok(identity),
        (Some(_), Some(_)) => Err(StatedError(format!(
            "`{name}` has several identities; state the `issuer` too"
        ))),
        (None, _) => Err(StatedError(format!("`{name}` has no such identity"))),
    }
}
