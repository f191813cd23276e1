//! The sidecar as an `AuthZEN` 1.0 decision point: the certification scenario, the payloads of the
//! public interop events, and what is refused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use latchkey_sidecar::run::Running;
use latchkey_tests::{
    golden::{Golden, root},
    live::{Rig, wait_for},
};
use serde_json::{Value, json};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECT: &str = "/access/v1/search/subject";
const RESOURCE: &str = "/access/v1/search/resource";
const ACTION: &str = "/access/v1/search/action";

const URL: &str = "https://pdp.example.com/tenant1";

/// A decision point over one of the projects of `tests/authzen`.
struct Pdp {
    rig: Rig,
    sidecar: Running,
    address: SocketAddr,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Pdp {
    fn start(project: &str, server: &str, more: &str) -> Self {
        let folder = root().join("tests/authzen").join(project);
        let rig = Rig::new(&Golden::open(&folder), server);
        let sidecar = rig.start(&format!(
            "decision = {{address = \"127.0.0.1:0\", url = \"{URL}\"{more}}}"
        ));
        let address = sidecar.decision.unwrap();
        wait_for("readiness", || sidecar.shared().is_ready());
        Self {
            rig,
            sidecar,
            address,
        }
    }

    fn raw(&self, head: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{head}\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.get(9..12).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.raw(
            &format!("POST {path} HTTP/1.1\r\nContent-Type: application/json"),
            body,
        )
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, &body.to_string());
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/json"));
        answer.json()
    }

    fn refused(&self, path: &str, body: &Value) {
        let answer = self.post(path, &body.to_string());
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.body);
    }
}

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn record(id: &str) -> Value {
    json!({"type": "record", "id": id})
}

fn with(mut entity: Value, properties: &Value) -> Value {
    entity["properties"] = properties.clone();
    entity
}

fn asked(subject: &Value, action: &str, resource: &Value) -> Value {
    json!({"subject": subject, "action": {"name": action}, "resource": resource})
}

fn decisions(answer: &Value) -> Vec<bool> {
    let items = answer["evaluations"].as_array().unwrap();
    items
        .iter()
        .map(|it| it["decision"].as_bool().unwrap())
        .collect()
}

fn certified() -> Pdp {
    Pdp::start("certification", "records", "")
}

