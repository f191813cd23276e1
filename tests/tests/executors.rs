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
    call::{self, Answer, Stated},
    gate::Gate,
};
use latchkey_tests::{
    golden::{self, Cell, Golden},
    reference,
    wire::{on_the_wire, same},
};

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
                let found = on_the_wire(golden, server, overlay, &golden.cells());
                cells += found.0;
                allowed += found.1;
            }
        }
    }
    println!("{cells} cells on the wire, {allowed} of them forwarded exactly once");
    assert!(cells > 200, "{cells}");
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
                .map(|it| (it.to_string(), open(&pack::slice_name(it))))
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
