//! Several mistakes at once are each found in one run, and nothing else is said.
//!
//! The starter policies get some mistakes with known findings; whatever else is wrong beside it,
//! each of them has to be reported, at its place, without a word about its consequences.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use latchkey::{
    diag::{Levels, Severity},
    fix,
    source::{Memory, Overlay},
};
use latchkey_engine::time::Time;

/// A mistake: the file, what stands there and what is put in its place, the code of its finding,
/// and the text that it underlines (any, where this is empty).
type Mistake = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const MISTAKES: &[Mistake] = &[
    (
        "latchkey.toml",
        "include = [\"**/*.yaml\"]",
        "include = [\"**/*.yaml\"]\n[lints]\nunused-rol = \"warn\"",
        "LK0014",
        "unused-rol",
    ),
    (
        "org.yaml",
        "clockSkew: 5s",
        "clockSkw: 5s",
        "LK0014",
        "clockSkw",
    ),
    (
        "org.yaml",
        "subjects: declared ",
        "subjects: declred ",
        "LK0017",
        "declred",
    ),
    (
        "org.yaml",
        "{issuer: globex-idp, subject: g-2001}",
        "{issuer: globex-idb, subject: g-2001}",
        "LK1002",
        "globex-idb",
    ),
    (
        "org.yaml",
        "{members: [bob]}",
        "{members: [bobb]}",
        "LK1005",
        "bobb",
    ),
    (
        "org.yaml",
        "in: acme/platform-eng\n  carl",
        "in: acme/platform-enk\n  carl",
        "LK1001",
        "acme/platform-enk",
    ),
    (
        "org.yaml",
        "owner: alice                         #",
        "owner: alicia                        #",
        "LK1005",
        "alicia",
    ),
    (
        "org.yaml",
        "subject: u-1003",
        "subject: u-1002",
        "LK1011",
        "u-1002",
    ),
    (
        "org.yaml",
        "within: acme/payments",
        "within: acme/paymants",
        "LK1001",
        "acme/paymants",
    ),
    (
        "org.yaml",
        "type: agent\n    identity: {issuer: globex-idp",
        "type: agnt\n    identity: {issuer: globex-idp",
        "LK0017",
        "agnt",
    ),
    (
        "org.yaml",
        "id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e02",
        "id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01",
        "LK1012",
        "",
    ),
    (
        "org.yaml",
        "subject: agent-refund}",
        "subject: agent-refund",
        "LK0004",
        "",
    ),
    (
        "org.yaml",
        "teams: {support: {}}",
        "teams: {support: {}, support: {}}",
        "LK0009",
        "support",
    ),
    (
        "roles/seed.yaml",
        "inherits: [viewer]",
        "inherits: [viever]",
        "LK1003",
        "viever",
    ),
    (
        "roles/seed.yaml",
        "files: [get_file_info, list",
        "files: [get_file_inf, list",
        "LK1008",
        "get_file_inf",
    ),
    (
        "roles/seed.yaml",
        "destructive: {files: [edit_file]}",
        "allow: {files: [edit_file]}",
        "LK3002",
        "edit_file",
    ),
    (
        "roles/seed.yaml",
        "description: Reads.",
        "description: [Reads.]",
        "LK0016",
        "[Reads.]",
    ),
    (
        "roles/seed.yaml",
        "inherits: [guest]",
        "inherits: [editor]",
        "LK3001",
        "",
    ),
    (
        "roles/seed.yaml",
        "allow: {files: [create_directory]",
        "alow: {files: [create_directory]",
        "LK0014",
        "alow",
    ),
    (
        "roles/seed.yaml",
        "inherits: [developer, editor]",
        "inherits: [developer, developer]",
        "LK0027",
        "developer",
    ),
    (
        "access/payments.yaml",
        "args.amount <= 100",
        "args.amont <= 100",
        "LK4007",
        "",
    ),
    (
        "access/payments.yaml",
        "expires: \"2027-03-31\"",
        "expires: 2027-03-31",
        "LK0011",
        "2027-03-31",
    ),
    (
        "access/payments.yaml",
        ".startsWith(\"release/\")",
        ".startsWith(\"release/\"",
        "LK4001",
        "",
    ),
    (
        "access/payments.yaml",
        "rate: 10/m",
        "rate: ten",
        "LK0017",
        "ten",
    ),
    (
        "access/payments.yaml",
        "roles: [payments-viewer]",
        "roles: [payments-vewer]",
        "LK1003",
        "payments-vewer",
    ),
    (
        "access/payments.yaml",
        "    message: A person files security issues.\n",
        "",
        "LK0015",
        "security-issues-are-filed-by-people",
    ),
    (
        "access/payments.yaml",
        "deny\n    who: [\"type:agent\"]\n    surfaces: {payments: [refund]}",
        "denny\n    who: [\"type:agent\"]\n    surfaces: {payments: [refund]}",
        "LK0017",
        "denny",
    ),
    (
        "access/payments.yaml",
        "surfaces: {github: [create_issue]}",
        "surfaces: {github: [create_isue]}",
        "LK1008",
        "create_isue",
    ),
    (
        "access/payments.yaml",
        "group:payments-maintainers",
        "group:payments-maintainer",
        "LK1004",
        "payments-maintainer",
    ),
    (
        "access/payments.yaml",
        "who: [carl]",
        "who: [carl",
        "LK0004",
        "",
    ),
    (
        "access/baseline.yaml",
        "tag:contractor",
        "tag:contracter",
        "LK1006",
        "contracter",
    ),
    (
        "access/baseline.yaml",
        "size(args.query) > 160",
        "size(args.query) > \"160\"",
        "LK4009",
        "",
    ),
    (
        "access/baseline.yaml",
        "surfaces: {files: [read_text_file]}",
        "surfaces: {file: [read_text_file]}",
        "LK1007",
        "file",
    ),
    (
        "access/baseline.yaml",
        "rate: 20/m",
        "ratee: 20/m",
        "LK0014",
        "ratee",
    ),
    (
        "access/baseline.yaml",
        "  queries-are-short:",
        "  refunds-are-paced:",
        "LK0021",
        "refunds-are-paced",
    ),
    (
        "access/globex.yaml",
        "    crossOrganization: true\n",
        "",
        "LK3007",
        "gina",
    ),
    (
        "access/globex.yaml",
        "expires: \"2027-01-01\"",
        "expires: \"2027-01-01\"\n    notBefore: \"2027-02-01\"",
        "LK3009",
        "\"2027-01-01\"",
    ),
    (
        "access/globex.yaml",
        "in: globex}",
        "in: globx}",
        "LK1001",
        "globx",
    ),
    (
        "access/globex.yaml",
        "roles: [desk-agent]",
        "roles: []",
        "LK0019",
        "[]",
    ),
    (
        "access/globex.yaml",
        "bindings:",
        "bindngs:",
        "LK0013",
        "bindngs",
    ),
    (
        "access/platform.yaml",
        "who: [release-bot]",
        "who: [relase-bot]",
        "LK1005",
        "relase-bot",
    ),
    (
        "access/platform.yaml",
        "{risk: [write]}",
        "{risk: [wrte]}",
        "LK0017",
        "wrte",
    ),
    (
        "access/platform.yaml",
        "effect: deny",
        "efect: deny",
        "LK0014",
        "efect",
    ),
    (
        "access/shared.yaml",
        "roles: [user]",
        "roles: user",
        "LK0016",
        "user",
    ),
    (
        "servers/github.yaml",
        "get_issue:\n        risk: read",
        "get_issue:\n        risk: reed",
        "LK0017",
        "reed",
    ),
    (
        "servers/github.yaml",
        "create_issue:\n        risk: write",
        "create_issue:\n        rsk: write",
        "LK0014",
        "rsk",
    ),
    (
        "servers/github.yaml",
        "\"infra-*\": acme/platform-eng}\n\n    tools",
        "\"infra-*\": acme/platfrm-eng}\n\n    tools",
        "LK1001",
        "acme/platfrm-eng",
    ),
    (
        "servers/github.yaml",
        "in: acme\n",
        "in: acmee\n",
        "LK1001",
        "acmee",
    ),
    (
        "servers/github.yaml",
        "only: [acme]",
        "only: [Acme]",
        "LK5009",
        "Acme",
    ),
    (
        "servers/github.yaml",
        "argument: action",
        "argument: acton",
        "LK1010",
        "repo_admin",
    ),
    (
        "servers/github.yaml",
        "allow: {github: [sync_labels",
        "allow: {github: [sync_label",
        "LK1008",
        "sync_label",
    ),
    (
        "servers/github.yaml",
        "\"repo_admin:archive\"",
        "\"repo_admin:archve\"",
        "LK1009",
        "archve",
    ),
    (
        "servers/github.yaml",
        "env: {type: string, enum: [dev, staging, prod]}",
        "env: {type: strin, enum: [dev, staging, prod]}",
        "LK5001",
        "",
    ),
    (
        "servers/github.yaml",
        "required: [q]",
        "required: [q",
        "LK0004",
        "",
    ),
    (
        "servers/payments.yaml",
        "transport: mcp",
        "transport: mpc",
        "LK0017",
        "mpc",
    ),
    (
        "servers/payments.yaml",
        "disclose: full",
        "disclose: ful ",
        "LK0017",
        "ful",
    ),
    (
        "servers/payments.yaml",
        "rate: 600/m",
        "rate: 600 per minute",
        "LK0017",
        "600 per minute",
    ),
    (
        "servers/payments.yaml",
        "[payments-viewer, payments-refunder]",
        "[payments-viewer, payments-refundr]",
        "LK1003",
        "payments-refundr",
    ),
    (
        "servers/desk.yaml",
        "upstream:",
        "upstrem:",
        "LK0014",
        "upstrem",
    ),
    (
        "servers/desk.yaml",
        "method: GET",
        "methd: GET",
        "LK0014",
        "methd",
    ),
    (
        "servers/files.yaml",
        "lock: files.lock.json",
        "lock: file.lock.json",
        "LK0026",
        "file.lock.json",
    ),
    (
        "servers/files.yaml",
        "paths: {fold: posix-path}",
        "paths: {fold: posix}",
        "LK0017",
        "posix",
    ),
    (
        "servers/files.yaml",
        "create_directory: {risk: write}",
        "create_directory: {risk: }",
        "LK0010",
        "",
    ),
    (
        "servers/warehouse.yaml",
        "list_tables: {risk: read}",
        "list_tables: {}",
        "LK0015",
        "list_tables",
    ),
    (
        "tests/desk.yaml",
        "denied_by_policy",
        "denied_by_polcy",
        "LK6001",
        "denied_by_polcy",
    ),
    (
        "tests/desk.yaml",
        "{principal: desk-bot}",
        "{principal: desk-bott}",
        "LK1005",
        "desk-bott",
    ),
    (
        "tests/desk.yaml",
        "at: \"2026-12-01T10:00:00Z\"",
        "at: \"2026-12-01 10:00\"",
        "LK0017",
        "\"2026-12-01 10:00\"",
    ),
    ("tests/desk.yaml", "note  ", "nota  ", "LK0025", "nota"),
    (
        "tests/files.yaml",
        "server: files",
        "server: fils",
        "LK1007",
        "fils",
    ),
    (
        "hours.yaml",
        "zone: Europe/Berlin",
        "zone: Europe/Berln",
        "LK1030",
        "Europe/Berln",
    ),
    (
        "hours.yaml",
        "from: \"09:00\"",
        "from: \"9\"",
        "LK0017",
        "\"9\"",
    ),
    ("hours.yaml", "windows:", "windws:", "LK0014", "windws"),
    (
        "hours.yaml",
        "schedule.office",
        "schedule.offic",
        "LK1029",
        "",
    ),
];

