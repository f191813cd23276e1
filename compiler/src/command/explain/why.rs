//! A decision with its reasons, for people and machines.

use std::fmt::Write as _;

use latchkey_engine::{
    bundle::places::PlaceKind,
    id::BindingId,
    index::{PrincipalType, Subject},
    reason::Reason,
};
use latchkey_gate::{admit::Facts, call};
use serde_json::{Value as Json, json};

use super::{call::Opened, near::Near};

/// A decision with its reasons.
pub(super) struct Why<'a> {
    /// What was decided, and on which grounds.
    pub(super) facts: &'a Facts,
    /// The bundle that decided.
    pub(super) opened: &'a Opened,
    /// What it comes nearest to.
    pub(super) near: Near<'a>,
}

/// The most bindings that are named as holding a permission.
const MAX_HOLDERS: usize = 5;

/// A granting binding, and the roles of it that give the permissions.
struct Grant<'a> {
    binding: &'a str,
    /// As what it names a caller.
    subjects: Vec<String>,
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
                    if let Some((.., given)) = roles.iter_mut().find(|(name, ..)| name == role) {
                        given.push(permission.clone());
                    } else {
                        let place = self.opened.place(PlaceKind::Role, role);
                        roles.push((role.to_owned(), place, vec![permission.clone()]));
                    }
                }
            }
            let place = self.opened.place(PlaceKind::Binding, name);
            Some((place, self.near.named_by(binding), roles))
        };
        let granted = self.facts.granted_by.iter();
        granted
            .filter_map(|binding| {
                let (place, subjects, roles) = grant(binding)?;
                Some(Grant {
                    binding,
                    subjects,
                    place,
                    roles,
                })
            })
            .collect()
    }

    /// One JSON object.
    pub(super) fn json(&self) -> Json {
        let facts = self.facts;
        let place = |kind, name: &str| self.opened.place(kind, name);
        let grants = self.grants().into_iter().map(|grant| {
            let roles = grant.roles.into_iter().map(|(name, place, permissions)| {
                json!({"role": name, "place": place, "permissions": permissions})
            });
            json!({
                "binding": grant.binding, "place": grant.place, "subjects": grant.subjects,
                "roles": roles.collect::<Vec<_>>(),
            })
        });
        let missed = facts.missed.iter().map(|(binding, why)| {
            json!({
                "binding": binding, "why": why, "place": place(PlaceKind::Binding, binding),
                "what": self.near.missed(binding, why), "alone": self.near.is_alone(),
            })
        });
        let matched = facts.matched.iter().map(|rule| {
            json!({
                "rule": rule, "place": place(PlaceKind::Rule, rule),
                "what": self.near.denied(rule),
            })
        });
        let failed = facts.failed.iter().map(|it| it.as_str());
        json!({
            "version": 1,
            "decision": if facts.is_allow() { "allow" } else { "deny" },
            "reason": facts.reason.as_str(), "code": facts.reason.code(),
            "surface": facts.surface, "operation": facts.operation, "scopes": facts.scopes,
            "permissions": facts.permissions, "detail": facts.detail,
            "failed": failed.collect::<Vec<_>>(), "grants": grants.collect::<Vec<_>>(),
            "missed": missed.collect::<Vec<_>>(), "holders": self.holders_json(),
            "roles": self.near.roles().into_iter().map(|(role, place)| json!({"role": role, "place": place})).collect::<Vec<_>>(),
            "matched": matched.collect::<Vec<_>>(),
            "rule": facts.rule, "message": facts.message,
            "undetermined": facts.undetermined, "obligations": self.obligations(),
        })
    }

    /// Bindings that would grant what is missing, to others than this caller: where nothing was
    /// nearly enough, this is whom to ask.
    fn holders(&self) -> Vec<(&str, Vec<String>)> {
        let facts = self.facts;
        if facts.reason != Reason::NoPermission || !facts.missed.is_empty() {
            return Vec::new();
        }
        let policy = self.opened.gate.policy();
        let ids: Vec<_> = facts
            .permissions
            .iter()
            .filter_map(|it| policy.permission_by_name(it))
            .collect();
        let names = policy.index().bindings.names.iter();
        let holding = names.filter_map(|name| {
            let binding = policy.binding(name)?;
            let gives = ids
                .iter()
                .any(|id| policy.roles_granting(binding, *id).next().is_some());
            gives.then(|| (name, self.subjects(binding)))
        });
        holding.take(MAX_HOLDERS).collect()
    }

    fn holders_json(&self) -> Vec<Json> {
        let holders = self.holders().into_iter().map(|(binding, who)| {
            let place = self.opened.place(PlaceKind::Binding, binding);
            json!({"binding": binding, "who": who, "place": place})
        });
        holders.collect()
    }

    fn subjects(&self, binding: BindingId) -> Vec<String> {
        let policy = self.opened.gate.policy();
        let index = policy.index();
        let subjects = policy.bindings().subjects_of(binding);
        let name = |subject: &Subject| match subject {
            Subject::Principal(id) => policy.principal_name(*id).to_owned(),
            Subject::Group(id) => format!("group:{}", policy.group_name(*id)),
            Subject::Tag(id) => format!("tag:{}", index.tags.get(id.index())),
            Subject::Type(PrincipalType::Human) => "type:human".to_owned(),
            Subject::Type(PrincipalType::Service) => "type:service".to_owned(),
            Subject::Type(PrincipalType::Agent) => "type:agent".to_owned(),
            Subject::Everyone => "everyone".to_owned(),
        };
        subjects.iter().map(name).collect()
    }

    fn obligations(&self) -> Vec<String> {
        let all = self
            .facts
            .obligations
            .iter()
            .map(|it| call::obligation_text(*it));
        all.map(|(kind, text)| format!("{kind} {text}")).collect()
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
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
                self.near.missed(binding, why)
            )?;
            if self.near.is_alone() {
                writeln!(out, "    nothing else stands in the way of this call")?;
            }
        }
        for (binding, who) in self.holders() {
            let place = at(self.opened.place(PlaceKind::Binding, binding));
            writeln!(
                out,
                "  the binding `{binding}`{place} gives it to {}",
                who.join(", ")
            )?;
        }
        for (role, place) in self.near.roles() {
            writeln!(out, "  the role `{role}`{} would give it", at(place))?;
        }
        for rule in &facts.matched {
            let place = at(self.opened.place(PlaceKind::Rule, rule));
            let deciding = if facts.rule.as_ref() == Some(rule) {
                "refused by"
            } else {
                "matches"
            };
            writeln!(out, "  {deciding} the rule `{rule}`{place}")?;
            if let Some(why) = self.near.denied(rule) {
                writeln!(out, "    {why}")?;
            }
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
            if !grant.subjects.is_empty() {
                writeln!(out, "    as {}", grant.subjects.join(", "))?;
            }
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
