//! The handles of sessions and tasks on their way through: the headers that name them, and files of
//! keys.

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
    seal::{KEY_LENGTH, Sealer},
    session::Bond,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{answer::Rules, ids, stdio, supply::Way, upstream::Outbound};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The handles in the headers of a request, as its caller names them.
pub(crate) type Named = [Option<HeaderValue>; 3];

/// Names the session, the event and the task of a request as the server knows them, and no others;
/// answers how its caller did.
pub(crate) fn name_upstream(headers: &mut HeaderMap, bond: &Bond) -> Named {
    let named = [SESSION, LAST_EVENT, NAME].map(|name| headers.get(name).cloned());
    for (name, value) in [(SESSION, bond.session()), (LAST_EVENT, bond.event())] {
        headers.remove(&name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    let about_task = |it: &HeaderValue| it.as_bytes().starts_with(b"tasks/");
    if let Some(task) = bond.tasks().first()
        && headers.get(&METHOD).is_some_and(about_task)
        && let Ok(value) = HeaderValue::from_str(&routed(task.id()))
    {
        headers.insert(NAME, value);
    }
    named
}

/// Names them again as the caller did.
pub(crate) fn name_back(headers: &mut HeaderMap, named: Named) {
    for (name, value) in [SESSION, LAST_EVENT, NAME].into_iter().zip(named) {
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// The value of a routing header: as it stands where it can, or in the base64 form of MCP.
fn routed(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with("=?");
    if plain {
        return name.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(name))
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
/// Nobody waits for this: where it fails, the server waits for as long as it likes. `teller` is given
/// back when it is done.
pub(crate) fn answer_server(rules: &Rules, permit: Permit, teller: OwnedSemaphorePermit) {
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
            upload: None,
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
        drop(teller);
    });
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
