//! The text of server entries, in the strict subset of YAML.

use std::{collections::BTreeSet, fmt::Write as _};

use latchkey_gate::pin::ListKind;

use crate::{
    diag::{Levels, Sink},
    source::FileId,
    syntax::{
        lock::Locked,
        node::{Node, Pair},
        plain::{Plain, classify},
        yaml,
    },
};

/// One entry of a server.
#[derive(Debug)]
pub(super) struct Surface {
    section: &'static str,
    /// Its name in the project.
    pub(super) name: String,
    /// What it says before its risk.
    facts: String,
    risk: &'static str,
    review: &'static str,
}

/// The sections of a server that entries stand in.
const SECTIONS: [&str; 4] = ["tools", "prompts", "resources", "routes"];
/// The longest name that is made of what a server says.
const LONGEST: usize = 60;

impl Surface {
    /// A tool or prompt.
    pub(super) fn named(kind: ListKind, name: &str, locked: &Locked) -> Self {
        let hint = |name| locked.hint(name).unwrap_or(false);
        let (section, risk, review) = match kind {
            ListKind::Tools if hint("readOnlyHint") => {
                ("tools", "read", "the server says that it only reads")
            }
            ListKind::Tools if hint("destructiveHint") => (
                "tools",
                "destructive",
                "the server says that it may destroy",
            ),
            ListKind::Tools => (
                "tools",
                "write",
                "the server does not say that it only reads",
            ),
            _ => ("prompts", "read", "imported"),
        };
        Self {
            section,
            name: name.to_owned(),
            facts: String::new(),
            risk,
            review,
        }
    }

    /// A resource, or a pattern of resources; its name is made of what the server calls it.
    pub(super) fn resource(uri: &str, title: &str, taken: &BTreeSet<String>) -> Self {
        let fit = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let name = Some(words(title, fit)).filter(|name| !name.is_empty());
        Self {
            section: "resources",
            name: free(name.as_deref().unwrap_or("resource"), taken),
            facts: format!("uri: {}, ", quoted(uri)),
            risk: "read",
            review: "imported",
        }
    }

    /// A route; its name is made of what the document calls it, or of its method and path.
    pub(super) fn route(
        (method, path): (&str, &str),
        title: Option<&str>,
        taken: &BTreeSet<String>,
    ) -> Self {
        let fit = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let name = title.map(|title| words(title, fit));
        let name = name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| words(&format!("{method} {path}").to_lowercase(), fit));
        let (risk, review) = match method {
            "GET" | "HEAD" | "OPTIONS" => ("read", "by the rules of HTTP it only reads"),
            "DELETE" => ("destructive", "by its method it destroys"),
            _ => ("write", "its method does not say what it does"),
        };
        Self {
            section: "routes",
            name: free(&name, taken),
            facts: format!("method: {method}, path: {}, ", quoted(path)),
            risk,
            review,
        }
    }

    fn line(&self) -> String {
        let (name, facts) = (key(&self.name), &self.facts);
        format!(
            "{name}: {{{facts}risk: {}, review: {}}}",
            self.risk, self.review
        )
    }
}

/// The name of a server, made of what it calls itself: `mcp-servers/everything` is `everything`.
pub(super) fn server_name(own: Option<&str>) -> Option<String> {
    let last = own?.rsplit('/').next()?.to_ascii_lowercase();
    let name = words(&last, |c| c.is_ascii_lowercase() || c.is_ascii_digit());
    Some(name).filter(|name| !name.is_empty())
}

/// What a new entry begins with.
#[derive(Debug)]
pub(super) struct Head {
    /// What is said to its readers.
    pub(super) comment: &'static str,
    /// Where its server is.
    pub(super) lines: Vec<String>,
}

/// A file with one server.
pub(super) fn file(
    server: &str,
    within: &str,
    head: &Head,
    lock: &str,
    surfaces: &[Surface],
) -> String {
    let mut text = format!("{}\nservers:\n", head.comment);
    let mut line = |text_of: String| {
        text.push_str(&text_of);
        text.push('\n');
    };
    line(format!("  {}:", key(server)));
    line(format!("    in: {within}"));
    for each in &head.lines {
        line(format!("    {each}"));
    }
    line(format!("    lock: {}", key(lock)));
    for section in SECTIONS {
        if surfaces.iter().any(|it| it.section == section) {
            text.push_str(&block(section, surfaces, 4));
        }
    }
    text
}

/// The entries alone, to be put into a server by hand.
pub(super) fn fragment(surfaces: &[Surface]) -> String {
    let sections = SECTIONS.iter().filter(|section| {
        let section: &str = section;
        surfaces.iter().any(|it| it.section == section)
    });
    sections
        .map(|section| block(section, surfaces, 4))
        .collect()
}

