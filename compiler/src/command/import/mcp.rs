//! `latchkey import mcp`: an entry and a lock from a live MCP server.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use clap::ArgGroup;
use latchkey_gate::{check_resource, pin::ListKind, survey::Found};
use reqwest::Url;
use serde_json::Value as Json;

use super::{
    change,
    entry::{self, Surface},
    plan::{LeftOut, Plan, Target},
    project::{Known, Project},
};
use crate::{
    cli::Global,
    command::{Failure, supply},
    mcp::{self, McpError, stdio::Program},
    resolve,
    syntax::{
        lock::{self, Definitions, Locked},
        scalar::{Scalar as _, SurfaceName},
    },
};

/// The arguments of `latchkey import mcp`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("token").multiple(false))]
pub(super) struct McpArgs {
    /// The address of the server, `https://host/mcp`; if absent, that of the server's entry, or the
    /// command there
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// A program that is a server on its standard input and output, with its arguments
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "url")]
    command: Vec<String>,
    /// The name of the server in the project; what it calls itself if absent
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Where a new server belongs: `platform`, an organization, or `organization/team`
    #[arg(long = "in", value_name = "SCOPE")]
    within: Option<String>,
    /// The file of a new entry, inside the project; `servers/NAME.yaml` if absent
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// A file with the bearer token to send
    #[arg(long, value_name = "FILE", group = "token")]
    token_file: Option<PathBuf>,
    /// The environment variable with the bearer token to send
    #[arg(long, value_name = "VARIABLE", group = "token")]
    token_env: Option<String>,
    /// An environment variable that the program gets, with a value or with the one it has here;
    /// it gets PATH, HOME and a few others besides, and nothing else
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// How long the server may take to say everything
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = supply::seconds)]
    timeout: u64,
    /// Write nothing; end with 1 if anything differs from the lock
    #[arg(long)]
    pub(super) check: bool,
}

/// Asks a live server, and says what is to be written.
pub(super) fn plan(args: &McpArgs, global: &Global) -> Result<Plan, Failure> {
    let project = Project::open(&global.directory)?;
    let known = project.named(args.server.as_deref(), args.url.as_deref())?;
    let source = source(args, known.as_ref())?;
    let target = Target {
        server: args.server.as_deref(),
        within: args.within.as_deref(),
        output: args.output.as_deref(),
        check: args.check,
    };
    if let Some(name) = target.server.filter(|_| args.check && known.is_none()) {
        return Err(Target::unknown(name));
    }
    let found = ask(args, &source)?;
    let known = match known {
        None if args.server.is_none() => {
            let name = entry::server_name(found.name.as_deref());
            project.named(name.as_deref(), None)?
        }
        known => known,
    };
    let server = target.name(known.as_ref(), found.name.as_deref())?;
    let old = project.syntax.locks.get(server.as_str());
    let old = old.map(|lock| lock.definitions.clone()).unwrap_or_default();
    let mut left_out = Vec::new();
    let new = definitions(&found, &mut left_out);
    let surfaces = surfaces(known.as_ref(), &old, &new, &mut left_out);
    let counts = found.lists.iter();
    let counts = counts.map(|(kind, list)| (kind.member(), kind.noun(), list.len()));
    let mut plan = Plan {
        says: format!("speaks MCP {}", found.revision),
        revision: found.revision.clone(),
        counts: counts.collect(),
        is_new: known.is_none(),
        changes: change::changes(&old, &new),
        left_out,
        notes: Vec::new(),
        files: BTreeMap::new(),
        by_hand: None,
        added: 0,
        policy: String::new(),
        server,
    };
    let head = head(&source, &args.environment);
    let lock = lock::text(&new);
    plan.lay_out(
        &project,
        known.as_ref(),
        target,
        Some(&head),
        (&surfaces, lock),
    )?;
    Ok(plan)
}

/// How a new entry says where its server is.
fn head(source: &Source, given: &[String]) -> entry::Head {
    let lines = match source {
        Source::Address(url) => vec![
            "transport: mcp".to_owned(),
            format!("upstream: {}", entry::quoted(url.as_str())),
        ],
        Source::Program(command) => {
            let words: Vec<_> = command.iter().map(|word| entry::quoted(word)).collect();
            // Values may be secrets: the sidecar takes them from its own environment.
            let given = given.iter();
            let given = given.map(|it| it.split('=').next().unwrap_or_default());
            let names = ["HOME", "PATH"].into_iter().chain(given);
            let names: Vec<_> = names.map(entry::quoted).collect();
            vec![
                "transport: mcp-stdio".to_owned(),
                format!("command: [{}]", words.join(", ")),
                format!("environment: [{}]", names.join(", ")),
            ]
        }
    };
    entry::Head {
        comment: "# Imported by `latchkey import mcp`. What a server says of itself proves nothing: look at\n\
                  # each entry, set its risk, and remove `review`. An entry that is removed is hidden and\n\
                  # refused. The lock pins every definition, and is written by the import alone.\n",
        lines,
    }
}

/// Where a server is.
#[derive(Debug, Clone)]
enum Source {
    Address(Url),
    Program(Vec<String>),
}

