//! One policy, three executors: the naive reference over names, the opened bundle, and a live
//! sidecar on loopback. They agree on every cell of every matrix.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

use latchkey::{matrix, pack};
use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::{
    call::{self, Answer, OverlayFile, Stated},
    gate::Gate,
};
use latchkey_tests::{
    client::Connection,
    golden::{self, Cell, Golden},
    live::{Rig, wait_for},
    reference,
};
use serde_json::Value;

#[test]
fn the_reference_and_the_bundle_agree_on_every_cell() {
    let mut cells = 0;
    for golden in golden::all() {
        let gates = Gates::open(&golden);
        for cell in golden.cells() {
            let answer = gates.answer(&cell.stated, &Overlay::default());
            expected(&golden, &cell, &cell.expected, &answer);
            agrees(&golden, &cell, &Overlay::default(), &answer);
            cells += 1;
        }
    }
    println!("{cells} cells: the reference, each slice and the whole agree");
    assert!(cells > 500, "{cells}");
}

#[test]
fn an_overlay_changes_what_it_says_and_nothing_else() {
    let mut cells = 0;
    for golden in golden::all() {
        let Some(overlay) = golden.overlay() else {
            continue;
        };
        let (gates, changed) = (Gates::open(&golden), golden.changed_by_overlay());
        let all = golden.cells();
        let known = |name: &String| all.iter().any(|cell| cell.to_string() == *name);
        assert!(changed.iter().all(|it| known(&it.0)), "{changed:?}");
        for cell in all {
            let answer = gates.answer(&cell.stated, &overlay);
            let changed = changed.iter().find(|it| it.0 == cell.to_string());
            let outcome = changed.map_or(&cell.expected, |it| &it.1);
            expected(&golden, &cell, outcome, &answer);
            agrees(&golden, &cell, &overlay, &answer);
            cells += 1;
        }
    }
    println!("{cells} cells under an overlay");
    assert!(cells > 0);
}

#[test]
fn the_runner_of_matrices_finds_the_same() {
    for golden in golden::all() {
        let files = pack::pack(&golden.model, &golden.sources).unwrap();
        let (slice, places) = (&files[pack::ALL], &files[pack::PLACES]);
        let gate = matrix::open(slice, places).unwrap();
        for cell in golden.cells() {
            let answer = call::answer(&gate, &Overlay::default(), &cell.stated).unwrap();
            expected(&golden, &cell, &cell.expected, &answer);
        }
    }
}

/// The first half of the projects; the other test has the rest, so that they run side by side.
#[test]
fn the_live_sidecar_agrees_on_every_cell() {
    live(0);
}

#[test]
fn the_live_sidecar_agrees_on_every_cell_of_the_other_projects() {
    live(1);
}

fn live(half: usize) {
    let (mut cells, mut allowed) = (0, 0);
    let goldens = golden::all();
    for golden in goldens.iter().skip(half).step_by(2) {
        for server in golden.model.servers.keys() {
            let overlays = [None, golden.overlay_file()];
            for overlay in overlays
                .into_iter()
                .take(1 + usize::from(golden.overlay().is_some()))
            {
                let found = on_the_wire(golden, server, overlay);
                cells += found.0;
                allowed += found.1;
            }
        }
    }
    println!("{cells} cells on the wire, {allowed} of them forwarded exactly once");
    assert!(cells > 200, "{cells}");
}

/// Every cell of one server through a live sidecar; answers how many, and how many were allowed.
fn on_the_wire(golden: &Golden, server: &str, overlay: Option<OverlayFile>) -> (usize, usize) {
    let cells: Vec<Cell> = golden.cells();
    let cells: Vec<Cell> = cells
        .into_iter()
        .filter(|it| it.stated.server == server)
        .collect();
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
        latchkey_tests::client::get(sidecar.admin, "/readyz").status == 200
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
        (
            "undetermined",
            list(&answer.undetermined),
            &found["undetermined"],
        ),
    ];
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

/// The opened bundle of a project: each slice, and the whole.
struct Gates {
    whole: Gate,
    slices: Vec<(String, Gate)>,
}

impl Gates {
    fn open(golden: &Golden) -> Self {
        let files = pack::pack(&golden.model, &golden.sources).unwrap();
        let open = |name: &str| Gate::open(&files[name], Some(&files[pack::PLACES])).unwrap();
        let servers = golden.model.servers.keys();
        Self {
            whole: open(pack::ALL),
            slices: servers
                .map(|it| (it.clone(), open(&pack::slice_name(it))))
                .collect(),
        }
    }

    /// What the slice says; the whole says the same, field by field.
    fn answer(&self, stated: &Stated, overlay: &Overlay) -> Answer {
        let slice = self.slices.iter().find(|it| it.0 == stated.server).unwrap();
        let answer = call::answer(&slice.1, overlay, stated).unwrap();
        let whole = call::answer(&self.whole, overlay, stated).unwrap();
        assert_eq!(
            answer, whole,
            "the slice and the whole disagree on {stated:?}"
        );
        answer
    }
}

fn expected(golden: &Golden, cell: &Cell, expected: &str, answer: &Answer) {
    let right = matrix::outcome::agrees(expected, answer);
    assert!(
        right,
        "{}: {cell}: {expected} expected\n{answer:#?}",
        golden.name
    );
}

fn agrees(golden: &Golden, cell: &Cell, overlay: &Overlay, answer: &Answer) {
    let now = Time::parse(&cell.stated.at).unwrap();
    let reference = reference::evaluate(&golden.model, overlay, &cell.stated, now);
    same(&golden.name, cell, answer, &reference);
}

fn same(project: &str, cell: &Cell, answer: &Answer, reference: &reference::Answer) {
    let place = format!("{project}: {cell}\n{answer:#?}\n{reference:#?}");
    assert_eq!(answer.reason, reference.reason, "{place}");
    assert_eq!(
        answer.decision == "allow",
        reference.reason == "ok",
        "{place}"
    );
    assert_eq!(answer.rule, reference.rule, "{place}");
    assert_eq!(answer.surface, reference.surface, "{place}");
    if answer.decision == "allow" {
        assert_eq!(answer.granted_by, reference.granted_by, "{place}");
        assert_eq!(answer.scopes, reference.scopes, "{place}");
        assert_eq!(answer.operation, reference.operation, "{place}");
    }
}
