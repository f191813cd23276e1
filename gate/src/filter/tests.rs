use latchkey_engine::index::Disclose;

use super::*;
use crate::testing::{NOW, gate, identity, server};

fn filtered(who: &str, kind: FilterKind, body: &str) -> Result<String, FilterError> {
    let gate = gate(Disclose::Code);
    let identity = identity(&gate, who);
    let filter = Filter {
        server: server(&gate, "github"),
        kind,
    };
    let overlay = Overlay::default();
    let out = viewer(&gate, &overlay, &identity, filter).answer(body.as_bytes())?;
    Ok(String::from_utf8(out).unwrap())
}

fn viewer<'a>(
    gate: &'a Gate,
    overlay: &'a Overlay,
    identity: &'a Identity,
    filter: Filter,
) -> Viewer<'a> {
    Viewer {
        gate,
        overlay,
        identity: Some(identity),
        now: NOW,
        filter,
        handles: None,
        request: b"",
        pins: None,
        tasks: None,
    }
}

/// What becomes of a line of a stream: itself, another one, or nothing.
fn passed(
    gate: &Gate,
    identity: &Identity,
    filter: Filter,
    text: &str,
) -> Result<Option<String>, FilterError> {
    let overlay = Overlay::default();
    let line = viewer(gate, &overlay, identity, filter).line(text.as_bytes())?;
    Ok(match line {
        Line::Pass => Some(text.to_owned()),
        Line::Replace(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Line::Drop | Line::Refuse(..) | Line::Deny(..) => None,
    })
}

#[test]
fn a_list_shows_what_could_be_allowed_and_nothing_else() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_issue", "x":[1]},{"name":"hidden_tool"},{"name":"unregistered"},{"name":"greet"},{"name":"greeting"}],"nextCursor":"c"}}"#;
    assert_eq!(
        filtered("alice", FilterKind::Tools, body).unwrap(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_issue", "x":[1]},{"name":"greeting"}],"nextCursor":"c"}}"#
    );
    assert_eq!(
        filtered("nobody", FilterKind::Tools, body).unwrap(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"greeting"}],"nextCursor":"c"}}"#
    );
}

#[test]
fn a_stateless_list_is_kept_out_of_shared_caches() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[],"cacheScope":"public"}}"#;
    let out = filtered("alice", FilterKind::Tools, body).unwrap();
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["result"]["cacheScope"], "private");
    assert_eq!(out["result"]["ttlMs"], 0);
}

#[test]
fn resources_and_templates_are_filtered_by_pattern() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"file:///docs/a"},{"uri":"file:///secret/a"},{"uri":"file:///docs/../x"}]}}"#;
    let out = filtered("alice", FilterKind::Resources, body).unwrap();
    assert!(
        out.contains(r#""resources":[{"uri":"file:///docs/a"}]"#),
        "{out}"
    );
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"file:///docs/{path}"},{"uriTemplate":"file:///secret/{path}"},{"uriTemplate":"file:///{x}"}]}}"#;
    let out = filtered("alice", FilterKind::ResourceTemplates, body).unwrap();
    assert!(
        out.contains(r#"[{"uriTemplate":"file:///docs/{path}"}]"#),
        "{out}"
    );
}

