//! The real program under load: swapped ten times a second, and killed fifty times.
//!
//! `LATCHKEY_SOAK_SECONDS` and `LATCHKEY_SOAK_KILLS` change how long.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use latchkey_tests::{
    client::{self, Connection},
    golden::{Golden, root},
    live::{Program, Release, Rig},
    tokens::token,
};
use serde_json::json;

const CONNECTIONS: usize = 16;

fn golden() -> Golden {
    Golden::open(&root().join("tests/golden/scope-map"))
}

fn setting(name: &str, usual: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What the callers of a test have seen.
#[derive(Debug, Default)]
struct Tally {
    allowed: AtomicUsize,
    denied: AtomicUsize,
    broken: AtomicUsize,
}

/// Callers on connections of their own, each asking until told to stop or cut off. Every fourth is
/// one who may not.
fn callers(
    rig: &Rig,
    golden: &Golden,
    program: &Program,
    stop: &Arc<AtomicBool>,
    tally: &Arc<Tally>,
) -> Vec<JoinHandle<()>> {
    let cell = |caller: &str| {
        let mut cells = golden.cells().into_iter();
        cells
            .find(|it| it.caller == caller && it.call == "exact")
            .unwrap()
            .stated
    };
    let tokens = ["alice", "bob"].map(|it| token(&rig.model, &cell(it)).unwrap());
    let caller = |n: usize| {
        let may = n % 4 != 3;
        let token = tokens[usize::from(!may)].clone();
        let (address, stop, tally) = (program.address, Arc::clone(stop), Arc::clone(tally));
        std::thread::spawn(move || {
            let Ok(mut connection) = Connection::open(address) else {
                tally.broken.fetch_add(1, Ordering::Relaxed);
                return;
            };
            while !stop.load(Ordering::Relaxed) {
                let arguments = json!({"repo": "ledger"});
                let Ok(response) = connection.call(&token, "read", &arguments) else {
                    tally.broken.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                if may {
                    assert!(response.is_allowed(), "{response:?}");
                    tally.allowed.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert!(!response.is_allowed(), "{response:?}");
                    tally.denied.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    (0..CONNECTIONS).map(caller).collect()
}

#[test]
fn ten_swaps_a_second_under_load_fail_no_request() {
    let golden = golden();
    let rig = Rig::new(&golden, "git");
    let program = rig.spawn("");
    let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    let callers = callers(&rig, &golden, &program, &stop, &tally);
    let end = Instant::now() + Duration::from_secs(setting("LATCHKEY_SOAK_SECONDS", 30));
    let (mut version, mut model) = (1, rig.model.clone());
    while Instant::now() < end {
        let next = Instant::now() + Duration::from_millis(100);
        version += 1;
        // Another slice each time: what `root` may do comes and goes.
        if version % 2 == 0 {
            model.bindings.remove("root");
        } else {
            model.bindings.clone_from(&rig.model.bindings);
        }
        Release::new(&golden, version).write(rig.path(), &golden, &model);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    let swaps = client::get(program.admin, "/status").json()["bundle"]["generation"].clone();
    let swaps = swaps.as_u64().unwrap();
    assert_eq!(program.stop(), Some(0));
    let [allowed, denied, broken] =
        [&tally.allowed, &tally.denied, &tally.broken].map(|it| it.load(Ordering::Relaxed));
    println!(
        "{} requests on {CONNECTIONS} connections, {} releases, {swaps} swaps, {broken} failures",
        allowed + denied,
        version - 1
    );
    assert_eq!(broken, 0);
    assert!(swaps * 10 >= version * 8, "{swaps} of {version}");
    assert_eq!(rig.upstream.count(), allowed);
    assert_eq!(rig.events().len(), allowed + denied);
}

#[test]
fn killed_fifty_times_under_load_each_request_on_the_wire_has_one_event() {
    let golden = golden();
    let rig = Rig::new(&golden, "git");
    let kills = setting("LATCHKEY_SOAK_KILLS", 50);
    let tally = Arc::new(Tally::default());
    for round in 0..kills {
        let program = rig.spawn("");
        let stop = Arc::new(AtomicBool::new(false));
        let callers = callers(&rig, &golden, &program, &stop, &tally);
        std::thread::sleep(Duration::from_millis(40 + 17 * (round % 7)));
        program.kill();
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    }
    assert_eq!(rig.spawn("").stop(), Some(0));

    let mut recorded = BTreeMap::new();
    // The hash chain of the whole log is verified on the way.
    for event in rig.events() {
        let id = event["request_id"].as_str().unwrap().to_owned();
        assert!(recorded.insert(id, event).is_none(), "an event twice");
    }
    let seen: Vec<String> = rig
        .upstream
        .seen()
        .into_iter()
        .map(|it| it.request_id)
        .collect();
    let wire: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(wire.len(), seen.len(), "a request was forwarded twice");
    for id in &wire {
        assert!(
            recorded.contains_key(*id),
            "{id} was forwarded without an event"
        );
    }
    let mut cut_off = 0;
    for (id, event) in &recorded {
        match (event["decision"].as_str(), event["outcome"].as_str()) {
            (Some("deny"), _) => assert!(!wire.contains(id), "refused and forwarded: {event}"),
            (_, Some("success")) => assert!(wire.contains(id), "nobody saw it: {event}"),
            _ => cut_off += 1,
        }
    }
    let [allowed, denied] = [&tally.allowed, &tally.denied].map(|it| it.load(Ordering::Relaxed));
    println!(
        "{kills} kills: {} events, {} requests on the wire, {allowed} allowed and {denied} denied \
         were answered, {cut_off} cut off",
        recorded.len(),
        seen.len()
    );
    assert!(seen.len() >= allowed && recorded.len() >= allowed + denied);
    assert!(allowed > 100 && denied > 10);
}
