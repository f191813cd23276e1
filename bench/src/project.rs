//! Policy projects of a chosen size, as folders of YAML.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use latchkey_engine::testing::Rng;
use serde_json::{Value, json};

use crate::{
    parts::{self, TEAMS, scope},
    process::Failure,
};

const ORGANIZATIONS: usize = 20;
const TOOLS: usize = 200;
const ROLES: usize = 50;
/// How many bindings a principal has.
const EACH: usize = 10;
/// How many places [`write_changed`] changes.
pub const CHANGES: usize = 50;
/// Cells of each file of [`write_tested`].
const CALLERS: usize = 3;
const CALLS: usize = 7;

/// How large a project is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Access files.
    pub files: usize,
    /// Bindings of each.
    pub bindings: usize,
    /// Rules of all files together.
    pub rules: usize,
    /// Servers, which share the tools evenly.
    pub servers: usize,
}

impl Size {
    /// Every tenth file has a rule.
    pub fn new(files: usize, bindings: usize) -> Self {
        let rules = files / 10;
        Self {
            files,
            bindings,
            rules,
            servers: 1,
        }
    }

    fn principals(self) -> usize {
        (self.files * self.bindings / EACH).max(ORGANIZATIONS * TEAMS)
    }

    /// The server that has a tool.
    fn server_of(self, tool: usize) -> String {
        match self.servers {
            1 => "tools".to_owned(),
            servers => format!("tools-{:02}", tool * servers / TOOLS),
        }
    }

    /// The tools of a server.
    fn tools_of(self, server: usize) -> std::ops::Range<usize> {
        server * TOOLS / self.servers..(server + 1) * TOOLS / self.servers
    }

    /// Tools, sorted, as roles and rules name them.
    fn selector(self, tools: &[usize]) -> String {
        let by_server = tools.chunk_by(|one, other| self.server_of(*one) == self.server_of(*other));
        let named = by_server.map(|tools| {
            let server = tools
                .first()
                .map_or_else(String::new, |it| self.server_of(*it));
            let tools: Vec<String> = tools.iter().map(|it| format!("tool_{it:03}")).collect();
            format!("{server}: [{}]", tools.join(", "))
        });
        format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
    }

    /// The rules of a file: they are dealt out evenly.
    fn rules_of(self, file: usize) -> std::ops::Range<usize> {
        file * self.rules / self.files..(file + 1) * self.rules / self.files
    }
}

/// Writes a project of this many access files with this many bindings each, and the few files that
/// say who and what there is.
pub fn write(folder: &Path, size: Size) -> Result<(), Failure> {
    write_with(folder, size, |_| false)
}

/// The same project with one thing changed in each of [`CHANGES`] files.
pub fn write_changed(folder: &Path, size: Size) -> Result<(), Failure> {
    let every = (size.files / CHANGES).max(1);
    write_with(folder, size, |file| file % every == 0)
}

fn write_with(folder: &Path, size: Size, changed: impl Fn(usize) -> bool) -> Result<(), Failure> {
    let rng = &mut Rng::new(7);
    parts::begin(folder, "large")?;
    fs::create_dir_all(folder.join("access"))?;
    fs::write(folder.join("org.yaml"), organization(size.principals())?)?;
    fs::write(folder.join("server.yaml"), server(size, rng)?)?;
    for file in 0..size.files {
        let mut text = access(file, size, rng)?;
        if changed(file) {
            text = change(&text, file);
        }
        fs::write(folder.join(format!("access/{file:04}.yaml")), text)?;
    }
    Ok(())
}

/// One thing of a file changed: a role, a limit in a condition, or a binding less.
fn change(text: &str, file: usize) -> String {
    match file % 3 {
        0 => text.replacen("roles: [role-0", "roles: [role-1", 1),
        1 => text.replacen("args.amount <= 1", "args.amount <= 2", 1),
        _ => {
            let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
            let (_, rest) = rest.split_once('\n').unwrap_or_default();
            format!("{head}\n{rest}")
        }
    }
}

/// Writes a project with this many files more, each a matrix of 21 cells that all expect a refusal:
/// `latchkey test --bless` makes them right.
pub fn write_tested(folder: &Path, size: Size, matrices: usize) -> Result<(), Failure> {
    write(folder, size)?;
    fs::create_dir_all(folder.join("tests"))?;
    let rng = &mut Rng::new(9);
    for file in 0..matrices {
        let text = matrix(file, size, rng)?;
        fs::write(folder.join(format!("tests/{file:04}.yaml")), text)?;
    }
    Ok(())
}

/// Adds to each matrix what `latchkey test --format json` says that its callers may reach besides.
pub fn write_others(folder: &Path, said: &str) -> Result<(), Failure> {
    let said: Value = serde_json::from_str(said)?;
    let none = Vec::new();
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for one in said["others"].as_array().unwrap_or(&none) {
        let (matrix, caller) = (one["matrix"].as_str(), one["caller"].as_str());
        let unlisted = one["unlisted"].as_array().unwrap_or(&none).iter();
        let unlisted: Vec<&str> = unlisted.filter_map(Value::as_str).collect();
        let text = lines.entry(matrix.unwrap_or_default()).or_default();
        writeln!(
            text,
            "      {}: [{}]",
            caller.unwrap_or_default(),
            unlisted.join(", ")
        )?;
    }
    for (matrix, others) in lines {
        let path = folder.join(format!("tests/{}.yaml", matrix.trim_start_matches("m-")));
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{text}    others:\n{others}"))?;
    }
    Ok(())
}

