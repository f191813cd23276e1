//! `latchkey verify`: whether a sidecar would take a release, check by check, in words.

use std::path::PathBuf;

use latchkey_engine::time::Time;
use latchkey_gate::supply::Floor;
use serde_json::json;

use super::supply::{self, Judgement, Question, Remote, Source};
use super::{Exit, Failure, Terminal, formats, read};
use crate::cli::{Format, Global};

/// The arguments of `latchkey verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the release is: a folder, `https://...`, or `oci://host/repository:tag`
    #[arg(value_name = "LOCATION")]
    location: String,
    /// The trust file that sidecars have
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The channel, where the trust file has several
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// What a sidecar remembers (`floor.json` of its state folder); nothing by default
    #[arg(long, value_name = "FILE")]
    floor: Option<PathBuf>,
    /// Nothing below this version, as a sidecar's own setting
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_version: u64,
    /// The release must name the one accepted before, as a sidecar's own setting
    #[arg(long)]
    strict_chain: bool,
    /// The file with Sigstore's roots, where identities sign releases
    #[arg(long, value_name = "FILE")]
    sigstore_root: Option<PathBuf>,
    /// Judge by this time instead of now
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
    /// Only what the sidecar of this server fetches
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Makes every check that a sidecar makes, and prints each.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("verify", global.format, &[Format::Human, Format::Json])?;
    let trust = supply::trust_root(&args.trust)?;
    let keyless = supply::keyless(args.sigstore_root.as_deref())?;
    let question = Question {
        trust,
        floor: floor(args)?,
        channel: args.channel.as_deref(),
        min_version: args.min_version,
        strict_chain: args.strict_chain,
        keyless: keyless.as_ref(),
        server: args.server.as_deref(),
        now: args.at.unwrap_or_else(super::now),
    };
    let source = Source::open(&args.location, &args.remote)?;
    let found = source.release()?;
    let judgement = supply::judge(&source, &found, &question)?;
    if global.format == Format::Json {
        machine(&judgement, terminal)?;
    } else {
        human(&judgement, terminal)?;
    }
    if judgement.accepted() {
        return Ok(Exit::Clean);
    }
    let why = match (&judgement.refused, judgement.failed().next()) {
        (Some(refused), _) => refused.to_string(),
        (None, Some(line)) => format!("{}: {}", line.check, line.detail),
        (None, None) => String::new(),
    };
    Err(Failure::unverified(format!(
        "the release is refused: {why}"
    )))
}

fn floor(args: &Args) -> Result<Floor, Failure> {
    let Some(path) = &args.floor else {
        return Ok(Floor::default());
    };
    Floor::parse(&read(path)?)
        .map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))
}

fn human(judgement: &Judgement, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let out = &mut terminal.out;
    let width = judgement.lines.iter().map(|it| it.check.len()).max();
    let width = width.unwrap_or(0);
    for line in &judgement.lines {
        let word = line.outcome.word();
        writeln!(out, "{word:<8}{:<width$}  {}", line.check, line.detail)?;
    }
    for warning in &judgement.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    match &judgement.statement {
        Some((statement, _)) if judgement.accepted() => {
            let release = &statement.release;
            writeln!(
                out,
                "accepted: version {} of {} on channel {}, epoch {}, signed by {}",
                release.version,
                release.project,
                release.channel,
                release.epoch,
                judgement.signers.join(", ")
            )
        }
        _ => Ok(()),
    }
}

fn machine(judgement: &Judgement, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let statement = judgement.statement.as_ref();
    let files = statement.map(|(statement, _)| {
        let files = statement.subjects.iter();
        let file = files.map(|it| json!({"name": it.name, "sha256": it.sha256, "size": it.size}));
        file.collect::<Vec<_>>()
    });
    let warnings: Vec<_> = judgement.warnings.iter().map(ToString::to_string).collect();
    writeln!(
        terminal.out,
        "{}",
        json!({
            "version": 1,
            "accepted": judgement.accepted(),
            "refused": judgement.refused.as_ref().map(|it| json!({
                "reason": it.word(), "message": it.to_string(),
            })),
            "checks": judgement.lines,
            "warnings": warnings,
            "trust_version": judgement.trust.version(),
            "pointer": judgement.pointer,
            "statement": statement.map(|(_, digest)| digest.to_string()),
            "signers": judgement.signers,
            "release": statement.map(|(statement, _)| &statement.release),
            "files": files,
        })
    )
}
