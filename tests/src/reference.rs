//! The naive reference: sections 3 and 4 of the design, read aloud over the resolved names.
//!
//! It derives surface, operation, folds and scopes, judges schemas, evaluates conditions by
//! recursive Kleene logic, scans lists, and shares no code with the gate or `decide`.

mod arguments;
mod condition;
mod people;

use std::{collections::BTreeSet, sync::Arc};

use latchkey::{
    model::{
        Binding, Effect, Model, Permission, Rule, Scope, ScopeSource, Server, Surface, SurfaceName,
    },
    text::Text,
};
use latchkey_engine::{
    index::{Access, PrincipalType, Risk, SurfaceKind, Unlock},
    overlay::Overlay,
    time::{Dates, Time},
};
use latchkey_gate::call::{self, Stated};
use serde_json::Value;

use self::{
    arguments::{Arguments, force},
    people::{Person, people},
};

/// The reference's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The word of the reason.
    pub reason: &'static str,
    /// The rule that denied.
    pub rule: Option<String>,
    /// All granting bindings of an allowed call, sorted.
    pub granted_by: Vec<String>,
    /// `server/name`, once it is known.
    pub surface: Option<String>,
    /// The operation, once it is known.
    pub operation: Option<String>,
    /// The scopes of an allowed call, sorted.
    pub scopes: Vec<String>,
    /// The arguments of an allowed call as the upstream gets them.
    pub arguments: Value,
}

impl Answer {
    /// Where what a bundle says of the same call is something else: the member, and both values.
    #[must_use]
    pub fn differs(&self, bundle: &call::Answer) -> Option<(&'static str, String, String)> {
        let allowed = self.reason == "ok";
        let always = [
            ("reason", format!("{:?}", (self.reason, allowed))),
            ("rule", format!("{:?}", self.rule)),
            ("surface", format!("{:?}", self.surface)),
        ];
        let theirs = [
            format!("{:?}", (bundle.reason, bundle.decision == "allow")),
            format!("{:?}", bundle.rule),
            format!("{:?}", bundle.surface),
        ];
        let then = [
            ("granted_by", format!("{:?}", self.granted_by)),
            ("scopes", format!("{:?}", self.scopes)),
            ("operation", format!("{:?}", self.operation)),
        ];
        let theirs_then = [
            format!("{:?}", bundle.granted_by),
            format!("{:?}", bundle.scopes),
            format!("{:?}", bundle.operation),
        ];
        let always = always.into_iter().zip(theirs);
        let then = then.into_iter().zip(theirs_then).filter(|_| allowed);
        let mut pairs = always.chain(then);
        let differs = pairs.find(|((_, mine), theirs)| mine != theirs);
        differs.map(|((name, mine), theirs)| (name, mine, theirs))
    }
}

struct Reference<'a> {
    model: &'a Model,
    overlay: &'a Overlay,
    stated: &'a Stated,
    now: Time,
    server: &'a Server,
    name: SurfaceName,
    surface: &'a Surface,
    /// Where who acts belongs; a token says so also of whom rules take for anonymous.
    own: Option<Scope>,
    /// `None` is anonymous.
    people: Vec<Option<Person<'a>>>,
    arguments: Arguments<'a>,
}

/// Decides one call at a time.
#[must_use]
pub fn evaluate(model: &Model, overlay: &Overlay, stated: &Stated, now: Time) -> Answer {
    let refuse = |reason| Answer {
        reason,
        ..Answer::default()
    };
    let Some(mut people) = people(model, stated) else {
        return refuse("principal_unknown");
    };
    let server = model.servers.get(&stated.server).unwrap();
    let found = find(stated, server);
    let Some((name, surface, variables)) = found else {
        return refuse("surface_unmatched");
    };
    let name = SurfaceName {
        server: stated.server.as_str().into(),
        name: name.into(),
    };
    let revoked = |id: &String| overlay.revoked_tokens.contains(id);
    if stated.token_id.as_ref().is_some_and(revoked) {
        return Answer {
            surface: Some(name.to_string()),
            ..refuse("token_revoked")
        };
    }
    let public = surface.access == Access::Public;
    let mut value = asked(stated, &surface.kind, variables);
    force(&mut value, surface, people.first());
    let own = people.first().and_then(|it| it.scope.clone());
    let mut anonymous: Vec<Option<Person<'_>>> = people
        .drain(..)
        .map(|it| (!public || it.declared.is_some()).then_some(it))
        .collect();
    if public && anonymous.is_empty() {
        anonymous.push(None);
    }
    let shown = name.to_string();
    let reference = Reference {
        model,
        overlay,
        stated,
        now,
        server,
        name,
        surface,
        own,
        people: anonymous,
        arguments: Arguments { value, surface },
    };
    Answer {
        surface: Some(shown),
        ..reference.decide()
    }
}

