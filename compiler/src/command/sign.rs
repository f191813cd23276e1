//! `latchkey sign`: more signatures on a release, a pointer or a trust root.

mod keyless;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use latchkey_carrier::names;
use latchkey_gate::supply::{
    Pointer, Statement, TrustRoot,
    dsse::{self, Kind},
};
use serde_json::Value as Json;

use super::supply::{self, Outcome, signers};
use super::{Exit, Failure, Terminal, formats, now, read, trust};
use crate::{
    cli::{Format, Global},
    pack,
};

/// The arguments of `latchkey sign`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("with").required(true).multiple(true))]
pub struct Args {
    /// The folder of a release, or an envelope: of a release, a pointer or a trust root
    #[arg(value_name = "PATH")]
    target: PathBuf,
    /// Sign with this key of `latchkey keygen`; may be given several times
    #[arg(long = "key", value_name = "FILE", group = "with")]
    keys: Vec<PathBuf>,
    /// Attach this Sigstore bundle over the same statement; may be given several times
    #[arg(long = "bundle", value_name = "FILE", group = "with")]
    bundles: Vec<PathBuf>,
    #[command(flatten)]
    sigstore: keyless::Sigstore,
    /// Say what is still missing by this trust file
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The file with Sigstore's roots, to count identities by
    #[arg(long, value_name = "FILE", requires = "trust")]
    sigstore_root: Option<PathBuf>,
}

/// Adds signatures; those that are there stay.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("sign", global.format, &[Format::Human])?;
    let trusted = args.trust.as_deref().map(supply::trust_root).transpose()?;
    let keys = supply::signing_keys(&args.keys)?;
    let target = Target::find(&args.target)?;
    let identities = args.sigstore.keyless || !args.bundles.is_empty();
    if identities && target.kind != Kind::Statement {
        return Err(
            Failure::usage(format!("a {} takes no Sigstore bundle", target.kind.noun()))
                .help("identities sign releases only; sign this with `--key`"),
        );
    }
    let envelope = match &target.envelope {
        Some(envelope) => dsse::countersign(target.kind, envelope, &keys)
            .map_err(|it| Failure::unverified(format!("`{}`: {it}", target.path.display())))?,
        None => dsse::sign(target.kind, &target.payload, &keys),
    };
    for path in &args.bundles {
        let written = attach(&target, &read(path)?, &path.display().to_string())?;
        writeln!(terminal.out, "wrote {}", written.display())?;
    }
    if args.sigstore.keyless {
        let bundle = args.sigstore.sign(&target.payload)?;
        let written = attach(&target, &bundle, "the answer of Sigstore")?;
        writeln!(terminal.out, "wrote {}", written.display())?;
    }
    if target.envelope.as_deref() != Some(envelope.as_bytes()) {
        supply::put(&target.path, envelope.as_bytes())?;
        writeln!(terminal.out, "wrote {}", target.path.display())?;
    }
    if let Some(unsigned) = &target.unsigned {
        // The same statement in its envelope takes its place.
        std::fs::remove_file(unsigned).map_err(|it| Failure::file("remove", unsigned, &it))?;
    }
    for key in &keys {
        let id = dsse::key_id(&key.verifying_key());
        writeln!(terminal.out, "signed by key {id}")?;
    }
    let count = supply::key_ids(envelope.as_bytes()).len();
    let noun = if count == 1 {
        "signature"
    } else {
        "signatures"
    };
    writeln!(terminal.out, "{}: {count} {noun}", target.kind.noun())?;
    missing(
        args,
        &target,
        envelope.as_bytes(),
        trusted.as_ref(),
        terminal,
    )?;
    Ok(Exit::Clean)
}

/// What is signed.
struct Target {
    kind: Kind,
    /// The envelope's path.
    path: PathBuf,
    /// The statement without an envelope that it replaces.
    unsigned: Option<PathBuf>,
    /// The envelope, when there is one already.
    envelope: Option<Vec<u8>>,
    payload: Vec<u8>,
}

impl Target {
    fn find(path: &Path) -> Result<Self, Failure> {
        if !path.is_dir() {
            return Self::envelope(path.to_owned(), None);
        }
        let (signed, unsigned) = (path.join(pack::SIGNED), path.join(pack::UNSIGNED));
        if signed.exists() {
            return Self::envelope(signed, Some(Kind::Statement));
        }
        // Also says what to do about a folder without a release.
        supply::statement_of(path)?;
        Ok(Self {
            kind: Kind::Statement,
            path: signed,
            payload: read(&unsigned)?,
            unsigned: Some(unsigned),
            envelope: None,
        })
    }

