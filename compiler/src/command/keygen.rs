//! `latchkey keygen`: a signing key, its public half, and a trust file that names it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use latchkey_gate::supply::{TrustRoot, keys};

use super::{Exit, Failure, Terminal, formats, with_suffix};
use crate::{
    cli::{Format, Global},
    diag::Sink,
    project,
    source::Folder,
};

/// The arguments of `latchkey keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write PREFIX.key, PREFIX.pub and PREFIX.trust.json
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    /// The project that the key may release; that of the folder by default
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The channel that the key may release
    #[arg(long, value_name = "NAME", default_value = "main")]
    channel: String,
}

/// Makes the key and writes the three files. Nothing that is there is overwritten.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("keygen", global.format, &[Format::Human])?;
    let project = match &args.project {
        Some(project) => project.clone(),
        None => project_name(global)?,
    };
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
    let trust = TrustRoot::of_one_key(&project, &args.channel, name, public);
    // The secret comes first: without it the other two are of no use.
    let files = [
        (".key", keys::private_pem(&key), 0o600),
        (".pub", keys::public_pem(&public), 0o644),
        (".trust.json", trust.to_json(), 0o644),
    ];
    for (suffix, text, mode) in files {
        let path = with_suffix(&args.out, suffix);
        create(&path, &text, mode)?;
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    Ok(Exit::Clean)
}

fn project_name(global: &Global) -> Result<String, Failure> {
    let (_, project) = project::open(&Folder::new(global.directory.clone()), &mut Sink::new());
    let name = project.name.map(|name| name.value);
    name.ok_or_else(|| {
        let folder = global.directory.display();
        Failure::usage(format!(
            "`{folder}` has no project whose name the trust file could give"
        ))
        .help("give `-C DIR`, or the name: `--project NAME`")
    })
}

/// Writes a file that does not exist yet, readable as `mode` says from the first byte on.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        Failure::file("write", path, &error).help("keys are never overwritten; give another prefix")
    })
}
