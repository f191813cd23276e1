//! What `check` promises to find, item by item, and what can be said against it in its place.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{collections::BTreeSet, sync::Arc};

use latchkey::{
    diag::{Report, Severity, codes},
    source::{Lasting, Memory},
};
use latchkey_engine::time::Time;

/// A promise, and the codes that keep it; the page of each code holds an example that is compiled.
const PROMISES: &[(&str, &[&str])] = &[
    ("unknown or misspelt section, field", &["LK0013", "LK0014"]),
    (
        "unknown server, tool, operation, argument",
        &["LK1007", "LK1008", "LK1009", "LK1010"],
    ),
    (
        "unknown role, principal, group, team, tag",
        &["LK1003", "LK1005", "LK1004", "LK1001", "LK1006"],
    ),
    (
        "unknown issuer, rule, schedule, zone, attribute",
        &["LK1002", "LK1018", "LK1029", "LK1030", "LK4007"],
    ),
    (
        "duplicate names, identities, ids",
        &["LK0009", "LK0021", "LK1011", "LK1012", "LK1015", "LK1016"],
    ),
    ("inheritance cycles", &["LK3001"]),
    ("role that nobody holds", &["LK3012"]),
    ("surface that no grant reaches", &["LK2012"]),
    ("rule that no surface matches", &["LK3005", "LK3021"]),
    (
        "binding expired, expiring soon, dates reversed",
        &["LK3014", "LK3015", "LK3009"],
    ),
    (
        "binding or wildcard beyond a stated bound",
        &["LK3028", "LK3029"],
    ),
    ("wildcard where one item would do", &["LK3019"]),
    ("cross-organization grant not marked", &["LK3007"]),
    ("grant to a suspended principal", &["LK3018"]),
    (
        "agent without an owner, agent with a destructive surface",
        &["LK1024", "LK3017"],
    ),
    ("risk understated against annotations", &["LK2006"]),
    ("deny on an open text", &["LK4014"]),
    ("scope map that misses a value of the enum", &["LK2009"]),
    (
        "two surfaces that match one request, paths in conflict",
        &["LK2002", "LK2014"],
    ),
    (
        "tool without a schema, schema open to unknown fields",
        &["LK5010", "LK5011"],
    ),
    ("misspelt keyword of a schema", &["LK5015"]),
    (
        "missing pin, tool that the lock does not have",
        &["LK5013", "LK5003"],
    ),
    ("plaintext secret", &["LK5014"]),
    ("limits that never bind", &["LK5012", "LK3025"]),
    (
        "matrix row or column of nothing, matrix without a denial",
        &["LK0025", "LK6002"],
    ),
    ("unused suppression", &["LK0029"]),
];

/// The fewest checks over what a policy means.
const FEWEST: usize = 45;

#[test]
fn every_promise_has_its_codes() {
    for (promise, ids) in PROMISES {
        for id in *ids {
            assert!(codes::find(id).is_some(), "{promise}: {id}");
        }
    }
    let checks = codes::TABLE.iter().filter(|it| !it.id.starts_with("LK7"));
    let meaning = checks
        .clone()
        .filter(|it| !it.id.starts_with("LK0"))
        .count();
    println!(
        "{} codes, {meaning} of them for what a policy means",
        checks.count()
    );
    assert!(meaning >= FEWEST);
}

const TOML: &str = "[project]\nname = \"acme\"\n";
const ORG: &str = "organizations:\n  acme: {teams: {payments: {}}}\n";

fn report(toml: &str, yaml: &str) -> Report {
    let tree: Lasting = Arc::new(Memory::from_iter([
        ("latchkey.toml", toml),
        ("org.yaml", ORG),
        ("policy.yaml", yaml),
    ]));
    let today = Time::parse("2026-12-01").expect("a date");
    let checked = latchkey::findings(&tree, today);
    checked.sink.finish(&checked.project.levels)
}

fn errors(yaml: &str) -> BTreeSet<&'static str> {
    let report = report(TOML, yaml);
    let found = report.diagnostics.iter();
    let found = found.filter(|it| it.severity == Severity::Error);
    found.map(|it| it.code.id).collect()
}

fn issuer(lines: &str) -> String {
    format!(
        "issuers:\n  i:\n    issuer: https://idp.acme.example\n    organizations: [acme]\n{lines}"
    )
}

fn tool(lines: &str) -> String {
    format!(
        "servers:\n  s:\n    in: acme\n    upstream: http://127.0.0.1:9000/mcp\n    tools:\n      t: {lines}\n"
    )
}

