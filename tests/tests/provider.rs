//! A certified identity provider from npm, `oidc-provider`, and a client by the same hand: login
//! tokens through discovery and key set, new keys, outages, clocks, and proofs of possession.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use latchkey::{check, source::Folder};
use latchkey_engine::time::Time;
use latchkey_tests::{
    live::wait_for,
    provider::{Gate, Provider, status},
};
use serde_json::{Value, json};

/// All algorithms, as the lines of an issuer.
const ALL: &str = "    algorithms: [EdDSA, ES256, RS256, ES384, PS256]\n    clockSkew: 30s";
/// So seldom that nothing is fetched but what a test is about.
const SELDOM: (u32, u32) = (600, 1200);

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

#[test]
fn login_tokens_are_taken_in_every_algorithm_and_identity_tokens_in_none() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", SELDOM);
    let _running = gate.start(true);
    let resource = &gate.resource;
    for alg in ["EdDSA", "Ed25519", "ES256", "RS256", "ES384", "PS256"] {
        let wish = json!({"do": "login", "alg": alg, "account": "alice", "resource": resource});
        let login = provider.ask(&wish);
        assert_eq!(gate.call(&provider, text(&login, "access_token")), "ok");
        let event = gate.rig.events().pop().unwrap();
        assert_eq!(event["principal_id"], "alice", "{event}");
        // Who logs in has an identity token too, and it is for the client alone.
        assert_eq!(
            gate.call(&provider, text(&login, "id_token")),
            "unauthenticated"
        );
        let event = gate.rig.events().pop().unwrap();
        assert!(text(&event, "detail").contains("`typ`"), "{event}");
        let token = provider.token(&json!({"alg": alg, "resource": resource}));
        assert_eq!(gate.call(&provider, &token), "ok");
        let event = gate.rig.events().pop().unwrap();
        assert_eq!(event["principal_id"], "agent", "{event}");
        let other = provider.token(&json!({"alg": alg, "resource": "https://other.example"}));
        assert_eq!(gate.call(&provider, &other), "unauthenticated");
        let event = gate.rig.events().pop().unwrap();
        assert!(text(&event, "detail").contains("audiences"), "{event}");
        println!("{alg}: access tokens of a login and of a program taken; identity token refused");
    }
    assert_eq!(gate.rig.upstream.count(), 12);
    assert_eq!(provider.fetches(), 1);
}

#[test]
fn an_algorithm_that_the_policy_does_not_name_is_refused() {
    let provider = Provider::start();
    let narrow = "    algorithms: [ES256]";
    let gate = Gate::new(&provider, narrow, "", SELDOM);
    let _running = gate.start(true);
    let token = |alg: &str| provider.token(&json!({"alg": alg, "resource": gate.resource}));
    assert_eq!(gate.call(&provider, &token("ES256")), "ok");
    for alg in ["EdDSA", "RS256", "PS256", "ES384"] {
        assert_eq!(gate.call(&provider, &token(alg)), "unauthenticated");
        let event = gate.rig.events().pop().unwrap();
        assert!(text(&event, "detail").contains("`alg`"), "{event}");
    }
}

#[test]
fn new_keys_are_learnt_at_once_and_old_ones_are_forgotten() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", (3, 60));
    let running = gate.start(true);
    let token = || {
        let wish = json!({"alg": "ES256", "resource": gate.resource, "ttl": 600});
        provider.token(&wish)
    };
    let first = token();
    assert_eq!(gate.call(&provider, &first), "ok");
    provider.ask(&json!({"do": "rotate"}));
    let second = token();
    let begun = Instant::now();
    assert_eq!(gate.call(&provider, &second), "ok");
    println!(
        "a key that nobody knew: the first call with it is taken, after {:?}",
        begun.elapsed()
    );
    assert_eq!(gate.call(&provider, &first), "ok", "both are published");
    assert_eq!(status(&running)["keys"], 8);
    provider.ask(&json!({"do": "retire"}));
    let begun = Instant::now();
    wait_for("the end of the old key", || {
        gate.call(&provider, &first) == "unauthenticated"
    });
    println!(
        "a retired key: its tokens are refused after {:?}, with keys fetched every 3 s",
        begun.elapsed()
    );
    let event = gate.rig.events().pop().unwrap();
    assert!(text(&event, "detail").contains("`kid`"), "{event}");
    assert_eq!(gate.call(&provider, &second), "ok");
    assert_eq!(status(&running)["keys"], 4);
}

