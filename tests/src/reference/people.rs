//! Callers by name.

use latchkey::{
    model::{Issuer, Model, Principal, Scope, Who},
    text::Text,
};
use latchkey_engine::index::PrincipalType;
use latchkey_gate::call::{Stated, StatedCaller};

/// A caller with an identity.
#[derive(Debug)]
pub(super) struct Person<'a> {
    pub(super) declared: Option<(&'a Text, &'a Principal)>,
    pub(super) issuer: &'a Issuer,
    pub(super) kind: Option<PrincipalType>,
    pub(super) scope: Option<Scope>,
    pub(super) groups: Vec<&'a Text>,
}

/// The chain, current actor first; `None` where the token's issuer may not speak for one of it.
pub(super) fn people<'a>(model: &'a Model, stated: &Stated) -> Option<Vec<Person<'a>>> {
    let chain: Vec<&StatedCaller> = stated.caller.iter().chain(&stated.on_behalf_of).collect();
    let people: Vec<Person<'a>> = chain.iter().map(|it| person(model, it)).collect();
    let vouched = people.last().is_none_or(|subject| {
        let allowed = &subject.issuer.organizations;
        people
            .iter()
            .all(|it| match it.scope.as_ref().and_then(Scope::organization) {
                Some(organization) => allowed.contains(organization),
                None => it
                    .issuer
                    .organizations
                    .iter()
                    .all(|it| allowed.contains(it)),
            })
    });
    vouched.then_some(people)
}

fn person<'a>(model: &'a Model, stated: &StatedCaller) -> Person<'a> {
    let (issuer_name, declared) = match (&stated.principal, &stated.issuer, &stated.subject) {
        (Some(name), issuer, _) => {
            let (name, principal) = model.principals.get_key_value(name.as_str()).unwrap();
            let mut identities = principal.identities.iter();
            let named = |it: &&(Text, Text)| issuer.as_ref().is_none_or(|name| *name == it.0);
            (
                identities.find(named).unwrap().0.clone(),
                Some((name, principal)),
            )
        }
        (None, Some(issuer), Some(subject)) => {
            let identity = (Text::from(issuer), Text::from(subject));
            let mut principals = model.principals.iter();
            (
                Text::from(issuer),
                principals.find(|(_, it)| it.identities.contains(&identity)),
            )
        }
        _ => panic!("no caller: {stated:?}"),
    };
    let issuer = model.issuers.get(&issuer_name).unwrap();
    let groups = model.groups.iter().filter(|(_, group)| {
        let member = declared.is_some_and(|(name, _)| group.members.contains(name));
        let claimed = group.claim.as_ref().is_some_and(|(from, value)| {
            *from == issuer_name && stated.groups.iter().any(|it| it == value)
        });
        member || claimed
    });
    let only = issuer
        .organizations
        .first()
        .cloned()
        .map(Scope::Organization);
    Person {
        declared,
        issuer,
        kind: declared.map_or(issuer.undeclared_type, |it| Some(it.1.kind)),
        scope: match declared {
            Some((_, principal)) => Some(Scope::clone(&principal.scope)),
            None => only.filter(|_| issuer.organizations.len() == 1),
        },
        groups: groups.map(|it| it.0).collect(),
    }
}

/// Whether a caller, or nobody, is spoken of.
pub(super) fn is(person: Option<&Person<'_>>, who: &Who) -> bool {
    matches!(who, Who::Everyone) || person.is_some_and(|it| it.is(who))
}

impl Person<'_> {
    pub(super) fn is(&self, who: &Who) -> bool {
        match who {
            Who::Everyone => true,
            Who::Principal(name) => self.declared.is_some_and(|it| it.0 == name),
            Who::Tag(tag) => self.declared.is_some_and(|it| it.1.tags.contains(tag)),
            Who::Group(name) => self.groups.contains(&name),
            Who::Type(kind) => self.kind == Some(*kind),
        }
    }

    pub(super) fn is_abroad(&self, scope: &Scope) -> bool {
        let own = self.scope.as_ref().and_then(Scope::organization);
        matches!((own, scope.organization()), (Some(own), Some(there)) if own != there)
    }
}