    fn envelope(path: PathBuf, wanted: Option<Kind>) -> Result<Self, Failure> {
        let envelope = read(&path)?;
        let Some(kind) = supply::kind(&envelope).filter(|it| wanted.is_none_or(|w| w == *it))
        else {
            return Err(Failure::usage(format!(
                "`{}` is no envelope that latchkey signs",
                path.display()
            ))
            .help(
                "give a release folder, release.dsse.json, pointer.dsse.json or \
                 trust.<N>.dsse.json",
            ));
        };
        let payload = supply::open(&path, kind, &envelope)?.payload;
        let sound = match kind {
            Kind::Statement => Statement::parse(&payload)
                .map(drop)
                .map_err(|it| it.to_string()),
            Kind::Pointer => Pointer::parse(&payload)
                .map(drop)
                .map_err(|it| it.to_string()),
            Kind::Trust => TrustRoot::parse(&payload)
                .map(drop)
                .map_err(|it| it.to_string()),
        };
        // Nobody should sign what nobody will read.
        sound.map_err(|it| Failure::unverified(format!("`{}`: {it}", path.display())))?;
        Ok(Self {
            kind,
            path,
            unsigned: None,
            envelope: Some(envelope),
            payload,
        })
    }
}

impl Target {
    /// The Sigstore bundles beside it.
    fn bundles(&self) -> Result<Vec<Vec<u8>>, Failure> {
        if self.kind != Kind::Statement {
            return Ok(Vec::new());
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let places = (1..=names::MOST_SIGSTORE).map(|n| folder.join(names::sigstore(n)));
        places
            .take_while(|place| place.exists())
            .map(|place| read(&place))
            .collect()
    }
}

/// Puts a Sigstore bundle beside the statement, once it is known to be over the same bytes.
fn attach(target: &Target, bundle: &[u8], name: &str) -> Result<PathBuf, Failure> {
    let fault = |what: &str| {
        Failure::unverified(format!("`{name}`: {what}"))
            .help("sign the payload of the statement itself, and give the bundle that comes of it")
    };
    let value: Json =
        serde_json::from_slice(bundle).map_err(|_| fault("it is no Sigstore bundle"))?;
    let inner = value
        .get("dsseEnvelope")
        .ok_or_else(|| fault("it holds no DSSE envelope"))?;
    let text = |name: &str| inner.get(name).and_then(Json::as_str).unwrap_or_default();
    let payload = base64::engine::general_purpose::STANDARD.decode(text("payload"));
    if text("payloadType") != target.kind.payload_type() || payload != Ok(target.payload.clone()) {
        return Err(fault("it signs something else than this statement"));
    }
    let folder = target.path.parent().unwrap_or(Path::new("."));
    for n in 1..=names::MOST_SIGSTORE {
        let place = folder.join(names::sigstore(n));
        if !place.exists() {
            supply::put(&place, bundle)?;
            return Ok(place);
        }
        if read(&place)? == bundle {
            return Ok(place);
        }
    }
    let most = names::MOST_SIGSTORE;
    Err(
        Failure::usage(format!("the release has {most} Sigstore bundles already"))
            .help("remove one"),
    )
}

/// Says what a trust file still asks for.
fn missing(
    args: &Args,
    target: &Target,
    envelope: &[u8],
    trusted: Option<&TrustRoot>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    if target.kind == Kind::Trust {
        let next = TrustRoot::parse(&target.payload);
        let next = next.map_err(|error| Failure::internal(error.to_string()))?;
        return trust::status(trusted, &next, envelope, terminal).map(drop);
    }
    let Some(trusted) = trusted else {
        return Ok(());
    };
    let (channel, roles) = match target.kind {
        Kind::Statement => (
            Statement::parse(&target.payload)
                .map(|it| it.release.channel)
                .ok(),
            trusted.channels(),
        ),
        Kind::Pointer | Kind::Trust => (
            Pointer::parse(&target.payload).map(|it| it.channel).ok(),
            &trusted.roles().freshness,
        ),
    };
    let channel = channel.unwrap_or_default();
    let Some(role) = roles.get(&channel) else {
        return Err(Failure::unverified(format!(
            "the trust file has no role that could sign a {} on channel {channel:?}",
            target.kind.noun()
        ))
        .help("correct the channel, or add the role with `latchkey trust rotate`"));
    };
    let opened = supply::open(&target.path, target.kind, envelope)?;
    let keyless = supply::keyless(args.sigstore_root.as_deref())?;
    let bundles = target.bundles()?;
    let identities = Some((bundles.as_slice(), keyless.as_ref()));
    let (_, line) = signers::count("signatures", trusted, role, &opened, identities, now());
    let enough = if line.outcome == Outcome::Ok {
        "enough"
    } else {
        "not enough yet"
    };
    writeln!(terminal.out, "{enough}: {}", line.detail)?;
    Ok(())
}
