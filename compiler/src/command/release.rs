//! `latchkey release`: the freshness pointer, which says anew that a release is the newest.

use std::path::{Path, PathBuf};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Digest, Floor, Pointer, Release, TrustRoot, UrgentDeny,
    dsse::{self, Kind},
};
use serde_json::json;

use super::supply::{self, Found, Outcome, Question, Remote, Source, signers};
use super::{Exit, Failure, Terminal, formats, now, read};
use crate::{
    cli::{Format, Global},
    pack,
};

mod denied;

/// The arguments of `latchkey release`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a signed release; the pointer is written into it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The trust file that sidecars have
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Sign with this key of the freshness role; may be given several times
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// How long the pointer is good for: 90s, 10m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = supply::seconds)]
    expires_in: u64,
    /// Over how long sidecars spread the fetching of this release; as before by default, else at
    /// once
    #[arg(long, value_name = "TIME", value_parser = supply::seconds)]
    spread: Option<u64>,
    /// The lowest version that may be in force; as before by default
    #[arg(long, value_name = "N")]
    min_version: Option<u64>,
    /// Deny the token with this id, at once and everywhere; may be given several times
    #[arg(long = "deny-token", value_name = "ID")]
    tokens: Vec<String>,
    /// Suspend this principal, at once and everywhere; may be given several times
    #[arg(long = "suspend", value_name = "NAME")]
    suspend: Vec<String>,
    /// Deny this surface to all, at once and everywhere; may be given several times
    #[arg(long = "deny-surface", value_name = "SERVER/NAME")]
    surfaces: Vec<String>,
    /// Deny names that this release does not have, for the sake of older ones still in force
    #[arg(long)]
    deny_unknown: bool,
    /// Forget what the pointer before denied; without this it stays denied
    #[arg(long)]
    clear_deny: bool,
    /// The version of the pointer; one more than before by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pointer_version: Option<u64>,
    /// When the pointer is signed; now by default
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    issued_at: Option<Time>,
    /// The file with Sigstore's roots, where identities sign releases
    #[arg(long, value_name = "FILE")]
    sigstore_root: Option<PathBuf>,
}

/// Writes the pointer once every check on the release has passed.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("release", global.format, &[Format::Human, Format::Json])?;
    let given = supply::trust_root(&args.trust)?;
    let keys = supply::signing_keys(&args.keys)?;
    let issued = args.issued_at.unwrap_or_else(now);
    let source = Source::open(&args.folder.display().to_string(), &Remote::default())?;
    let mut roots = supply::roots(&source, &given, issued)?;
    let trust = roots.pop().unwrap_or_else(|| given.clone());
    let (statement, digest) = supply::statement_of(&args.folder)?;
    let release = &statement.release;
    let before = before(args, &trust, &release.channel, terminal)?;
    let pointer = next(args, &trust, release, digest, before.as_ref(), issued);
    let payload = pointer
        .encode()
        .map_err(|it| Failure::usage(it.to_string()))?;
    let envelope = dsse::sign(Kind::Pointer, &payload, &keys);
    let found = Found {
        pointer: Some(envelope.clone().into_bytes()),
        ..source.current()?
    };
    let keyless = supply::keyless(args.sigstore_root.as_deref())?;
    let question = Question {
        floor: before.map_or_else(Floor::default, |it| it.floor(&trust)),
        channel: Some(&release.channel),
        min_version: 0,
        strict_chain: false,
        keyless: keyless.as_ref(),
        server: None,
        now: issued,
        trust: given,
    };
    let judgement = supply::judge(&source, &found, &question)?;
    if !judgement.accepted() {
        for line in judgement.failed() {
            writeln!(
                terminal.err,
                "{:<8}{}: {}",
                line.outcome.word(),
                line.check,
                line.detail
            )?;
        }
        return Err(Failure::unverified(
            "a sidecar would refuse this release, so no pointer names it",
        )
        .help("correct what has failed, then release again"));
    }
    denied::check(args, &pointer, terminal)?;
    let path = args.folder.join(pack::POINTER);
    supply::put(&path, envelope.as_bytes())?;
    print(&path, &pointer, global.format, terminal)?;
    Ok(Exit::Clean)
}

/// The pointer that is there.
struct Before {
    pointer: Pointer,
    digest: Digest,
}

impl Before {
    /// What a sidecar remembers that has followed it.
    fn floor(&self, trust: &TrustRoot) -> Floor {
        let pointer = &self.pointer;
        Floor {
            project: pointer.project.clone(),
            channel: pointer.channel.clone(),
            trust_version: pointer.trust_version.min(trust.version()),
            epoch: pointer.epoch,
            version: pointer.version,
            statement: Some(pointer.statement),
            pointer_version: pointer.pointer_version,
            pointer: Some(self.digest),
            trusted_time: None,
        }
    }
}

