//! Rules that are gone, or speak of less.

use super::{Mutant, Operator, Plan, servers_of};
use crate::{
    model::{Effect, Model, Permission, Rule},
    source::Span,
};

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, rule) in &model.rules {
        let servers = servers_of(rule.permissions.keys());
        let kind = kind(rule);
        let gone = name.clone();
        let what = format!("{kind} rule `{name}` is gone");
        plan.add(
            Operator::DropRule,
            rule.span,
            what,
            Some(&servers),
            move |model| {
                model.rules.remove(&gone);
            },
        );
        permissions(name, rule, plan);
        subjects(name, rule, plan);
    }
}

/// `deny` or `require`.
fn kind(rule: &Rule) -> &'static str {
    match rule.effect {
        Effect::Deny(_) => "deny",
        Effect::Require(_) => "require",
    }
}

fn permissions(name: &str, rule: &Rule, plan: &mut Plan) {
    if rule.permissions.len() < 2 {
        return;
    }
    for (permission, span) in &rule.permissions {
        plan.mutants.push(narrower(name, rule, permission, *span));
    }
}

/// A rule that no longer speaks of a permission, or is gone when that was all.
pub(crate) fn narrower(name: &str, rule: &Rule, permission: &Permission, span: Span) -> Mutant {
    let what = format!(
        "{} rule `{name}` no longer speaks of `{permission}`",
        kind(rule)
    );
    let servers = Some(servers_of([permission]));
    let (name, permission) = (name.to_owned(), permission.clone());
    let edit = move |model: &mut Model| {
        let Some(rule) = model.rules.get_mut(name.as_str()) else {
            return;
        };
        rule.permissions.remove(&permission);
        if rule.permissions.is_empty() {
            model.rules.remove(name.as_str());
        }
    };
    Mutant {
        operator: Operator::DropRule,
        span,
        what,
        servers,
        edit: Box::new(edit),
    }
}

fn subjects(name: &str, rule: &Rule, plan: &mut Plan) {
    let servers = servers_of(rule.permissions.keys());
    let kind = kind(rule);
    if let Some(first) = rule.who.first() {
        let what = format!("{kind} rule `{name}` speaks of everyone");
        let name = name.to_owned();
        plan.add(
            Operator::DropRule,
            first.span,
            what,
            Some(&servers),
            move |model| {
                if let Some(rule) = model.rules.get_mut(name.as_str()) {
                    rule.who.clear();
                }
            },
        );
    }
    // Without its only subject a rule would speak of everyone; that it is gone is tried above.
    for who in rule.who.iter().filter(|_| rule.who.len() > 1) {
        let what = format!("{kind} rule `{name}` no longer names `{}`", who.value);
        let (name, gone) = (name.to_owned(), who.value.clone());
        plan.add(
            Operator::DropRule,
            who.span,
            what,
            Some(&servers),
            move |model| {
                if let Some(rule) = model.rules.get_mut(name.as_str()) {
                    rule.who.retain(|who| who.value != gone);
                }
            },
        );
    }
    for who in &rule.except {
        let what = format!("{kind} rule `{name}` no longer leaves out `{}`", who.value);
        let (name, gone) = (name.to_owned(), who.value.clone());
        plan.add(
            Operator::DropRule,
            who.span,
            what,
            Some(&servers),
            move |model| {
                if let Some(rule) = model.rules.get_mut(name.as_str()) {
                    rule.except.retain(|who| who.value != gone);
                }
            },
        );
    }
}
