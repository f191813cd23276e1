//! `latchkey trust show`: a trust file in words.

use std::path::PathBuf;

use latchkey_gate::supply::{Role, TrustRoot, dsse};
use serde_json::{Value as Json, json};

use super::super::{Exit, Failure, Terminal, formats, now, supply};
use super::weak;
use crate::cli::{Format, Global};

/// The arguments of `latchkey trust show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trust file, or the envelope of a trust root (`trust.<N>.dsse.json`)
    #[arg(value_name = "FILE")]
    trust: PathBuf,
}

pub(super) fn run(
    args: &Args,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    formats("trust show", global.format, &[Format::Human, Format::Json])?;
    let trust = supply::trust_root(&args.trust)?;
    if global.format == Format::Json {
        writeln!(terminal.out, "{}", machine(&trust)?)?;
    } else {
        human(&trust, terminal)?;
        weak::tell(&trust, now(), terminal.err)?;
    }
    Ok(Exit::Clean)
}

fn machine(trust: &TrustRoot) -> Result<Json, Failure> {
    let file: Json = serde_json::from_str(&trust.to_json())
        .map_err(|error| Failure::internal(error.to_string()))?;
    let keys = trust.keys().iter().map(|(name, key)| {
        json!({
            "name": name, "key_id": dsse::key_id(key), "roles": weak::roles_of(trust, name),
        })
    });
    let weak = weak::find(trust, now());
    let weak = weak
        .iter()
        .map(|it| json!({"code": it.code, "message": it.message}));
    Ok(json!({
        "version": 1,
        "trust": file,
        "keys": keys.collect::<Vec<_>>(),
        "weaknesses": weak.collect::<Vec<_>>(),
    }))
}

fn human(trust: &TrustRoot, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let out = &mut terminal.out;
    writeln!(
        out,
        "trust root {} of {}, epoch {}",
        trust.version(),
        trust.project(),
        trust.epoch()
    )?;
    match trust.expires() {
        Some(end) => writeln!(out, "  ends        {end}")?,
        None => writeln!(out, "  ends        never")?,
    }
    let roles = trust.roles();
    match &roles.root {
        Some(role) => writeln!(out, "  root        {}", agreed(role))?,
        None => writeln!(out, "  root        nobody")?,
    }
    for (channel, role) in &roles.release {
        writeln!(out, "  channel     {channel}")?;
        writeln!(out, "    release   {}", agreed(role))?;
        if let Some(role) = roles.freshness.get(channel) {
            writeln!(out, "    freshness {}", agreed(role))?;
        }
        writeln!(out, "    at least  version {}", trust.min_version(channel))?;
    }
    for (name, key) in trust.keys() {
        let entry = trust.key_entries().get(name);
        let begin = entry.and_then(|it| it.not_before);
        let end = entry.and_then(|it| it.not_after);
        let mut dates = String::new();
        if let Some(begin) = begin {
            dates = format!(", from {begin}");
        }
        if let Some(end) = end {
            dates = format!("{dates}, until {end}");
        }
        writeln!(out, "  key         {name}: {}{dates}", dsse::key_id(key))?;
    }
    for (name, identity) in trust.identities() {
        writeln!(out, "  identity    {name}: {}", identity.subject)?;
        writeln!(out, "    issuer    {}", identity.issuer)?;
        writeln!(
            out,
            "    roots     {} (sha256)",
            identity.trusted_root_sha256
        )?;
    }
    for digest in trust.revoked() {
        writeln!(out, "  revoked     {digest}")?;
    }
    Ok(())
}

fn agreed(role: &Role) -> String {
    format!("{} of {}", role.threshold, role.members.join(", "))
}
