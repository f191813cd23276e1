//! Two sidecars before one server, with a real Redis between them.

use std::time::Duration;

use latchkey_engine::index::{Obligation, Pool, Reach};
use latchkey_gate::settings::{OnLoss, ServerSettings, Sharing, StoreLoss};
use latchkey_sidecar::run::Running;
use serde_json::{Value, json};

use crate::{
    bundle::{self, token},
    certificates::{Authority, put},
    client,
    decisions::{DECISION, Door, decided},
    redis::Redis,
    rig::{Rig, events, sidecar, wait_for},
};

/// Two sidecars of one server that share a store.
struct Pair {
    first: Rig,
    second: Running,
    folder: tempfile::TempDir,
    redis: Redis,
}

impl Pair {
    fn start(settings: &ServerSettings, limits: &[(&'static str, Obligation)]) -> Self {
        Self::start_with(settings, limits, "")
    }

    fn start_with(
        settings: &ServerSettings,
        limits: &[(&'static str, Obligation)],
        more: &str,
    ) -> Self {
        let redis = Redis::start();
        let mut release = bundle::Release::new(1);
        release.limits = limits.to_vec();
        release.settings = ServerSettings {
            replicas: 2,
            shared_store: true,
            ..settings.clone()
        };
        let store = format!(
            "store = {{redis = \"{}\", lease = \"1s\"}}\n{more}",
            redis.url()
        );
        let first = Rig::with(&release, &store);
        let folder = tempfile::tempdir().unwrap();
        release.write(folder.path(), &first.server.upstream());
        let second = sidecar(folder.path(), &store).unwrap();
        let pair = Self {
            first,
            second,
            folder,
            redis,
        };
        pair.wait_connected();
        pair
    }

    fn wait_connected(&self) {
        for running in [&self.first.sidecar, &self.second] {
            let store = running.shared().store.as_ref().unwrap();
            wait_for("the store", || store.is_connected());
        }
    }

    /// Calls in turn; how many were let through.
    fn let_through(&self, calls: usize, tool: &str) -> usize {
        let alice = token("alice");
        let addresses = [self.first.sidecar.address, self.second.address];
        let outcomes = (0..calls).map(|n| client::call(addresses[n % 2], &alice, tool).outcome());
        outcomes
            .filter(|outcome| match outcome.as_str() {
                "ok" => true,
                "rate_limited" => false,
                other => panic!("{other}"),
            })
            .count()
    }

    fn reached(&self) -> usize {
        self.first.server.seen().len()
    }
}

fn hourly(count: u32) -> Obligation {
    Obligation::rate(count, 3600)
}

fn together(count: u32) -> Obligation {
    Obligation::Concurrency {
        pool: Pool::Caller,
        reach: Reach::Surface,
        count,
    }
}

#[test]
fn a_rate_holds_exactly_across_two_sidecars() {
    let pair = Pair::start(&ServerSettings::default(), &[("paced", hourly(7))]);
    assert_eq!(pair.let_through(20, "paced"), 7);
    assert_eq!(pair.reached(), 7);
    for folder in [pair.first.folder.path(), pair.folder.path()] {
        assert_eq!(events(folder).len(), 10);
    }
}

#[test]
fn callers_at_the_same_time_get_exactly_what_there_is() {
    let pair = Pair::start(&ServerSettings::default(), &[("paced", hourly(25))]);
    let let_through: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| pair.let_through(10, "paced")))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!((let_through, pair.reached()), (25, 25));
}

#[test]
fn leases_draw_ahead_and_never_more_than_there_is() {
    let settings = ServerSettings {
        sharing: Sharing::Lease,
        ..ServerSettings::default()
    };
    let pair = Pair::start(&settings, &[("paced", hourly(64))]);
    let let_through = pair.let_through(100, "paced");
    // Of what one has drawn ahead, at most its last draw is lost.
    assert!((60..=64).contains(&let_through), "{let_through}");
}

#[test]
fn calls_at_a_time_are_counted_across_both_and_come_back() {
    let pair = Pair::start(&ServerSettings::default(), &[("slow", together(1))]);
    let alice = token("alice");
    let mut first = client::Connection::open(pair.first.sidecar.address, &alice);
    first.post(&client::tool_call("slow")).unwrap();
    wait_for("the first call", || pair.reached() == 1);
    // Longer than a lease: it is kept for as long as the call lasts.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(pair.let_through(2, "slow"), 0);
    assert_eq!(first.answer().unwrap().outcome(), "ok");
    let mut second = client::Connection::open(pair.second.address, &alice);
    wait_for("the place", || {
        second.call("slow").is_ok_and(|it| it.outcome() == "ok")
    });
}

#[test]
fn a_store_that_is_paused_or_killed_refuses_unless_the_policy_says_otherwise() {
    let mut pair = Pair::start(&ServerSettings::default(), &[("paced", hourly(100))]);
    assert_eq!(pair.let_through(2, "paced"), 2);
    pair.redis.signal("STOP");
    assert_eq!(pair.let_through(6, "paced"), 0);
    assert_eq!(pair.reached(), 2);
    let event = events(pair.first.folder.path()).pop().unwrap();
    assert_eq!(event["reason"], "rate_limited", "{event}");
    let told = || {
        let get = |path| client::get(pair.first.sidecar.admin, path).body;
        let status: Value = serde_json::from_str(&get("/status")).unwrap();
        (status["store"].clone(), get("/metrics"))
    };
    let (store, metrics) = told();
    assert_eq!(store, json!({"connected": false, "lost": 3}));
    for line in ["latchkey_store_connected 0", "latchkey_store_lost_total 3"] {
        assert!(metrics.lines().any(|it| it == line), "{metrics}");
    }
    // What needs no store goes on.
    assert_eq!(
        pair.first.call(&token("alice"), "get_issue").outcome(),
        "ok"
    );
    pair.redis.signal("CONT");
    pair.wait_connected();
    assert_eq!(told().0["connected"], true);
    assert_eq!(pair.let_through(2, "paced"), 2);
    pair.redis.signal("KILL");
    assert_eq!(pair.let_through(6, "paced"), 0);
    assert_eq!(pair.reached(), 5);
    pair.redis.restart();
    pair.wait_connected();
    assert_eq!(pair.let_through(2, "paced"), 2);
}

#[test]
fn each_sidecar_keeps_to_its_share_where_the_policy_says_so() {
    let settings = ServerSettings {
        on_store_loss: StoreLoss {
            rate: OnLoss::Local,
            concurrency: OnLoss::Deny,
        },
        ..ServerSettings::default()
    };
    let limits = [("paced", hourly(10)), ("slow", together(4))];
    let pair = Pair::start(&settings, &limits);
    pair.redis.signal("KILL");
    assert_eq!(pair.let_through(40, "paced"), 10);
    assert_eq!(pair.let_through(2, "slow"), 0);
}

#[test]
fn decisions_count_in_the_store_together_with_calls() {
    let limits = [("paced", hourly(7)), ("steady", hourly(100))];
    let pair = Pair::start_with(&ServerSettings::default(), &limits, DECISION);
    let both = [&pair.first.sidecar, &pair.second];
    let mut allowed = pair.let_through(2, "paced");
    for turn in 0..12 {
        let door = Door::ALL[turn % 3];
        match decided(both[turn % 2], door, "paced").as_str() {
            "ok" => allowed += 1,
            reason => assert_eq!(reason, "rate_limited"),
        }
    }
    assert_eq!(allowed, 7);
    assert_eq!(pair.let_through(2, "paced"), 0);
    // Without the store there is no count, and so no allow.
    pair.redis.signal("STOP");
    for door in Door::ALL {
        assert_eq!(decided(both[0], door, "steady"), "rate_limited");
        let event = events(pair.first.folder.path()).pop().unwrap();
        let detail = event["detail"].as_str().unwrap();
        assert!(detail.contains("does not answer"), "{event}");
        assert_eq!(decided(both[0], door, "get_issue"), "ok");
    }
    pair.redis.signal("CONT");
}

#[test]
fn a_sidecar_that_is_gone_gives_its_places_back() {
    let redis = Redis::start();
    let mut release = bundle::Release::new(1);
    release.limits = vec![("slow", together(1))];
    release.settings.shared_store = true;
    let store = format!("store = {{redis = \"{}\", lease = \"1s\"}}", redis.url());
    let gone = Rig::with(&release, &store);
    let wait_connected = |rig: &Rig| {
        let store = rig.sidecar.shared().store.as_ref().unwrap();
        wait_for("the store", || store.is_connected());
    };
    wait_connected(&gone);
    let alice = token("alice");
    let mut first = client::Connection::open(gone.sidecar.address, &alice);
    first.post(&client::tool_call("slow")).unwrap();
    wait_for("the first call", || gone.server.seen().len() == 1);
    // It cannot tell the store any more that it holds the place, nor that it gives it back.
    redis.signal("STOP");
    drop(first);
    let _ = gone.sidecar.drain();
    redis.signal("CONT");
    let next = Rig::with(&release, &store);
    wait_connected(&next);
    wait_for("the place", || next.call(&alice, "slow").outcome() == "ok");
}

#[test]
fn a_policy_that_needs_a_store_is_refused_where_there_is_none() {
    let mut release = bundle::Release::new(1);
    release.settings.shared_store = true;
    let rig = Rig::with(&release, "");
    assert!(rig.sidecar.shared().active().is_none());
    let answer = rig.call(&token("alice"), "get_issue");
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[test]
fn the_store_is_reached_under_tls_and_only_if_it_is_the_right_one() {
    let authority = Authority::new();
    let redis = Redis::start_tls(&authority);
    let mut release = bundle::Release::new(1);
    release.limits = vec![("paced", hourly(2))];
    release.settings = ServerSettings {
        replicas: 2,
        shared_store: true,
        ..ServerSettings::default()
    };
    let keys = redis.folder().display();
    let shown = format!("certificate = \"{keys}/client.pem\", key = \"{keys}/client.key\"");
    let store = |ca: &str, shown: &str| {
        let url = redis.url();
        format!(
            "store = {{redis = \"{url}\", lease = \"1s\", timeout = \"500ms\", ca = \"{ca}\", {shown}}}"
        )
    };
    let rig = Rig::with(&release, &store(&format!("{keys}/ca.pem"), &shown));
    wait_for("the store", || {
        rig.sidecar.shared().store.as_ref().unwrap().is_connected()
    });
    let outcome = || rig.call(&token("alice"), "paced").outcome();
    assert_eq!(
        [outcome(), outcome(), outcome()],
        ["ok", "ok", "rate_limited"]
    );
    // A store of another authority, and one that is shown no certificate, are none.
    let stranger = tempfile::tempdir().unwrap();
    put(&stranger.path().join("ca.pem"), &Authority::new().pem);
    let other = format!("{}/ca.pem", stranger.path().display());
    for more in [store(&other, &shown), store(&format!("{keys}/ca.pem"), "")] {
        let more = more.replace(", }", "}");
        let rig = Rig::with(&release, &more);
        std::thread::sleep(Duration::from_millis(700));
        assert!(!rig.sidecar.shared().store.as_ref().unwrap().is_connected());
        let answer = rig.call(&token("alice"), "paced");
        assert_eq!(answer.outcome(), "rate_limited", "closed on loss");
        let event = rig.events().pop().unwrap();
        assert!(
            event["detail"]
                .as_str()
                .unwrap()
                .contains("does not answer"),
            "{event}"
        );
    }
    // Files that cannot be used are told at the start.
    let folder = tempfile::tempdir().unwrap();
    let refused = sidecar(folder.path(), &store("no-such.pem", &shown)).unwrap_err();
    assert!(refused.to_string().contains("[store]"), "{refused}");
}
