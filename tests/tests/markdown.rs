//! Reviews in Markdown, as GitHub's own parser reads them: the tables have their rows and cells, and
//! nothing that a policy, a file or a folder is called becomes an element, a link or a mention.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use latchkey_tests::{golden::root, peer, program::program};
use serde_json::{Value, json};

/// What the tool itself writes.
const ELEMENTS: [&str; 19] = [
    "b", "br", "code", "details", "em", "h3", "h4", "li", "p", "pre", "strong", "sub", "summary",
    "table", "tbody", "td", "th", "thead", "tr",
];
const HEADS: [&str; 7] = [
    "#",
    "who",
    "what",
    "risk",
    "where",
    "which calls",
    "because of",
];

fn rendered(texts: &[String]) -> Vec<Value> {
    let mut child = Command::new(peer::markdown())
        .arg(root().join("tests/peers/markdown.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = texts.iter().map(|it| json!(it).to_string()).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the parser failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Nothing but what the tool writes; every table is whole.
fn is_plain(page: &Value) {
    for element in page["elements"].as_object().unwrap().keys() {
        let known = ELEMENTS.contains(&element.as_str()) || element == "ul";
        assert!(known, "<{element}> in {page:#}");
    }
    assert_eq!(page["odd"], json!([]), "{page:#}");
    for attribute in page["attributes"].as_array().unwrap() {
        assert!(*attribute == "align" || *attribute == "lang", "{page:#}");
    }
    let loose = page["loose"].as_str().unwrap();
    let plain = ["@", "://", "<"].iter().all(|it| !loose.contains(it));
    assert!(plain, "{loose}");
    for table in page["tables"].as_array().unwrap() {
        let rows = table.as_array().unwrap();
        assert_eq!(rows[0], json!(HEADS), "{page:#}");
        assert!(rows.len() > 1, "{page:#}");
        for row in rows {
            let cells = row.as_array().unwrap();
            assert_eq!(cells.len(), HEADS.len(), "{row:#}");
            assert!(cells.iter().all(|it| *it != ""), "{row:#}");
        }
    }
}

#[test]
fn golden_reviews_have_their_tables() {
    let names = ["boundary", "group-claim", "office-hours", "wildcard"];
    let read = |name: &&str| {
        let file = root().join(format!("tests/golden/reviews/{name}.md"));
        fs::read_to_string(file).unwrap()
    };
    let texts: Vec<String> = names.iter().map(read).collect();
    let pages = rendered(&texts);
    for (page, text) in pages.iter().zip(&texts) {
        is_plain(page);
        let rows = text.lines().filter(|it| it.starts_with("| ")).count();
        let tables = page["tables"].as_array().unwrap();
        let shown: usize = tables.iter().map(|it| it.as_array().unwrap().len()).sum();
        // Each table has a line of dashes besides.
        assert_eq!(shown + tables.len(), rows, "{page:#}");
    }
    let row = &pages[3]["tables"][0][1];
    let expected = json!([
        "1",
        "mail-bot, sam",
        "helpdesk/export_customers, helpdesk/set_webhook",
        "write",
        "acme/support",
        "all",
        "role support-agent changed access.yaml:2:3"
    ]);
    assert_eq!(*row, expected);
    assert_eq!(pages[3]["elements"]["details"], 1);
}

/// What would be more than text, were it not spelt with care.
const HOSTILE: [&str; 4] = [
    "a|b <script>x @octocat",
    "`t` ``` [l](javascript:x) <img src=x>",
    "\\| c\\|d **e** _f_ https:evil <!-- g",
    "new\nline | # h ``",
];

#[test]
fn no_name_becomes_an_element_a_link_or_a_mention() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = HOSTILE
        .iter()
        .map(|name| review(folder.path(), name))
        .collect();
    let pages = rendered(&texts);
    for ((page, name), text) in pages.iter().zip(HOSTILE).zip(&texts) {
        is_plain(page);
        let shown = page["text"].as_str().unwrap();
        let whole = name.replace('\n', "\u{fffd}");
        for expected in [
            format!("{whole} after"),
            format!("{whole}.yaml:"),
            format!("# {} @team https://evil.example </details>", whole.trim()),
        ] {
            assert!(
                shown.contains(&expected),
                "{expected:?} is not in\n{shown}\n{text}"
            );
        }
        assert_eq!(page["tables"].as_array().unwrap().len(), 1, "{text}");
    }
}

/// A text that a condition compares with is shown as what it is, in a cell.
#[test]
fn no_literal_of_a_condition_becomes_more_than_text() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = HOSTILE
        .iter()
        .map(|literal| condition(folder.path(), literal))
        .collect();
    let pages = rendered(&texts);
    for ((page, literal), text) in pages.iter().zip(HOSTILE).zip(&texts) {
        is_plain(page);
        let table = &page["tables"][0];
        let calls = table[1][5].as_str().unwrap();
        assert!(calls.contains("args.text"), "{table:#}");
        // As conditions spell it, and a line break as two characters.
        let spelt = literal.replace('\\', "\\\\").replace('\n', "\\n");
        assert!(
            calls.contains(&spelt),
            "{spelt:?} is not in\n{calls}\n{text}"
        );
    }
}

/// A review of a change after which one text is no answer any more.
fn condition(folder: &Path, literal: &str) -> String {
    let sides = ["before", "after"].map(|side| {
        let target = folder.join(side);
        let _ = fs::remove_dir_all(&target);
        copy(&target);
        target
    });
    let when = json!(format!("args.text == {}", json!(literal)));
    let rule = format!(
        "rules:\n  said:\n    effect: deny\n    surfaces: {{helpdesk: [reply]}}\n    when: {when}\n    \
         message: No such answer.\n"
    );
    fs::write(sides[1].join("rule.yaml"), rule).unwrap();
    diff(folder, &sides)
}

/// A review of a project whose folders, file and comments are called something hostile, and which asks
/// for it.
fn review(folder: &Path, name: &str) -> String {
    let sides = ["before", "after"].map(|side| {
        let target = folder.join(format!("{name} {side}"));
        copy(&target);
        let mut access = fs::read_to_string(target.join("access.yaml")).unwrap();
        fs::remove_file(target.join("access.yaml")).unwrap();
        if side == "after" {
            let comment = name.replace('\n', "\u{fffd}");
            let line = "reply, close_ticket, export_customers]}} # ";
            let line = format!(
                "{line}{} @team https://evil.example </details>",
                comment.trim()
            );
            access = access.replace("reply, close_ticket]}}", &line);
        }
        fs::write(target.join(format!("{name}.yaml")), access).unwrap();
        target
    });
    diff(folder, &sides)
}

/// A project without a matrix.
fn copy(target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(root().join("examples/wildcard/before")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    fs::remove_file(target.join("matrix.yaml")).unwrap();
}

fn diff(folder: &Path, sides: &[PathBuf; 2]) -> String {
    let output = Command::new(program("latchkey"))
        .args(["diff", "--format", "markdown", "--at", "2026-12-01"])
        .args(sides)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sides:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}
