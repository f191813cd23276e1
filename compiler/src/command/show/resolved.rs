//! The model as one value: names, defaults spelled out, selectors expanded.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    index::{Access, Algorithm, Disclose, Fold, Obligation, SurfaceKind, Transport, Unlock},
    time::Time,
};
use latchkey_gate::call::obligation_text;
use serde_json::{Map, Value as Json, json};

use crate::{
    model::{
        Binding, ByName, Effect, Fact, Group, Issuer, Model, Period, Permission, Principal, Role,
        Rule, ScopeSource, Server, Surface, SurfaceName, Who, risk_name, type_name,
    },
    source::{SourceMap, Span, Spanned},
    text::Text,
};

/// The whole project; each entry says where it is written.
pub(super) fn project(model: &Model, sources: &SourceMap) -> Json {
    let show = Show { model, sources };
    json!({
        "organizations": show.all(&model.organizations, |_, it| (it.span, json!({
            "id": it.id, "teams": it.teams.keys().collect::<Vec<&Text>>(),
        }))),
        "issuers": show.all(&model.issuers, |_, it| (it.span, issuer(it))),
        "groups": show.all(&model.groups, |_, it| (it.span, group(it))),
        "principals": show.all(&model.principals, |_, it| (it.span, principal(it))),
        "roles": show.all(&model.roles, |_, it| (it.span, show.role(it))),
        "bindings": show.all(&model.bindings, |_, it| (it.span, show.binding(it))),
        "rules": show.all(&model.rules, |_, it| (it.span, rule(it))),
        "servers": show.all(&model.servers, |name, it| (it.span, show.server(name, it))),
    })
}

struct Show<'a> {
    model: &'a Model,
    sources: &'a SourceMap,
}

