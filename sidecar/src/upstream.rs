//! The way to the tool server. Nothing gets there without a permit.

mod connect;
mod head;
mod passage;
mod target;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use head::Head;
use hyper::{
    HeaderMap, Method, Response, Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::{Body, Permit},
    filter::Filter,
    survey::Ask,
    wire::Refusal,
};

pub use connect::Trusted;
pub use passage::Turned;
pub use target::{Target, TargetError};

use crate::{
    arriving::Arriving,
    config::UpstreamConfig,
    http1::{self, Connection, Fault, Home},
    upload::Upload,
};

/// The connections of one worker to tool servers.
#[derive(Debug)]
pub struct Upstream {
    idle: Mutex<Vec<Idle>>,
    most_idle: usize,
    connect_timeout: Duration,
    trusted: Arc<Trusted>,
}

#[derive(Debug)]
struct Idle {
    address: Arc<str>,
    connection: Connection,
}

/// A request that may go upstream.
#[derive(Debug)]
pub struct Outbound<'a> {
    /// Its method.
    pub method: Method,
    /// Its target, as the caller sent it.
    pub uri: &'a Uri,
    /// The caller's headers.
    pub headers: HeaderMap,
    /// The caller's body.
    pub body: Bytes,
    /// The caller's body in place of that, where it goes as it comes.
    pub upload: Option<Box<Upload>>,
    /// The id that the audit event carries.
    pub request_id: &'a str,
    /// The W3C trace context of this hop.
    pub traceparent: &'a str,
}

/// The head of an answer, its body to come, and what must happen to it.
#[derive(Debug)]
pub struct Inflow {
    /// The answer.
    pub response: Response<Arriving>,
    /// What the caller must not see of it.
    pub filter: Option<Filter>,
    /// The headers of the request that is answered.
    pub asked: HeaderMap,
    /// How long the head took.
    pub waited: Duration,
}

impl Target {
    /// Writes the head of a request; `None` when it asks for nothing that has a path.
    fn write_head(
        &self,
        outbound: &Outbound<'_>,
        plain: bool,
        length: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.extend_from_slice(outbound.method.as_str().as_bytes());
        out.push(b' ');
        self.write_path(outbound.uri, out)?;
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let head = Head {
            method: &outbound.method,
            host: &self.host,
            request_id: outbound.request_id,
            traceparent: outbound.traceparent,
            plain,
            length,
            upgrade: false,
        };
        head.write(&outbound.headers, out);
        Some(())
    }
}

impl Upstream {
    /// No connections yet.
    #[must_use]
    pub fn new(config: &UpstreamConfig, trusted: Arc<Trusted>) -> Self {
        Self {
            trusted,
            idle: Mutex::default(),
            most_idle: config.max_idle,
            connect_timeout: config.connect_timeout.0,
        }
    }

    /// Sends one request, once. Consumes the permit: a second sending needs a second decision.
    pub async fn send(
        self: &Arc<Self>,
        target: &Target,
        permit: Permit,
        mut outbound: Outbound<'_>,
    ) -> Result<Inflow, Refusal> {
        let started = Instant::now();
        let filter = permit.filter();
        if let Some(upload) = outbound.upload.take() {
            let streamed = Box::pin(self.stream(target, &permit, &outbound, upload)).await;
            return streamed
                .map(|response| Inflow {
                    response,
                    filter,
                    asked: outbound.headers,
                    waited: started.elapsed(),
                })
                .map_err(|reason| permit.refusal(reason));
        }
        let body = match permit.body() {
            Body::Original => outbound.body.clone(),
            Body::Rewritten(bytes) => Bytes::copy_from_slice(bytes),
        };
        // What is compressed cannot be filtered.
        let exchange = self.exchange(target, &outbound, &body, filter.is_some());
        let answer = match tokio::time::timeout(target.timeout, exchange).await {
            Err(_) => Err(Reason::UpstreamTimeout),
            Ok(answer) => answer,
        };
        match answer {
            Err(reason) => Err(permit.refusal(reason)),
            Ok(response) => Ok(Inflow {
                response,
                filter,
                asked: outbound.headers,
                waited: started.elapsed(),
            }),
        }
    }

