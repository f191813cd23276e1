//! What somebody who holds the source, a stolen key or the sidecar's disk can try, and what comes
//! of it: each against the real program, and all of them in `tests/golden/attacks.txt`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "attacks/stage.rs"]
mod stage;

use std::time::Duration;

use latchkey_engine::time::Time;
use latchkey_tests::{golden::root, tokens::seconds, web::Manner};
use serde_json::json;

use stage::Stage;

/// An attack: its name, what it does, and the word under which it must be refused.
type Attack = (&'static str, fn(&mut Stage), &'static str);

#[test]
fn every_attack_is_refused_and_what_is_served_is_known() {
    let path = root().join("tests/golden/attacks.txt");
    let mut text = String::from(
        "# What is tried, the word under which it is refused, and what is served afterwards.\n",
    );
    let attacks = [RELEASES, POINTERS, ROOTS, REST].concat();
    // Side by side, for most of them wait for something.
    let share = attacks.len().div_ceil(4);
    std::thread::scope(|scope| {
        let running: Vec<_> = attacks
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(outcome).collect::<String>()))
            .collect();
        for share in running {
            text.push_str(&share.join().unwrap());
        }
    });
    print!("{text}");
    if std::env::var_os("LATCHKEY_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "bless with LATCHKEY_BLESS=1 if this is right");
}

/// Runs an attack; the line of the table that says what came of it.
fn outcome((name, attack, word): &Attack) -> String {
    let mut stage = Stage::new();
    attack(&mut stage);
    stage.await_word(name, word);
    format!("{name:<58} {word:<20} {}\n", stage.served())
}

/// A stage serves version 5, signed by `ci`, under a pointer that has an hour to live.
const RELEASES: &[Attack] = &[
    (
        "rollback: an older release, with a pointer at it",
        |stage| stage.publish(4, |_| {}),
        "rollback",
    ),
    (
        "equivocation: other content under the same version",
        |stage| stage.publish(5, |draft| draft.content = 1),
        "equivocation",
    ),
    (
        "mix of slices: the slice of another release",
        |stage| {
            let draft = stage.publisher.draft(6);
            let pointing = stage.publisher.pointing(&draft);
            stage.publisher.put_release(&draft);
            stage.publisher.put_files(0);
            stage.publisher.put_pointer(&pointing);
        },
        "file_mismatch",
    ),
    (
        "a release without its slice",
        |stage| {
            let draft = stage.publisher.draft(6);
            let pointing = stage.publisher.pointing(&draft);
            stage.publisher.put_release(&draft);
            stage.publisher.remove("git.lkb");
            stage.publisher.put_pointer(&pointing);
        },
        "file_missing",
    ),
    (
        "wrong channel",
        |stage| stage.publish(6, |draft| "canary".clone_into(&mut draft.facts.channel)),
        "wrong_channel",
    ),
    (
        "wrong project",
        |stage| stage.publish(6, |draft| "other".clone_into(&mut draft.facts.project)),
        "wrong_project",
    ),
    (
        "unsigned: no signature at all",
        |stage| stage.publish(6, |draft| draft.signers.clear()),
        "bad_signature",
    ),
    (
        "unsigned: a bare statement in place of the envelope",
        |stage| {
            let draft = stage.publisher.draft(6);
            let pointing = stage.publisher.pointing(&draft);
            stage.publisher.put_files(draft.content);
            let payload = stage.publisher.payload(&draft);
            stage.publisher.put("release.json", &payload);
            stage.publisher.remove("release.dsse.json");
            stage.publisher.put_pointer(&pointing);
        },
        "file_missing",
    ),
    (
        "signed by a stranger",
        |stage| stage.publish(6, |draft| draft.signers = vec!["thief"]),
        "bad_signature",
    ),
    (
        "below threshold: one of two",
        |stage| {
            stage.with_threshold_of_two();
            stage.publish(7, |_| {});
        },
        "bad_signature",
    ),
    (
        "duplicate signer: one of two, twice",
        |stage| {
            stage.with_threshold_of_two();
            stage.publish(7, |draft| draft.signers = vec!["ci", "ci"]);
        },
        "bad_signature",
    ),
    (
        "expired",
        |stage| {
            stage.publish(6, |draft| {
                draft.facts.not_after = Some(Time(seconds() - 60));
            });
        },
        "expired",
    ),
    (
        "needs an engine that does not exist",
        |stage| stage.publish(6, |draft| "99.0.0".clone_into(&mut draft.facts.engine.min)),
        "engine_too_old",
    ),
    (
        "a bundle format that does not exist",
        |stage| stage.publish(6, |draft| draft.facts.engine.format = 99),
        "unknown_format",
    ),
    (
        "does not name the one before, with strict_chain = true",
        |stage| {
            stage.restart("bundle = {strict_chain = true}");
            stage.publish(6, |_| {});
        },
        "broken_chain",
    ),
    (
        "below the min_version of the settings",
        |stage| {
            stage.restart("bundle = {min_version = 9}");
            stage.publish(6, |_| {});
        },
        "rollback",
    ),
    (
        "stale clock: ended by a time that trusted keys vouched for",
        |stage| {
            let day = 86_400;
            stage.publish(6, |draft| {
                draft.facts.issued_at = Some(Time(seconds() + 2 * day));
            });
            stage.await_version(6);
            let mut draft = stage.publisher.draft(7);
            draft.facts.not_after = Some(Time(seconds() + day));
            let mut pointing = stage.publisher.pointing(&draft);
            pointing.pointer.expires = Time(seconds() + 3 * day);
            stage.publisher.put_release(&draft);
            stage.publisher.put_pointer(&pointing);
        },
        "expired",
    ),
    (
        "fast-forward: the highest version, then an honest one",
        |stage| {
            stage.publish((1 << 53) - 1, |_| {});
            stage.await_version((1 << 53) - 1);
            stage.publish(6, |_| {});
        },
        "rollback",
    ),
    (
        "fast-forward again, after an epoch ended it",
        |stage| {
            let highest = (1 << 53) - 1;
            stage.publish(highest, |_| {});
            stage.await_version(highest);
            stage.rotate(2, |root| root["epoch"] = json!(2));
            stage.publish(6, |draft| draft.facts.epoch = 2);
            stage.await_version(6);
            stage.publish(highest, |_| {});
        },
        "pointer_rollback",
    ),
];

