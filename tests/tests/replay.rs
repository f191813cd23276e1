//! `latchkey replay` over the log of a live sidecar: what it says of an event is what the candidate
//! really answers to the call that was recorded, or it says which value is missing.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints its figures"
)]

#[path = "recorded/log.rs"]
mod log;

use std::fs;

use latchkey::{
    pack,
    replay::{Change, Events, Policy, Recorded, Replay, Slice},
    source::Folder,
};
use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::{
    call::{self, Stated},
    event::Event,
    gate::Gate,
};
use serde_json::Value;

use self::log::{Recording, edited, latchkey, record};

/// A change of the policy.
type Candidate = (
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
);

const CANDIDATES: [Candidate; 7] = [
    ("nothing", &[]),
    (
        "a role less",
        &[(
            "access/payments.yaml",
            "roles: [github-maintainer, payments-clerk]",
            "roles: [github-triager, payments-clerk]",
        )],
    ),
    (
        "a role more",
        &[(
            "access/payments.yaml",
            "alice: {who: [alice], roles: [github-triager]",
            "alice: {who: [alice], roles: [github-triager, github-maintainer]",
        )],
    ),
    (
        "a grant that has ended",
        &[("access/payments.yaml", "2027-03-31", "2026-01-31")],
    ),
    (
        "a principal less in a group of Git",
        &[("org.yaml", "{members: [bob]}", "{members: [alice]}")],
    ),
    (
        "a scope that moved",
        &[(
            "servers/github.yaml",
            "map: {ledger: acme/payments, invoices: acme/payments,",
            "map: {ledger: acme/platform-eng, invoices: acme/platform-eng,",
        )],
    ),
    (
        "a condition on an argument that is not logged",
        &[(
            "access/payments.yaml",
            "args.branch == \"main\"",
            "args.branch == \"trunk\"",
        )],
    ),
];

#[test]
fn what_replay_says_is_what_the_candidate_answers() {
    let recording = record("github", &|_| true);
    let events = events(&recording);
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read(recording.baseline().join(name)).unwrap();
    let before = Gate::open(&read(pack::ALL), None).unwrap();
    let slices = [Slice::read(&read("github.lkb")).unwrap()];
    let baseline = Policy {
        gate: &before,
        slices: &slices,
    };
    for (name, edits) in CANDIDATES {
        let project = edited(folder.path(), edits);
        let candidate = whole(&project);
        for baseline in [Some(baseline), None] {
            let mut tally = [0_usize; 6];
            for (event, stated) in events.iter().zip(&recording.calls) {
                let change = replayed(&candidate, baseline, event);
                tally[change as usize] += 1;
                agrees(name, &candidate, event, stated, change);
            }
            println!("{name}, baseline {}: {tally:?}", baseline.is_some());
            if baseline.is_some() {
                let other = events.len() - tally[Change::Same as usize];
                assert_eq!(other == 0, name == "nothing", "{name}: {tally:?}");
                let untold = tally[Change::MayWiden as usize] + tally[Change::MayNarrow as usize];
                assert!(
                    untold * 5 <= events.len(),
                    "{name}: too much cannot be told: {tally:?}"
                );
            }
        }
    }
}

fn events(recording: &Recording) -> Vec<Event> {
    let text = fs::read_to_string(recording.log()).unwrap();
    let mut events = Events::new(text.as_bytes(), "audit.jsonl");
    let mut all = Vec::new();
    while let Some(taken) = events.next_line().unwrap() {
        assert_eq!(taken.broken, None);
        all.extend(taken.event.filter(|event| event.event_type == "request"));
    }
    all
}

fn whole(project: &std::path::Path) -> Gate {
    let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
    let checked = latchkey::check(&Folder::new(project), today);
    let model = checked.model.unwrap();
    Gate::open(&pack::whole(&model).unwrap(), None).unwrap()
}

