//! `latchkey import`: server entries and locks from what is there already.

mod change;
mod entry;
mod kubernetes;
mod mcp;
mod openapi;
mod plan;
mod project;
mod schema;
mod show;

use std::{io::Read as _, path::Path};

use clap::Subcommand;

use super::{Exit, Failure, Terminal, formats};
use crate::{
    cli::{Format, Global},
    diag::codes,
};

/// The largest document that is read: 64 MiB.
const MAX_DOCUMENT: u64 = 64 << 20;

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
    Mcp(mcp::McpArgs),
    /// An OpenAPI document (3.0 or 3.1): an entry for each route, and the lock with the schemas of
    /// their arguments. Run again, it says what has changed, and updates the lock
    Openapi(openapi::OpenApiArgs),
    /// The `Latchkey*` resources of a cluster: an entry for each, in a file for each section
    Kubernetes(kubernetes::KubernetesArgs),
}

/// Reads what is there and brings the project up to date with it.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("import", global.format, &[Format::Human, Format::Json])?;
    let (plan, check) = match &args.what {
        What::Mcp(args) => (mcp::plan(args, global)?, args.check),
        What::Openapi(args) => (openapi::plan(args, global)?, args.check),
        What::Kubernetes(args) => return kubernetes::run(args, global, terminal.out),
    };
    if !check {
        plan.write(&global.directory)?;
    }
    show::show(&plan, check, global.format, terminal.out)?;
    let differs = !plan.changes.is_empty();
    Ok(if check && differs {
        Exit::Findings
    } else {
        Exit::Clean
    })
}

/// The text of a document; `-` is standard input.
fn read(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
    } else {
        let opened = std::fs::File::open(file);
        opened.and_then(|it| it.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", file, &error))?;
    let name = file.display();
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(bad(format!("`{name}` is larger than 64 MiB")).help(
            "give the document as it was written, without what tools put in place of references",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| bad(format!("`{name}` is not UTF-8")).help("save the document as UTF-8"))
}

/// A document that is not what it is taken for.
fn bad(what: impl Into<String>) -> Failure {
    Failure::usage(what).code(&codes::BAD_IMPORT)
}
