use latchkey_engine::index::Disclose;
use serde_json::json;

use super::*;
use crate::{
    settings::{Settings as _, SurfaceSettings},
    testing,
};

const PIN: &str = "the reviewed description";

fn tool(description: &str) -> Json {
    json!({"name": "get_issue", "description": description})
}

/// A policy with one pinned tool, and its server.
fn pinned_gate(mode: PinMode) -> (Gate, ServerId) {
    let gate = testing::pinned(Disclose::Code, mode, "get_issue", &tool(PIN));
    let server = testing::server(&gate, "github");
    (gate, server)
}

/// The same policy for a server that is elsewhere.
fn moved_gate() -> Gate {
    let settings = SurfaceSettings {
        pin: Some(pin()),
        ..SurfaceSettings::default()
    };
    testing::changed(|index| {
        for server in &mut index.servers {
            server.upstream.push_str("/moved");
        }
        let mut surfaces = index.surfaces.iter_mut();
        let surface = surfaces.find(|it| it.name == "get_issue").unwrap();
        surface.settings = settings.to_text().unwrap();
    })
}

fn lists(tools: &[Json]) -> BTreeMap<ListKind, BTreeMap<String, Json>> {
    let tools = tools
        .iter()
        .map(|tool| ("get_issue".to_owned(), tool.clone()));
    [(ListKind::Tools, tools.collect())].into()
}

fn pin() -> Pin {
    Pin::of(ListKind::Tools, &tool(PIN)).unwrap()
}

/// A server that cannot be asked any more.
fn lose(sightings: &Sightings, gate: &Gate, server: ServerId) {
    for _ in 0..FORGET_AFTER {
        sightings.unanswered(gate, server);
    }
}

#[test]
fn a_call_passes_once_the_definition_was_seen() {
    let (gate, server) = pinned_gate(PinMode::Enforce);
    let sightings = Sightings::default();
    sightings.turn(1, &gate, server);
    let check = || sightings.check(1, &gate, server, "get_issue");
    assert_eq!(check(), Err(Unpinned::Unseen));
    assert_eq!(sightings.check(1, &gate, server, "push_files"), Ok(()));
    sightings.survey(1, &gate, server, &lists(&[tool(PIN)]));
    assert_eq!(check(), Ok(()));
    assert!(sightings.is_clear(1));
    // The next bundle has the same pin.
    sightings.turn(2, &gate, server);
    assert!(sightings.is_clear(2));
    // A server that cannot be asked is not known to be the same.
    sightings.unanswered(&gate, server);
    assert_eq!(check(), Ok(()));
    lose(&sightings, &gate, server);
    assert_eq!(check(), Err(Unpinned::Unseen));
    sightings.survey(2, &gate, server, &lists(&[]));
    assert_eq!(check(), Err(Unpinned::Unseen));
}

#[test]
fn a_definition_that_differs_is_refused_until_the_sidecar_sees_the_reviewed_one() {
    for mode in [PinMode::Enforce, PinMode::List] {
        let (gate, server) = pinned_gate(mode);
        let sightings = Sightings::default();
        sightings.turn(1, &gate, server);
        sightings.survey(1, &gate, server, &lists(&[tool(PIN)]));
        assert!(!sightings.take_alarm());
        let changed = tool("another one");
        assert!(!sightings.see(ListKind::Tools, "get_issue", &pin(), Some(&changed)));
        assert!(sightings.take_alarm() && !sightings.is_clear(1));
        let check = || sightings.check(1, &gate, server, "get_issue");
        let Err(Unpinned::Changed(difference)) = check() else {
            panic!("a changed tool passes")
        };
        assert_eq!(difference.as_str(), "description changed");
        assert_eq!(sightings.take_news().len(), 1);
        // It is told once, and what a caller is shown does not make it good.
        assert!(!sightings.see(ListKind::Tools, "get_issue", &pin(), Some(&changed)));
        assert!(sightings.see(ListKind::Tools, "get_issue", &pin(), Some(&tool(PIN))));
        assert!(sightings.take_news().is_empty());
        assert!(check().is_err());
        lose(&sightings, &gate, server);
        sightings.survey(1, &gate, server, &lists(&[]));
        assert!(check().is_err(), "gone is not good");
        sightings.survey(1, &gate, server, &lists(&[tool(PIN)]));
        assert_eq!(check(), Ok(()));
        let news = sightings.take_news();
        assert_eq!((news.len(), &news[0].difference), (1, &None));
    }
}

#[test]
fn another_pin_or_another_server_is_judged_anew() {
    let (gate, server) = pinned_gate(PinMode::List);
    let sightings = Sightings::default();
    sightings.turn(1, &gate, server);
    let changed = tool("another one");
    sightings.see(ListKind::Tools, "get_issue", &pin(), Some(&changed));
    let reviewed = testing::pinned(Disclose::Code, PinMode::List, "get_issue", &changed);
    sightings.turn(2, &reviewed, server);
    assert_eq!(sightings.check(2, &reviewed, server, "get_issue"), Ok(()));
    // The old bundle is still used by requests that have begun.
    assert!(sightings.check(1, &gate, server, "get_issue").is_err());
}

#[test]
fn what_the_server_before_has_said_vouches_for_nothing() {
    let (before, server) = pinned_gate(PinMode::Enforce);
    let now = moved_gate();
    let sightings = Sightings::default();
    let check = || sightings.check(2, &now, server, "get_issue");
    let see = || sightings.see(ListKind::Tools, "get_issue", &pin(), Some(&tool(PIN)));
    sightings.turn(1, &before, server);
    sightings.turn(2, &now, server);
    // What was under way when the server was replaced comes late.
    sightings.survey(1, &before, server, &lists(&[tool(PIN)]));
    assert!(see());
    assert_eq!(check(), Err(Unpinned::Unseen));
    sightings.survey(2, &now, server, &lists(&[tool(PIN)]));
    assert_eq!(check(), Ok(()));
    lose(&sightings, &before, server);
    assert_eq!(check(), Ok(()));
    // Callers may see what the sidecar is not shown: once it has asked in vain, that counts.
    lose(&sightings, &now, server);
    assert_eq!(check(), Err(Unpinned::Unseen));
    assert!(see());
    assert_eq!(check(), Ok(()));
}

#[test]
fn where_lists_alone_are_filtered_unseen_calls_pass() {
    let (gate, server) = pinned_gate(PinMode::List);
    let sightings = Sightings::default();
    sightings.turn(1, &gate, server);
    assert!(sightings.is_clear(1));
    assert_eq!(PinMode::Enforce, PinMode::default());
    assert_eq!(
        crate::settings::ServerSettings::default()
            .to_text()
            .unwrap(),
        ""
    );
}