impl Show<'_> {
    fn all<T>(&self, entries: &ByName<T>, show: impl Fn(&str, &T) -> (Span, Json)) -> Json {
        let shown = entries.iter().map(|(name, entry)| {
            let (span, value) = show(name, entry);
            let mut map = Map::from_iter([("place".to_owned(), json!(self.sources.place(span)))]);
            if let Json::Object(fields) = value {
                map.extend(fields.into_iter().filter(|(_, value)| !is_nothing(value)));
            }
            (name.to_string(), Json::Object(map))
        });
        Json::Object(shown.collect())
    }

    fn role(&self, role: &Role) -> Json {
        let inherited = role
            .permissions
            .keys()
            .filter(|it| !role.own.contains_key(it));
        json!({
            "inherits": role.inherits.iter().map(|it| &it.value).collect::<Vec<_>>(),
            "own": self.permissions(role.own.keys()),
            "inherited": self.permissions(inherited),
        })
    }

    /// Permissions by name with the risk of each.
    fn permissions<'p>(&self, all: impl Iterator<Item = &'p Permission>) -> Json {
        let risks = all.map(|it| (it.to_string(), json!(risk_name(self.model.risk(it)))));
        Json::Object(risks.collect())
    }

    fn binding(&self, binding: &Binding) -> Json {
        let roles = binding.roles.iter();
        let roles = roles.filter_map(|role| self.model.roles.get(&role.value));
        let given: BTreeSet<_> = roles.flat_map(|role| role.permissions.keys()).collect();
        json!({
            "who": who(&binding.who),
            "roles": binding.roles.iter().map(|it| &it.value).collect::<Vec<_>>(),
            "in": binding.scope.to_string(),
            "when": binding.when.as_ref().map(|it| &it.text),
            "notBefore": binding.dates.dates.not_before.map(time),
            "expires": binding.dates.dates.expires.map(time),
            "crossOrganization": binding.cross_organization,
            "reason": binding.reason.as_deref(),
            "gives": self.permissions(given.into_iter()),
        })
    }

    fn server(&self, name: &str, server: &Server) -> Json {
        let surfaces = server.surfaces.iter().map(|(own, surface)| {
            let full = SurfaceName {
                server: name.into(),
                name: own.clone(),
            };
            (own.to_string(), self.surface(&full, surface))
        });
        json!({
            "in": server.scope.to_string(),
            "transport": match server.transport {
                Transport::Mcp => "mcp",
                Transport::Http => "http",
            },
            "upstream": server.upstream,
            "disclose": match server.disclose {
                Disclose::Hidden => "hidden",
                Disclose::Code => "code",
                Disclose::Full => "full",
            },
            "limits": {
                "body": format!("{}B", server.max_body),
                "headerTimeout": format!("{}ms", server.header_timeout),
                "timeout": format!("{}ms", server.timeout),
            },
            "settings": server.settings,
            "surfaces": Json::Object(surfaces.collect()),
        })
    }

    fn surface(&self, name: &SurfaceName, surface: &Surface) -> Json {
        let holders = |permission: &Permission| -> Vec<&Text> {
            let bindings = self.model.bindings.iter().filter(|(_, binding)| {
                let roles = binding.roles.iter();
                let mut roles = roles.filter_map(|it| self.model.roles.get(&it.value));
                roles.any(|role| role.permissions.contains_key(permission))
            });
            bindings.map(|(name, _)| name).collect()
        };
        let permissions = surface
            .permissions(name)
            .into_iter()
            .map(|(permission, risk)| {
                let shown = json!({"risk": risk_name(risk), "bindings": holders(&permission)});
                (permission.to_string(), shown)
            });
        let mut map = Map::from_iter([
            ("place".to_owned(), json!(self.sources.place(surface.span))),
            ("access".to_owned(), json!(access(surface.access))),
            (
                "permissions".to_owned(),
                Json::Object(permissions.collect()),
            ),
            ("scope".to_owned(), scope(&surface.scope)),
        ]);
        let mut add = |key: &str, value: Json| {
            if !is_nothing(&value) {
                map.insert(key.to_owned(), value);
            }
        };
        match &surface.kind {
            SurfaceKind::Tool => add("kind", json!("tool")),
            SurfaceKind::Prompt => add("kind", json!("prompt")),
            SurfaceKind::Resource { uri } => add("uri", json!(uri)),
            SurfaceKind::Route { method, path } => add("route", json!(format!("{method} {path}"))),
        }
        if surface.risk == latchkey_engine::index::Risk::Destructive {
            add("unlock", json!(unlock(surface.unlock)));
        }
        let argument = surface
            .operations
            .as_ref()
            .map(|it| it.argument.value.join("."));
        add("operationArgument", json!(argument));
        let facts = surface
            .arguments
            .iter()
            .map(|(path, it)| (path.join("."), fact(it)));
        add("arguments", Json::Object(facts.collect()));
        add("limits", limits(&surface.obligations));
        add("audit", json!(surface.audit));
        add("settings", json!(surface.settings));
        add(
            "input",
            surface
                .schema
                .as_ref()
                .map_or(Json::Null, |it| it.json.clone()),
        );
        Json::Object(map)
    }
}

fn issuer(issuer: &Issuer) -> Json {
    let algorithms = issuer.algorithms.iter().map(|it| match it {
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es256 => "ES256",
        Algorithm::Rs256 => "RS256",
        Algorithm::Es384 => "ES384",
        Algorithm::Ps256 => "PS256",
    });
    json!({
        "issuer": issuer.url.value,
        "audiences": issuer.audiences,
        "algorithms": algorithms.collect::<Vec<_>>(),
        "organizations": issuer.organizations,
        "subjects": if issuer.undeclared { "any" } else { "declared" },
        "type": issuer.undeclared_type.map(type_name),
        "groupsClaim": issuer.groups_claim,
        "clockSkew": format!("{}s", issuer.clock_skew),
        "maxLifetime": (issuer.max_lifetime > 0).then(|| format!("{}s", issuer.max_lifetime)),
        "settings": issuer.settings,
        "jwks": serde_json::from_str::<Json>(&issuer.keys).unwrap_or(Json::Null),
    })
}

fn group(group: &Group) -> Json {
    let from = group.claim.as_ref();
    json!({
        "members": group.members.iter().collect::<Vec<_>>(),
        "from": from.map(|(issuer, value)| json!({"issuer": issuer, "value": value})),
        "within": group.within.as_ref().map(ToString::to_string),
    })
}