#[test]
fn invented_keys_do_not_load_the_provider() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", SELDOM);
    let _running = gate.start(true);
    // Signed by keys of its own that are published no more.
    let lost: Vec<String> = (0..5)
        .map(|_| {
            provider.ask(&json!({"do": "rotate"}));
            let token = provider.token(&json!({"alg": "EdDSA", "resource": gate.resource}));
            provider.ask(&json!({"do": "rotate"}));
            provider.ask(&json!({"do": "retire"}));
            token
        })
        .collect();
    let before = provider.fetches();
    for token in &lost {
        assert_eq!(gate.call(&provider, token), "unauthenticated");
    }
    let asked = provider.fetches() - before;
    println!(
        "{} unknown keys: the provider is asked {asked} time",
        lost.len()
    );
    assert_eq!(asked, 1);
}

#[test]
fn an_outage_is_bridged_whatever_it_looks_like() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", (1, 120));
    let running = gate.start(true);
    let token = provider.token(&json!({"alg": "RS256", "resource": gate.resource, "ttl": 600}));
    for mode in ["away", "hang", "error", "garbage"] {
        provider.becomes(mode);
        wait_for("the failure", || !status(&running)["last_error"].is_null());
        assert_eq!(gate.call(&provider, &token), "ok", "{mode}");
        // Nobody is asked whether a token is good: another one of a known key is taken as well.
        let said = status(&running);
        println!("{mode}: calls go on; {}", text(&said, "last_error"));
        provider.becomes("up");
        let begun = Instant::now();
        while !status(&running)["last_error"].is_null() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{mode}");
            sleep(Duration::from_millis(50));
        }
        println!(
            "{mode}: over, and keys are fetched again after {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn after_the_hard_age_nothing_is_taken_until_the_provider_is_back() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", (1, 6));
    let running = gate.start(true);
    let token = provider.token(&json!({"alg": "EdDSA", "resource": gate.resource, "ttl": 600}));
    assert_eq!(gate.call(&provider, &token), "ok");
    provider.becomes("away");
    let begun = Instant::now();
    sleep(Duration::from_secs(2));
    // A restart needs no provider, and makes no key younger.
    running.drain();
    let running = gate.start(true);
    assert_eq!(gate.call(&provider, &token), "ok");
    let reason = loop {
        let reason = gate.call(&provider, &token);
        if reason != "ok" {
            break reason;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(100));
    };
    let ended = begun.elapsed();
    println!("keys of at most 6 s: {reason} {ended:?} after the provider has gone");
    assert_eq!(reason, "issuer_unavailable");
    assert!(ended > Duration::from_secs(4) && ended < Duration::from_secs(12));
    running.drain();
    let running = gate.start(false);
    assert_eq!(
        gate.call(&provider, &token),
        "issuer_unavailable",
        "after a restart"
    );
    provider.becomes("up");
    let begun = Instant::now();
    wait_for("its return", || gate.call(&provider, &token) == "ok");
    println!("back: the first call is taken {:?} later", begun.elapsed());
    assert_eq!(status(&running)["keys"], 4);
}

#[test]
fn clocks_differ_by_the_skew_and_by_no_more() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "", SELDOM);
    let _running = gate.start(true);
    // Tokens of a minute, and half a minute of skew; a few seconds for this test to be slow.
    for (ahead, expected, says) in [
        (0, "ok", ""),
        (25, "ok", ""),
        (36, "unauthenticated", "not valid yet"),
        (3600, "unauthenticated", "not valid yet"),
        (-55, "ok", ""),
        (-80, "ok", ""),
        (-91, "token_expired", "expired"),
        (-3600, "token_expired", "expired"),
    ] {
        provider.ask(&json!({"do": "clock", "ahead": ahead}));
        let token = provider.token(&json!({"alg": "ES256", "resource": gate.resource}));
        assert_eq!(gate.call(&provider, &token), expected, "{ahead} s");
        let event = gate.rig.events().pop().unwrap();
        let detail = event["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{event}");
        println!("the provider's clock {ahead} s ahead: {expected}");
    }
}

