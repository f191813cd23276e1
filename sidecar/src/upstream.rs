//! The way to the tool server. Nothing gets there without a permit.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use latchkey_engine::{index::Transport, reason::Reason};
use latchkey_gate::{
    admit::{Body, Permit},
    filter::Filter,
    survey::Ask,
    wire::Refusal,
};
use tokio::net::TcpStream;

use crate::{arriving::Arriving, config::UpstreamConfig};

type Sender = SendRequest<Full<Bytes>>;

/// Where a server is, as its bundle says.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`, to connect to.
    address: Arc<str>,
    /// The `Host` header.
    host: HeaderValue,
    path: Path,
    /// How long the server may take until its answer begins.
    timeout: Duration,
}

/// What is asked of a server.
#[derive(Debug, Clone)]
enum Path {
    /// The path of the URL, for MCP.
    One(Uri),
    /// What stands before each route, for plain HTTP.
    Before(String),
}

/// Why an upstream URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetError(String);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TargetError {}

/// The connections of one worker to tool servers.
#[derive(Debug)]
pub struct Upstream {
    idle: Mutex<Vec<Idle>>,
    most_idle: usize,
    connect_timeout: Duration,
}

#[derive(Debug)]
struct Idle {
    address: Arc<str>,
    sender: Sender,
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
    /// The connection, given back when the body has ended.
    pub lease: Lease,
    /// What the caller must not see of it.
    pub filter: Option<Filter>,
    /// How long the head took.
    pub waited: Duration,
}

/// A connection in use.
#[derive(Debug)]
pub struct Lease {
    upstream: Arc<Upstream>,
    idle: Option<Idle>,
}

/// Headers that end at each hop, or that could change what the tool server takes the request for.
const STRIPPED: [HeaderName; 22] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-override-url"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Of an answer's headers, those that end at this hop.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Target {
    /// Reads the upstream URL of a server.
    pub fn new(url: &str, transport: Transport, timeout: Duration) -> Result<Self, TargetError> {
        let fault = |what: &str| TargetError(format!("upstream `{url}`: {what}"));
        let uri: Uri = url.parse().map_err(|_| fault("is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(fault("only http:// is spoken; TLS is not in this version"));
        }
        let authority = uri.authority().ok_or_else(|| fault("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(fault("must not hold a user name"));
        }
        let port = authority.port_u16().unwrap_or(80);
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| fault("is no URL"))?;
        let path = match transport {
            Transport::Mcp => {
                let one = Uri::builder().path_and_query(uri.path()).build();
                Path::One(one.map_err(|_| fault("is no URL"))?)
            }
            Transport::Http => Path::Before(uri.path().trim_end_matches('/').to_owned()),
        };
        Ok(Self {
            address: format!("{}:{port}", authority.host()).into(),
            host,
            path,
            timeout,
        })
    }

    fn uri(&self, inbound: &Uri) -> Option<Uri> {
        match &self.path {
            Path::One(uri) => Some(uri.clone()),
            Path::Before(before) => {
                let text = [before, inbound.path_and_query()?.as_str()].concat();
                Uri::builder().path_and_query(text).build().ok()
            }
        }
    }
}

impl Upstream {
    /// No connections yet.
    #[must_use]
    pub fn new(config: &UpstreamConfig) -> Self {
        Self {
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
        outbound: Outbound<'_>,
    ) -> Result<Inflow, Refusal> {
        let Some(request) = request(target, &permit, outbound) else {
            return Err(permit.refusal(Reason::Internal));
        };
        let started = Instant::now();
        let filter = permit.filter();
        let exchange = self.exchange(&target.address, request);
        let answer = match tokio::time::timeout(target.timeout, exchange).await {
            Err(_) => Err(Reason::UpstreamTimeout),
            Ok(Err(reason)) => Err(reason),
            Ok(Ok(answer)) => Ok(answer),
        };
        match answer {
            Err(reason) => Err(permit.refusal(reason)),
            Ok((mut response, sender)) => {
                strip_answer(response.headers_mut());
                Ok(Inflow {
                    response: response.map(Arriving::Http),
                    lease: Lease {
                        upstream: Arc::clone(self),
                        idle: Some(Idle {
                            address: Arc::clone(&target.address),
                            sender,
                        }),
                    },
                    filter,
                    waited: started.elapsed(),
                })
            }
        }
    }

    /// Asks something on the sidecar's own behalf: only a survey says what, and it carries nothing of
    /// any caller.
    pub async fn ask(
        self: &Arc<Self>,
        target: &Target,
        ask: &Ask,
    ) -> Result<(Response<Arriving>, Lease), Reason> {
        let uri = target.uri(&Uri::default()).ok_or(Reason::Internal)?;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header(header::HOST, target.host.clone())
            .header(header::ACCEPT_ENCODING, "identity");
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(ask.body.as_bytes())));
        let request = request.map_err(|_| Reason::Internal)?;
        let exchange = self.exchange(&target.address, request);
        let answer = tokio::time::timeout(target.timeout, exchange).await;
        let (response, sender) = answer.map_err(|_| Reason::UpstreamTimeout)??;
        let lease = Lease {
            upstream: Arc::clone(self),
            idle: Some(Idle {
                address: Arc::clone(&target.address),
                sender,
            }),
        };
        Ok((response.map(Arriving::Http), lease))
    }

    /// Uses an idle connection, or a new one. Only a request that no byte of was written is tried
    /// again.
    async fn exchange(
        &self,
        address: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), Reason> {
        while let Some(mut sender) = self.take(address) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Reason::UpstreamUnavailable),
                },
            }
        }
        let mut sender = self.connect(address).await?;
        let response = sender.send_request(request).await.map_err(|error| {
            tracing::warn!(target: "upstream", %error, address, "the tool server broke off");
            Reason::UpstreamUnavailable
        })?;
        Ok((response, sender))
    }

    async fn connect(&self, address: &str) -> Result<Sender, Reason> {
        let refused = |error: &dyn fmt::Display| {
            tracing::warn!(target: "upstream", %error, address, "cannot reach the tool server");
            Reason::UpstreamUnavailable
        };
        let stream = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|error| refused(&error))?
            .map_err(|error| refused(&error))?;
        // A delayed segment costs 40 ms; a failure to say so costs nothing else.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_headers(200)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn take(&self, address: &str) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = idle.iter().rposition(|idle| *idle.address == *address) {
            let found = idle.remove(at);
            if !found.sender.is_closed() {
                return Some(found.sender);
            }
        }
        None
    }

    fn give_back(&self, connection: Idle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= self.most_idle {
            idle.retain(|idle| !idle.sender.is_closed());
        }
        if idle.len() < self.most_idle && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }
}

