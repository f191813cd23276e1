//! Tokens that a sidecar gives in exchange, and every way to get more out of them.

use std::{fmt::Write as _, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use latchkey_gate::{
    capability::{Capability, CapabilityKeys, Origin, request_hash},
    settings::{Binding, ServerSettings, TokenExchange},
};
use serde_json::{Value, json};

use crate::{
    bundle::{self, token},
    client::{self, Answer},
    redis::Redis,
    rig::{Rig, events, sidecar, wait_for},
};

const READ: &str = "tools:github/get_issue:call";
const PUSH: &str = "tools:github/push_files:call";
const KEY: [u8; 32] = [5; 32];

/// A sidecar that exchanges tokens, with a key that the test knows.
fn rig(rules: TokenExchange, more: &str) -> Rig {
    rig_with(|settings| settings.token = Some(rules), more)
}

fn rig_with(change: impl Fn(&mut ServerSettings), more: &str) -> Rig {
    let mut release = bundle::Release::new(1);
    release.bob = true;
    change(&mut release.settings);
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), STANDARD.encode(KEY)).unwrap();
    let path = keys.path().display();
    let settings = format!("token = {{key_file = \"{path}\"}}\n{more}");
    Rig::with(&release, &settings)
}

fn once() -> TokenExchange {
    TokenExchange {
        ttl: 90,
        ..TokenExchange::default()
    }
}

fn reusable() -> TokenExchange {
    TokenExchange {
        reusable: true,
        ..once()
    }
}

