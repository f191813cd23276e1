use proptest::prelude::*;

use crate::diag::render::human::Style;
use crate::diag::{Levels, Report, Sink};
use crate::project;
use crate::source::{Memory, SourceMap};

use super::*;

mod mistakes;
mod sections;

/// Opens and parses a project of these files; `latchkey.toml` is added if it is not there.
fn run(files: &[(&str, &str)]) -> (SourceMap, Project, Report) {
    let mut tree: Memory = files.iter().copied().collect();
    let toml = Ok("[project]\nname = \"example\"\n".into());
    tree.0.entry(project::FILE.to_owned()).or_insert(toml);
    let mut sink = Sink::new();
    let (sources, project) = project::open(&tree, &mut sink);
    let read = parse(&sources, &project, &mut sink);
    (sources, read, sink.finish(&Levels::new()))
}

/// Each finding as `file:line:column code [underlined] message`.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let (sources, _, report) = run(files);
    report
        .diagnostics
        .iter()
        .map(|found| match found.primary() {
            Some(span) => {
                let (place, text) = (sources.place(span), sources.text(span));
                format!("{place} {} [{text}] {}", found.code.id, found.message)
            }
            None => format!("{} {}", found.code.id, found.message),
        })
        .collect()
}

/// The findings of one file `a.yaml`, without the file name.
fn of(text: &str) -> Vec<String> {
    let found = findings(&[("a.yaml", text)]);
    found
        .iter()
        .map(|found| found.strip_prefix("a.yaml:").unwrap_or(found).to_owned())
        .collect()
}

#[test]
fn unknown_keys_and_sections_come_with_a_suggestion() {
    let text = "organisations: {}\ngroups: {g: {membres: [a]}}\n";
    let (sources, _, report) = run(&[("a.yaml", text)]);
    let seen: Vec<_> = report
        .diagnostics
        .iter()
        .map(|found| {
            (
                found.code.id,
                sources.text(found.primary().unwrap()),
                found.help.clone().unwrap_or_default(),
                found.fixes.first().map(|fix| fix.edits[0].insert.clone()),
            )
        })
        .collect();
    assert_eq!(seen[0].0, "LK0013");
    assert_eq!(seen[0].1, "organisations");
    assert_eq!(seen[0].2, "did you mean `organizations`?");
    assert_eq!(seen[0].3.as_deref(), Some("organizations"));
    // The misspelt key is the one mistake: it is not reported as missing besides.
    assert_eq!((seen[1].0, seen[1].1), ("LK0014", "membres"));
    assert_eq!(seen[1].2, "did you mean `members`?");
    assert_eq!(seen.len(), 2);
}