fn source(args: &McpArgs, known: Option<&Known<'_>>) -> Result<Source, Failure> {
    if !args.command.is_empty() {
        return Ok(Source::Program(args.command.clone()));
    }
    let written = known.and_then(Known::command);
    if let Some(command) = written.filter(|_| args.url.is_none()) {
        return Ok(Source::Program(command.to_vec()));
    }
    let upstream = known.and_then(Known::upstream);
    let text = args.url.as_deref().or(upstream).ok_or_else(|| {
        Failure::usage("there is no server to ask")
            .help("give its address, or the command that starts it after `--`")
    })?;
    let url = Url::parse(text).ok();
    let url = url.filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain
    });
    url.map(Source::Address).ok_or_else(|| {
        Failure::usage(format!("`{text}` is not the address of a server"))
            .help("write `https://host:port/path`, without a user; `--token-file` gives a token")
    })
}

fn ask(args: &McpArgs, source: &Source) -> Result<Found, Failure> {
    let timeout = Duration::from_secs(args.timeout);
    let found = match source {
        Source::Address(url) => {
            if !args.environment.is_empty() {
                return Err(Failure::usage("`--env` is for a program that is started")
                    .help("leave it out, or give the command after `--`"));
            }
            let token = token(args, url)?;
            let asked = mcp::http::survey(url, token.as_deref(), timeout);
            supply::runtime()?.block_on(asked)
        }
        Source::Program(command) => {
            if args.token_file.is_some() || args.token_env.is_some() {
                return Err(Failure::usage("a program is given no bearer token")
                    .help("programs read secrets from their environment: see `--env`"));
            }
            let environment = args.environment.iter().map(|it| variable(it));
            let program = Program {
                command: command.clone(),
                environment: environment.collect::<Result<_, _>>()?,
            };
            mcp::stdio::survey(&program, timeout)
        }
    };
    found.map_err(|error| {
        let help = match &error {
            McpError::Unreachable(_) => "start the server, and check its address or command",
            McpError::TimedOut(_) => "give it longer with `--timeout`",
            McpError::Survey(_) => {
                "check that this is the address of an MCP server; many have the path `/mcp`, and \
                 some want a token: `--token-file`"
            }
        };
        Failure::usage(error.to_string()).help(help)
    })
}

fn token(args: &McpArgs, url: &Url) -> Result<Option<String>, Failure> {
    let token = match (&args.token_file, &args.token_env) {
        (Some(path), _) => String::from_utf8_lossy(&crate::command::read(path)?).into_owned(),
        (None, Some(name)) => std::env::var(name).map_err(|_| {
            Failure::usage(format!("the environment has no readable `{name}`"))
                .help("set the variable to the token")
        })?,
        (None, None) => return Ok(None),
    };
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "http" && !here {
        return Err(Failure::usage("a token would travel in clear text")
            .help("use an https:// address; http:// gets a token on this machine only"));
    }
    Ok(Some(token.trim().to_owned()))
}

fn variable(given: &str) -> Result<(String, String), Failure> {
    if let Some((name, value)) = given.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let value = std::env::var(given).map_err(|_| {
        Failure::usage(format!("the environment has no readable `{given}`"))
            .help("set it, or write `--env NAME=VALUE`")
    })?;
    Ok((given.to_owned(), value))
}

fn definitions(found: &Found, left_out: &mut Vec<LeftOut>) -> Definitions {
    let mut all = Definitions::new();
    for (kind, list) in &found.lists {
        let entries = all.entry(*kind).or_default();
        for (name, definition) in list {
            match Locked::new(*kind, definition.clone()) {
                Some(locked) => {
                    entries.insert(name.clone(), locked);
                }
                None => left_out.push(LeftOut {
                    noun: kind.noun(),
                    name: name.clone(),
                    why: "it has a number that JSON cannot carry".to_owned(),
                }),
            }
        }
    }
    all
}

/// The entries to add: of a server that is known, only those that are new to the lock as well.
/// What a person has left out stays out.
fn surfaces(
    known: Option<&Known<'_>>,
    old: &Definitions,
    new: &Definitions,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Surface> {
    let mut taken = known.map(Known::names).unwrap_or_default();
    let mut surfaces = Vec::new();
    for (kind, list) in new {
        for (name, locked) in list {
            let reviewed = old.get(kind).is_some_and(|list| list.contains_key(name));
            if reviewed || known.is_some_and(|known| known.has(*kind, name)) {
                continue;
            }
            match surface(*kind, name, locked, &taken) {
                Ok(surface) => {
                    taken.insert(surface.name.clone());
                    surfaces.push(surface);
                }
                Err(why) => left_out.push(LeftOut {
                    noun: kind.noun(),
                    name: name.clone(),
                    why,
                }),
            }
        }
    }
    surfaces
}

fn surface(
    kind: ListKind,
    name: &str,
    locked: &Locked,
    taken: &BTreeSet<String>,
) -> Result<Surface, String> {
    match kind {
        ListKind::Tools | ListKind::Prompts => {
            if SurfaceName::parse(name).is_err() {
                return Err("its name has other characters than A-Z a-z 0-9 _ . -".to_owned());
            }
            if taken.contains(name) {
                return Err("the server has another surface of this name".to_owned());
            }
            if let Some(schema) = locked.input().filter(|_| kind == ListKind::Tools) {
                resolve::locked_is_enforceable(schema).map_err(|why| {
                    format!("its schema cannot be enforced ({why}); give it an `input` to use it")
                })?;
            }
            Ok(Surface::named(kind, name, locked))
        }
        ListKind::Resources | ListKind::Templates => {
            if name.chars().any(char::is_control) {
                return Err("its URI has control characters".to_owned());
            }
            check_resource(name).map_err(|why| format!("its URI cannot be matched: {why}"))?;
            let title = locked.definition.get("name").and_then(Json::as_str);
            Ok(Surface::resource(name, title.unwrap_or_default(), taken))
        }
    }
}
