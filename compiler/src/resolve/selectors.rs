//! Selectors: which surfaces of a server a role or rule means.

use latchkey_engine::index::Risk;

use super::{Resolver, places, servers::risk_of, unknown};
use crate::{
    diag::{Diagnostic, codes},
    model::{ByName, Permission, Server, Surface, SurfaceName},
    source::{Span, Spanned},
    syntax::{Selector, SurfaceRef},
    text::Text,
};

/// What a selector is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// `allow` of a role: never a destructive surface.
    Allow,
    /// `destructive` of a role: nothing else.
    Destructive,
    /// `surfaces` of a rule, or `others` of a matrix: any.
    Any,
}

/// Servers by name.
pub(super) type Servers = ByName<Server>;

impl Resolver<'_> {
    /// The server that a selector's key names.
    pub(super) fn server<'m>(
        &mut self,
        name: &Spanned<Text>,
        servers: &'m Servers,
    ) -> Option<&'m Server> {
        let syntax = self.syntax;
        self.known(places::SERVER, name, &syntax.servers);
        servers.get(&name.value)
    }

    /// What a selector means on a server, with the place of the words that say so, in any order.
    pub(super) fn select(
        &mut self,
        name: &Spanned<Text>,
        selector: &Selector,
        purpose: Use,
        servers: &Servers,
    ) -> Vec<(Permission, Span)> {
        let Some(server) = self.server(name, servers) else {
            return Vec::new();
        };
        match selector {
            Selector::Names(names) => {
                let mut selected = Vec::new();
                for each in names.iter() {
                    selected.extend(self.select_name(&name.value, server, each, purpose));
                }
                selected
            }
            Selector::All(span) => {
                let all = |risk| purpose == Use::Any || risk != Risk::Destructive;
                self.select_where(&name.value, server, *span, all)
            }
            Selector::Risk(by) => {
                let mut selected = Vec::new();
                for wanted in by.risk.iter() {
                    let risk = risk_of(wanted.value);
                    if risk == Risk::Destructive && purpose != Use::Any {
                        let message = "no selector grants what is destructive";
                        self.report(
                            Diagnostic::new(&codes::DESTRUCTIVE_SELECTOR, wanted.span, message)
                                .help("name each destructive surface under `destructive`"),
                        );
                        continue;
                    }
                    let wanted_risk = |each| each == risk;
                    selected.extend(self.select_where(
                        &name.value,
                        server,
                        wanted.span,
                        wanted_risk,
                    ));
                }
                selected
            }
        }
    }

    fn select_where(
        &mut self,
        name: &Text,
        server: &Server,
        span: Span,
        wanted: impl Fn(Risk) -> bool,
    ) -> Vec<(Permission, Span)> {
        let selected: Vec<_> = permissions(name, server)
            .filter(|(_, risk)| wanted(*risk))
            .map(|(permission, _)| (permission, span))
            .collect();
        if selected.is_empty() {
            let message = format!("`{name}` has no such surface");
            self.report(
                Diagnostic::new(&codes::SELECTS_NOTHING, span, message)
                    .also(server.span, "this server")
                    .help("remove the selector, or name what is meant"),
            );
        }
        selected
    }

    /// What one name means: a surface's operations that fit, or one operation.
    pub(super) fn select_name(
        &mut self,
        server_name: &Text,
        server: &Server,
        name: &Spanned<SurfaceRef>,
        purpose: Use,
    ) -> Vec<(Permission, Span)> {
        let Some(surface) = server.surfaces.get(&name.name) else {
            self.unknown_surface(server_name, server, name);
            return Vec::new();
        };
        let own = SurfaceName {
            server: server_name.clone(),
            name: name.name.clone(),
        };
        let all = surface.permissions(&own);
        let meant = match &name.operation {
            None => all,
            Some(operation) => {
                let named =
                    |(each, _): &(Permission, Risk)| each.operation.as_ref() == Some(operation);
                let meant: Vec<_> = all.into_iter().filter(named).collect();
                if meant.is_empty() {
                    self.unknown_operation(surface, name, operation);
                    return Vec::new();
                }
                meant
            }
        };
        let fits = |risk| match purpose {
            Use::Any => true,
            Use::Allow => risk != Risk::Destructive,
            Use::Destructive => risk == Risk::Destructive,
        };
        let selected: Vec<_> = meant
            .into_iter()
            .filter(|(_, risk)| fits(*risk))
            .map(|(permission, _)| (permission, name.span))
            .collect();
        if selected.is_empty() {
            self.wrong_risk(surface, name, purpose);
        }
        selected
    }

    fn unknown_surface(&mut self, server_name: &str, server: &Server, name: &Spanned<SurfaceRef>) {
        self.unsure = true;
        if self.syntax.may_hold(&name.name) {
            return;
        }
        let known: Vec<&str> = server.surfaces.keys().map(Text::as_str).collect();
        let text = Spanned::new(name.name.clone(), super::tail_of(name, &name.name));
        let message = format!("the server `{server_name}` has no surface `{}`", name.name);
        let help = format!("declare it under `servers.{server_name}`, or correct the name");
        let found = unknown(&codes::UNKNOWN_SURFACE, &text, message, &known, help);
        self.report(found.also(server.span, "this server"));
    }

    fn unknown_operation(
        &mut self,
        surface: &Surface,
        name: &Spanned<SurfaceRef>,
        operation: &str,
    ) {
        self.unsure = true;
        if self.syntax.may_hold(operation) {
            return;
        }
        let known: Vec<&str> = surface
            .operations
            .iter()
            .flat_map(|operations| operations.values.keys())
            .map(Text::as_str)
            .collect();
        let message = format!("`{}` has no operation `{operation}`", name.name);
        let help = if known.is_empty() {
            "the surface has no operations: name the surface alone".to_owned()
        } else {
            format!("its operations are {}", known.join(", "))
        };
        let place = Spanned::new(
            Text::from(operation),
            self.operation_span(name.span, operation),
        );
        let found = unknown(&codes::UNKNOWN_OPERATION, &place, message, &known, help);
        self.report(found.also(surface.span, "this surface"));
    }

    fn operation_span(&self, span: Span, operation: &str) -> Span {
        super::tail(self.sources, span, operation)
    }

    fn wrong_risk(&mut self, surface: &Surface, name: &Spanned<SurfaceRef>, purpose: Use) {
        let (code, what, help) = if purpose == Use::Allow {
            (
                &codes::DESTRUCTIVE_IN_ALLOW,
                "is destructive, and `allow` grants nothing destructive",
                "move it to `destructive`, so that a reviewer sees it",
            )
        } else {
            (
                &codes::NOT_DESTRUCTIVE,
                "is not destructive",
                "move it to `allow`, or correct its risk",
            )
        };
        self.report(
            Diagnostic::new(code, name.span, format!("`{}` {what}", name.value))
                .also(surface.span, "declared here")
                .help(help),
        );
    }
}

/// All permissions of a server with the risk of each.
pub(super) fn permissions<'m>(
    name: &'m Text,
    server: &'m Server,
) -> impl Iterator<Item = (Permission, Risk)> + 'm {
    server.surfaces.iter().flat_map(move |(surface, facts)| {
        facts.permissions(&SurfaceName {
            server: name.clone(),
            name: surface.clone(),
        })
    })
}
