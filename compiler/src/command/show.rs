//! `latchkey show --resolved`: the project with everything expanded.

use serde_json::Value as Json;

use super::{Exit, Failure, Terminal, checked, formats, sound};
use crate::{
    cli::{Format, Global},
    diag::suggest,
};

mod resolved;

/// The arguments of `latchkey show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Expand defaults, selectors and inherited roles; the one form there is
    #[arg(long, required = true)]
    resolved: bool,
    /// A section, such as `roles`
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// An entry of the section
    #[arg(value_name = "NAME", requires = "kind")]
    name: Option<String>,
}

/// Prints the resolved project, one section, or one entry, as YAML or JSON.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("show", global.format, &[Format::Human, Format::Json])?;
    let project = match sound(checked(global, None)?, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(exit),
    };
    let mut shown = resolved::project(&project.model, &project.sources);
    if let Some(kind) = &args.kind {
        shown = pick(&shown, kind, "section")?;
        if let Some(name) = &args.name {
            shown = pick(&shown, name, kind)?;
        }
    }
    match global.format {
        Format::Json => writeln!(terminal.out, "{shown}")?,
        _ => write!(terminal.out, "{}", crate::yaml::write(&shown))?,
    }
    Ok(Exit::Clean)
}

fn pick(from: &Json, key: &str, kind: &str) -> Result<Json, Failure> {
    if let Some(found) = from.get(key) {
        return Ok(found.clone());
    }
    let known = from.as_object().into_iter().flat_map(|map| map.keys());
    let known: Vec<_> = known.map(String::as_str).collect();
    let failure =
        Failure::usage(format!("there is no `{key}` among the {kind}s").replace("ss", "s"));
    Err(match suggest::closest(key, known.iter().copied()) {
        Some(best) => failure.help(format!("did you mean `{best}`?")),
        None => failure.help(format!("there are {}", known.join(", "))),
    })
}
