//! Sessions and what belongs to them: whose they are, and who else may touch them.

use crate::{
    bundle::{Release, token},
    client::{self, Answer, Connection},
    rig::{self, Rig},
};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

/// A sidecar where both alice and bob may call `get_issue`.
fn shared() -> Rig {
    let release = Release {
        bob: true,
        ..Release::new(1)
    };
    Rig::with(&release, "")
}

fn open(rig: &Rig, who: &str) -> String {
    let answer = client::post(rig.sidecar.address, &token(who), INITIALIZE);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("mcp-session-id").unwrap().to_owned()
}

fn ask(rig: &Rig, method: &str, who: &str, session: &str, body: &str) -> Answer {
    let headers = [("Mcp-Session-Id", session)];
    client::send(rig.sidecar.address, method, &token(who), &headers, body)
}

/// The body of an answer without the id of its event.
fn body(answer: &Answer) -> String {
    let mut json = answer.json();
    json["error"]["data"]["request_id"] = "".into();
    json.to_string()
}

#[test]
fn an_error_of_the_server_passes_within_a_session() {
    let rig = shared();
    let session = open(&rig, "alice");
    let error = serde_json::json!({"error": {"code": -32603, "message": "x"}});
    rig.server.script("tools/list", error);
    let answer = ask(&rig, "POST", "alice", &session, LIST);
    assert_eq!(answer.json()["error"]["code"], -32603);
}

#[test]
fn a_session_works_for_its_opener_and_is_unknown_to_everybody_else() {
    let rig = shared();
    let session = open(&rig, "alice");
    assert!(!session.contains("session-1"), "{session}");
    assert_eq!(ask(&rig, "POST", "alice", &session, LIST).status, 200);
    assert_eq!(rig.server.seen()[1].headers["mcp-session-id"], "session-1");
    let invented = ask(&rig, "POST", "bob", "session-1", LIST);
    assert_eq!(invented.status, 404, "{invented:?}");
    for method in ["POST", "GET", "DELETE"] {
        let text = if method == "POST" { LIST } else { "" };
        let stolen = ask(&rig, method, "bob", &session, text);
        let unknown = ask(&rig, method, "bob", "session-1", text);
        assert_eq!(stolen.status, 404, "{method}");
        assert_eq!(body(&stolen), body(&unknown), "{method}");
        let guessed = ask(&rig, method, "alice", "session-1", text);
        assert_eq!(body(&guessed), body(&unknown), "{method}");
    }
    assert_eq!(ask(&rig, "DELETE", "alice", &session, "").status, 202);
    let seen = rig.server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].method, "DELETE");
    let events = rig.events();
    assert_eq!(events.len(), 13);
    assert_eq!(events[2]["reason"], "session_unknown");
    assert_eq!(events[2]["principal_id"], "bob");
}

/// A key file with one key, as the settings name it.
const KEYS: &str = "handles.key_file = 'keys'";

