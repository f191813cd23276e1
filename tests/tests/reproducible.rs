//! A bundle is a function of the source tree: nothing of the machine gets in, and a slice does
//! not change when something that it cannot observe changes.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use latchkey_tests::{golden::root, program::program};

type Files = BTreeMap<String, Vec<u8>>;

/// The text files of a project, by path.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Writes a project in the given order, and builds it in an environment.
fn build(sources: &[(PathBuf, String)], environment: &[(&str, &str)], umask: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in sources {
        let path = folder.path().join("project").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "umask {umask}; exec \"$0\" build --sequence 7 --out ../out"
        ))
        .arg(program("latchkey"))
        .current_dir(folder.path().join("project"))
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let out = fs::read_dir(folder.path().join("out")).unwrap();
    out.map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).unwrap())
    })
    .collect()
}

fn differing(one: &Files, other: &Files) -> Vec<String> {
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    let names = one.iter().filter(|(name, bytes)| other[*name] != **bytes);
    names.map(|it| it.0.clone()).collect()
}

#[test]
fn place_clock_language_order_and_rights_change_no_byte() {
    for project in ["policies", "tests/golden/design", "tests/golden/routes"] {
        let mut sources = sources(&root().join(project));
        let first = build(
            &sources,
            &[("TZ", "UTC"), ("LANG", "C"), ("LC_ALL", "C")],
            "022",
        );
        sources.reverse();
        let elsewhere = [
            ("TZ", "Pacific/Chatham"),
            ("LANG", "tr_TR.UTF-8"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("HOME", "/nonexistent"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("NO_COLOR", "1"),
        ];
        let second = build(&sources, &elsewhere, "077");
        assert_eq!(differing(&first, &second), [""; 0], "{project}");
        assert!(first.len() >= 4, "{:?}", first.keys());
    }
}

/// Runs a program, which must succeed.
fn run(folder: &Path, environment: &[(&str, &str)], words: &[&str]) {
    let (program, arguments) = words.split_first().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

/// Clones a repository and makes a signed release of its head, on these processors.
fn release(repository: &Path, key: &Path, environment: &[(&str, &str)], processors: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let (clone, out) = (folder.path().join("clone"), folder.path().join("out"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    run(
        folder.path(),
        &[],
        &["git", "clone", "-q", &text(repository), "clone"],
    );
    let latchkey = text(&program("latchkey"));
    let (key, out_text) = (text(key), text(&out));
    let build = ["build", "--key", &key, "--out", &out_text];
    let words = [&["taskset", "-c", processors, &latchkey], &build[..]].concat();
    run(&clone, environment, &words);
    let files = fs::read_dir(&out).unwrap();
    files
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The whole release, signature and all, is a function of the commit and the key.
#[test]
fn a_commit_has_one_signed_release() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    for (name, text) in sources(&root().join("policies")) {
        let path = repository.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let author = [
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@acme.example"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@acme.example"),
    ];
    for words in [
        &["git", "init", "-q"][..],
        &["git", "add", "."],
        &["git", "commit", "-q", "-m", "policies"],
    ] {
        run(&repository, &author, words);
    }
    let key = folder.path().join("release.key");
    let secret = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    fs::write(&key, latchkey_gate::supply::keys::private_pem(&secret)).unwrap();
    let here = [("TZ", "UTC"), ("LC_ALL", "C")];
    let elsewhere = [("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8")];
    let all = format!(
        "0-{}",
        std::thread::available_parallelism().unwrap().get() - 1
    );
    let first = release(&repository, &key, &here, "0");
    let second = release(&repository, &key, &elsewhere, &all);
    assert!(
        first.contains_key("release.dsse.json"),
        "{:?}",
        first.keys()
    );
    assert_eq!(differing(&first, &second), [""; 0]);
}

/// The policies with one text of one file replaced.
fn edited(file: &str, from: &str, to: &str) -> Vec<(PathBuf, String)> {
    let mut sources = sources(&root().join("policies"));
    let (_, text) = sources
        .iter_mut()
        .find(|it| it.0 == Path::new(file))
        .unwrap();
    assert!(text.contains(from), "{file}: {from}");
    *text = text.replacen(from, to, 1);
    sources
}

#[test]
fn a_comment_changes_the_places_and_no_slice() {
    let before = build(&sources(&root().join("policies")), &[], "022");
    let after = edited(
        "access/payments.yaml",
        "bindings:",
        "# A comment.\n\nbindings:",
    );
    let changed = differing(&before, &build(&after, &[], "022"));
    // The statement lists the digest of every file.
    assert_eq!(changed, ["places.lkm", "release.json"]);
}

#[test]
fn a_tenant_does_not_show_in_the_slices_of_another() {
    let before = build(&sources(&root().join("policies")), &[], "022");
    for (file, from, to, wanted) in [
        // A binding that only reaches into globex.
        (
            "access/globex.yaml",
            "who: [gina, desk-bot]",
            "who: [gina]",
            "desk.lkb",
        ),
        // A rule of globex's own server.
        (
            "access/globex.yaml",
            "== \"public\"",
            "== \"internal\"",
            "desk.lkb",
        ),
        // What a team of acme may do at the payments server.
        (
            "access/payments.yaml",
            "args.amount <= 100",
            "args.amount <= 99",
            "payments.lkb",
        ),
    ] {
        let changed = differing(&before, &build(&edited(file, from, to), &[], "022"));
        let slices: Vec<&str> = changed
            .iter()
            .map(String::as_str)
            .filter(|it| latchkey::pack::is_slice(it))
            .collect();
        assert_eq!(slices, ["all.lkb", wanted], "{file}: {from}");
    }
}
