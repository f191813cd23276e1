//! What a name means: what it grants and who holds it, what it requires and who may call it.
//!
//! It is read off the model, entry by entry; `latchkey who-can` decides the same exactly.

use std::fmt::Write as _;

use latchkey_engine::index::{Access, Risk, Unlock};
use serde_json::{Value as Json, json};

use super::{
    Asked,
    definition::here,
    names::{Kind, Name},
    schema, wire,
    world::World,
};
use crate::model::{
    Binding, Effect, Model, Period, Permission, Rule, Surface, SurfaceName, Who, risk_name,
    type_name,
};
use crate::text::Text;

/// So many lines of a list are shown; the rest is counted.
const MOST: usize = 12;

/// Answers `textDocument/hover`.
pub(super) fn answer(world: &World, asked: &Asked) -> Json {
    if let Some(here) = here(world, asked) {
        let stale = if world.sound {
            ""
        } else {
            "\n\n*As of when the project was last without errors.*"
        };
        let said = world.meant.as_ref().and_then(|it| about(it, &here.name));
        let said = said.map_or_else(
            || format!("{} `{}`", here.name.kind.noun(), here.name.full),
            |said| said + stale,
        );
        return hover(&said, &wire::range(&world.sources, here.span));
    }
    let Some(file) = world.sources.find(&asked.file) else {
        return Json::Null;
    };
    let Some((mut path, key)) = world.key_at(file, asked.offset) else {
        return Json::Null;
    };
    path.push(key.value.to_string());
    let range = wire::range(&world.sources, key.span);
    schema::doc(&path).map_or(Json::Null, |doc| {
        hover(&format!("`{}`: {doc}", key.value), &range)
    })
}

fn hover(text: &str, range: &Json) -> Json {
    json!({"contents": {"kind": "markdown", "value": text}, "range": range})
}

/// What a name means; `None` where the model has no such thing.
fn about(model: &Model, name: &Name) -> Option<String> {
    let full = name.full.as_str();
    let mut out = format!("**{} `{full}`**\n", name.kind.noun());
    match name.kind {
        Kind::Role => role(model, full, &mut out)?,
        Kind::Binding => binding(model, model.bindings.get(full)?, &mut out),
        Kind::Rule => rule(model.rules.get(full)?, &mut out),
        Kind::Principal => principal(model, full, &mut out)?,
        Kind::Group => group(model, full, &mut out)?,
        Kind::Tag => {
            let who = Who::Tag(full.into());
            let tagged = model
                .principals
                .iter()
                .filter(|(_, it)| it.tags.contains(full));
            list(
                "principals",
                tagged.map(|(name, _)| format!("`{name}`")),
                &mut out,
            );
            held(model, &who, &mut out);
        }
        Kind::Surface => {
            let (server, name) = full.split_once('/')?;
            surface(model, server, name, None, &mut out)?;
        }
        Kind::Operation => {
            let (surface_name, operation) = full.rsplit_once(':')?;
            let (server, name) = surface_name.split_once('/')?;
            surface(model, server, name, Some(operation), &mut out)?;
        }
        Kind::Server => server(model, full, &mut out)?,
        Kind::Organization => {
            let organization = model.organizations.get(full)?;
            let teams = organization.teams.keys().map(|it| format!("`{it}`"));
            list("teams", teams, &mut out);
            in_scope(model, |it| it.organization() == Some(full), &mut out);
        }
        Kind::Team => in_scope(model, |it| it.to_string() == full, &mut out),
        Kind::Issuer => {
            let issuer = model.issuers.get(full)?;
            let _ = writeln!(out, "\n`{}`", issuer.url.value);
            let named = model.principals.iter();
            let named = named.filter(|(_, it)| it.identities.iter().any(|it| it.0 == full));
            list(
                "names",
                named.map(|(name, _)| format!("`{name}`")),
                &mut out,
            );
        }
        Kind::Matrix => {
            let matrix = model.matrices.get(full)?;
            let _ = writeln!(
                out,
                "\n{} cells on `{}` at {}",
                matrix.cells.len(),
                matrix.server,
                matrix.at
            );
        }
    }
    Some(out)
}

fn role(model: &Model, name: &str, out: &mut String) -> Option<()> {
    let role = model.roles.get(name)?;
    let granted = role.permissions.keys();
    list("grants", granted.map(|it| granted_line(model, it)), out);
    let inherits = role.inherits.iter().map(|it| format!("`{}`", it.value));
    list("inherits", inherits, out);
    let holders = model
        .bindings
        .iter()
        .filter(|(_, it)| gives(model, it, name));
    list(
        "held by",
        holders.map(|(name, it)| holders_line(name, it)),
        out,
    );
    Some(())
}

