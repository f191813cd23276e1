//! `latchkey eval`: decisions for a file of calls, one JSON object on each line.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use latchkey_engine::overlay::Overlay;
use latchkey_gate::{
    call::{self, OverlayFile, Stated},
    gate::Gate,
};
use serde_json::json;

use super::{Exit, Failure, Terminal, read};
use crate::{cli::Global, pack};

/// The arguments of `latchkey eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that `latchkey build` wrote
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// The calls, as JSON Lines; `-` is standard input
    #[arg(long, value_name = "FILE")]
    calls: PathBuf,
    /// Run-time facts that only subtract, as JSON
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
}

/// Answers each call on a line of its own, in order. A line that is no call is answered with its
/// error, and makes the run end with findings.
pub fn run(args: &Args, _: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let overlay = args
        .overlay
        .as_deref()
        .map_or_else(|| Ok(Overlay::default()), overlay)?;
    let mut gates = Gates::open(&args.bundle)?;
    let lines: Box<dyn BufRead> = if args.calls == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.calls);
        Box::new(BufReader::new(
            file.map_err(|error| Failure::file("read", &args.calls, &error))?,
        ))
    };
    let mut exit = Exit::Clean;
    for (at, line) in lines.lines().enumerate() {
        let line = line.map_err(|error| Failure::file("read", &args.calls, &error))?;
        if line.trim().is_empty() {
            continue;
        }
        match answer(&line, &overlay, &mut gates)? {
            Ok(answer) => writeln!(terminal.out, "{answer}")?,
            Err((id, what)) => {
                let error = json!({"id": id, "error": {"line": at + 1, "message": what}});
                writeln!(terminal.out, "{error}")?;
                exit = Exit::Findings;
            }
        }
    }
    Ok(exit)
}

/// The answer to a line, or the id and what is wrong with it.
type Answered = Result<String, (Option<String>, String)>;

fn answer(line: &str, overlay: &Overlay, gates: &mut Gates) -> Result<Answered, Failure> {
    let stated: Stated = match serde_json::from_str(line) {
        Ok(stated) => stated,
        Err(error) => return Ok(Err((None, format!("this is no call: {error}")))),
    };
    let gate = gates.serving(&stated.server)?;
    Ok(match call::answer(gate, overlay, &stated) {
        Ok(answer) => {
            let text = serde_json::to_string(&answer);
            Ok(text.map_err(|error| Failure::internal(error.to_string()))?)
        }
        Err(error) => Err((stated.id, error.to_string())),
    })
}

fn overlay(path: &Path) -> Result<Overlay, Failure> {
    let bytes = read(path)?;
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::usage(format!("`{}` is no overlay: {what}", path.display()))
            .help("it is a JSON object with `revoked_tokens`, `suspended`, `denied`, `break_glass`")
    };
    let file: OverlayFile = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    file.overlay().map_err(|error| wrong(&error))
}

/// The opened slices of a folder, by server.
struct Gates {
    folder: PathBuf,
    places: Option<Vec<u8>>,
    open: BTreeMap<String, Gate>,
}

impl Gates {
    fn open(folder: &Path) -> Result<Self, Failure> {
        if !folder.is_dir() {
            return Err(
                Failure::usage(format!("`{}` is no folder", folder.display()))
                    .help("build one: `latchkey build --out DIR`"),
            );
        }
        let places = folder.join(pack::PLACES);
        let places = if places.exists() {
            Some(read(&places)?)
        } else {
            None
        };
        Ok(Self {
            folder: folder.to_owned(),
            places,
            open: BTreeMap::new(),
        })
    }

    /// The slice of a server; everything for a server without one.
    fn serving(&mut self, server: &str) -> Result<&Gate, Failure> {
        let own = pack::slice_name(server);
        // A name with a separator is no server's, and must not lead out of the folder.
        let plain = latchkey_engine::name::is_label(server);
        let sliced = plain && self.folder.join(&own).is_file();
        let name = if sliced { own } else { pack::ALL.to_owned() };
        if !self.open.contains_key(&name) {
            let path = self.folder.join(&name);
            let bytes = read(&path)?;
            let gate = Gate::open(&bytes, self.places.as_deref()).map_err(|error| {
                Failure::unverified(format!("`{}` cannot be opened: {error}", path.display()))
                    .help("build it again with this version of latchkey")
            })?;
            self.open.insert(name.clone(), gate);
        }
        self.open
            .get(&name)
            .ok_or_else(|| Failure::internal("a gate that was opened is gone"))
    }
}
