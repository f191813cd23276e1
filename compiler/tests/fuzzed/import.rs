//! What a fuzzer does with a document that is to be imported, and what must hold then.

use std::{fs, path::Path};

use clap::Parser as _;
use latchkey::{
    cli::Cli,
    command::{self, Exit, Terminal},
    kubernetes, openapi, project,
};

/// A document through both readers. A description that can be imported leaves a project without an
/// error (an export may say what is wrong elsewhere), and imported once more neither changes anything.
pub(crate) fn import(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let is_export = kubernetes::read(&text).is_ok();
    if !is_export && openapi::read(&text).is_err() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    imported(folder.path(), &text, is_export);
}

fn imported(folder: &Path, text: &str, is_export: bool) {
    let home = folder.join("project");
    fs::create_dir_all(&home).expect("a folder");
    fs::write(home.join(project::FILE), "[project]\nname = \"fuzzed\"\n").expect("a file");
    let document = folder.join("document");
    fs::write(&document, text).expect("a file");
    let document = document.to_str().expect("a path in UTF-8");
    let (again, new): (&[&str], &[&str]) = if is_export {
        (&["import", "kubernetes", document], &[])
    } else {
        (
            &["import", "openapi", document, "--server=api"],
            &["--in=platform", "--upstream=https://api.example"],
        )
    };
    let (exit, said) = run(&home, &[again, new].concat());
    if exit != Exit::Clean {
        return;
    }
    if !is_export {
        let (exit, found) = run(&home, &["check"]);
        assert_eq!(exit, Exit::Clean, "{said}{found}");
    }
    let (exit, said) = run(&home, &[again, &["--check"]].concat());
    assert_eq!(exit, Exit::Clean, "{said}");
}

fn run(home: &Path, args: &[&str]) -> (Exit, String) {
    let home = home.to_str().expect("a path in UTF-8");
    let cli = [&["latchkey", "-C", home], args].concat();
    let cli = Cli::try_parse_from(cli).expect("a command line");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = command::run(
        &cli,
        &mut Terminal {
            out: &mut out,
            err: &mut err,
            colour: false,
        },
    );
    let said = String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err);
    (exit, said)
}
