//! Access as comma-separated values (RFC 4180), safe to open in a spreadsheet.

use super::table::{call, chain};
use crate::diff::access::{Access, Line};

const TITLES: [&str; 14] = [
    "subject",
    "surface",
    "permission",
    "risk",
    "scope",
    "token_groups",
    "not_before",
    "expires",
    "when",
    "chain",
    "activation",
    "obligations",
    "through",
    "denied_by",
];

/// One row for each subject of each line.
pub(super) fn render(found: &Access) -> String {
    let mut out = record(&TITLES.map(str::to_owned));
    for line in &found.lines {
        for subject in &line.subjects {
            out.push_str(&record(&row(subject, line)));
        }
    }
    out
}

fn row(subject: &str, line: &Line) -> [String; 14] {
    let what = &line.what;
    let obligations = what
        .obligations
        .iter()
        .flat_map(|(kind, texts)| texts.iter().map(move |text| format!("{kind} {text}")));
    let through = what.grants.iter().map(chain);
    let denied = what.unless.iter().map(|it| match &it.when {
        Some(when) => format!("{} when {when}", it.rule),
        None => it.rule.clone(),
    });
    let joined = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join("; ");
    [
        subject.to_owned(),
        call(what),
        what.permission.clone(),
        what.risk.to_owned(),
        what.scope.clone(),
        joined(&mut what.token_groups.iter().cloned()),
        what.not_before.clone().unwrap_or_default(),
        what.expires.clone().unwrap_or_default(),
        what.when.clone(),
        what.chain.to_string(),
        what.activation.unwrap_or_default().to_owned(),
        joined(&mut obligations.into_iter()),
        joined(&mut through.into_iter()),
        joined(&mut denied.into_iter()),
    ]
}

fn record<const N: usize>(cells: &[String; N]) -> String {
    let cells: Vec<String> = cells.iter().map(|it| field(it)).collect();
    cells.join(",") + "\r\n"
}

/// A quoted field. What a spreadsheet would take for a formula begins with an apostrophe.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_a_formula_and_quotes_are_doubled() {
        assert_eq!(field("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(field("@sum"), "\"'@sum\"");
        assert_eq!(field("-1"), "\"'-1\"");
        assert_eq!(field("args.a == \"b\""), "\"args.a == \"\"b\"\"\"");
    }
}
