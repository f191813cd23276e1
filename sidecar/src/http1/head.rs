//! The head of an answer.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use hyper::{
    HeaderMap, Response, StatusCode, Version,
    header::{HeaderName, HeaderValue},
    http::response::Parts,
};

use super::{Fault, chunks::Chunks, framing::Framing};

/// The most headers of an answer.
const MOST_HEADERS: usize = 200;

/// A head that was read.
#[derive(Debug)]
pub(super) struct Head {
    /// Without the headers that end at this hop.
    pub(super) parts: Parts,
    pub(super) framing: Framing,
    /// Whether the server keeps the connection.
    pub(super) lasting: bool,
}

/// Takes the head of an answer off the front of what was read, once all of it is there.
pub(super) fn parse(read: &mut BytesMut) -> Result<Option<Head>, Fault> {
    if read.is_empty() {
        return Ok(None);
    }
    let mut space = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, read, &mut space);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::Unreadable("its head is not HTTP/1.1")),
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Fault::Unreadable("an unknown status"))?;
    let is_new = response.version == Some(1);
    // Where each value stands: the bytes are shared once they are taken off.
    let start = read.as_ptr() as usize;
    let mut lines = Lines::new(is_new, response.headers.len());
    let mut values = Vec::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        if let Some(name) = lines.note(header.name, header.value)? {
            let at = header.value.as_ptr() as usize - start;
            values.push((name, at..at + header.value.len()));
        }
    }
    let bytes = read.split_to(length).freeze();
    for (name, at) in values {
        let value = HeaderValue::from_maybe_shared(bytes.slice(at));
        let value = value.map_err(|_| Fault::Unreadable("a header that is none"))?;
        lines.headers.append(name, value);
    }
    let (framing, lasting) = (lines.framing()?, lines.lasting);
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = Version::HTTP_11;
    parts.headers = lines.headers;
    Ok(Some(Head {
        parts,
        framing,
        lasting,
    }))
}

/// What the headers of an answer say of this hop, and those that say something else.
struct Lines {
    headers: HeaderMap,
    lasting: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Lines {
    fn new(is_new: bool, count: usize) -> Self {
        Self {
            headers: HeaderMap::with_capacity(count),
            lasting: is_new,
            length: None,
            chunked: false,
        }
    }

    /// Notes one header; answers its name when it is passed on.
    fn note(&mut self, name: &str, value: &[u8]) -> Result<Option<HeaderName>, Fault> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Fault::Unreadable("a header that is none"))?;
        match name.as_str() {
            "connection" => {
                let mut words = value.split(|byte| *byte == b',');
                if words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close")) {
                    self.lasting = false;
                }
                Ok(None)
            }
            "transfer-encoding" => {
                if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Unreadable("a transfer coding other than chunked"));
                }
                self.chunked = true;
                Ok(None)
            }
            "content-length" => {
                let length = length(value).ok_or(Fault::Unreadable("a length that is none"))?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(Fault::Unreadable("two lengths"));
                }
                let first = self.length.replace(length).is_none();
                Ok(first.then_some(name))
            }
            "keep-alive" | "proxy-authenticate" | "proxy-connection" | "te" | "trailer"
            | "upgrade" => Ok(None),
            _ => Ok(Some(name)),
        }
    }

    fn framing(&self) -> Result<Framing, Fault> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Fault::Unreadable("a length beside chunks")),
            (true, None) => Ok(Framing::Chunked(Chunks::default())),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::Close),
        }
    }
}

/// Digits only: a sign, a list or a space is read differently by different readers.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}
