use latchkey_engine::index::Disclose;

use super::*;
use crate::testing::{NOW, gate, identity, server};

fn parsed(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn a_request_says_what_its_era_asks_for_and_nothing_else_changes() {
    let changed = |body: &str| {
        let document = json::parse(body.as_bytes()).unwrap();
        splice(body, with_meta(document.root()).unwrap()).unwrap()
    };
    for body in [
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"id":1,"method":"tools/list","params":{}}"#,
        r#"{"id":1,"method":"tools/list","params":{"_meta":{}}}"#,
        r#"{"id":1,"method":"tools/list","params":{"_meta":{"progressToken":7},"cursor":"c"}}"#,
    ] {
        let with = changed(body);
        let value = parsed(with.as_bytes());
        assert_eq!(value["params"]["_meta"][VERSION_KEY], MODERN, "{with}");
        let document = json::parse(with.as_bytes()).unwrap();
        let back = splice(&with, without_meta(document.root())).unwrap();
        let meta = parsed(back.as_bytes())["params"]["_meta"].clone();
        let kept = parsed(body.as_bytes())["params"]["_meta"].clone();
        assert_eq!(meta["progressToken"], kept["progressToken"]);
        assert_eq!(meta.get(VERSION_KEY), None);
    }
}

#[test]
fn what_a_caller_says_of_itself_stands_there_once() {
    let body = r#"{"id":1,"params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"a":1}}}"#;
    let document = json::parse(body.as_bytes()).unwrap();
    let with = splice(body, with_meta(document.root()).unwrap()).unwrap();
    let read = json::parse(with.as_bytes()).unwrap();
    let meta = read.root().get("params").unwrap().get("_meta").unwrap();
    assert_eq!(meta.get(CAPABILITIES_KEY).unwrap().raw(), "{}");
    assert_eq!(meta.get("a").unwrap().raw(), "1");
}

#[test]
fn a_request_has_a_name_of_its_own_in_a_session_that_is_shared() {
    let body = r#"{"id":"1","method":"tools/call","params":{"_meta":{"progressToken":7}}}"#;
    let (sent, called) = named(body.as_bytes(), "n-1").unwrap();
    let sent = parsed(sent.as_bytes());
    assert_eq!(sent["id"], "n-1");
    assert_eq!(sent["params"]["_meta"]["progressToken"], "n-1");
    let crossing = Crossing::Legacy {
        discovers: false,
        keeps: false,
        named: Some(called),
    };
    let back = |message: &str| crossing.answer(message.as_bytes()).map(|it| parsed(&it));
    let result = back(r#"{"id":"n-1","result":{}}"#).unwrap();
    assert_eq!(
        (&result["id"], &result["result"]["resultType"]),
        (&"1".into(), &"complete".into())
    );
    assert_eq!(
        back(r#"{"id":"n-1","error":{"code":1}}"#).unwrap()["id"],
        "1"
    );
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":"n-1"}}"#;
    assert_eq!(back(progress).unwrap()["params"]["progressToken"], 7);
    // What is somebody else's is not made this one's.
    assert_eq!(back(r#"{"id":"n-2","error":{"code":1}}"#), None);
    assert_eq!(
        back(r#"{"method":"notifications/progress","params":{"progressToken":7}}"#),
        None
    );
}

#[test]
fn answers_are_those_of_the_callers_era() {
    let kept = Crossing::Legacy {
        discovers: false,
        keeps: true,
        named: None,
    };
    let list = kept.answer(br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
    let list = parsed(&list.unwrap());
    assert_eq!(list["result"]["resultType"], "complete");
    assert_eq!(list["result"]["cacheScope"], "private");
    assert_eq!(
        kept.answer(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#),
        None
    );
    assert_eq!(
        kept.answer(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#),
        None
    );
    let discovers = Crossing::Legacy {
        discovers: true,
        keeps: false,
        named: None,
    };
    let opened = br#"{"id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"logging":{}},"serverInfo":{"name":"s","version":"1"}}}"#;
    let found = parsed(&discovers.answer(opened).unwrap());
    assert_eq!(
        found["result"]["capabilities"],
        serde_json::json!({"tools": {}})
    );
    assert_eq!(found["result"]["supportedVersions"][0], MODERN);
    let opens = Crossing::Modern {
        headers: Vec::new(),
        opens: Some("2025-06-18".to_owned()),
    };
    let told = br#"{"id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}}"#;
    let session = parsed(&opens.answer(told).unwrap());
    assert_eq!(session["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(session["result"]["serverInfo"]["name"], "s");
    let call = Crossing::Modern {
        headers: Vec::new(),
        opens: None,
    };
    let waits = br#"{"id":1,"result":{"resultType":"input_required","inputRequests":{}}}"#;
    assert_eq!(
        parsed(&call.answer(waits).unwrap())["error"]["code"],
        -32603
    );
    assert_eq!(call.answer(br#"{"id":1,"result":{"content":[]}}"#), None);
}

#[test]
fn what_the_other_era_lacks_is_refused_in_plain_words() {
    let root = |text: &str| json::parse(text.as_bytes()).map(|it| it.root().raw().to_owned());
    let body = root(r#"{"id":7,"method":"subscriptions/listen","params":{}}"#).unwrap();
    let document = json::parse(body.as_bytes()).unwrap();
    let crossed = to_legacy(document.root(), "subscriptions/listen", "7").unwrap();
    let (Crossing::Here(Some(told)), None) = crossed else {
        panic!("{crossed:?}");
    };
    assert!(
        told.contains("2025-11-25") && told.contains("subscriptions/listen"),
        "{told}"
    );
    // Where the policy does not say what the server speaks, nothing changes.
    let gate = gate(Disclose::Code);
    let alice = identity(&gate, "alice");
    let settings = gate.server_settings(server(&gate, "github")).unwrap();
    assert_eq!((settings.era, alice.expires_at() > NOW), (None, true));
}

#[test]
fn a_name_stands_in_a_header_as_it_is_where_it_can() {
    assert_eq!(routed("get_issue"), "get_issue");
    assert_eq!(routed("file:///a b"), "file:///a b");
    for odd in ["=?x", " a", "a\n", "ä"] {
        assert!(routed(odd).starts_with("=?base64?"), "{odd}");
    }
}