const POINTERS: &[Attack] = &[
    (
        "freeze: the source stands still",
        |stage| stage.freeze(),
        "stale",
    ),
    (
        "freeze, with on_stale = \"deny\"",
        |stage| {
            stage.restart("bundle = {on_stale = \"deny\"}");
            stage.freeze();
        },
        "stale",
    ),
    (
        "pointer rollback",
        |stage| {
            let old = stage.publisher.read("pointer.dsse.json");
            stage.publish(6, |_| {});
            stage.await_version(6);
            stage.publisher.put("pointer.dsse.json", &old);
        },
        "pointer_rollback",
    ),
    (
        "pointer equivocation: another one under the same number",
        |stage| {
            let draft = stage.publisher.draft(6);
            let mut pointing = stage.publisher.pointing(&draft);
            pointing.pointer.pointer_version -= 1;
            stage.publisher.put_release(&draft);
            stage.publisher.put_pointer(&pointing);
        },
        "pointer_equivocation",
    ),
    (
        "a pointer signed by a release key",
        |stage| {
            let draft = stage.publisher.draft(6);
            let mut pointing = stage.publisher.pointing(&draft);
            pointing.signer = "ci";
            stage.publisher.put_release(&draft);
            stage.publisher.put_pointer(&pointing);
        },
        "bad_signature",
    ),
    (
        "a new release under the pointer of the one before",
        |stage| {
            let draft = stage.publisher.draft(6);
            let named = stage.publisher.draft(5);
            let name = format!("releases/{}.dsse.json", stage.publisher.digest(&named));
            stage.publisher.put_release(&draft);
            // The statement that the pointer names is taken away, so that only the new one is left.
            stage.publisher.remove(&name);
        },
        "file_missing",
    ),
    (
        "what runs is below the pointer's min_version",
        |stage| {
            let mut pointing = stage.publisher.pointing(&stage.publisher.draft(6));
            pointing.pointer.min_version = 6;
            stage.publisher.put_pointer(&pointing);
        },
        "file_missing",
    ),
    (
        "no pointer",
        |stage| {
            stage.publisher.remove("pointer.dsse.json");
            stage.publisher.put_release(&stage.publisher.draft(6));
        },
        "pointer_missing",
    ),
];

