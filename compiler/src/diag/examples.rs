//! The examples of the code pages, as projects that a test can check.
//!
//! A page `codes/LKnnnn.md` has fenced blocks that carry file names. Those under the heading
//! `## Example` are one project that must emit the code, those under `## Fixed` one that must be
//! clean. A fence opens as
//!
//! ````text
//! ```yaml file=access/a.yaml
//! ````
//!
//! and `latchkey.toml` may be left out. In the failing project a line `# ^ LKnnnn` says that the
//! line above it is the one that is reported; `# ^3 LKnnnn` counts three lines up. Marker lines
//! are removed before the project is read, so they may stand anywhere, also inside a block of
//! text. Where no line can be marked (the finding has no file), the example has no marker.
//!
//! A file of the failing project whose fence has the word `shared` is part of the fixed one too.
//!
//! For what cannot be written in Markdown a fence has more words: `escaped` turns `\u{feff}`,
//! `\xff` and `\t` into what they stand for, `size=N` pads the file with a comment to N bytes,
//! `unreadable` makes reading the file fail.

use crate::project;
use crate::source::Memory;

/// One project of a page.
#[derive(Clone, Debug, Default)]
pub struct Example {
    /// Its files.
    pub files: Memory,
    /// What must be reported, in the order of the files; empty where there is no marker.
    pub expect: Vec<Expectation>,
    /// Whether this is the fixed project, which must be clean.
    pub fixed: bool,
}

/// A finding that an example must emit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Expectation {
    /// The file.
    pub file: String,
    /// The line, from 1, after markers were removed.
    pub line: u32,
    /// The code.
    pub code: String,
}

/// The projects of a page: the failing one, then the fixed one.
pub fn examples(page: &str) -> Vec<Example> {
    let mut failing = Example::default();
    let mut fixed = Example {
        fixed: true,
        ..Example::default()
    };
    let mut heading = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        }
        let Some(info) = line
            .strip_prefix("```")
            .filter(|info| info.contains("file="))
        else {
            continue;
        };
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match heading {
            "Example" => {
                add(&mut failing, info, &body);
                if info.split_whitespace().any(|word| word == "shared") {
                    add(&mut fixed, info, &body);
                }
            }
            "Fixed" => add(&mut fixed, info, &body),
            _ => {}
        }
    }
    let mut all = vec![failing, fixed];
    all.retain(|example| !example.files.0.is_empty());
    for example in &mut all {
        let toml = "[project]\nname = \"example\"\n".as_bytes().to_vec();
        example
            .files
            .0
            .entry(project::FILE.to_owned())
            .or_insert(Ok(toml));
        example.expect.sort();
    }
    all
}

fn add(example: &mut Example, info: &str, body: &[&str]) {
    let words: Vec<_> = info.split_whitespace().collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let Some(file) = value("file=") else { return };
    if words.contains(&"unreadable") {
        example
            .files
            .0
            .insert(file.to_owned(), Err("permission denied".to_owned()));
        return;
    }
    let mut text = String::new();
    let mut line = 0;
    for each in body {
        if let Some((up, code)) = marker(each) {
            let line = (line + 1u32).saturating_sub(up);
            example.expect.push(Expectation {
                file: file.to_owned(),
                line,
                code,
            });
            continue;
        }
        line += 1;
        text.push_str(each);
        text.push('\n');
    }
    let mut bytes = if words.contains(&"escaped") {
        unescape(&text)
    } else {
        text.into_bytes()
    };
    if let Some(size) = value("size=").and_then(|size| size.parse().ok()) {
        bytes.push(b'#');
        bytes.resize(bytes.len().max(size), b'.');
    }
    example.files.0.insert(file.to_owned(), Ok(bytes));
}

/// `# ^ LK0001` or `# ^2 LK0001`: how many lines up, and the code.
fn marker(line: &str) -> Option<(u32, String)> {
    let rest = line.trim_start().strip_prefix("# ^")?;
    let (up, code) = rest.split_once(' ')?;
    let up = if up.is_empty() { 1 } else { up.parse().ok()? };
    let digits = code.strip_prefix("LK")?;
    let valid = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| (up, code.to_owned()))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        rest = after;
        if let Some(after) = rest.strip_prefix('t') {
            out.push(b'\t');
            rest = after;
        } else if let Some((hex, after)) = rest
            .strip_prefix('x')
            .and_then(|rest| rest.split_at_checked(2))
        {
            out.extend(u8::from_str_radix(hex, 16).ok());
            rest = after;
        } else if let Some((hex, after)) = rest
            .strip_prefix("u{")
            .and_then(|rest| rest.split_once('}'))
        {
            let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
            out.extend(c.unwrap_or('\u{fffd}').to_string().into_bytes());
            rest = after;
        } else {
            out.push(b'\\');
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests;
