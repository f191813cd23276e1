//! The naive reference: section 4 of the design, read aloud over names. It scans lists, allocates
//! freely, evaluates conditions by recursive Kleene logic, and shares no code with `decide`.

use std::net::IpAddr;

use latchkey_engine::{
    index::{Access, PrincipalType, Risk, Unlock},
    overlay::Overlay,
    testing::{
        Argument, BindingEntry, Condition, IssuerEntry, PrincipalEntry, RuleEntry, SurfaceEntry,
        Where, Who, World, WorldCall,
    },
    time::{Dates, Time},
};

/// The reference's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) reason: &'static str,
    /// The granting binding or the denying rule.
    pub(crate) because: Option<String>,
    /// `(source, count, seconds)`, sorted.
    pub(crate) obligations: Vec<(String, String)>,
}

/// A caller in names.
struct Person<'a> {
    declared: Option<&'a PrincipalEntry>,
    issuer: &'a IssuerEntry,
    kind: Option<PrincipalType>,
    scope: Option<String>,
    groups: Vec<&'a str>,
}

struct Reference<'a> {
    world: &'a World,
    call: &'a WorldCall,
    surface: &'a SurfaceEntry,
    /// `None` is anonymous.
    people: Vec<Option<Person<'a>>>,
}

fn refuse(reason: &'static str) -> Answer {
    refuse_because(reason, None)
}

fn refuse_because(reason: &'static str, because: Option<String>) -> Answer {
    Answer {
        reason,
        because,
        obligations: Vec::new(),
    }
}