const ROOTS: &[Attack] = &[
    (
        "revoked, and nothing newer",
        |stage| {
            let digest = stage.publisher.digest(&stage.publisher.draft(5));
            stage.rotate(2, |root| root["revoked"] = json!([digest.to_string()]));
        },
        "revoked",
    ),
    (
        "revoked, and the source keeps its file back",
        |stage| {
            let digest = stage.publisher.digest(&stage.publisher.draft(5));
            stage.rotate(2, |root| root["revoked"] = json!([digest.to_string()]));
            stage.publisher.remove("release.dsse.json");
            stage
                .publisher
                .remove(&format!("releases/{digest}.dsse.json"));
        },
        "file_missing",
    ),
    (
        "the key that signed it is removed in the next root",
        |stage| {
            stage.rotate(2, |root| {
                root["roles"]["release"]["main"]["members"] = json!(["new-ci"]);
            });
        },
        "bad_signature",
    ),
    (
        "a trust root signed by a stranger",
        |stage| {
            let next = stage.publisher.trust(2, |_| {});
            stage.publisher.put_trust(2, &next, &["thief"]);
        },
        "bad_signature",
    ),
    (
        "a trust root out of turn",
        |stage| {
            let next = stage.publisher.trust(3, |_| {});
            stage.publisher.put_trust(2, &next, &["root"]);
        },
        "trust_chain",
    ),
    (
        "trust rollback: the stored root and its file are gone",
        |stage| {
            stage.rotate(2, |_| {});
            stage.publish(6, |_| {});
            stage.await_version(6);
            stage.stop();
            stage.remove_state("trust.json");
            stage.publisher.remove("trust.2.dsse.json");
            stage.restart("");
        },
        "trust_rollback",
    ),
];

const REST: &[Attack] = &[
    (
        "lost state: an older release under an ended pointer",
        |stage| {
            stage.stop();
            stage.remove_state("floor.json");
            stage.publish_ended(4);
            stage.restart("");
        },
        "stale",
    ),
    (
        "lost state, with required = true",
        |stage| {
            stage.stop();
            stage.remove_state("floor.json");
            stage.restart("state = {required = true}");
        },
        "state_lost",
    ),
    (
        "damaged state: an older release under an ended pointer",
        |stage| {
            stage.stop();
            stage.damage_state("floor.json");
            stage.publish_ended(4);
            stage.restart("");
        },
        "stale",
    ),
    (
        "damaged state, on a channel without a freshness role",
        |stage| {
            stage.without_freshness();
            stage.stop();
            stage.damage_state("floor.json");
            stage.restart("");
        },
        "state_damaged",
    ),
    (
        "damaged copy of the last good release, without a source",
        |stage| {
            stage.stop();
            stage.damage_last_good();
            stage.publisher.remove("release.dsse.json");
            stage.publisher.remove("pointer.dsse.json");
            stage.restart("");
        },
        "file_missing",
    ),
    (
        "full disk, with required = true",
        |stage| {
            stage.restart("state = {required = true}");
            stage.fill_disk();
            stage.publish(6, |_| {});
        },
        "floor_not_persisted",
    ),
    (
        "endless data: a pointer without end",
        |stage| {
            stage.over_http("");
            stage.web.set("pointer.dsse.json", Some(Manner::Endless));
        },
        "too_large",
    ),
    (
        "endless data: a slice without end",
        |stage| {
            stage.over_http("");
            stage.web.set("git.lkb", Some(Manner::Endless));
            stage.publish(6, |_| {});
        },
        "too_large",
    ),
    (
        "slow source: a byte now and then",
        |stage| {
            stage.over_http("bundle = {timeout = \"500ms\"}");
            stage.web.set("pointer.dsse.json", Some(Manner::Trickle));
        },
        "too_slow",
    ),
    (
        "slow source: silence",
        |stage| {
            stage.over_http("bundle = {timeout = \"500ms\"}");
            stage.web.set("pointer.dsse.json", Some(Manner::Silence));
        },
        "too_slow",
    ),
];

/// What is no refusal, but must go on as it is documented.
#[test]
fn without_room_on_the_disk_it_runs_on_and_says_so() {
    let mut stage = Stage::new();
    stage.fill_disk();
    stage.publish(6, |_| {});
    stage.await_version(6);
    assert_eq!(stage.status()["floor_persisted"], false);
    assert!(stage.metrics().contains("latchkey_floor_persisted 0"));
    // Restarted now, it goes on from what it could store.
    stage.publisher.remove("pointer.dsse.json");
    stage.stop();
    stage.restart("");
    assert_eq!(stage.status()["bundle"]["version"], 5);
    stage.make_room();
    stage.publish(7, |_| {});
    stage.await_version(7);
    assert_eq!(stage.status()["floor_persisted"], true);
}

