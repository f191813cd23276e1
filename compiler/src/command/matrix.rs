//! `latchkey matrix`: matrices that are written from what the policy does.

use std::{io::Write as _, path::PathBuf};

use latchkey_engine::time::Time;

use super::{Exit, Failure, Terminal, checked, formats, now, sound};
use crate::{
    cli::{Format, Global},
    command::progress::Bar,
    project::Project,
    text::Text,
    truth::{self, TruthError, Wish},
};

/// The arguments of `latchkey matrix`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

/// What is done with matrices.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write the full current truth as matrices, for review
    Init(InitArgs),
}

/// The arguments of `latchkey matrix init`.
#[derive(Debug, clap::Args)]
struct InitArgs {
    /// A server, again for several; every server that no matrix tests if absent
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,
    /// The time of the calls, instead of now, for example 2026-12-01
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
    /// A new file, by its path in the project; standard output if absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes matrices.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Verb::Init(args) = &args.verb;
    formats("matrix", global.format, &[Format::Human])?;
    let checked = checked(global, args.at)?;
    let path = path(args, global, &checked.project)?;
    let project = match sound(checked, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(exit),
    };
    let known = &project.model.servers;
    if let Some(unknown) = args
        .server
        .iter()
        .find(|name| !known.contains_key(name.as_str()))
    {
        let names: Vec<_> = known.keys().map(Text::as_str).collect();
        return Err(Failure::usage(format!("there is no server `{unknown}`"))
            .help(format!("the servers are {}", names.join(", "))));
    }
    let tested = |name: &Text| project.model.matrices.values().any(|it| it.server == *name);
    let servers = if args.server.is_empty() {
        let untested = known.keys().filter(|name| !tested(name));
        untested.map(ToString::to_string).collect()
    } else {
        args.server.iter().cloned().collect()
    };
    let wish = Wish {
        servers,
        at: args.at.unwrap_or_else(now),
        path: &path,
    };
    if wish.servers.is_empty() {
        return Err(Failure::usage("every server has matrices already")
            .help("name one with `--server` to write what it does all the same"));
    }
    let text = {
        let mut bar = Bar::new(terminal.err, "mutants");
        let mut tell = |done, all| bar.tell(done, all);
        truth::write(&project.model, &project.sources, &wish, &mut tell)
    };
    let text = text.map_err(|TruthError::Internal(what)| Failure::internal(what))?;
    if args.out.is_none() {
        write!(terminal.out, "{text}")?;
        return Ok(Exit::Clean);
    }
    let file = global.directory.join(&path);
    let written = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = written.and_then(|()| {
        let file = std::fs::File::create_new(&file);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
    });
    written.map_err(|error| Failure::file("write", &file, &error))?;
    writeln!(
        terminal.err,
        "wrote {}; review what it says",
        file.display()
    )?;
    Ok(Exit::Clean)
}

/// The path of the new file in the project: one that the project reads.
fn path(args: &InitArgs, global: &Global, project: &Project) -> Result<String, Failure> {
    let Some(out) = &args.out else {
        let free = |path: &&str| project.includes(path) && !global.directory.join(path).exists();
        let usual = ["tests/truth.yaml", "truth.yaml", "tests/full-truth.yaml"];
        let help = "give `--out FILE` with a path that the globs of `include` match";
        return usual
            .iter()
            .find(|path| free(path))
            .map(|path| (*path).to_owned())
            .ok_or_else(|| Failure::usage("no new file would be read").help(help));
    };
    let path = out.to_string_lossy().replace('\\', "/");
    let path = path.trim_start_matches("./").to_owned();
    if out.is_absolute() || !project.includes(&path) {
        let what = format!("`{path}` is not one of the project's files");
        let help =
            "give a path in the project that the globs of `include` in `latchkey.toml` match";
        return Err(Failure::usage(what).help(help));
    }
    if global.directory.join(&path).exists() {
        let what = format!("`{path}` is there already");
        return Err(Failure::usage(what).help("give the path of a new file"));
    }
    Ok(path)
}
