use std::collections::BTreeMap;

use crate::diag::{Applicability, Levels, Sink, codes};
use crate::source::Span;

use super::*;

fn example() -> (Report, SourceMap) {
    let files = BTreeMap::from([
        (
            "a.yaml".to_owned(),
            b"roles:\n  reader: {allow: {s: [t]}}\n".to_vec(),
        ),
        (
            "b.yaml".to_owned(),
            b"roles:\n  # again\n  reader: {allow: {s: [u]}}\n".to_vec(),
        ),
    ]);
    let sources = SourceMap::from_files(files);
    let mut sink = Sink::new();
    let (a, b) = (Span::new(FileId(0), 9..15), Span::new(FileId(1), 19..25));
    sink.push(
        Diagnostic::new(
            &codes::DUPLICATE_ENTRY,
            b,
            "`roles` already has an entry `reader`",
        )
        .label("declared again here")
        .also(a, "first declared here")
        .help("rename one of them")
        .fix("rename it", Applicability::Maybe, b, "reader-2"),
    );
    sink.push(Diagnostic::global(
        &codes::BAD_PROJECT_FILE,
        "there is no `latchkey.toml`",
    ));
    (sink.finish(&Levels::new()), sources)
}

#[test]
fn both_places_are_drawn_and_the_counts_close_the_page() {
    let (report, sources) = example();
    insta::assert_snapshot!("both_places", render(&report, &sources, Style::default()));
}

#[test]
fn colour_and_unicode_are_only_used_when_asked_for() {
    let (report, sources) = example();
    let style = Style {
        unicode: false,
        ..Style::default()
    };
    let ascii = render(&report, &sources, style);
    assert!(ascii.is_ascii() && !ascii.contains('\u{1b}'), "{ascii}");
    let coloured = render(
        &report,
        &sources,
        Style {
            colour: true,
            ..style
        },
    );
    assert!(!render(&report, &sources, Style::default()).contains('\u{1b}'));
    let coloured_unicode = render(
        &report,
        &sources,
        Style {
            colour: true,
            ..Style::default()
        },
    );
    assert!(coloured.is_ascii());
    assert!(coloured_unicode.contains('\u{1b}'));
}

#[test]
fn text_from_files_cannot_steer_the_terminal() {
    let text = "a: \u{1b}[2J\u{202e}x\u{85}y\n".as_bytes().to_vec();
    let sources = SourceMap::from_files(BTreeMap::from([("a.yaml".to_owned(), text)]));
    let mut sink = Sink::new();
    let span = Span::new(FileId(0), 0..1);
    sink.push(Diagnostic::new(
        &codes::BAD_NAME,
        span,
        "`\u{1b}]0;x\u{7}` is not a name",
    ));
    let drawn = render(&sink.finish(&Levels::new()), &sources, Style::default());
    for c in ['\u{1b}', '\u{7}', '\u{202e}', '\u{85}'] {
        assert!(!drawn.contains(c), "{drawn:?}");
    }
    assert_eq!(visible("\u{85}é\u{202e}"), "·é\u{fffd}");
}

#[test]
fn a_line_that_no_page_can_show_is_not_drawn() {
    let text = format!("a: {}\n", ":".repeat(1_000_000));
    let files = BTreeMap::from([("a.yaml".to_owned(), text.into_bytes())]);
    let sources = SourceMap::from_files(files);
    let mut sink = Sink::new();
    let message = "x".repeat(2_000_000);
    sink.push(Diagnostic::new(&codes::BAD_NAME, Span::new(FileId(0), 0..1), message).help("h"));
    let drawn = render(&sink.finish(&Levels::new()), &sources, Style::default());
    assert!(
        drawn.starts_with("error[LK0018] a.yaml:1:1: xxx"),
        "{}",
        drawn.len()
    );
    assert!(drawn.len() < 700 && drawn.contains("help: h"), "{drawn}");
}