#[test]
fn past_its_end_a_release_is_served_for_as_long_as_asked_and_no_longer() {
    let mut stage = Stage::new();
    stage.restart("bundle = {serve_expired_for = \"1h\"}");
    let end = seconds() + 2;
    stage.publish(6, |draft| draft.facts.not_after = Some(Time(end)));
    stage.await_version(6);
    std::thread::sleep(Duration::from_secs(3));
    assert!(stage.call());
    // Also from what was good last, without a source.
    stage.publisher.remove("release.dsse.json");
    stage.restart("bundle = {serve_expired_for = \"1h\"}");
    assert_eq!(stage.status()["bundle"]["source"], "last_good");
    assert!(stage.call());
    for more in ["bundle = {serve_expired_for = \"1s\"}", ""] {
        stage.restart(more);
        assert!(!stage.call(), "{more}");
    }
}

#[test]
fn an_operator_can_have_the_source_asked_at_once() {
    let mut stage = Stage::new();
    stage.over_http("bundle = {poll = \"24h\"}");
    assert_eq!(stage.status()["bundle"]["source"], "last_good");
    for version in 6..8 {
        stage.publish(version, |_| {});
        stage.ask_for_poll();
        stage.await_version(version);
    }
}

#[test]
fn the_same_release_again_changes_nothing() {
    let mut stage = Stage::new();
    let draft = stage.publisher.draft(5);
    for _ in 0..3 {
        // A pointer that is renewed, and files that are copied again.
        stage.publisher.publish(&draft);
        let version = stage.publisher.pointing(&draft).pointer.pointer_version - 1;
        stage.await_pointer(version);
    }
    assert_eq!(stage.status()["bundle"]["generation"], 1);
}

/// A fleet does not fetch a release at once: this sidecar waits for its turn, and goes on serving
/// and heeding pointers meanwhile.
#[test]
fn a_release_is_fetched_in_its_turn() {
    let mut stage = Stage::new();
    let draft = stage.publisher.draft(6);
    let mut pointing = stage.publisher.pointing(&draft);
    pointing.pointer.spread_seconds = 86_400;
    stage.publisher.put_release(&draft);
    stage.publisher.put_pointer(&pointing);
    stage.await_metric("latchkey_bundle_polls_total{outcome=\"waiting\"}");
    assert_eq!(stage.status()["bundle"]["version"], 5);
    assert!(stage.call());
    stage.publish(6, |_| {});
    stage.await_version(6);
}

#[test]
fn state_that_is_required_begins_with_a_command() {
    let mut stage = Stage::new();
    stage.stop();
    stage.remove_state("floor.json");
    stage.init();
    stage.restart("state = {required = true}");
    stage.await_version(5);
}

#[test]
fn a_revoked_release_gives_way_to_the_newer_one_at_once() {
    let mut stage = Stage::new();
    let digest = stage.publisher.digest(&stage.publisher.draft(5));
    let pointing = stage.publisher.pointing(&stage.publisher.draft(6));
    stage.publisher.put_release(&stage.publisher.draft(6));
    stage.publisher.put_pointer(&pointing);
    stage.rotate(2, |root| root["revoked"] = json!([digest.to_string()]));
    stage.await_version(6);
    assert!(stage.call());
}

/// What is denied urgently is refused within one poll, without a release, also after a restart
/// without a source, and is allowed again when a newer pointer says so.
#[test]
fn an_urgent_denial_holds_within_one_poll() {
    let poll = Duration::from_millis(500);
    let mut stage = Stage::new();
    stage.over_http("bundle = {poll = \"500ms\"}");
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        stage.deny(&["alice"]);
        slowest = slowest.max(stage.time_until_call_is(false));
        stage.deny(&[]);
        slowest = slowest.max(stage.time_until_call_is(true));
    }
    println!("urgent denials and their ends: at most {slowest:?} at a poll of {poll:?} +- 20 %");
    // The jitter of the poll, and room for a busy machine.
    assert!(
        slowest < poll * 12 / 10 + Duration::from_secs(1),
        "{slowest:?}"
    );
    stage.deny(&["alice"]);
    stage.time_until_call_is(false);
    stage.stop();
    stage.publisher.remove("pointer.dsse.json");
    stage.restart("");
    assert_eq!(stage.status()["bundle"]["version"], 5);
    assert_eq!(stage.status()["urgent_denials"], 1);
    assert!(!stage.call(), "what was denied is denied after a restart");
}
