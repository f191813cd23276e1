//! A request as it came off the wire, before anything is believed.

use std::net::IpAddr;

use latchkey_engine::id::ServerId;

/// One HTTP request for one server, borrowed from whoever read it.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// The server that it is for: by the listener, never by the request.
    pub server: ServerId,
    /// The HTTP method, as sent.
    pub method: &'a str,
    /// The request target: path, and query after `?`.
    pub target: &'a str,
    /// Headers in order, names in lower case, values as sent.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The whole body; empty when there is none.
    pub body: &'a [u8],
    /// The address that the call came from, after the trusted-proxy rule.
    pub peer: Option<IpAddr>,
}

/// Why a header cannot be read in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderFault;

impl<'a> Inbound<'a> {
    /// The only value of a header; absent is `None`, two values or other than visible ASCII fail.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&'a str>, HeaderFault> {
        let mut values = self.headers.iter().filter(|(key, _)| *key == name);
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value).map_err(|_| HeaderFault)?;
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if values.next().is_some() || !visible {
            return Err(HeaderFault);
        }
        Ok(Some(text.trim_matches(' ')))
    }

    /// The path of the target.
    pub(crate) fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query of the target, without its `?`.
    pub(crate) fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}
