//! Access as one HTML file that needs nothing else, for a reviewer without a terminal.

use std::fmt::Write as _;

use super::{
    Question,
    table::{call, details, ending},
};
use crate::diff::access::{Access, Line};

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #8884; padding: .5rem; text-align: left; vertical-align: top }
thead th { border-bottom-width: 2px; position: sticky; top: 0; background: Canvas }
td ul { list-style: none; margin: 0; padding: 0 }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere }
.destructive { color: #c62828; font-weight: 600 } .write { color: #b26a00 }
.note { color: #777 }
</style>
";

/// The answer as a page.
pub(super) fn render(question: &Question<'_>, found: &Access) -> String {
    let title = title(question);
    let mut out = format!(
        "{HEAD}<title>{0}</title>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escaped(&title)
    );
    if found.lines.is_empty() {
        out.push_str("<p>Nobody: no call that was asked about is ever allowed.</p>\n");
    } else {
        out.push_str(
            "<table>\n<thead><tr><th>Who</th><th>May call</th><th>In</th><th>How</th></tr></thead>\n\
             <tbody>\n",
        );
        for line in &found.lines {
            row(&mut out, line);
        }
        out.push_str("</tbody>\n</table>\n");
    }
    for gap in &found.undecided {
        let _ = writeln!(
            out,
            "<p><strong>Cannot tell:</strong> {}: {}</p>",
            escaped(&gap.surface),
            escaped(&gap.why)
        );
    }
    let ending = ending(question, found);
    let _ = writeln!(
        out,
        "<p class=\"note\">{}</p>\n</body>\n</html>",
        escaped(ending.trim_end())
    );
    out
}

fn title(question: &Question<'_>) -> String {
    let mut title = match (question.principal, question.surface) {
        (Some(principal), _) => format!("What {principal} can do"),
        (None, Some(surface)) => match question.operation {
            Some(operation) => format!("Who can call {surface}:{operation}"),
            None => format!("Who can call {surface}"),
        },
        (None, None) => "Who can do what".to_owned(),
    };
    for (word, value) in [
        (" on ", question.server),
        (" in ", question.scope),
        (" at ", question.at.as_deref()),
    ] {
        if let Some(value) = value {
            title.push_str(word);
            title.push_str(value);
        }
    }
    title
}

fn row(out: &mut String, line: &Line) {
    let what = &line.what;
    let who: Vec<String> = line.subjects.iter().map(|it| escaped(it)).collect();
    let _ = write!(
        out,
        "<tr><td>{who}</td><td><code>{call}</code> <span class=\"{risk}\">{risk}</span></td>\
         <td>{scope}</td><td><ul>",
        who = who.join("<br>"),
        call = escaped(&call(what)),
        risk = what.risk,
        scope = escaped(&what.scope),
    );
    for detail in details(line) {
        let _ = write!(out, "<li><code>{}</code></li>", escaped(&detail));
    }
    out.push_str("</ul></td></tr>\n");
}

/// Text that means itself in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("<a b='c'>&\"</a>"),
            "&lt;a b=&#39;c&#39;&gt;&amp;&quot;&lt;/a&gt;"
        );
    }
}
