//! `latchkey check --watch`: after each save, what is new and what is settled.

use std::sync::Arc;

use super::Args;
use crate::{
    Findings,
    cli::Global,
    command::{Exit, Failure, Terminal, folder, style, watch::Watch},
    diag::{Diagnostic, Report, render::human},
    source::{Lasting, SourceMap},
};

/// Runs until it is told to stop.
pub(super) fn run(
    args: &Args,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let folder: Lasting = Arc::new(folder(global)?);
    // It watches before the first look, so that no save falls between the two.
    let mut watch = Watch::new(&global.directory);
    let mut before: Option<Vec<Known>> = None;
    loop {
        let Findings {
            sources,
            project,
            sink,
        } = crate::findings(&folder, args.today());
        let report = sink.finish(&project.levels);
        let now = known(&report, &sources);
        let said = match &before {
            None => human::render(&report, &sources, style(terminal)),
            Some(before) => changes(before, &now, &report, &sources, style(terminal)),
        };
        write!(terminal.out, "{said}")?;
        terminal.out.flush()?;
        before = Some(now);
        watch.wait();
    }
}

/// What makes a finding the same one after a save that moved it: everything but its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    file: String,
    code: &'static str,
    severity: &'static str,
    message: String,
    marked: String,
}

fn known(report: &Report, sources: &SourceMap) -> Vec<Known> {
    let known = |found: &Diagnostic| {
        let span = found.primary();
        Known {
            file: span.map_or(String::new(), |it| sources.path(it.file).to_owned()),
            code: found.code.id,
            severity: found.severity.name(),
            message: found.message.clone(),
            marked: span.map_or(String::new(), |it| sources.text(it).to_owned()),
        }
    };
    report.diagnostics.iter().map(known).collect()
}

/// The findings that are new, drawn, those that are settled, one line each, and the counts;
/// nothing where nothing changed.
fn changes(
    before: &[Known],
    now: &[Known],
    report: &Report,
    sources: &SourceMap,
    style: human::Style,
) -> String {
    let mut left = before.to_vec();
    let mut new = Vec::new();
    for (known, found) in now.iter().zip(&report.diagnostics) {
        match left.iter().position(|it| it == known) {
            Some(at) => {
                left.remove(at);
            }
            None => new.push(found.clone()),
        }
    }
    if left.is_empty() && new.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n");
    for gone in &left {
        let place = if gone.file.is_empty() {
            String::new()
        } else {
            format!(" {}", gone.file)
        };
        out.push_str(&human::visible(&format!(
            "settled: {}[{}]{place}: {}\n",
            gone.severity, gone.code, gone.message
        )));
    }
    out.push_str(&human::drawn(&new, sources, style));
    out.push_str(&human::summary(report, sources));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diag::{Levels, Severity},
        source::Memory,
    };
    use latchkey_engine::time::Time;

    fn checked(yaml: &str) -> (Vec<Known>, Report, SourceMap) {
        let files = [
            ("latchkey.toml", "[project]\nname = \"p\"\n"),
            ("a.yaml", yaml),
        ];
        let tree: Memory = files.into_iter().collect();
        let checked = crate::check(&tree, Time(0));
        let report = checked.sink.finish(&Levels::new());
        (known(&report, &checked.sources), report, checked.sources)
    }

    fn said(before: &str, now: &str) -> String {
        let (before, _, _) = checked(before);
        let (now, report, sources) = checked(now);
        changes(&before, &now, &report, &sources, human::Style::default())
    }

    #[test]
    fn only_what_changed_is_said() {
        let one = "roles:\n  a: {inherits: [b]}\n  x: {allow: {nowhere: [t]}}\n";
        let moved = format!("# a line more\n{one}");
        assert_eq!(said(one, &moved), "");
        let text = said(
            one,
            "roles:\n  a: {inherits: [c]}\n  x: {allow: {nowhere: [t]}}\n",
        );
        assert!(
            text.contains("settled: error[LK1003] a.yaml: there is no role `b`"),
            "{text}"
        );
        assert!(text.contains("there is no role `c`"), "{text}");
        assert!(!text.contains("no server"), "{text}");
        assert!(
            text.ends_with("2 errors, 0 warnings in 2 files\n"),
            "{text}"
        );
        let (_, report, _) = checked(one);
        assert_eq!(report.count(Severity::Error), 2);
    }
}
