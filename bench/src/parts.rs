//! What generated projects have in common: who there is, and the tools that they call.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use crate::{exchange, process::Failure};

/// Teams of each organization.
pub(crate) const TEAMS: usize = 10;

/// Begins a project that takes every file of its folder.
pub(crate) fn begin(folder: &Path, name: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let toml = format!("[project]\nname = \"{name}\"\ninclude = [\"**/*.yaml\"]\n");
    Ok(fs::write(folder.join("latchkey.toml"), toml)?)
}

/// The id of an organization.
pub(crate) fn id(organization: usize) -> String {
    format!("0192f0c1-7a10-7c3e-9b5a-5d1f0c9a{organization:04}")
}

/// The scope of a team by its number among all.
pub(crate) fn scope(team: usize) -> String {
    format!("org-{:02}/team-{}", team / TEAMS, team % TEAMS)
}

/// An issuer that may speak for so many organizations.
pub(crate) fn issuer(organizations: usize) -> String {
    let names: Vec<String> = (0..organizations)
        .map(|at| format!("org-{at:02}"))
        .collect();
    format!(
        "issuers:\n  idp:\n    issuer: https://idp.example\n    audiences: [https://tools.example]\n    \
         jwks: {{inline: {}}}\n    organizations: [{}]\n    maxLifetime: 1h\n",
        exchange::keys(),
        names.join(", ")
    )
}

/// The head of a server.
pub(crate) fn server(text: &mut String, name: &str) -> fmt::Result {
    writeln!(
        text,
        "  {name}:\n    in: platform\n    transport: mcp\n    \
         upstream: http://127.0.0.1:9000/mcp\n    arguments: {{repo: {{fold: ascii-lower}}}}"
    )
}

/// A tool of a server.
pub(crate) fn tool(text: &mut String, at: usize) -> fmt::Result {
    writeln!(
        text,
        "      tool_{at:03}:\n        risk: read\n        input:\n          type: object\n          \
         required: [repo, amount]\n          additionalProperties: false\n          \
         properties: {{repo: {{type: string}}, amount: {{type: integer}}, note: {{type: string}}}}"
    )
}
