//! Faults of the machine, and of the sidecar itself.

use std::{collections::BTreeSet, process::Command, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Manner, NOT_WHOLE, Row, Scene, saw};
use crate::{bundle, client, crash::Program, rig::wait_for};

const BROKEN: (&str, &str) = ("500 internal", "internal internal");

pub(super) const ROWS: &[Row] = &[
    Row {
        fault: "file descriptors run out; the second caller waits for one",
        comes: &[
            ("200 ok", "ok success"),
            (
                "200 upstream_unavailable",
                "upstream_unavailable upstream_error",
            ),
        ],
        inject: files_run_out,
    },
    Row {
        fault: "the disk gets full during a call: its answer is held back",
        comes: &[("503 audit_unavailable", "audit_unavailable internal")],
        inject: |scene| disk_full(scene, &length(scene).to_string()),
    },
    Row {
        fault: "the disk is full, also for the log of operators: nothing is forwarded",
        comes: &[("503 audit_unavailable", "audit_unavailable internal")],
        inject: |scene| {
            let before = scene.upstream.read();
            let all = disk_full(scene, "0");
            assert_eq!(scene.upstream.read(), before);
            all
        },
    },
    Row {
        fault: "the clock jumps half an hour ahead: tokens have ended",
        comes: &[("401 token_expired", "token_expired denied")],
        inject: |scene| clock(scene, 1800),
    },
    Row {
        fault: "the clock jumps a year ahead: the policy has ended",
        comes: &[("200 policy_unavailable", "policy_unavailable denied")],
        inject: |scene| clock(scene, 365 * 86_400),
    },
    Row {
        fault: "the clock jumps an hour back: new tokens are of the future",
        comes: &[("401 unauthenticated", "unauthenticated denied")],
        inject: |scene| clock(scene, -3600),
    },
    Row {
        fault: "the clock jumps an hour back: so is a token that was in use",
        comes: &[
            ("200 ok", "ok success"),
            ("401 unauthenticated", "unauthenticated denied"),
        ],
        inject: |scene| {
            let token = bundle::minted("alice", 600);
            let before = call(scene, &token);
            let after = at_other_time(scene, -3600, &token);
            vec![before, after]
        },
    },
    Row {
        fault: "stage `receive` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "receive"),
    },
    Row {
        fault: "stage `identify` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "identify"),
    },
    Row {
        fault: "stage `admit` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "admit"),
    },
    Row {
        fault: "stage `hold` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "hold"),
    },
    Row {
        fault: "stage `throttle` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "throttle"),
    },
    Row {
        fault: "stage `record` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "record"),
    },
    Row {
        fault: "stage `forward` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "forward"),
    },
    Row {
        fault: "stage `filter` panics",
        comes: &[BROKEN],
        inject: |scene| panic(scene, "filter"),
    },
    Row {
        fault: "passing an answer on panics",
        comes: &[(NOT_WHOLE, "internal internal")],
        inject: |scene| {
            scene.upstream.behave(Manner::Stall);
            panic(scene, "pass")
        },
    },
];

/// Lets this process, and those that it starts, open as many files as many callers need.
pub(super) fn allow_many_files() {
    const ENOUGH: u64 = 4096;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(u64::MAX);
    assert!(most >= ENOUGH, "this test needs `ulimit -Hn` of {ENOUGH}");
    let current = Some(ENOUGH);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

pub(super) fn in_a_day() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(now.as_secs()).unwrap() + 86_400
}

/// Limits something of the program.
fn limit(scene: &Scene, what: &str) {
    let status = Command::new("prlimit")
        .arg(what)
        .args(["--pid", &scene.program.id().to_string()])
        .status()
        .expect("this test needs `prlimit`, of util-linux");
    assert!(status.success());
}

/// The lowest number that no open file of a program has: the next one gets it.
fn first_free(program: &Program) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap();
    let open = open.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let open: BTreeSet<usize> = open.collect();
    (0..1 << 20).find(|number| !open.contains(number)).unwrap()
}

/// No more files than are open: a connection to the server is one too many, and so is one more
/// caller, who is served when there is room again.
fn files_run_out(scene: &Scene) -> Vec<String> {
    let mut first = scene.connect();
    first.post(&client::tool_call("get_issue")).unwrap();
    let mut all = vec![saw(&mut first)];
    // Files that are looked at from time to time are closed again.
    let free = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(5));
        first_free(&scene.program)
    });
    let free = free.min().unwrap();
    limit(scene, &format!("--nofile={free}:"));
    first.post(&client::tool_call("get_issue")).unwrap();
    all.push(saw(&mut first));
    let mut second = scene.connect();
    second.post(&client::tool_call("get_issue")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    limit(scene, "--nofile=4096:");
    all.push(saw(&mut second));
    all
}

/// The bytes of the audit log.
fn length(scene: &Scene) -> u64 {
    let path = scene.folder.path().join("audit.jsonl");
    path.metadata().unwrap().len()
}

/// No file may grow beyond this.
fn disk_full(scene: &Scene, most: &str) -> Vec<String> {
    limit(scene, &format!("--fsize={most}:"));
    let all = vec![scene.call()];
    assert_eq!(client::get(scene.program.admin, "/readyz").status, 503);
    limit(scene, "--fsize=unlimited:");
    all
}

fn clock(scene: &Scene, seconds: i64) -> Vec<String> {
    // One that the sidecar has not seen yet.
    let token = bundle::minted("alice", 600 + seconds % 7);
    vec![at_other_time(scene, seconds, &token)]
}

/// What becomes of a call while the clock is off by so many seconds.
fn at_other_time(scene: &Scene, seconds: i64, token: &str) -> String {
    let file = scene.faults().join("clock");
    std::fs::write(&file, seconds.to_string()).unwrap();
    let seen = call(scene, token);
    std::fs::remove_file(&file).unwrap();
    seen
}

fn call(scene: &Scene, token: &str) -> String {
    let mut connection = client::Connection::open(scene.program.address, token);
    connection.post(&client::tool_call("get_issue")).unwrap();
    saw(&mut connection)
}

fn panic(scene: &Scene, stage: &str) -> Vec<String> {
    let file = scene.faults().join("panic");
    std::fs::write(&file, stage).unwrap();
    let all = vec![scene.call()];
    wait_for("the panic", || !file.exists());
    all
}