/// When the policies are judged.
const TODAY: Time = Time(1_796_083_200);

/// A schedule and a rule that reads it, since the policies have none.
const HOURS: &str = "\
schedules:
  office:
    zone: Europe/Berlin
    notBefore: \"2026-01-01\"
    expires: \"2028-01-01\"
    windows: [{days: [monday], from: \"09:00\", to: \"17:00\"}]
rules:
  office-only:
    effect: deny
    surfaces: {payments: [get_balance]}
    when: '!schedule.office'
    message: Come back on Monday.
";

/// The files of the starter policies, with a schedule.
fn policies() -> BTreeMap<String, String> {
    fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let path = format!("{prefix}{name}");
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
            } else {
                let text = fs::read_to_string(entry.path()).expect("text");
                files.insert(path, text);
            }
        }
    }
    let mut files = BTreeMap::from([("hours.yaml".to_owned(), HOURS.to_owned())]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    walk(&root, "", &mut files);
    files
}

/// Where a mistake is made.
fn place(mistake: &Mistake, files: &BTreeMap<String, String>) -> Range<usize> {
    let (file, from, ..) = mistake;
    let text = &files[*file];
    let mut found = text.match_indices(from);
    let (at, _) = found
        .next()
        .unwrap_or_else(|| panic!("{file} has no {from}"));
    at..at + from.len()
}

