//! What can be read in more than one way is refused.

use latchkey_engine::{index::Disclose, reason::Reason};
use proptest::prelude::*;

use super::*;
use crate::testing::refusal;

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
