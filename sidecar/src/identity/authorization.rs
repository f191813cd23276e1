//! What a request's headers hold of a token.

use hyper::{HeaderMap, header::AUTHORIZATION};
use latchkey_engine::reason::Reason;

/// The content of the only `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    /// How the token came.
    pub(super) scheme: Scheme,
    /// What stands for the token; not legal yet.
    pub(super) token: &'a [u8],
}

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Alone (RFC 6750).
    Bearer,
    /// With a proof (RFC 9449).
    Dpop,
}

impl<'a> Authorization<'a> {
    /// Reads the header; `None` when there is none.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Option<Self>, Reason> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Reason::Unauthenticated);
        }
        let value = value.as_bytes();
        let space = value.iter().position(|byte| *byte == b' ');
        let (scheme, rest) = value
            .split_at_checked(space.ok_or(Reason::Unauthenticated)?)
            .ok_or(Reason::Unauthenticated)?;
        let scheme = if scheme.eq_ignore_ascii_case(b"bearer") {
            Scheme::Bearer
        } else if scheme.eq_ignore_ascii_case(b"dpop") {
            Scheme::Dpop
        } else {
            return Err(Reason::Unauthenticated);
        };
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let token = rest.get(spaces..).unwrap_or_default();
        Ok(Some(Self { scheme, token }))
    }
}

/// The content of the only `DPoP` header.
pub(super) fn proof(headers: &HeaderMap) -> Result<&str, Reason> {
    let mut values = headers.get_all("dpop").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Reason::Unauthenticated),
        _ => Err(Reason::Unauthenticated),
    }
}

/// The bytes of a token: RFC 6750's `b64token`.
const LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut rest: &[u8] = b"-._~+/=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, others @ ..] = rest {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            legal[*byte as usize] = true;
        }
        rest = others;
    }
    legal
};

/// A token as text, when it is made of nothing else than tokens are.
pub(super) fn legal(token: &[u8]) -> Option<&str> {
    let legal = |byte: &u8| LEGAL.get(usize::from(*byte)).copied().unwrap_or(false);
    let all = !token.is_empty() && token.iter().all(legal);
    std::str::from_utf8(token).ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn takes_exactly_one_token() {
        let read = |values: &[&'static str]| match Authorization::read(&headers(values)) {
            Ok(Some(it)) => match legal(it.token) {
                Some(token) => Ok(Some((it.scheme, token.to_owned()))),
                None => Err(Reason::Unauthenticated),
            },
            Ok(None) => Ok(None),
            Err(reason) => Err(reason),
        };
        assert_eq!(read(&[]), Ok(None));
        for (value, scheme, token) in [
            ("Bearer a.b-c_d", Scheme::Bearer, "a.b-c_d"),
            ("bearer  a.b", Scheme::Bearer, "a.b"),
            ("DPoP a.b.c", Scheme::Dpop, "a.b.c"),
        ] {
            assert_eq!(read(&[value]), Ok(Some((scheme, token.to_owned()))));
        }
        for refused in [
            &["Bearer a", "Bearer a"][..],
            &["Basic YTpi"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["DPoP"],
            &["Bearer a", "DPoP a"],
            &["Bearer\ta"],
            &[""],
        ] {
            assert_eq!(read(refused), Err(Reason::Unauthenticated), "{refused:?}");
        }
    }
}
