//! A project of 10,000 files as people write them: block style, comments, reasons.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use latchkey_engine::testing::Rng;

use crate::{
    parts::{self, TEAMS, scope},
    process::Failure,
};

const ORGANIZATIONS: usize = 100;
const TOOLS: usize = 200;
/// Principals, bindings and tools of a role in one file.
const PRINCIPALS: usize = 4;
const BINDINGS: usize = 12;
const GIVEN: usize = 3;

/// Files in one folder.
const IN_FOLDER: usize = 100;

/// How many bindings [`write_mistaken`] makes name a role that there is none of, in each file.
pub const MISTAKES: usize = 100;

/// Writes `files` files of a team each, and the two that say what there is.
pub fn write(folder: &Path, files: usize) -> Result<(), Failure> {
    begin(folder)?;
    fs::write(folder.join("server.yaml"), server()?)?;
    for file in 0..files {
        let path = folder.join(path(file));
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(path, team(file)?)?;
    }
    Ok(())
}

/// Where a file of [`write`] lies in its project.
pub fn path(file: usize) -> String {
    format!("access/{:03}/{file:05}.yaml", file / IN_FOLDER)
}

/// Writes a project of 10,000 roles, and of `files` files with [`MISTAKES`] bindings each that
/// name another role than there is.
pub fn write_mistaken(folder: &Path, files: usize) -> Result<(), Failure> {
    begin(folder)?;
    fs::write(folder.join("server.yaml"), server()?)?;
    let mut roles = "roles:\n".to_owned();
    for role in 0..files * MISTAKES {
        writeln!(
            roles,
            "  the-role-{role:05}: {{allow: {{tools: [tool_000]}}}}"
        )?;
    }
    fs::write(folder.join("roles.yaml"), roles)?;
    for file in 0..files {
        let mut text = "principals:\n".to_owned();
        write!(text, "  someone-{file:05}: {{type: human, in: org-00, ")?;
        writeln!(
            text,
            "identity: {{issuer: idp, subject: u-{file}}}}}\nbindings:"
        )?;
        for at in 0..MISTAKES {
            let role = file * MISTAKES + at;
            writeln!(
                text,
                "  access-{file:05}-{at:03}:\n    who: [someone-{file:05}]\n    \
                 roles: [the-rule-{role:05}]\n    in: org-00"
            )?;
        }
        fs::write(folder.join(format!("{file:05}.yaml")), text)?;
    }
    Ok(())
}

fn begin(folder: &Path) -> Result<(), Failure> {
    parts::begin(folder, "front")?;
    let mut text = "organizations:\n".to_owned();
    for at in 0..ORGANIZATIONS {
        let id = parts::id(at);
        writeln!(text, "  org-{at:02}:\n    id: {id}\n    teams:")?;
        for team in 0..TEAMS {
            writeln!(text, "      team-{team}: {{}}")?;
        }
    }
    text.push_str(&parts::issuer(ORGANIZATIONS));
    fs::write(folder.join("org.yaml"), text)?;
    Ok(())
}

fn server() -> Result<String, fmt::Error> {
    let mut text = "servers:\n".to_owned();
    parts::server(&mut text, "tools")?;
    text.push_str("    scopes:\n      from: {argument: repo}\n      map:\n");
    for team in 0..ORGANIZATIONS * TEAMS {
        writeln!(text, "        repo-{team:03}: {}", scope(team))?;
    }
    text.push_str("    tools:\n");
    for at in 0..TOOLS {
        parts::tool(&mut text, at)?;
    }
    Ok(text)
}

/// A file: who is in a part of a team, what they may do there, and what nobody may.
pub fn team(file: usize) -> Result<String, fmt::Error> {
    let rng = &mut Rng::new(file as u64);
    let team = file % (ORGANIZATIONS * TEAMS);
    let scope = scope(team);
    let mut text = format!(
        "# Access of {scope}, part {}. Owned by the team itself; changes need one review by\n\
         # somebody of the team and one by the platform group. See the handbook, section access.\n\n\
         principals:\n",
        file / (ORGANIZATIONS * TEAMS)
    );
    for at in 0..PRINCIPALS {
        writeln!(
            text,
            "  person-{file:05}-{at}:\n    type: human\n    in: {scope}\n    identity:\n      \
             issuer: idp\n      subject: \"00u{file:05}{at}\"\n    tags: [onboarded, team-{team:03}]"
        )?;
    }
    writeln!(
        text,
        "\ngroups:\n  # Who may change things when something is broken.\n  on-call-{file:05}:\n    \
         members: [person-{file:05}-0, person-{file:05}-1]\n\nroles:\n  \
         # What this part of the team works with every day.\n  daily-{file:05}:\n    allow:\n      tools:"
    )?;
    for tool in tools(GIVEN, rng) {
        writeln!(text, "        - tool_{tool:03}")?;
    }
    text.push_str("\nbindings:\n");
    for at in 0..BINDINGS {
        binding(&mut text, (file, at), &scope, rng)?;
    }
    writeln!(
        text,
        "\nrules:\n  # Agreed with finance: larger sums go another way.\n  no-large-sums-{file:05}:\n    \
         effect: deny\n    surfaces:\n      tools: [tool_{:03}]\n    in: {scope}\n    \
         when: args.amount > {}\n    message: Larger sums are paid by the finance team, on request.",
        rng.below(TOOLS),
        400 + rng.below(100)
    )?;
    Ok(text)
}

fn binding(
    text: &mut String,
    (file, at): (usize, usize),
    scope: &str,
    rng: &mut Rng,
) -> fmt::Result {
    let who = match at {
        0 => format!("group:on-call-{file:05}"),
        _ => format!("person-{file:05}-{}", (at - 1) % PRINCIPALS),
    };
    // The first role is its own file's, the others are of other files: files depend on each other.
    let role = file.saturating_sub(at * 7);
    writeln!(
        text,
        "  # Asked for in ticket ACC-{}, granted until the next review of all access.\n  \
         access-{file:05}-{at}:\n    who:\n      - {who}\n    roles:\n      - daily-{role:05}\n    \
         in: {scope}\n    reason: >-\n      Works on the quarterly reports of the team, and needs to \
         look things up\n      in the shared tools while they are written.",
        10_000 + rng.below(89_999)
    )?;
    if at >= 1 + PRINCIPALS {
        // Another date for each, so that none repeats another.
        writeln!(text, "    expires: \"20{}-03-31T00:00:00Z\"", 60 + at)?;
    }
    if at % 4 == 1 {
        writeln!(text, "    when: args.amount <= {}", 100 + rng.below(200))?;
    }
    Ok(())
}

fn tools(count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut tools: Vec<usize> = (0..count).map(|_| rng.below(TOOLS)).collect();
    tools.sort_unstable();
    tools.dedup();
    tools
}