#[test]
fn a_client_finds_its_way_from_a_refusal_and_proves_its_key() {
    let provider = Provider::start();
    let gate = Gate::new(&provider, ALL, "    proof: dpop", SELDOM);
    let _running = gate.start(true);
    let refused = gate.call_with(&provider, "nothing", None);
    assert_eq!(refused["status"], 401, "{refused}");
    let challenges = refused["challenges"].as_array().unwrap();
    let schemes: Vec<&str> = challenges.iter().map(|it| text(it, "scheme")).collect();
    assert_eq!(schemes, ["bearer", "dpop"], "{refused}");
    let place = gate.resource.replace("/mcp", "");
    let place = format!("{place}/.well-known/oauth-protected-resource/mcp");
    for challenge in challenges {
        assert_eq!(challenge["parameters"]["resource_metadata"], place);
    }
    let algs = text(&challenges[1]["parameters"], "algs");
    assert!(algs.split(' ').any(|it| it == "ES256"), "{refused}");
    let found = provider.ask(&json!({"do": "found", "resource": gate.resource}));
    assert_eq!(
        found["metadata"]["dpop_bound_access_tokens_required"], true,
        "{found}"
    );
    assert_eq!(
        found["token_endpoint"],
        format!("{}/token", provider.issuer)
    );

    let wish = json!({"alg": "ES256", "resource": gate.resource, "proof": "own"});
    let bound = provider.token(&wish);
    let call = |token: &str, key| {
        let said = gate.call_with(&provider, token, key);
        let event = gate.rig.events().pop().unwrap();
        let detail = event["detail"].as_str().unwrap_or_default();
        (said["status"].as_u64().unwrap(), detail.to_owned())
    };
    for _ in 0..3 {
        assert_eq!(call(&bound, Some("own")), (200, String::new()));
    }
    let (status, detail) = call(&bound, Some("stolen"));
    assert!(status == 401 && detail.contains("not shown"), "{detail}");
    let (status, detail) = call(&bound, None);
    assert!(status == 401 && detail.contains("not shown"), "{detail}");
    let plain = provider.token(&json!({"alg": "ES256", "resource": gate.resource}));
    for key in [None, Some("own")] {
        let (status, detail) = call(&plain, key);
        assert!(status == 401 && detail.contains("not bound"), "{detail}");
    }
    println!("a client by oauth4webapi: 3 calls with proofs taken; 4 other ways refused");
    assert_eq!(gate.rig.upstream.count(), 3);
}

#[test]
fn proofs_are_asked_for_where_the_policy_says_of_which_url() {
    let refused = |audiences: &str, server: &str| -> bool {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "organizations: {{acme: {{id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {{t: {{}}}}}}}}\n\
             issuers:\n  idp:\n    issuer: https://idp.acme.example\n    audiences: {audiences}\n    \
             organizations: [acme]\n    jwks: {{discovery: true}}\n\
             servers:\n  it:\n    in: acme\n    upstream: http://127.0.0.1:1/mcp\n    proof: dpop\n{server}\
             \x20   tools: {{look: {{risk: read, input: {{type: object}}}}}}\n"
        );
        std::fs::write(folder.path().join("policy.yaml"), text).unwrap();
        let name = "[project]\nname = \"proofs\"\n";
        std::fs::write(folder.path().join("latchkey.toml"), name).unwrap();
        let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
        let checked = check(&Folder::new(folder.path()), today);
        format!("{:?}", checked.sink).contains("no proof could be for `it`")
    };
    let two = "[\"https://a.example\", \"https://b.example\"]";
    assert!(refused(two, ""));
    assert!(refused("[tools]", ""));
    assert!(!refused("[\"https://a.example\"]", ""));
    assert!(!refused(two, "    audience: https://b.example\n"));
}
