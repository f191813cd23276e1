//! `latchkey init`: a small project that checks, tests and builds at once.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, Terminal};
use crate::{cli::Global, project};

/// The files of a new project.
const FILES: &[(&str, &str)] = &[
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
    (".gitignore", include_str!("../template/gitignore")),
];

/// The arguments of `latchkey init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the new project, which is made if need be; the folder of `-C` if absent
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes the files, unless one of them is there already.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    super::formats("init", global.format, &[crate::cli::Format::Human])?;
    let folder = args.directory.as_ref().unwrap_or(&global.directory);
    if let Some((taken, _)) = FILES.iter().find(|(name, _)| present(&folder.join(name))) {
        let what = format!("`{}` is there already", folder.join(taken).display());
        return Err(Failure::usage(what).help("choose another folder; nothing was written"));
    }
    for (name, text) in FILES {
        let path = folder.join(name);
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