#[test]
fn reserved_keys_are_refused_with_their_purpose() {
    let text = "\
budgets: {}
organizations: {acme: {region: eu, defaults: {}}}
servers:
  s:
    in: acme
    upstream: http://127.0.0.1:1/mcp
    egress: {}
    region: eu
    tools:
      t: {risk: destructive, unlock: approval, cost: 1}
rules:
  r: {effect: require, require: {rate: 1/s, approval: {}}}
";
    let found = of(text);
    let reserved = found
        .iter()
        .filter(|found| found.contains("LK0020"))
        .count();
    assert_eq!(reserved, 8, "{found:#?}");
    assert!(found[0].ends_with("LK0020 [budgets] `budgets` is not enforced in this version"));
    assert!(
        found
            .iter()
            .any(|f| f.contains("LK0020 [approval] `approval` is not enforced"))
    );
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn a_rule_that_names_no_server_is_an_error_whatever_its_effect() {
    let text = "\
rules:
  a: {effect: deny, surfaces: {}, message: m}
  b: {effect: require, surfaces: {}, require: {rate: 1/s}}
  c: {effect: deny, message: m}
";
    let nothing = "LK0019 [{}] `surfaces` lists nothing";
    let found = of(text);
    let ends: Vec<_> = found.iter().map(|it| it.ends_with(nothing)).collect();
    assert_eq!(ends, [true, true], "{found:#?}");
}

#[test]
fn the_same_name_in_two_files_is_one_finding_with_both_places() {
    let entry = "organizations: {acme: {}}\n";
    let (sources, read, report) = run(&[("a.yaml", entry), ("b/c.yaml", entry)]);
    assert_eq!(report.diagnostics.len(), 1);
    let found = &report.diagnostics[0];
    assert_eq!(found.code.id, "LK0021");
    let places: Vec<_> = found
        .labels
        .iter()
        .map(|label| sources.place(label.span))
        .collect();
    assert_eq!(places, ["b/c.yaml:1:17", "a.yaml:1:17"]);
    assert_eq!(read.organizations.len(), 1);
}

#[test]
fn a_broken_file_does_not_hide_the_others_and_says_what_it_may_declare() {
    let (_, read, report) = run(&[
        (
            "a.yaml",
            "roles:\n  reader: {allow: {s: [t]}}\n  writer: {allow: {s: [\n",
        ),
        ("b.yaml", "roles: {admin: {alow: {s: [t]}}}\n"),
    ]);
    let codes: Vec<_> = report
        .diagnostics
        .iter()
        .map(|found| found.code.id)
        .collect();
    assert!(
        codes.contains(&"LK0004") && codes.contains(&"LK0014"),
        "{codes:?}"
    );
    assert!(read.roles.contains_key("reader"));
    assert!(read.may_declare("roles", "writer"));
    assert!(read.may_declare("roles", "admin"));
    assert!(!read.may_declare("roles", "other"));
    assert!(!read.is_complete());
}

#[test]
fn every_record_has_a_closed_schema_with_exactly_its_keys() {
    let schema = schema();
    for section in SECTIONS {
        let entry = &schema["properties"][section.name]["additionalProperties"];
        let properties = entry["properties"].as_object().unwrap();
        let keys: BTreeSet<_> = properties.keys().map(String::as_str).collect();
        let fields: BTreeSet<_> = (section.fields)().iter().map(|field| field.key).collect();
        assert_eq!(keys, fields, "{}", section.name);
        assert_eq!(entry["additionalProperties"], false);
        for field in (section.fields)() {
            assert!(!field.doc.trim().is_empty());
        }
    }
}

#[test]
fn reserved_keys_are_not_keys() {
    for row in reserved::RESERVED.iter().filter(|row| row.noun == "file") {
        assert!(
            !SECTIONS.iter().any(|section| section.name == row.key),
            "{}",
            row.key
        );
    }
    for (noun, fields) in [
        ("server", <Server as shape::Record>::fields()),
        ("organization", <Organization as shape::Record>::fields()),
        ("tool", <surface::Tool as shape::Record>::fields()),
    ] {
        for row in reserved::RESERVED.iter().filter(|row| row.noun == noun) {
            assert!(
                !fields.iter().any(|field| field.key == row.key),
                "{noun} {}",
                row.key
            );
        }
    }
}

/// YAML-like text: enough structure to get past the scanner, enough noise to break things.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "organizations", "servers", "tools", "matrices", "expect", "callers", "calls", "rules",
            "bindings", "who", "when", "risk", "read", "a", "b-c", "scopes", "from", "map", "in",
        ]).prop_map(str::to_owned),
        6 => proptest::sample::select(vec![
            ": ", ":\n  ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", "- ", "|\n", ">\n",
            "\"", "'", "&x ", "*x", "!t ", "<<: ", "---\n", "# ", "? ", "%YAML 1.2\n", "\t", "~",
            "\\", "\u{feff}", "\u{202e}", "é", "\r\n", "\r", ".", "*",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_text_never_panics_and_every_place_is_real(text in soup()) {
        let (sources, _, report) = run(&[("a.yaml", &text)]);
        // Bounded: no text makes more findings than it has places for them.
        prop_assert!(report.diagnostics.len() <= 40 + text.len() * 3);
        for found in &report.diagnostics {
            for label in &found.labels {
                let file = sources.file(label.span.file).unwrap();
                prop_assert!(file.text().get(label.span.range()).is_some(), "{found:?}");
            }
        }
        crate::diag::render::human::render(&report, &sources, Style::default());
        crate::diag::render::json::render(&report, &sources);
    }

    #[test]
    fn another_reader_agrees_on_what_is_accepted(text in soup()) {
        agrees_with_another_reader(&text)?;
    }
}

/// What passes the strict subset has one meaning: a YAML 1.1 library reads the same value.
fn agrees_with_another_reader(text: &str) -> Result<(), TestCaseError> {
    let mut sink = Sink::new();
    let document = yaml::parse(FileId(0), text, &mut sink);
    let (Some(root), true) = (
        document.root,
        sink.finish(&Levels::new()).diagnostics.is_empty(),
    ) else {
        return Ok(());
    };
    // A file is a map of sections; anything else is refused by the next stage.
    if root.as_map().is_none() {
        return Ok(());
    }
    let ours: Json = serde_json::from_str(&root.to_json().unwrap()).unwrap();
    let theirs: Result<Json, _> = serde_yaml::from_str(text);
    prop_assert!(theirs.is_ok(), "only we accept {text:?}: {theirs:?}");
    prop_assert_eq!(ours, theirs.unwrap(), "{:?}", text);
    Ok(())
}