/// Whether a binding gives a role, by itself or through another role.
fn gives(model: &Model, binding: &Binding, name: &str) -> bool {
    let mut open: Vec<&str> = binding.roles.iter().map(|it| it.value.as_str()).collect();
    let mut seen = Vec::new();
    while let Some(next) = open.pop() {
        if next == name {
            return true;
        }
        if !seen.contains(&next) {
            seen.push(next);
            let inherits = model
                .roles
                .get(next)
                .into_iter()
                .flat_map(|it| &it.inherits);
            open.extend(inherits.map(|it| it.value.as_str()));
        }
    }
    false
}

fn granted_line(model: &Model, permission: &Permission) -> String {
    format!("`{permission}` ({})", risk_name(model.risk(permission)))
}

/// Who has what a binding gives, where and when.
fn holders_line(name: &Text, binding: &Binding) -> String {
    let who: Vec<String> = binding
        .who
        .iter()
        .map(|it| format!("`{}`", it.value))
        .collect();
    let condition = binding.when.as_ref();
    let condition = condition.map_or(String::new(), |it| format!(", when `{}`", it.text.trim()));
    let dates = dates(&binding.dates);
    format!(
        "{} in `{}`{condition}{dates}, by `{name}`",
        who.join(", "),
        binding.scope.value
    )
}

fn dates(period: &Period) -> String {
    let from = period.dates.not_before;
    let from = from.map_or(String::new(), |it| format!(", from {it}"));
    let until = period.dates.expires;
    let until = until.map_or(String::new(), |it| format!(", until {it}"));
    from + &until
}

fn binding(model: &Model, binding: &Binding, out: &mut String) {
    let who = binding.who.iter().map(|it| format!("`{}`", it.value));
    list("gives to", who, out);
    let roles = binding.roles.iter();
    let roles = roles.filter_map(|it| model.roles.get(&it.value));
    let mut granted: Vec<_> = roles.flat_map(|it| it.permissions.keys()).collect();
    granted.sort();
    granted.dedup();
    list(
        "grants",
        granted.iter().map(|it| granted_line(model, it)),
        out,
    );
    let _ = write!(
        out,
        "\nin `{}`{}",
        binding.scope.value,
        dates(&binding.dates)
    );
    if let Some(condition) = &binding.when {
        let _ = write!(out, ", when `{}`", condition.text.trim());
    }
    out.push('\n');
}

fn rule(rule: &Rule, out: &mut String) {
    let effect = match &rule.effect {
        Effect::Deny(message) => format!("denies: {message}"),
        Effect::Require(_) => "requires more of a call".to_owned(),
    };
    let _ = writeln!(out, "\n{effect}");
    let who = rule.who.iter().map(|it| format!("`{}`", it.value));
    list("of", who, out);
    let except = rule.except.iter().map(|it| format!("`{}`", it.value));
    list("except", except, out);
    let meant = rule.permissions.keys().map(|it| format!("`{it}`"));
    list("calls of", meant, out);
    if let Some(condition) = &rule.when {
        let _ = writeln!(out, "\nwhen `{}`", condition.text.trim());
    }
}

fn principal(model: &Model, name: &str, out: &mut String) -> Option<()> {
    let principal = model.principals.get(name)?;
    let suspended = if principal.suspended {
        ", suspended"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "\n{} of `{}`{suspended}{}",
        type_name(principal.kind),
        principal.scope,
        dates(&principal.dates)
    );
    if let Some(owner) = &principal.owner {
        let _ = writeln!(out, "\nowner: `{}`", owner.value);
    }
    let groups = model
        .groups
        .iter()
        .filter(|(_, it)| it.members.contains(name));
    let groups: Vec<&Text> = groups.map(|(name, _)| name).collect();
    list("groups", groups.iter().map(|it| format!("`{it}`")), out);
    list(
        "tags",
        principal.tags.iter().map(|it| format!("`{it}`")),
        out,
    );
    let means = |who: &Who| match who {
        Who::Principal(it) => it == name,
        Who::Group(it) => groups.contains(&it),
        Who::Tag(it) => principal.tags.contains(it),
        Who::Type(it) => *it == principal.kind,
        Who::Everyone => true,
    };
    let bound = model.bindings.iter();
    let bound = bound.filter(|(_, it)| it.who.iter().any(|it| means(&it.value)));
    list("holds", bound.map(|(name, it)| roles_line(name, it)), out);
    Some(())
}

fn roles_line(name: &Text, binding: &Binding) -> String {
    let roles: Vec<String> = binding
        .roles
        .iter()
        .map(|it| format!("`{}`", it.value))
        .collect();
    let condition = binding.when.as_ref();
    let condition = condition.map_or(String::new(), |it| format!(", when `{}`", it.text.trim()));
    let dates = dates(&binding.dates);
    let scope = &binding.scope.value;
    format!(
        "{} in `{scope}`{condition}{dates}, by `{name}`",
        roles.join(", ")
    )
}

