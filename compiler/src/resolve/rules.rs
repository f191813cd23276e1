//! Rules: what is denied or required.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::index::Obligation;

use super::{
    Resolver,
    selectors::{Use, permissions},
};
use crate::{
    diag::{Diagnostic, codes},
    model::{ByName, Effect, Model, Permissions, Rule, Scope, SurfaceName},
    syntax::{
        self,
        limit::{self, Holder},
    },
};

/// The most obligations that one surface can carry: the width of the engine's set.
const MAX_OBLIGATIONS: usize = 64;

impl Resolver<'_> {
    pub(super) fn rules(&mut self, model: &Model) -> ByName<Rule> {
        let syntax = self.syntax;
        let mut rules = ByName::new();
        for (name, entry) in self.entries(&syntax.rules) {
            let who = self.who(entry.who.as_deref().unwrap_or_default());
            let except = self.who(entry.except.as_deref().unwrap_or_default());
            let scope = match &entry.within {
                None => Some(Arc::new(Scope::Platform)),
                Some(within) => self.scope(within),
            };
            let dates = self.period(entry.not_before.as_ref(), entry.expires.as_ref());
            let permissions = self.touched(entry, model);
            let when = entry
                .when
                .as_ref()
                .and_then(|text| self.condition(text, permissions.keys(), model));
            let (Some(scope), Some(effect)) = (scope, effect(entry)) else {
                continue;
            };
            let span = entry.name.span;
            let rule = Rule {
                span,
                effect,
                who,
                except,
                permissions,
                scope,
                when,
                dates,
            };
            rules.insert(name.clone(), rule);
        }
        rules
    }

    /// What a rule speaks of; everything when it does not say.
    fn touched(&mut self, entry: &syntax::Entry<syntax::Rule>, model: &Model) -> Permissions {
        let mut touched = Vec::new();
        match &entry.surfaces {
            Some(selectors) => {
                for selector in selectors.values() {
                    let (name, value) = (&selector.name, &selector.value);
                    touched.extend(self.select(name, value, Use::Any, &model.servers));
                }
            }
            None => {
                for (name, server) in &model.servers {
                    let all = permissions(name, server);
                    touched.extend(all.map(|(permission, _)| (permission, entry.name.span)));
                }
            }
        }
        touched.into_iter().collect()
    }

    /// Reports surfaces that would carry more obligations than the engine can hold.
    pub(super) fn obligations(&mut self, model: &Model) {
        let mut required: BTreeMap<&SurfaceName, Vec<&Rule>> = BTreeMap::new();
        let rules = model.rules.values();
        for rule in rules.filter(|it| matches!(it.effect, Effect::Require(_))) {
            let mut surfaces: Vec<_> = rule.permissions.keys().map(|it| &it.surface).collect();
            surfaces.dedup();
            for surface in surfaces {
                required.entry(surface).or_default().push(rule);
            }
        }
        for (server_name, server) in &model.servers {
            for (name, surface) in &server.surfaces {
                let named = SurfaceName {
                    server: server_name.clone(),
                    name: name.clone(),
                };
                let rules = required.get(&named).map_or(&[][..], Vec::as_slice);
                let count = surface.obligations.len()
                    + rules
                        .iter()
                        .map(|rule| obligations(rule).len())
                        .sum::<usize>();
                let Some(last) = rules.last().filter(|_| count > MAX_OBLIGATIONS) else {
                    continue;
                };
                let message = format!("`{server_name}/{name}` would carry {count} obligations");
                self.report(
                    Diagnostic::new(&codes::TOO_MANY_OBLIGATIONS, surface.span, message)
                        .also(last.span, "one of the rules that require them")
                        .help(format!(
                            "at most {MAX_OBLIGATIONS} are enforced; merge some rules"
                        )),
                );
            }
        }
    }
}

fn obligations(rule: &Rule) -> BTreeSet<Obligation> {
    match &rule.effect {
        Effect::Deny(_) => BTreeSet::new(),
        Effect::Require(obligations) => obligations.clone(),
    }
}

/// What a rule does; a rule without its message or requirement was refused when it was parsed.
fn effect(entry: &syntax::Rule) -> Option<Effect> {
    match entry.effect.value {
        syntax::rule::Effect::Deny => Some(Effect::Deny(entry.message.as_ref()?.value.clone())),
        syntax::rule::Effect::Require => {
            let asked = entry.require.as_ref()?;
            let (rate, concurrency) = (asked.rate.as_ref(), asked.concurrency.as_ref());
            let required = limit::obligations(rate, concurrency, Holder::Surface);
            let required = required.into_iter().map(|(_, it)| it).collect();
            Some(Effect::Require(required))
        }
    }
}