/// Reads the pointer that is there. One that the freshness role has not signed counts for nothing:
/// whoever can write the folder could otherwise use up the numbers.
fn before(
    args: &Args,
    trust: &TrustRoot,
    channel: &str,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Before>, Failure> {
    let path = args.folder.join(pack::POINTER);
    if !path.exists() {
        return Ok(None);
    }
    let role = trust.roles().freshness.get(channel).ok_or_else(|| {
        Failure::usage(format!(
            "the trust file has no freshness role for channel {channel:?}, so no pointer counts \
             there"
        ))
        .help("add it: `latchkey trust rotate --add-member freshness=NAME`")
    })?;
    let opened = supply::open(&path, Kind::Pointer, &read(&path)?)?;
    let (_, line) = signers::count("signatures", trust, role, &opened, None, now());
    let pointer = Pointer::parse(&opened.payload);
    match pointer {
        Ok(pointer) if line.outcome == Outcome::Ok => Ok(Some(Before {
            digest: Digest::of(&opened.payload),
            pointer,
        })),
        _ if args.pointer_version.is_some() => {
            let path = path.display();
            writeln!(
                terminal.err,
                "note: `{path}` is not signed by the freshness role; what it says is dropped"
            )?;
            Ok(None)
        }
        _ => Err(Failure::unverified(format!(
            "`{}` is not signed by the freshness role ({})",
            path.display(),
            line.detail
        ))
        .help(
            "find out who wrote it; then give `--pointer-version N`, higher than any before, and \
             again what must stay denied",
        )),
    }
}

fn next(
    args: &Args,
    trust: &TrustRoot,
    release: &Release,
    statement: Digest,
    before: Option<&Before>,
    issued: Time,
) -> Pointer {
    let before = before.map(|it| &it.pointer);
    // Numbers start over with an epoch, and so does what was asked for in the one before.
    let same = before.filter(|it| it.epoch == trust.epoch());
    let counted = same.map_or(1, |it| it.pointer_version.saturating_add(1));
    let kept = before.filter(|_| !args.clear_deny);
    let kept = kept.map(|it| it.urgent_deny.clone()).unwrap_or_default();
    let seconds = i64::try_from(args.expires_in).unwrap_or(i64::MAX);
    Pointer {
        project: release.project.clone(),
        channel: release.channel.clone(),
        trust_version: trust.version(),
        epoch: release.epoch,
        version: release.version,
        statement,
        pointer_version: args.pointer_version.unwrap_or(counted),
        issued_at: issued,
        expires: Time(issued.0.saturating_add(seconds)),
        min_version: args
            .min_version
            .or_else(|| same.map(|it| it.min_version))
            .unwrap_or(0),
        spread_seconds: args
            .spread
            .or_else(|| before.map(|it| it.spread_seconds))
            .unwrap_or(0),
        urgent_deny: UrgentDeny {
            revoked_tokens: joined(kept.revoked_tokens, &args.tokens),
            suspended: joined(kept.suspended, &args.suspend),
            denied: joined(kept.denied, &args.surfaces),
        },
    }
}

fn joined(mut kept: Vec<String>, added: &[String]) -> Vec<String> {
    kept.extend(added.iter().cloned());
    kept.sort();
    kept.dedup();
    kept
}

fn print(
    path: &Path,
    pointer: &Pointer,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let out = &mut terminal.out;
    if format == Format::Json {
        let file = path.display().to_string();
        return writeln!(
            out,
            "{}",
            json!({"version": 1, "file": file, "pointer": pointer})
        );
    }
    writeln!(out, "wrote {}", path.display())?;
    writeln!(
        out,
        "pointer {} names version {}, statement {}",
        pointer.pointer_version, pointer.version, pointer.statement
    )?;
    writeln!(out, "  ends        {}", pointer.expires)?;
    if pointer.min_version > 0 {
        writeln!(out, "  at least    version {}", pointer.min_version)?;
    }
    if pointer.spread_seconds > 0 {
        writeln!(out, "  spread      over {} s", pointer.spread_seconds)?;
    }
    let denied = &pointer.urgent_deny;
    for (noun, list) in [
        ("token", &denied.revoked_tokens),
        ("principal", &denied.suspended),
        ("surface", &denied.denied),
    ] {
        for entry in list {
            writeln!(out, "  denies      {noun} {entry}")?;
        }
    }
    Ok(())
}