/// The surface that is called, with the variables of its path.
fn find<'a>(
    stated: &Stated,
    server: &'a Server,
) -> Option<(&'a str, &'a Surface, serde_json::Map<String, Value>)> {
    let plain = |name: &Option<String>, kind: SurfaceKind| {
        let (key, surface) = server.surfaces.get_key_value(name.as_deref()?)?;
        (surface.kind == kind).then(|| (key.as_str(), surface, serde_json::Map::new()))
    };
    let routed = server.surfaces.iter().filter_map(|(name, surface)| {
        let variables = match (&surface.kind, &stated.resource, &stated.path) {
            (SurfaceKind::Resource { uri }, Some(asked), _) => matched(uri, asked),
            (SurfaceKind::Route { method, path }, _, Some(asked))
                if stated.method.as_ref() == Some(method) =>
            {
                matched(path, asked.split('?').next().unwrap())
            }
            _ => None,
        };
        Some((name.as_str(), surface, variables?))
    });
    // Of two that match, the one that is literal earlier.
    let literal = |surface: &Surface| match &surface.kind {
        SurfaceKind::Resource { uri: path } | SurfaceKind::Route { path, .. } => {
            path.split('/').map(|it| it.contains('{')).collect()
        }
        _ => Vec::new(),
    };
    plain(&stated.tool, SurfaceKind::Tool)
        .or_else(|| plain(&stated.prompt, SurfaceKind::Prompt))
        .or_else(|| routed.min_by_key(|it| literal(it.1)))
}

fn matched(template: &str, path: &str) -> Option<serde_json::Map<String, Value>> {
    let mut variables = serde_json::Map::new();
    let mut parts = path.split('/');
    for wanted in template.split('/') {
        if let Some(name) = wanted.strip_prefix("{+") {
            let rest: Vec<&str> = parts.by_ref().collect();
            let rest = rest.join("/");
            variables.insert(name.trim_end_matches('}').to_owned(), rest.into());
            continue;
        }
        let part = parts.next()?;
        match wanted.split_once('{') {
            None if wanted == part => {}
            None => return None,
            Some((prefix, rest)) => {
                let (name, suffix) = rest.split_once('}').unwrap();
                let inner = part.strip_prefix(prefix)?.strip_suffix(suffix)?;
                if inner.is_empty() {
                    return None;
                }
                variables.insert(name.to_owned(), inner.into());
            }
        }
    }
    parts.next().is_none().then_some(variables)
}

/// The arguments as the request states them.
fn asked(stated: &Stated, kind: &SurfaceKind, variables: serde_json::Map<String, Value>) -> Value {
    let json = |raw: &serde_json::value::RawValue| serde_json::from_str(raw.get()).unwrap();
    match kind {
        SurfaceKind::Tool | SurfaceKind::Prompt => stated
            .arguments
            .as_deref()
            .map_or(serde_json::json!({}), json),
        SurfaceKind::Resource { .. } => Value::Object(variables),
        SurfaceKind::Route { .. } => {
            let path = stated.path.as_deref().unwrap_or_default();
            let query = path.split_once('?').map_or("", |it| it.1);
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let query: serde_json::Map<String, Value> = pairs
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let mut all = serde_json::json!({"path": variables, "query": query});
            if let Some(body) = &stated.body {
                all["body"] = json(body);
            }
            all
        }
    }
}

impl<'a> Reference<'a> {
    fn decide(&self) -> Answer {
        let mut answer = Answer {
            reason: "ok",
            ..Answer::default()
        };
        let Some(operations) = self.operations() else {
            answer.reason = "operation_unknown";
            return answer;
        };
        let named: Vec<&str> = operations.iter().flatten().map(String::as_str).collect();
        answer.operation = (!named.is_empty()).then(|| named.join(","));
        let scopes = self.scopes();
        let public = self.surface.access == Access::Public;
        let first = (!public).then(|| self.identity()).flatten();
        let checks = first.or_else(|| scopes.is_none().then_some("scope_invalid"));
        let checks = checks.or_else(|| self.arguments.broken().then_some("schema_violation"));
        if let Some(reason) = checks {
            answer.reason = reason;
            return answer;
        }
        let scopes = scopes.unwrap();
        if !public && let Err(reason) = self.grants(&scopes, &operations, &mut answer) {
            answer.reason = reason;
            return answer;
        }
        answer.reason = self.refusals(&scopes, &operations, &mut answer.rule);
        if answer.reason != "ok" {
            answer.granted_by.clear();
            return answer;
        }
        answer.granted_by.sort();
        answer.granted_by.dedup();
        answer.scopes = scopes.iter().map(ToString::to_string).collect();
        answer.scopes.sort();
        answer.arguments = self.arguments.value.clone();
        answer
    }