impl Lease {
    /// Of an answer that holds no connection.
    #[must_use]
    pub fn none(upstream: &Arc<Upstream>) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            idle: None,
        }
    }

    /// The answer has ended: the connection may serve another. Dropping a lease without this
    /// closes the connection, which cancels the call.
    pub fn end(&mut self) {
        if let Some(idle) = self.idle.take() {
            self.upstream.give_back(idle);
        }
    }
}

fn request(
    target: &Target,
    permit: &Permit,
    outbound: Outbound<'_>,
) -> Option<Request<Full<Bytes>>> {
    let mut headers = outbound.headers;
    strip(&mut headers);
    headers.insert(header::HOST, target.host.clone());
    headers.insert(REQUEST_ID, HeaderValue::from_str(outbound.request_id).ok()?);
    headers.insert(
        TRACEPARENT,
        HeaderValue::from_str(outbound.traceparent).ok()?,
    );
    if permit.filter().is_some() {
        // What is compressed cannot be filtered.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    let body = match permit.body() {
        Body::Original => outbound.body,
        Body::Rewritten(bytes) => Bytes::copy_from_slice(bytes),
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = outbound.method;
    *request.uri_mut() = target.uri(outbound.uri)?;
    *request.headers_mut() = headers;
    Some(request)
}

fn strip(headers: &mut HeaderMap) {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok());
    // Looking at the few that are there costs less than looking for the many that are not.
    let present = headers.keys().filter(|name| misleads(name));
    let stripped: Vec<HeaderName> = named.chain(present.cloned()).collect();
    for name in &stripped {
        headers.remove(name);
    }
}

/// Servers that read `_` as `-` (CGI, WSGI) would take such a name for one that was checked, and
/// what a proxy vouches for is not the caller's to say.
fn misleads(name: &HeaderName) -> bool {
    let text = name.as_str();
    STRIPPED.contains(name) || text.contains('_') || text.starts_with("x-forwarded-")
}

fn strip_answer(headers: &mut HeaderMap) {
    let present = headers.keys().filter(|name| HOP_BY_HOP.contains(name));
    let stripped: Vec<HeaderName> = present.cloned().collect();
    for name in &stripped {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, TargetError> {
        Target::new(url, Transport::Mcp, Duration::from_secs(1))
    }

    #[test]
    fn reads_upstream_urls() {
        let read = target("http://127.0.0.1:9000/mcp").unwrap();
        assert_eq!(&*read.address, "127.0.0.1:9000");
        assert_eq!(read.uri(&Uri::default()).unwrap(), "/mcp");
        assert_eq!(&*target("http://tools/mcp").unwrap().address, "tools:80");
        for bad in ["https://x/", "x", "/mcp", "http://u:p@x/", ""] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_keeps_its_path_and_query_behind_the_upstreams() {
        let target =
            Target::new("http://h:1/base/", Transport::Http, Duration::from_secs(1)).unwrap();
        let uri = target.uri(&"/v1/x?a=1".parse().unwrap()).unwrap();
        assert_eq!(uri.to_string(), "/base/v1/x?a=1");
    }

    #[test]
    fn strips_what_belongs_to_the_hop_or_could_mislead() {
        let mut headers: HeaderMap = [
            ("authorization", "Bearer x"),
            ("cookie", "s=1"),
            ("connection", "close, x-secret-hop"),
            ("x-secret-hop", "1"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x_http_method_override", "DELETE"),
            ("mcp_name", "delete_repository"),
            ("x-forwarded-user", "root"),
            ("x-forwarded-prefix", "/admin"),
            ("x-real-ip", "10.0.0.1"),
            ("mcp-session-id", "kept"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        strip(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["mcp-session-id"]);
    }
}
