//! `latchkey init`: a small project that checks, tests and builds at once.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, Terminal, schema};
use crate::{cli::Global, project};

/// The policy of a new project: where one of these is in the way, nothing is written.
const POLICY: &[(&str, &str)] = &[
    (project::FILE, include_str!("../template/latchkey.toml")),
    ("org.yaml", include_str!("../template/org.yaml")),
    (
        "servers/tickets.yaml",
        include_str!("../template/servers/tickets.yaml"),
    ),
    (
        "access/support.yaml",
        include_str!("../template/access/support.yaml"),
    ),
    (
        "tests/tickets.yaml",
        include_str!("../template/tests/tickets.yaml"),
    ),
];
/// What stands beside the policy, for CI, editors and Git: what is there already stays as it is.
const BESIDE: &[(&str, &str)] = &[
    (
        ".github/workflows/policy.yml",
        include_str!("../template/policy.yml"),
    ),
    (".gitignore", include_str!("../template/gitignore")),
    (
        ".helix/languages.toml",
        include_str!("../template/languages.toml"),
    ),
    (".nvim.lua", include_str!("../template/nvim.lua")),
    (
        ".vscode/settings.json",
        include_str!("../template/settings.json"),
    ),
];
/// The schemas that the settings of editors name.
const SCHEMAS: [&str; 2] = ["policy", "project"];

/// The arguments of `latchkey init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the new project, which is made if need be; the folder of `-C` if absent
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes the files that are not there; none where a file of a policy is in the way.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    super::formats("init", global.format, &[crate::cli::Format::Human])?;
    let folder = args.directory.as_ref().unwrap_or(&global.directory);
    let taken = POLICY.iter().map(|(name, _)| folder.join(name));
    let taken: Vec<_> = taken
        .filter(|path| present(path))
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if let Some((last, others)) = taken.split_last() {
        let what = match others {
            [] => format!("{last} is there already"),
            others => format!("{} and {last} are there already", others.join(", ")),
        };
        return Err(Failure::usage(what).help("choose another folder; nothing was written"));
    }
    let files = POLICY.iter().chain(BESIDE);
    let mut files: Vec<_> = files
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    for (name, text) in schema::schemas()? {
        if SCHEMAS.contains(&name.as_str()) {
            files.push((format!("schemas/{name}.schema.json"), text));
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        if present(&path) {
            writeln!(terminal.out, "kept {}: it is there already", path.display())?;
            continue;
        }
        let above = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(above).map_err(|error| Failure::file("make", above, &error))?;
        std::fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    let within = match folder.as_path() {
        path if path == Path::new(".") => String::new(),
        path => format!(" -C {}", path.display()),
    };
    writeln!(terminal.out, "\nNext:")?;
    for step in ["check", "test", "build --out dist"] {
        writeln!(terminal.out, "  latchkey{within} {step}")?;
    }
    Ok(Exit::Clean)
}

/// Whether something has this name, also a link that leads nowhere.
fn present(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