fn matrix(file: usize, size: Size, rng: &mut Rng) -> Result<String, fmt::Error> {
    let tools = size.tools_of(file % size.servers);
    let server = size.server_of(tools.start);
    let mut text = format!(
        "matrices:\n  m-{file:04}:\n    server: {server}\n    at: \"2026-12-01T10:00:00Z\"\n    callers:\n"
    );
    let team = file % (ORGANIZATIONS * TEAMS);
    let mut row = "      .     ".to_owned();
    for at in 0..CALLERS {
        let who = (team + at) % size.principals();
        writeln!(text, "      p-{who:06}: {{principal: p-{who:06}}}")?;
        write!(row, "  p-{who:06}     ")?;
    }
    text.push_str("    calls:\n");
    let mut rows = String::new();
    for call in 0..CALLS {
        let (tool, amount) = (tools.start + rng.below(tools.len()), rng.below(200));
        writeln!(
            text,
            "      call {call}: {{tool_{tool:03}: {{repo: repo-{team:03}, amount: {amount}, note: x}}}}"
        )?;
        write!(rows, "      call {call}")?;
        rows.push_str(&"  no_permission".repeat(CALLERS));
        rows.push('\n');
    }
    write!(text, "    expect: |\n{row}\n{rows}")?;
    Ok(text)
}

/// Calls of principals of the project, one JSON object on each line; most of them are allowed.
pub fn calls(count: usize, size: Size) -> String {
    let rng = &mut Rng::new(8);
    let principals = size.principals();
    let mut text = String::new();
    for at in 0..count {
        let principal = rng.below(principals);
        let team = principal % (ORGANIZATIONS * TEAMS);
        let call = json!({
            "id": format!("c{at}"), "caller": {"principal": format!("p-{principal:06}")},
            "server": "tools", "tool": format!("tool_{:03}", rng.below(TOOLS)),
            "arguments": {"repo": format!("repo-{team:03}"), "amount": rng.below(200), "note": "x"},
            "at": "2026-12-01T10:00:00Z",
        });
        text.push_str(&call.to_string());
        text.push('\n');
    }
    text
}

fn organization(principals: usize) -> Result<String, fmt::Error> {
    let mut text = "organizations:\n".to_owned();
    for at in 0..ORGANIZATIONS {
        let teams: Vec<String> = (0..TEAMS)
            .map(|team| format!("team-{team}: {{}}"))
            .collect();
        let (id, teams) = (parts::id(at), teams.join(", "));
        writeln!(text, "  org-{at:02}: {{id: {id}, teams: {{{teams}}}}}")?;
    }
    text.push_str(&parts::issuer(ORGANIZATIONS));
    text.push_str("principals:\n");
    for at in 0..principals {
        let scope = scope(at % (ORGANIZATIONS * TEAMS));
        writeln!(
            text,
            "  p-{at:06}: {{type: human, identity: {{issuer: idp, subject: u-{at:06}}}, in: {scope}}}"
        )?;
    }
    Ok(text)
}

fn server(size: Size, rng: &mut Rng) -> Result<String, fmt::Error> {
    let teams: Vec<String> = (0..ORGANIZATIONS * TEAMS)
        .map(|team| format!("repo-{team:03}: {}", scope(team)))
        .collect();
    let teams = teams.join(", ");
    let mut text = "servers:\n".to_owned();
    for server in 0..size.servers {
        let tools = size.tools_of(server);
        parts::server(&mut text, &size.server_of(tools.start))?;
        let scopes = format!("{{from: {{argument: repo}}, map: {{{teams}}}}}");
        writeln!(text, "    scopes: {scopes}\n    tools:")?;
        for at in tools {
            parts::tool(&mut text, at)?;
        }
    }
    text.push_str("roles:\n");
    for at in 0..ROLES {
        let mut given: Vec<usize> = (0..40).map(|_| rng.below(TOOLS)).collect();
        // Every tool has a role, so that each can be reached.
        given.extend((0..TOOLS).filter(|tool| tool % ROLES == at));
        given.sort_unstable();
        given.dedup();
        writeln!(text, "  role-{at:02}: {{allow: {}}}", size.selector(&given))?;
    }
    Ok(text)
}

fn access(file: usize, size: Size, rng: &mut Rng) -> Result<String, fmt::Error> {
    let team = file % (ORGANIZATIONS * TEAMS);
    let mut text = "bindings:\n".to_owned();
    let members = size.principals() / (ORGANIZATIONS * TEAMS);
    for at in 0..size.bindings {
        let who = team + ORGANIZATIONS * TEAMS * rng.below(members);
        let when = match at % 5 {
            0 => format!(", when: args.amount <= {}", 100 + rng.below(100)),
            _ => String::new(),
        };
        writeln!(
            text,
            "  b-{file:04}-{at:03}: {{who: [p-{who:06}], roles: [role-{:02}], in: {}{when}}}",
            rng.below(ROLES),
            scope(team)
        )?;
    }
    for (at, rule) in size.rules_of(file).enumerate() {
        if at == 0 {
            text.push_str("rules:\n");
        }
        writeln!(
            text,
            "  r-{rule:05}:\n    effect: deny\n    surfaces: {}\n    \
             in: {}\n    when: args.amount > {}\n    message: Too much.",
            size.selector(&[rng.below(TOOLS)]),
            scope(team),
            150 + rng.below(50)
        )?;
    }
    Ok(text)
}
