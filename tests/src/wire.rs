//! Stated calls through a live sidecar, each held against the bundle, the reference, the audit
//! event and what the tool server got.

use latchkey::pack;
use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::{
    call::{self, Answer, OverlayFile, Stated},
    gate::Gate,
};
use serde_json::Value;

use crate::{
    client::{self, Connection},
    golden::{Cell, Golden},
    live::{Rig, wait_for},
    reference,
};

/// Sends the cells of one server through a live sidecar; answers how many, and how many were
/// allowed.
#[must_use]
pub fn on_the_wire(
    golden: &Golden,
    server: &str,
    overlay: Option<OverlayFile>,
    cells: &[Cell],
) -> (usize, usize) {
    let cells = cells.iter().filter(|it| it.stated.server == server);
    let cells: Vec<&Cell> = cells.collect();
    if cells.is_empty() {
        return (0, 0);
    }
    let rig = Rig::new(golden, server);
    // Activations are for their approvers; a file can only take away.
    let overlay = overlay.map(|it| OverlayFile {
        break_glass: Vec::new(),
        ..it
    });
    let mut more = String::new();
    if let Some(overlay) = &overlay {
        let mut text = serde_json::to_value(overlay).unwrap();
        text.as_object_mut().unwrap().remove("break_glass");
        std::fs::write(rig.path().join("overlay.json"), text.to_string()).unwrap();
        more.push_str("overlay = {file = \"overlay.json\"}");
    }
    let overlay = overlay.unwrap_or_default().overlay().unwrap();
    let sidecar = rig.start(&more);
    let gate = gate(&rig);
    wait_for("readiness", || {
        client::get(sidecar.admin, "/readyz").status == 200
    });
    let mut connection = Connection::open(sidecar.address).unwrap();
    let mut allowed = 0;
    for (at, cell) in cells.iter().enumerate() {
        let before = rig.upstream.count();
        let response = rig.send(&mut connection, &cell.stated);
        let events = rig.events();
        assert_eq!(events.len(), at + 1, "{cell}: one event for one request");
        let event = events.last().unwrap();
        let (answer, reference) = replayed(golden, &rig, &gate, &overlay, cell, event);
        compare(cell, &answer, event);
        let forwarded = rig.upstream.count() - before;
        if answer.decision == "allow" {
            allowed += 1;
            assert!(response.is_allowed(), "{cell}: {response:?}");
            assert_eq!(forwarded, 1, "{cell}");
            let seen = rig.upstream.seen().pop().unwrap();
            arrived(cell, &seen.body, &reference.arguments);
            assert!(
                seen.headers.iter().all(|it| it.0 != "authorization"),
                "{cell}"
            );
        } else {
            assert_eq!(forwarded, 0, "{cell}: a refused call was forwarded");
            assert!(!response.is_allowed(), "{cell}: {response:?}");
        }
    }
    sidecar.drain();
    (cells.len(), allowed)
}

/// What a bundle and the reference say of one call is the same.
pub fn same(project: &str, cell: &Cell, answer: &Answer, reference: &reference::Answer) {
    let differs = reference.differs(answer);
    assert!(
        differs.is_none(),
        "{project}: {cell}: {differs:?}\n{answer:#?}\n{reference:#?}"
    );
}

/// The gate on the very bytes that the sidecar enforces.
fn gate(rig: &Rig) -> Gate {
    let read = |name: &str| std::fs::read(rig.path().join("bundle").join(name)).unwrap();
    let slice = read(&pack::slice_name(&rig.server));
    Gate::open(&slice, Some(&read(pack::PLACES))).unwrap()
}

/// The same call, stated as it reached the sidecar and at the time of its event, decided by the
/// bundle and by the reference.
fn replayed(
    golden: &Golden,
    rig: &Rig,
    gate: &Gate,
    overlay: &Overlay,
    cell: &Cell,
    event: &Value,
) -> (Answer, reference::Answer) {
    let stated = Stated {
        at: event["event_time"].as_str().unwrap().to_owned(),
        ip: Some("127.0.0.1".to_owned()),
        ..cell.stated.clone()
    };
    let now = Time::parse(&stated.at).unwrap();
    let answer = call::answer(gate, overlay, &stated).unwrap();
    let reference = reference::evaluate(&rig.model, overlay, &stated, now);
    same(&golden.name, cell, &answer, &reference);
    (answer, reference)
}

/// Promise 1: what the event says is what `answer` says, field by field.
fn compare(cell: &Cell, answer: &Answer, event: &Value) {
    let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, |it| it.as_str().into());
    let list = |list: &[String]| Value::from(list.to_vec());
    let found = &event["authz"]["output"];
    let pairs = [
        ("decision", Value::from(answer.decision), &event["decision"]),
        ("reason", Value::from(answer.reason), &event["reason"]),
        ("rule", text(&answer.rule), &event["rule_id"]),
        ("surface", text(&answer.surface), &event["surface_id"]),
        ("operation", text(&answer.operation), &event["op"]),
        ("scopes", list(&answer.scopes), &event["scope"]),
        (
            "permissions",
            list(&answer.permissions),
            &event["required_permissions"],
        ),
    ];
    // An allow is not explained on the hot path: its event may leave these out, never invent one.
    let undetermined = list(&answer.undetermined);
    let found_undetermined = found["undetermined"].as_array().unwrap();
    let known = |it: &&Value| undetermined.as_array().unwrap().contains(it);
    assert!(
        found_undetermined.iter().all(|it| known(&it)),
        "{cell}: {event:#}"
    );
    let complete = found_undetermined.len() == answer.undetermined.len();
    assert!(complete || answer.decision == "allow", "{cell}: {event:#}");
    for (name, stated, live) in pairs {
        assert_eq!(&stated, live, "{cell}: {name}\n{answer:#?}\n{event:#}");
    }
    let granted: Vec<&str> = found["granted_by"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    if answer.decision == "allow" {
        // The hot path keeps the lowest of them; `answer` lists all.
        assert!(
            granted
                .iter()
                .all(|it| answer.granted_by.iter().any(|all| all == it)),
            "{cell}: {event:#}"
        );
        assert_eq!(
            granted.first().copied(),
            answer.granted_by.first().map(String::as_str),
            "{cell}"
        );
    } else {
        assert_eq!(granted, answer.granted_by, "{cell}: {event:#}");
    }
}

/// What the upstream got is what was decided on: forced values in place, nothing else changed.
fn arrived(cell: &Cell, body: &str, arguments: &Value) {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    if cell.stated.tool.is_some() || cell.stated.prompt.is_some() {
        assert_eq!(&body["params"]["arguments"], arguments, "{cell}");
    } else if cell.stated.body.is_some() {
        assert_eq!(body, arguments["body"], "{cell}");
    }
}
