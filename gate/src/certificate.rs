//! The certificate that a caller proved to hold, as whoever read the connection verified it.

use std::fmt;

use latchkey_engine::time::Time;

/// A verified client certificate: chain, time and possession of the key are proved already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The SHA-256 of the leaf in DER.
    pub fingerprint: [u8; 32],
    /// The SPIFFE id that it names.
    pub spiffe_id: Option<SpiffeId>,
    /// The DNS names that it names, as written there.
    pub dns_names: Vec<String>,
    /// The first instant at which it is no longer valid.
    pub not_after: Time,
}

/// A well-formed SPIFFE id: `spiffe://trust-domain/path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    /// Where the path begins.
    path: usize,
}

/// What is wrong with a SPIFFE id, or with a certificate that names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpiffeFault {
    /// It is not `spiffe://trust-domain/path` in the characters that the standard allows.
    Form,
    /// The certificate names another URI besides.
    NotAlone,
}

impl fmt::Display for SpiffeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "its SPIFFE id is not `spiffe://trust-domain/path`",
            Self::NotAlone => "it names a SPIFFE id and another URI besides",
        })
    }
}

impl std::error::Error for SpiffeFault {}

/// The longest SPIFFE id, and the longest trust domain, in bytes, as the standard bounds them.
const LONGEST: (usize, usize) = (2048, 255);

impl SpiffeId {
    /// Reads an id strictly: two spellings of one id do not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("spiffe://")?;
        let (domain, path) = rest.split_once('/')?;
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        let any = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let sound = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(any);
        let good = text.len() <= LONGEST.0
            && (1..=LONGEST.1).contains(&domain.len())
            && domain.bytes().all(lower)
            && path.split('/').all(sound);
        good.then(|| Self {
            text: text.to_owned(),
            path: text.len() - path.len() - 1,
        })
    }

    /// The only SPIFFE id among the URIs of a certificate. By the X.509-SVID standard a certificate
    /// that names one names no other URI.
    pub fn of_uris<'a>(
        mut uris: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Option<Self>, SpiffeFault> {
        let claims = |uri: &str| {
            let scheme = uri.split(':').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case("spiffe")
        };
        if !uris.clone().any(claims) {
            return Ok(None);
        }
        let first = uris.next().unwrap_or_default();
        if uris.next().is_some() {
            return Err(SpiffeFault::NotAlone);
        }
        Self::parse(first).map(Some).ok_or(SpiffeFault::Form)
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain: the name between `spiffe://` and the path.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        let domain = self.text.get("spiffe://".len()..self.path);
        domain.unwrap_or_default()
    }

    /// The path, with its slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SpiffeId::parse("spiffe://acme.example/ns/prod/sa/Builder_1").unwrap();
        assert_eq!(id.trust_domain(), "acme.example");
        assert_eq!(id.path(), "/ns/prod/sa/Builder_1");
        for bad in [
            "",
            "spiffe://acme.example",
            "spiffe://acme.example/",
            "spiffe:///path",
            "spiffe://Acme.example/a",
            "spiffe://acme.example:1/a",
            "spiffe://u@acme.example/a",
            "spiffe://acme.example/a/",
            "spiffe://acme.example//a",
            "spiffe://acme.example/a/../b",
            "spiffe://acme.example/a%41",
            "spiffe://acme.example/a?b",
            "spiffe://acme.example/a#b",
            "SPIFFE://acme.example/a",
            "https://acme.example/a",
        ] {
            assert_eq!(SpiffeId::parse(bad), None, "{bad}");
        }
        let long = format!("spiffe://acme.example/{}", "a".repeat(2048));
        assert_eq!(SpiffeId::parse(&long), None);
    }

    #[test]
    fn a_certificate_names_one_or_none() {
        let of = |uris: &[&str]| SpiffeId::of_uris(uris.iter().copied());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["https://a", "https://b"]), Ok(None));
        assert_eq!(of(&["spiffe://a/b"]), Ok(SpiffeId::parse("spiffe://a/b")));
        let twice = ["spiffe://a/b", "spiffe://a/c"];
        assert_eq!(of(&twice), Err(SpiffeFault::NotAlone));
        let mixed = ["https://a", "spiffe://a/b"];
        assert_eq!(of(&mixed), Err(SpiffeFault::NotAlone));
        assert_eq!(of(&["Spiffe://a/b"]), Err(SpiffeFault::Form));
    }
}