#[test]
fn what_shares_a_code_is_found_as_well() {
    let keys = "    jwks: {uri: https://idp.acme.example/jwks}\n";
    let audience = "    audiences: [a]\n";
    let cases = [
        // An issuer with a symmetric algorithm, none at all, keys over plain http, no audience.
        (
            issuer(&format!("{audience}{keys}    algorithms: [HS256]\n")),
            "LK0017",
        ),
        (
            issuer(&format!("{audience}{keys}    algorithms: [none]\n")),
            "LK0017",
        ),
        (
            issuer(&format!("{audience}{keys}    algorithms: []\n")),
            "LK0019",
        ),
        (
            issuer(&format!(
                "{audience}    jwks: {{uri: http://idp.acme.example/jwks}}\n"
            )),
            "LK0017",
        ),
        (issuer(keys), "LK0015"),
        // A public or unscoped surface, and a grant across organizations, without a reason.
        (tool("{risk: read, access: public}"), "LK0022"),
        (tool("{risk: read, scope: {unscoped: \"\"}}"), "LK0017"),
        (
            "bindings:\n  b: {who: [a], roles: [r], in: acme, crossOrganization: true}\n"
                .to_owned(),
            "LK0022",
        ),
        // A schema with a pattern that is not linear, or a reference that leads nowhere.
        (
            tool("{risk: read, input: {type: object, properties: {a: {pattern: \"(?=a)b\"}}}}"),
            "LK5001",
        ),
        (
            tool("{risk: read, input: {type: object, properties: {a: {$ref: \"#/$defs/b\"}}}}"),
            "LK5001",
        ),
        (
            tool(
                "{risk: read, input: {type: object, properties: {a: {$ref: \"https://a.example/s\"}}}}",
            ),
            "LK5001",
        ),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(yaml, code)| !errors(yaml).contains(code))
        .map(|(yaml, code)| format!("{code}: {:?} of\n{yaml}", errors(yaml)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_pin_that_is_stale_is_found() {
    let lock =
        r#"{"version": 1, "tools": {"t": {"definition": {"name": "t"}, "pin": "sha256:00"}}}"#;
    let yaml = tool("{risk: read}").replace("    tools", "    lock: s.lock.json\n    tools");
    let tree = Memory::from_iter([
        ("latchkey.toml", TOML),
        ("org.yaml", ORG),
        ("policy.yaml", &yaml),
        ("s.lock.json", lock),
    ]);
    let checked = latchkey::check(&tree, Time(0));
    assert_eq!(checked.sink.count(&codes::BAD_LOCK_FILE), 1);
}

/// Errors, warnings of one lint, and what was silenced.
fn counts(toml: &str, yaml: &str) -> (usize, usize, usize) {
    let report = report(toml, yaml);
    let lint = report.diagnostics.iter();
    let lint = lint.filter(|it| it.code == &codes::UNUSED_ROLE).count();
    (report.count(Severity::Error), lint, report.suppressed)
}

#[test]
fn warnings_are_silenced_with_a_reason_or_by_level_and_always_counted() {
    let with = |comment: &str| {
        format!(
            "{}roles:\n{comment}  idle: {{allow: {{s: [t]}}}}\n",
            tool("{risk: read}")
        )
    };
    let silenced = report(TOML, &with("")).suppressed;
    assert_eq!((counts(TOML, &with("")), silenced), ((0, 1, 0), 0));
    let why = with("  # latchkey: allow(unused-role): until the migration\n");
    assert_eq!(counts(TOML, &why), (0, 0, 1));
    // Without a reason it is an error, and silences nothing.
    let bare = with("  # latchkey: allow(unused-role)\n");
    assert_eq!(counts(TOML, &bare), (1, 1, 0));
    // An error has no suppression, and one that silences nothing is told.
    let error = with("  # latchkey: allow(unknown-role): please\n");
    assert_eq!(counts(TOML, &error).0, 1);
    let unused = report(TOML, &with("  # latchkey: allow(unused-group): old\n"));
    assert!(
        unused
            .diagnostics
            .iter()
            .any(|it| it.code == &codes::UNUSED_SUPPRESSION)
    );
    let level = |level: &str| format!("{TOML}[lints]\nunused-role = \"{level}\"\n");
    assert_eq!(counts(&level("allow"), &with("")), (0, 0, 1));
    assert_eq!(counts(&level("warn"), &with("")), (0, 1, 0));
    assert_eq!(counts(&level("deny"), &with("")), (1, 1, 0));
}

/// The arguments that one rule reads stand far apart by name: only in the order of the rules do
/// twenty of them make a small diagram.
#[test]
fn a_shadowed_rule_is_found_among_many_that_read_arguments_of_their_own() {
    let rule = |name: &str, at: usize, least: usize| {
        format!(
            "  {name}: {{effect: deny, surfaces: {{s: [t]}}, message: No., when: 'has(args.a{at}) \
             && args.a{at} == \"x\" && has(args.b{at}) && args.b{at} > {least}'}}\n"
        )
    };
    let numbers = 0..20;
    let rules: String = numbers
        .clone()
        .map(|n| rule(&format!("r{n}"), n, n))
        .collect();
    let properties = numbers.map(|n| format!("a{n}: {{type: string}}, b{n}: {{type: integer}}"));
    let properties = properties.collect::<Vec<_>>().join(", ");
    let input =
        format!("{{type: object, additionalProperties: false, properties: {{{properties}}}}}");
    let policy = [
        issuer("    audiences: [a]\n    jwks: {uri: https://idp.acme.example/jwks}\n"),
        tool(&format!("{{risk: read, input: {input}}}")),
        "principals:\n  bob: {type: human, identity: {issuer: i, subject: u}, in: acme}\n\
         roles:\n  r: {allow: {s: [t]}}\n\
         bindings:\n  b: {who: [bob], roles: [r], in: acme}\nrules:\n"
            .to_owned(),
        rules,
        rule("shadowed", 3, 50),
    ];
    let report = report(TOML, &policy.concat());
    let found: Vec<_> = report.diagnostics.iter().map(|it| it.code.id).collect();
    assert!(found.contains(&"LK3023"), "{found:?}");
}
