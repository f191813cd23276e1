//! Why one call is allowed or denied, by the path that the sidecar takes.

use std::{fmt::Write as _, path::Path};

use latchkey_engine::{
    bundle::places::{PlaceKind, Places},
    overlay::Overlay,
    reason::Reason,
};
use latchkey_gate::{
    admit::Facts,
    call::{self, Stated},
    gate::Gate,
};
use serde_json::{Value as Json, json};

use super::super::{Exit, Failure, Terminal, checked, read, sound};
use crate::{
    cli::{Format, Global},
    pack,
};

/// Decides a stated call and prints every fact of the decision.
pub(super) fn run(
    stated: &str,
    bundle: Option<&Path>,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let stated = parse(stated)?;
    let opened = match bundle {
        Some(folder) => built(folder, &stated.server)?,
        None => match compiled(&stated.server, global, terminal)? {
            Ok(opened) => opened,
            Err(exit) => return Ok(exit),
        },
    };
    let verdict = call::verdict(&opened.gate, &Overlay::default(), &stated)
        .map_err(|error| Failure::usage(error.to_string()).help("correct the call"))?;
    let why = Why {
        facts: &verdict.facts,
        opened: &opened,
    };
    match global.format {
        Format::Json => writeln!(terminal.out, "{}", why.json())?,
        _ => write!(terminal.out, "{}", why.text())?,
    }
    Ok(Exit::Clean)
}

/// A slice and where its parts are written.
struct Opened {
    gate: Gate,
    places: Option<Places>,
}

impl Opened {
    fn new(slice: &[u8], places: Option<&[u8]>) -> Result<Self, Failure> {
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::unverified(format!("the bundle cannot be opened: {what}"))
                .help("build it again with this version of latchkey")
        };
        let gate = Gate::open(slice, places).map_err(|error| wrong(&error))?;
        let places = places.map(Places::open).transpose();
        Ok(Self {
            gate,
            places: places.map_err(|error| wrong(&error.what))?,
        })
    }

    fn place(&self, kind: PlaceKind, name: &str) -> Option<String> {
        Some(self.places.as_ref()?.find(kind, name)?.to_string())
    }
}

/// JSON by itself, or a file of it.
fn parse(text: &str) -> Result<Stated, Failure> {
    let wrong = |error: serde_json::Error| {
        Failure::usage(format!("this is no call: {error}"))
            .help("a call is a JSON object as `latchkey eval` reads it; see `docs/quickstart.md`")
    };
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(wrong);
    }
    serde_json::from_slice(&read(Path::new(text))?).map_err(wrong)
}

fn built(folder: &Path, server: &str) -> Result<Opened, Failure> {
    let plain = latchkey_engine::name::is_label(server);
    let own = folder.join(pack::slice_name(server));
    let slice = if plain && own.is_file() {
        own
    } else {
        folder.join(pack::ALL)
    };
    let places = folder.join(pack::PLACES);
    let places = if places.is_file() {
        Some(read(&places)?)
    } else {
        None
    };
    Opened::new(&read(&slice)?, places.as_deref())
}

fn compiled(
    server: &str,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Result<Opened, Exit>, Failure> {
    let project = match sound(checked(global, None)?, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(Err(exit)),
    };
    let internal = |error: pack::PackError| Failure::internal(error.to_string());
    if !project.model.servers.contains_key(server) {
        let known: Vec<_> = project.model.servers.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!("there is no server `{server}`"))
            .help(format!("the servers are {}", known.join(", "))));
    }
    let slice = pack::slice(&project.model, server).map_err(internal)?;
    let places = pack::places(&project.model, &project.sources).map_err(internal)?;
    Opened::new(&slice, Some(&places)).map(Ok)
}

/// A decision with its reasons.
struct Why<'a> {
    facts: &'a Facts,
    opened: &'a Opened,
}

/// A granting binding, and the roles of it that give the permissions.
struct Grant<'a> {
    binding: &'a str,
    place: Option<String>,
    roles: Vec<(String, Option<String>, Vec<String>)>,
}