/// Decides one call.
pub(crate) fn evaluate(world: &World, overlay: &Overlay, call: &WorldCall) -> Answer {
    if let Some(id) = &call.token_id
        && overlay.revoked_tokens.contains(id)
    {
        return refuse("token_revoked");
    }
    let surface = call.surface.as_ref().and_then(|name| world.surface(name));
    let Some(surface) = surface else {
        return refuse("surface_unmatched");
    };
    let operations: Vec<Option<&str>> = match (&call.operations, surface.operations.is_empty()) {
        (_, true) => vec![None],
        (None, false) => Vec::new(),
        (Some(names), false) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    if operations.is_empty() {
        return refuse("operation_unknown");
    }
    let public = surface.access == Access::Public;
    let callers = call.callers.iter().map(|it| person(world, it));
    let mut people: Vec<Option<Person<'_>>> = callers
        .map(|it| (!public || it.declared.is_some()).then_some(it))
        .collect();
    if !public {
        if let Some(reason) = identity(overlay, call, &people) {
            return refuse(reason);
        }
    } else if people.is_empty() {
        people.push(None);
    }
    Reference {
        world,
        call,
        surface,
        people,
    }
    .decide(overlay, &operations)
}

fn person<'a>(world: &'a World, given: &'a (String, String, Vec<String>)) -> Person<'a> {
    let (issuer, subject, claims) = given;
    let issuer = world.issuers.iter().find(|it| it.name == *issuer).unwrap();
    let identity = (issuer.name.clone(), subject.clone());
    let declared = world.principals.iter();
    let declared = { declared }.find(|it| it.identities.contains(&identity));
    let claimed = |claim: &(String, String)| claim.0 == issuer.name && claims.contains(&claim.1);
    let groups = world.groups.iter().filter(|group| {
        let by_git = declared.is_some_and(|it| it.groups.contains(&group.name));
        by_git || group.claim.as_ref().is_some_and(claimed)
    });
    let only = match issuer.organizations.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    Person {
        declared,
        issuer,
        kind: declared.map_or(issuer.undeclared_type, |it| Some(it.kind)),
        scope: declared.map_or(only, |it| Some(it.scope.clone())),
        groups: groups.map(|it| it.name.as_str()).collect(),
    }
}

fn identity(
    overlay: &Overlay,
    call: &WorldCall,
    people: &[Option<Person<'_>>],
) -> Option<&'static str> {
    let known = || people.iter().flatten();
    if people.is_empty() {
        return Some("unauthenticated");
    }
    if people.len() > 4 {
        return Some("chain_too_long");
    }
    if known().any(|it| it.declared.is_none() && !it.issuer.undeclared) {
        return Some("principal_unknown");
    }
    let mut declared = known().filter_map(|it| it.declared);
    let suspended = declared.any(|it| {
        it.suspended || overlay.suspended.contains(&it.name) || !contains(it.dates, call.now)
    });
    suspended.then_some("principal_suspended")
}

fn contains(dates: Dates, now: Time) -> bool {
    dates.not_before.is_none_or(|it| it.0 <= now.0) && dates.expires.is_none_or(|it| now.0 < it.0)
}

/// Whether one path is another or lies below it.
fn covers(outer: &str, inner: &str) -> bool {
    outer == "platform" || outer == inner || inner.starts_with(&format!("{outer}/"))
}

fn organization(path: &str) -> Option<&str> {
    (path != "platform").then(|| path.split('/').next().unwrap())
}

fn team(path: &str) -> Option<&str> {
    path.split_once('/').map(|(_, team)| team)
}

impl Reference<'_> {
    fn decide(&self, overlay: &Overlay, operations: &[Option<&str>]) -> Answer {
        let name = self.surface.full_name();
        let home = self.world.servers.iter();
        let home = { home }.find(|it| it.0 == self.surface.server).unwrap();
        let scopes = self.call.scopes.clone().unwrap_or_default();
        if scopes.is_empty() || scopes.len() > 16 || scopes.iter().any(|it| !covers(&home.1, it)) {
            return refuse("scope_invalid");
        }
        if self.call.arguments.is_none() {
            return refuse("schema_violation");
        }
        let public = self.surface.access == Access::Public;
        let mut granted: Vec<&str> = Vec::new();
        if !public {
            for (abroad, reason) in [(true, "cross_organization"), (false, "no_permission")] {
                if !abroad && self.surface.access == Access::Authenticated {
                    continue;
                }
                for person in self.people.iter().flatten() {
                    for (scope, operation) in pairs(&scopes, operations) {
                        if is_abroad(person, scope) != abroad {
                            continue;
                        }
                        let found = self.granting(person, scope, operation, abroad);
                        if found.is_empty() {
                            return refuse(reason);
                        }
                        granted.extend(found);
                    }
                }
            }
        }
        if overlay.denied.contains(&name) {
            return refuse("denied_by_overlay");
        }
        let matching = self.matching(&scopes, operations);
        let denies = matching.iter().filter(|rule| rule.require.is_none());
        if let Some(rule) = denies.map(|rule| rule.name.clone()).min() {
            return refuse_because("denied_by_policy", Some(rule));
        }
        if !public {
            if let Some(tokens) = &self.call.token_permissions {
                let listed = |operation: Option<&str>| match operation {
                    None => tokens.contains(&format!("tools:{name}:call")),
                    Some(operation) => tokens.contains(&format!("tools:{name}:call:{operation}")),
                };
                if !operations.iter().copied().all(listed) {
                    return refuse("token_scope");
                }
            }
            if !self.is_unlocked(overlay, &name, &scopes, operations) {
                return refuse("break_glass_required");
            }
        }
        Answer {
            reason: "ok",
            because: granted.iter().min().map(|name| (*name).to_owned()),
            obligations: self.obligations(&name, &matching),
        }
    }

    fn granting(
        &self,
        person: &Person<'_>,
        scope: &str,
        operation: Option<&str>,
        abroad: bool,
    ) -> Vec<&str> {
        let gives = |binding: &BindingEntry| {
            let roles = self.world.roles.iter();
            let mut held = roles.filter(|(name, _)| binding.roles.contains(name));
            held.any(|(_, permissions)| self.names(permissions, operation))
        };
        let bindings = self.world.bindings.iter().filter(|binding| {
            binding.who.iter().any(|who| is(who, Some(person)))
                && covers(&binding.scope, scope)
                && gives(binding)
                && (!abroad || binding.cross_organization)
                && contains(binding.dates, self.call.now)
                && self.holds(binding.condition.as_ref(), scope, false)
        });
        bindings.map(|binding| binding.name.as_str()).collect()
    }

    fn names(&self, permissions: &[(String, Option<String>)], operation: Option<&str>) -> bool {
        let name = self.surface.full_name();
        permissions
            .iter()
            .any(|it| it.0 == name && it.1.as_deref() == operation)
    }

    fn matching(&self, scopes: &[String], operations: &[Option<&str>]) -> Vec<&RuleEntry> {
        let matches = |rule: &&RuleEntry| {
            self.people.iter().any(|person| {
                let person = person.as_ref();
                let named = rule.who.is_empty() || rule.who.iter().any(|who| is(who, person));
                named && !rule.except.iter().any(|who| is(who, person))
            }) && contains(rule.dates, self.call.now)
                && pairs(scopes, operations).any(|(scope, operation)| {
                    covers(&rule.scope, scope)
                        && self.names(&rule.permissions, operation)
                        && self.holds(rule.condition.as_ref(), scope, true)
                })
        };
        self.world.rules.iter().filter(matches).collect()
    }

    fn obligations(&self, name: &str, matching: &[&RuleEntry]) -> Vec<(String, String)> {
        let own = self.surface.obligations.iter();
        let own = own.map(|it| (name.to_owned(), format!("{it:?}")));
        let required = matching.iter().flat_map(|rule| {
            let required = rule.require.iter().flatten();
            required.map(|it| (rule.name.clone(), format!("{it:?}")))
        });
        let mut all: Vec<_> = own.chain(required).collect();
        all.sort();
        all
    }

    fn is_unlocked(
        &self,
        overlay: &Overlay,
        name: &String,
        scopes: &[String],
        operations: &[Option<&str>],
    ) -> bool {
        let risk = |operation: Option<&str>| match operation {
            None => self.surface.risk,
            Some(operation) => {
                let operations = self.surface.operations.iter();
                { operations }.find(|it| it.0 == operation).unwrap().1
            }
        };
        if self.surface.unlock == Unlock::Grant
            || operations.iter().all(|it| risk(*it) != Risk::Destructive)
        {
            return true;
        }
        let people = self.people.iter().flatten();
        let people: Vec<_> = people
            .filter(|it| it.kind != Some(PrincipalType::Agent))
            .collect();
        let active = |person: &Person<'_>, scope: &String| {
            overlay.activations.iter().any(|it| {
                person.declared.is_some_and(|me| me.name == it.principal)
                    && it.surfaces.contains(name)
                    && covers(&it.scope, scope)
                    && self.call.now.0 < it.expires.0
            })
        };
        let covered = |person: &&Person<'_>| scopes.iter().all(|scope| active(person, scope));
        !people.is_empty() && people.iter().all(covered)
    }

    fn holds(&self, condition: Option<&Condition>, scope: &str, undetermined: bool) -> bool {
        condition.is_none_or(|it| self.kleene(it, scope).unwrap_or(undetermined))
    }

    /// `None` is undetermined.
    fn kleene(&self, condition: &Condition, scope: &str) -> Option<bool> {
        let text = |name| match self.value(name, scope) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        let number = |name| match self.value(name, scope) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        };
        match condition {
            Condition::Has(name) => Some(self.value(name, scope).is_some()),
            Condition::True(name) => match self.value(name, scope) {
                Some(Value::Bool(value)) => Some(value),
                _ => None,
            },
            Condition::Equal(name, value) => text(name).map(|text| text == *value),
            Condition::NotEqual(name, value) => text(name).map(|text| text != *value),
            Condition::Less(name, value) => number(name).map(|number| number < *value),
            Condition::AtLeast(name, value) => number(name).map(|number| number >= *value),
            Condition::In(name, values) => text(name).map(|text| values.contains(&text.as_str())),
            Condition::StartsWith(name, part) => text(name).map(|text| text.starts_with(part)),
            Condition::EndsWith(name, part) => text(name).map(|text| text.ends_with(part)),
            Condition::Contains(name, part) => text(name).map(|text| text.contains(part)),
            Condition::Member(name, value) => match self.value(name, scope) {
                Some(Value::Texts(texts)) => Some(texts.iter().any(|it| it == value)),
                _ => None,
            },
            Condition::SizeAtMost(name, size) => match self.value(name, scope) {
                Some(Value::Texts(texts)) => Some(texts.len() as u64 <= *size),
                _ => None,
            },
            Condition::Same(one, other) => Some(text(one)? == text(other)?),
            Condition::Inside => match self.call.address? {
                IpAddr::V4(address) => Some(address.octets()[0] == 10),
                IpAddr::V6(_) => Some(false),
            },
            Condition::Before(_, seconds) => Some(self.call.now.0 < *seconds),
            Condition::During(name) => {
                let mut schedules = self.world.schedules.iter();
                let schedule = schedules.find(|it| it.name == *name).unwrap();
                schedule.is_on(self.call.now)
            }
            Condition::EachPath { every, prefix } => {
                let Some(Value::Files(files)) = self.value("args.files", scope) else {
                    return None;
                };
                let each = files
                    .iter()
                    .map(|path| path.map(|it| it.starts_with(prefix)));
                if *every { all(each) } else { any(each) }
            }
            Condition::Not(part) => self.kleene(part, scope).map(|it| !it),
            Condition::And(parts) => all(parts.iter().map(|it| self.kleene(it, scope))),
            Condition::Or(parts) => any(parts.iter().map(|it| self.kleene(it, scope))),
        }
    }

    /// The value of an attribute; `None` is absent.
    fn value(&self, name: &str, scope: &str) -> Option<Value> {
        let (root, field) = name.split_once('.').unwrap();
        match root {
            "args" => {
                let given = self.call.arguments.as_ref().unwrap().iter();
                let (_, value) = { given }.find(|(it, _)| *it == field)?;
                Some(match value {
                    Argument::Opaque => Value::Opaque,
                    Argument::Bool(value) => Value::Bool(*value),
                    Argument::Number(value) => Value::Number(*value),
                    Argument::Text(value) => Value::Text((*value).to_owned()),
                    Argument::Texts(texts) => {
                        Value::Texts(texts.iter().map(|it| (*it).to_owned()).collect())
                    }
                    Argument::Files(files) => Value::Files(files.clone()),
                })
            }
            "scope" if field == "team" => team(scope).map(|it| Value::Text(it.to_owned())),
            "scope" => organization(scope).map(|it| Value::Text(it.to_owned())),
            "request" => self.call.address.map(|_| Value::Opaque),
            "principal" => fact(self.people.first()?.as_ref(), field),
            _ => fact(self.people.last()?.as_ref(), field),
        }
    }
}

