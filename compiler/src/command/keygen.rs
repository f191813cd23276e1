//! `latchkey keygen`: a signing key, its public half, and a trust file that names it.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use latchkey_gate::supply::{TrustRoot, dsse, keys};

use super::{Exit, Failure, Terminal, formats, supply, with_suffix};
use crate::{
    cli::{Format, Global},
    diag::Sink,
    project,
    source::Folder,
};

/// The arguments of `latchkey keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write PREFIX.key, PREFIX.pub and, in a project, PREFIX.trust.json
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    /// The project that the trust file is for; that of the folder by default
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The channel that the key may release
    #[arg(long, value_name = "NAME", default_value = "main")]
    channel: String,
}

/// Makes the key and writes the files. Nothing that is there is overwritten.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("keygen", global.format, &[Format::Human])?;
    let project = args.project.clone().or_else(|| project_name(global));
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::usage(format!("there is no source of randomness: {error}")))?;
    let key = SigningKey::from_bytes(&seed);
    let public = key.verifying_key();
    let name = args
        .out
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("release");
    let trust = project
        .as_deref()
        .map(|project| TrustRoot::of_one_key(project, &args.channel, name, public).to_json());
    let files = [
        (".key", Some(keys::private_pem(&key)), 0o600),
        (".pub", Some(keys::public_pem(&public)), 0o644),
        (".trust.json", trust, 0o644),
    ];
    let files = files.map(|(suffix, text, mode)| (with_suffix(&args.out, suffix), text, mode));
    // Half a set is of no use: all of it is looked for before any of it is written.
    if let Some((path, ..)) = files.iter().find(|(path, ..)| path.exists()) {
        return Err(
            Failure::usage(format!("`{}` is there already", path.display()))
                .help("keys are never overwritten; give another prefix"),
        );
    }
    for (path, text, mode) in files {
        let Some(text) = text else { continue };
        supply::create(&path, &text, mode)?;
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    writeln!(terminal.out, "key id {}", dsse::key_id(&public))?;
    if project.is_none() {
        writeln!(
            terminal.err,
            "note: not in a project, so there is no trust file; `latchkey trust init` writes one \
             for several keys and roles"
        )?;
    }
    Ok(Exit::Clean)
}

/// The name of the project in the folder of `-C`, if there is one.
pub(super) fn project_name(global: &Global) -> Option<String> {
    let folder = Folder::new(global.directory.clone());
    // Elsewhere there may be anything, and much of it.
    global.directory.join(project::FILE).is_file().then(|| {
        let (_, project) = project::open(&folder, &mut Sink::new());
        project.name.map(|name| name.value.into())
    })?
}
