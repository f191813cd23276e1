//! Who made a recorded call, as another policy knows them.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    id::{GroupId, PermissionId},
    index::Subject,
    reason::Reason,
};
use latchkey_gate::{
    call::{self, Stated, StatedCaller},
    event::Event,
    gate::Gate,
    identity::Identity,
};

use super::{Policy, judge::Verdict};

/// The callers of an event, resolved against the candidate.
#[derive(Debug)]
pub(super) struct Callers {
    /// With the groups that the token is known to carry; none is anonymous.
    pub(super) identity: Option<Identity>,
    /// With all groups besides that it may carry, where there are any.
    pub(super) at_most: Option<Identity>,
    /// Those groups.
    pub(super) unsure: BTreeSet<GroupId>,
}

/// The issuer and subject of each caller of an event, actor first. What needs to be known, where
/// a name does not say it.
pub(super) fn identities(
    candidate: &Gate,
    baseline: Option<&Gate>,
    event: &Event,
) -> Result<Vec<(String, String)>, String> {
    let issuer = event.issuer.as_deref().unwrap_or_default();
    let chain = event.authz.input.chain.iter();
    let each = chain.map(|name| {
        if let Some((issuer, subject)) = name.split_once('#') {
            return Ok((issuer.to_owned(), subject.to_owned()));
        }
        let known = baseline.and_then(|gate| identity(gate, name, issuer));
        known
            .or_else(|| identity(candidate, name, issuer))
            .ok_or_else(|| format!("the subject of {name}"))
    });
    each.collect()
}

/// An identity of a principal: at the token's issuer, or else any.
fn identity(gate: &Gate, name: &str, issuer: &str) -> Option<(String, String)> {
    let policy = gate.policy();
    let principals = &policy.index().principals;
    let all = gate.identities(policy.principal(name)?);
    let all = all.filter_map(|at| {
        let (from, _) = principals.identities.get(at)?;
        let from = policy.issuer_entry(*from)?.name.clone();
        Some((from, principals.identity_subjects.get(at).to_owned()))
    });
    let all: Vec<_> = all.collect();
    let own = all.iter().find(|(from, _)| from == issuer);
    own.or(all.first()).cloned()
}

/// Resolves the callers of an event; a caller who is refused at the door is a verdict.
pub(super) fn callers(
    candidate: &Gate,
    baseline: Option<Policy<'_>>,
    event: &Event,
) -> Result<Callers, Verdict> {
    let identities = identities(candidate, baseline.map(|it| it.gate), event)
        .map_err(|needs| Verdict::Needs(BTreeSet::from([needs])))?;
    let Some(issuer) = identities.last().map(|(issuer, _)| issuer.clone()) else {
        return Ok(Callers {
            identity: None,
            at_most: None,
            unsure: BTreeSet::new(),
        });
    };
    let claims = Claims::of(candidate, baseline, event, &issuer);
    let identity = resolve(
        candidate,
        &identities,
        claims.carried.iter().cloned(),
        event,
    )?;
    let at_most = if claims.unsure.is_empty() {
        None
    } else {
        let all = claims.carried.iter().chain(claims.unsure.values()).cloned();
        Some(resolve(candidate, &identities, all, event)?)
    };
    Ok(Callers {
        identity: Some(identity),
        at_most,
        unsure: claims.unsure.into_keys().collect(),
    })
}

fn resolve(
    candidate: &Gate,
    identities: &[(String, String)],
    groups: impl Iterator<Item = String>,
    event: &Event,
) -> Result<Identity, Verdict> {
    let denied = |reason| Verdict::Denied(reason, None);
    let mut chain: Vec<StatedCaller> = identities
        .iter()
        .map(|(issuer, subject)| StatedCaller {
            issuer: Some(issuer.clone()),
            subject: Some(subject.clone()),
            ..StatedCaller::default()
        })
        .collect();
    if let Some(last) = chain.last_mut() {
        last.groups = groups.collect();
    }
    let mut chain = chain.into_iter();
    let stated = Stated {
        id: None,
        caller: chain.next(),
        on_behalf_of: chain.collect(),
        server: event.server.clone(),
        tool: None,
        prompt: None,
        resource: None,
        arguments: None,
        method: None,
        path: None,
        body: None,
        at: event.event_time.clone(),
        ip: None,
        token_permissions: None,
        token_id: None,
    };
    // An issuer that is gone cannot vouch for anybody.
    let resolved = call::identity(candidate, &stated);
    let resolved = resolved.map_err(|_| denied(Reason::Unauthenticated))?;
    let identity = resolved.map_err(denied)?;
    identity.ok_or_else(|| denied(Reason::Unauthenticated))
}

/// The claim values of groups in the token.
struct Claims {
    carried: BTreeSet<String>,
    /// Groups that the log does not tell about, and their claim values.
    unsure: BTreeMap<GroupId, String>,
}