/// The errors of the policies with these mistakes, as code and underlined text.
fn errors(mistakes: &[&Mistake], policies: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let checked = latchkey::check(&planted(mistakes, policies), TODAY);
    let sources = checked.sources;
    let report = checked.sink.finish(&Levels::new());
    let found = report.diagnostics.iter();
    let found = found.filter(|it| it.severity == Severity::Error);
    let mut found: Vec<_> = found
        .map(|it| {
            let text = it.primary().map_or("", |span| sources.text(span));
            (it.code.id.to_owned(), text.to_owned())
        })
        .collect();
    found.sort();
    found
}

/// The policies with these mistakes.
fn planted(mistakes: &[&Mistake], policies: &BTreeMap<String, String>) -> Memory {
    let mut files = policies.clone();
    let mut edits: Vec<_> = mistakes
        .iter()
        .map(|it| (it.0, place(it, policies), it.2))
        .collect();
    edits.sort_by_key(|(file, at, _)| (*file, std::cmp::Reverse(at.start)));
    for (file, at, text) in edits {
        let file = files.get_mut(file).expect("the file");
        file.replace_range(at, text);
    }
    files.into_iter().collect()
}

/// What is found too much or too little, if anything is.
fn wrong(mistakes: &[&Mistake], policies: &BTreeMap<String, String>) -> Option<String> {
    let found = errors(mistakes, policies);
    let mut extra = found.clone();
    let mut missing = Vec::new();
    for (_, _, _, code, text) in mistakes {
        let at = extra
            .iter()
            .position(|it| it.0 == *code && (text.is_empty() || it.1 == *text));
        match at {
            Some(at) => {
                extra.remove(at);
            }
            None => missing.push((code, text)),
        }
    }
    let sound = extra.is_empty() && missing.is_empty();
    let planted: Vec<_> = mistakes.iter().map(|it| (it.0, it.2)).collect();
    (!sound).then(|| format!("{planted:?}\n  missing {missing:?}\n  spurious {extra:?}"))
}