fn exchange(address: SocketAddr, subject: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", subject),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("resource", "https://tools.example"),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    let mut body = String::new();
    for (name, value) in pairs {
        write!(body, "{name}=").unwrap();
        for byte in value.bytes() {
            write!(body, "%{byte:02X}").unwrap();
        }
        body.push('&');
    }
    let mut connection = client::Connection::open(address, "");
    let head = format!(
        "POST /v1/token/exchange HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(&(head + &body)).unwrap();
    connection.answer().unwrap()
}

/// The same with the token of an actor, for a permission of everyone's.
fn acting(address: SocketAddr, subject: &str, actor: &str, more: &[(&str, &str)]) -> Answer {
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    let mut all = vec![
        ("actor_token", actor),
        ("actor_token_type", kind),
        ("scope", READ),
    ];
    all.extend(more);
    exchange(address, subject, &all)
}

fn access_token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// The token that is given for a permission.
fn given(rig: &Rig, subject: &str, scope: &str) -> String {
    let answer = exchange(rig.sidecar.address, subject, &[("scope", scope)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn refused(answer: &Answer) -> String {
    assert_eq!(answer.status, 400, "{answer:?}");
    answer.json()["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_for_what_was_asked_and_for_one_call() {
    let rig = rig(once(), "");
    let capability = given(&rig, &token("alice"), READ);
    assert_eq!(rig.call(&capability, "push_files").outcome(), "token_scope");
    // Traffic of the protocol is no call.
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert!(client::post(rig.sidecar.address, &capability, list).json()["result"].is_object());
    assert_eq!(rig.call(&capability, "get_issue").outcome(), "ok");
    assert_eq!(
        rig.call(&capability, "get_issue").outcome(),
        "token_replayed"
    );
    assert_eq!(rig.server.seen().len(), 2);
    let events = rig.events();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["http"]["path"], Value::Null, "{}", events[0]);
    assert_eq!(events[0]["reason"], "ok");
    assert_eq!(events[4]["reason"], "token_replayed");
    let text = std::fs::read_to_string(rig.folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains(&capability), "a token in the audit log");
}

#[test]
fn what_the_caller_does_not_hold_is_not_given() {
    let rig = rig(once(), "");
    let address = rig.sidecar.address;
    let both = [READ, PUSH].join(" ");
    // bob may read and no more.
    let answer = exchange(address, &token("bob"), &[("scope", &both)]);
    assert_eq!(answer.json()["scope"], READ);
    let answer = exchange(address, &token("bob"), &[("scope", PUSH)]);
    assert_eq!(refused(&answer), "invalid_scope");
    for scope in [
        "tools:github/unheard_of:call",
        "tools:payments/refund:call",
        "*",
        "",
    ] {
        let answer = exchange(address, &token("alice"), &[("scope", scope)]);
        assert_eq!(refused(&answer), "invalid_scope", "{scope}");
    }
    let details = json!([{"type": "latchkey_permissions", "permissions": [READ]}]).to_string();
    let answer = exchange(
        address,
        &token("bob"),
        &[("authorization_details", &details)],
    );
    assert_eq!(answer.json()["scope"], READ);
}

#[test]
fn a_token_never_widens() {
    let rig = rig(reusable(), "");
    let narrow = given(&rig, &token("alice"), READ);
    let answer = exchange(rig.sidecar.address, &narrow, &[("scope", PUSH)]);
    assert_eq!(refused(&answer), "invalid_scope");
    let both = [READ, PUSH].join(" ");
    let answer = exchange(rig.sidecar.address, &narrow, &[("scope", &both)]);
    assert_eq!(answer.json()["scope"], READ);
    // What is taken from the caller is taken from the token at once.
    let token = given(&rig, &token("bob"), READ);
    assert_eq!(rig.call(&token, "get_issue").outcome(), "ok");
    let mut release = bundle::Release::new(2);
    release.settings.token = Some(reusable());
    release.write(rig.folder.path(), &rig.server.upstream());
    wait_for("the swap", || {
        rig.sidecar.shared().active().unwrap().generation == 2
    });
    assert_ne!(rig.call(&token, "get_issue").outcome(), "ok");
}

#[test]
fn a_token_is_exchanged_again_to_a_depth_and_not_beyond() {
    let rig = rig(reusable(), "");
    let mut next = token("alice");
    for _ in 0..4 {
        next = given(&rig, &next, READ);
        assert_eq!(rig.call(&next, "get_issue").outcome(), "ok");
    }
    let beyond = exchange(rig.sidecar.address, &next, &[("scope", READ)]);
    assert_eq!(refused(&beyond), "invalid_request");
}

#[test]
fn actors_are_chained_and_each_must_hold_the_permission() {
    let rig = rig(reusable(), "");
    let address = rig.sidecar.address;
    let bob = token("bob");
    let acting = |scope| acting(address, &token("alice"), &bob, &[("scope", scope)]);
    assert_eq!(refused(&acting(PUSH)), "invalid_scope");
    let answer = acting(READ);
    let chained = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(rig.call(&chained, "get_issue").outcome(), "ok");
    let event = rig.events().pop().unwrap().to_string();
    assert!(event.contains("alice") && event.contains("bob"), "{event}");
}

#[test]
fn a_token_ends_with_its_actors() {
    let rig = rig(reusable(), "");
    let address = rig.sidecar.address;
    let (long, short) = (token("alice"), bundle::minted("bob", 10));
    let seconds = |answer: &Answer| answer.json()["expires_in"].as_i64().unwrap();
    let of_short = seconds(&exchange(address, &short, &[("scope", READ)]));
    assert!(of_short < 90, "{of_short}");
    assert!(seconds(&acting(address, &long, &short, &[])) <= of_short);
    let given = access_token(&exchange(address, &short, &[("scope", READ)]));
    assert!(seconds(&acting(address, &long, &given, &[])) <= of_short);
    let over = acting(address, &long, &bundle::minted("bob", -120), &[]);
    assert_eq!(refused(&over), "invalid_request");
}

#[test]
fn a_token_is_revoked_with_whatever_its_actor_has_shown() {
    let rig = rig(reusable(), r#"overlay = {file = "overlay.json"}"#);
    let address = rig.sidecar.address;
    let path = rig.folder.path().join("overlay.json");
    let revoke = |ids: &[&str]| {
        std::fs::write(&path, json!({"revoked_tokens": ids}).to_string()).unwrap();
    };
    revoke(&[]);
    wait_for("the overlay", || rig.sidecar.shared().overlay_is_known());
    let (alice, bob) = (token("alice"), token("bob"));
    let given = given(&rig, &bob, READ);
    let chained = [
        acting(address, &alice, &bob, &[]),
        acting(address, &alice, &given, &[]),
    ];
    for chained in chained {
        let chained = access_token(&chained);
        let again = access_token(&exchange(address, &chained, &[("scope", READ)]));
        for token in [chained, again] {
            let outcome = || rig.call(&token, "get_issue").outcome();
            assert_eq!(outcome(), "ok");
            revoke(&["bob-600"]);
            wait_for("the revocation", || outcome() != "ok");
            assert_eq!(rig.events().pop().unwrap()["reason"], "token_revoked");
            revoke(&[]);
            wait_for("the way back", || outcome() == "ok");
        }
    }
}

#[test]
fn a_token_is_bound_to_the_request_of_its_actor() {
    let rig = rig(reusable(), "");
    let address = rig.sidecar.address;
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"get_issue","arguments":{arguments}}}}}"#
        )
    };
    let hash = |arguments: &str| request_hash("github", call(arguments).as_bytes()).unwrap();
    let (one, other) = (hash("{}"), hash(r#"{"number":2}"#));
    let bound = |subject: &str, hash: &str| {
        let more = [("scope", READ), ("req_hash", hash)];
        access_token(&exchange(address, &token(subject), &more))
    };
    let bob = bound("bob", &one);
    let chained = access_token(&acting(address, &token("alice"), &bob, &[]));
    let outcome = |arguments: &str| client::post(address, &chained, &call(arguments)).outcome();
    assert_eq!(outcome("{}"), "ok");
    assert_eq!(outcome(r#"{"number":2}"#), "token_scope");
    for (subject, more) in [
        (token("alice"), vec![("req_hash", &*other)]),
        (bound("alice", &other), vec![]),
    ] {
        let answer = acting(address, &subject, &bob, &more);
        assert_eq!(refused(&answer), "invalid_request");
    }
    let same = acting(address, &bound("alice", &one), &bob, &[("req_hash", &one)]);
    assert_eq!(same.status, 200, "{same:?}");
}

#[test]
fn actors_come_in_within_the_depth_and_their_own_counts() {
    let rig = rig(reusable(), "");
    let (address, bob) = (rig.sidecar.address, token("bob"));
    // Three actors and a last exchange: as many callers and exchanges as there may be.
    let mut next = token("alice");
    for _ in 0..3 {
        next = access_token(&acting(address, &next, &bob, &[]));
        assert_eq!(rig.call(&next, "get_issue").outcome(), "ok");
    }
    next = given(&rig, &next, READ);
    assert_eq!(rig.call(&next, "get_issue").outcome(), "ok");
    let beyond = exchange(address, &next, &[("scope", READ)]);
    assert_eq!(refused(&beyond), "invalid_request");
    let mut deep = bob;
    for _ in 0..4 {
        deep = given(&rig, &deep, READ);
    }
    let beyond = acting(address, &token("alice"), &deep, &[]);
    assert_eq!(refused(&beyond), "invalid_request");
}

#[test]
fn what_is_bound_to_a_key_is_not_exchanged() {
    let rig = rig(reusable(), "");
    let address = rig.sidecar.address;
    let thumbprint = STANDARD.encode([1; 32]).replace('=', "");
    for cnf in [json!({"jkt": thumbprint}), json!({"x5t#S256": thumbprint})] {
        let bound = bundle::with(&json!({"sub": "bob", "cnf": cnf}));
        let as_subject = exchange(address, &bound, &[("scope", READ)]);
        let as_actor = acting(address, &token("alice"), &bound, &[]);
        for answer in [as_subject, as_actor] {
            assert_eq!(refused(&answer), "invalid_request", "{cnf}");
        }
    }
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let rig = rig(once(), "");
    let address = rig.sidecar.address;
    let alice = token("alice");
    for (more, error) in [
        (
            ("grant_type", "client_credentials"),
            "unsupported_grant_type",
        ),
        (("resource", "https://other.example"), "invalid_target"),
        (("audience", "payments"), "invalid_target"),
        (("subject_token", "nonsense"), "invalid_request"),
        (("subject_token_type", "urn:x"), "invalid_request"),
        (("req_hash", "short"), "invalid_request"),
        (
            ("authorization_details", "{}"),
            "invalid_authorization_details",
        ),
    ] {
        let answer = exchange(address, &alice, &[("scope", READ), more]);
        assert_eq!(refused(&answer), error, "{more:?}");
    }
    let expired = bundle::minted("alice", -120);
    let answer = exchange(address, &expired, &[("scope", READ)]);
    assert_eq!(refused(&answer), "invalid_request");
    assert_eq!(rig.events().len(), 8);
    assert!(rig.server.seen().is_empty());
}

#[test]
fn tokens_of_other_servers_keys_and_times_are_refused() {
    let rig = rig(reusable(), "");
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    );
    let now = now.unwrap();
    let good = Capability {
        server: "acme/github".to_owned(),
        origin: Origin {
            issuer: "https://idp.example".to_owned(),
            subject: "alice".to_owned(),
            actors: Vec::new(),
            groups: Vec::new(),
        },
        permissions: vec![READ.to_owned()],
        id: "c-1".to_owned(),
        issued_at: now,
        expires_at: now + 60,
        parents: vec!["t-1".to_owned()],
        depth: 1,
        single_use: false,
        request: None,
        memory: "process:x".to_owned(),
    };
    let call = |key: [u8; 32], capability: &Capability| {
        let token = CapabilityKeys::new(&[key])
            .unwrap()
            .mint(capability)
            .unwrap();
        rig.call(&token, "get_issue").outcome()
    };
    assert_eq!(call(KEY, &good), "ok");
    assert_eq!(call([6; 32], &good), "unauthenticated");
    let changed = |change: fn(&mut Capability)| {
        let mut other = good.clone();
        change(&mut other);
        call(KEY, &other)
    };
    assert_eq!(
        changed(|it| it.server = "acme/payments".to_owned()),
        "unauthenticated"
    );
    assert_eq!(
        changed(|it| it.server = "globex/github".to_owned()),
        "unauthenticated"
    );
    assert_eq!(
        changed(|it| it.expires_at = it.issued_at - 30),
        "token_expired"
    );
    assert_eq!(changed(|it| it.issued_at += 60), "unauthenticated");
    // Another process remembers whether it was used, and this one does not.
    assert_eq!(changed(|it| it.single_use = true), "token_replayed");
    assert_eq!(
        changed(|it| it.origin.issuer = "https://x".to_owned()),
        "unauthenticated"
    );
    assert_eq!(rig.server.seen().len(), 1);
}

#[test]
fn a_bound_token_is_for_one_request_only() {
    let rules = TokenExchange {
        binding: Binding::Request,
        ..reusable()
    };
    let rig = rig(rules, "");
    let address = rig.sidecar.address;
    let unbound = exchange(address, &token("alice"), &[("scope", READ)]);
    assert_eq!(refused(&unbound), "invalid_request");
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"get_issue","arguments":{arguments}}}}}"#
        )
    };
    let hash = request_hash("github", call("{}").as_bytes()).unwrap();
    let answer = exchange(
        address,
        &token("alice"),
        &[("scope", READ), ("req_hash", &hash)],
    );
    let bound = answer.json()["access_token"].as_str().unwrap().to_owned();
    let outcome = |arguments: &str| client::post(address, &bound, &call(arguments)).outcome();
    assert_eq!(outcome("{}"), "ok");
    assert_eq!(outcome(r#"{"number":2}"#), "token_scope");
    assert_eq!(rig.server.seen().len(), 1);
    // A bound token is not exchanged for one that is bound elsewhere.
    let other = request_hash("github", call(r#"{"number":2}"#).as_bytes()).unwrap();
    let answer = exchange(address, &bound, &[("scope", READ), ("req_hash", &other)]);
    assert_eq!(refused(&answer), "invalid_request");
}

#[test]
fn tokens_callers_and_keys_are_revoked_within_a_poll() {
    let rig = rig(reusable(), r#"overlay = {file = "overlay.json"}"#);
    let path = rig.folder.path().join("overlay.json");
    let overlay = |value: Value| std::fs::write(&path, value.to_string()).unwrap();
    overlay(json!({}));
    wait_for("the overlay", || rig.sidecar.shared().overlay_is_known());
    let token = given(&rig, &token("alice"), READ);
    let key = CapabilityKeys::new(&[KEY]).unwrap();
    let opened = rig.sidecar.shared().active().unwrap().audience();
    let id = key.open(&token, &opened, i64::MAX / 2).err();
    assert!(id.is_some(), "{id:?}");
    for (revoked, reason) in [
        (json!({"revoked_tokens": ["alice-600"]}), "token_revoked"),
        (
            json!({"revoked_tokens": [format!("key:{}", key.signing_id())]}),
            "token_revoked",
        ),
        (json!({"suspended": ["alice"]}), "principal_suspended"),
    ] {
        overlay(revoked.clone());
        wait_for(reason, || rig.call(&token, "get_issue").outcome() != "ok");
        let event = rig.events().pop().unwrap();
        assert_eq!(event["reason"], reason, "{revoked}");
        overlay(json!({}));
        wait_for("the next", || {
            rig.call(&token, "get_issue").outcome() == "ok"
        });
    }
}

#[test]
fn without_the_policy_nothing_is_exchanged_or_taken() {
    let rig = rig_with(|_| {}, "");
    let answer = exchange(rig.sidecar.address, &token("alice"), &[("scope", READ)]);
    assert_ne!(answer.status, 200, "{answer:?}");
    let other = self::rig(reusable(), "");
    let token = given(&other, &token("alice"), READ);
    assert_eq!(rig.call(&token, "get_issue").outcome(), "unauthenticated");
}

#[test]
fn two_sidecars_take_a_token_once_and_none_without_their_store() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("store = {{redis = \"{}\"}}", redis.url());
    let change = |settings: &mut ServerSettings| {
        settings.token = Some(once());
        settings.replicas = 2;
        settings.shared_store = true;
    };
    let first = rig_with(change, &store);
    let mut release = bundle::Release::new(1);
    change(&mut release.settings);
    release.write(folder.path(), &first.server.upstream());
    let keys = folder.path().join("keys");
    std::fs::write(&keys, STANDARD.encode(KEY)).unwrap();
    let more = format!("token = {{key_file = \"{}\"}}\n{store}", keys.display());
    let second = sidecar(folder.path(), &more).unwrap();
    for shared in [first.sidecar.shared(), second.shared()] {
        wait_for("the store", || {
            shared.store.as_ref().unwrap().is_connected()
        });
    }
    let addresses = [first.sidecar.address, second.address];
    for turn in 0..4 {
        let capability = given(&first, &token("alice"), READ);
        let call = |at: usize| client::call(addresses[at % 2], &capability, "get_issue").outcome();
        assert_eq!(call(turn), "ok");
        assert_eq!(call(turn + 1), "token_replayed");
        assert_eq!(call(turn), "token_replayed");
    }
    // Shown to both at once, many times: one call goes on.
    let capability = given(&first, &token("alice"), READ);
    let taken: usize = std::thread::scope(|scope| {
        let call = |at: usize| client::call(addresses[at], &capability, "get_issue").outcome();
        let threads: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || usize::from(call(n % 2) == "ok")))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
    let unused = given(&first, &token("alice"), READ);
    redis.signal("STOP");
    assert_eq!(
        client::call(addresses[0], &unused, "get_issue").outcome(),
        "token_replayed"
    );
    let answer = exchange(addresses[1], &token("alice"), &[("scope", READ)]);
    assert_eq!(answer.status, 503, "{answer:?}");
    redis.signal("CONT");
    assert_eq!(first.server.seen().len(), 5);
    assert!(events(folder.path()).len() > 8);
}

#[test]
fn a_store_that_forgot_takes_no_token_from_before() {
    let mut redis = Redis::start();
    let store = format!("store = {{redis = \"{}\"}}", redis.url());
    let rig = rig_with(
        |settings| {
            settings.token = Some(once());
            settings.shared_store = true;
        },
        &store,
    );
    let connected = || rig.sidecar.shared().store.as_ref().unwrap().is_connected();
    wait_for("the store", connected);
    let used = given(&rig, &token("alice"), READ);
    assert_eq!(rig.call(&used, "get_issue").outcome(), "ok");
    redis.signal("KILL");
    wait_for("the loss", || !connected());
    // The store's clock counts seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    redis.restart();
    wait_for("the store", connected);
    assert_eq!(rig.call(&used, "get_issue").outcome(), "token_replayed");
    let fresh = given(&rig, &token("alice"), READ);
    assert_eq!(rig.call(&fresh, "get_issue").outcome(), "ok");
}