/// The text of a policy file with entries added to a server, every other byte as it was; `None`
/// where the file does not have the server in block style.
pub(super) fn append(text: &str, server: &str, surfaces: &[Surface]) -> Option<String> {
    let mut text = text.to_owned();
    for section in SECTIONS {
        let own: Vec<&Surface> = surfaces.iter().filter(|it| it.section == section).collect();
        if own.is_empty() {
            continue;
        }
        let root = parsed(&text)?;
        let servers = root.get("servers")?;
        let entry = servers
            .as_map()?
            .iter()
            .find(|pair| pair.key.value == server)?;
        let keys = entry.value.as_map()?;
        let present = keys.iter().find(|pair| pair.key.value == section);
        let (at, added) = if let Some(pair) = present {
            let indent = block_indent(&text, pair.value.as_map()?.first()?)?;
            (end_of(&text, pair)?, lines(&own, indent))
        } else {
            let indent = block_indent(&text, keys.first()?)?;
            let inner = lines(&own, indent + 2);
            let block = format!("{:indent$}{section}:\n{inner}", "");
            (end_of(&text, entry)?, block)
        };
        let before = text.get(..at)?;
        let gap = if before.ends_with('\n') { "" } else { "\n" };
        text = format!("{before}{gap}{added}{}", text.get(at..)?);
    }
    parsed(&text).map(|_| text)
}

/// The text of a policy file with entries added to one of its sections, every other byte as it was;
/// `block` is the section with the new entries alone. `None` where the file does not have the
/// section in block style.
pub(super) fn extend(text: &str, section: &str, block: &str) -> Option<String> {
    let root = parsed(text)?;
    let present = root.as_map()?.iter().find(|it| it.key.value == section);
    let (at, added) = match present {
        Some(pair) => {
            let indent = block_indent(text, pair.value.as_map()?.first()?)?;
            let entries = block.lines().skip(1);
            // The block is indented by two.
            let entries =
                entries.map(|line| format!("{:indent$}{}\n", "", line.get(2..).unwrap_or("")));
            (end_of(text, pair)?, entries.collect())
        }
        None => (text.len(), format!("\n{block}")),
    };
    let before = text.get(..at)?;
    let gap = if before.ends_with('\n') { "" } else { "\n" };
    let text = format!("{before}{gap}{added}{}", text.get(at..)?);
    parsed(&text).map(|_| text)
}

fn block(section: &str, surfaces: &[Surface], indent: usize) -> String {
    let own: Vec<&Surface> = surfaces.iter().filter(|it| it.section == section).collect();
    format!("{:indent$}{section}:\n{}", "", lines(&own, indent + 2))
}

fn lines(surfaces: &[&Surface], indent: usize) -> String {
    let mut text = String::new();
    for surface in surfaces {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:indent$}{}", "", surface.line());
    }
    text
}

/// A file that is read without a finding.
fn parsed(text: &str) -> Option<Node> {
    let mut sink = Sink::new();
    let document = yaml::parse(FileId(0), text, &mut sink);
    let report = sink.finish(&Levels::default());
    document.root.filter(|_| !report.has_errors())
}

/// How far a key is indented, where it begins its line.
fn block_indent(text: &str, pair: &Pair) -> Option<usize> {
    let before = text.get(..pair.key.span.range().start)?;
    let line = before.rsplit('\n').next()?;
    line.bytes().all(|byte| byte == b' ').then_some(line.len())
}

/// Where the block of a key ends: after its last line that says something.
fn end_of(text: &str, pair: &Pair) -> Option<usize> {
    let indent = block_indent(text, pair)?;
    let start = pair.key.span.range().start;
    let mut at = start;
    let mut end = None;
    for line in text.get(start..)?.split_inclusive('\n') {
        let inner = line.len() - line.trim_start_matches(' ').len();
        let says = !line.trim().is_empty();
        if end.is_some() && says && inner <= indent {
            break;
        }
        at += line.len();
        if says {
            end = Some(at);
        }
    }
    end
}

/// A text as a key or plain value, quoted where readers could disagree on it.
fn key(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = plain
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if plain && classify(text) == Plain::Text {
        return text.to_owned();
    }
    quoted(text)
}

/// A text in double quotes; JSON's escapes are YAML's as well.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name that nothing else has.
fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while taken.contains(&free) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

/// What fits of a text, with `-` between its words.
fn words(text: &str, fit: impl Fn(char) -> bool) -> String {
    let words = text.split(|c| !fit(c)).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let cut: String = joined.chars().take(LONGEST).collect();
    cut.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

#[cfg(test)]
mod tests;
