//! The head of a request to a tool server, written in one pass over the caller's headers.

use hyper::{
    HeaderMap, Method,
    header::{self, HeaderName},
};

/// What a head says beside what the caller said.
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) host: &'a str,
    /// Empty where the sidecar asks on its own behalf, as is the trace context.
    pub(super) request_id: &'a str,
    pub(super) traceparent: &'a str,
    /// Whether the answer is to be read here: what is compressed cannot be.
    pub(super) plain: bool,
    /// How long the body is; `None` goes in chunks.
    pub(super) length: Option<u64>,
    /// Whether it asks to become a WebSocket.
    pub(super) upgrade: bool,
}

impl Head<'_> {
    /// Writes all but the request line, which must stand there already.
    pub(super) fn write(&self, headers: &HeaderMap, out: &mut Vec<u8>) {
        line(out, "host", self.host.as_bytes());
        let dropped = named(headers);
        for (name, value) in headers {
            let own = match name.as_str() {
                "x-request-id" | "traceparent" => true,
                "accept-encoding" => self.plain,
                _ => false,
            };
            if !own && !misleads(name) && !dropped.contains(name) {
                line(out, name.as_str(), value.as_bytes());
            }
        }
        if !self.request_id.is_empty() {
            line(out, "x-request-id", self.request_id.as_bytes());
            line(out, "traceparent", self.traceparent.as_bytes());
        }
        if self.plain {
            line(out, "accept-encoding", b"identity");
        }
        let may_have_body = [Method::POST, Method::PUT, Method::PATCH].contains(self.method);
        match self.length {
            None => line(out, "transfer-encoding", b"chunked"),
            Some(length) if length > 0 || may_have_body => {
                line(out, "content-length", length.to_string().as_bytes());
            }
            Some(_) => {}
        }
        if self.upgrade {
            line(out, "connection", b"upgrade");
            line(out, "upgrade", b"websocket");
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The headers that the caller's `Connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// Whether a header ends at this hop, or could change what the tool server takes the request for.
/// `baggage` may hold anything of anybody, and tells the server nothing that was checked.
/// Servers that read `_` as `-` (CGI, WSGI) would take such a name for one that was checked, and
/// what a proxy vouches for is not the caller's to say.
fn misleads(name: &HeaderName) -> bool {
    let text = name.as_str();
    match text {
        "authorization"
        | "baggage"
        | "connection"
        | "content-length"
        | "cookie"
        | "dpop"
        | "expect"
        | "forwarded"
        | "host"
        | "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade"
        | "x-http-method"
        | "x-http-method-override"
        | "x-method-override"
        | "x-original-url"
        | "x-override-url"
        | "x-real-ip"
        | "x-rewrite-url" => true,
        _ => text.starts_with("x-forwarded-") || text.as_bytes().contains(&b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(method: &Method, headers: &[(&str, &str)], plain: bool, length: u64) -> String {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| -> (HeaderName, header::HeaderValue) {
                (name.parse().unwrap(), value.parse().unwrap())
            })
            .collect();
        let head = Head {
            method,
            host: "tools:9000",
            request_id: "7",
            traceparent: "00-1-2-01",
            plain,
            length: Some(length),
            upgrade: false,
        };
        let mut out = Vec::new();
        head.write(&headers, &mut out);
        String::from_utf8(out).unwrap()
    }

    const OWN: &str = "x-request-id: 7\r\ntraceparent: 00-1-2-01\r\n";

    #[test]
    fn strips_what_belongs_to_the_hop_or_could_mislead() {
        let headers = [
            ("authorization", "Bearer x"),
            ("cookie", "s=1"),
            ("dpop", "a.b.c"),
            ("baggage", "user=root"),
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
            ("host", "evil.example"),
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("x-request-id", "8"),
            ("traceparent", "00-3-4-01"),
            ("mcp-session-id", "kept"),
        ];
        assert_eq!(
            written(&Method::POST, &headers, false, 12),
            format!("host: tools:9000\r\nmcp-session-id: kept\r\n{OWN}content-length: 12\r\n\r\n")
        );
    }

    #[test]
    fn asks_for_plain_answers_where_they_are_read() {
        let headers = [("accept-encoding", "gzip")];
        let kept = format!("host: tools:9000\r\naccept-encoding: gzip\r\n{OWN}\r\n");
        assert_eq!(written(&Method::GET, &headers, false, 0), kept);
        let plain = format!("host: tools:9000\r\n{OWN}accept-encoding: identity\r\n\r\n");
        assert_eq!(written(&Method::GET, &headers, true, 0), plain);
    }
}