#[test]
fn a_handshake_offers_what_the_caller_sees() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"prompts":{},"tasks":{"list":{},"requests":{"tools":{"call":{}},"x":{}}},"extensions":{"vendor":{},"io.modelcontextprotocol/tasks":{}}},"serverInfo":{}}}"#;
    let out = filtered("alice", FilterKind::Handshake, body).unwrap();
    assert!(
        out.contains(r#""capabilities":{"tools":{"listChanged":true},"prompts":{},"tasks":{"list":{},"requests":{"tools":{"call":{}}}},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#),
        "{out}"
    );
    let out = filtered("nobody", FilterKind::Handshake, body).unwrap();
    assert!(
        out.contains(r#""capabilities":{"tools":{"listChanged":true},"tasks":{"list":{},"requests":{"tools":{"call":{}}}},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#),
        "{out}"
    );
}

#[test]
fn errors_pass_and_what_is_no_answer_does_not() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}"#;
    assert_eq!(filtered("alice", FilterKind::Tools, error).unwrap(), error);
    for body in [
        "{}",
        "[]",
        "",
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[{"name":"hidden_tool"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_issue","Name":"x"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"Result":{"tools":[]},"result":{"tools":[]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#,
    ] {
        assert!(
            filtered("alice", FilterKind::Tools, body).is_err(),
            "{body}"
        );
    }
}

#[test]
fn a_stream_passes_answers_and_notifications_only() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let ask = |kind, text: &str| {
        let filter = Filter {
            server: server(&gate, "github"),
            kind,
        };
        passed(&gate, &alice, filter, text).unwrap()
    };
    for text in [
        "event: message",
        "id: 7",
        "",
        "data:",
        ": ping",
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress"}"#,
        r#"data: {"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        assert_eq!(ask(FilterKind::Stream, text).as_deref(), Some(text));
    }
    let sampling = r#"data: {"jsonrpc":"2.0","id":9,"method":"sampling/createMessage"}"#;
    assert_eq!(ask(FilterKind::Stream, sampling), None);
    assert_eq!(ask(FilterKind::Answer, sampling), None);
    assert_eq!(ask(FilterKind::Tools, sampling), None);
    let tools = r#"data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden_tool"}]}}"#;
    let out = ask(FilterKind::Tools, tools).unwrap();
    assert_eq!(
        out,
        r#"data: {"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#
    );
}

/// A client that comes back with `Last-Event-ID` gets on its GET stream what it missed elsewhere:
/// the answer to a list must not come out unfiltered there.
#[test]
fn a_replayed_list_is_filtered_as_the_list_itself() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let ask = |text: &str| {
        let kind = FilterKind::Stream;
        let server = server(&gate, "github");
        let filter = Filter { server, kind };
        passed(&gate, &alice, filter, text).map(Option::unwrap)
    };
    for (result, expected) in [
        (
            r#"{"tools":[{"name":"get_issue"},{"name":"hidden_tool"}]}"#,
            r#"{"tools":[{"name":"get_issue"}]}"#,
        ),
        (
            r#"{"resources":[{"uri":"file:///secret/a"}],"nextCursor":"c"}"#,
            r#"{"resources":[],"nextCursor":"c"}"#,
        ),
        (
            r#"{"prompts":[{"name":"unregistered"}],"resourceTemplates":[{"uriTemplate":"x:{y}"}]}"#,
            r#"{"prompts":[],"resourceTemplates":[]}"#,
        ),
        (
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"x":{}}}"#,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}"#,
        ),
        (r#"{"content":[], "x": 1}"#, r#"{"content":[], "x": 1}"#),
    ] {
        let message = |result| format!(r#"data: {{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert_eq!(ask(&message(result)), Ok(message(expected)));
    }
    for result in [r#"{"Tools":[{"name":"hidden_tool"}]}"#, r#"{"tools":7}"#] {
        let message = format!(r#"data: {{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert!(ask(&message).is_err(), "{result}");
    }
}

/// Clients skip a byte order mark in front of a stream, so it must not hide a message.
#[test]
fn a_byte_order_mark_hides_no_message() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let kind = FilterKind::Answer;
    let server = server(&gate, "github");
    let filter = Filter { server, kind };
    let text = "\u{feff}data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"elicitation/create\"}";
    let out = passed(&gate, &alice, filter, text);
    assert_eq!(out, Err(FilterError::Shape));
}

