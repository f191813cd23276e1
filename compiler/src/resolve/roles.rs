//! Roles: what each grants by its own words, and with all that it inherits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Resolver,
    callers::spanned,
    places,
    selectors::{Servers, Use},
};
use crate::{
    diag::{Diagnostic, codes},
    model::{ByName, Permissions, Role},
    source::Spanned,
    syntax::{self, Selector},
    text::Text,
};

impl Resolver<'_> {
    /// What each role says by its own words.
    pub(super) fn roles(&mut self, servers: &Servers) -> ByName<Role> {
        let syntax = self.syntax;
        let mut roles = ByName::new();
        for (name, entry) in self.entries(&syntax.roles) {
            let inherits: Vec<_> = entry
                .inherits
                .iter()
                .flat_map(|list| list.iter())
                .map(spanned)
                .collect();
            for inherited in &inherits {
                self.known(places::ROLE, inherited, &syntax.roles);
            }
            let role = Role {
                span: entry.name.span,
                inherits,
                own: Arc::new(self.own(entry, servers)),
                permissions: Arc::default(),
            };
            roles.insert(name.clone(), role);
        }
        roles
    }

    fn own(&mut self, entry: &syntax::Role, servers: &Servers) -> Permissions {
        let mut own = Vec::new();
        for selector in entry.allow.values() {
            own.extend(self.select(&selector.name, &selector.value, Use::Allow, servers));
        }
        for names in entry.destructive.values() {
            let selector = Selector::Names(names.value.clone());
            own.extend(self.select(&names.name, &selector, Use::Destructive, servers));
        }
        own.into_iter().collect()
    }

    /// Reports each cycle once, at its first role by name.
    pub(super) fn role_cycles(&mut self, roles: &ByName<Role>) {
        let mut settled: BTreeSet<&str> = BTreeSet::new();
        for start in roles.keys() {
            let mut path: Vec<&Spanned<Text>> = Vec::new();
            self.walk(start, roles, &mut path, &mut settled);
        }
    }

    fn walk<'m>(
        &mut self,
        name: &'m str,
        roles: &'m ByName<Role>,
        path: &mut Vec<&'m Spanned<Text>>,
        settled: &mut BTreeSet<&'m str>,
    ) {
        let Some(role) = roles.get(name).filter(|_| !settled.contains(name)) else {
            return;
        };
        for inherited in &role.inherits {
            let above = path.iter().position(|step| step.value == inherited.value);
            path.push(inherited);
            if let Some(start) = above.or((inherited.value == name).then_some(path.len() - 1)) {
                self.role_cycle(path.get(start..).unwrap_or_default());
            } else {
                self.walk(&inherited.value, roles, path, settled);
            }
            path.pop();
        }
        settled.insert(name);
    }

    fn role_cycle(&mut self, cycle: &[&Spanned<Text>]) {
        let Some(last) = cycle.last() else { return };
        let names: Vec<_> = cycle.iter().map(|step| step.value.as_str()).collect();
        let message = match names.as_slice() {
            [only] => format!("the role `{only}` inherits itself"),
            _ => format!(
                "roles inherit each other in a circle: {}",
                names.join(" -> ")
            ),
        };
        let mut found = Diagnostic::new(&codes::ROLE_CYCLE, last.span, message)
            .help("remove one of the steps; put what is shared into a role of its own");
        for step in cycle.iter().filter(|step| step.span != last.span) {
            found = found.also(step.span, format!("`{}` is inherited here", step.value));
        }
        self.report(found);
    }
}

/// Gives every role what it inherits; ends on cycles as well.
pub(crate) fn flatten(roles: &mut ByName<Role>) {
    for role in roles.values_mut().filter(|it| it.inherits.is_empty()) {
        role.permissions = Arc::clone(&role.own);
    }
    let heirs = roles.iter().filter(|(_, it)| !it.inherits.is_empty());
    let heirs: Vec<Text> = heirs.map(|(name, _)| name.clone()).collect();
    for name in heirs {
        let mut seen = BTreeSet::from([name.clone()]);
        let mut open = vec![name.clone()];
        let mut gathered = BTreeMap::new();
        while let Some(next) = open.pop() {
            let Some(role) = roles.get(next.as_str()) else {
                continue;
            };
            for (permission, span) in role.own.iter() {
                gathered.entry(permission.clone()).or_insert(*span);
            }
            for inherited in &role.inherits {
                if seen.insert(inherited.value.to_string().into()) {
                    open.push(inherited.value.to_string().into());
                }
            }
        }
        if let Some(role) = roles.get_mut(name.as_str()) {
            role.permissions = Arc::new(gathered.into_iter().collect());
        }
    }
}
