//! What a refused caller is told.

use latchkey_engine::{index::Disclose, reason::Reason};

use super::*;
use crate::testing::TOOLS;

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
