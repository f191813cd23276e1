//! Tokens that are bound to a key (RFC 9449): what comes with a proof about this very request goes
//! on, and nothing else does.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use latchkey_engine::index::{Index, SurfaceKind, Transport};
use latchkey_gate::{
    settings::{IssuerSettings, ServerSettings, Settings as _},
    supply::Digest,
    token::{ProofRule, mint::Mint},
};
use serde_json::{Value, json};

use crate::{
    bundle::{self, now, token, with},
    client::{self, Answer},
    redis::Redis,
    rig::{Rig, sidecar, wait_for},
};

const URL: &str = "https://tools.example/mcp";

/// Who holds a key.
struct Holder {
    mint: Mint,
    jwk: Value,
}

impl Holder {
    fn new(seed: u8) -> Self {
        let mint = Mint::from_seed("own", [seed; 32]);
        let set: Value = serde_json::from_str(&mint.jwks()).unwrap();
        let x = &set["keys"][0]["x"];
        let jwk = json!({"crv": "Ed25519", "kty": "OKP", "x": x});
        Self { mint, jwk }
    }

    /// A token of alice's that is bound to the key.
    fn token(&self) -> String {
        let thumbprint = B64.encode(Digest::of(self.jwk.to_string().as_bytes()).0);
        with(&json!({"cnf": {"jkt": thumbprint}}))
    }

    /// A proof for a token that differs in these members, of payload and header.
    fn proof(&self, token: &str, changes: &Value, of_header: &Value) -> String {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": self.jwk});
        let mut payload = json!({
            "htm": "POST", "htu": URL, "iat": now(), "jti": format!("p-{id}"),
            "ath": B64.encode(Digest::of(token.as_bytes()).0),
        });
        for (base, changes) in [(&mut header, of_header), (&mut payload, changes)] {
            for (name, value) in changes.as_object().unwrap() {
                base[name] = value.clone();
            }
        }
        self.mint
            .sign_raw(&header.to_string(), &payload.to_string())
    }
}

/// A sidecar whose server asks for this.
fn rig(proof: ProofRule) -> Rig {
    let mut release = bundle::Release::new(1);
    release.settings.proof = proof;
    Rig::with(&release, "")
}

fn call(address: SocketAddr, headers: &[(&str, &str)]) -> Answer {
    client::send(
        address,
        "POST",
        "",
        headers,
        &client::tool_call("get_issue"),
    )
}

fn shown(address: SocketAddr, token: &str, proof: &str) -> Answer {
    let token = format!("DPoP {token}");
    call(address, &[("Authorization", &token), ("DPoP", proof)])
}

/// What the last request came to, by the audit log.
fn last(rig: &Rig) -> (String, String) {
    let event = rig.events().pop().unwrap();
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("detail"))
}

