//! `latchkey trust rotate`: the next version of a trust file.

use std::path::{Path, PathBuf};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Digest, TrustRoot,
    dsse::{self, Envelope, Kind},
};

use super::super::supply::{self, Outcome, signers};
use super::super::{Exit, Failure, Terminal, formats, now};
use super::draft::Draft;
use super::role::{self, RoleName};
use super::{init, weak};
use crate::cli::{Format, Global};

/// The arguments of `latchkey trust rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trust file in use
    #[arg(value_name = "FILE")]
    trust: PathBuf,
    /// Where to write `trust.<N>.json` and its envelope `trust.<N>.dsse.json`; beside the trust
    /// file by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Sign with this key; may be given several times, and `latchkey sign` adds more
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Take this trust file, edited by hand, as the next version
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    edits: Edits,
}

/// What changes.
#[derive(Debug, Default, clap::Args)]
#[group(conflicts_with = "to")]
struct Edits {
    /// Name another key
    #[arg(long = "add-key", value_name = "NAME=FILE", value_parser = supply::pair)]
    add_keys: Vec<(String, String)>,
    /// Put another key under a name, which keeps its roles
    #[arg(long = "replace-key", value_name = "NAME=FILE", value_parser = supply::pair)]
    replace_keys: Vec<(String, String)>,
    /// Forget a key or an identity, also in every role
    #[arg(long = "remove-key", value_name = "NAME")]
    remove_keys: Vec<String>,
    /// Name another Sigstore identity, and the file with the roots to judge it by
    #[arg(long = "add-identity", num_args = 4, value_names = init::IDENTITY)]
    add_identities: Vec<String>,
    /// Let a key or identity into a role; a role is made where it is not there
    #[arg(long = "add-member", value_name = "ROLE=NAME", value_parser = role::member)]
    add_members: Vec<(RoleName, String)>,
    /// Take a key or identity out of a role
    #[arg(long = "remove-member", value_name = "ROLE=NAME", value_parser = role::member)]
    remove_members: Vec<(RoleName, String)>,
    /// How many members of a role must agree
    #[arg(long = "threshold", value_name = "ROLE=N", value_parser = role::threshold)]
    thresholds: Vec<(RoleName, usize)>,
    /// When the trust file ends
    #[arg(long, value_name = "TIME", value_parser = super::super::time)]
    expires: Option<Time>,
    /// Begin a new epoch after a compromise: versions start over, and what was released before
    /// counts no more
    #[arg(long)]
    new_epoch: bool,
    /// Revoke the release of this statement
    #[arg(long = "revoke", value_name = "DIGEST")]
    revoked: Vec<Digest>,
    /// The lowest version of a channel that may be in force
    #[arg(long = "min-version", value_name = "CHANNEL=N", value_parser = role::version)]
    min_versions: Vec<(String, u64)>,
}

pub(super) fn run(
    args: &Args,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    formats("trust rotate", global.format, &[Format::Human])?;
    let current = supply::trust_root(&args.trust)?;
    let keys = supply::signing_keys(&args.keys)?;
    let next = match &args.to {
        Some(path) => supply::trust_root(path)?,
        None => edited(&current, &args.edits)?,
    };
    follows(&current, &next)?;
    let text = next.to_json();
    let envelope = dsse::sign(Kind::Trust, text.as_bytes(), &keys);
    let beside = args.trust.parent().unwrap_or(Path::new("."));
    let folder = args.out.as_deref().unwrap_or(beside);
    let version = next.version();
    let file = folder.join(format!("trust.{version}.json"));
    let signed = folder.join(format!("trust.{version}.dsse.json"));
    for (path, text) in [(&file, &text), (&signed, &envelope)] {
        supply::create(path, text, 0o644).map_err(|it| {
            it.help("a trust root is never overwritten; remove it, or give `--out`")
        })?;
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    let complete = status(Some(&current), &next, envelope.as_bytes(), terminal)?;
    if !complete {
        writeln!(
            terminal.out,
            "more signatures are needed: `latchkey sign {} --key FILE --trust {}`",
            signed.display(),
            args.trust.display()
        )?;
    }
    weak::tell(&next, now(), terminal.err)?;
    Ok(Exit::Clean)
}

/// Says how many of the root roles of both versions have signed, and whether that is enough.
pub(in crate::command) fn status(
    current: Option<&TrustRoot>,
    next: &TrustRoot,
    envelope: &[u8],
    terminal: &mut Terminal<'_>,
) -> Result<bool, Failure> {
    let envelope = Envelope::read(Kind::Trust, envelope)
        .map_err(|error| Failure::internal(error.to_string()))?;
    let mut complete = true;
    for root in current.into_iter().chain([next]) {
        let Some(role) = &root.roles().root else {
            continue;
        };
        let check = format!("root role of version {}", root.version());
        let (_, line) = signers::count(&check, root, role, &envelope, None, now());
        complete &= line.outcome == Outcome::Ok;
        writeln!(terminal.out, "{check}: {}", line.detail)?;
    }
    Ok(complete)
}

fn follows(current: &TrustRoot, next: &TrustRoot) -> Result<(), Failure> {
    if current.roles().root.is_none() || next.roles().root.is_none() {
        let without = if current.roles().root.is_none() {
            current
        } else {
            next
        };
        return Err(Failure::usage(format!(
            "trust root {} has no root role, so nobody can sign the change",
            without.version()
        ))
        .help("write the new trust file by hand and install it on every sidecar"));
    }
    let expected = current.version() + 1;
    if next.version() != expected {
        return Err(Failure::usage(format!(
            "the next version is {expected}, and the file says {}",
            next.version()
        ))
        .help("versions are walked one at a time; correct `version`"));
    }
    if next.project() != current.project() {
        return Err(Failure::usage(format!(
            "the project is {:?}, and the file says {:?}",
            current.project(),
            next.project()
        ))
        .help("a trust root stays with its project"));
    }
    if next.epoch() < current.epoch() {
        return Err(Failure::usage(format!(
            "the epoch is {}, and the file says {}",
            current.epoch(),
            next.epoch()
        ))
        .help("epochs only rise"));
    }
    Ok(())
}

fn edited(current: &TrustRoot, edits: &Edits) -> Result<TrustRoot, Failure> {
    let mut draft = Draft::after(current);
    for name in &edits.remove_keys {
        draft.remove(name)?;
    }
    for (name, file) in &edits.add_keys {
        draft.add_key(name, &supply::public_key(Path::new(file))?)?;
    }
    for (name, file) in &edits.replace_keys {
        draft.replace_key(name, &supply::public_key(Path::new(file))?)?;
    }
    for (name, identity) in init::identities(&edits.add_identities)? {
        draft.add_identity(&name, identity)?;
    }
    for (role, name) in &edits.add_members {
        draft.join(role, name)?;
    }
    for (role, name) in &edits.remove_members {
        draft.leave(role, name)?;
    }
    for (role, count) in &edits.thresholds {
        draft.threshold(role, *count)?;
    }
    if let Some(end) = edits.expires {
        draft.expires(end);
    }
    if edits.new_epoch {
        draft.new_epoch();
    }
    draft.revoked.extend(&edits.revoked);
    draft.min_version.extend(edits.min_versions.iter().cloned());
    let next = draft.finish()?;
    if unchanged(&Draft::after(current), &draft)? {
        return Err(Failure::usage("nothing changes")
            .help("give what changes, for example `--expires`, or `--to FILE`"));
    }
    Ok(next)
}

fn unchanged(before: &Draft, after: &Draft) -> Result<bool, Failure> {
    Ok(before.finish()? == after.finish()?)
}
