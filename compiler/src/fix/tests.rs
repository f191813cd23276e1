use super::*;
use crate::{diag::Severity, source::Memory};

const TODAY: Time = Time(1_790_000_000);

fn project(yaml: &str) -> Memory {
    let toml = "[project]\nname = \"example\"\n".to_owned();
    [
        ("latchkey.toml".to_owned(), toml),
        ("a.yaml".to_owned(), yaml.to_owned()),
    ]
    .into_iter()
    .collect()
}

fn run(yaml: &str, guesses: bool) -> (String, Fixed) {
    let fixed = fix(&project(yaml), TODAY, guesses);
    let new = fixed.files.get("a.yaml").map(|(_, new)| new.clone());
    let text = new.map_or(yaml.to_owned(), |it| String::from_utf8(it).unwrap());
    (text, fixed)
}

#[test]
fn sure_fixes_keep_comments_and_layout_and_a_second_run_changes_nothing() {
    let yaml = "# head\norganizations:\n  acme:   {teams: {}}  # ours\nservers:\n  pay:\n    \
                in:  acme\n    tools:\n      get: {risk: read, audit: [0x1f, b,  b]}   # é\n      \
                put:\n        audit:\n          - a\n          - a   # twice\n";
    let (text, fixed) = run(yaml, false);
    let expected = yaml
        .replace("0x1f", "\"0x1f\"")
        .replace(", b,  b]", ", b]")
        .replace("- a\n          - a   # twice", "- a   # twice");
    assert_eq!(text, expected);
    assert_eq!((fixed.applied, fixed.left_out), (3, 0));
    let (again, fixed) = run(&text, false);
    assert_eq!((again, fixed.applied), (text, 0));
}

#[test]
fn guesses_are_applied_only_when_they_are_asked_for() {
    let yaml = "organizations: {acme: {team: {}}}\n";
    assert_eq!(run(yaml, false).0, yaml);
    assert_eq!(run(yaml, true).0, "organizations: {acme: {teams: {}}}\n");
}

#[test]
fn a_comment_that_silences_nothing_goes_with_its_line() {
    let yaml = "organizations:\n  # latchkey: allow(unused-role): old\n  acme: \
                {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01}  # latchkey: allow(unused-role): x\n";
    let (text, fixed) = run(yaml, false);
    assert_eq!(
        text,
        "organizations:\n  acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01}\n"
    );
    assert_eq!(fixed.applied, 2);
}

#[test]
fn edits_that_overlap_or_touch_are_not_made_together() {
    let sources = SourceMap::from_files([("a".to_owned(), b"abcdef".to_vec())].into());
    let found = |range: Range<usize>, insert: &str| {
        let span = crate::source::Span::new(FileId(0), range);
        crate::diag::Diagnostic::new(&codes::BAD_VALUE, span, insert).fix(
            "x",
            Applicability::Always,
            span,
            insert,
        )
    };
    let report = Report {
        diagnostics: vec![
            found(0..2, "X"),
            found(1..3, "Y"),
            found(2..3, "Z"),
            found(4..5, "E"),
            found(4..5, "E"),
            found(5..99, "out"),
        ],
        ..Report::default()
    };
    let round = apply(&report, &sources, false);
    assert_eq!(round.files["a"], b"XcdEf");
    assert_eq!((round.applied, round.left_out), (2, 3));
}

#[test]
fn every_sure_fix_of_the_pages_settles_its_finding_and_breaks_no_file() {
    let mut fixes = 0;
    for code in codes::TABLE {
        for example in crate::diag::examples::examples(code.page) {
            let fixed = fix(&example.files, TODAY, true);
            let texts = fixed.texts();
            let overlay = Overlay::new(&example.files, &texts);
            let again = fix(&overlay, TODAY, true);
            assert_eq!(again.applied, 0, "{}: {texts:?}", code.id);
            fixes += fixed.applied;
            if fixed.applied == 0 {
                continue;
            }
            let errors = |tree: &dyn Tree| {
                let report = crate::check(tree, TODAY).sink.finish(&Levels::new());
                let all = report.diagnostics.into_iter();
                let all = all.filter(|it| it.severity == Severity::Error);
                all.filter(|it| it.code == *code).count()
            };
            let (before, after) = (errors(&example.files), errors(&overlay));
            assert!(after <= before, "{}: {texts:?}", code.id);
        }
    }
    assert!(fixes >= 20, "{fixes} fixes");
}
