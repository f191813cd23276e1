//! Issuers, groups and principals.

use latchkey_engine::{
    id::{IssuerId, PrincipalId},
    index::{Group, Issuer, Principals},
};

use super::{
    Unresolved,
    ids::{self, Ids},
    select::Selection,
    strings,
};
use crate::model::{Model, Scope};
use crate::text::Text;

pub(super) fn issuers(model: &Model, ids: &Ids<'_>) -> Result<Vec<Issuer>, Unresolved> {
    let mut issuers = Vec::with_capacity(model.issuers.len());
    for (name, issuer) in &model.issuers {
        let mut organizations = Vec::with_capacity(issuer.organizations.len());
        for organization in &issuer.organizations {
            organizations.push(ids.scope(&Scope::Organization(organization.clone()))?);
        }
        issuers.push(Issuer {
            name: name.to_string(),
            url: issuer.url.value.to_string(),
            audiences: issuer.audiences.iter().cloned().collect(),
            algorithms: issuer.algorithms.iter().copied().collect(),
            keys: issuer.keys.clone(),
            organizations,
            undeclared: issuer.undeclared,
            undeclared_type: issuer.undeclared_type,
            groups_claim: issuer.groups_claim.clone(),
            clock_skew: issuer.clock_skew,
            max_lifetime: issuer.max_lifetime,
            settings: ids::settings(name, &issuer.settings)?,
        });
    }
    Ok(issuers)
}

pub(super) fn groups(
    model: &Model,
    selection: &Selection<'_>,
    ids: &Ids<'_>,
) -> Result<Vec<Group>, Unresolved> {
    let mut groups = Vec::with_capacity(selection.groups.len());
    for (name, group) in &model.groups {
        if !selection.groups.contains(name.as_str()) {
            continue;
        }
        let claim = match &group.claim {
            None => None,
            Some((issuer, value)) => Some((ids.issuer(issuer)?, value.to_string())),
        };
        groups.push(Group {
            name: name.to_string(),
            claim,
        });
    }
    Ok(groups)
}

pub(super) fn principals(
    model: &Model,
    selection: &Selection<'_>,
    ids: &Ids<'_>,
) -> Result<Principals, Unresolved> {
    let mut columns = Principals {
        names: strings(model.principals.keys().map(Text::as_str)),
        dates: model.principals.values().map(|it| it.dates.dates).collect(),
        ..Principals::default()
    };
    let mut identities: Vec<(IssuerId, &str, PrincipalId)> = Vec::new();
    for (principal, id) in model.principals.values().zip(0..) {
        let id = PrincipalId(id);
        columns.types.push(principal.kind);
        columns.scopes.push(ids.scope(&principal.scope)?);
        if principal.suspended {
            columns.suspended.push(id);
        }
        for (issuer, subject) in &principal.identities {
            identities.push((ids.issuer(issuer)?, subject, id));
        }
        for tag in &principal.tags {
            if selection.tags.contains(tag.as_str()) {
                columns.tags.push((id, ids.tag(tag)?));
            }
        }
    }
    identities.sort_unstable();
    columns.identity_subjects = strings(identities.iter().map(|(_, subject, _)| *subject));
    columns.identities = identities
        .iter()
        .map(|(issuer, _, id)| (*issuer, *id))
        .collect();
    for group in &selection.groups {
        let members = model
            .groups
            .get(group)
            .into_iter()
            .flat_map(|group| &group.members);
        for member in members {
            columns
                .groups
                .push((ids.principal(member)?, ids.group(group)?));
        }
    }
    columns.groups.sort_unstable();
    Ok(columns)
}
