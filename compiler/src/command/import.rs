//! `latchkey import`: server entries and locks from what is there already.

mod change;
mod entry;
mod plan;
mod schema;
mod show;

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Subcommand};
use latchkey_gate::survey::Found;
use reqwest::Url;

use self::plan::{Known, Plan, Project};
use super::{Exit, Failure, Terminal, formats, supply};
use crate::{
    cli::{Format, Global},
    mcp::{self, McpError, stdio::Program},
};

/// The arguments of `latchkey import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to read
    #[command(subcommand)]
    what: What,
}

/// What is imported.
#[derive(Debug, Subcommand)]
enum What {
    /// A live MCP server: an entry for each tool, prompt and resource, and the lock that pins them.
    /// Run again, it says what has changed, and updates the lock
    Mcp(McpArgs),
}

/// The arguments of `latchkey import mcp`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("token").multiple(false))]
struct McpArgs {
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
    check: bool,
}

/// Reads a live server and brings the project up to date with it.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("import", global.format, &[Format::Human, Format::Json])?;
    let What::Mcp(args) = &args.what;
    let project = Project::open(&global.directory)?;
    let known = project.named(args.server.as_deref(), args.url.as_deref())?;
    let source = source(args, known.as_ref())?;
    if args.check && known.is_none() && args.server.is_some() {
        let name = args.server.as_deref().unwrap_or_default();
        return Err(
            Failure::usage(format!("there is no server `{name}` to check"))
                .help("leave out `--check` to write its entry"),
        );
    }
    let found = ask(args, &source)?;
    let plan = Plan::new(&project, known, args, &source, &found)?;
    if !args.check {
        plan.write(&global.directory)?;
    }
    show::show(&plan, args.check, global.format, terminal.out)?;
    let differs = !plan.changes.is_empty();
    Ok(if args.check && differs {
        Exit::Findings
    } else {
        Exit::Clean
    })
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
        (Some(path), _) => String::from_utf8_lossy(&super::read(path)?).into_owned(),
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
