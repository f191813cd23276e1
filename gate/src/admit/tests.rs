//! Requests through the whole path: here what is decided, below what the wire may look like and
//! what a refused caller is told.

mod told;
mod wire;

use latchkey_engine::{index::Disclose, reason::Reason};

use super::*;
use crate::testing::{NOW, actor, claims, gate, http, identity, post, server, told, tool};
use crate::wire::{Exchange, Response};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_issue","arguments":{"owner":"acme","repo":"ledger","number":1}}}"#;

fn forwarded(verdict: Verdict) -> Permit {
    match verdict.outcome {
        Outcome::Forward(permit) => permit,
        Outcome::Refuse(_) => panic!("{:?}", verdict.facts),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row each")]
fn facts_about_arguments_hold_before_anything_is_decided() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    for (name, arguments, reason) in [
        ("get_issue", r#"{"repo":"ledger"}"#, Reason::Ok),
        (
            "get_issue",
            r#"{"repo":"LEDGER","owner":"ACME"}"#,
            Reason::Ok,
        ),
        (
            "get_issue",
            r#"{"repo":"ledger","owner":"evil"}"#,
            Reason::SchemaViolation,
        ),
        (
            "get_issue",
            r#"{"repo":"ledger","owner":"\u00e4"}"#,
            Reason::SchemaViolation,
        ),
        (
            "get_issue",
            r#"{"repo":"ledger","as_user":"bob"}"#,
            Reason::SchemaViolation,
        ),
        (
            "get_issue",
            r#"{"repo":"ledger","number":0}"#,
            Reason::SchemaViolation,
        ),
        (
            "get_issue",
            r#"{"repo":"ledger","Repo":"infra"}"#,
            Reason::SchemaViolation,
        ),
        ("get_issue", "{}", Reason::ScopeInvalid),
        ("get_issue", "null", Reason::ScopeInvalid),
        ("get_issue", r#"{"repo":"unmapped"}"#, Reason::ScopeInvalid),
        (
            "get_issue",
            r#"{"repo":"l\u00e9dger"}"#,
            Reason::ScopeInvalid,
        ),
        ("get_issue", r#"{"repo":"abroad"}"#, Reason::ScopeInvalid),
        ("get_issue", r#"{"repo":7}"#, Reason::ScopeInvalid),
        ("get_issue", r#"{"repo":"infra"}"#, Reason::NoPermission),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":"rename"}"#,
            Reason::Ok,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":"archive"}"#,
            Reason::NoPermission,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":["rename"]}"#,
            Reason::Ok,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":["rename","archive"]}"#,
            Reason::NoPermission,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":[]}"#,
            Reason::OperationUnknown,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger","action":"explode"}"#,
            Reason::OperationUnknown,
        ),
        (
            "repo_admin",
            r#"{"repo":"ledger"}"#,
            Reason::OperationUnknown,
        ),
        (
            "sync_labels",
            r#"{"repos":["ledger","Invoices"]}"#,
            Reason::Ok,
        ),
        (
            "sync_labels",
            r#"{"repos":["ledger","infra"]}"#,
            Reason::NoPermission,
        ),
        (
            "sync_labels",
            r#"{"repos":["infra-dns"]}"#,
            Reason::NoPermission,
        ),
        ("sync_labels", r#"{"repos":["infra-pay-1"]}"#, Reason::Ok),
        (
            "sync_labels",
            r#"{"repos":["ledger","unmapped"]}"#,
            Reason::ScopeInvalid,
        ),
        (
            "sync_labels",
            r#"{"repos":["ledger",7]}"#,
            Reason::ScopeInvalid,
        ),
        ("sync_labels", r#"{"repos":[]}"#, Reason::ScopeInvalid),
        (
            "delete_repository",
            r#"{"repo":"ledger"}"#,
            Reason::BreakGlassRequired,
        ),
        ("hidden_tool", "{}", Reason::NoPermission),
        ("status", "{}", Reason::Ok),
        ("greeting", "{}", Reason::Ok),
    ] {
        let facts = tool(&gate, Some(&alice), name, arguments).facts;
        assert_eq!(facts.reason, reason, "{name} {arguments}: {facts:?}");
    }
    let facts = tool(
        &gate,
        Some(&alice),
        "sync_labels",
        r#"{"repos":["ledger","infra-1"]}"#,
    )
    .facts;
    assert_eq!(facts.scopes, ["acme/payments", "acme/platform-eng"]);
}

#[test]
fn unscoped_needs_a_grant_at_the_servers_own_scope() {
    let gate = gate(Disclose::Code);
    for (who, reason) in [("alice", Reason::Ok), ("bot", Reason::NoPermission)] {
        let identity = identity(&gate, who);
        let facts = tool(&gate, Some(&identity), "search", "{}").facts;
        assert_eq!(
            (facts.reason, facts.scopes),
            (reason, vec!["acme".to_owned()])
        );
    }
}

#[test]
fn forced_values_replace_what_the_client_sent() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    for (name, sent, goes) in [
        (
            "refund",
            r#"{"amount": 1}"#,
            r#"{"tenant":"acme","amount": 1}"#,
        ),
        ("refund", r#"{"tenant":"globex"}"#, r#"{"tenant":"acme"}"#),
        (
            "refund",
            r#"{"tenant":["x"], "amount":2}"#,
            r#"{"tenant":"acme", "amount":2}"#,
        ),
        ("refund", "null", r#"{"tenant":"acme"}"#),
        ("own_stuff", "{}", r#"{"owner":"acme"}"#),
        ("own_stuff", r#"{"owner":"globex"}"#, r#"{"owner":"acme"}"#),
    ] {
        let permit = forwarded(tool(&gate, Some(&alice), name, sent));
        let Body::Rewritten(bytes) = permit.body() else {
            panic!("{name} {sent} went as it came");
        };
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.contains(&format!("\"arguments\":{goes}")), "{text}");
        crate::json::parse(bytes).unwrap();
    }
    let missing = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund"}}"#;
    let permit = forwarded(post(&gate, Some(&alice), missing.as_bytes(), &[]));
    let Body::Rewritten(bytes) = permit.body() else {
        panic!("went as it came");
    };
    assert!(String::from_utf8_lossy(bytes).contains(r#""arguments":{"tenant":"acme"}"#));
    let permit = forwarded(post(&gate, Some(&alice), CALL.as_bytes(), &[]));
    assert_eq!(permit.body(), Body::Original);
}

#[test]
fn the_first_failing_check_is_the_reason_and_all_are_listed() {
    let gate = gate(Disclose::Code);
    let gina = identity(&gate, "gina");
    let bad = r#"{"repo":"ledger","number":0,"env":"prod"}"#;
    let facts = tool(&gate, Some(&gina), "get_issue", bad).facts;
    assert_eq!(facts.reason, Reason::SchemaViolation);
    assert_eq!(
        facts.failed,
        [Reason::SchemaViolation, Reason::CrossOrganization]
    );
    let good = r#"{"repo":"ledger"}"#;
    let facts = tool(&gate, Some(&gina), "get_issue", good).facts;
    assert_eq!(facts.reason, Reason::CrossOrganization);
    let facts = tool(&gate, None, "get_issue", good).facts;
    assert_eq!(facts.reason, Reason::Unauthenticated);
    let facts = tool(&gate, None, "invented", good).facts;
    assert_eq!(facts.reason, Reason::SurfaceUnmatched);
}

/// An issuer of one organization must not put somebody of the platform at the head of its chains.
#[test]
fn an_issuer_vouches_for_nobody_above_its_organizations() {
    let gate = crate::testing::changed(|index| {
        let gina = index.principals.names.position("gina").unwrap();
        index.principals.scopes[gina] = latchkey_engine::scope::ScopeTree::PLATFORM;
    });
    assert!(gate.identity(&claims("gina")).is_ok());
    let mut chain = claims("alice");
    chain.actors = vec![crate::token::Actor {
        issuer: Some("https://globex-idp.example".to_owned()),
        subject: "s-gina".to_owned(),
    }];
    assert_eq!(gate.identity(&chain).unwrap_err(), Reason::PrincipalUnknown);
}

#[test]
fn a_chain_needs_every_caller_and_a_token_may_restrict() {
    let gate = gate(Disclose::Code);
    let good = r#"{"repo":"ledger"}"#;
    let reason = |claims: &crate::token::Claims| {
        let identity = gate.identity(claims).unwrap();
        tool(&gate, Some(&identity), "get_issue", good).facts.reason
    };
    let mut both = claims("alice");
    both.actors = vec![actor("bot")];
    assert_eq!(reason(&both), Reason::Ok);
    let names = gate.identity(&both).unwrap().names().to_vec();
    assert_eq!(names, ["bot", "alice"]);
    both.actors = vec![actor("nobody")];
    assert_eq!(reason(&both), Reason::NoPermission);
    both.actors = vec![actor("stranger")];
    assert_eq!(reason(&both), Reason::PrincipalUnknown);
    both.actors = vec![actor("bot"), actor("bot"), actor("bot"), actor("bot")];
    assert_eq!(reason(&both), Reason::ChainTooLong);
    both.actors = vec![crate::token::Actor {
        issuer: Some("https://globex-idp.example".to_owned()),
        subject: "s-gina".to_owned(),
    }];
    assert_eq!(gate.identity(&both).unwrap_err(), Reason::PrincipalUnknown);

    let mut grouped = claims("nobody");
    grouped.groups = vec!["gh-maint".to_owned(), "unknown".to_owned()];
    assert_eq!(reason(&grouped), Reason::Ok);

    let mut restricted = claims("alice");
    restricted.permissions = Some(vec!["tools:github/get_issue:call".to_owned()]);
    assert_eq!(reason(&restricted), Reason::Ok);
    restricted.permissions = Some(vec!["tools:elsewhere/x:call".to_owned()]);
    assert_eq!(reason(&restricted), Reason::TokenScope);
    let identity = gate.identity(&restricted).unwrap();
    let response = told(tool(&gate, Some(&identity), "get_issue", good));
    assert_eq!(response.status, 403);
    let challenge = &response.headers[0];
    assert_eq!(challenge.0, "www-authenticate");
    assert!(challenge.1.contains("insufficient_scope"));
    assert!(challenge.1.contains("tools:github/get_issue:call"));
}

fn method(gate: &Gate, who: Option<&Identity>, method: &str, rest: &str) -> Verdict {
    let body = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"{rest}}}");
    post(gate, who, body.as_bytes(), &[])
}

#[test]
fn protocol_traffic_needs_a_caller_who_sees_something() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let desk_only = gate.identity(&claims("stranger")).unwrap();
    for name in [
        "initialize",
        "ping",
        "tools/list",
        "prompts/list",
        "logging/setLevel",
    ] {
        forwarded(method(&gate, Some(&alice), name, ",\"id\":1"));
    }
    let permit = forwarded(method(&gate, Some(&alice), "notifications/initialized", ""));
    assert!(permit.is_notification());
    // The server has a public tool, so an anonymous caller may shake hands, and sees only that.
    forwarded(method(&gate, None, "initialize", ",\"id\":1"));
    forwarded(method(&gate, Some(&desk_only), "initialize", ",\"id\":1"));
    for name in ["tasks/x", "vendor/x", "sampling/createMessage"] {
        let verdict = method(&gate, Some(&alice), name, ",\"id\":1");
        assert_eq!(verdict.facts.reason, Reason::SurfaceUnmatched, "{name}");
        let text = String::from_utf8(told(verdict).body).unwrap();
        assert!(text.contains("-32601"), "{text}");
    }
    for name in [
        "notifications/cancelled",
        "notifications/progress",
        "notifications/x",
    ] {
        let response = told(method(&gate, Some(&alice), name, ""));
        assert_eq!((response.status, response.body.len()), (202, 0), "{name}");
    }
    let answer = r#"{"jsonrpc":"2.0","id":3,"result":{}}"#;
    let response = told(post(&gate, Some(&alice), answer.as_bytes(), &[]));
    assert_eq!((response.status, response.body.len()), (202, 0));
}

#[test]
fn prompts_resources_and_completions_are_surfaces() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    for (name, params, reason) in [
        ("prompts/get", r#"{"name":"greet"}"#, Reason::Ok),
        (
            "prompts/get",
            r#"{"name":"get_issue"}"#,
            Reason::SurfaceUnmatched,
        ),
        (
            "tools/call",
            r#"{"name":"greet"}"#,
            Reason::SurfaceUnmatched,
        ),
        ("resources/read", r#"{"uri":"file:///docs/a"}"#, Reason::Ok),
        (
            "resources/subscribe",
            r#"{"uri":"file:///docs/a"}"#,
            Reason::Ok,
        ),
        (
            "resources/read",
            r#"{"uri":"file:///docs/a/b"}"#,
            Reason::SurfaceUnmatched,
        ),
        (
            "resources/read",
            r#"{"uri":"file:///docs/../etc"}"#,
            Reason::MalformedRequest,
        ),
        (
            "resources/read",
            r#"{"uri":"file:///docs/%2e%2e"}"#,
            Reason::MalformedRequest,
        ),
        (
            "resources/read",
            r#"{"uri":"file:///secret/a"}"#,
            Reason::NoPermission,
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"greet"}}"#,
            Reason::Ok,
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"file:///docs/{path}"}}"#,
            Reason::Ok,
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"file:///secret/{path}"}}"#,
            Reason::NoPermission,
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"x"}}"#,
            Reason::SurfaceUnmatched,
        ),
    ] {
        let rest = format!(",\"id\":1,\"params\":{params}");
        let facts = method(&gate, Some(&alice), name, &rest).facts;
        assert_eq!(facts.reason, reason, "{name} {params}: {facts:?}");
    }
}

#[test]
fn obligations_come_with_the_bucket_they_are_counted_in() {
    let gate = gate(Disclose::Code);
    let bot = identity(&gate, "bot");
    let permit = forwarded(tool(
        &gate,
        Some(&bot),
        "push_files",
        r#"{"repo":"ledger"}"#,
    ));
    let keys: Vec<&str> = permit
        .obligations()
        .iter()
        .map(|it| it.key.as_str())
        .collect();
    assert_eq!(keys, ["bot github/push_files surface"]);
    let limited = permit.refusal(Reason::RateLimited).response(&Exchange {
        request_id: "r",
        resource_metadata: None,
        proofs: false,
        retry_after: Some(3),
    });
    let body: serde_json::Value = serde_json::from_slice(&limited.body).unwrap();
    assert_eq!(body["error"]["data"]["retry_after"], 3);
}

#[test]
fn slots_are_recorded_as_far_as_the_surface_allows() {
    let gate = gate(Disclose::Code);
    let bot = identity(&gate, "bot");
    let facts = tool(
        &gate,
        Some(&bot),
        "push_files",
        r#"{"repo":"ledger","env":"dev"}"#,
    )
    .facts;
    let slots: Vec<_> = facts
        .slots
        .iter()
        .map(|it| (&*it.attribute, &it.value))
        .collect();
    assert_eq!(
        slots,
        [("args.env", &SlotValue::Value("\"dev\"".to_owned()))]
    );
    let facts = tool(&gate, Some(&bot), "push_files", r#"{"repo":"ledger"}"#).facts;
    assert_eq!(facts.slots[0].value, SlotValue::Absent);
}

#[test]
fn who_only_decides_has_nobody_to_tell_of_tools() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    // Whoever is told that it is allowed would forward it.
    let verdict = http(&gate, Some(&alice), "GET", "/v1/tools", "");
    assert_eq!(verdict.facts.reason, Reason::SurfaceUnmatched);
}

#[test]
fn nothing_that_is_decided_by_is_taken_away_on_the_way() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let with = |value: &str| {
        let headers: [(&str, &[u8]); 1] = [("connection", value.as_bytes())];
        post(&gate, Some(&alice), CALL.as_bytes(), &headers)
            .facts
            .reason
    };
    for value in ["content-type", "close, Mcp-Session-Id", "MCP-Name ,x"] {
        assert_eq!(with(value), Reason::MalformedRequest, "{value}");
    }
    assert_eq!(with("keep-alive, x-own"), Reason::Ok);
}

#[test]
fn an_answer_has_no_parameters() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let answer = r#"{"jsonrpc":"2.0","id":"1","result":{},"params":{}}"#;
    let verdict = post(&gate, Some(&alice), answer.as_bytes(), &[]);
    assert_eq!(verdict.facts.reason, Reason::MalformedRequest);
}
