use crate::diag::{Levels, Report, Severity, Sink, codes};
use crate::source::SourceMap;
use crate::syntax;

use super::*;

fn check(example: &Example) -> (SourceMap, Report) {
    let mut sink = Sink::new();
    let (sources, project) = project::open(&example.files, &mut sink);
    syntax::parse(&sources, &project, &mut sink);
    (sources, sink.finish(&Levels::new()))
}

/// The shape stage alone; the whole check is run on every page by a test of its own.
#[test]
fn shape_pages_emit_their_code_at_the_marked_line_and_nothing_else() {
    for code in codes::TABLE
        .iter()
        .filter(|code| code.id.starts_with("LK0"))
        // Comments that silence lints are read with the lints, and warnings are lints.
        .filter(|code| code.severity == Severity::Error && !code.slug.ends_with("-suppression"))
    {
        let examples = examples(code.page);
        let [failing, fixed] = examples.as_slice() else {
            panic!("{} needs a failing and a fixed example", code.id);
        };
        let (sources, report) = check(failing);
        let found: Vec<_> = report
            .diagnostics
            .iter()
            .map(|found| {
                let place = found.primary().map(|span| {
                    (
                        sources.path(span.file).to_owned(),
                        sources.position(span).line,
                    )
                });
                (place, found.code.id)
            })
            .collect();
        let expected: Vec<_> = match failing.expect.as_slice() {
            [] => vec![(None, code.id)],
            marked => marked
                .iter()
                .map(|each| (Some((each.file.clone(), each.line)), each.code.as_str()))
                .collect(),
        };
        assert_eq!(found, expected, "{}", code.id);
        assert!(expected.iter().all(|(_, id)| *id == code.id), "{}", code.id);
        let (_, report) = check(fixed);
        assert!(
            report.diagnostics.is_empty(),
            "{} fixed: {:?}",
            code.id,
            report.diagnostics
        );
    }
}

#[test]
fn markers_are_removed_and_count_lines_without_markers() {
    let page = "# LK0001: x\n## Example\n```yaml file=a.yaml\na: |\n  one\n  two\n# ^2 LK0001\n  \
                three\n# ^ LK0002\n```\n## Fixed\n```yaml file=a.yaml escaped\n\\u{41}\\t\\x42\\n\n```\n";
    let all = examples(page);
    assert_eq!(all.len(), 2);
    let bytes = |example: &Example| example.files.0["a.yaml"].clone().unwrap();
    assert_eq!(bytes(&all[0]), b"a: |\n  one\n  two\n  three\n");
    let expected: Vec<_> = all[0]
        .expect
        .iter()
        .map(|each| (each.line, each.code.as_str()))
        .collect();
    assert_eq!(expected, [(2, "LK0001"), (4, "LK0002")]);
    assert_eq!(bytes(&all[1]), b"A\tB\\n\n");
    assert!(all[1].fixed && all[1].expect.is_empty());
}
