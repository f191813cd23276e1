//! Workloads: SPIFFE ids in tokens and in client certificates, and tokens that are bound to a
//! certificate (RFC 8705).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use latchkey_engine::{
    index::{Index, PrincipalType},
    testing::World,
};
use latchkey_gate::{
    settings::{IssuerSettings, Settings as _},
    supply::Digest,
    token::{IssuerKind, ProofRule, mint::Mint},
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    bundle::{self, now, token, with},
    certificates::{Authority, Pair, put},
    client::Answer,
    rig::Rig,
    web::{self, Web, run},
};

/// The trust domains of tokens and of certificates.
const TOKENS: &str = "spiffe://tokens.example";
const MESH: &str = "spiffe://mesh.example";
const BUILDER: &str = "spiffe://tokens.example/ci/builder";
const WORKER: &str = "spiffe://mesh.example/ns/prod/sa/worker";

/// Besides the usual: two trust domains, an issuer of names in certificates, a caller of each.
fn world(world: &mut World) {
    let callers = [
        ("builder", "svid", BUILDER),
        ("worker", "mesh", WORKER),
        ("gateway", "names", "dns:gateway.acme.example"),
    ];
    for (name, issuer, subject) in callers {
        world.issuers.push(bundle::issuer(issuer));
        let mut principal = bundle::principal(name);
        principal.kind = PrincipalType::Service;
        principal.identities = vec![(issuer.to_owned(), subject.to_owned())];
        world.principals.push(principal);
        world.bindings.push(bundle::binding(name, "reader"));
    }
}

fn index(index: &mut Index) {
    for issuer in &mut index.issuers {
        let (url, kind) = match issuer.name.as_str() {
            "svid" => (TOKENS, IssuerKind::Spiffe),
            "mesh" => (MESH, IssuerKind::Certificate),
            "names" => ("https://names.example", IssuerKind::Certificate),
            _ => continue,
        };
        url.clone_into(&mut issuer.url);
        let settings = IssuerSettings {
            kind,
            ..IssuerSettings::default()
        };
        issuer.settings = settings.to_text().unwrap();
        issuer.groups_claim = None;
        if kind == IssuerKind::Spiffe {
            issuer.keys = keys("jwt-svid");
        } else {
            issuer.keys = String::new();
            issuer.audiences.clear();
        }
    }
}

fn workload() -> Mint {
    Mint::from_seed("svid", [3; 32])
}

fn keys(usage: &str) -> String {
    let mut set: Value = serde_json::from_str(&workload().jwks()).unwrap();
    set["keys"][0]["use"] = json!(usage);
    set.to_string()
}

/// The builder's token, but for these members of header and claims; `null` removes one.
fn svid(of_header: &Value, changes: &Value) -> String {
    let mut header = json!({"alg": "EdDSA", "kid": "svid"});
    let mut claims = json!({
        "sub": BUILDER, "aud": "https://tools.example", "exp": now() + 300,
    });
    for (base, changes) in [(&mut header, of_header), (&mut claims, changes)] {
        for (name, value) in changes.as_object().unwrap() {
            base[name] = value.clone();
        }
        base.as_object_mut().unwrap().retain(|_, it| !it.is_null());
    }
    workload().sign_raw(&header.to_string(), &claims.to_string())
}

fn release() -> bundle::Release {
    let mut release = bundle::Release::new(1);
    (release.world, release.index) = (world, index);
    release
}