#[test]
fn a_session_outlives_a_restart() {
    let rig = shared();
    let session = open(&rig, "alice");
    let Rig {
        folder, sidecar, ..
    } = rig;
    assert!(sidecar.drain());
    let again = rig::sidecar(folder.path(), "").unwrap();
    let headers = [("Mcp-Session-Id", session.as_str())];
    let answer = client::send(again.address, "POST", &token("alice"), &headers, LIST);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn sidecars_with_one_key_file_take_each_others_sessions() {
    let rig = shared();
    std::fs::write(
        rig.folder.path().join("keys"),
        format!("{}=\n", "A".repeat(43)),
    )
    .unwrap();
    let replica = |name: &str, keys: &str| {
        let more = format!("audit.file = '{name}.jsonl'\nstate.directory = '{name}'\n{keys}");
        rig::sidecar(rig.folder.path(), &more).unwrap()
    };
    let (one, two, stranger) = (replica("a", KEYS), replica("b", KEYS), replica("c", ""));
    let opened = client::post(one.address, &token("alice"), INITIALIZE);
    let headers = [("Mcp-Session-Id", opened.header("mcp-session-id").unwrap())];
    let ask = |address| client::send(address, "POST", &token("alice"), &headers, LIST).status;
    assert_eq!(ask(two.address), 200);
    assert_eq!(ask(stranger.address), 404);
}

/// Sessions go on when the file gets another key in front, and end a while after theirs was taken
/// out; nothing is restarted.
#[test]
fn keys_are_replaced_without_a_restart() {
    let key = |letter: &str| format!("{}=\n", letter.repeat(43));
    let release = Release {
        bob: true,
        ..Release::new(1)
    };
    let (first, more) = (key("A"), format!("{KEYS}\nhandles.grace = '2s'"));
    let write = |folder: &std::path::Path, text: &str| {
        std::fs::write(folder.join("keys"), text).unwrap();
    };
    let rig = Rig::prepared(&release, |folder| write(folder, &first), &more);
    let told = |word: &str| {
        let log = std::fs::read_to_string(rig.folder.path().join("audit.jsonl")).unwrap();
        log.matches(word).count()
    };
    let old = open(&rig, "alice");
    let status = |session: &str| ask(&rig, "POST", "alice", session, LIST).status;
    write(rig.folder.path(), "no key");
    rig::wait_for("the bad file to be told", || {
        told("handle_keys_refused") == 1
    });
    assert_eq!(status(&old), 200);
    write(rig.folder.path(), &(key("g") + &first));
    rig::wait_for("the new key", || told("handle_keys_loaded") == 1);
    let new = open(&rig, "alice");
    assert_eq!((status(&old), status(&new)), (200, 200));
    write(rig.folder.path(), &key("g"));
    rig::wait_for("the old key to be out", || told("handle_keys_loaded") == 2);
    assert_eq!((status(&old), status(&new)), (200, 200));
    rig::wait_for("its grace to end", || status(&old) == 404);
    assert_eq!(status(&new), 200);
}

#[test]
fn a_key_file_that_cannot_be_used_stops_the_start() {
    let rig = Rig::start("");
    std::fs::write(rig.folder.path().join("keys"), "short").unwrap();
    let more = format!("state.directory = 'other'\naudit.file = 'other.jsonl'\n{KEYS}");
    let error = rig::sidecar(rig.folder.path(), &more).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn a_stream_is_resumed_by_the_owner_of_its_session_only() {
    let rig = shared();
    let session = open(&rig, "alice");
    let (alice, bob) = (token("alice"), token("bob"));
    let mut stream = Connection::open(rig.sidecar.address, &alice);
    let headers = [("Mcp-Session-Id", session.as_str())];
    stream
        .send(&client::text("GET", &alice, &headers, ""))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    stream.chunk().unwrap().unwrap();
    let event = "id: secret-7\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
    rig.server.lines.send(event.to_owned()).unwrap();
    let chunk = String::from_utf8(stream.chunk().unwrap().unwrap()).unwrap();
    let id = chunk
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    assert!(
        !chunk.contains("secret-7") && chunk.contains("notifications/message"),
        "{chunk}"
    );
    let theirs = open(&rig, "bob");
    let resume = |token: &str, session: &str, event: &str| {
        let headers = [("Mcp-Session-Id", session), ("Last-Event-ID", event)];
        let mut stream = Connection::open(rig.sidecar.address, token);
        stream
            .send(&client::text("GET", token, &headers, ""))
            .unwrap();
        stream.head().unwrap().0
    };
    assert_eq!(resume(&alice, &session, id), 200);
    assert_eq!(
        rig.server.seen().last().unwrap().headers["last-event-id"],
        "secret-7"
    );
    let before = rig.server.seen().len();
    assert_eq!(resume(&bob, &theirs, id), 404);
    assert_eq!(resume(&bob, &theirs, "secret-7"), 404);
    assert_eq!(resume(&bob, &session, id), 404);
    let second = open(&rig, "alice");
    assert_eq!(resume(&alice, &second, id), 404);
    assert_eq!(rig.server.seen().len(), before + 1);
}
