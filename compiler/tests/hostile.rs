//! Files that nobody would write on purpose: each ends in a coded finding, with the exit code of
//! findings, in bounded time and memory.

#![cfg(unix)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value as Json;

/// What a check may have of address space, in KiB: 1 GiB, with threads and the program itself.
const MEMORY: u64 = 1 << 20;

struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("latchkey-hostile-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("a folder");
        let project = Self(root);
        project.write("latchkey.toml", b"[project]\nname = \"acme\"\n");
        project.write(
            "org.yaml",
            b"organizations:\n  acme: {teams: {payments: {}}}\n",
        );
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file");
    }

    /// The exit code and the findings, as code and file.
    fn check(&self) -> (i32, Vec<(String, String)>) {
        let (code, json) = report(&self.0);
        let found = json["diagnostics"].as_array().expect("findings");
        let found = found.iter().filter(|it| it["severity"] == "error");
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let found = found.map(|it| (text(&it["code"]), text(&it["labels"][0]["file"])));
        (code, found.collect())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A check with a bound on its memory.
fn run(folder: &Path, format: &str) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY} && exec \"$@\""))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_latchkey"))
        .arg("-C")
        .arg(folder)
        .args(["check", "--at", "2026-12-01", "--format", format])
        .output()
        .expect("the program runs")
}

fn report(folder: &Path) -> (i32, Json) {
    let output = run(folder, "json");
    let code = output.status.code().expect("an exit code");
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (code, json)
}

fn one(code: &str, file: &str) -> (i32, Vec<(String, String)>) {
    (1, vec![(code.to_owned(), file.to_owned())])
}

#[test]
fn a_project_that_is_not_there_is_a_wrong_command_or_a_finding() {
    let project = Project::new("nowhere");
    let output = run(&project.path("gone"), "json");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    fs::remove_file(project.path("latchkey.toml")).expect("it was there");
    assert_eq!(project.check(), one("LK0023", ""));
}

#[test]
fn a_project_without_sections_is_told_so() {
    let project = Project::new("empty");
    project.write("org.yaml", b"# nothing yet\n");
    let (code, json) = report(&project.0);
    assert_eq!(code, 0);
    assert_eq!(json["diagnostics"][0]["code"], "LK0030", "{json}");
}

#[test]
fn links_that_lead_nowhere_are_findings() {
    let project = Project::new("links");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, project.path(name)).expect("a link");
    };
    link("b.yaml", "a.yaml");
    link("a.yaml", "b.yaml");
    link("gone.yaml", "c.yaml");
    link(".", "loop");
    let (code, found) = project.check();
    assert_eq!(code, 1);
    let codes: Vec<_> = found.iter().map(|(code, _)| code.as_str()).collect();
    // A link to a folder is not followed, and what stands there would not be read.
    assert_eq!(codes, ["LK0001"; 4]);
}

#[test]
fn what_is_no_file_or_may_not_be_read_is_a_finding() {
    let project = Project::new("pipes");
    let made = Command::new("mkfifo")
        .arg(project.path("pipe.yaml"))
        .status();
    assert!(made.expect("mkfifo").success());
    assert_eq!(project.check(), one("LK0001", ""));
    fs::remove_file(project.path("pipe.yaml")).expect("the pipe");

    let shut = |name: &str| {
        let rights = fs::Permissions::from_mode(0o000);
        fs::set_permissions(project.path(name), rights).expect("the owner may");
    };
    project.write("shut.yaml", b"roles: {}\n");
    fs::create_dir(project.path("inner")).expect("a folder");
    shut("shut.yaml");
    shut("inner");
    // Root may read everything.
    let root = fs::File::open(project.path("shut.yaml")).is_ok();
    let (code, found) = project.check();
    let expected = if root { (0, 0) } else { (1, 2) };
    assert_eq!((code, found.len()), expected, "{found:?}");
    assert!(found.iter().all(|(code, _)| code == "LK0001"), "{found:?}");
    let rights = fs::Permissions::from_mode(0o700);
    fs::set_permissions(project.path("inner"), rights).expect("the owner may");
}

#[test]
fn names_may_be_declared_in_what_cannot_be_read() {
    let project = Project::new("lost");
    project.write("a.yaml", b"groups:\n  g: {members: [nobody]}\n");
    assert_eq!(project.check(), one("LK1005", "a.yaml"));
    std::os::unix::fs::symlink("gone", project.path("people.yaml")).expect("a link");
    assert_eq!(project.check(), one("LK0001", ""));
}

#[test]
fn binary_files_are_findings() {
    let project = Project::new("binary");
    let bytes: Vec<u8> = (0..70_000_u32)
        .flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    project.write("a.yaml", &bytes);
    assert_eq!(project.check(), one("LK0002", "a.yaml"));
    project.write("a.yaml", b"roles: {}\0\n");
    let (code, found) = project.check();
    assert_eq!(code, 1);
    assert!(found.iter().any(|(code, _)| code == "LK0008"), "{found:?}");
}

#[test]
fn huge_files_are_findings_in_bounded_memory() {
    for size in [100_u64 << 20, 4 << 30] {
        let project = Project::new(&format!("huge-{size}"));
        let file = fs::File::create(project.path("big.yaml")).expect("a file");
        file.set_len(size).expect("a sparse file");
        assert_eq!(project.check(), one("LK0003", "big.yaml"));
        let other = fs::File::create(project.path("big.lock.json")).expect("a file");
        other.set_len(size).expect("a sparse file");
        let (code, found) = project.check();
        assert_eq!(code, 1);
        assert!(found.iter().all(|(code, _)| code == "LK0003"), "{found:?}");
    }
}

#[test]
fn bombs_go_off_in_bounded_memory() {
    let project = Project::new("bombs");
    let first = "roles:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let levels = (1..12).map(|level| {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("  a{level}: &a{level} [{items}]\n")
    });
    let bomb: String = std::iter::once(first).chain(levels).collect();
    project.write("a.yaml", bomb.as_bytes());
    let (code, found) = project.check();
    assert_eq!(code, 1);
    assert!(found.iter().any(|(code, _)| code == "LK0005"), "{found:?}");

    let deep = format!("roles: {}\n", "[".repeat(3_000_000));
    project.write("a.yaml", deep.as_bytes());
    assert_eq!(project.check(), one("LK0012", "a.yaml"));

    // Every line is a mistake of its own: they are counted, and not all kept.
    let lines = "roles: [\n".repeat(400_000);
    project.write("a.yaml", lines.as_bytes());
    assert_eq!(project.check().0, 1);
    let documents = "--- {}\n".repeat(500_000);
    project.write("a.yaml", documents.as_bytes());
    assert_eq!(project.check(), one("LK0007", "a.yaml"));
}

#[test]
fn a_file_that_changes_all_the_time_never_breaks_a_check() {
    let project = Project::new("busy");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut long = false;
            while !done.load(Ordering::Relaxed) {
                long = !long;
                let text = "# comment\n".repeat(if long { 100_000 } else { 1 });
                project.write("busy.yaml", text.as_bytes());
            }
        });
        for _ in 0..12 {
            let (code, found) = project.check();
            let expected = i32::from(!found.is_empty());
            assert_eq!(code, expected, "{found:?}");
            assert!(found.iter().all(|(code, _)| code == "LK0001"), "{found:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
}
