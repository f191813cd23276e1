//! Golden matrices: callers and calls as `eval` lines, cells with their expected outcome.

use latchkey_engine::{index::SurfaceKind, reason::Reason, time::Time};
use serde_json::{Map, Value as Json, json};

use super::{Resolver, callers::spanned, places, selectors::Use, unknown};
use crate::{
    diag::{Diagnostic, codes},
    matrix::outcome::{CARRIES, RULE, unknown_obligation},
    model::{ByName, Cell, Matrix, MatrixCall, MatrixCaller, Model, Others, Permissions, Server},
    source::Spanned,
    syntax::{
        self,
        matrix::{Actor, Call, Caller},
    },
    text::Text,
};

impl Resolver<'_> {
    pub(super) fn matrices(&mut self, model: &Model) -> ByName<Matrix> {
        let syntax = self.syntax;
        let mut matrices = ByName::new();
        for (name, entry) in self.entries(&syntax.matrices) {
            let server_name = spanned(&entry.server);
            if let Some(server) = self.server(&server_name, &model.servers) {
                let matrix = self.matrix(entry, &server_name.value, server);
                matrices.insert(name.clone(), matrix);
            }
        }
        matrices
    }

    fn matrix(
        &mut self,
        entry: &syntax::Entry<syntax::Matrix>,
        server_name: &Text,
        server: &Server,
    ) -> Matrix {
        let table = &entry.expect;
        let mut callers = Vec::with_capacity(table.header.len());
        let mut others = Vec::with_capacity(table.header.len());
        for name in &table.header {
            let Some(caller) = entry.callers.get(&name.value) else {
                continue;
            };
            callers.push(self.matrix_caller(&caller.name, &caller.value));
            others.push(self.matrix_others(entry, &caller.name, server_name, server));
        }
        let mut calls = Vec::with_capacity(table.rows.len());
        let rows = table.rows.iter();
        let mut expected_cells = Vec::with_capacity(rows.map(|row| row.cells.len()).sum());
        for (row, written) in table.rows.iter().enumerate() {
            let Some(call) = entry.calls.get(&written.call.value) else {
                continue;
            };
            self.called(call, &written.cells, server_name, server);
            calls.push(matrix_call(&call.name, &call.value, server));
            for (column, expected) in written.cells.iter().enumerate() {
                self.outcome(expected);
                expected_cells.push(Cell {
                    caller: column,
                    call: row,
                    expected: expected.clone(),
                });
            }
        }
        Matrix {
            span: entry.name.span,
            server: server_name.clone(),
            at: Time(entry.at.value.0),
            callers,
            calls,
            cells: expected_cells,
            others,
        }
    }

    fn matrix_caller(&mut self, name: &Spanned<Text>, caller: &Caller) -> MatrixCaller {
        let mut facts = Vec::new();
        if let Some(actor) = self.actor(&caller.actor) {
            facts.push(("caller", actor.to_string()));
        }
        let mut chain = Vec::new();
        for actor in caller.on_behalf_of.iter().flat_map(|list| list.iter()) {
            chain.extend(self.actor(actor));
        }
        if !chain.is_empty() {
            facts.push(("on_behalf_of", Json::Array(chain).to_string()));
        }
        if let Some(permissions) = &caller.token_permissions {
            let names: Vec<_> = permissions.iter().map(|it| it.value.as_str()).collect();
            facts.push(("token_permissions", json!(names).to_string()));
        }
        for (key, value) in [("token_id", &caller.token_id), ("ip", &caller.ip)] {
            if let Some(value) = value {
                facts.push((key, json!(value.value).to_string()));
            }
        }
        MatrixCaller {
            name: name.clone(),
            facts,
        }
    }

    /// An actor in the words of `eval`; none for an anonymous one.
    fn actor(&mut self, actor: &Actor) -> Option<Json> {
        if actor.anonymous.is_some() {
            return None;
        }
        let syntax = self.syntax;
        let mut facts = Map::new();
        if let Some(principal) = &actor.principal {
            let name = spanned(principal);
            self.known(places::PRINCIPAL, &name, &syntax.principals);
            facts.insert("principal".to_owned(), json!(name.value));
        }
        if let Some(issuer) = &actor.issuer {
            let name = spanned(issuer);
            self.known(places::ISSUER, &name, &syntax.issuers);
            facts.insert("issuer".to_owned(), json!(name.value));
        }
        if let Some(subject) = &actor.subject {
            facts.insert("subject".to_owned(), json!(subject.value));
        }
        let groups: Vec<_> = actor.groups.iter().map(|it| it.value.as_str()).collect();
        if !groups.is_empty() {
            facts.insert("groups".to_owned(), json!(groups));
        }
        Some(Json::Object(facts))
    }

    fn matrix_others(
        &mut self,
        entry: &syntax::Matrix,
        caller: &Spanned<Text>,
        server_name: &Text,
        server: &Server,
    ) -> Others {
        let Some(listed) = entry.others.get(&caller.value) else {
            return Others {
                span: caller.span,
                permissions: Permissions::default(),
            };
        };
        let mut permissions = Vec::new();
        for name in listed.value.iter() {
            permissions.extend(self.select_name(server_name, server, name, Use::Any));
        }
        Others {
            span: listed.name.span,
            permissions: permissions.into_iter().collect(),
        }
    }

    /// A call of a surface that does not exist is a mistake, unless the whole row expects it.
    fn called(
        &mut self,
        call: &syntax::Entry<Call>,
        cells: &[Spanned<Text>],
        server_name: &str,
        server: &Server,
    ) {
        let Call::Surface { name, .. } = &call.value else {
            return;
        };
        let unmatched = cells
            .iter()
            .all(|it| it.value == Reason::SurfaceUnmatched.as_str());
        if unmatched || server.surfaces.contains_key(&name.value) {
            return;
        }
        if self.syntax.may_hold(&name.value) {
            return;
        }
        let known: Vec<&str> = server.surfaces.keys().map(Text::as_str).collect();
        let message = format!("the server `{server_name}` has no surface `{}`", name.value);
        let help = "correct the name, or expect `surface_unmatched` in the whole row".to_owned();
        let found = unknown(&codes::UNKNOWN_SURFACE, name, message, &known, help);
        self.report(found.also(server.span, "this server"));
    }

    fn outcome(&mut self, expected: &Spanned<Text>) {
        let word = expected.value.as_str();
        let known = || {
            let reasons = Reason::ALL.iter().filter(|it| **it != Reason::Ok);
            std::iter::once("allow").chain(reasons.map(|it| it.as_str()))
        };
        if known().any(|it| it == word) {
            return;
        }
        if let Some(list) = word.strip_prefix(CARRIES) {
            if let Some(part) = unknown_obligation(list) {
                let message = format!("`{part}` is no obligation of an allowed call");
                let help = "write `allow+rate:30/m`, `allow+concurrency:4`, several joined by `+`, \
                            or `allow+none`";
                self.report(
                    Diagnostic::new(&codes::UNKNOWN_OUTCOME, expected.span, message).help(help),
                );
            }
            return;
        }
        if let Some(rule) = word.strip_prefix(RULE) {
            let name = Spanned::new(
                Text::from(rule),
                super::tail(self.sources, expected.span, rule),
            );
            let rules = &self.syntax.rules;
            self.known((&codes::UNKNOWN_RULE, "rules", "rule"), &name, rules);
            return;
        }
        let message = format!("`{word}` is no outcome of a call");
        let help =
            "write `allow`, `allow+rate:30/m`, the word of a reason, or `rule:<name>`".to_owned();
        self.report(unknown(
            &codes::UNKNOWN_OUTCOME,
            expected,
            message,
            &known().collect::<Vec<_>>(),
            help,
        ));
    }
}

fn matrix_call(name: &Spanned<Text>, call: &Call, server: &Server) -> MatrixCall {
    // A call that could not be read was refused when it was parsed.
    let value = |node: &syntax::Node| node.to_json().unwrap_or_else(|| "null".to_owned());
    let mut facts = Vec::new();
    match call {
        Call::Surface { name, arguments } => {
            let surface = server.surfaces.get(&name.value);
            let prompt = surface.is_some_and(|it| it.kind == SurfaceKind::Prompt);
            let key = if prompt { "prompt" } else { "tool" };
            facts.push((key, json!(name.value).to_string()));
            facts.push(("arguments", value(arguments)));
        }
        Call::Resource { uri } => {
            facts.push(("resource", json!(uri.value).to_string()));
        }
        Call::Route(route) => {
            facts.push(("method", json!(route.method.value.text()).to_string()));
            facts.push(("path", json!(route.path.value).to_string()));
            if let Some(body) = &route.body {
                facts.push(("body", value(body)));
            }
        }
    }
    MatrixCall {
        name: name.clone(),
        facts,
    }
}