    fn operations(&self) -> Option<Vec<Option<String>>> {
        let Some(operations) = &self.surface.operations else {
            return Some(vec![None]);
        };
        let mut values = self.arguments.texts(&operations.argument.value)?;
        values.sort();
        values.dedup();
        let known = values
            .iter()
            .all(|it| operations.values.contains_key(it.as_str()));
        known.then(|| values.into_iter().map(Some).collect())
    }

    fn identity(&self) -> Option<&'static str> {
        let known = || self.people.iter().flatten();
        let mut declared = known().filter_map(|it| it.declared.as_ref());
        if self.people.is_empty() {
            Some("unauthenticated")
        } else if self.people.len() > 4 {
            Some("chain_too_long")
        } else if known().any(|it| it.declared.is_none() && !it.issuer.undeclared) {
            Some("principal_unknown")
        } else if declared.any(|(name, it)| {
            let overlaid = self.overlay.suspended.iter().any(|it| it == *name);
            it.suspended || overlaid || !within(it.dates.dates, self.now)
        }) {
            Some("principal_suspended")
        } else {
            None
        }
    }

    fn scopes(&self) -> Option<Vec<Scope>> {
        let own = self.own.clone();
        let scopes = match &self.surface.scope {
            ScopeSource::Server | ScopeSource::Unscoped => {
                vec![Scope::clone(&self.server.scope.value)]
            }
            ScopeSource::Principal => vec![own?],
            ScopeSource::Force { team: false, .. } => {
                vec![Scope::Organization(own?.organization()?.into())]
            }
            ScopeSource::Force { team: true, .. } => vec![own.filter(|it| it.team().is_some())?],
            ScopeSource::Map {
                argument,
                exact,
                prefixes,
            } => {
                let mapped = |text: &String| {
                    let mut best = prefixes
                        .iter()
                        .filter(|it| text.starts_with(it.0.as_str()))
                        .collect();
                    let longest = |all: &mut Vec<(&'a Text, &'a Arc<Scope>)>| {
                        all.sort_by_key(|it| it.0.len());
                        all.last().map(|it| it.1)
                    };
                    exact
                        .get(text.as_str())
                        .or_else(|| longest(&mut best))
                        .map(|it| Scope::clone(it))
                };
                let texts = self.arguments.texts(&argument.value)?;
                texts.iter().map(mapped).collect::<Option<Vec<_>>>()?
            }
        };
        let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
        let inside = scopes.iter().all(|it| self.server.scope.value.covers(it));
        (inside && !scopes.is_empty() && scopes.len() <= 16).then(|| scopes.into_iter().collect())
    }

    /// `cross_organization` for all callers, then `no_permission` for all.
    fn grants(
        &self,
        scopes: &[Scope],
        operations: &[Option<String>],
        answer: &mut Answer,
    ) -> Result<(), &'static str> {
        for (abroad, reason) in [(true, "cross_organization"), (false, "no_permission")] {
            if !abroad && self.surface.access == Access::Authenticated {
                continue;
            }
            for person in self.people.iter().flatten() {
                for scope in scopes.iter().filter(|it| person.is_abroad(it) == abroad) {
                    for operation in operations {
                        let found = self.granting(person, scope, operation.as_deref(), abroad);
                        if found.is_empty() {
                            return Err(reason);
                        }
                        answer.granted_by.extend(found);
                    }
                }
            }
        }
        Ok(())
    }

    fn granting(
        &self,
        person: &Person<'_>,
        scope: &Scope,
        operation: Option<&str>,
        abroad: bool,
    ) -> Vec<String> {
        let permission = self.permission(operation);
        let gives = |binding: &Binding| {
            let mut roles = binding.roles.iter();
            roles.any(|role| {
                self.model
                    .roles
                    .get(&role.value)
                    .unwrap()
                    .permissions
                    .contains_key(&permission)
            })
        };
        let bindings = self.model.bindings.iter().filter(|(_, binding)| {
            binding.who.iter().any(|who| person.is(&who.value))
                && binding.scope.value.covers(scope)
                && gives(binding)
                && (!abroad || binding.cross_organization)
                && within(binding.dates.dates, self.now)
                && self.holds(binding.when.as_deref(), scope, false)
        });
        bindings.map(|(name, _)| name.to_string()).collect()
    }

    fn permission(&self, operation: Option<&str>) -> Permission {
        Permission {
            surface: self.name.clone(),
            operation: operation.map(Text::from),
        }
    }

    fn refusals(
        &self,
        scopes: &[Scope],
        operations: &[Option<String>],
        rule: &mut Option<String>,
    ) -> &'static str {
        let public = self.surface.access == Access::Public;
        if self.overlay.denied.contains(&self.name.to_string()) {
            return "denied_by_overlay";
        }
        let denies = |rule: &Rule| matches!(rule.effect, Effect::Deny(_));
        let mut rules = self.model.rules.iter();
        if let Some((name, _)) =
            rules.find(|(_, rule)| denies(rule) && self.matches(rule, scopes, operations))
        {
            *rule = Some(name.to_string());
            return "denied_by_policy";
        }
        let listed = |operation: &Option<String>| {
            let permitted = self.stated.token_permissions.as_ref();
            permitted.is_none_or(|it| it.contains(&self.exact(operation.as_deref())))
        };
        if !public && !operations.iter().all(listed) {
            return "token_scope";
        }
        if !public && !self.is_unlocked(scopes, operations) {
            return "break_glass_required";
        }
        "ok"
    }

    fn exact(&self, operation: Option<&str>) -> String {
        let kind = match self.surface.kind {
            SurfaceKind::Tool => "tools",
            SurfaceKind::Prompt => "prompts",
            SurfaceKind::Resource { .. } => "resources",
            SurfaceKind::Route { .. } => "routes",
        };
        match operation {
            None => format!("{kind}:{}:call", self.name),
            Some(operation) => format!("{kind}:{}:call:{operation}", self.name),
        }
    }

    fn matches(&self, rule: &Rule, scopes: &[Scope], operations: &[Option<String>]) -> bool {
        let spoken_of = self.people.iter().any(|person| {
            let is = |who| people::is(person.as_ref(), who);
            let named = rule.who.is_empty() || rule.who.iter().any(|it| is(&it.value));
            named && !rule.except.iter().any(|it| is(&it.value))
        });
        let touched = operations.iter().any(|it| {
            rule.permissions
                .contains_key(&self.permission(it.as_deref()))
        });
        let holds = |scope: &Scope| {
            rule.scope.covers(scope) && self.holds(rule.when.as_deref(), scope, true)
        };
        spoken_of && touched && within(rule.dates.dates, self.now) && scopes.iter().any(holds)
    }

    fn is_unlocked(&self, scopes: &[Scope], operations: &[Option<String>]) -> bool {
        let risk = |it: &Option<String>| self.model.risk(&self.permission(it.as_deref()));
        let destructive = operations.iter().any(|it| risk(it) == Risk::Destructive);
        if self.surface.unlock == Unlock::Grant || !destructive {
            return true;
        }
        let name = self.name.to_string();
        let active = |person: &Person<'_>, scope: &Scope| {
            let path = scope.to_string();
            self.overlay.activations.iter().any(|it| {
                let below = path.starts_with(&format!("{}/", it.scope));
                let covers = it.scope == "platform" || it.scope == path || below;
                let mine = person
                    .declared
                    .as_ref()
                    .is_some_and(|me| *me.0 == it.principal);
                mine && covers && it.surfaces.contains(&name) && self.now.0 < it.expires.0
            })
        };
        let mut people = self.people.iter().flatten();
        let answerable: Vec<_> = people
            .by_ref()
            .filter(|it| it.kind != Some(PrincipalType::Agent))
            .collect();
        let covered = |it: &&Person<'_>| scopes.iter().all(|scope| active(it, scope));
        !answerable.is_empty() && answerable.iter().all(covered)
    }
}

fn within(dates: Dates, now: Time) -> bool {
    dates.not_before.is_none_or(|it| it.0 <= now.0) && dates.expires.is_none_or(|it| now.0 < it.0)
}
