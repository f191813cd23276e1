//! What `latchkey who-can` and `latchkey what-can` share: a policy that is asked, and how the
//! answer is shown.

use latchkey_engine::{bundle::places::PlaceKind, id::ScopeId, policy::Policy, time::Time};
use serde::Serialize;

use super::{
    Exit, Failure, Terminal,
    diff::side::{self, Opened},
    formats, now,
};
use crate::{
    cli::{Format, Global},
    diag::{codes, suggest},
    diff::access::{self, Access, Named, Query},
    model::{Permission, SurfaceName},
    source::Span,
    text::Text,
};

mod csv;
mod html;
mod table;

/// What both commands are told.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Only what can take place in this scope, such as acme/payments
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Only what holds at this time, for example 2026-12-01; otherwise everything, with its dates
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
    /// Ask another project's folder, a Git revision, a folder of bundles, or an `.lkb` file
    /// instead of the project of -C
    #[arg(long, value_name = "WHERE")]
    bundle: Option<String>,
}

/// The question, as it is printed with the answer.
#[derive(Debug, Serialize)]
pub(super) struct Question<'q> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) surface: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
}

/// Opens the policy that is asked; none when it is a project with errors, which were printed.
pub(super) fn open(
    verb: &str,
    asked: &Asked,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Opened>, Failure> {
    let known = [Format::Human, Format::Csv, Format::Json, Format::Html];
    formats(verb, global.format, &known)?;
    let at = asked.at.unwrap_or_else(now);
    side::opened(asked.bundle.as_deref(), at, global, terminal)
}

/// Asks, and prints the answer.
pub(super) fn answer(
    opened: &Opened,
    query: &Query<'_>,
    asked: &Asked,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let scope = scope(opened.gate.policy(), asked.scope.as_deref())?;
    let query = Query {
        scope,
        at: asked.at,
        ..*query
    };
    let mut found = access::access(&opened.gate, &query);
    found.locate(&|named| opened.locate(named));
    let question = Question {
        surface: query.surface,
        operation: query.operation,
        principal: query.subject,
        server: query.server,
        scope: asked.scope.as_deref(),
        at: asked.at.map(|at| at.to_string()),
    };
    match global.format {
        Format::Json => writeln!(terminal.out, "{}", json(&question, &found)?)?,
        Format::Csv => write!(terminal.out, "{}", csv::render(&found))?,
        Format::Html => write!(terminal.out, "{}", html::render(&question, &found))?,
        _ => write!(
            terminal.out,
            "{}",
            table::render(&question, &found, terminal.colour)
        )?,
    }
    if found.undecided.is_empty() {
        Ok(Exit::Clean)
    } else {
        Ok(Exit::Findings)
    }
}

fn json(question: &Question<'_>, found: &Access) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Answer<'a> {
        question: &'a Question<'a>,
        #[serde(flatten)]
        found: &'a Access,
    }
    serde_json::to_string(&Answer { question, found })
        .map_err(|error| Failure::internal(error.to_string()))
}

fn scope(policy: &Policy, path: Option<&str>) -> Result<Option<ScopeId>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let tree = &policy.index().scopes;
    if let Some(scope) = tree.find(path) {
        return Ok(Some(scope));
    }
    let ids = (0..).map(ScopeId).take(tree.nodes().len());
    let known: Vec<String> = ids.map(|id| tree.path(id)).collect();
    Err(unknown("scope", path, known.iter().map(String::as_str)))
}

/// A name that the policy does not have.
pub(super) fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::usage(format!("there is no {kind} `{name}`"));
    let failure = failure.code(&codes::NOT_IN_POLICY);
    match suggest::closest(name, known) {
        Some(best) => failure.help(format!("did you mean `{best}`?")),
        None => failure.help("`latchkey show --resolved` lists everything that there is"),
    }
}

impl Opened {
    /// Where something is written. A bundle knows bindings, roles and rules; a project knows the
    /// line of the very permission, principals and groups as well.
    pub(super) fn locate(&self, named: Named<'_>) -> Option<String> {
        let written = |span: Span| {
            let project = self.sound.as_ref()?;
            Some(project.sources.place(span))
        };
        let model = self.sound.as_ref().map(|project| &project.model);
        match named {
            Named::Binding(name) => self.place(PlaceKind::Binding, name),
            Named::Rule(name) => self.place(PlaceKind::Rule, name),
            Named::Subject(name) => match name.strip_prefix("group:") {
                Some(group) => written(model?.groups.get(group)?.span),
                None => written(model?.principals.get(name)?.span),
            },
            Named::Role(name, permission) => {
                let line = || {
                    let role = model?.roles.get(name)?;
                    written(*role.permissions.get(&parsed(permission)?)?)
                };
                line().or_else(|| self.place(PlaceKind::Role, name))
            }
        }
    }
}

/// The permission of an exact form such as `tools:github/get_issue:call`.
fn parsed(exact: &str) -> Option<Permission> {
    let (_, rest) = exact.split_once(':')?;
    let (server, rest) = rest.split_once('/')?;
    let (name, operation) = rest.split_once(":call")?;
    Some(Permission {
        surface: SurfaceName {
            server: server.into(),
            name: name.into(),
        },
        operation: operation.strip_prefix(':').map(Text::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_back() {
        for exact in [
            "tools:github/get_issue:call",
            "tools:github/repo_admin:call:rename",
        ] {
            let permission = parsed(exact).unwrap();
            let operation = permission.operation.map(|it| format!(":{it}"));
            let again = format!(
                "tools:{}:call{}",
                permission.surface,
                operation.unwrap_or_default()
            );
            assert_eq!(again, exact);
        }
    }
}