enum Value {
    Opaque,
    Bool(bool),
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Files(Vec<Option<&'static str>>),
}

fn fact(person: Option<&Person<'_>>, field: &str) -> Option<Value> {
    let declared = person.and_then(|it| it.declared);
    let scope = person.and_then(|it| it.scope.as_deref());
    let text = match field {
        "tags" => {
            return Some(Value::Texts(
                declared.map_or(Vec::new(), |it| it.tags.clone()),
            ));
        }
        "groups" => {
            let groups = person.map_or(&[][..], |it| &it.groups);
            let groups = groups.iter().map(|it| (*it).to_owned()).collect();
            return Some(Value::Texts(groups));
        }
        "name" => declared.map(|it| it.name.clone()),
        "type" => person.and_then(|it| it.kind).map(|kind| match kind {
            PrincipalType::Human => "human".to_owned(),
            PrincipalType::Service => "service".to_owned(),
            PrincipalType::Agent => "agent".to_owned(),
        }),
        "organization" => scope.and_then(organization).map(str::to_owned),
        _ => scope.and_then(team).map(str::to_owned),
    };
    text.map(Value::Text)
}

fn is(who: &Who, person: Option<&Person<'_>>) -> bool {
    let declared = person.and_then(|it| it.declared);
    match who {
        Who::Everyone => true,
        Who::Principal(name) => declared.is_some_and(|it| it.name == *name),
        Who::Tag(name) => declared.is_some_and(|it| it.tags.contains(name)),
        Who::Group(name) => person.is_some_and(|it| it.groups.contains(&name.as_str())),
        Who::Type(kind) => person.is_some_and(|it| it.kind == Some(*kind)),
    }
}

fn is_abroad(person: &Person<'_>, scope: &str) -> bool {
    let own = person.scope.as_deref().and_then(organization);
    matches!((own, organization(scope)), (Some(own), Some(there)) if own != there)
}

fn pairs<'a>(
    scopes: &'a [String],
    operations: &'a [Option<&'a str>],
) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    scopes
        .iter()
        .flat_map(|scope| operations.iter().map(move |it| (scope.as_str(), *it)))
}

fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut undetermined = false;
    for part in parts {
        match part {
            Some(false) => return Some(false),
            Some(true) => {}
            None => undetermined = true,
        }
    }
    (!undetermined).then_some(true)
}

fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(parts.map(|part| part.map(|it| !it))).map(|it| !it)
}

/// The scopes that a call of a surface can name, for discovery's promise.
pub(crate) fn possible_scopes(
    world: &World,
    surface: &SurfaceEntry,
    call: &WorldCall,
) -> Vec<String> {
    let home = world.servers.iter().find(|it| it.0 == surface.server);
    let home = home.unwrap().1.clone();
    let own = call.callers.first().and_then(|it| person(world, it).scope);
    let paths = match &surface.scope {
        Where::Server | Where::Unscoped => vec![home.clone()],
        Where::Principal => own.into_iter().collect(),
        Where::Force { team: true } => own.into_iter().filter(|it| team(it).is_some()).collect(),
        Where::Force { team: false } => {
            let own = own.iter().filter_map(|it| organization(it));
            own.map(str::to_owned).collect()
        }
        Where::Map(values) => values.iter().map(|it| it.1.clone()).collect(),
    };
    paths.into_iter().filter(|it| covers(&home, it)).collect()
}
