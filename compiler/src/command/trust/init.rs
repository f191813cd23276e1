//! `latchkey trust init`: the first trust file of a project.

use std::path::{Path, PathBuf};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{Digest, Identity, IdentityKind};

use super::super::{Exit, Failure, Terminal, formats, keygen, read, supply};
use super::draft::Draft;
use super::role::{self, RoleName};
use super::weak;
use crate::cli::{Format, Global};

/// The arguments of `latchkey trust init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE", default_value = "trust.json")]
    out: PathBuf,
    /// The project whose policy this is about; that of the folder by default
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// A channel that can be released; may be given several times
    #[arg(long = "channel", value_name = "NAME", default_value = "main")]
    channels: Vec<String>,
    /// A key that may release on every channel, and its public half (`.pub`); may be given several
    /// times
    #[arg(long = "release", value_name = "NAME=FILE", value_parser = supply::pair)]
    release: Vec<(String, String)>,
    /// A Sigstore identity that may release on every channel, and the file with the roots to judge
    /// it by; may be given several times
    #[arg(long = "identity", num_args = 4, value_names = IDENTITY)]
    identities: Vec<String>,
    /// A key that may change the trust file; may be given several times
    #[arg(long = "root", value_name = "NAME=FILE", value_parser = supply::pair)]
    root: Vec<(String, String)>,
    /// A key that says which release is the newest; may be given several times
    #[arg(long = "freshness", value_name = "NAME=FILE", value_parser = supply::pair)]
    freshness: Vec<(String, String)>,
    /// How many members of a role must agree, 1 by default; ROLE is root, release, freshness, or
    /// one of the last two with a channel, as release:main
    #[arg(long = "threshold", value_name = "ROLE=N", value_parser = role::threshold)]
    thresholds: Vec<(RoleName, usize)>,
    /// When the trust file ends, for example 2027-12-01
    #[arg(long, value_name = "TIME", value_parser = super::super::time)]
    expires: Option<Time>,
}

/// What `--identity` takes.
pub(super) const IDENTITY: [&str; 4] = ["NAME", "ISSUER", "SUBJECT", "ROOTS"];

pub(super) fn run(
    args: &Args,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    formats("trust init", global.format, &[Format::Human])?;
    let project = args
        .project
        .clone()
        .or_else(|| keygen::project_name(global));
    let project = project.ok_or_else(|| {
        let folder = global.directory.display();
        Failure::usage(format!(
            "`{folder}` has no project that this could be about"
        ))
        .help("give `-C DIR`, or the name: `--project NAME`")
    })?;
    let mut draft = Draft::first(&project, &args.channels);
    if let Some(end) = args.expires {
        draft.expires(end);
    }
    let roles = [
        (RoleName::Release(None), &args.release),
        (RoleName::Root, &args.root),
        (RoleName::Freshness(None), &args.freshness),
    ];
    for (role, members) in roles {
        for (name, file) in members {
            draft.add_key(name, &supply::public_key(Path::new(file))?)?;
            draft.join(&role, name)?;
        }
    }
    for (name, identity) in identities(&args.identities)? {
        draft.add_identity(&name, identity)?;
        draft.join(&RoleName::Release(None), &name)?;
    }
    for (role, count) in &args.thresholds {
        draft.threshold(role, *count)?;
    }
    let trust = draft.finish()?;
    supply::create(&args.out, &trust.to_json(), 0o644)?;
    writeln!(terminal.out, "wrote {}", args.out.display())?;
    weak::tell(&trust, super::super::now(), terminal.err)?;
    Ok(Exit::Clean)
}

/// Identities, four words each.
pub(super) fn identities(words: &[String]) -> Result<Vec<(String, Identity)>, Failure> {
    let (all, _) = words.as_chunks::<4>();
    let identity = |[name, issuer, subject, roots]: &[String; 4]| {
        let identity = Identity {
            kind: IdentityKind::Sigstore,
            issuer: issuer.clone(),
            subject: subject.clone(),
            trusted_root_sha256: Digest::of(&read(Path::new(roots))?),
        };
        Ok((name.clone(), identity))
    };
    all.iter().map(identity).collect()
}
