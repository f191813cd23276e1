//! The handles of sessions on their way through: which keys seal them, and the headers that name
//! them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Uri,
    header::{self, HeaderName, HeaderValue},
};
use latchkey_gate::{
    admit::Permit,
    seal::{KEY_LENGTH, MAX_KEYS, Sealer},
    session::Bond,
};

use crate::{answer::Rules, config::Config, ids, stdio, supply::Way, upstream::Outbound};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Names the session and the event of a request as the server knows them, and no others.
pub(crate) fn name_upstream(headers: &mut HeaderMap, bond: &Bond) {
    for (name, value) in [(SESSION, bond.session()), (LAST_EVENT, bond.event())] {
        headers.remove(&name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Names the session of an answer as its caller knows it. An answer that names more than one, or
/// one in the era that has none, names none.
pub(crate) fn name_downstream(headers: &mut HeaderMap, bond: &mut Bond, sealer: &Sealer) {
    let mut named = headers.get_all(&SESSION).iter();
    let only = named.next().filter(|_| named.next().is_none());
    let sealed = only.and_then(|session| bond.open_session(sealer, session.as_bytes()));
    headers.remove(&SESSION);
    if let Some(sealed) = sealed.and_then(|sealed| HeaderValue::from_str(&sealed).ok()) {
        headers.insert(SESSION, sealed);
    }
}

/// Tells a server that its client takes no such request, so that it does not wait for an answer.
/// Nobody waits for this: where it fails, the server waits for as long as it likes.
pub(crate) fn answer_server(rules: &Rules, permit: Permit) {
    let Some(bond) = permit.bond() else { return };
    let mut headers = HeaderMap::new();
    name_upstream(&mut headers, bond);
    let both = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, both);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let version = rules.protocol.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(version)) = version {
        headers.insert(VERSION, version);
    }
    let (worker, active) = (Arc::clone(&rules.worker), Arc::clone(&rules.active));
    let identity = rules.identity.clone();
    tokio::spawn(async move {
        let outbound = Outbound {
            method: Method::POST,
            uri: &Uri::from_static("/"),
            headers,
            body: Bytes::new(),
            request_id: &ids::uuid(),
            traceparent: &["00-", &ids::trace(), "-", &ids::span(), "-00"].concat(),
        };
        let sent = match &active.way {
            Way::Connect(target) => worker.upstream.send(target, permit, outbound).await,
            Way::Run(launch) => {
                stdio::send(&worker, launch, permit, outbound, identity.as_deref()).await
            }
        };
        if let Err(refusal) = sent {
            let reason = refusal.reason();
            tracing::debug!(target: "upstream", %reason, "a server was not answered");
        }
    });
}

/// The keys that handles are sealed with: those of the settings, or one that this sidecar made for
/// itself and keeps with its state. An error says what is wrong, where, and what to do.
pub(crate) fn sealer(config: &Config) -> Result<Sealer, String> {
    if let Some(path) = &config.handles.key_file {
        return read(path).map_err(|error| {
            format!(
                "[handles] key_file = \"{}\": {error}; write one key on each line, as base64 of \
                 {KEY_LENGTH} random bytes: `head -c 32 /dev/urandom | base64`",
                path.display()
            )
        });
    }
    let path = config.state.directory.join("handles.key");
    let kept = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        read => read,
    };
    kept.map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> io::Result<Sealer> {
    let keys = read_keys(path)?;
    let count = keys.len();
    Sealer::new(&keys)
        .ok_or_else(|| io::Error::other(format!("{count} keys; 1 to {MAX_KEYS} are taken")))
}

/// The keys of a file, one on each line in base64.
pub(crate) fn read_keys(path: &Path) -> io::Result<Vec<[u8; KEY_LENGTH]>> {
    let text = fs::read_to_string(path)?;
    let mut keys = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let key = STANDARD.decode(line.trim()).ok();
        let key = key.and_then(|key| <[u8; KEY_LENGTH]>::try_from(key).ok());
        let fault = || io::Error::other(format!("line {at} is not {KEY_LENGTH} bytes in base64"));
        keys.push(key.ok_or_else(fault)?);
    }
    Ok(keys)
}

fn make(path: &Path) -> io::Result<Sealer> {
    make_key(path)?;
    read(path)
}

/// Makes a key that only this user can read.
pub(crate) fn make_key(path: &Path) -> io::Result<()> {
    let key = ids::key()?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let aside = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&aside)?;
    writeln!(file, "{}", STANDARD.encode(&key))?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/handles.key");
        make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let first = fs::read(&path).unwrap();
        read(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn a_key_file_that_holds_no_key_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let good = STANDARD.encode([1; KEY_LENGTH]);
        fs::write(&path, format!("{good}\n\n{good}\n")).unwrap();
        read(&path).unwrap();
        for (text, said) in [
            ("", "0 keys".to_owned()),
            ("AAAA", "line 1".to_owned()),
            (&format!("{good}\nsecret"), "line 2".to_owned()),
            (&format!("{good}\n").repeat(9), "9 keys".to_owned()),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains(&said) && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
