//! The commands of `docs/quickstart.md`, `docs/releasing.md` and the README, run as they are printed.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The part of the page from *Your own project* on.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quickstart.md");
    let text = fs::read_to_string(path).expect("the page");
    let (_, own) = text
        .split_once("## Your own project")
        .expect("the section of the newcomer's own project");
    own.to_owned()
}

/// An empty folder outside of any work tree of Git, as a newcomer has.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs one line of the page and compares its exit code with the one that its comment states.
fn run(folder: &Path, line: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_latchkey"))
        .parent()
        .expect("the folder of the program");
    let mut paths = vec![programs.to_owned()];
    paths.extend(env::split_paths(&env::var_os("PATH").expect("PATH")));
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", env::join_paths(paths).expect("a search path"))
        .env("NO_COLOR", "1")
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@acme.example")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@acme.example")
        .output()
        .expect("a shell");
    let expected = line
        .split_once("# exit code ")
        .map_or(0, |(_, code)| code.parse().expect("an exit code"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(expected),
        "{line}\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_quickstart_does_what_it_says() {
    let folder = folder("quickstart");
    let mut said = String::new();
    let mut commands = 0;
    for section in page().split("\n## ") {
        if section.starts_with("Change something") {
            delete_the_rules(&folder);
        }
        for line in section.lines().filter_map(|line| line.strip_prefix("$ ")) {
            // The sidecar has its own tests; this crate builds none.
            if line.starts_with("latchkey ") || line.starts_with("git ") {
                said.push_str(&run(&folder, line));
                commands += 1;
            }
        }
    }
    assert_eq!(commands, 14, "commands of the page");
    for (what, times) in [
        ("accepted: version 1 ", 1),
        ("1 widened, 0 loosened", 1),
        ("version 2, signed", 1),
    ] {
        assert_eq!(said.matches(what).count(), times, "{what}:\n{said}");
    }
}

/// Every command of the guide, and what it shows of their output.
#[test]
fn the_guide_to_releasing_does_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/releasing.md");
    let page = fs::read_to_string(path).expect("the page");
    let folder = folder("releasing");
    run(&folder, "latchkey init my-policies");
    run(
        &folder,
        "git -C my-policies init --quiet && git -C my-policies add -A",
    );
    run(&folder, "git -C my-policies commit --quiet --message One");
    let (mut commands, mut shown) = (0, 0);
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("its end");
        let mut said = String::new();
        for line in block.replace("\\\n", " ").lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                said = run(&folder, command);
                commands += 1;
            } else {
                assert!(said.contains(line), "{line}:\n{said}");
                shown += 1;
            }
        }
    }
    assert_eq!((commands, shown), (39, 16), "commands and lines of output");
}

/// The first screen of the README: a role misspelt, and the matrices.
#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let (_, shown) = readme.split_once("```console\n").expect("a block");
    let (shown, _) = shown.split_once("```").expect("its end");

    let folder = folder("readme");
    run(
        &folder,
        &format!("cp -R '{}' .", root.join("policies").display()),
    );
    let tests = run(&folder, "latchkey -C policies test");
    let path = folder.join("policies/access/payments.yaml");
    let text = fs::read_to_string(&path).expect("the file that the block shows");
    let misspelt = text.replacen("roles: [payments-refunder]", "roles: [payments-refundr]", 1);
    assert_ne!(text, misspelt);
    fs::write(path, misspelt).expect("the mistake");
    let check = run(&folder, "latchkey -C policies check # exit code 1");
    let expected = format!(
        "$ latchkey -C policies check      # with a role misspelt\n{check}\n\
         $ latchkey -C policies test       # without\n{tests}"
    );
    assert_eq!(shown, expected);
}

/// What the page asks for in words.
fn delete_the_rules(folder: &Path) {
    let path = folder.join("my-policies/access/support.yaml");
    let text = fs::read_to_string(&path).expect("the file that the page names");
    let (bindings, rules) = text.split_once("rules:\n").expect("its rules");
    assert!(rules.trim_start().starts_with("people-answer-customers:"));
    assert_eq!(rules.matches("effect:").count(), 1, "one rule: {rules}");
    fs::write(path, bindings).expect("the change");
}