#[test]
fn the_eight_decisions_of_the_certification_scenario() {
    let pdp = certified();
    let archived = with(record("record-2"), &json!({"status": "archived"}));
    let admin = with(user("bob"), &json!({"role": "admin"}));
    let delete = |soft: bool| {
        let mut asked = asked(&user("alice"), "delete", &record("record-1"));
        asked["action"]["properties"] = json!({"soft": soft});
        asked
    };
    let cases = [
        (asked(&user("alice"), "read", &record("record-1")), true),
        (asked(&user("alice"), "write", &record("record-1")), true),
        (asked(&user("bob"), "read", &record("record-1")), true),
        (asked(&user("bob"), "write", &record("record-1")), false),
        (asked(&user("alice"), "write", &archived), false),
        (asked(&admin, "write", &archived), true),
        (delete(true), true),
        (delete(false), false),
    ];
    for (at, (question, expected)) in cases.iter().enumerate() {
        // Asked again it is the same, and a context changes nothing.
        let mut in_context = question.clone();
        in_context["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
        for question in [question, question, &in_context] {
            let answer = pdp.ask(EVALUATION, question);
            assert_eq!(answer["decision"], *expected, "rule {}: {answer}", at + 1);
        }
        let answer = pdp.ask(EVALUATIONS, question);
        assert_eq!(answer["decision"], *expected, "rule {}: {answer}", at + 1);
    }
    let events = pdp.rig.events();
    assert_eq!(events.len(), 8 * 4, "one event for each decision");
    assert_eq!(events[0]["path_template"], EVALUATION);
    assert_eq!(events[0]["surface_id"], "records/record");
    assert_eq!(events[0]["op"], "read");
    assert_eq!(events[12]["principal_id"], "bob");
    assert_eq!(events[12]["decision"], "deny");
    pdp.sidecar.drain();
}

#[test]
#[expect(clippy::too_many_lines, reason = "one list of questions and answers")]
fn questions_are_taken_as_the_standard_says() {
    let pdp = certified();
    let good = asked(&user("alice"), "read", &record("record-1"));
    let mut more = good.clone();
    more["foo"] = json!("bar");
    more["futureField"] = json!({"nested": true});
    assert_eq!(pdp.ask(EVALUATION, &more)["decision"], true);
    let mut more = good.clone();
    more["subject"]["properties"] = json!({"department": "Sales", "role": "manager"});
    more["action"]["properties"] = json!({"method": "GET"});
    more["resource"]["properties"] = json!({"status": "active", "owner": "bob"});
    assert_eq!(pdp.ask(EVALUATION, &more)["decision"], true);
    for key in ["subject", "action", "resource"] {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(key);
        pdp.refused(EVALUATION, &less);
        let mut wrong = good.clone();
        wrong[key] = json!("alice");
        pdp.refused(EVALUATION, &wrong);
    }
    for (key, member) in [
        ("subject", "type"),
        ("subject", "id"),
        ("action", "name"),
        ("resource", "type"),
        ("resource", "id"),
    ] {
        let mut less = good.clone();
        less[key].as_object_mut().unwrap().remove(member);
        pdp.refused(EVALUATION, &less);
        less[key][member] = json!(123);
        pdp.refused(EVALUATION, &less);
    }
    for body in ["", "{", "[]", "{}", "{\"subject\":1,\"subject\":2}"] {
        assert_eq!(pdp.post(EVALUATION, body).status, 400, "{body}");
    }
    let plain = format!("POST {EVALUATION} HTTP/1.1\r\nContent-Type: text/plain");
    assert_eq!(pdp.raw(&plain, &good.to_string()).status, 400);
    let named = format!(
        "POST {EVALUATION} HTTP/1.1\r\nContent-Type: application/json\r\nX-Request-ID: bfe9-7"
    );
    let answer = pdp.raw(&named, &good.to_string());
    assert!(
        answer.head.contains("x-request-id: bfe9-7"),
        "{}",
        answer.head
    );
    let page = format!("{named}\r\nOrigin: http://evil.example");
    assert_eq!(pdp.raw(&page, &good.to_string()).status, 403);
    assert_eq!(
        pdp.raw(&format!("GET {EVALUATION} HTTP/1.1"), "").status,
        405
    );
    assert_eq!(pdp.post("/else", "{}").status, 404);
    // Who or what is unknown is refused by decision, and says why to the enforcement point.
    for (question, reason) in [
        (
            asked(&user("nobody"), "read", &record("record-1")),
            "principal_unknown",
        ),
        (
            asked(
                &json!({"type": "spaceship", "id": "x"}),
                "read",
                &record("record-1"),
            ),
            "principal_unknown",
        ),
        (
            asked(&user("alice"), "burn", &record("record-1")),
            "operation_unknown",
        ),
        (
            asked(&user("alice"), "read", &record("record-9")),
            "schema_violation",
        ),
        (
            asked(
                &user("alice"),
                "read",
                &json!({"type": "planet", "id": "x"}),
            ),
            "surface_unmatched",
        ),
    ] {
        let answer = pdp.ask(EVALUATION, &question);
        assert_eq!(answer["decision"], false, "{question}");
        assert_eq!(answer["context"]["reason"], reason, "{question}: {answer}");
    }
    pdp.sidecar.drain();
}

#[test]
fn batches_keep_order_and_inherit_whole_entities() {
    let pdp = certified();
    let (active, archived) = (json!({"status": "active"}), json!({"status": "archived"}));
    let bobs = json!({
        "subject": user("bob"), "resource": record("record-1"),
        "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
    });
    assert_eq!(decisions(&pdp.ask(EVALUATIONS, &bobs)), [true, false]);
    let admin = with(user("bob"), &json!({"role": "admin"}));
    let subjects = json!({
        "action": {"name": "write"}, "resource": with(record("record-2"), &archived),
        "evaluations": [{"subject": user("alice")}, {"subject": admin}],
    });
    assert_eq!(decisions(&pdp.ask(EVALUATIONS, &subjects)), [false, true]);
    let inherited = json!({
        "subject": user("alice"), "action": {"name": "write"},
        "resource": with(record("record-1"), &active),
        "evaluations": [{}, {"resource": with(record("record-2"), &archived)}],
    });
    assert_eq!(decisions(&pdp.ask(EVALUATIONS, &inherited)), [true, false]);
    let full = json!({"evaluations": [
        asked(&user("alice"), "read", &record("record-1")),
        asked(&user("bob"), "write", &record("record-1")),
    ]});
    assert_eq!(decisions(&pdp.ask(EVALUATIONS, &full)), [true, false]);
    let broken = json!({
        "subject": user("alice"), "action": {"name": "read"},
        "options": {"evaluations_semantic": "execute_all"},
        "evaluations": [{"resource": record("record-1")}, {}, 7],
    });
    assert_eq!(
        decisions(&pdp.ask(EVALUATIONS, &broken)),
        [true, false, false]
    );
    let mut empty = asked(&user("alice"), "read", &record("record-1"));
    empty["evaluations"] = json!([]);
    assert_eq!(pdp.ask(EVALUATIONS, &empty)["decision"], true);
    let before = pdp.rig.events().len();
    for (semantic, expected) in [
        ("deny_on_first_deny", vec![true, false]),
        ("permit_on_first_permit", vec![true]),
        ("execute_all", vec![true, false, true]),
    ] {
        let actions = ["read", "write", "read"].map(|it| json!({"action": {"name": it}}));
        let batch = json!({
            "subject": user("bob"), "resource": record("record-1"),
            "options": {"evaluations_semantic": semantic},
            "evaluations": actions,
        });
        assert_eq!(
            decisions(&pdp.ask(EVALUATIONS, &batch)),
            expected,
            "{semantic}"
        );
    }
    assert_eq!(
        pdp.rig.events().len() - before,
        6,
        "one event for each item that was decided"
    );
    let unknown = json!({"options": {"evaluations_semantic": "some"}, "evaluations": [{}]});
    pdp.refused(EVALUATIONS, &unknown);
    let many = json!({"evaluations": vec![json!({}); 201]});
    pdp.refused(EVALUATIONS, &many);
    pdp.sidecar.drain();
}

fn ids(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    let id = |it: &'_ Value| it.get("id").or(it.get("name")).unwrap().as_str().is_some();
    assert!(results.iter().all(id));
    results
        .iter()
        .map(|it| it.get("id").unwrap_or(&it["name"]).as_str().unwrap())
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one list of questions and answers")]
fn the_searches_of_the_certification_scenario() {
    let pdp = certified();
    let any = json!({"type": "user"});
    let records = json!({"type": "record"});
    let admin = with(user("bob"), &json!({"role": "admin"}));
    let archived = with(record("record-2"), &json!({"status": "archived"}));
    let actions =
        |subject: &Value, resource: &Value| json!({"subject": subject, "resource": resource});
    let cases = [
        (
            SUBJECT,
            asked(&any, "read", &record("record-1")),
            vec!["alice", "bob"],
        ),
        (
            SUBJECT,
            asked(&user("alice"), "read", &record("record-1")),
            vec!["alice", "bob"],
        ),
        (
            RESOURCE,
            asked(&user("alice"), "read", &records),
            vec!["record-1", "record-2"],
        ),
        (
            RESOURCE,
            asked(&user("alice"), "read", &record("record-1")),
            vec!["record-1", "record-2"],
        ),
        (
            ACTION,
            actions(&user("alice"), &record("record-1")),
            vec!["read", "write"],
        ),
        (SUBJECT, asked(&any, "write", &archived), vec!["bob"]),
        (RESOURCE, asked(&admin, "write", &records), vec!["record-2"]),
        (ACTION, actions(&admin, &archived), vec!["read", "write"]),
        (
            ACTION,
            actions(&user("nonexistent-user"), &record("record-1")),
            vec![],
        ),
        (
            SUBJECT,
            asked(&json!({"type": "spaceship"}), "read", &record("record-1")),
            vec![],
        ),
        (
            RESOURCE,
            asked(&user("alice"), "read", &json!({"type": "spaceship"})),
            vec![],
        ),
        (
            ACTION,
            actions(&user("alice"), &json!({"type": "spaceship", "id": "x"})),
            vec![],
        ),
    ];
    for (path, question, expected) in &cases {
        let mut found = pdp.ask(path, question);
        assert_eq!(ids(&found), *expected, "{path} {question}");
        let mut in_context = question.clone();
        in_context["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
        assert_eq!(
            pdp.ask(path, &in_context)["results"],
            found["results"].take()
        );
    }
    assert_eq!(
        pdp.rig.events().len(),
        2 * cases.len(),
        "one event for each search"
    );
    pdp.refused(
        SUBJECT,
        &json!({"subject": any, "resource": record("record-1")}),
    );
    pdp.refused(
        RESOURCE,
        &json!({"action": {"name": "read"}, "resource": records}),
    );
    pdp.refused(ACTION, &json!({"subject": user("alice")}));
    pdp.refused(SUBJECT, &asked(&any, "read", &records));
    pdp.refused(RESOURCE, &asked(&any, "read", &records));
    pdp.refused(
        ACTION,
        &json!({"subject": any, "resource": record("record-1")}),
    );
    pdp.sidecar.drain();
}

#[test]
fn pages_go_on_where_they_ended_and_nowhere_else() {
    let pdp = certified();
    let question = asked(&json!({"type": "user"}), "read", &record("record-1"));
    let page = |page: &Value| {
        let mut question = question.clone();
        question["page"] = page.clone();
        question
    };
    let first = pdp.ask(SUBJECT, &page(&json!({"limit": 1})));
    assert_eq!(ids(&first), ["alice"]);
    let token = first["page"]["next_token"].as_str().unwrap();
    assert!(!token.is_empty());
    let second = pdp.ask(SUBJECT, &page(&json!({"token": token})));
    assert_eq!(ids(&second), ["bob"]);
    assert_eq!(second["page"]["next_token"], "");
    pdp.refused(SUBJECT, &page(&json!({"token": token, "limit": 2})));
    for forged in ["1.1.00", "x", &token.replacen("1.", "0.", 1)] {
        pdp.refused(SUBJECT, &page(&json!({"token": forged})));
    }
    let mut other = asked(&json!({"type": "user"}), "write", &record("record-1"));
    other["page"] = json!({"token": token});
    pdp.refused(SUBJECT, &other);
    pdp.sidecar.drain();
}

#[test]
fn the_metadata_name_every_endpoint() {
    let pdp = certified();
    let get = "GET /.well-known/authzen-configuration/tenant1 HTTP/1.1";
    let answer = pdp.raw(get, "");
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document["policy_decision_point"], URL);
    for (name, path) in [
        ("access_evaluation_endpoint", EVALUATION),
        ("access_evaluations_endpoint", EVALUATIONS),
        ("search_subject_endpoint", SUBJECT),
        ("search_resource_endpoint", RESOURCE),
        ("search_action_endpoint", ACTION),
    ] {
        assert_eq!(document[name], format!("{URL}{path}"));
    }
    let other = pdp.raw("GET /.well-known/authzen-configuration HTTP/1.1", "");
    assert_eq!(other.status, 404);
    pdp.sidecar.drain();
}

#[test]
fn an_enforcement_point_needs_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret-of-the-point\n").unwrap();
    let more = format!(", token_file = \"{}\"", file.display());
    let pdp = Pdp::start("certification", "records", &more);
    let question = asked(&user("alice"), "read", &record("record-1")).to_string();
    let post = |header: &str| {
        let head = format!("POST {EVALUATION} HTTP/1.1\r\nContent-Type: application/json{header}");
        pdp.raw(&head, &question)
    };
    for header in [
        "",
        "\r\nAuthorization: Bearer other",
        "\r\nAuthorization: Basic x",
    ] {
        let answer = post(header);
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.head.contains("www-authenticate: bearer"));
    }
    assert_eq!(
        post("\r\nAuthorization: Bearer s3cret-of-the-point").status,
        200
    );
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        post("\r\nAuthorization: Bearer ").status,
        401,
        "an empty token admits nobody"
    );
    let events = pdp.rig.events();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["reason"], "unauthenticated");
    assert!(
        !std::fs::read_to_string(pdp.rig.path().join("audit.jsonl"))
            .unwrap()
            .contains("s3cret")
    );
    pdp.sidecar.drain();
}

