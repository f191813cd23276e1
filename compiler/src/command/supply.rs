//! What the commands about signed releases share: keys, trust files, envelopes, places of releases.

use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use latchkey_gate::supply::{
    Digest, Keyless, NoKeyless, Statement, TrustRoot,
    dsse::{Envelope, Kind},
    keys,
};
use serde_json::Value as Json;

use super::{Failure, read};
use crate::pack;

mod judge;
mod line;
pub(super) mod signers;
mod source;

pub(super) use judge::{Judgement, Question, judge, roots};
pub(super) use line::Outcome;
pub(super) use source::Remote;
pub(super) use source::{Found, Source, failure, runtime};

/// Reads private keys.
pub(super) fn signing_keys(paths: &[PathBuf]) -> Result<Vec<SigningKey>, Failure> {
    paths.iter().map(|path| signing_key(path)).collect()
}

fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    keys::read_private(&text).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display()))
            .help("give the `.key` file that `latchkey keygen` wrote")
    })
}

/// Reads a public key.
pub(super) fn public_key(path: &Path) -> Result<VerifyingKey, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    keys::read_public(&text).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display()))
            .help("give the `.pub` file that `latchkey keygen` wrote")
    })
}

/// Reads a trust file, or the trust root in an envelope.
pub(super) fn trust_root(path: &Path) -> Result<TrustRoot, Failure> {
    let bytes = read(path)?;
    let payload = match kind(&bytes) {
        Some(_) => open(path, Kind::Trust, &bytes)?.payload,
        None => bytes,
    };
    TrustRoot::parse(&payload).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display()))
            .help("`latchkey trust init` writes a trust file")
    })
}

/// What an envelope holds, by its payload type; `None` when it is no envelope of Latchkey.
pub(super) fn kind(envelope: &[u8]) -> Option<Kind> {
    let value: Json = serde_json::from_slice(envelope).ok()?;
    let stated = value.get("payloadType")?.as_str()?;
    [Kind::Statement, Kind::Pointer, Kind::Trust]
        .into_iter()
        .find(|kind| kind.payload_type() == stated)
}

/// Reads an envelope that came from a file.
pub(super) fn open(path: &Path, kind: Kind, envelope: &[u8]) -> Result<Envelope, Failure> {
    Envelope::read(kind, envelope)
        .map_err(|error| Failure::unverified(format!("`{}`: {error}", path.display())))
}

/// The statement in an envelope, and its digest; nothing is verified.
pub(super) fn statement(path: &Path, envelope: &[u8]) -> Result<(Statement, Digest), Failure> {
    let payload = open(path, Kind::Statement, envelope)?.payload;
    parsed(path, &payload)
}

/// The statement of a release folder, signed or not.
pub(super) fn statement_of(folder: &Path) -> Result<(Statement, Digest), Failure> {
    let signed = folder.join(pack::SIGNED);
    if signed.exists() {
        return statement(&signed, &read(&signed)?);
    }
    let unsigned = folder.join(pack::UNSIGNED);
    if unsigned.exists() {
        return parsed(&unsigned, &read(&unsigned)?);
    }
    Err(
        Failure::usage(format!("`{}` holds no release", folder.display()))
            .help("build one: `latchkey build --out DIR`"),
    )
}

fn parsed(path: &Path, payload: &[u8]) -> Result<(Statement, Digest), Failure> {
    let statement = Statement::parse(payload)
        .map_err(|error| Failure::unverified(format!("`{}`: {error}", path.display())))?;
    Ok((statement, Digest::of(payload)))
}

/// Who verifies identities: nobody without a file with Sigstore's roots.
pub(super) fn keyless(roots: Option<&Path>) -> Result<Box<dyn Keyless>, Failure> {
    match roots {
        None => Ok(Box::new(NoKeyless)),
        Some(path) => identities(path),
    }
}

#[cfg(feature = "keyless")]
fn identities(roots: &Path) -> Result<Box<dyn Keyless>, Failure> {
    use latchkey_gate::supply::keyless::SigstoreKeyless;
    let keyless = SigstoreKeyless::new(&read(roots)?).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", roots.display()))
            .help("give the `trusted_root.json` whose digest the trust file names")
    })?;
    Ok(Box::new(keyless))
}

#[cfg(not(feature = "keyless"))]
fn identities(roots: &Path) -> Result<Box<dyn Keyless>, Failure> {
    let path = roots.display();
    Err(Failure::usage(format!(
        "`{path}`: this build of latchkey verifies no identities"
    ))
    .help("build it with `--features keyless`"))
}

/// Replaces a file whole.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    pack::put(path, bytes).map_err(|error| Failure::file("write", path, &error))
}

/// Writes a file that must not be there yet.
pub(super) fn create(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::file("write", path, &error))
}

/// Splits `NAME=VALUE` of the command line.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// A length of time on the command line, in seconds: `90s`, `10m`, `24h`, `7d`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let fault = || "write a length of time as 90s, 10m, 24h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(fault)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(fault()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().map_err(|_| fault())?;
    let product = number.checked_mul(factor).filter(|_| plain);
    product.ok_or_else(fault)
}

/// The key ids that an envelope's entries claim; they are hints and prove nothing.
pub(super) fn key_ids(envelope: &[u8]) -> Vec<String> {
    let value: Json = serde_json::from_slice(envelope).unwrap_or_default();
    let entries = value.get("signatures").and_then(Json::as_array);
    let entries = entries.into_iter().flatten();
    entries
        .map(|entry| {
            let id = entry.get("keyid").and_then(Json::as_str);
            id.unwrap_or_default().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("7d"), Ok(604_800));
        for bad in [
            "",
            "h",
            "24",
            "1.5h",
            "+1h",
            "-1h",
            "24 h",
            "99999999999999999999s",
            "1ü",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