#[test]
fn a_definition_that_is_not_the_reviewed_one_is_hidden_and_remembered() {
    let reviewed: serde_json::Value =
        serde_json::from_str(r#"{"name":"get_issue","description":"Reads.","x":1.0}"#).unwrap();
    let gate = crate::testing::pinned(
        Disclose::Code,
        crate::settings::PinMode::List,
        "get_issue",
        &reviewed,
    );
    let alice = identity(&gate, "alice");
    let overlay = Overlay::default();
    let filter = Filter {
        server: server(&gate, "github"),
        kind: FilterKind::Tools,
    };
    let pins = Sightings::default();
    let listed = |tool: &str, remembers: bool| {
        let mut viewer = viewer(&gate, &overlay, &alice, filter);
        viewer.pins = remembers.then_some(&pins);
        let body = format!(r#"{{"id":1,"result":{{"tools":[{tool},{{"name":"greeting"}}]}}}}"#);
        let whole = String::from_utf8(viewer.answer(body.as_bytes()).unwrap()).unwrap();
        // A stream is filtered alike.
        let line = viewer.line(format!("data: {body}").as_bytes()).unwrap();
        let expected = format!("data: {whole}").into_bytes();
        assert!(matches!(line, Line::Replace(bytes) if bytes == expected));
        assert!(whole.contains("greeting"));
        whole.contains("get_issue")
    };
    assert!(listed(
        r#"{ "x": 1, "description": "Reads.", "name": "get_issue" }"#,
        true
    ));
    assert!(pins.changed().is_empty());
    for changed in [
        r#"{"name":"get_issue","description":"Reads, and sends it along.","x":1}"#,
        r#"{"name":"get_issue","x":1}"#,
        r#"{"name":"get_issue","description":"Reads.","x":1,"annotations":{"readOnlyHint":true}}"#,
        r#"{"name":"get_issue","description":"Reads.","x":1.00000000000000000000001}"#,
    ] {
        assert!(!listed(changed, false), "{changed}");
        assert!(!listed(changed, true), "{changed}");
        assert_eq!(pins.changed()[0].0, "get_issue");
    }
}

#[test]
fn a_notice_that_a_list_has_changed_raises_the_alarm() {
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let overlay = Overlay::default();
    let filter = Filter {
        server: server(&gate, "github"),
        kind: FilterKind::Stream,
    };
    let pins = Sightings::default();
    let mut viewer = viewer(&gate, &overlay, &alice, filter);
    viewer.pins = Some(&pins);
    viewer
        .line(br#"data: {"method":"notifications/message"}"#)
        .unwrap();
    assert!(!pins.take_alarm());
    viewer
        .line(br#"data: {"method":"notifications/tools/list_changed"}"#)
        .unwrap();
    assert!(pins.take_alarm() && !pins.take_alarm());
}

#[test]
fn a_quick_look_misses_nothing_that_is_decided() {
    for body in [
        r#"{"result":{"inputRequests":{}}}"#,
        r#"{"result":{"INPUTrequests":{}}}"#,
        r#"{"result":{"requestState":"x"}}"#,
        r#"{"result":{"RequestState":"x"}}"#,
        r#"{"result":{"task":{"taskId":"x"}}}"#,
        r#"{"result":{"TASKID":"x"}}"#,
        r#"{"result":{"cacheScope":"public"}}"#,
        r#"{"error":{"code":-32042}}"#,
        r#"{"Error":{"code":-32042}}"#,
        r#"{"\u0065rror":{"code":-32042}}"#,
        "{\"ta\u{17f}\u{212a}Id\":1}",
        r#"{"id":1,"method":"elicitation/create"}"#,
        r#"{"id":1,"METHOD":"x","result":{}}"#,
        r#"[{"id":1,"result":{}}]"#,
        "\u{feff}{}",
        "data: {}",
    ] {
        assert!(needs_look(body.as_bytes()), "{body}");
    }
    let plain = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"quick task, no \"error\""}],"isError":false}}"#;
    assert!(!needs_look(plain.as_bytes()));
    assert!(!needs_look(b"") && !needs_look(b" {}"));
}
