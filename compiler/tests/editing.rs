//! `check --fix` and `check --watch` on real files, and what is generated from the command line.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// An empty folder of this name, for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("editing")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn project(name: &str, yaml: &str) -> PathBuf {
    let folder = folder(name);
    let toml = "[project]\nname = \"small\"\n";
    fs::write(folder.join("latchkey.toml"), toml).expect("written");
    fs::write(folder.join("policy.yaml"), yaml).expect("written");
    folder
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command
        .current_dir(directory)
        .args(args)
        .env("NO_COLOR", "1")
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn latchkey(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(directory, args).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        status.code().expect("an exit code"),
        text(stdout),
        text(stderr),
    )
}

const YAML: &str = "# Ours.\norganizations:\n  acme: {teams: {}}   # the only one\n\
                    principals:\n  a:\n    in: acme\n    type: human\n    tags: [x, 0x1f,  x]  # é\n";

#[test]
fn sure_fixes_are_written_and_a_second_run_writes_nothing() {
    let folder = project("fix", YAML);
    let file = folder.join("policy.yaml");
    let (_, _, err) = latchkey(&folder, &["check", "--fix"]);
    assert!(err.contains("applied 2 fixes in 1 file"), "{err}");
    let text = fs::read_to_string(&file).expect("the file");
    assert_eq!(text, YAML.replace("[x, 0x1f,  x]", "[x, \"0x1f\"]"));
    let written = fs::metadata(&file).and_then(|it| it.modified());
    let (_, _, err) = latchkey(&folder, &["check", "--fix"]);
    assert!(err.contains("applied 0 fixes in 0 files"), "{err}");
    let again = fs::metadata(&file).and_then(|it| it.modified());
    assert_eq!(again.expect("a time"), written.expect("a time"));
    // Nothing else is left in the folder.
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 2);
}

#[test]
fn what_git_could_not_give_back_is_not_edited_unasked() {
    let folder = project("dirty", YAML);
    let file = folder.join("policy.yaml");
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&folder)
            .args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        assert!(
            git.args(args).output().expect("git").status.success(),
            "{args:?}"
        );
    };
    git(&["init", "--quiet"]);
    let refused = |why: &str| {
        let before = fs::read_to_string(&file).expect("the file");
        let (code, _, err) = latchkey(&folder, &["check", "--fix"]);
        assert!(code == 2 && err.contains(why), "{code} {err}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), before);
    };
    refused("Git does not know");
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "all"]);
    // Changed elsewhere: the edit can be told from it.
    fs::write(&file, YAML.replace("# Ours.", "# Yours.")).expect("written");
    let (_, _, err) = latchkey(&folder, &["check", "--fix"]);
    assert!(err.contains("applied 2 fixes"), "{err}");
    // Changed in the same line.
    fs::write(&file, YAML.replace("# é", "# e")).expect("written");
    refused("at line 8");
    let (_, _, err) = latchkey(&folder, &["check", "--fix", "--allow-dirty"]);
    assert!(err.contains("applied 2 fixes"), "{err}");
    // Staged is safe.
    fs::write(&file, YAML.replace("# é", "# e")).expect("written");
    git(&["add", "."]);
    let (_, _, err) = latchkey(&folder, &["check", "--fix"]);
    assert!(err.contains("applied 2 fixes"), "{err}");
}

#[test]
fn guesses_are_asked_for_and_links_are_not_written_through() {
    let folder = project("guesses", "organizations:\n  acme: {team: {}}\n");
    let (code, _, _) = latchkey(&folder, &["check", "--guesses"]);
    assert_eq!(code, 2, "alone it means nothing");
    let file = folder.join("policy.yaml");
    latchkey(&folder, &["check", "--fix"]);
    let text = || fs::read_to_string(&file).expect("the file");
    assert!(text().contains("team:"), "{}", text());
    latchkey(&folder, &["check", "--fix", "--guesses"]);
    assert!(text().contains("teams:"), "{}", text());

    let folder = project("links", YAML);
    fs::rename(folder.join("policy.yaml"), folder.join("real.txt")).expect("moved");
    std::os::unix::fs::symlink("real.txt", folder.join("policy.yaml")).expect("a link");
    let (code, _, err) = latchkey(&folder, &["check", "--fix"]);
    assert_eq!(code, 2);
    assert!(err.contains("is a symbolic link"), "{err}");
    let text = fs::read_to_string(folder.join("real.txt")).expect("the file");
    assert_eq!(text, YAML);
}

/// A program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watch_says_what_each_save_changed() {
    let one = "organizations:\n  acme: {teams: {}}\nroles:\n  a: {inherits: [b]}\n";
    let folder = project("watch", one);
    let file = folder.join("policy.yaml");
    let child = command(&folder, &["check", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut running = Running(child);
    let out = running.0.stdout.take().expect("its output");
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let mut until = |wanted: &str| {
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            let found = line.contains(wanted);
            seen.push(line);
            if found {
                return seen.join("\n");
            }
        }
        assert!(seen.is_empty(), "no {wanted:?} after {seen:?}");
        String::new()
    };
    assert!(until("1 error").contains("there is no role `b`"));
    // A save that changes no finding is not spoken of: the next words are about the next save.
    fs::write(&file, format!("# more\n{one}")).expect("saved");
    fs::write(&file, one.replace("[b]", "[ccc]")).expect("saved");
    let said = until("1 error");
    assert!(said.contains("settled: error[LK1003] policy.yaml: there is no role `b`"));
    assert!(said.contains("there is no role `ccc`"), "{said}");
    fs::write(
        &file,
        one.replace("{inherits: [b]}", "{description: empty}"),
    )
    .expect("saved");
    let said = until("in 2 files");
    assert!(said.contains("settled: error[LK1003]"), "{said}");
    assert!(!said.contains("there is no role `b`"), "{said}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = folder("man");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = latchkey(&folder, &["completions", shell]);
        assert_eq!(code, 0);
        for word in ["who-can", "deny-warnings", "guesses"] {
            assert!(out.contains(word), "{shell} does not know {word}");
        }
    }
    let (code, out, _) = latchkey(&folder, &["man", "pages"]);
    assert_eq!(code, 0, "{out}");
    let page = |name: &str| fs::read_to_string(folder.join("pages").join(name));
    for name in ["latchkey.1", "latchkey-check.1", "latchkey-trust-rotate.1"] {
        let text = page(name).expect("the page");
        assert!(text.contains(".SH NAME"), "{name}");
    }
    assert!(
        page("latchkey-check.1")
            .expect("the page")
            .contains("deny\\-warnings")
    );
}