#[test]
fn a_bound_token_with_its_proof_goes_on_and_the_proof_does_not() {
    let rig = rig(ProofRule::Dpop);
    let (holder, none) = (Holder::new(1), json!({}));
    let token = holder.token();
    for changes in [
        json!({}),
        json!({"htu": "HTTPS://Tools.example:443/mcp?a=1#b"}),
        json!({"htu": "https://tools.example"}),
        json!({"iat": now() - 50}),
    ] {
        // What was issued before the sidecar began is taken for a repetition.
        let proof = holder.proof(&token, &changes, &none);
        let answer = shown(rig.sidecar.address, &token, &proof);
        if changes["iat"].is_null() {
            assert_eq!(answer.outcome(), "ok", "{changes}");
        } else {
            assert_eq!(answer.outcome(), "token_replayed", "{changes}");
        }
    }
    let seen = rig.server.seen();
    assert_eq!(seen.len(), 3);
    for request in seen {
        assert!(!request.headers.contains_key("dpop"));
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[test]
fn every_other_proof_is_refused() {
    let rig = rig(ProofRule::Any);
    let (holder, thief, none) = (Holder::new(1), Holder::new(2), json!({}));
    let token = holder.token();
    let address = rig.sidecar.address;
    let port = address.port();
    let changed = |changes: Value| holder.proof(&token, &changes, &none);
    let headed = |changes: Value| holder.proof(&token, &none, &changes);
    let mut private = holder.jwk.clone();
    private["d"] = json!("AAAA");
    for (proof, says) in [
        (changed(json!({"htm": "GET"})), "another method"),
        (
            changed(json!({"htu": "https://tools.example/other"})),
            "another URL",
        ),
        // Where it came to says nothing: the policy says whose proofs are meant.
        (
            changed(json!({"htu": format!("http://localhost:{port}/mcp")})),
            "another URL",
        ),
        (
            changed(json!({"htu": "https://evil.example/mcp"})),
            "another URL",
        ),
        (changed(json!({"ath": "AAAA"})), "another access token"),
        (changed(json!({"ath": null})), "another access token"),
        (changed(json!({"iat": now() - 120})), "too old"),
        (changed(json!({"iat": now() + 60})), "too old or from the"),
        (changed(json!({"jti": null})), "jti is not well formed"),
        (headed(json!({"typ": "JWT"})), "`typ`"),
        (headed(json!({"alg": "none"})), "`alg`"),
        (headed(json!({"alg": "HS256"})), "`alg`"),
        (headed(json!({"crit": ["x"]})), "`crit`"),
        (headed(json!({"jwk": private})), "private or symmetric"),
        (headed(json!({"jwk": thief.jwk})), "does not verify"),
        (thief.proof(&token, &none, &none), "not shown"),
        ("nonsense".to_owned(), "form is not well formed"),
    ] {
        let answer = shown(address, &token, &proof);
        assert_eq!(answer.status, 401, "{says}: {answer:?}");
        let (reason, detail) = last(&rig);
        assert_eq!(reason, "unauthenticated", "{says}");
        assert!(detail.contains(says), "{says}: {detail}");
    }
    assert!(rig.server.seen().is_empty());
}

#[test]
fn a_proof_is_taken_once_and_is_not_left_out() {
    let rig = rig(ProofRule::Any);
    let (holder, none) = (Holder::new(1), json!({}));
    let (token, address) = (holder.token(), rig.sidecar.address);
    let proof = holder.proof(&token, &none, &none);
    assert_eq!(shown(address, &token, &proof).outcome(), "ok");
    for _ in 0..3 {
        assert_eq!(shown(address, &token, &proof).outcome(), "token_replayed");
    }
    // Shown many times at once: one call goes on.
    let proof = holder.proof(&token, &none, &none);
    let taken: usize = std::thread::scope(|scope| {
        let call = || usize::from(shown(address, &token, &proof).outcome() == "ok");
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
    let (as_proof, as_bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let fresh = || holder.proof(&token, &none, &none);
    let (one, other) = (fresh(), fresh());
    let authorization = |value| ("Authorization", value);
    for headers in [
        vec![authorization(as_proof.as_str())],
        vec![authorization(as_bearer.as_str())],
        vec![authorization(as_bearer.as_str()), ("DPoP", one.as_str())],
        vec![
            authorization(as_proof.as_str()),
            ("DPoP", one.as_str()),
            ("DPoP", other.as_str()),
        ],
    ] {
        assert_eq!(call(address, &headers).status, 401, "{headers:?}");
        assert_eq!(last(&rig).0, "unauthenticated");
    }
    assert_eq!(rig.server.seen().len(), 2);
}

#[test]
fn a_token_of_anybody_is_not_made_one_of_its_holder() {
    let (holder, none) = (Holder::new(1), json!({}));
    let plain = token("alice");
    let proof = |token: &str| holder.proof(token, &none, &none);
    // A proof beside a token that names no key says nothing.
    let rig = rig(ProofRule::Any);
    let answer = shown(rig.sidecar.address, &plain, &proof(&plain));
    assert_eq!(answer.status, 401);
    assert_eq!(rig.call(&plain, "get_issue").outcome(), "ok");
    for (rule, bound) in [
        (ProofRule::Dpop, true),
        (ProofRule::Bound, true),
        (ProofRule::Certificate, false),
    ] {
        let rig = self::rig(rule);
        assert_eq!(rig.call(&plain, "get_issue").status, 401, "{rule:?}");
        let token = holder.token();
        let answer = shown(rig.sidecar.address, &token, &proof(&token));
        assert_eq!(answer.status == 200, bound, "{rule:?}");
    }
    // What the issuer asks for holds as well as what the server asks for.
    let mut release = bundle::Release::new(1);
    release.index = |index| {
        let settings = IssuerSettings {
            proof: ProofRule::Dpop,
            ..IssuerSettings::default()
        };
        index.issuers[0].settings = settings.to_text().unwrap();
    };
    let rig = Rig::with(&release, "");
    assert_eq!(rig.call(&plain, "get_issue").status, 401);
    let token = holder.token();
    let answer = shown(rig.sidecar.address, &token, &proof(&token));
    assert_eq!(answer.outcome(), "ok");
}

#[test]
fn challenges_ask_for_proofs_where_the_policy_does() {
    let challenges = |rig: &Rig, token: &str| {
        let answer = rig.call(token, "get_issue");
        assert_eq!(answer.status, 401);
        let all = answer.headers.into_iter();
        all.filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let place = "resource_metadata=\"https://tools.example/.well-known/oauth-protected-resource\"";
    for rule in [ProofRule::Any, ProofRule::Certificate] {
        let rig = rig(rule);
        assert_eq!(challenges(&rig, ""), [format!("Bearer {place}")]);
    }
    let algs = "algs=\"EdDSA ES256 RS256 ES384 PS256\"";
    for rule in [ProofRule::Dpop, ProofRule::Bound] {
        let rig = rig(rule);
        let both = [format!("Bearer {place}"), format!("DPoP {place}, {algs}")];
        assert_eq!(challenges(&rig, ""), both);
        let expired = bundle::minted("alice", -120);
        let both = [
            format!("Bearer error=\"invalid_token\", {place}"),
            format!("DPoP error=\"invalid_token\", {place}, {algs}"),
        ];
        assert_eq!(challenges(&rig, &expired), both);
    }
}

/// The server as one of plain HTTP: each tool is a route.
fn routes(index: &mut Index) {
    index.issuers[0].audiences = vec!["https://tools.example/v1".to_owned()];
    for server in &mut index.servers {
        server.transport = Transport::Http;
        server.upstream = server.upstream.trim_end_matches("/mcp").to_owned();
    }
    for surface in &mut index.surfaces {
        surface.kind = SurfaceKind::Route {
            method: "POST".to_owned(),
            path: format!("/v1/{}", surface.name),
        };
    }
}

#[test]
fn over_plain_http_a_proof_is_for_one_path() {
    let mut release = bundle::Release::new(1);
    release.index = routes;
    let rig = Rig::with(&release, "");
    let (holder, none) = (Holder::new(1), json!({}));
    let thumbprint = B64.encode(Digest::of(holder.jwk.to_string().as_bytes()).0);
    let token = with(&json!({
        "cnf": {"jkt": thumbprint}, "aud": "https://tools.example/v1",
    }));
    let send = |path: &str, htu: &str| {
        let proof = holder.proof(&token, &json!({"htu": htu}), &none);
        let mut connection = client::Connection::open(rig.sidecar.address, "");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: DPoP {token}\r\n\
             DPoP: {proof}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        connection.send(&request).unwrap();
        let status = connection.answer().unwrap().status;
        (status, last(&rig).1)
    };
    let (path, own) = ("/v1/get_issue", "https://tools.example/v1/get_issue");
    // The tool server takes what is no message, and says so.
    assert_eq!(send(path, own), (202, String::new()));
    assert_eq!(
        send("/v1/get_issue?number=2", own),
        (202, String::new()),
        "the query is not compared"
    );
    for other in [
        "https://tools.example/v1",
        "https://tools.example/v1/",
        "https://tools.example",
        "https://tools.example/get_issue",
        "https://tools.example/v1/push_files",
        "https://tools.example/v1/get_issue/7",
        "https://tools.example/v1/%67et_issue",
        "https://other.example/v1/get_issue",
        "http://tools.example/v1/get_issue",
        "http://localhost/v1/get_issue",
    ] {
        let (status, detail) = send(path, other);
        assert_eq!(status, 401, "{other}");
        assert!(detail.contains("another URL"), "{other}: {detail}");
    }
    assert_eq!(rig.server.seen().len(), 2);
}

#[test]
fn sidecars_with_a_store_take_a_proof_once_among_them() {
    let redis = Redis::start();
    let store = format!("store = {{redis = \"{}\"}}", redis.url());
    let change = |settings: &mut ServerSettings| {
        settings.replicas = 2;
        settings.shared_store = true;
    };
    let mut release = bundle::Release::new(1);
    change(&mut release.settings);
    let first = Rig::with(&release, &store);
    let folder = tempfile::tempdir().unwrap();
    release.write(folder.path(), &first.server.upstream());
    let second = sidecar(folder.path(), &store).unwrap();
    for shared in [first.sidecar.shared(), second.shared()] {
        wait_for("the store", || {
            shared.store.as_ref().unwrap().is_connected()
        });
    }
    let addresses = [first.sidecar.address, second.address];
    let (holder, none) = (Holder::new(1), json!({}));
    let token = holder.token();
    // The store remembers from its first question on; the clocks are of this machine.
    let call = |at: usize, proof: &str| shown(addresses[at % 2], &token, proof).outcome();
    wait_for("the store's memory", || {
        let proof = holder.proof(&token, &none, &none);
        call(0, &proof) == "ok"
    });
    let before = first.server.seen().len();
    for turn in 0..4 {
        let proof = holder.proof(&token, &none, &none);
        assert_eq!(call(turn, &proof), "ok");
        assert_eq!(call(turn + 1, &proof), "token_replayed");
        assert_eq!(call(turn, &proof), "token_replayed");
    }
    assert_eq!(first.server.seen().len(), before + 4);
    redis.signal("STOP");
    let proof = holder.proof(&token, &none, &none);
    assert_eq!(call(0, &proof), "token_replayed");
    redis.signal("CONT");
}
