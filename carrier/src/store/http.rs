//! A web server: conditional requests, long polls, puts.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, Request, Response, StatusCode, Url};
use tokio::time::{Instant, sleep_until};

use super::lock;
use super::transfer::{Transfer, unexpected};
use crate::carrier::Options;
use crate::error::{CarrierError, Kind};
use crate::names;

/// Largest file that is kept to be answered again when the server says "not modified".
const LARGEST_KEPT: usize = 256 << 10;
/// The longest that a server is asked to hold a request.
const LONGEST_HOLD: Duration = Duration::from_mins(5);

/// Files on a web server.
#[derive(Debug)]
pub(crate) struct Http {
    base: Url,
    transfer: Transfer,
    kept: Mutex<HashMap<String, Kept>>,
    seen: Mutex<Option<Seen>>,
}

/// A file with the tag that the server gave it.
#[derive(Clone, Debug)]
struct Kept {
    tag: HeaderValue,
    bytes: Vec<u8>,
}

/// The file whose change is waited for, as it was last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: &'static str,
    bytes: Option<Vec<u8>>,
}

impl Http {
    /// A server that may not be there yet.
    pub(crate) fn new(base: &Url, options: &Options) -> Result<Self, CarrierError> {
        Ok(Self {
            transfer: Transfer::new(base, options)?,
            base: base.clone(),
            kept: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// The bytes under a name.
    pub(crate) async fn get(
        &self,
        name: &str,
        largest: u64,
    ) -> Result<Option<Vec<u8>>, CarrierError> {
        self.fetch(name, largest, None).await
    }

    /// Whether the pointer, or the statement where there is none, has changed.
    pub(crate) async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        let until = Instant::now() + wait.unwrap_or_default();
        // Only the last request of a poll may be held; which one that is shows the last poll.
        let without_pointer = lock(&self.seen)
            .as_ref()
            .is_some_and(|seen| seen.name == names::RELEASE);
        let hold = wait.filter(|_| !without_pointer);
        let pointer = self
            .fetch(names::POINTER, names::LARGEST_POINTER, hold)
            .await?;
        let now = if pointer.is_some() {
            Seen {
                name: names::POINTER,
                bytes: pointer,
            }
        } else {
            let hold = wait.filter(|_| without_pointer);
            Seen {
                name: names::RELEASE,
                bytes: self
                    .fetch(names::RELEASE, names::LARGEST_ENVELOPE, hold)
                    .await?,
            }
        };
        let changed = lock(&self.seen).replace(now.clone()) != Some(now);
        if !changed {
            // A server that holds no request has answered long ago.
            sleep_until(until).await;
        }
        Ok(changed)
    }

    /// Whether bytes, of this size where one is given, are under a name.
    pub(crate) async fn has(&self, name: &str, size: Option<u64>) -> Result<bool, CarrierError> {
        let url = self.url(name)?;
        let request = self.transfer.request(Method::HEAD, url.clone())?;
        let response = self.transfer.send(request, Duration::ZERO).await?;
        match response.status() {
            StatusCode::OK => Ok(size.is_none() || length(&response) == size),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => Err(unexpected(&url, &response)),
        }
    }

    /// Puts bytes under a name.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        let url = self.url(name)?;
        let status = self.put_once(&url, bytes).await?;
        let status = match (status, name.split_once('/')) {
            // WebDAV wants the folder made first; nginx says so with a 500.
            (
                StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR,
                Some((folder, _)),
            ) => {
                self.make_folder(folder).await?;
                self.put_once(&url, bytes).await?
            }
            (status, _) => status,
        };
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            status => Err(CarrierError::new(
                Kind::Answer,
                url,
                format!("answers PUT with {status}; is this a server that files can be put to?"),
            )),
        }
    }

    async fn put_once(&self, url: &Url, bytes: &[u8]) -> Result<StatusCode, CarrierError> {
        let mut request = self.transfer.request(Method::PUT, url.clone())?;
        *request.body_mut() = Some(bytes.to_vec().into());
        let response = self.transfer.send(request, self.transfer.timeout()).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(unexpected(url, &response)),
            status => Ok(status),
        }
    }

    async fn make_folder(&self, folder: &str) -> Result<(), CarrierError> {
        let url = self.url(&format!("{folder}/"))?;
        let Ok(method) = Method::from_bytes(b"MKCOL") else {
            return Ok(());
        };
        let request = self.transfer.request(method, url)?;
        // Whether it worked shows when the file is put.
        self.transfer
            .send(request, Duration::ZERO)
            .await
            .map(|_| ())
    }

    async fn fetch(
        &self,
        name: &str,
        largest: u64,
        hold: Option<Duration>,
    ) -> Result<Option<Vec<u8>>, CarrierError> {
        let url = self.url(name)?;
        let kept = lock(&self.kept).get(name).cloned();
        let kept = kept.filter(|kept| kept.bytes.len() as u64 <= largest);
        let mut request = self.transfer.request(Method::GET, url.clone())?;
        if let Some(kept) = &kept {
            request
                .headers_mut()
                .insert(IF_NONE_MATCH, kept.tag.clone());
        }
        // Nothing can be held against a tag that the server has never given.
        let hold = hold.filter(|_| kept.is_some()).unwrap_or_default();
        let hold = hold.min(LONGEST_HOLD);
        ask_to_hold(&mut request, hold);
        let response = self.transfer.send(request, hold).await?;
        match (response.status(), kept) {
            (StatusCode::OK, _) => {
                let tag = response.headers().get(ETAG).cloned();
                let bytes = self.transfer.body(response, largest).await?;
                self.keep(name, tag, &bytes);
                Ok(Some(bytes))
            }
            (StatusCode::NOT_MODIFIED, Some(kept)) => Ok(Some(kept.bytes)),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                lock(&self.kept).remove(name);
                Ok(None)
            }
            _ => Err(unexpected(&url, &response)),
        }
    }

    fn keep(&self, name: &str, tag: Option<HeaderValue>, bytes: &[u8]) {
        let mut kept = lock(&self.kept);
        match tag.filter(|_| names::is_mutable(name) && bytes.len() <= LARGEST_KEPT) {
            Some(tag) => {
                let bytes = bytes.to_vec();
                kept.insert(name.to_owned(), Kept { tag, bytes });
            }
            None => {
                kept.remove(name);
            }
        }
    }

    fn url(&self, name: &str) -> Result<Url, CarrierError> {
        let joined = self.base.join(name);
        joined.map_err(|error| CarrierError::new(Kind::Unusable, &self.base, error))
    }
}

/// `Prefer: wait` (RFC 7240), in whole seconds.
fn ask_to_hold(request: &mut Request, hold: Duration) {
    if hold.as_secs() == 0 {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(&format!("wait={}", hold.as_secs())) {
        request.headers_mut().insert("prefer", value);
    }
}

fn length(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
