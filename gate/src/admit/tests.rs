use latchkey_engine::{index::Disclose, reason::Reason};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    NOW, TOOLS, actor, claims, gate, http, identity, post, refusal, server, told, tool,
};
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
fn every_row_of_the_wire_corpus_is_refused_with_its_reason() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let malformed = Reason::MalformedRequest;
    let swap = |from: &str, to: &str| CALL.replace(from, to).into_bytes();
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    let mut bom = b"\xef\xbb\xbf".to_vec();
    bom.extend(CALL.as_bytes());
    let utf16: Vec<u8> = CALL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut broken = CALL.replace("ledger", "led?er").into_bytes();
    let at = broken.iter().position(|byte| *byte == b'?').unwrap();
    broken[at] = 0xff;
    let name = r#""name":"get_issue""#;
    let rows: Vec<(&str, Vec<u8>, Reason)> = vec![
        (
            "duplicate name",
            swap(name, r#""name":"x","name":"get_issue""#),
            malformed,
        ),
        (
            "duplicate method",
            swap("\"id\":7", "\"id\":7,\"method\":\"ping\""),
            malformed,
        ),
        (
            "duplicate argument",
            swap("\"number\":1", "\"number\":1,\"num\\u0062er\":2"),
            malformed,
        ),
        (
            "case variant of name",
            swap(name, r#""Name":"x","name":"get_issue""#),
            malformed,
        ),
        (
            "case variant of method",
            swap("\"id\":7", "\"id\":7,\"Method\":\"ping\""),
            malformed,
        ),
        (
            "Unicode case variant",
            swap("\"id\":7", "\"id\":7,\"param\u{17f}\":{}"),
            malformed,
        ),
        (
            "NUL in a key",
            swap(name, "\"name\\u0000\":\"x\",\"name\":\"get_issue\""),
            malformed,
        ),
        (
            "zero-width name",
            swap("get_issue", "get_\u{200b}issue"),
            Reason::SurfaceUnmatched,
        ),
        (
            "upper-case name",
            swap("get_issue", "Get_Issue"),
            Reason::SurfaceUnmatched,
        ),
        ("batch", format!("[{CALL}]").into_bytes(), malformed),
        ("byte-order mark", bom, malformed),
        ("UTF-16", utf16, malformed),
        ("invalid UTF-8", broken, malformed),
        ("lone surrogate", swap("ledger", "\\ud800"), malformed),
        (
            "deep nesting",
            swap("\"number\":1", &format!("\"x\":{deep}")),
            malformed,
        ),
        (
            "huge number",
            swap("\"number\":1", "\"number\":1e999"),
            malformed,
        ),
        ("NaN", swap("\"number\":1", "\"number\":NaN"), malformed),
        (
            "trailing bytes",
            format!("{CALL} x").into_bytes(),
            malformed,
        ),
        (
            "two documents",
            format!("{CALL}{CALL}").into_bytes(),
            malformed,
        ),
        (
            "unknown argument",
            swap("\"number\":1", "\"number\":1,\"extra\":1"),
            Reason::SchemaViolation,
        ),
        (
            "text for an integer",
            swap("\"number\":1", "\"number\":\"1\""),
            Reason::SchemaViolation,
        ),
        ("null id", swap("\"id\":7", "\"id\":null"), malformed),
        ("fractional id", swap("\"id\":7", "\"id\":7.5"), malformed),
        ("no id", swap("\"id\":7,", ""), malformed),
        (
            "an answer and a request",
            swap("\"id\":7", "\"id\":7,\"result\":{}"),
            malformed,
        ),
        ("not JSON-RPC 2.0", swap("\"2.0\"", "\"1.0\""), malformed),
        (
            "arguments are a list",
            swap(r#"{"owner":"acme","repo":"ledger","number":1}"#, "[]"),
            malformed,
        ),
        ("empty", Vec::new(), malformed),
        (
            "larger than the limit",
            vec![b' '; (1 << 20) + 1],
            Reason::PayloadTooLarge,
        ),
    ];
    for (row, body, reason) in rows {
        let verdict = post(&gate, Some(&alice), &body, &[]);
        assert_eq!(
            verdict.facts.reason, reason,
            "{row}: {:?}",
            verdict.facts.detail
        );
        assert_eq!(refusal(verdict).reason(), reason, "{row}");
    }
    let escaped = CALL.replace("get_issue", "get_i\\u0073sue");
    forwarded(post(&gate, Some(&alice), escaped.as_bytes(), &[]));
}

#[test]
fn headers_that_could_be_read_differently_are_refused() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let rows: [(&str, &[u8], u16); 14] = [
        ("content-type", b"text/plain", 415),
        ("content-type", b"text/plain; a=application/json", 415),
        ("content-type", b"application/json; charset=utf-16", 415),
        ("content-type", b"application/json; a=b", 415),
        ("content-type", b"application/json, text/plain", 415),
        ("content-encoding", b"gzip", 415),
        ("x-http-method-override", b"DELETE", 400),
        ("x-rewrite-url", b"/admin", 400),
        ("mcp-name", b"other_tool", 400),
        ("mcp-name", b"=?base64?b3RoZXI=?=", 400),
        ("mcp-method", b"tools/list", 400),
        ("mcp-protocol-version", b"2026-07-28", 400),
        ("mcp-protocol-version", b"1999-01-01", 400),
        ("mcp-name", b"\xff", 400),
    ];
    for (name, value, status) in rows {
        let verdict = post(&gate, Some(&alice), CALL.as_bytes(), &[(name, value)]);
        assert_eq!(verdict.facts.reason, Reason::MalformedRequest, "{name}");
        assert_eq!(told(verdict).status, status, "{name}");
    }
    for headers in [
        vec![(
            "content-type",
            b"Application/JSON; Charset=\"UTF-8\"".as_slice(),
        )],
        vec![("mcp-protocol-version", b"2025-11-25".as_slice())],
        vec![("mcp-name", b"get_issue".as_slice())],
        vec![("mcp-name", b"=?base64?Z2V0X2lzc3Vl?=".as_slice())],
    ] {
        forwarded(post(&gate, Some(&alice), CALL.as_bytes(), &headers));
    }
    let doubled: [(&str, &[u8]); 2] = [
        ("content-type", b"application/json"),
        ("content-type", b"text/plain"),
    ];
    let verdict = post(&gate, Some(&alice), CALL.as_bytes(), &doubled);
    assert_eq!(verdict.facts.reason, Reason::MalformedRequest);
}

#[test]
fn a_mirrored_argument_must_agree_with_its_header() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    for (value, reason) in [
        (b"ledger".as_slice(), Reason::Ok),
        (b"=?base64?bGVkZ2Vy?=", Reason::Ok),
        (b"invoices", Reason::SchemaViolation),
        (b"\xff", Reason::SchemaViolation),
    ] {
        let headers = [("mcp-param-repo", value), ("mcp-param-unknown", b"x")];
        let facts = post(&gate, Some(&alice), CALL.as_bytes(), &headers).facts;
        assert_eq!(facts.reason, reason, "{facts:?}");
    }
}

