//! An OCI registry: one manifest, a layer for each name.
//!
//! A manifest is read by its digest, so that everything that is read belongs together until
//! [`Oci::changed`] says that there is another. A push uploads its blobs and then puts the one
//! manifest: a reader sees the release before or the one after.

mod login;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_gate::supply::{Digest, Statement};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, Request, Response, StatusCode, Url};
use tokio::time::{Instant, sleep_until};

use super::lock;
use super::transfer::{Transfer, unexpected};
use crate::carrier::Options;
use crate::error::{CarrierError, Kind};
use crate::location::Reference;
use crate::names;
use crate::peek::Peeked;
use login::{Access, Login};
use manifest::{Layer, MANIFEST, Manifest, media_type};

const CONTENT_DIGEST: &str = "docker-content-digest";

/// Files in one manifest of a registry.
#[derive(Debug)]
pub(crate) struct Oci {
    reference: Reference,
    base: Url,
    transfer: Transfer,
    /// Absent where the caller brings a token.
    login: Option<Login>,
    held: Mutex<Option<Arc<Manifest>>>,
    seen: Mutex<Option<Seen>>,
    /// The layers of the manifest that a push will put.
    laid: Mutex<BTreeMap<String, Layer>>,
}

/// The digest of the manifest when a change was asked for last, where there was one.
#[derive(Debug, PartialEq, Eq)]
struct Seen(Option<String>);

impl Oci {
    /// A registry that may not be there yet.
    pub(crate) fn new(reference: &Reference, options: &Options) -> Result<Self, CarrierError> {
        let scheme = if reference.plain_http {
            "http"
        } else {
            "https"
        };
        let (registry, repository) = (&reference.registry, &reference.repository);
        let base = Url::parse(&format!("{scheme}://{registry}/v2/{repository}/"));
        let base = base.map_err(|error| {
            CarrierError::new(
                Kind::Unusable,
                reference,
                format!("is no location: {error}"),
            )
        })?;
        Ok(Self {
            transfer: Transfer::new(&base, options)?,
            login: options
                .token
                .is_none()
                .then(|| Login::new(reference, &base, options)),
            base,
            reference: reference.clone(),
            held: Mutex::default(),
            seen: Mutex::default(),
            laid: Mutex::default(),
        })
    }