fn principal(principal: &Principal) -> Json {
    let identities = principal.identities.iter();
    let identities =
        identities.map(|(issuer, subject)| json!({"issuer": issuer, "subject": subject}));
    let mut shown = json!({
        "type": type_name(principal.kind),
        "in": principal.scope.to_string(),
        "identities": identities.collect::<Vec<_>>(),
        "tags": &*principal.tags,
        "owner": principal.owner.as_ref().map(|it| &it.value),
        "suspended": principal.suspended,
    });
    dates(&principal.dates, &mut shown);
    shown
}

fn rule(rule: &Rule) -> Json {
    let (effect, message, require) = match &rule.effect {
        Effect::Deny(message) => ("deny", Some(message), Json::Null),
        Effect::Require(obligations) => ("require", None, limits(obligations)),
    };
    let surfaces = rule.permissions.keys().map(ToString::to_string);
    let mut shown = json!({
        "effect": effect,
        "who": if rule.who.is_empty() { vec!["everyone".to_owned()] } else { who(&rule.who) },
        "except": who(&rule.except),
        "in": rule.scope.to_string(),
        "surfaces": surfaces.collect::<Vec<_>>(),
        "when": rule.when.as_ref().map(|it| &it.text),
        "message": message,
        "require": require,
    });
    dates(&rule.dates, &mut shown);
    shown
}

fn dates(period: &Period, shown: &mut Json) {
    if let Some(map) = shown.as_object_mut() {
        map.insert(
            "notBefore".to_owned(),
            json!(period.dates.not_before.map(time)),
        );
        map.insert("expires".to_owned(), json!(period.dates.expires.map(time)));
    }
}

fn who(all: &[Spanned<Who>]) -> Vec<String> {
    all.iter().map(|it| it.value.to_string()).collect()
}

fn scope(source: &ScopeSource) -> Json {
    match source {
        ScopeSource::Server => json!("server"),
        ScopeSource::Principal => json!("principal"),
        ScopeSource::Unscoped => json!("unscoped"),
        ScopeSource::Force { argument, team } => json!({
            "argument": argument.value.join("."),
            "force": if *team { "team" } else { "organization" },
        }),
        ScopeSource::Map {
            argument,
            exact,
            prefixes,
        } => {
            let exact = exact
                .iter()
                .map(|(value, to)| (value.to_string(), json!(to.to_string())));
            let prefixes = prefixes
                .iter()
                .map(|(it, to)| (format!("{it}*"), json!(to.to_string())));
            let map: Map<_, _> = exact.chain(prefixes).collect();
            json!({"argument": argument.value.join("."), "map": map})
        }
    }
}

fn fact(fact: &Fact) -> Json {
    let mut map = Map::new();
    if let Some(fold) = fact.fold {
        let word = match fold {
            Fold::AsciiLower => "ascii-lower",
            Fold::PosixPath => "posix-path",
        };
        map.insert("fold".to_owned(), json!(word));
    }
    if !fact.only.is_empty() {
        map.insert("only".to_owned(), json!(fact.only));
    }
    if let Some(force) = &fact.force {
        map.insert(
            "force".to_owned(),
            serde_json::from_str(force).unwrap_or(Json::Null),
        );
    }
    if fact.forbid {
        map.insert("forbid".to_owned(), json!(true));
    }
    Json::Object(map)
}

fn limits(obligations: &BTreeSet<Obligation>) -> Json {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (kind, text) in obligations.iter().map(|it| obligation_text(*it)) {
        kinds.entry(kind).or_default().push(text);
    }
    json!(kinds)
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Permission => "permission",
        Access::Authenticated => "authenticated",
        Access::Public => "public",
    }
}

fn unlock(unlock: Unlock) -> &'static str {
    match unlock {
        Unlock::Grant => "grant",
        Unlock::BreakGlass => "break_glass",
    }
}

/// RFC 3339, in UTC.
fn time(time: Time) -> String {
    time.to_string()
}

/// What says nothing is not shown: null, an empty list or map. `false` is a default spelled out.
fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}