/// Whether two mistakes can be made side by side.
fn apart(one: &Mistake, other: &Mistake, files: &BTreeMap<String, String>) -> bool {
    let (a, b) = (place(one, files), place(other, files));
    one.0 != other.0 || a.end <= b.start || b.end <= a.start
}

fn setting(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.and_then(|it| it.parse().ok()).unwrap_or(default)
}

#[test]
fn each_mistake_is_one_finding() {
    let policies = policies();
    assert_eq!(errors(&[], &policies), []);
    let wrong: Vec<_> = MISTAKES
        .iter()
        .filter_map(|it| wrong(&[it], &policies))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A fixed sequence of sets of mistakes, so that a failure is the same on every machine.
fn sets(policies: &BTreeMap<String, String>, count: usize) -> Vec<Vec<&'static Mistake>> {
    let mut state = u64::try_from(setting("LATCHKEY_SEED", 7)).expect("a seed");
    let mut below = |most: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("a small number") % most
    };
    let mut sets = Vec::new();
    for _ in 0..count {
        let count = 2 + below(5);
        let mut chosen: Vec<&Mistake> = Vec::new();
        while chosen.len() < count {
            let next = MISTAKES.get(below(MISTAKES.len())).expect("a mistake");
            if chosen.iter().all(|it| apart(it, next, policies)) {
                chosen.push(next);
            }
        }
        sets.push(chosen);
    }
    sets
}

#[test]
fn mistakes_beside_each_other_are_each_found_and_nothing_else_is() {
    let policies = policies();
    let sets = sets(&policies, setting("LATCHKEY_CASES", 60));
    let failures: Vec<_> = sets.iter().filter_map(|it| wrong(it, &policies)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_second_run_of_fixes_changes_nothing() {
    let policies = policies();
    let mut applied = 0;
    for (at, mistakes) in sets(&policies, setting("LATCHKEY_CASES", 60) / 4)
        .iter()
        .enumerate()
    {
        let tree = planted(mistakes, &policies);
        let guesses = at % 3 > 0;
        let first = fix::fix(&tree, TODAY, guesses);
        let texts = first.texts();
        let second = fix::fix(&Overlay::new(&tree, &texts), TODAY, guesses);
        assert!(second.files.is_empty(), "{:?}", second.files.keys());
        assert_eq!(second.applied, 0);
        applied += first.applied;
    }
    assert!(applied > 0);
}

/// `LATCHKEY_MISTAKE_PAIRS` sets how many, evenly spread; all of them take some minutes.
#[test]
fn pairs_of_mistakes_are_two_findings() {
    let policies = policies();
    let mut pairs = Vec::new();
    for (at, one) in MISTAKES.iter().enumerate() {
        let others = MISTAKES.iter().skip(at + 1);
        let others = others.filter(|it| apart(one, it, &policies));
        pairs.extend(others.map(|other| [one, other]));
    }
    let count = setting("LATCHKEY_MISTAKE_PAIRS", 100).clamp(1, pairs.len());
    let spread = pairs.iter().step_by(pairs.len() / count);
    let failures: Vec<_> = spread.filter_map(|pair| wrong(pair, &policies)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
