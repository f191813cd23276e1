//! Why one call is allowed or denied, by the path that the sidecar takes.

use std::path::Path;

use super::{
    super::{Exit, Failure, Terminal, checked, read, sound},
    near::Near,
    why::Why,
};
use crate::{
    cli::{Format, Global},
    pack,
    text::Text,
};
use latchkey_engine::{
    bundle::places::{PlaceKind, Places},
    overlay::Overlay,
};
use latchkey_gate::{
    call::{self, Stated, StatedError},
    gate::Gate,
    identity::Identity,
};

/// Decides a stated call and prints every fact of the decision.
pub(super) fn run(
    stated: &str,
    bundle: Option<&Path>,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let stated = parse(stated)?;
    let opened = match bundle {
        Some(folder) => built(folder, &stated.server)?,
        None => match compiled(&stated.server, global, terminal)? {
            Ok(opened) => opened,
            Err(exit) => return Ok(exit),
        },
    };
    let unfit = |error: StatedError| Failure::usage(error.to_string()).help("correct the call");
    let verdict = call::verdict(&opened.gate, &Overlay::default(), &stated).map_err(unfit)?;
    let identity = call::identity(&opened.gate, &stated).map_err(unfit)?;
    let identity = identity.ok().flatten();
    let why = Why {
        facts: &verdict.facts,
        opened: &opened,
        near: Near {
            facts: &verdict.facts,
            callers: identity.as_ref().map_or(&[], Identity::callers),
            stated: &stated,
            opened: &opened,
        },
    };
    match global.format {
        Format::Json => writeln!(terminal.out, "{}", why.json())?,
        _ => write!(terminal.out, "{}", why.text())?,
    }
    Ok(Exit::Clean)
}

/// A slice and where its parts are written.
pub(super) struct Opened {
    /// The slice.
    pub(super) gate: Gate,
    places: Option<Places>,
}

impl Opened {
    fn new(slice: &[u8], places: Option<&[u8]>) -> Result<Self, Failure> {
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::unverified(format!("the bundle cannot be opened: {what}"))
                .help("build it again with this version of latchkey")
        };
        let gate = Gate::open(slice, places).map_err(|error| wrong(&error))?;
        let places = places.map(Places::open).transpose();
        Ok(Self {
            gate,
            places: places.map_err(|error| wrong(&error.what))?,
        })
    }

    /// `file:line:column` of a rule, binding or role.
    pub(super) fn place(&self, kind: PlaceKind, name: &str) -> Option<String> {
        Some(self.places.as_ref()?.find(kind, name)?.to_string())
    }
}

/// JSON by itself, or a file of it.
fn parse(text: &str) -> Result<Stated, Failure> {
    let wrong = |error: serde_json::Error| {
        Failure::usage(format!("this is no call: {error}"))
            .help("a call is a JSON object as `latchkey eval` reads it; see `docs/reference/stated-calls.md`")
    };
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(wrong);
    }
    serde_json::from_slice(&read(Path::new(text))?).map_err(wrong)
}

fn built(folder: &Path, server: &str) -> Result<Opened, Failure> {
    let plain = latchkey_engine::name::is_label(server);
    let own = folder.join(pack::slice_name(server));
    let slice = if plain && own.is_file() {
        own
    } else {
        folder.join(pack::ALL)
    };
    let places = folder.join(pack::PLACES);
    let places = if places.is_file() {
        Some(read(&places)?)
    } else {
        None
    };
    Opened::new(&read(&slice)?, places.as_deref())
}

fn compiled(
    server: &str,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Result<Opened, Exit>, Failure> {
    let project = match sound(checked(global, None)?, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(Err(exit)),
    };
    let internal = |error: pack::PackError| Failure::internal(error.to_string());
    if !project.model.servers.contains_key(server) {
        let known: Vec<_> = project.model.servers.keys().map(Text::as_str).collect();
        return Err(Failure::usage(format!("there is no server `{server}`"))
            .help(format!("the servers are {}", known.join(", "))));
    }
    let slice = pack::slice(&project.model, server).map_err(internal)?;
    let places = pack::places(&project.model, &project.sources).map_err(internal)?;
    Opened::new(&slice, Some(&places)).map(Ok)
}
