//! Section `issuers`.

use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::node::Node;
use crate::syntax::reference::PrincipalType;
use crate::syntax::scalar::{Label, Millis, choice};
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// Who signs the tokens that are accepted, and what its tokens may mean.
    pub struct Issuer: "issuer" {
        /// The exact value of the claim `iss`; a trust domain, as `spiffe://acme.example`, for kind
        /// `spiffe` and for certificates with SPIFFE ids.
        issuer "issuer": Spanned<Text>;
        /// What says who calls; `oauth` if absent.
        speaks "kind": Option<Spanned<Kind>>;
        /// The values of the claim `aud` that are accepted; one of them must be in the token.
        audiences "audiences": Option<List<Spanned<Text>>>;
        /// The signature algorithms that are accepted; `EdDSA` alone if absent.
        algorithms "algorithms": Option<List<Spanned<Algorithm>>>;
        /// The keys of the issuer.
        jwks "jwks": Option<KeySet>;
        /// The accepted values of the header `typ`; `at+jwt` alone if absent. A token with another
        /// one must name its client and hold nothing that makes it an identity token.
        token_types "tokenTypes": Option<List<Spanned<Text>>>;
        /// What its tokens must be bound to; `any` if absent.
        proof "proof": Option<Spanned<Proof>>;
        /// The organizations that it may speak for.
        organizations "organizations": List<Spanned<Label>>;
        /// Whether a subject must be a declared principal; `declared` if absent.
        subjects "subjects": Option<Spanned<Subjects>>;
        /// What an undeclared subject of this issuer is.
        kind "type": Option<Spanned<PrincipalType>>;
        /// Which claims of its tokens are read.
        claims "claims": Option<ClaimMapping>;
        /// How far its clock may be off.
        clock_skew "clockSkew": Option<Spanned<Millis>>;
        /// The longest life of a token that is accepted.
        max_lifetime "maxLifetime": Option<Spanned<Millis>>;
    }
    check check_issuer;
}

record! {
    /// The public keys of an issuer.
    pub struct KeySet: "key set" {
        /// The JSON Web Key Set itself.
        inline "inline": Option<Node>;
        /// A file `*.jwks.json`, relative to the file that names it.
        file "file": Option<Spanned<Text>>;
        /// The URL that the sidecar fetches the JSON Web Key Set from.
        uri "uri": Option<Spanned<Text>>;
        /// Whether the sidecar reads that URL from the issuer's metadata.
        discovery "discovery": Option<Spanned<bool>>;
        /// How often keys are fetched; 15m if absent.
        refresh "refresh": Option<Spanned<Millis>>;
        /// How long keys are used after the issuer vouched for them last; 24h if absent.
        max_age "maxAge": Option<Spanned<Millis>>;
    }
    check check_key_set;
}

record! {
    /// Which claims of a token are read.
    pub struct ClaimMapping: "claim mapping" {
        /// The claim that lists groups.
        groups "groups": Option<Spanned<Text>>;
    }
}

choice! {
    /// Whether the subjects of an issuer must be declared.
    pub enum Subjects: "subjects" {
        /// Each must be a declared principal.
        Declared = "declared",
        /// Any subject is accepted, without a name.
        Any = "any",
    }
}

choice! {
    /// What says who calls.
    pub enum Kind: "kind" {
        /// An OAuth 2 access token.
        Oauth = "oauth",
        /// A SPIFFE JWT-SVID.
        Spiffe = "spiffe",
        /// The client certificate of the connection.
        Certificate = "certificate",
    }
}

choice! {
    /// What tokens must be bound to.
    pub enum Proof: "proof" {
        /// Nothing, or anything whose possession is shown.
        Any = "any",
        /// A key, by a proof with each request (RFC 9449).
        Dpop = "dpop",
        /// The client certificate of the connection (RFC 8705).
        Certificate = "certificate",
        /// Either.
        Bound = "bound",
    }
}

choice! {
    /// A signature algorithm of tokens.
    pub enum Algorithm: "algorithms" {
        /// Ed25519.
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// RSA PKCS #1 v1.5 with SHA-256.
        Rs256 = "RS256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// RSA PSS with SHA-256.
        Ps256 = "PS256",
    }
}

fn check_issuer(issuer: &Issuer, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let any = issuer
        .subjects
        .is_some_and(|subjects| subjects.value == Subjects::Any);
    let typed = if any {
        let why = "an undeclared subject has no type of its own; say what all of them are";
        map.must_have("type", why, cx)
    } else {
        let why = "declared principals say their own type; it counts only with `subjects: any`";
        map.must_not_have("type", why, cx)
    };
    typed & check_kind(issuer, map, cx)
}

fn check_kind(issuer: &Issuer, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let kind = issuer.speaks.map(|kind| kind.value);
    if kind == Some(Kind::Certificate) {
        let why = "a client certificate is no token: leave out what tokens have";
        let of_tokens = ["audiences", "jwks", "tokenTypes", "proof", "claims"];
        let absent = of_tokens.map(|key| map.must_not_have(key, why, cx));
        return absent.into_iter().all(|absent| absent);
    }
    let why = "a token is for somebody: say which values of `aud` are this project's";
    let audiences = map.must_have("audiences", why, cx);
    let why = "without keys no token of the issuer can be verified";
    let keys = map.must_have("jwks", why, cx);
    let why = "a JWT-SVID says `JWT` or nothing: leave it out";
    let types = kind != Some(Kind::Spiffe) || map.must_not_have("tokenTypes", why, cx);
    audiences & keys & types
}

fn check_key_set(keys: &KeySet, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let remote = keys.uri.is_some() || keys.discovery.is_some();
    let mut sound = remote || map.either("inline", "file", cx);
    let places = ["inline", "file", "uri", "discovery"];
    for (at, one) in places.iter().enumerate() {
        for other in places.iter().skip(at + 1) {
            sound &= map.exclusive(one, other, "keep one of them", cx);
        }
    }
    if !remote {
        let why = "keys of the project are not fetched";
        sound &= map.must_not_have("refresh", why, cx);
        sound &= map.must_not_have("maxAge", why, cx);
    }
    sound
}
