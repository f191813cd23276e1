//! What holds for the tokens of an issuer besides the decision: their kind, keys and proofs.

use latchkey_gate::{
    settings::{IssuerSettings, RemoteKeys},
    token::{IssuerKind, KeySet, ProofRule, spiffe},
};

use super::Resolver;
use crate::{
    diag::{Diagnostic, codes},
    source::{Span, Spanned},
    syntax::{self, issuer, scalar::Millis},
};

/// How often keys are fetched, and how long they are used, when an issuer does not say it: in
/// seconds.
const DEFAULT_REFRESH: u32 = 15 * 60;
const DEFAULT_AGE: u32 = 24 * 60 * 60;
/// The least and the most of both, in seconds.
const REFRESH: std::ops::RangeInclusive<u32> = 30..=24 * 60 * 60;
const LONGEST_AGE: u32 = 30 * 24 * 60 * 60;
/// Types of tokens that are for something else.
const OTHER_TYPES: [&str; 6] = [
    "dpop+jwt",
    "id_token+jwt",
    "logout+jwt",
    "oauth-authz-req+jwt",
    "secevent+jwt",
    "token-introspection+jwt",
];

/// What is wrong has been reported.
struct Reported;

impl Resolver<'_> {
    pub(super) fn issuer_settings(&mut self, entry: &syntax::Issuer) -> Option<IssuerSettings> {
        let kind = match entry.speaks.map(|it| it.value) {
            Some(issuer::Kind::Spiffe) => IssuerKind::Spiffe,
            Some(issuer::Kind::Certificate) => IssuerKind::Certificate,
            Some(issuer::Kind::Oauth) | None => IssuerKind::Oauth,
        };
        if kind == IssuerKind::Spiffe && !spiffe::is_trust_domain(&entry.issuer.value) {
            let help = "write the trust domain, as `spiffe://acme.example`";
            self.bad(entry.issuer.span, "this is no trust domain", help);
        }
        Some(IssuerSettings {
            kind,
            jwks: self.remote_keys(entry).ok()?,
            token_types: self.token_types(entry),
            proof: proof(entry.proof.as_ref()),
        })
    }

    /// The keys that the project holds, as text; empty when they are with the issuer, or when
    /// there are none.
    pub(super) fn pinned_keys(
        &mut self,
        name: &str,
        entry: &syntax::Issuer,
        settings: &IssuerSettings,
    ) -> Option<String> {
        if settings.jwks.is_some() || settings.kind == IssuerKind::Certificate {
            return Some(String::new());
        }
        let keys = self.syntax.key_sets.get(name)?;
        let keys = serde_json_canonicalizer::to_string(keys).ok()?;
        let Err(error) = KeySet::read(keys.as_bytes(), settings.kind.key_use()) else {
            return Some(keys);
        };
        let set = entry.jwks.as_ref();
        let file = set.and_then(|it| it.file.as_ref()).map(|it| it.span);
        let inline = set.and_then(|it| it.inline.as_ref()).map(|it| it.blame);
        let place = file.or(inline).unwrap_or(entry.issuer.span);
        self.report(
            Diagnostic::new(&codes::BAD_KEYS, place, error.to_string())
                .help("give the issuer's public keys, as its `jwks_uri` publishes them"),
        );
        None
    }

    /// Where the keys are fetched, if they are; an error once what is wrong has been reported.
    fn remote_keys(&mut self, entry: &syntax::Issuer) -> Result<Option<RemoteKeys>, Reported> {
        let Some(set) = &entry.jwks else {
            return Ok(None);
        };
        let url = match (&set.uri, set.discovery) {
            (None, None) => return Ok(None),
            (Some(uri), _) => uri,
            (None, Some(discovery)) if discovery.value => &entry.issuer,
            (None, Some(discovery)) => {
                let help = "name the keys: `inline`, `file` or `uri`";
                self.bad(discovery.span, "keys that are found nowhere", help);
                return Err(Reported);
            }
        };
        if !fetched_safely(&url.value) {
            let help = "write an `https://` URL without credentials; plain http is taken from \
                        loopback only, by sidecars in the development profile";
            self.bad(url.span, "keys are not fetched from here", help);
            return Err(Reported);
        }
        let refresh = self.seconds(set.refresh.as_ref(), DEFAULT_REFRESH);
        let max_age = self.seconds(set.max_age.as_ref(), DEFAULT_AGE.max(refresh));
        let place = |time: Option<&Spanned<Millis>>| time.map_or(url.span, |it| it.span);
        if !REFRESH.contains(&refresh) {
            let place = place(set.refresh.as_ref());
            self.bad(
                place,
                "keys are fetched too often or too seldom",
                "30s to 24h",
            );
        }
        if max_age < refresh || max_age > LONGEST_AGE {
            let place = place(set.max_age.as_ref());
            let help = "at least `refresh`, at most 30 days";
            self.bad(place, "keys would be used too shortly or too long", help);
        }
        Ok(Some(RemoteKeys {
            uri: set.uri.as_ref().map(|uri| uri.value.to_string()),
            refresh,
            max_age,
        }))
    }

    fn token_types(&mut self, entry: &syntax::Issuer) -> Vec<String> {
        let mut types = Vec::new();
        for each in entry.token_types.iter().flat_map(|it| it.iter()) {
            let name = each.value.trim_start_matches("application/");
            if OTHER_TYPES.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                let help = "name the type of access tokens: `at+jwt`, or `JWT` where the issuer \
                            has none of its own";
                self.bad(
                    each.span,
                    "tokens of this type are for something else",
                    help,
                );
            }
            types.push(each.value.to_string());
        }
        types
    }

    fn bad(&mut self, span: Span, what: &str, help: &str) {
        self.report(Diagnostic::new(&codes::BAD_VALUE, span, what).help(help));
    }
}

pub(super) fn proof(written: Option<&Spanned<issuer::Proof>>) -> ProofRule {
    match written.map(|it| it.value) {
        Some(issuer::Proof::Dpop) => ProofRule::Dpop,
        Some(issuer::Proof::Certificate) => ProofRule::Certificate,
        Some(issuer::Proof::Bound) => ProofRule::Bound,
        Some(issuer::Proof::Any) | None => ProofRule::Any,
    }
}

/// Whether a URL may be fetched: by TLS, or from loopback.
fn fetched_safely(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |it| it.0);
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let plain = !authority.is_empty() && !authority.contains('@') && !url.contains(' ');
    plain && (scheme == "https" || scheme == "http" && loopback)
}
