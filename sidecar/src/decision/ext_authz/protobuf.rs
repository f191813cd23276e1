//! The part of Envoy's `CheckRequest` and `CheckResponse` that decisions need.
//!
//! Protocol Buffers have one wire form for all versions of a message, and of these two only a
//! handful of fields matter here, so they are read and written by hand.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use latchkey_gate::wire::Response;

use super::Asked;

/// `google.rpc.Code` of a refusal.
const PERMISSION_DENIED: u64 = 7;

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, which nothing here reads.
    Fixed,
}

/// The fields of a message, in order; `None` in the end where it is broken.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next field and its number; `Some(None)` at the end.
    #[expect(clippy::option_option, reason = "broken, at its end, one more")]
    fn next(&mut self) -> Option<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        Some(Some((tag >> 3, field)))
    }
}

/// Calls `see` with every field of a message that is bytes; `None` where it is broken.
fn each<'a>(message: &'a [u8], mut see: impl FnMut(u64, &'a [u8]) -> Option<()>) -> Option<()> {
    let mut fields = Fields { rest: message };
    while let Some((number, field)) = fields.next()? {
        match field {
            Field::Bytes(bytes) => see(number, bytes)?,
            Field::Number(value) => _ = value,
            Field::Fixed => {}
        }
    }
    Some(())
}

/// The only field of a message with this number, where there is one; the last, by the rules of
/// Protocol Buffers.
fn one(message: &[u8], wanted: u64) -> Option<&[u8]> {
    let mut found = None;
    each(message, |number, bytes| {
        if number == wanted {
            found = Some(bytes);
        }
        Some(())
    })?;
    found
}

/// Reads a `CheckRequest`: `attributes.request.http`, and the address of `attributes.source`.
pub(super) fn read(message: &[u8]) -> Option<Asked> {
    let attributes = one(message, 1)?;
    let http = one(one(attributes, 4)?, 2)?;
    let mut asked = Asked {
        peer: peer(attributes),
        ..Asked::default()
    };
    let (mut plain, mut raw) = (HeaderMap::new(), None);
    let (mut text_body, mut raw_body) = (None, None);
    each(http, |number, bytes| {
        match number {
            2 => text(bytes)?.clone_into(&mut asked.method),
            3 => header(
                &mut plain,
                one(bytes, 1)?,
                one(bytes, 2).unwrap_or_default(),
            )?,
            4 => text(bytes)?.clone_into(&mut asked.target),
            5 => host(&mut plain, bytes)?,
            11 => text_body = Some(bytes),
            12 => raw_body = Some(bytes),
            13 => raw = Some(bytes),
            _ => {}
        }
        Some(())
    })?;
    if let Some(raw) = raw {
        let mut headers = HeaderMap::new();
        each(raw, |number, bytes| match number {
            1 => {
                let value = one(bytes, 3).or_else(|| one(bytes, 2));
                header(&mut headers, one(bytes, 1)?, value.unwrap_or_default())
            }
            _ => Some(()),
        })?;
        asked.headers = headers;
    } else {
        asked.headers = plain;
    }
    let both =
        text_body.is_some_and(|it| !it.is_empty()) && raw_body.is_some_and(|it| !it.is_empty());
    if both {
        return None;
    }
    let body = raw_body.filter(|it| !it.is_empty()).or(text_body);
    asked.body = Bytes::copy_from_slice(body.unwrap_or_default());
    Some(asked)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Adds a header; those that HTTP/2 spells with a colon stand elsewhere in the message.
fn header(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    if name.first() == Some(&b':') {
        return Some(());
    }
    let name = HeaderName::from_bytes(name).ok()?;
    headers.append(name, HeaderValue::from_bytes(value).ok()?);
    Some(())
}

fn host(headers: &mut HeaderMap, value: &[u8]) -> Option<()> {
    headers.insert(hyper::header::HOST, HeaderValue::from_bytes(value).ok()?);
    Some(())
}

/// `source.address.socket_address.address`.
fn peer(attributes: &[u8]) -> Option<std::net::IpAddr> {
    let address = one(one(one(attributes, 1)?, 1)?, 1)?;
    super::super::address(text(one(address, 2)?)?)
}

/// A `CheckResponse`. An allow takes the caller's token out of what goes on: it is not for the
/// server.
pub(super) fn write(refusal: Option<&Response>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut status = Vec::new();
    let mut http = Vec::new();
    let (code, which) = match refusal {
        None => {
            put(&mut http, 5, b"authorization");
            put(&mut http, 5, b"dpop");
            (0, 3)
        }
        Some(refusal) => {
            let mut number = Vec::new();
            put_number(&mut number, 1, u64::from(refusal.status));
            put(&mut http, 1, &number);
            for (name, value) in &refusal.headers {
                let mut pair = Vec::new();
                put(&mut pair, 1, name.as_bytes());
                put(&mut pair, 2, value.as_bytes());
                let mut option = Vec::new();
                put(&mut option, 1, &pair);
                put(&mut http, 2, &option);
            }
            put(&mut http, 3, &refusal.body);
            (PERMISSION_DENIED, 2)
        }
    };
    put_number(&mut status, 1, code);
    put(&mut out, 1, &status);
    put(&mut out, which, &http);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

fn put(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (field, bytes) in fields {
            put(&mut out, *field, bytes);
        }
        out
    }

    fn request(http: &[u8]) -> Vec<u8> {
        let socket = message(&[(2, b"10.1.2.3")]);
        let peer = message(&[(1, &message(&[(1, &socket)]))]);
        let request = message(&[(2, http)]);
        message(&[(1, &message(&[(1, &peer), (4, &request)]))])
    }

    #[test]
    fn a_request_is_read() {
        let header = message(&[(1, b"x-a"), (2, b"1")]);
        let pseudo = message(&[(1, b":path"), (2, b"/evil")]);
        let http = message(&[
            (2, b"POST"),
            (3, &header),
            (3, &pseudo),
            (4, b"/mcp?x=1"),
            (5, b"localhost"),
            (11, b"{}"),
            (99, b"of a newer version"),
        ]);
        let asked = read(&request(&http)).unwrap();
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.target, "/mcp?x=1");
        assert_eq!(asked.headers.len(), 2);
        assert_eq!(&asked.body[..], b"{}");
        assert_eq!(asked.peer.unwrap().to_string(), "10.1.2.3");
    }

    #[test]
    fn what_is_broken_is_no_request() {
        let whole = request(&message(&[(2, b"POST"), (4, b"/"), (11, b"{}")]));
        for end in 0..whole.len() {
            // A message that ends early may still be one, but never one with another content.
            if let Some(asked) = read(&whole[..end]) {
                assert!(asked.method.is_empty() || asked.method == "POST");
            }
        }
        let both = message(&[(2, b"POST"), (11, b"{}"), (12, b"[]")]);
        assert!(read(&request(&both)).is_none());
        assert!(read(&[0xff; 12]).is_none());
        assert!(read(b"").is_none());
    }

    #[test]
    fn numbers_are_bounded() {
        let mut fields = Fields {
            rest: &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
        };
        assert_eq!(fields.number(), None);
        let mut fields = Fields { rest: &[0xac, 2] };
        assert_eq!(fields.number(), Some(300));
    }
}