fn group(model: &Model, name: &str, out: &mut String) -> Option<()> {
    let group = model.groups.get(name)?;
    list(
        "members",
        group.members.iter().map(|it| format!("`{it}`")),
        out,
    );
    if let Some((issuer, value)) = &group.claim {
        let _ = writeln!(
            out,
            "\nand whoever's token of `{issuer}` names the group `{value}`"
        );
    }
    held(model, &Who::Group(name.into()), out);
    Some(())
}

/// What bindings give to a subject.
fn held(model: &Model, who: &Who, out: &mut String) {
    let bound = model.bindings.iter();
    let bound = bound.filter(|(_, it)| it.who.iter().any(|it| it.value == *who));
    list("holds", bound.map(|(name, it)| roles_line(name, it)), out);
}

fn server(model: &Model, name: &str, out: &mut String) -> Option<()> {
    let server = model.servers.get(name)?;
    let _ = writeln!(
        out,
        "\nin `{}`, at `{}`",
        server.scope.value, server.upstream
    );
    let surfaces = server.surfaces.iter();
    let surfaces = surfaces.map(|(name, it)| format!("`{name}` ({})", risk_name(it.risk)));
    list("offers", surfaces, out);
    Some(())
}

fn surface(
    model: &Model,
    server: &str,
    name: &str,
    operation: Option<&str>,
    out: &mut String,
) -> Option<()> {
    let own = SurfaceName {
        server: server.into(),
        name: name.into(),
    };
    let surface = model.surface(&own)?;
    let mut permissions = surface.permissions(&own);
    permissions.retain(|(it, _)| operation.is_none() || it.operation.as_deref() == operation);
    let risk = permissions
        .iter()
        .map(|it| it.1)
        .max()
        .unwrap_or(surface.risk);
    let _ = writeln!(out, "\n{}{}", risk_name(risk), needs(surface, risk));
    let operations = surface.operations.iter().flat_map(|it| &it.values);
    let operations = operations.map(|(name, it)| format!("`{name}` ({})", risk_name(it.risk)));
    if operation.is_none() {
        list("operations", operations, out);
    }
    arguments(surface, out);
    let wanted = |it: &Permission| permissions.iter().any(|own| own.0 == *it);
    match surface.access {
        Access::Public => out.push_str("\n- **callers** everybody, without a grant\n"),
        Access::Authenticated => {
            out.push_str("\n- **callers** everybody who is authenticated, without a grant\n");
        }
        Access::Permission => {
            let granting = model.bindings.iter().filter(|(_, it)| {
                let roles = it.roles.iter();
                let mut roles = roles.filter_map(|it| model.roles.get(&it.value));
                roles.any(|it| it.permissions.keys().any(wanted))
            });
            list(
                "callers",
                granting.map(|(name, it)| holders_line(name, it)),
                out,
            );
        }
    }
    let rules = model.rules.iter();
    let rules = rules.filter(|(_, it)| it.permissions.keys().any(wanted));
    let rules = rules.map(|(name, it)| match &it.effect {
        Effect::Deny(_) => format!("`{name}` denies"),
        Effect::Require(_) => format!("`{name}` requires more"),
    });
    list("rules", rules, out);
    let _ = writeln!(out, "\n`latchkey who-can {own}` says it exactly.");
    Some(())
}

fn needs(surface: &Surface, risk: Risk) -> &'static str {
    match (risk, surface.unlock) {
        (Risk::Destructive, Unlock::BreakGlass) => ": needs an activated break-glass besides",
        _ => "",
    }
}

fn arguments(surface: &Surface, out: &mut String) {
    let fields = surface.schema.iter().flat_map(|it| &it.shape.fields);
    let fields = fields.map(|(name, it)| {
        let optional = if it.required { "" } else { "?" };
        format!("`{name}{optional}`")
    });
    list("arguments", fields, out);
}

/// The principals and servers of a scope.
fn in_scope(model: &Model, wanted: impl Fn(&crate::model::Scope) -> bool, out: &mut String) {
    let principals = model.principals.iter().filter(|(_, it)| wanted(&it.scope));
    list(
        "principals",
        principals.map(|(name, _)| format!("`{name}`")),
        out,
    );
    let servers = model
        .servers
        .iter()
        .filter(|(_, it)| wanted(&it.scope.value));
    list("servers", servers.map(|(name, _)| format!("`{name}`")), out);
}

/// A list with its title; nothing when it is empty.
fn list(title: &str, lines: impl Iterator<Item = String>, out: &mut String) {
    let lines: Vec<String> = lines.collect();
    let Some(more) = lines.len().checked_sub(1) else {
        return;
    };
    let long = lines.iter().any(|it| it.contains(", by "));
    let mark = if long { "\n  - " } else { ", " };
    let shown: Vec<&str> = lines.iter().take(MOST).map(String::as_str).collect();
    let first = if long { "\n  - " } else { " " };
    let _ = write!(out, "\n- **{title}**{first}{}", shown.join(mark));
    if more + 1 > MOST {
        let _ = write!(out, "{mark}and {} more", more + 1 - MOST);
    }
    out.push('\n');
}
