//! What a fuzzer does with some bytes, and what must hold then.

use latchkey::{
    Checked,
    diag::{Levels, render},
    project,
    source::{Memory, SourceMap},
    syntax,
};
use latchkey_engine::time::Time;

/// What opens a file in a text that holds several.
const MARK: &str = "=== ";

/// One file through the reader of the YAML subset, and on to typed entries.
pub(crate) fn parse(bytes: &[u8]) {
    let tree = Memory::from_iter([
        ("a.yaml", bytes),
        (project::FILE, b"[project]\nname = \"fuzzed\"\n".as_slice()),
    ]);
    let mut sink = latchkey::diag::Sink::new();
    let (sources, project) = project::open(&tree, &mut sink);
    let _ = syntax::parse(&sources, &project, &mut sink);
    told(sink, &Levels::new(), &sources);
}

/// A whole project through all of `check`: each line `=== path` opens a file.
pub(crate) fn check(bytes: &[u8]) {
    let Checked {
        sources,
        project,
        model,
        sink,
        ..
    } = latchkey::check(&files(bytes), Time(1_796_083_200));
    let sound = model.is_some();
    let report = told(sink, &project.levels, &sources);
    // What has no model has an error that says why.
    assert!(sound || report, "neither a model nor an error");
}

/// The files of a text; one without `latchkey.toml` gets one.
fn files(bytes: &[u8]) -> Memory {
    let text = String::from_utf8_lossy(bytes);
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix(MARK), files.last_mut()) {
            (Some(path), _) => files.push((path.trim().to_owned(), String::new())),
            (None, Some((_, file))) => file.push_str(line),
            (None, None) => files.push(("a.yaml".to_owned(), line.to_owned())),
        }
    }
    if !files.iter().any(|(path, _)| path == project::FILE) {
        let toml = "[project]\nname = \"fuzzed\"\n".to_owned();
        files.push((project::FILE.to_owned(), toml));
    }
    files.into_iter().collect()
}

/// Every place of a finding is there, and every format can hold it; answers whether there are
/// errors.
fn told(sink: latchkey::diag::Sink, levels: &Levels, sources: &SourceMap) -> bool {
    let found = sink.has_errors();
    let report = sink.finish(levels);
    for label in report.diagnostics.iter().flat_map(|it| &it.labels) {
        let file = sources
            .file(label.span.file)
            .map(latchkey::source::File::text);
        let there = file.is_some_and(|it| it.get(label.span.range()).is_some());
        assert!(there, "{:?} is no place", label.span);
    }
    let _ = render::json::render(&report, sources);
    let _ = render::sarif::render(&report, sources, "");
    let _ = render::github::render(&report, sources, "");
    let _ = render::junit::render(&report, sources);
    found
}