#[test]
fn a_jwt_svid_says_which_workload_calls() {
    let rig = Rig::with(&release(), "");
    let none = json!({});
    for (header, changes) in [
        (json!({}), json!({})),
        (json!({"typ": "JWT"}), json!({"iat": now() - 5})),
        (json!({"typ": "JOSE"}), json!({"iss": TOKENS})),
        (json!({}), json!({"iss": "https://spire.example"})),
        (
            json!({}),
            json!({"aud": ["https://tools.example", "other"]}),
        ),
    ] {
        let answer = rig.call(&svid(&header, &changes), "get_issue");
        assert_eq!(answer.outcome(), "ok", "{header} {changes}");
        let event = rig.events().pop().unwrap();
        assert_eq!(event["principal_id"], "builder", "{event}");
    }
    assert_eq!(
        rig.call(&svid(&none, &none), "push_files").outcome(),
        "surface_unmatched",
        "it may read and no more"
    );
    let of = |subject: &str| json!({ "sub": subject });
    for (header, changes) in [
        // Another trust domain, one that only certificates are of, or none.
        (json!({}), of("spiffe://other.example/ci/builder")),
        (json!({}), of(WORKER)),
        (json!({}), of(TOKENS)),
        (json!({}), of("alice")),
        (json!({}), of("spiffe://tokens.example/ci/../ci/builder")),
        (json!({}), of("spiffe://TOKENS.example/ci/builder")),
        // An issuer speaks for its own subjects, in both directions.
        (json!({}), json!({"iss": "https://idp.example"})),
        (
            json!({}),
            json!({"iss": "https://idp.example", "sub": "alice"}),
        ),
        (json!({}), json!({"aud": "https://elsewhere.example"})),
        (json!({}), json!({"exp": null})),
        (json!({}), json!({"exp": now() - 61})),
        (json!({}), json!({"exp": now() + 86_400})),
        (json!({"typ": "at+jwt"}), json!({})),
        (json!({"typ": "dpop+jwt"}), json!({})),
        (json!({"alg": "HS256"}), json!({})),
        (json!({"kid": "other"}), json!({})),
    ] {
        let answer = rig.call(&svid(&header, &changes), "get_issue");
        assert_eq!(answer.status, 401, "{header} {changes}: {answer:?}");
    }
    // A workload that nobody declared is known to nobody.
    let stranger = svid(&none, &of("spiffe://tokens.example/ci/stranger"));
    assert_eq!(
        rig.call(&stranger, "get_issue").outcome(),
        "surface_unmatched"
    );
    let event = rig.events().pop().unwrap();
    assert_eq!(event["reason"], "principal_unknown", "{event}");
    // The usual issuer has no say about workloads.
    let forged = with(&of(BUILDER));
    assert_ne!(rig.call(&forged, "get_issue").outcome(), "ok");
    assert_eq!(rig.server.seen().len(), 5);
}

#[test]
fn keys_of_a_trust_domain_for_something_else_verify_nothing() {
    let mut release = release();
    release.index = |it| {
        index(it);
        for issuer in &mut it.issuers {
            if issuer.name == "svid" {
                issuer.keys = keys("sig");
            }
        }
    };
    let rig = Rig::with(&release, "");
    let svid = svid(&json!({}), &json!({}));
    assert_eq!(rig.call(&svid, "get_issue").status, 401);
    let event = rig.events().pop().unwrap();
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains("`kid`"), "{detail}");
    assert_eq!(rig.call(&token("alice"), "get_issue").outcome(), "ok");
}

/// A sidecar with TLS that asks for client certificates of this authority.
fn secured(authority: &Authority, release: &bundle::Release) -> Rig {
    let tls = "tls = {certificate = \"tls.pem\", key = \"tls.key\", \
               client_ca = \"clients.pem\", client_certificate = \"optional\"}";
    Rig::prepared(
        release,
        |folder| {
            authority.server().write(folder);
            put(&folder.join("clients.pem"), &authority.pem);
        },
        &format!("listen = {{{tls}}}"),
    )
}

/// A call on a connection of its own, with a certificate and a token where they are.
fn call(
    rig: &Rig,
    authority: &Authority,
    certificate: Option<&Pair>,
    token: Option<&str>,
    tool: &str,
) -> Answer {
    let connector = authority.connector(certificate, &["http/1.1"]);
    let mut request = web::call(token.unwrap_or_default(), tool);
    if token.is_none() {
        request.headers_mut().remove("authorization");
    }
    run(async {
        let mut web = Web::tls(rig.sidecar.address, &connector).await.unwrap();
        let response = web.send(request).await.unwrap();
        web::read(response).await.unwrap()
    })
}