fn payloads(name: &str) -> Value {
    let path = root().join("tests/authzen/interop").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_payloads_of_the_interop_events() {
    let mut count = 0;
    for (project, server, name) in [
        ("todo", "todos", "todo.json"),
        ("gateway", "todo-api", "gateway.json"),
    ] {
        let pdp = Pdp::start(project, server, "");
        let payloads = payloads(name);
        for case in payloads["evaluation"].as_array().unwrap() {
            let answer = pdp.ask(EVALUATION, &case["request"]);
            assert_eq!(
                answer["decision"], case["expected"],
                "{name} {}: {answer}",
                case["request"]
            );
            count += 1;
        }
        for case in payloads["evaluations"].as_array().into_iter().flatten() {
            let answer = pdp.ask(EVALUATIONS, &case["request"]);
            let expected = case["expected"].as_array().unwrap().iter();
            let expected: Vec<bool> = expected
                .map(|it| it["decision"].as_bool().unwrap())
                .collect();
            assert_eq!(decisions(&answer), expected, "{name} {}", case["request"]);
            count += 1;
        }
        pdp.sidecar.drain();
    }
    let pdp = Pdp::start("search", "records", "");
    for (path, name) in [
        (SUBJECT, "search-subject.json"),
        (RESOURCE, "search-resource.json"),
        (ACTION, "search-action.json"),
        (RESOURCE, "idp.json"),
    ] {
        let payloads = payloads(name);
        let cases = payloads.as_object().unwrap().values();
        for case in cases.flat_map(|cases| cases.as_array().unwrap()) {
            let answer = pdp.ask(path, &case["request"]);
            let sorted = |results: &Value| {
                let mut all: Vec<String> = results
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(Value::to_string)
                    .collect();
                all.sort();
                all
            };
            let expected = &case["expected"]["results"];
            assert_eq!(
                sorted(&answer["results"]),
                sorted(expected),
                "{name} {}",
                case["request"]
            );
            count += 1;
        }
    }
    pdp.sidecar.drain();
    println!("{count} payloads of the interop events");
    assert_eq!(count, 40 + 3 + 25 + 60 + 18 + 120 + 6);
}

#[test]
fn lines_on_a_socket_are_answered_like_eval() {
    let golden = Golden::open(&root().join("tests/golden/design"));
    let rig = Rig::new(&golden, "github");
    let sidecar = rig.start("decision = {lines = \"lines.sock\"}");
    wait_for("readiness", || sidecar.shared().is_ready());
    let call = json!({
        "id": "r1", "caller": {"principal": "triage-bot"}, "server": "github", "tool": "get_issue",
        "arguments": {"owner": "acme", "repo": "ledger", "number": 1},
    });
    let mut denied = call.clone();
    denied["tool"] = json!("delete_repository");
    let mut late = call.clone();
    late["at"] = json!("2020-01-01T00:00:00Z");
    let mut other = call.clone();
    other["server"] = json!("gitlab");
    let answers = exchange(
        &rig.path().join("lines.sock"),
        &[
            call.to_string(),
            denied.to_string(),
            late.to_string(),
            other.to_string(),
            "{".to_owned(),
        ],
    );
    assert_eq!(answers[0]["decision"], "allow", "{answers:?}");
    assert_eq!(answers[0]["granted_by"], json!(["triage-bot"]));
    assert_eq!(answers[1]["reason"], "schema_violation");
    for (at, part) in [(2, "not now"), (3, "another server"), (4, "no call")] {
        let said = answers[at]["error"]["message"].as_str().unwrap();
        assert!(said.contains(part), "{said}");
        assert_eq!(answers[at]["error"]["line"], at + 1);
    }
    assert_eq!(rig.events().len(), 5);
    sidecar.drain();
}

fn exchange(socket: &Path, lines: &[String]) -> Vec<Value> {
    use std::os::unix::net::UnixStream;
    let mut stream = UnixStream::connect(socket).unwrap();
    let text = lines.join("\n") + "\n";
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