    /// The bytes under a name.
    pub(crate) async fn get(
        &self,
        name: &str,
        largest: u64,
    ) -> Result<Option<Vec<u8>>, CarrierError> {
        let Some(manifest) = self.manifest().await? else {
            return Ok(None);
        };
        let Some(layer) = manifest.layer(name) else {
            return Ok(None);
        };
        if layer.size > largest {
            let what = format!("{name} has {} bytes, and may have {largest}", layer.size);
            return Err(self.error(Kind::TooLarge, what));
        }
        let url = self.url(&format!("blobs/{}", layer.digest))?;
        let request = Request::new(Method::GET, url.clone());
        let response = self.send(request, Duration::ZERO, Access::Pull).await?;
        match response.status() {
            StatusCode::OK => {}
            // A registry that has cleaned up too eagerly.
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(&url, &response)),
        }
        let bytes = self.transfer.body(response, largest).await?;
        if oci_digest(&bytes) != layer.digest {
            let what = format!("{name} is not the blob that the manifest names; push it again");
            return Err(self.error(Kind::Damaged, what));
        }
        Ok(Some(bytes))
    }

    /// Whether the tag leads to another manifest.
    pub(crate) async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        let until = Instant::now() + wait.unwrap_or_default();
        let now = self.current().await?;
        let seen = Some(Seen(now.clone()));
        let changed = *lock(&self.seen) != seen;
        *lock(&self.seen) = seen;
        lock(&self.held).take_if(|held| Some(&held.digest) != now.as_ref());
        if !changed {
            sleep_until(until).await;
        }
        Ok(changed)
    }

    /// Whether the manifest has the name and, where a size is given, the registry the blob; what a
    /// push finds there, it keeps.
    pub(crate) async fn has(&self, name: &str, size: Option<u64>) -> Result<bool, CarrierError> {
        let manifest = self.manifest().await?;
        let layer = manifest
            .as_deref()
            .and_then(|manifest| manifest.layer(name));
        let layer = layer.filter(|layer| size.is_none_or(|size| layer.size == size));
        let Some(layer) = layer else {
            return Ok(false);
        };
        if size.is_some() && !self.holds(&layer.digest).await? {
            return Ok(false);
        }
        lock(&self.laid).insert(name.to_owned(), layer.clone());
        Ok(true)
    }

    /// Uploads a blob, to be listed under a name when the push ends.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        let layer = Layer {
            media_type: media_type(name).to_owned(),
            digest: oci_digest(bytes),
            size: bytes.len() as u64,
        };
        self.upload(&layer.digest, bytes).await?;
        lock(&self.laid).insert(name.to_owned(), layer);
        Ok(())
    }

    /// Puts the manifest with everything that was laid.
    pub(crate) async fn finish(
        &self,
        statement: &Statement,
        history: &[Peeked],
    ) -> Result<(), CarrierError> {
        if self.reference.digest.is_some() {
            let what = "a manifest named by its digest never changes; push to a tag";
            return Err(self.error(Kind::Unusable, what));
        }
        let mut layers = std::mem::take(&mut *lock(&self.laid));
        if let Some(before) = self.manifest().await? {
            keep(&before, history, &mut layers);
        }
        name_subjects(statement, &mut layers);
        let manifest = manifest::encode(&layers);
        if manifest.len() as u64 > names::LARGEST_ENVELOPE {
            let what = "the manifest is full of earlier releases; push to a new tag";
            return Err(self.error(Kind::TooLarge, what));
        }
        self.upload(&oci_digest(manifest::EMPTY), manifest::EMPTY)
            .await?;
        let url = self.url(&format!("manifests/{}", self.reference.tag))?;
        let response = self.send_body(url.clone(), MANIFEST, manifest).await?;
        *lock(&self.held) = None;
        match response.status() {
            StatusCode::CREATED | StatusCode::OK => Ok(()),
            _ => Err(unexpected(&url, &response)),
        }
    }

    /// The manifest that is read from, fetched by its digest.
    async fn manifest(&self) -> Result<Option<Arc<Manifest>>, CarrierError> {
        if let Some(held) = lock(&self.held).clone() {
            return Ok(Some(held));
        }
        let Some(digest) = self.current().await? else {
            return Ok(None);
        };
        let url = self.url(&format!("manifests/{digest}"))?;
        let response = self.ask(Method::GET, &url).await?;
        if response.status() != StatusCode::OK {
            return Err(unexpected(&url, &response));
        }
        let bytes = self
            .transfer
            .body(response, names::LARGEST_ENVELOPE)
            .await?;
        if oci_digest(&bytes) != digest {
            let what = "is not the manifest of that digest; is this a registry?";
            return Err(CarrierError::new(Kind::Damaged, url, what));
        }
        let manifest = Manifest::parse(&bytes, digest);
        let manifest = manifest.map_err(|what| self.error(Kind::Damaged, what))?;
        let manifest = Arc::new(manifest);
        *lock(&self.held) = Some(Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// The digest of the manifest that the tag leads to now.
    async fn current(&self) -> Result<Option<String>, CarrierError> {
        if let Some(digest) = &self.reference.digest {
            return Ok(Some(digest.clone()));
        }
        let url = self.url(&format!("manifests/{}", self.reference.tag))?;
        let response = self.ask(Method::HEAD, &url).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(unexpected(&url, &response)),
        }
        let digest = response.headers().get(CONTENT_DIGEST);
        if let Some(digest) = digest.and_then(|digest| digest.to_str().ok()) {
            if manifest::is_digest(digest) {
                return Ok(Some(digest.to_owned()));
            }
            let what = "names its manifest by something else than a SHA-256 digest";
            return Err(CarrierError::new(Kind::Answer, url, what));
        }
        // The header is optional; the manifest itself is not.
        let response = self.ask(Method::GET, &url).await?;
        if response.status() != StatusCode::OK {
            return Err(unexpected(&url, &response));
        }
        let bytes = self
            .transfer
            .body(response, names::LARGEST_ENVELOPE)
            .await?;
        Ok(Some(oci_digest(&bytes)))
    }

    async fn holds(&self, digest: &str) -> Result<bool, CarrierError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let request = Request::new(Method::HEAD, url.clone());
        let response = self.send(request, Duration::ZERO, Access::Push).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(unexpected(&url, &response)),
        }
    }

    async fn upload(&self, digest: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        if self.holds(digest).await? {
            return Ok(());
        }
        let start = self.url("blobs/uploads/")?;
        let request = Request::new(Method::POST, start.clone());
        let response = self.send(request, Duration::ZERO, Access::Push).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(unexpected(&start, &response));
        }
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| self.base.join(location).ok());
        let to = to.filter(|to| to.origin() == self.base.origin());
        let Some(mut to) = to else {
            let what = "takes uploads at another place, where it might send the credentials";
            return Err(CarrierError::new(Kind::Answer, start, what));
        };
        to.query_pairs_mut().append_pair("digest", digest);
        let kind = "application/octet-stream";
        let response = self.send_body(to, kind, bytes.to_vec()).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(unexpected(&start, &response)),
        }
    }

    async fn send_body(
        &self,
        url: Url,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Result<Response, CarrierError> {
        let mut request = Request::new(Method::PUT, url);
        let kind = HeaderValue::from_static(kind);
        request.headers_mut().insert(CONTENT_TYPE, kind);
        *request.body_mut() = Some(body.into());
        let grace = self.transfer.timeout();
        self.send(request, grace, Access::Push).await
    }

    async fn ask(&self, method: Method, url: &Url) -> Result<Response, CarrierError> {
        let mut request = Request::new(method, url.clone());
        let accepted = HeaderValue::from_static(MANIFEST);
        request.headers_mut().insert(ACCEPT, accepted);
        self.send(request, Duration::ZERO, Access::Pull).await
    }

    /// Sends a request, and again with credentials where the registry asks for some.
    async fn send(
        &self,
        mut request: Request,
        grace: Duration,
        access: Access,
    ) -> Result<Response, CarrierError> {
        let Some(login) = &self.login else {
            self.transfer.sign(&mut request)?;
            return self.transfer.send(request, grace).await;
        };
        login.sign(&mut request, access);
        let again = request.try_clone();
        let response = self.transfer.send(request, grace).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = challenges.iter().filter_map(|it| it.to_str().ok());
        let answered = login.answer(&self.transfer, challenges, access).await?;
        match again.filter(|_| answered) {
            Some(mut again) => {
                login.sign(&mut again, access);
                self.transfer.send(again, grace).await
            }
            None => Ok(response),
        }
    }

    fn url(&self, path: &str) -> Result<Url, CarrierError> {
        let joined = self.base.join(&format!("./{path}"));
        joined.map_err(|error| self.error(Kind::Unusable, error))
    }

    fn error(&self, kind: Kind, what: impl std::fmt::Display) -> CarrierError {
        CarrierError::new(kind, &self.reference, what)
    }
}

