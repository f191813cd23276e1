//! Section `issuers`.

use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::node::Node;
use crate::syntax::reference::PrincipalType;
use crate::syntax::scalar::{Label, Millis, choice};
use crate::syntax::shape::{Map, Reader, record};

record! {
    /// Who signs the tokens that are accepted, and what its tokens may mean.
    pub struct Issuer: "issuer" {
        /// The exact value of the claim `iss`.
        issuer "issuer": Spanned<String>;
        /// The values of the claim `aud` that are accepted; one of them must be in the token.
        audiences "audiences": List<Spanned<String>>;
        /// The signature algorithms that are accepted; `EdDSA` alone if absent.
        algorithms "algorithms": Option<List<Spanned<Algorithm>>>;
        /// The keys of the issuer.
        jwks "jwks": KeySet;
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
        file "file": Option<Spanned<String>>;
    }
    check check_key_set;
}

record! {
    /// Which claims of a token are read.
    pub struct ClaimMapping: "claim mapping" {
        /// The claim that lists groups.
        groups "groups": Option<Spanned<String>>;
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
    if any {
        let why = "an undeclared subject has no type of its own; say what all of them are";
        return map.must_have("type", why, cx);
    }
    let why = "declared principals say their own type; it counts only with `subjects: any`";
    map.must_not_have("type", why, cx)
}

fn check_key_set(_: &KeySet, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    map.either("inline", "file", cx) && map.exclusive("inline", "file", "keep one of them", cx)
}
