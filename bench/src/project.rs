//! Policy projects of a chosen size, as folders of YAML.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use latchkey_engine::testing::Rng;
use serde_json::json;

use crate::{exchange, process::Failure};

const ORGANIZATIONS: usize = 20;
const TEAMS: usize = 10;
const TOOLS: usize = 200;
const ROLES: usize = 50;
/// How many bindings a principal has.
const EACH: usize = 10;

/// Writes a project of this many access files with this many bindings each, and the few files that
/// say who and what there is.
pub fn write(folder: &Path, files: usize, bindings: usize) -> Result<(), Failure> {
    let rng = &mut Rng::new(7);
    let principals = (files * bindings / EACH).max(ORGANIZATIONS * TEAMS);
    fs::create_dir_all(folder.join("access"))?;
    let toml = "[project]\nname = \"large\"\ninclude = [\"**/*.yaml\"]\n";
    fs::write(folder.join("latchkey.toml"), toml)?;
    fs::write(folder.join("org.yaml"), organization(principals)?)?;
    fs::write(folder.join("server.yaml"), server(rng)?)?;
    for file in 0..files {
        let team = file % (ORGANIZATIONS * TEAMS);
        let text = access(file, team, principals, bindings, rng)?;
        fs::write(folder.join(format!("access/{file:04}.yaml")), text)?;
    }
    Ok(())
}

/// Calls of principals of the project, one JSON object on each line; most of them are allowed.
pub fn calls(count: usize, files: usize, bindings: usize) -> String {
    let rng = &mut Rng::new(8);
    let principals = (files * bindings / EACH).max(ORGANIZATIONS * TEAMS);
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

/// The scope of a team by its number.
fn scope(team: usize) -> String {
    format!("org-{:02}/team-{}", team / TEAMS, team % TEAMS)
}

fn organization(principals: usize) -> Result<String, fmt::Error> {
    let mut text = "organizations:\n".to_owned();
    for at in 0..ORGANIZATIONS {
        let teams: Vec<String> = (0..TEAMS)
            .map(|team| format!("team-{team}: {{}}"))
            .collect();
        let id = format!("0192f0c1-7a10-7c3e-9b5a-5d1f0c9a{at:04}");
        let teams = teams.join(", ");
        writeln!(text, "  org-{at:02}: {{id: {id}, teams: {{{teams}}}}}")?;
    }
    let names: Vec<String> = (0..ORGANIZATIONS)
        .map(|at| format!("org-{at:02}"))
        .collect();
    writeln!(
        text,
        "issuers:\n  idp:\n    issuer: https://idp.example\n    audiences: [https://tools.example]\n    \
         jwks: {{inline: {}}}\n    organizations: [{}]\n    maxLifetime: 1h\nprincipals:",
        exchange::keys(),
        names.join(", ")
    )?;
    for at in 0..principals {
        let scope = scope(at % (ORGANIZATIONS * TEAMS));
        writeln!(
            text,
            "  p-{at:06}: {{type: human, identity: {{issuer: idp, subject: u-{at:06}}}, in: {scope}}}"
        )?;
    }
    Ok(text)
}

fn server(rng: &mut Rng) -> Result<String, fmt::Error> {
    let teams: Vec<String> = (0..ORGANIZATIONS * TEAMS)
        .map(|team| format!("repo-{team:03}: {}", scope(team)))
        .collect();
    let mut text = format!(
        "servers:\n  tools:\n    in: platform\n    transport: mcp\n    \
         upstream: http://127.0.0.1:9000/mcp\n    arguments: {{repo: {{fold: ascii-lower}}}}\n    \
         scopes: {{from: {{argument: repo}}, map: {{{}}}}}\n    tools:\n",
        teams.join(", ")
    );
    for at in 0..TOOLS {
        writeln!(
            text,
            "      tool_{at:03}:\n        risk: read\n        input:\n          type: object\n          \
             required: [repo, amount]\n          additionalProperties: false\n          properties: \
             {{repo: {{type: string}}, amount: {{type: integer}}, note: {{type: string}}}}"
        )?;
    }
    text.push_str("roles:\n");
    for at in 0..ROLES {
        let mut given: Vec<usize> = (0..40).map(|_| rng.below(TOOLS)).collect();
        // Every tool has a role, so that each can be reached.
        given.extend((0..TOOLS).filter(|tool| tool % ROLES == at));
        given.sort_unstable();
        given.dedup();
        let given: Vec<String> = given.iter().map(|it| format!("tool_{it:03}")).collect();
        writeln!(
            text,
            "  role-{at:02}: {{allow: {{tools: [{}]}}}}",
            given.join(", ")
        )?;
    }
    Ok(text)
}

fn access(
    file: usize,
    team: usize,
    principals: usize,
    bindings: usize,
    rng: &mut Rng,
) -> Result<String, fmt::Error> {
    let mut text = "bindings:\n".to_owned();
    let members = principals / (ORGANIZATIONS * TEAMS);
    for at in 0..bindings {
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
    if file % 10 == 0 {
        writeln!(
            text,
            "rules:\n  r-{file:04}:\n    effect: deny\n    surfaces: {{tools: [tool_{:03}]}}\n    \
             in: {}\n    when: args.amount > {}\n    message: Too much.",
            rng.below(TOOLS),
            scope(team),
            150 + rng.below(50)
        )?;
    }
    Ok(text)
}
