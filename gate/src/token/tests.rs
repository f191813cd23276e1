use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::mint::{Mint, signing_input};
use super::*;

const NOW: i64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;

fn mint() -> Mint {
    Mint::from_seed("k1", [7; 32])
}

fn profile_with(jwks: &str) -> IssuerProfile {
    IssuerProfile {
        issuer: "https://idp.acme.example".to_owned(),
        audiences: vec![
            "https://tools.acme.example/github".to_owned(),
            "second".to_owned(),
        ],
        algorithms: vec![Algorithm::EdDsa],
        accept_typ: Vec::new(),
        groups_claim: Some("groups".to_owned()),
        clock_skew: 5,
        max_lifetime: 3600,
        require_token_id: false,
        kind: IssuerKind::Oauth,
        proof: ProofRule::Any,
        keys: Keys::Pinned(KeySet::from_jwks(jwks.as_bytes()).expect("key set")),
    }
}

fn verify<'p>(
    token: &str,
    issuers: impl IntoIterator<Item = &'p IssuerProfile>,
    now: i64,
) -> Result<Claims, TokenError> {
    let issuers: Vec<IssuerProfile> = issuers.into_iter().cloned().collect();
    let live = LiveKeys::NONE;
    Verifier {
        issuers: &issuers,
        live,
        audience: None,
    }
    .verify(token, now)
}

fn profile() -> IssuerProfile {
    profile_with(&mint().jwks())
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.acme.example", "sub": "u-1001", "jti": "t-1",
        "aud": "https://tools.acme.example/github", "iat": NOW - 60, "exp": NOW + 60,
    })
}

/// The usual claims with some replaced; `null` removes one.
fn with(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("object") {
        claims[name] = value.clone();
    }
    let object = claims.as_object_mut().expect("object");
    object.retain(|_, value| !value.is_null());
    claims.to_string()
}

fn check(header: &str, payload: &str) -> Result<Claims, TokenError> {
    verify(&mint().sign_raw(header, payload), [&profile()], NOW)
}

fn judge(changes: &Value) -> Result<Claims, TokenError> {
    check(HEADER, &with(changes))
}

#[test]
fn a_good_token_gives_its_claims() {
    let token = mint().sign(
        json!({
            "iss": "https://idp.acme.example", "sub": "u-1001", "jti": "t-1",
            "aud": ["https://other.example", "https://tools.acme.example/github"],
            "iat": NOW - 60, "exp": NOW + 60, "nbf": NOW, "groups": ["a", "b"],
            "act": {"sub": "agent-1", "act": {"iss": "https://x.example", "sub": "agent-0"}},
        })
        .as_object()
        .expect("object"),
    );
    let claims = verify(&token, [&profile()], NOW).expect("valid");
    assert_eq!(claims.issuer, "https://idp.acme.example");
    assert_eq!(claims.subject, "u-1001");
    assert_eq!(claims.audience, "https://tools.acme.example/github");
    assert_eq!((claims.issued_at, claims.expires_at), (NOW - 60, NOW + 60));
    assert_eq!(claims.token_id.as_deref(), Some("t-1"));
    assert_eq!(claims.groups, ["a", "b"]);
    let chain: Vec<_> = claims
        .actors
        .iter()
        .map(|a| (a.issuer.as_deref(), a.subject.as_str()))
        .collect();
    assert_eq!(
        chain,
        [(None, "agent-1"), (Some("https://x.example"), "agent-0")]
    );
    assert_eq!(claims.permissions, None);
    assert_eq!(
        claims.token_hash,
        <[u8; 32]>::from(Sha256::digest(token.as_bytes()))
    );
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    let payload = with(&json!({}));
    let rows = [
        (
            r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#,
            TokenError::Algorithm,
        ),
        (
            r#"{"alg":"nOnE","typ":"at+jwt","kid":"k1"}"#,
            TokenError::Algorithm,
        ),
        (
            r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#,
            TokenError::Algorithm,
        ),
        (
            r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#,
            TokenError::Algorithm,
        ),
        (
            r#"{"alg":["EdDSA"],"typ":"at+jwt","kid":"k1"}"#,
            TokenError::Algorithm,
        ),
        (r#"{"typ":"at+jwt","kid":"k1"}"#, TokenError::Algorithm),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","crit":["x"],"x":1}"#,
            TokenError::Header("crit"),
        ),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","crit":null}"#,
            TokenError::Header("crit"),
        ),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","b64":false}"#,
            TokenError::Header("b64"),
        ),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","jwk":{}}"#,
            TokenError::Header("jwk"),
        ),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":7}"#,
            TokenError::Header("kid"),
        ),
        (
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k2"}"#,
            TokenError::UnknownKey,
        ),
        (
            r#"{"alg":"EdDSA","typ":"dpop+jwt","kid":"k1"}"#,
            TokenError::Type,
        ),
        (
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#,
            TokenError::Type,
        ),
        (r#"{"alg":"EdDSA","kid":"k1"}"#, TokenError::Type),
        (
            r#"{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#,
            TokenError::Malformed("header"),
        ),
        (r#"["EdDSA"]"#, TokenError::Malformed("header")),
    ];
    for (header, expected) in rows {
        assert_eq!(check(header, &payload), Err(expected), "{header}");
    }
    let taken = [
        r#"{"alg":"EdDSA","typ":"application/at+jwt","kid":"k1"}"#,
        r#"{"alg":"Ed25519","typ":"at+JWT"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1","jku":"https://evil.example","x5u":"y"}"#,
    ];
    for header in taken {
        assert!(check(header, &payload).is_ok(), "{header}");
    }
}