/// Keeps what readers may still want: every statement, the trust roots, a pointer that was not
/// replaced, and the files of the history.
fn keep(before: &Manifest, history: &[Peeked], layers: &mut BTreeMap<String, Layer>) {
    let subjects = history
        .iter()
        .flat_map(|release| &release.statement.subjects);
    let wanted: BTreeSet<String> = subjects
        .map(|subject| format!("sha256:{}", subject.sha256))
        .collect();
    for (name, layer) in &before.layers {
        let lasting = name.starts_with("releases/")
            || name == names::POINTER
            || names::trust_version(name).is_some();
        let hex = layer.digest.trim_start_matches("sha256:");
        let name = match (lasting, wanted.contains(&layer.digest)) {
            (true, _) => name.clone(),
            (false, true) => format!("files/{hex}"),
            (false, false) => continue,
        };
        layers.entry(name).or_insert_with(|| layer.clone());
    }
}

/// The subjects in force go by their names, so that any OCI client makes a release folder of them.
fn name_subjects(statement: &Statement, layers: &mut BTreeMap<String, Layer>) {
    let mut named = Vec::new();
    for subject in &statement.subjects {
        if let Some(layer) = layers.get(&names::file(&subject.sha256)) {
            let media_type = media_type(&subject.name).to_owned();
            let layer = Layer {
                media_type,
                ..layer.clone()
            };
            named.push((subject.name.clone(), layer));
        }
    }
    for subject in &statement.subjects {
        layers.remove(&names::file(&subject.sha256));
    }
    layers.extend(named);
}

fn oci_digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

#[cfg(test)]
mod tests;
