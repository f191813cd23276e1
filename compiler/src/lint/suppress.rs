//! Comments that silence a lint at one place: `# latchkey: allow(slug): why`.
//!
//! At the end of a line it holds for that line; on a line of its own, for the next line that is
//! not a comment.

use super::{Depth, analysis};
use crate::{
    diag::{Applicability, Diagnostic, Severity, Sink, codes, suggest},
    source::{File, FileId, SourceMap, Span},
    syntax::yaml,
};

/// What opens such a comment.
const MARK: &str = "latchkey:";

/// Every such comment of a project.
#[derive(Debug, Default)]
pub(super) struct Suppressions(Vec<Suppression>);

#[derive(Debug)]
struct Suppression {
    slug: &'static str,
    span: Span,
    file: FileId,
    line: u32,
    used: bool,
}

/// Reads the comments of all files, and reports those that are malformed.
pub(super) fn read(sources: &SourceMap, sink: &mut Sink) -> Suppressions {
    let mut all = Vec::new();
    for (id, file) in sources.files() {
        let yaml = matches!(file.path().rsplit('.').next(), Some("yaml" | "yml"));
        if !yaml || !file.text().contains(MARK) {
            continue;
        }
        for comment in yaml::comments(id, file.text()) {
            let Some(body) = comment.value.trim().strip_prefix(MARK) else {
                continue;
            };
            match slug(body.trim()) {
                Ok(slug) => {
                    let line = target(file, comment.span);
                    all.push(Suppression {
                        slug,
                        span: comment.span,
                        file: id,
                        line,
                        used: false,
                    });
                }
                Err((message, help)) => sink.push(
                    Diagnostic::new(&codes::BAD_SUPPRESSION, comment.span, message).help(help),
                ),
            }
        }
    }
    Suppressions(all)
}

impl Suppressions {
    /// Whether a comment silences this finding.
    pub(super) fn silence(&mut self, finding: &Diagnostic, sources: &SourceMap) -> bool {
        let Some(span) = finding.primary() else {
            return false;
        };
        let of_file = |it: &&mut Suppression| it.slug == finding.code.slug && it.file == span.file;
        let mut silenced = false;
        // The line is asked for last: where no comment is, the text need not be at hand.
        for each in self.0.iter_mut().filter(of_file) {
            if each.line == sources.position(span).line {
                each.used = true;
                silenced = true;
            }
        }
        silenced
    }

    /// Reports the comments that silenced nothing; of lints that did not run nothing can be said.
    pub(super) fn unused(&self, depth: Depth, sources: &SourceMap, sink: &mut Sink) {
        let ran = |slug: &str| {
            let mut deep = analysis::CODES.iter();
            depth == Depth::Thorough || !deep.any(|code| code.slug == slug)
        };
        for each in self.0.iter().filter(|each| !each.used && ran(each.slug)) {
            let message = format!("nothing here is reported as `{}`", each.slug);
            sink.push(
                Diagnostic::new(&codes::UNUSED_SUPPRESSION, each.span, message)
                    .help("remove the comment")
                    .fix(
                        "remove the comment",
                        Applicability::Always,
                        whole(each.span, sources),
                        "",
                    ),
            );
        }
    }
}

/// A comment with the blanks before it, and with its line break where nothing else is on its line.
fn whole(comment: Span, sources: &SourceMap) -> Span {
    let text = sources.file(comment.file).map_or("", File::text);
    let before = text.get(..comment.start as usize).unwrap_or_default();
    let start = before.trim_end_matches([' ', '\t']).len();
    let mut end = comment.end as usize;
    let rest = text.get(end..).unwrap_or_default();
    if start == 0 || before.get(..start).is_some_and(|it| it.ends_with('\n')) {
        end += ["\r\n", "\n"]
            .iter()
            .find(|it| rest.starts_with(**it))
            .map_or(0, |it| it.len());
    }
    Span::new(comment.file, start..end)
}

/// The lint that a comment silences; otherwise what is wrong, and what to do.
fn slug(body: &str) -> Result<&'static str, (String, String)> {
    let shape = || {
        let help = "write `# latchkey: allow(<slug>): <why>`".to_owned();
        ("this is no suppression".to_owned(), help)
    };
    let rest = body.strip_prefix("allow(").ok_or_else(shape)?;
    let (slug, rest) = rest.split_once(')').ok_or_else(shape)?;
    let Some(code) = codes::find(slug.trim()) else {
        let lints = codes::TABLE
            .iter()
            .filter(|code| code.severity == Severity::Warning);
        let known = suggest::closest(slug, lints.map(|code| code.slug));
        let help = known.map_or_else(
            || "`latchkey explain` lists the lints".to_owned(),
            |known| format!("did you mean `{known}`?"),
        );
        return Err((format!("there is no lint `{slug}`"), help));
    };
    if code.severity != Severity::Warning {
        let help = "correct what it reports".to_owned();
        return Err((
            format!("`{}` is an error, and cannot be silenced", code.slug),
            help,
        ));
    }
    let why = rest.trim_start().strip_prefix(':').unwrap_or_default();
    if why.trim().is_empty() {
        let help = format!("write `# latchkey: allow({}): <why>`", code.slug);
        return Err(("a suppression needs a reason".to_owned(), help));
    }
    Ok(code.slug)
}

/// The line that a comment speaks of.
fn target(file: &File, comment: Span) -> u32 {
    let own = file.position(comment.start as usize).line;
    let text = |line| file.line(line).and_then(|range| file.text().get(range));
    if !text(own).unwrap_or_default().trim_start().starts_with('#') {
        return own;
    }
    let mut line = own;
    while let Some(next) = text(line) {
        let next = next.trim_start();
        if !next.is_empty() && !next.starts_with('#') {
            return line;
        }
        line += 1;
    }
    own
}