fn replayed(candidate: &Gate, baseline: Option<Policy<'_>>, event: &Event) -> Change {
    let candidate = Policy {
        gate: candidate,
        slices: &[],
    };
    let mut replay = Replay::new(candidate, baseline);
    replay.take(&Recorded {
        file: "audit.jsonl",
        line: 1,
        event,
    });
    let report = replay.finish();
    report
        .groups
        .first()
        .map_or(Change::Same, |it| it.key.change)
}

/// The real call, at the real time, on the candidate.
fn agrees(name: &str, candidate: &Gate, event: &Event, stated: &Stated, change: Change) {
    let call = Stated {
        at: event.event_time.clone(),
        ip: event.source_ip.clone(),
        ..stated.clone()
    };
    // A caller that the candidate does not know is refused.
    let answer = call::answer(candidate, &Overlay::default(), &call);
    let allowed = answer.as_ref().is_ok_and(|it| it.decision == "allow");
    let was = latchkey::replay::was_allowed(event);
    let expected = match (was, allowed) {
        (false, true) => [Change::Widened, Change::MayWiden],
        (true, false) => [Change::Narrowed, Change::MayNarrow],
        (true, true) => [Change::Same, Change::MayNarrow],
        (false, false) => [Change::Same, Change::MayWiden],
    };
    let fits = expected.contains(&change) || (change == Change::Reason && !was && !allowed);
    // Who was refused before the surface was known cannot be followed, and is counted apart.
    assert!(
        fits || event.surface_id.is_none(),
        "{name}: {change:?}, but {answer:#?}\n{event:#?}"
    );
}

#[test]
fn the_command_groups_and_ends_as_asked() {
    let recording = record("github", &|_| true);
    let folder = tempfile::tempdir().unwrap();
    let (log, bundle) = (recording.log(), recording.baseline());
    let log = log.to_str().unwrap();
    let wider = edited(folder.path(), CANDIDATES[2].1);
    let base = ["replay", log, "--baseline", bundle.to_str().unwrap()];
    let with = |more: &[&str]| latchkey(&wider, &[&base[..], more].concat());

    let (code, out, err) = with(&["--fail-on", "widening"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(out.contains("Widened: denied then, allowed now"), "{out}");
    assert!(out.contains("github/push_files by alice"), "{out}");
    assert!(out.contains("no_permission -> ok"), "{out}");

    let (code, out, _) = with(&["--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(report["summary"]["narrowed"], 0);
    assert_eq!(report["summary"]["other_bundle"], 0);
    assert!(report["summary"]["widened"].as_u64().unwrap() > 0);
    let counted = report["groups"].as_array().unwrap().iter();
    let counted: u64 = counted.map(|it| it["count"].as_u64().unwrap()).sum();
    let sum = &report["summary"];
    let changed = ["widened", "narrowed", "reason", "may_widen", "may_narrow"];
    let changed: u64 = changed.iter().map(|it| sum[it].as_u64().unwrap()).sum();
    assert_eq!(counted, changed);

    let same = edited(folder.path(), &[]);
    let (code, out, _) = latchkey(&same, &[&base[..], &["--fail-on", "any"]].concat());
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_log_that_was_changed_is_told_by_its_line() {
    let recording = record("github", &|it| it.tool.as_deref() == Some("get_issue"));
    let folder = tempfile::tempdir().unwrap();
    let project = edited(folder.path(), &[]);
    let text = fs::read_to_string(recording.log()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let forged = lines[2].replace("\"decision\":\"allow\"", "\"decision\":\"deny\"");
    let log = [lines[0], lines[1], &forged, "{}", lines[4], lines[5]].join("\n");
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, log).unwrap();
    let path = path.to_str().unwrap();
    let (code, out, _) = latchkey(&project, &["replay", path]);
    assert_eq!(code, 4, "{out}");
    assert!(
        out.contains(&format!("{path}:4: not an audit event")),
        "{out}"
    );
    let gap = "a line before it is missing, or was put in";
    assert!(out.contains(&format!("{path}:5: {gap}")), "{out}");
    if forged != lines[2] {
        assert!(
            out.contains(&format!("{path}:3: changed after it was written")),
            "{out}"
        );
    }
}
