//! Characters that have no place in a policy file.

use crate::diag::{Applicability, Diagnostic, Sink, codes};
use crate::source::{FileId, Span};

/// After so many findings of this kind in one file the rest is not listed.
const MOST: usize = 20;

/// Whether all characters are visible or plain space, and the line feed is the only line break.
pub(super) fn everyday(text: &str) -> bool {
    // Nearly every file is of ASCII alone, and this is a look at sixteen of them at a time.
    let usual = |b: u8| b == b'\n' || (b' '..=b'~').contains(&b);
    text.bytes().fold(true, |all, b| all & usual(b))
        || text
            .chars()
            .all(|c| problem(c, None, 1).is_none() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// Reports what reviewers do not see, or what readers take for different things.
pub(super) fn check(file: FileId, text: &str, sink: &mut Sink) {
    if everyday(text) {
        return;
    }
    let mut previous = '\n';
    let mut found = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|&(_, next)| next);
        let run = c == '\t' && previous == '\t';
        if let Some(problem) = problem(c, next, at).filter(|_| !run) {
            let span = Span::new(file, at..at + c.len_utf8());
            sink.push(diagnostic(&problem, c, span));
            found += 1;
            if found == MOST {
                return;
            }
        }
        previous = c;
    }
}

struct Problem {
    what: &'static str,
    help: &'static str,
    replace: Option<&'static str>,
}

fn problem(c: char, next: Option<char>, at: usize) -> Option<Problem> {
    let make = |what, help, replace| {
        Some(Problem {
            what,
            help,
            replace,
        })
    };
    match c {
        '\n' | ' '..='~' => None,
        '\t' => make("a tab", "indent and separate with spaces", Some("  ")),
        '\r' if next == Some('\n') => None,
        '\r' => make(
            "a carriage return alone",
            "end lines with a line feed",
            Some("\n"),
        ),
        '\u{feff}' if at == 0 => make(
            "a byte-order mark",
            "save the file as UTF-8 without one",
            Some(""),
        ),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            make(
                "a bidirectional control character",
                "remove it: it makes text look like what it is not",
                Some(""),
            )
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => {
            make("an invisible character", "remove it", Some(""))
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => make(
            "a character that only some YAML versions take for a line break",
            "replace it with a line feed",
            Some("\n"),
        ),
        _ if c.is_control() => make("a control character", "remove it", Some("")),
        _ => None,
    }
}

fn diagnostic(problem: &Problem, c: char, span: Span) -> Diagnostic {
    let message = format!(
        "{} (U+{:04X}) is not allowed here",
        problem.what,
        u32::from(c)
    );
    let found = Diagnostic::new(&codes::FORBIDDEN_CHARACTER, span, message).help(problem.help);
    match problem.replace {
        Some(insert) => found.fix("replace the character", Applicability::Maybe, span, insert),
        None => found,
    }
}
