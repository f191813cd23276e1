//! `latchkey explain`: what a code means, or why a call is allowed or denied.

use std::path::PathBuf;

use latchkey_engine::reason::Reason;
use serde_json::{Value as Json, json};

use super::{Exit, Failure, Terminal, formats};
use crate::{
    cli::{Format, Global},
    diag::{codes, suggest},
};

mod call;
mod near;
mod why;

/// The arguments of `latchkey explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A code such as LK1003 or LK9016, the name of a check, or the word of a reason; all are
    /// listed if absent
    #[arg(value_name = "CODE", conflicts_with = "call")]
    code: Option<String>,
    /// A call as `latchkey eval` reads it: a JSON object, or a file that holds one
    #[arg(long, value_name = "JSON|FILE")]
    call: Option<String>,
    /// Decide the call on bundles that were built, instead of on the project
    #[arg(long, value_name = "DIR", requires = "call")]
    bundle: Option<PathBuf>,
}

/// Prints the explanation.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("explain", global.format, &[Format::Human, Format::Json])?;
    if let Some(stated) = &args.call {
        return call::run(stated, args.bundle.as_deref(), global, terminal);
    }
    let json = global.format == Format::Json;
    let text = match &args.code {
        None if json => list_json().to_string(),
        None => list(),
        Some(code) => match (find(code), json) {
            (Some(topic), true) => topic.json().to_string(),
            (Some(topic), false) => topic.text(),
            (None, _) => return Err(unknown(code)),
        },
    };
    writeln!(terminal.out, "{}", text.trim_end())?;
    Ok(Exit::Clean)
}

/// What can be explained.
enum Topic {
    Finding(&'static codes::Code),
    Reason(Reason),
}

fn find(word: &str) -> Option<Topic> {
    let upper = word.to_ascii_uppercase();
    let code = codes::find(&upper).or_else(|| codes::find(word));
    let reasons = Reason::ALL.iter().copied();
    let reason = || {
        reasons
            .clone()
            .find(|it| it.as_str() == word || it.code() == upper)
    };
    code.map(Topic::Finding)
        .or_else(|| reason().map(Topic::Reason))
}

fn unknown(word: &str) -> Failure {
    let slugs = codes::TABLE.iter().map(|code| code.slug);
    let words = Reason::ALL.iter().map(|reason| reason.as_str());
    let failure = Failure::usage(format!("there is nothing called `{word}` to explain"));
    match suggest::closest(word, slugs.chain(words)) {
        Some(best) => failure.help(format!("did you mean `{best}`?")),
        None => failure.help("`latchkey explain` lists all codes and reasons"),
    }
}

impl Topic {
    fn text(&self) -> String {
        match self {
            Self::Finding(code) => code.page.to_owned(),
            Self::Reason(reason) => format!(
                "# {}: {reason}\n\n{}.\n\n{}\n",
                reason.code(),
                capitalised(reason.title()),
                ADVICE
            ),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Finding(code) => json!({
                "version": 1, "code": code.id, "slug": code.slug,
                "severity": code.severity.name(), "title": code.title, "page": code.page,
            }),
            Self::Reason(reason) => json!({
                "version": 1, "code": reason.code(), "slug": reason.as_str(),
                "severity": "reason", "title": reason.title(), "page": self.text(),
            }),
        }
    }
}

/// What is true of every reason of a decision.
const ADVICE: &str = "\
This is the reason of a decision, as in answers, audit events, metrics and golden matrices.
The first check that fails gives the reason; `latchkey explain --call` shows all that fail for one
call, and the grants that were nearly enough.";

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn list() -> String {
    let codes = codes::TABLE.iter().map(|code| {
        let kind = code.severity.name();
        format!("{}  {kind:<8} {:<30} {}\n", code.id, code.slug, code.title)
    });
    let reasons = Reason::ALL.iter().map(|reason| {
        let word = reason.as_str();
        format!(
            "{}  {:<8} {word:<30} {}\n",
            reason.code(),
            "reason",
            capitalised(reason.title())
        )
    });
    let (findings, refusals) = (codes::TABLE.len(), Reason::ALL.len());
    let counted = format!("{findings} codes of findings, {refusals} reasons of decisions\n");
    codes.chain(reasons).chain([counted]).collect()
}

fn list_json() -> Json {
    let codes = codes::TABLE.iter().map(|code| {
        let severity = code.severity.name();
        json!({"code": code.id, "slug": code.slug, "severity": severity, "title": code.title})
    });
    let reasons = Reason::ALL.iter().map(|it| {
        json!({"code": it.code(), "slug": it.as_str(), "severity": "reason", "title": it.title()})
    });
    json!({"version": 1, "codes": codes.chain(reasons).collect::<Vec<_>>()})
}
