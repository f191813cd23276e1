//! `latchkey log`: the releases before a release, one after the other.

use std::{collections::BTreeSet, path::PathBuf};

use latchkey_gate::supply::{
    Digest, Statement, TrustRoot,
    dsse::{Envelope, Kind},
};
use serde::Serialize;
use serde_json::json;

use super::supply::{self, Remote, Source, signers};
use super::{Exit, Failure, Terminal, formats, now};
use crate::cli::{Format, Global};

/// The arguments of `latchkey log`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the releases are: what `latchkey push` writes
    #[arg(value_name = "LOCATION")]
    location: String,
    /// Name the signers by this trust file and those that follow it; without it the key ids that
    /// the envelopes claim
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// At most so many releases
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// One release of the chain.
#[derive(Debug, Serialize)]
struct Entry {
    statement: Digest,
    version: u64,
    epoch: u64,
    issued_at: Option<String>,
    commit: Option<String>,
    signers: Vec<String>,
    previous: Option<Digest>,
    revoked: bool,
}

/// How a walk ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// At a release that names none before it.
    First,
    /// At the limit.
    Limit,
    /// At a statement that is not kept there.
    Missing,
    /// At something that is not the statement that was named.
    Broken(String),
}

/// Walks `previous` from the release that is offered.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("log", global.format, &[Format::Human, Format::Json])?;
    let trust = args.trust.as_deref().map(supply::trust_root).transpose()?;
    let source = Source::open(&args.location, &args.remote)?;
    // A key that was replaced since has signed what came before.
    let roots = match &trust {
        Some(trust) => supply::roots(&source, trust, now())?,
        None => Vec::new(),
    };
    let (entries, end) = walk(&source, &roots, args.limit)?;
    if global.format == Format::Json {
        writeln!(
            terminal.out,
            "{}",
            json!({"version": 1, "releases": entries, "end": end})
        )?;
    } else {
        for entry in &entries {
            print(entry, terminal)?;
        }
    }
    ending(&entries, &end, terminal)
}

fn walk(source: &Source, roots: &[TrustRoot], limit: usize) -> Result<(Vec<Entry>, End), Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut envelope = source.release()?.envelope;
    loop {
        let entry = match entry(&envelope, roots) {
            Ok(entry) => entry,
            Err(what) => return Ok((entries, End::Broken(what))),
        };
        if let Some(after) = entries.last()
            && let Some(fault) = fault(&entry, after)
        {
            return Ok((entries, End::Broken(fault)));
        }
        let previous = entry.previous;
        entries.push(entry);
        let Some(previous) = previous else {
            return Ok((entries, End::First));
        };
        if entries.len() >= limit {
            return Ok((entries, End::Limit));
        }
        match source.statement(&previous)? {
            Some(found) => envelope = found,
            None => return Ok((entries, End::Missing)),
        }
    }
}

/// Why a statement cannot be the one before another.
fn fault(entry: &Entry, after: &Entry) -> Option<String> {
    if after.previous != Some(entry.statement) {
        return Some(format!("statement {} lies in its place", entry.statement));
    }
    let falls = (entry.epoch, entry.version) < (after.epoch, after.version);
    (!falls).then(|| {
        format!(
            "it is version {} of epoch {}, which is not below version {} of epoch {}",
            entry.version, entry.epoch, after.version, after.epoch
        )
    })
}

fn entry(envelope: &[u8], roots: &[TrustRoot]) -> Result<Entry, String> {
    let opened = Envelope::read(Kind::Statement, envelope).map_err(|it| it.to_string())?;
    let statement = Statement::parse(&opened.payload).map_err(|it| it.to_string())?;
    let digest = Digest::of(&opened.payload);
    let release = statement.release;
    let mut signers = BTreeSet::new();
    for root in roots {
        if let Some(role) = root.channels().get(&release.channel) {
            let (who, _) = signers::count("signatures", root, role, &opened, None, now());
            signers.extend(who);
        }
    }
    if roots.is_empty() {
        signers.extend(supply::key_ids(envelope));
    }
    Ok(Entry {
        statement: digest,
        version: release.version,
        epoch: release.epoch,
        issued_at: release.issued_at.map(|it| it.to_string()),
        commit: release.source.map(|it| it.commit),
        signers: signers.into_iter().collect(),
        previous: release.previous,
        revoked: roots.last().is_some_and(|root| root.revokes(&digest)),
    })
}

fn print(entry: &Entry, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let out = &mut terminal.out;
    let revoked = if entry.revoked { ", revoked" } else { "" };
    writeln!(
        out,
        "version {} of epoch {}{revoked}",
        entry.version, entry.epoch
    )?;
    writeln!(out, "  statement   {}", entry.statement)?;
    let date = entry.issued_at.as_deref().unwrap_or("not stated");
    writeln!(out, "  issued      {date}")?;
    let commit = entry.commit.as_deref().unwrap_or("none");
    writeln!(out, "  commit      {commit}")?;
    let signers = match entry.signers.join(", ") {
        none if none.is_empty() => "nobody that is known".to_owned(),
        some => some,
    };
    writeln!(out, "  signed by   {signers}")
}

fn ending(entries: &[Entry], end: &End, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let (last, previous) = match entries.last() {
        Some(last) => (
            format!("version {}", last.version),
            last.previous.map_or_else(String::new, |it| it.to_string()),
        ),
        None => ("the release itself".to_owned(), String::new()),
    };
    match end {
        End::First | End::Limit => Ok(Exit::Clean),
        End::Missing => {
            writeln!(
                terminal.err,
                "note: {last} names {previous} as previous, which is not kept here"
            )?;
            Ok(Exit::Findings)
        }
        End::Broken(what) if entries.is_empty() => {
            Err(Failure::unverified(format!("{last}: {what}")))
        }
        End::Broken(what) => Err(Failure::unverified(format!(
            "the chain breaks below {last}, at {previous}: {what}"
        ))
        .help("somebody has changed what is stored; compare with another copy")),
    }
}