#[test]
fn the_stateless_era_needs_headers_that_agree() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let body = CALL.replace(
        "\"params\":{",
        r#""params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"#,
    );
    let good: Vec<(&str, &[u8])> = vec![
        ("mcp-protocol-version", b"2026-07-28"),
        ("mcp-method", b"tools/call"),
        ("mcp-name", b"get_issue"),
    ];
    let verdict = post(&gate, Some(&alice), body.as_bytes(), &good);
    assert_eq!(verdict.facts.protocol.as_deref(), Some("2026-07-28"));
    forwarded(verdict);
    for missing in 0..good.len() {
        let mut headers = good.clone();
        headers.remove(missing);
        let verdict = post(&gate, Some(&alice), body.as_bytes(), &headers);
        let response = told(verdict);
        assert_eq!(response.status, 400);
        let text = String::from_utf8(response.body).unwrap();
        assert!(text.contains("-32020"), "{text}");
    }
    let mut with_session = good.clone();
    with_session.push(("mcp-session-id", b"s"));
    let verdict = post(&gate, Some(&alice), body.as_bytes(), &with_session);
    assert_eq!(verdict.facts.reason, Reason::MalformedRequest);
    let legacy_only = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let headers: [(&str, &[u8]); 2] = [
        ("mcp-protocol-version", b"2026-07-28"),
        ("mcp-method", b"initialize"),
    ];
    let response = told(post(&gate, Some(&alice), legacy_only.as_bytes(), &headers));
    assert_eq!(response.status, 404);
}

/// The bytes that a caller gets for a tool, with its name taken out.
fn bytes_for(gate: &Gate, who: Option<&Identity>, name: &str, arguments: &str) -> Response {
    let mut response = told(tool(gate, who, name, arguments));
    let text = String::from_utf8(response.body).unwrap();
    response.body = text.replace(name, "NAME").into_bytes();
    response
}