#[test]
fn a_client_certificate_says_which_workload_calls() {
    let authority = Authority::new();
    let rig = secured(&authority, &release());
    let outcome = |pair: &Pair| call(&rig, &authority, Some(pair), None, "get_issue").outcome();
    let named = |dns: &[&str], uris: &[&str]| authority.sign(dns, uris, 3600);
    let worker = named(&[], &[WORKER]);
    assert_eq!(outcome(&worker), "ok");
    let event = rig.events().pop().unwrap();
    assert_eq!(event["principal_id"], "worker", "{event}");
    let gateway = named(&["other.example", "gateway.acme.example"], &[]);
    assert_eq!(outcome(&gateway), "ok");
    let event = rig.events().pop().unwrap();
    assert_eq!(event["principal_id"], "gateway", "{event}");
    for (pair, reason) in [
        // A trust domain whose ids only tokens show, and one that is nobody's: no identity.
        (named(&[], &[BUILDER]), "unauthenticated"),
        (named(&[], &["spiffe://other.example/a"]), "unauthenticated"),
        // An id goes before names: the names do not help a workload that nobody declared.
        (
            named(
                &["gateway.acme.example"],
                &["spiffe://mesh.example/ns/prod/sa/stranger"],
            ),
            "principal_unknown",
        ),
        (named(&["stranger.acme.example"], &[]), "principal_unknown"),
        (named(&["*.acme.example"], &[]), "principal_unknown"),
    ] {
        let said = outcome(&pair);
        let event = rig.events().pop().unwrap();
        assert_eq!(event["reason"], reason, "{said}: {event}");
        assert_ne!(said, "ok");
    }
    // A token says who calls, where there is one; a bad one is not saved by a certificate.
    let answer = call(
        &rig,
        &authority,
        Some(&worker),
        Some(&token("alice")),
        "push_files",
    );
    assert_eq!(answer.outcome(), "ok");
    assert_eq!(rig.events().pop().unwrap()["principal_id"], "alice");
    let answer = call(
        &rig,
        &authority,
        Some(&worker),
        Some("nonsense"),
        "get_issue",
    );
    assert_eq!(answer.status, 401);
    assert_eq!(rig.server.seen().len(), 3);
}

#[test]
fn a_token_that_is_bound_to_a_certificate_comes_with_it() {
    let authority = Authority::new();
    let rig = secured(&authority, &bundle::Release::new(1));
    let own = authority.sign(&["client.acme.example"], &[], 3600);
    let other = authority.sign(&["client.acme.example"], &[], 3600);
    let token = bound(&own);
    let good = call(&rig, &authority, Some(&own), Some(&token), "get_issue");
    assert_eq!(good.outcome(), "ok");
    for shown in [None, Some(&other)] {
        let answer = call(&rig, &authority, shown, Some(&token), "get_issue");
        assert_eq!(answer.status, 401);
        let event = rig.events().pop().unwrap();
        let detail = event["detail"].as_str().unwrap();
        assert!(detail.contains("not shown"), "{detail}");
    }
    // Bound in a way that is not known here is not bound in a way that is checked.
    for cnf in [
        json!({"x5t#S256": thumbprint(&own), "x5t": "AAAA"}),
        json!({"x5t": "AAAA"}),
        json!({"x5t#S256": thumbprint(&own), "jkt": thumbprint(&other)}),
        json!({"x5t#S256": format!("{}=", thumbprint(&own))}),
        json!({}),
    ] {
        let token = with(&json!({ "cnf": cnf }));
        let answer = call(&rig, &authority, Some(&own), Some(&token), "get_issue");
        assert_eq!(answer.status, 401, "{cnf}");
    }
    assert_eq!(rig.server.seen().len(), 1);
}

#[test]
fn a_server_may_take_only_what_is_bound_to_a_certificate() {
    let authority = Authority::new();
    let mut release = bundle::Release::new(1);
    release.settings.proof = ProofRule::Certificate;
    let rig = secured(&authority, &release);
    let own = authority.sign(&["client.acme.example"], &[], 3600);
    let answer = |token: &str| call(&rig, &authority, Some(&own), Some(token), "get_issue");
    assert_eq!(answer(&bound(&own)).outcome(), "ok");
    assert_eq!(answer(&token("alice")).status, 401);
}

fn bound(pair: &Pair) -> String {
    with(&json!({"cnf": {"x5t#S256": thumbprint(pair)}}))
}

fn thumbprint(pair: &Pair) -> String {
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    B64.encode(Digest::of(&der).0)
}