impl Claims {
    fn of(candidate: &Gate, baseline: Option<Policy<'_>>, event: &Event, issuer: &str) -> Self {
        let mut claims = Self {
            carried: BTreeSet::new(),
            unsure: BTreeMap::new(),
        };
        let [principal] = event.authz.input.chain.as_slice() else {
            // The token lists the groups of whom the actor acts for; the event those of the actor.
            claims.unsure = claimable(candidate, issuer).collect();
            return claims;
        };
        let is_listed = |name: &str| event.groups.iter().any(|it| it == name);
        for (id, value) in claimable(candidate, issuer) {
            let Some(baseline) = baseline else {
                if is_listed(candidate.policy().group_name(id)) {
                    claims.carried.insert(value);
                }
                continue;
            };
            let policy = baseline.gate.policy();
            // A sidecar with the slice of one server says nothing of groups that are not in it.
            let slice = baseline.slice(event);
            let told = |id: GroupId| {
                slice.is_some_and(|slice| slice.groups.contains(policy.group_name(id)))
            };
            let known: Vec<GroupId> = claimable(baseline.gate, issuer)
                .filter(|(id, it)| *it == value && told(*id))
                .map(|(id, _)| id)
                .collect();
            let listed = known.iter().any(|id| is_listed(policy.group_name(*id)));
            let by_git = known
                .iter()
                .any(|id| is_member(baseline.gate, principal, *id));
            if listed && !by_git {
                claims.carried.insert(value);
            } else if known.is_empty() || by_git {
                claims.unsure.insert(id, value);
            }
        }
        claims
    }
}

/// The groups that tokens of an issuer can give, with their claim values.
fn claimable<'g>(gate: &'g Gate, issuer: &str) -> impl Iterator<Item = (GroupId, String)> + 'g {
    let wanted = gate.policy().issuer(issuer);
    let groups = gate.policy().index().groups.iter().zip(0..);
    groups.filter_map(move |(group, at)| {
        let (from, value) = group.claim.as_ref()?;
        (Some(*from) == wanted).then(|| (GroupId(at), value.clone()))
    })
}

fn is_member(gate: &Gate, principal: &str, group: GroupId) -> bool {
    let policy = gate.policy();
    let id = policy.principal(principal);
    let members = &policy.index().principals.groups;
    id.is_some_and(|id| members.binary_search(&(id, group)).is_ok())
}

/// How groups can matter to a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Not at all.
    None,
    /// As subjects of bindings: more groups can only be granted more.
    Grants,
    /// In any other way.
    Any,
}

/// How some groups matter to a permission.
pub(super) fn weigh(
    policy: Policy<'_>,
    permission: PermissionId,
    groups: &BTreeSet<GroupId>,
) -> Weight {
    let policy = policy.gate.policy();
    let index = policy.index();
    let among = |who: &[Subject]| {
        who.iter()
            .any(|it| matches!(it, Subject::Group(id) if groups.contains(id)))
    };
    let spoken =
        |rule: &&latchkey_engine::index::Rule| rule.permissions.binary_search(&permission).is_ok();
    let in_rules = index.rules.iter().filter(spoken);
    let mut in_rules = in_rules.map(|rule| among(&rule.who) || among(&rule.except));
    let read = index.attributes.iter().any(|attribute| {
        use latchkey_engine::condition::{Root, Segment};
        matches!(attribute.root, Root::Principal | Root::Subject)
            && attribute.path == [Segment::Field("groups".to_owned())]
    });
    if read || in_rules.any(|it| it) {
        return Weight::Any;
    }
    let columns = policy.bindings();
    let ids = (0..columns.names.len()).filter_map(|at| u32::try_from(at).ok());
    let mut ids = ids.map(latchkey_engine::id::BindingId);
    let granting = ids.any(|id| {
        among(columns.subjects_of(id)) && policy.roles_granting(id, permission).next().is_some()
    });
    if granting {
        Weight::Grants
    } else {
        Weight::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pack, replay::Slice, source::Memory};

    const POLICY: &str = "\
organizations:
  acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {payments: {}}}
issuers:
  acme-idp:
    issuer: https://idp.acme.example
    audiences: [https://tools.acme.example]
    organizations: [acme]
    claims: {groups: groups}
    maxLifetime: 1h
    jwks:
      inline:
        keys: [{kty: OKP, crv: Ed25519, alg: EdDSA, x: _QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0}]
groups:
  maintainers: {from: {issuer: acme-idp, value: maint}}
principals:
  alice: {type: human, identity: {issuer: acme-idp, subject: u-1}, in: acme/payments}
servers:
  desk: {in: acme, upstream: http://127.0.0.1:9000/mcp, tools: {read_ticket: {risk: read}}}
roles:
  reader: {allow: {desk: [read_ticket]}}
bindings:
  maintainers: {who: [group:maintainers], roles: [reader], in: acme}
";

    fn gate() -> Gate {
        let files = [
            ("latchkey.toml", "[project]\nname = \"p\"\n"),
            ("p.yaml", POLICY),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let tree: Memory = files.into_iter().collect();
        let today = latchkey_engine::time::Time::parse("2026-12-01").unwrap();
        let model = crate::check(&tree, today).model.unwrap();
        Gate::open(&pack::whole(&model).unwrap(), None).unwrap()
    }

    #[test]
    fn a_group_that_the_slice_did_not_know_may_have_been_in_the_token() {
        let gate = gate();
        let mut event = Event {
            issuer: Some("acme-idp".to_owned()),
            server: "desk".to_owned(),
            event_time: "2026-12-01T10:00:00Z".to_owned(),
            bundle_digest: "slice".to_owned(),
            ..Event::default()
        };
        event.authz.input.chain = vec!["alice".to_owned()];
        for (known, unsure) in [(None, 1), (Some("maintainers"), 0)] {
            let slices = [Slice {
                digest: "slice".to_owned(),
                groups: known.into_iter().map(str::to_owned).collect(),
            }];
            let baseline = Policy {
                gate: &gate,
                slices: &slices,
            };
            let found = callers(&gate, Some(baseline), &event).unwrap();
            assert_eq!(found.unsure.len(), unsure, "{known:?}");
        }
    }
}
