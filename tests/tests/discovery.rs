//! `GET /v1/tools`: each caller is told what it may call of a server, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use latchkey_tests::{
    client::{Connection, Response},
    front::{Front, Surfaces},
};
use serde_json::{Value, json};

/// A sidecar before a server that is not there: the list does not come from it.
fn front(entry: &[&str], denied: &[&str]) -> Front {
    let entry: Vec<String> = entry.iter().map(|it| (*it).to_owned()).collect();
    let surfaces = Surfaces {
        denied: denied.iter().map(|it| (*it).to_owned()).collect(),
        ..Surfaces::default()
    };
    Front::start(&entry, &surfaces, "")
}

fn asked(front: &Front, who: Option<&str>) -> Response {
    let token = who.map(|who| front.token(who));
    let mut connection = Connection::open(front.running.address).unwrap();
    let asked = connection.send("GET", "/v1/tools", token.as_deref(), "");
    asked.unwrap()
}

/// What is told of the caller who may use everything but what is denied; the others are refused.
fn told(front: &Front) -> Value {
    let answer = asked(front, Some("alice"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(asked(front, Some("bob")).code(), "no_permission");
    assert_eq!(asked(front, None).code(), "unauthenticated");
    let events = front.rig.events();
    let seen: Vec<_> = events
        .iter()
        .map(|it| [&it["path_template"], &it["reason"]])
        .collect();
    let seen = json!(seen);
    let expected = ["ok", "no_permission", "unauthenticated"];
    assert_eq!(seen, json!(expected.map(|it| ["/v1/tools", it])));
    answer.json()
}

#[test]
fn of_an_mcp_server() {
    let tools = "tools: {
      read: {risk: read, input: {type: object, properties: {id: {type: string}}, additionalProperties: false}},
      act: {operations: {argument: do, values: {add: {risk: write}, wipe: {risk: destructive}}},
        input: {type: object, required: [do], properties: {do: {type: string}}, additionalProperties: false}},
      wipe: {risk: destructive, input: {type: object, additionalProperties: false}},
      no: {risk: read, input: {type: object, additionalProperties: false}}}";
    let resources = "resources: {docs: {risk: read, uri: \"file:///docs/{name}\"}}";
    let front = front(
        &["upstream: http://127.0.0.1:9/mcp", tools, resources],
        &["no"],
    );
    let told = told(&front);
    let input = |of: &str| json!({"type": "object", "properties": {of: {"type": "string"}}, "additionalProperties": false});
    let mut act = input("do");
    act["required"] = json!(["do"]);
    assert_eq!(
        told,
        json!({"server": "it", "tools": [
            {"name": "act", "kind": "tool", "risk": "destructive", "allowed": "depends",
             "operations": [{"name": "add", "risk": "write"}], "inputSchema": act},
            {"name": "docs", "kind": "resource", "risk": "read", "allowed": "always",
             "uri": "file:///docs/{name}"},
            {"name": "read", "kind": "tool", "risk": "read", "allowed": "always",
             "inputSchema": input("id")},
        ]})
    );
}

#[test]
fn of_an_http_server_unless_it_has_that_route() {
    let routes = |path: &str| {
        format!(
            "routes: {{
      read: {{method: GET, path: \"/notes/{{id}}\", risk: read}},
      remove: {{method: DELETE, path: \"/notes/{{id}}\", risk: destructive}},
      own: {{method: GET, path: {path}, risk: read}},
      no: {{method: GET, path: /no, risk: read}}}}"
        )
    };
    let entry = |path: &str| {
        let routes = routes(path);
        front(
            &["transport: http", "upstream: http://127.0.0.1:9", &routes],
            &["no"],
        )
    };
    assert_eq!(
        told(&entry("/own")),
        json!({"server": "it", "tools": [
            {"name": "own", "kind": "route", "risk": "read", "allowed": "always",
             "method": "GET", "path": "/own"},
            {"name": "read", "kind": "route", "risk": "read", "allowed": "always",
             "method": "GET", "path": "/notes/{id}"},
        ]})
    );
    let its_own = asked(&entry("/v1/tools"), Some("alice"));
    assert_eq!(its_own.code(), "upstream_unavailable");
}
