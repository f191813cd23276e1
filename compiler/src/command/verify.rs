//! `latchkey verify`: whether a sidecar would accept a folder of bundles, in words.

use std::path::{Path, PathBuf};

use latchkey_engine::time::Time;
use latchkey_gate::{
    gate::Gate,
    supply::{self, Accepted, Floor, Offer, Required, Subject, TrustRoot},
};
use serde_json::json;

use super::{Exit, Failure, Terminal, formats, read};
use crate::{
    cli::{Format, Global},
    pack,
};

/// The arguments of `latchkey verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that `latchkey build` wrote
    #[arg(value_name = "DIR")]
    bundle: PathBuf,
    /// The trust file that names the keys that may release
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The channel, where the trust file has several
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Judge the end of the release at this time instead of now
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
}

/// Verifies signatures, digests and rules, and opens every slice.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("verify", global.format, &[Format::Human, Format::Json])?;
    let trust = TrustRoot::parse(&read(&args.trust)?).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", args.trust.display()))
            .help("`latchkey keygen` writes a trust file")
    })?;
    let envelope = envelope(&args.bundle)?;
    let files = files(&args.bundle)?;
    let described: Vec<Subject> = files
        .iter()
        .map(|(name, bytes)| Subject::of(name, bytes))
        .collect();
    let offer = Offer {
        channel: args.channel.as_deref(),
        ..Offer::new(&envelope)
    };
    let now = args.at.unwrap_or_else(super::now);
    let accepted = supply::accept(&trust, &Floor::default(), &offer, now)
        .and_then(|accepted| {
            accepted.check_files(&described, Required::All)?;
            Ok(accepted)
        })
        .map_err(|refused| Failure::unverified(format!("the release is refused: {refused}")))?;
    opens(&files)?;
    print(&accepted, &trust, global.format, terminal)?;
    Ok(Exit::Clean)
}

fn envelope(folder: &Path) -> Result<Vec<u8>, Failure> {
    let signed = folder.join(pack::SIGNED);
    if !signed.exists() && folder.join(pack::UNSIGNED).exists() {
        return Err(Failure::unverified("the release is not signed")
            .help("build it with `--key FILE`; a sidecar takes it in development only"));
    }
    read(&signed)
}

/// Every file but the statement.
fn files(folder: &Path) -> Result<pack::Files, Failure> {
    let mut files = pack::Files::new();
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::file("read", folder, &error))?;
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::file("read", folder, &error))?
            .path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if pack::is_slice(name) || name == pack::PLACES {
            files.insert(name.to_owned(), read(&path)?);
        }
    }
    Ok(files)
}

fn opens(files: &pack::Files) -> Result<(), Failure> {
    let places = files.get(pack::PLACES).map(Vec::as_slice);
    for (name, bytes) in files.iter().filter(|(name, _)| pack::is_slice(name)) {
        Gate::open(bytes, places).map_err(|error| {
            Failure::unverified(format!("`{name}` cannot be put in force: {error}"))
        })?;
    }
    Ok(())
}

fn print(
    accepted: &Accepted,
    trust: &TrustRoot,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let (release, out) = (&accepted.statement.release, &mut terminal.out);
    let source = release.source.as_ref();
    if format == Format::Json {
        return writeln!(
            out,
            "{}",
            json!({
                "version": 1,
                "accepted": true,
                "statement": accepted.digest.to_string(),
                "signers": accepted.signers,
                "release": release,
                "files": accepted.statement.subjects.iter().map(|subject| {
                    json!({"name": subject.name, "sha256": subject.sha256, "size": subject.size})
                }).collect::<Vec<_>>(),
            })
        );
    }
    writeln!(
        out,
        "accepted: version {} of {} on channel {}, epoch {}",
        release.version, release.project, release.channel, release.epoch
    )?;
    let signers = accepted.signers.join(", ");
    writeln!(
        out,
        "  signed by   {signers} (trust file version {})",
        trust.version()
    )?;
    match source {
        Some(source) => {
            writeln!(out, "  commit      {}", source.commit)?;
            writeln!(out, "  input       {} (sha256)", source.tree_sha256)?;
        }
        None => writeln!(
            out,
            "  commit      none: built outside of one, so nobody can rebuild it"
        )?,
    }
    match release.not_after {
        Some(end) => writeln!(out, "  in force    until {end}")?,
        None => writeln!(out, "  in force    without an end")?,
    }
    writeln!(out, "  compiler    {}", release.compiler)?;
    for subject in &accepted.statement.subjects {
        writeln!(
            out,
            "  {}  {} ({} bytes)",
            subject.sha256, subject.name, subject.size
        )?;
    }
    for warning in &accepted.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    Ok(())
}