#[test]
fn existing_and_invented_surfaces_are_told_in_equal_bytes() {
    for disclose in [Disclose::Hidden, Disclose::Code, Disclose::Full] {
        let gate = gate(disclose);
        let (nobody, sally) = (identity(&gate, "nobody"), identity(&gate, "sally"));
        for who in [Some(&nobody), Some(&sally), None] {
            for arguments in [
                "{}",
                r#"{"repo":"ledger","bad":1}"#,
                r#"{"action":"explode"}"#,
            ] {
                let invented = bytes_for(&gate, who, "invented", arguments);
                for name in TOOLS {
                    let open = name == "greeting" || (name == "status" && who.is_some());
                    if !open {
                        let existing = bytes_for(&gate, who, name, arguments);
                        assert_eq!(existing, invented, "{name} {arguments}");
                    }
                }
            }
            let desk = |target| told(http(&gate, who, "GET", target, ""));
            assert_eq!(desk("/v1/tickets/7"), desk("/v1/invented/7"));
            assert_eq!(desk("/v1/tickets/x"), desk("/v1/invented/7"));
        }
    }
}

#[test]
fn prompts_resources_and_completions_hide_as_tools_do() {
    for disclose in [Disclose::Hidden, Disclose::Code, Disclose::Full] {
        let gate = gate(disclose);
        let nobody = identity(&gate, "nobody");
        for who in [Some(&nobody), None] {
            let answered = |name: &str, prompt: &str, params: &str| {
                let params = params.replace("NAME", prompt);
                let rest = format!(",\"id\":1,\"params\":{params}");
                let mut response = told(method(&gate, who, name, &rest));
                let text = String::from_utf8(response.body).unwrap();
                response.body = text.replace(prompt, "NAME").into_bytes();
                response
            };
            for (name, params) in [
                ("prompts/get", r#"{"name":"NAME"}"#),
                (
                    "completion/complete",
                    r#"{"ref":{"type":"ref/prompt","name":"NAME"}}"#,
                ),
            ] {
                let existing = answered(name, "greet", params);
                assert_eq!(existing, answered(name, "invented", params));
            }
            let read = |uri: &str| {
                let params = format!("{{\"uri\":\"{uri}\"}}");
                answered("resources/read", "greet", &params)
            };
            assert_eq!(read("file:///docs/a"), read("file:///none/a"));
        }
    }
}

#[test]
fn a_refused_caller_is_told_as_much_as_its_server_discloses() {
    for (disclose, wanted) in [
        (Disclose::Hidden, "surface_unmatched"),
        (Disclose::Code, "denied_by_policy"),
        (Disclose::Full, "denied_by_policy"),
    ] {
        let gate = gate(disclose);
        let bot = identity(&gate, "bot");
        let arguments = r#"{"repo":"ledger","env":"prod"}"#;
        let verdict = tool(&gate, Some(&bot), "push_files", arguments);
        assert_eq!(verdict.facts.reason, Reason::DeniedByPolicy);
        let response = told(verdict);
        assert_eq!(response.status, 200);
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["error"]["data"]["code"], wanted);
        assert_eq!(body["id"], 7);
        let rule = &body["error"]["data"]["rule"];
        assert_eq!(
            rule.as_str(),
            (disclose == Disclose::Full).then_some("no-prod")
        );
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
    for name in ["tasks/get", "vendor/x", "sampling/createMessage"] {
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
fn routes_match_one_way_only() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    for (verb, target, body, reason) in [
        ("GET", "/v1/tickets/7", "", Reason::Ok),
        ("GET", "/v1/tickets/7?limit=3", "", Reason::Ok),
        (
            "GET",
            "/v1/tickets/7?limit=3&limit=4",
            "",
            Reason::MalformedRequest,
        ),
        ("GET", "/v1/tickets/7?other=3", "", Reason::SchemaViolation),
        ("GET", "/v1/tickets/seven", "", Reason::SchemaViolation),
        ("GET", "/v1/tickets/all", "", Reason::NoPermission),
        ("GET", "/v1/tickets/%37", "", Reason::Ok),
        ("GET", "/v1/tickets/7%2F8", "", Reason::MalformedRequest),
        (
            "GET",
            "/v1/tickets/../tickets/7",
            "",
            Reason::MalformedRequest,
        ),
        ("GET", "/v1//tickets/7", "", Reason::MalformedRequest),
        ("GET", "/v1/tickets/7;x=1", "", Reason::MalformedRequest),
        ("HEAD", "/v1/tickets/7", "", Reason::SurfaceUnmatched),
        ("DELETE", "/v1/tickets/7", "", Reason::SurfaceUnmatched),
        ("get", "/v1/tickets/7", "", Reason::MalformedRequest),
        (
            "POST",
            "/v1/tickets/7/replies",
            r#"{"text":"x"}"#,
            Reason::Ok,
        ),
        (
            "POST",
            "/v1/tickets/7/replies",
            "[]",
            Reason::SchemaViolation,
        ),
        (
            "POST",
            "/v1/tickets/7/replies",
            "{",
            Reason::MalformedRequest,
        ),
        (
            "POST",
            "/v1/tickets/7/replies/",
            "{}",
            Reason::SurfaceUnmatched,
        ),
    ] {
        let facts = http(&gate, Some(&alice), verb, target, body).facts;
        assert_eq!(facts.reason, reason, "{verb} {target}: {facts:?}");
    }
    let response = told(http(&gate, None, "GET", "/v1/tickets/7", ""));
    assert_eq!(response.status, 401);
    assert_eq!(response.headers[0].0, "www-authenticate");
    let facts = http(&gate, Some(&alice), "GET", "/v1/tickets/7", "").facts;
    assert_eq!(facts.path, "/v1/tickets/{id}");
}

#[test]
fn sessions_of_the_legacy_era_have_a_stream_and_an_end() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let ask = |method, headers: &[(&str, &[u8])]| {
        let inbound = Inbound {
            server: server(&gate, "github"),
            method,
            target: "/mcp",
            headers,
            body: b"",
            peer: None,
        };
        admit(&gate, &Overlay::default(), &inbound, Some(&alice), NOW)
    };
    let session: [(&str, &[u8]); 1] = [("mcp-session-id", b"s-1")];
    let modern: [(&str, &[u8]); 2] = [
        ("mcp-session-id", b"s-1"),
        ("mcp-protocol-version", b"2026-07-28"),
    ];
    forwarded(ask("GET", &session));
    forwarded(ask("DELETE", &session));
    for (method, headers) in [
        ("GET", &[][..]),
        ("GET", &modern[..]),
        ("PUT", &session[..]),
    ] {
        assert_eq!(told(ask(method, headers)).status, 405, "{method}");
    }
}

#[test]
fn a_bad_token_is_refused_in_the_form_of_its_request() {
    let gate = gate(Disclose::Code);
    let inbound = Inbound {
        server: server(&gate, "github"),
        method: "POST",
        target: "/mcp",
        headers: &[("content-type", b"application/json")],
        body: CALL.as_bytes(),
        peer: None,
    };
    let verdict = refuse(&gate, &inbound, Reason::TokenExpired);
    assert_eq!(verdict.facts.reason, Reason::TokenExpired);
    let response = told(verdict);
    assert_eq!(response.status, 401);
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        (&body["id"], &body["error"]["data"]["code"]),
        (&7.into(), &"token_expired".into())
    );
    let cut = Inbound {
        body: b"{\"jsonrpc\"",
        ..inbound
    };
    assert_eq!(
        refuse(&gate, &cut, Reason::PayloadTooLarge).facts.reason,
        Reason::PayloadTooLarge
    );
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0..CALL.len(),
        patch in any::<u8>(),
        target in "[/a-z0-9%.;?&=]{0,20}",
    ) {
        let gate = shared();
        let alice = identity(gate, "alice");
        post(gate, Some(&alice), &body, &[]);
        http(gate, None, "GET", &target, "");
        let mut bent = CALL.as_bytes().to_vec();
        bent[at] = patch;
        let quick = post(gate, Some(&alice), &bent, &[]);
        let headers = [("content-type", b"application/json".as_slice())];
        let inbound = Inbound {
            server: server(gate, "github"),
            method: "POST",
            target: "/mcp",
            headers: &headers,
            body: &bent,
            peer: None,
        };
        let bent = admit_explained(gate, &Overlay::default(), &inbound, Some(&alice), NOW);
        prop_assert_eq!(quick.facts.reason, bent.facts.reason);
        // A changed byte is another request or none; it is never allowed on another surface.
        if bent.facts.is_allow() {
            prop_assert_eq!(bent.facts.surface.as_deref(), Some("github/get_issue"));
        }
    }
}

#[test]
fn the_fuzz_corpus_replays() {
    let gate = gate(Disclose::Code);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/admit");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let body = std::fs::read(file.unwrap().path()).unwrap();
        refusal(post(&gate, None, &body, &[]));
    }
}

fn shared() -> &'static Gate {
    static GATE: std::sync::OnceLock<Gate> = std::sync::OnceLock::new();
    GATE.get_or_init(|| gate(Disclose::Code))
}