impl Why<'_> {
    fn grants(&self) -> Vec<Grant<'_>> {
        let policy = self.opened.gate.policy();
        let grant = |name: &String| {
            let binding = policy.binding(name)?;
            let mut roles: Vec<(String, Option<String>, Vec<String>)> = Vec::new();
            for permission in &self.facts.permissions {
                let Some(id) = policy.permission_by_name(permission) else {
                    continue;
                };
                for role in policy.roles_granting(binding, id) {
                    let role = policy.role_name(role);
                    match roles.iter_mut().find(|(name, ..)| name == role) {
                        Some((.., given)) => given.push(permission.clone()),
                        None => {
                            let place = self.opened.place(PlaceKind::Role, role);
                            roles.push((role.to_owned(), place, vec![permission.clone()]));
                        }
                    }
                }
            }
            Some((self.opened.place(PlaceKind::Binding, name), roles))
        };
        let granted = self.facts.granted_by.iter();
        granted
            .filter_map(|binding| {
                let (place, roles) = grant(binding)?;
                Some(Grant {
                    binding,
                    place,
                    roles,
                })
            })
            .collect()
    }

    fn json(&self) -> Json {
        let facts = self.facts;
        let place = |kind, name: &str| self.opened.place(kind, name);
        let grants = self.grants().into_iter().map(|grant| {
            let roles = grant.roles.into_iter().map(|(name, place, permissions)| {
                json!({"role": name, "place": place, "permissions": permissions})
            });
            json!({"binding": grant.binding, "place": grant.place, "roles": roles.collect::<Vec<_>>()})
        });
        let missed = facts.missed.iter().map(|(binding, why)| {
            json!({"binding": binding, "why": why, "place": place(PlaceKind::Binding, binding)})
        });
        let matched = facts
            .matched
            .iter()
            .map(|rule| json!({"rule": rule, "place": place(PlaceKind::Rule, rule)}));
        let failed = facts.failed.iter().map(|it| it.as_str());
        json!({
            "version": 1,
            "decision": if facts.is_allow() { "allow" } else { "deny" },
            "reason": facts.reason.as_str(), "code": facts.reason.code(),
            "surface": facts.surface, "operation": facts.operation, "scopes": facts.scopes,
            "permissions": facts.permissions, "detail": facts.detail,
            "failed": failed.collect::<Vec<_>>(), "grants": grants.collect::<Vec<_>>(),
            "missed": missed.collect::<Vec<_>>(), "matched": matched.collect::<Vec<_>>(),
            "rule": facts.rule, "message": facts.message,
            "undetermined": facts.undetermined, "obligations": self.obligations(),
        })
    }

    fn obligations(&self) -> Vec<String> {
        let all = self
            .facts
            .obligations
            .iter()
            .map(|it| call::obligation_text(*it));
        all.map(|(kind, text)| format!("{kind} {text}")).collect()
    }

    fn text(&self) -> String {
        let facts = self.facts;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, facts);
        out
    }

    fn write(&self, out: &mut String, facts: &Facts) -> std::fmt::Result {
        let word = if facts.is_allow() { "allow" } else { "deny" };
        writeln!(
            out,
            "{word}: {} ({})",
            facts.reason.title(),
            facts.reason.code()
        )?;
        if let Some(surface) = &facts.surface {
            let operation = facts.operation.as_ref().map(|it| format!(":{it}"));
            writeln!(out, "  calls {surface}{}", operation.unwrap_or_default())?;
        }
        if !facts.scopes.is_empty() {
            writeln!(out, "  in {}", facts.scopes.join(", "))?;
        }
        if let Some(detail) = &facts.detail {
            writeln!(out, "  {detail}")?;
        }
        self.write_grants(out)?;
        for (binding, why) in &facts.missed {
            let place = at(self.opened.place(PlaceKind::Binding, binding));
            writeln!(
                out,
                "  nearly granted by `{binding}`{place}, but {}",
                missed(why)
            )?;
        }
        for rule in &facts.matched {
            let place = at(self.opened.place(PlaceKind::Rule, rule));
            let deciding = if facts.rule.as_ref() == Some(rule) {
                "refused by"
            } else {
                "matches"
            };
            writeln!(out, "  {deciding} the rule `{rule}`{place}")?;
        }
        if let Some(message) = &facts.message {
            writeln!(out, "    {message}")?;
        }
        let others = facts.failed.iter().filter(|it| **it != facts.reason);
        let others: Vec<_> = others.copied().map(Reason::as_str).collect();
        if !others.is_empty() {
            writeln!(out, "  would fail as well: {}", others.join(", "))?;
        }
        if !facts.undetermined.is_empty() {
            writeln!(
                out,
                "  cannot be determined: {}",
                facts.undetermined.join(", ")
            )?;
        }
        for obligation in self.obligations() {
            writeln!(out, "  on condition of {obligation}")?;
        }
        Ok(())
    }

    fn write_grants(&self, out: &mut String) -> std::fmt::Result {
        for grant in self.grants() {
            writeln!(
                out,
                "  granted by the binding `{}`{}",
                grant.binding,
                at(grant.place)
            )?;
            for (role, place, permissions) in grant.roles {
                writeln!(out, "    through the role `{role}`{}", at(place))?;
                for permission in permissions {
                    writeln!(out, "      {permission}")?;
                }
            }
        }
        Ok(())
    }
}

fn at(place: Option<String>) -> String {
    place.map_or_else(String::new, |place| format!(" ({place})"))
}

/// Why a binding was not enough, as a clause.
fn missed(why: &str) -> &str {
    match why {
        "condition" => "its condition does not hold",
        "dates" => "it is not in force at this time",
        "scope" => "it holds in another scope",
        "organization" => "it does not reach into other organizations",
        other => other,
    }
}