    /// Asks something on the sidecar's own behalf: only a survey says what, and it carries nothing of
    /// any caller.
    pub async fn ask(
        self: &Arc<Self>,
        target: &Target,
        ask: &Ask,
    ) -> Result<Response<Arriving>, Reason> {
        let mut headers = HeaderMap::new();
        if !ask.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|_| Reason::Internal)?;
            headers.insert(*name, value);
        }
        let outbound = Outbound {
            method: ask.method.parse().map_err(|_| Reason::Internal)?,
            uri: &Uri::default(),
            headers,
            body: Bytes::copy_from_slice(ask.body.as_bytes()),
            upload: None,
            request_id: "",
            traceparent: "",
        };
        let exchange = self.exchange(target, &outbound, &outbound.body, true);
        let answer = tokio::time::timeout(target.timeout, exchange).await;
        answer.map_err(|_| Reason::UpstreamTimeout)?
    }

    /// Uses an idle connection, or a new one. Only a request that no byte of was written is tried
    /// again.
    async fn exchange(
        self: &Arc<Self>,
        target: &Target,
        outbound: &Outbound<'_>,
        body: &Bytes,
        plain: bool,
    ) -> Result<Response<Arriving>, Reason> {
        // Connections that were made by other authorities are not used again.
        let address = &self.trusted.label(&target.label);
        loop {
            let idle = self.take(address);
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Box::pin(self.connect(target)).await?,
            };
            target
                .write_head(outbound, plain, Some(body.len() as u64), connection.head())
                .ok_or(Reason::Internal)?;
            let bodiless = outbound.method == Method::HEAD;
            match connection.exchange(body.clone(), bodiless).await {
                Ok(answered) => {
                    let home: Arc<dyn Home> = Arc::clone(self) as _;
                    let (parts, body) =
                        http1::Body::new(connection, answered, home, Arc::clone(address), None);
                    return Ok(Response::from_parts(parts, Arriving::Http(body)));
                }
                Err(Fault::Unsent(_)) if !is_new => {}
                Err(error) => {
                    tracing::warn!(
                        target: "upstream", %error, %address, "the tool server broke off"
                    );
                    return Err(Reason::UpstreamUnavailable);
                }
            }
        }
    }

    async fn connect(&self, target: &Target) -> Result<Connection, Reason> {
        let server = &*target.label;
        let refused = |error: &dyn fmt::Display| {
            tracing::warn!(target: "upstream", %error, server, "cannot reach the tool server");
            Reason::UpstreamUnavailable
        };
        let connecting = connect::connect(&target.place, &self.trusted);
        let channel = tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|error| refused(&error))?
            .map_err(|error| refused(&error))?;
        Ok(Connection::new(channel))
    }

    fn take(&self, address: &str) -> Option<Connection> {
        let mut idle = self.lock();
        while let Some(at) = idle.iter().rposition(|idle| *idle.address == *address) {
            let mut found = idle.remove(at).connection;
            if found.is_idle() {
                return Some(found);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Upstream {
    fn take_back(&self, address: &Arc<str>, connection: Connection) {
        let mut idle = self.lock();
        // One that the server has closed is not noticed until it is looked at: each time the one
        // is that was unused for longest.
        if idle
            .first_mut()
            .is_some_and(|first| !first.connection.is_idle())
        {
            idle.remove(0);
        }
        if idle.len() < self.most_idle {
            idle.push(Idle {
                address: Arc::clone(address),
                connection,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use latchkey_engine::index::Transport;

    use super::*;

    fn target(url: &str) -> Result<Target, TargetError> {
        Target::new(url, Transport::Mcp, Duration::from_secs(1))
    }

    fn line(target: &Target, asked: &str) -> String {
        let mut out = Vec::new();
        let outbound = Outbound {
            method: Method::POST,
            uri: &asked.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            upload: None,
            request_id: "",
            traceparent: "",
        };
        target
            .write_head(&outbound, false, Some(0), &mut out)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_path_is_the_urls() {
        for (url, path) in [
            ("http://h:1/mcp", "/mcp"),
            ("https://h", "/"),
            ("unix:/x.sock:/mcp", "/mcp"),
        ] {
            let line = line(&target(url).unwrap(), "/");
            assert_eq!(line, format!("POST {path} HTTP/1.1"));
        }
    }

    #[test]
    fn a_route_keeps_its_path_and_query_behind_the_upstreams() {
        let target =
            Target::new("http://h:1/base/", Transport::Http, Duration::from_secs(1)).unwrap();
        assert_eq!(line(&target, "/v1/x?a=1"), "POST /base/v1/x?a=1 HTTP/1.1");
    }
}