#[test]
fn an_hmac_under_the_public_key_is_refused() {
    let public = mint().jwks();
    let header = r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#;
    let signed = signing_input(header, &with(&json!({})));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    assert_eq!(
        verify(&token, [&profile()], NOW),
        Err(TokenError::Algorithm)
    );
}

#[test]
fn claims_are_judged_strictly() {
    let rows = [
        (
            json!({"iss": ["https://idp.acme.example"]}),
            TokenError::Claim("iss"),
        ),
        (json!({"iss": null}), TokenError::Claim("iss")),
        (
            json!({"iss": "https://idp.acme.example/"}),
            TokenError::UnknownIssuer,
        ),
        (json!({"sub": null}), TokenError::Claim("sub")),
        (json!({"sub": ""}), TokenError::Claim("sub")),
        (json!({"sub": 7}), TokenError::Claim("sub")),
        (json!({"aud": null}), TokenError::Claim("aud")),
        (json!({"aud": {}}), TokenError::Claim("aud")),
        (json!({"aud": "https://evil.example"}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (
            json!({"aud": ["second", "https://tools.acme.example/github"]}),
            TokenError::Audience,
        ),
        (json!({"aud": ["second", "second"]}), TokenError::Audience),
        (json!({"aud": ["second", 7]}), TokenError::Claim("aud")),
        (json!({"exp": null}), TokenError::Claim("exp")),
        (
            json!({"exp": (NOW + 60).to_string()}),
            TokenError::Claim("exp"),
        ),
        (json!({"exp": 1_800_000_060.5}), TokenError::Claim("exp")),
        (json!({"exp": 1_800_000_060.0}), TokenError::Claim("exp")),
        (json!({"exp": -1}), TokenError::Claim("exp")),
        (json!({"exp": 1e300}), TokenError::Claim("exp")),
        (json!({"exp": NOW - 60}), TokenError::Claim("exp")),
        (json!({"exp": NOW - 5}), TokenError::Expired),
        (json!({"exp": NOW + 3600}), TokenError::Lifetime),
        (json!({"exp": i64::MAX}), TokenError::Lifetime),
        (json!({"iat": null}), TokenError::Claim("iat")),
        (
            json!({"iat": NOW + 6, "exp": NOW + 60}),
            TokenError::NotYetValid,
        ),
        (json!({"nbf": NOW + 6}), TokenError::NotYetValid),
        (json!({"nbf": "soon"}), TokenError::Claim("nbf")),
        (json!({"jti": 7}), TokenError::Claim("jti")),
        (json!({"cnf": {"jkt": "x"}}), TokenError::Claim("cnf")),
        (json!({"cnf": "x"}), TokenError::Claim("cnf")),
        (json!({"cnf": {}}), TokenError::ProofRequired),
        (json!({"cnf": {"jwk": {}}}), TokenError::ProofRequired),
        (json!({"groups": "admins"}), TokenError::Claim("groups")),
        (json!({"groups": ["a", 7]}), TokenError::Claim("groups")),
        (json!({"act": "agent"}), TokenError::Claim("act")),
        (json!({"act": {"iss": "x"}}), TokenError::Claim("act")),
        (
            json!({"act": {"sub": "a", "act": {"sub": 7}}}),
            TokenError::Claim("act"),
        ),
    ];
    for (changes, expected) in rows {
        assert_eq!(judge(&changes), Err(expected), "{changes}");
    }
    for changes in [
        json!({"exp": NOW - 4}),
        json!({"iat": NOW + 5}),
        json!({"jti": null}),
    ] {
        assert!(judge(&changes).is_ok(), "{changes}");
    }
}

#[test]
fn a_null_is_a_wrong_form_and_not_an_absence() {
    let base = with(&json!({"nbf": NOW}));
    for name in ["nbf", "jti", "groups", "act", "authorization_details"] {
        let source = base.replace(&format!("\"nbf\":{NOW}"), &format!("\"{name}\":null"));
        let source = if name == "jti" {
            source.replace(",\"jti\":\"t-1\"", "")
        } else {
            source
        };
        assert_eq!(
            check(HEADER, &source).map_err(TokenError::word),
            Err("claim_refused"),
            "{name}"
        );
    }
}

#[test]
fn duplicate_members_are_refused() {
    for extra in [r#""sub":"root""#, r#""exp":1"#, r#""s\u0075b":"root""#] {
        let payload = with(&json!({})).replacen('{', &format!("{{{extra},"), 1);
        assert_eq!(
            check(HEADER, &payload),
            Err(TokenError::Malformed("payload")),
            "{extra}"
        );
    }
}

#[test]
fn the_form_is_strict() {
    let token = mint().sign_raw(HEADER, &with(&json!({})));
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else {
        panic!("three segments")
    };
    let padded = match signature.len() % 4 {
        2 => format!("{token}=="),
        3 => format!("{token}="),
        _ => format!("{token}===="),
    };
    let rows = [
        padded,
        format!("{token}\n"),
        format!(" {token}"),
        format!("{token}.x"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        token.replace('.', ""),
        String::new(),
        // The unused low bits of the last character must be zero.
        format!(
            "{header}.{payload}.{}_",
            signature.get(..85).unwrap_or_default()
        ),
    ];
    for token in rows {
        let error = verify(&token, [&profile()], NOW).expect_err(&token);
        assert_eq!(error.word(), "malformed", "{token}");
    }
    let long = format!("{header}.{payload}.{}", "A".repeat(MAX_TOKEN));
    assert_eq!(verify(&long, [&profile()], NOW), Err(TokenError::TooLarge));
}

#[test]
fn any_changed_bit_breaks_the_signature() {
    let token = mint().sign_raw(HEADER, &with(&json!({})));
    let other = Mint::from_seed("k1", [8; 32]).sign_raw(HEADER, &with(&json!({})));
    assert_eq!(
        verify(&other, [&profile()], NOW),
        Err(TokenError::Signature)
    );
    let payload = URL_SAFE_NO_PAD.encode(with(&json!({"sub": "root"})));
    let mut segments: Vec<&str> = token.split('.').collect();
    segments[1] = &payload;
    assert_eq!(
        verify(&segments.join("."), [&profile()], NOW),
        Err(TokenError::Signature)
    );
    // Expiry is not told to someone who only guesses.
    let late = NOW + 10_000;
    assert_eq!(
        verify(&segments.join("."), [&profile()], late),
        Err(TokenError::Signature)
    );
    assert_eq!(verify(&token, [&profile()], late), Err(TokenError::Expired));
}

#[test]
fn a_type_of_the_issuers_own_must_not_let_identity_tokens_in() {
    let profile = IssuerProfile {
        accept_typ: vec!["JWT".to_owned()],
        ..profile()
    };
    let header = r#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#;
    let check = |changes: &Value| {
        verify(&mint().sign_raw(header, &with(changes)), [&profile], NOW).map(|_| ())
    };
    assert_eq!(check(&json!({})), Err(TokenError::Claim("client_id")));
    assert_eq!(check(&json!({"azp": "cli"})), Ok(()));
    assert_eq!(check(&json!({"client_id": "cli"})), Ok(()));
    for name in ["nonce", "at_hash", "c_hash"] {
        let found = check(&json!({"client_id": "cli", name: "x"}));
        assert_eq!(found, Err(TokenError::Claim(name)));
    }
    let default = mint().sign_raw(HEADER, &with(&json!({})));
    assert_eq!(verify(&default, [&profile], NOW), Err(TokenError::Type));
}

#[test]
fn a_token_id_can_be_required() {
    let profile = IssuerProfile {
        require_token_id: true,
        ..profile()
    };
    let token = mint().sign_raw(HEADER, &with(&json!({"jti": null})));
    assert_eq!(
        verify(&token, [&profile], NOW),
        Err(TokenError::Claim("jti"))
    );
}

#[test]
fn permissions_restrict_only_when_stated_and_only_when_understood() {
    let details = |details: Value| {
        judge(&json!({ "authorization_details": details })).map(|claims| claims.permissions)
    };
    let ours = |list: Value| json!({"type": PERMISSIONS_TYPE, "permissions": list});
    assert_eq!(details(json!([])), Ok(None));
    assert_eq!(details(json!([{"type": "payment", "amount": 3}])), Ok(None));
    assert_eq!(details(json!([ours(json!([]))])), Ok(Some(Vec::new())));
    let two = details(json!([ours(json!(["b"])), {"type": "x"}, ours(json!(["a", "b"]))]));
    assert_eq!(two, Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
    let refused = [
        json!({}),
        json!(["x"]),
        json!([{"permissions": []}]),
        json!([{"type": PERMISSIONS_TYPE}]),
        json!([{"type": PERMISSIONS_TYPE, "permissions": "a"}]),
        json!([{"type": PERMISSIONS_TYPE, "permissions": [7]}]),
        json!([{"type": PERMISSIONS_TYPE, "permissions": ["a"], "locations": ["x"]}]),
    ];
    for value in refused {
        let expected = Err(TokenError::Claim("authorization_details"));
        assert_eq!(details(value.clone()), expected, "{value}");
    }
}

#[test]
fn the_issuer_selects_its_profile_and_no_other() {
    let theirs = Mint::from_seed("k1", [9; 32]);
    let other = IssuerProfile {
        issuer: "https://other".to_owned(),
        ..profile_with(&theirs.jwks())
    };
    let ours = profile();
    let token = theirs.sign_raw(HEADER, &with(&json!({"iss": "https://other"})));
    assert!(verify(&token, [&ours, &other], NOW).is_ok());
    let forged = theirs.sign_raw(HEADER, &with(&json!({})));
    assert_eq!(
        verify(&forged, [&ours, &other], NOW),
        Err(TokenError::Signature)
    );
}

#[test]
fn each_algorithm_verifies_where_the_issuer_may_use_it() {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("P-256");
    let point = pair.public_key().as_ref();
    let (x, y) = (
        URL_SAFE_NO_PAD.encode(&point[1..33]),
        URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("RSA");
    let n = URL_SAFE_NO_PAD.encode(rsa.public_key().modulus().big_endian_without_leading_zero());
    let jwks = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "e", "x": x, "y": y},
        {"kty": "RSA", "kid": "r", "n": n, "e": "AQAB"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "n": n, "e": "AQAB"},
        {"kty": "RSA", "kid": "pss", "alg": "PS256", "n": n, "e": "AQAB"},
        {"kty": "RSA", "kid": "pss512", "alg": "PS512", "n": n, "e": "AQAB"},
    ]});
    let algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
    let both = IssuerProfile {
        algorithms,
        ..profile_with(&jwks.to_string())
    };
    let Keys::Pinned(keys) = &both.keys else {
        panic!()
    };
    assert_eq!((keys.len(), keys.skipped().len()), (3, 2));

    let signed = |header: &str| signing_input(header, &with(&json!({})));
    let es256 = signed(r#"{"alg":"ES256","typ":"at+jwt","kid":"e"}"#);
    let signature = pair.sign(&random, es256.as_bytes()).expect("sign");
    let es256 = format!("{es256}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let sign = |how: &'static dyn aws_lc_rs::signature::RsaEncoding, header: &str| {
        let signed = signed(header);
        let mut signature = vec![0; rsa.public_modulus_len()];
        let message = signed.as_bytes();
        rsa.sign(how, &random, message, &mut signature)
            .expect("sign");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let sign_rsa = |header: &str| sign(&RSA_PKCS1_SHA256, header);
    let rs256 = sign_rsa(r#"{"alg":"RS256","typ":"at+jwt","kid":"r"}"#);
    assert!(verify(&es256, [&both], NOW).is_ok());
    assert!(verify(&rs256, [&both], NOW).is_ok());
    let unnamed = sign_rsa(r#"{"alg":"RS256","typ":"at+jwt"}"#);
    assert_eq!(verify(&unnamed, [&both], NOW), Err(TokenError::UnknownKey));
    let crossed = sign_rsa(r#"{"alg":"RS256","typ":"at+jwt","kid":"e"}"#);
    assert_eq!(verify(&crossed, [&both], NOW), Err(TokenError::Algorithm));
    let skipped = sign_rsa(r#"{"alg":"RS256","typ":"at+jwt","kid":"enc"}"#);
    assert_eq!(verify(&skipped, [&both], NOW), Err(TokenError::UnknownKey));
    // A key without `alg` is for either RSA scheme that the issuer may use, one with it for that.
    let sign_pss = |header: &str| sign(&RSA_PSS_SHA256, header);
    let any = sign_pss(r#"{"alg":"PS256","typ":"at+jwt","kid":"r"}"#);
    let own = sign_pss(r#"{"alg":"PS256","typ":"at+jwt","kid":"pss"}"#);
    let crossed = sign_rsa(r#"{"alg":"RS256","typ":"at+jwt","kid":"pss"}"#);
    let disguised = sign_rsa(r#"{"alg":"PS256","typ":"at+jwt","kid":"r"}"#);
    assert_eq!(verify(&any, [&both], NOW), Err(TokenError::Algorithm));
    let narrow = IssuerProfile {
        algorithms: vec![Algorithm::Es256, Algorithm::Ps256],
        ..both.clone()
    };
    assert!(verify(&any, [&narrow], NOW).is_ok());
    assert!(verify(&own, [&narrow], NOW).is_ok());
    assert_eq!(verify(&rs256, [&narrow], NOW), Err(TokenError::Algorithm));
    assert_eq!(verify(&crossed, [&both], NOW), Err(TokenError::Algorithm));
    assert_eq!(
        verify(&disguised, [&narrow], NOW),
        Err(TokenError::Signature)
    );
}

#[test]
fn es384_verifies() {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("P-384");
    let point = pair.public_key().as_ref();
    let (x, y) = (
        URL_SAFE_NO_PAD.encode(&point[1..49]),
        URL_SAFE_NO_PAD.encode(&point[49..]),
    );
    let jwks = json!({"keys": [{"kty": "EC", "crv": "P-384", "kid": "e", "x": x, "y": y}]});
    let profile = IssuerProfile {
        algorithms: vec![Algorithm::Es384],
        ..profile_with(&jwks.to_string())
    };
    let signed = signing_input(
        r#"{"alg":"ES384","typ":"at+jwt","kid":"e"}"#,
        &with(&json!({})),
    );
    let signature = pair.sign(&random, signed.as_bytes()).expect("sign");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    assert!(verify(&token, [&profile], NOW).is_ok());
}

#[test]
fn key_sets_are_filtered_and_bad_ones_refused() {
    let set = |keys: Value| KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
    let good: Value = serde_json::from_str(&mint().jwks()).expect("json");
    let good = good["keys"][0].clone();
    let changed = |changes: Value| {
        let mut key = good.clone();
        for (name, value) in changes.as_object().expect("object") {
            key[name] = value.clone();
        }
        key
    };
    let small = URL_SAFE_NO_PAD.encode([255; 128]);
    let exponent = URL_SAFE_NO_PAD.encode([255; 256]);
    let skipped = [
        (changed(json!({"x": "AQAB"})), "x is not 32 bytes"),
        (
            changed(json!({"x": URL_SAFE_NO_PAD.encode([0; 32])})),
            "the key is weak",
        ),
        (changed(json!({"crv": "X25519"})), "crv is not Ed25519"),
        (
            changed(json!({"use": "enc"})),
            "use is not that of a key for tokens",
        ),
        (
            changed(json!({"alg": "ES256"})),
            "alg is not one that tokens of this key may use",
        ),
        (
            changed(json!({"key_ops": ["sign"]})),
            "key_ops has no verify",
        ),
        (changed(json!({"kty": "new"})), "unknown kty"),
        (changed(json!({"kid": 7})), "kid is not a string"),
        (
            json!({"kty": "RSA", "n": small, "e": "AQAB"}),
            "the modulus is not of 2048 to 8192 bits",
        ),
        (
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            "the modulus is not of 2048 to 8192 bits",
        ),
        (
            json!({"kty": "RSA", "n": exponent, "e": "Aw"}),
            "the exponent is not 65537",
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"}),
            "x or y is not 32 bytes",
        ),
        (
            json!({"kty": "EC", "crv": "P-256",
                "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([1; 32])}),
            "x and y are not on P-256",
        ),
    ];
    for (key, why) in skipped {
        let Err(KeySetError::NoUsableKey(list)) = set(json!([key])) else {
            panic!("{key}")
        };
        assert_eq!(list[0].why, why);
        assert_eq!(set(json!([key, good])).expect("one good key").len(), 1);
    }
}

#[test]
fn a_bad_key_set_is_refused_as_a_whole() {
    let set = |keys: Value| KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
    let good: Value = serde_json::from_str(&mint().jwks()).expect("json");
    let good = good["keys"][0].clone();
    let mut private = good.clone();
    private["d"] = json!("x");
    assert_eq!(set(json!([private])).err(), Some(KeySetError::SecretKey(0)));
    assert_eq!(
        set(json!([good, {"kty": "oct"}])).err(),
        Some(KeySetError::SecretKey(1))
    );
    let twice = set(json!([good, good])).err();
    assert_eq!(twice, Some(KeySetError::DuplicateKid("k1".to_owned())));
    assert_eq!(
        set(json!(vec![good; 65])).err(),
        Some(KeySetError::TooManyKeys)
    );
    assert_eq!(KeySet::from_jwks(b"[]").err(), Some(KeySetError::Shape));
    assert!(matches!(KeySet::from_jwks(b"{"), Err(KeySetError::Json(_))));
    let large = " ".repeat(256 * 1024 + 1);
    assert_eq!(
        KeySet::from_jwks(large.as_bytes()).err(),
        Some(KeySetError::TooLarge)
    );
}
