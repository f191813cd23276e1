//! The everyday reader says what the library says, or nothing.

use std::{fs, path::Path};

use super::*;
use crate::{
    source::{Folder, Tree},
    testing::Numbers,
};

/// How many edits are made of each file: `LATCHKEY_YAML_EDITS`.
fn edits() -> usize {
    let wanted = std::env::var("LATCHKEY_YAML_EDITS").ok();
    wanted.and_then(|it| it.parse().ok()).unwrap_or(50)
}

/// Whether the text was read without the library; if so, the library has to read the same.
fn is_everyday(text: &str) -> bool {
    let root = parse_everyday(FileId(0), text);
    root.inspect(|it| assert!(is_read_alike(it, FileId(0), text), "{it:#?} in {text:?}"))
        .is_some()
}

/// All YAML files of this repository that are policy.
fn texts() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    for folder in ["policies", "examples", "tests", "demo"] {
        let folder = top.join(folder);
        for path in Folder::new(&folder).paths().unwrap() {
            if Path::new(&path).extension().is_some_and(|it| it == "yaml") {
                let text = fs::read_to_string(folder.join(&path));
                texts.extend(text.map(|it| (path, it)));
            }
        }
    }
    assert!(texts.len() > 80, "{}", texts.len());
    texts
}

#[test]
fn nearly_every_file_is_of_the_everyday_form() {
    let texts = texts();
    let others: Vec<&str> = texts
        .iter()
        .filter(|(_, text)| !is_everyday(text))
        .map(|(path, _)| path.as_str())
        .collect();
    assert!(others.len() * 10 < texts.len(), "{others:#?}");
}

#[test]
fn what_the_everyday_form_is() {
    for text in [
        "a: b\n",
        "\n# c\na: # d\n  b: c d # e\n\n  # f\n  g: h#i:j\n",
        "a:\n- b\n-   c: d\n    e: f\n- - g\n  - h\n-\n  i: j\nk: l\n",
        "a: [b, 'c''d', \"e\\\"f\\n\", {g: h, i: [ ]}] # j\nk: {}\n",
        "a: [b,\n  # c\n    d, # e\n  {f: g,\n   h: i}\n  ]\nj: k\n",
        "a: |\n  b\n\n   c\n\nd: |-\n    e\n\nf: >-\n  g\n  h\ni: >\n  j\n",
        "a:\n  - |\n    b\n  - c\n",
        "- a\n- b: c\n",
        "\"a b\": é\n'c': -1\nd: ./e\n",
        "# a\n\n---\n# b\nc: d\n",
    ] {
        assert!(is_everyday(text), "{text}");
    }
    for text in [
        "",
        "a\n",
        "a: b",
        "a:\n",
        "a: b\n c\n",
        "a: b: c\n",
        "a : b\n",
        "a: &b c\n",
        "a: *b\n",
        "a: !b c\n",
        "--- a: b\n",
        "---\n---\na: b\n",
        " ---\na: b\n",
        "a: b\n...\n",
        "a: b\r\n",
        "a:\tb\n",
        "? a\n: b\n",
        "a: [b\n]\n",
        "a: [b: c]\n",
        "a: {b}\n",
        "a: [b]: c\n",
        "a: 'b\n  c'\n",
        "a: \"\\x41\"\n",
        "a: |2\n   b\n",
        "a: >\n  b\n\n  c\n",
        "a: no\n",
        "a: b\na: c\n",
        "a:\n  b: c\n d: e\n",
        "- a\nb: c\n",
        "a: [b, , c]\n",
        "a: b #c\n  d\n",
        "a: \"b\"#c\n",
        "a: [b c\n  d]\n",
        "a: \u{202e}b\n",
    ] {
        assert!(!is_everyday(text), "{text}");
    }
}

/// Keys, with `¦` between them; the ones that are often refused come last.
const KEYS: &str = "\
    a¦b¦c-d¦e_f¦g.h¦i/j¦k l¦m#n¦o:p¦1¦-q¦.r¦é¦'s t'¦\"u\\n\"¦...¦[v]¦w ¦\"x\":y¦?¦? z¦<<¦-¦";
/// The same of values.
const VALUES: &str = "\
    a¦b c¦d:e¦f#g¦-1¦12¦1.5¦true¦'i''j'¦\"k\\\"\\\\\"¦[]¦{}¦[a, b]¦{a: b}¦\
    {a: [b, {c: d}], 'e': \"f\"}¦[a ,b]¦[a,]¦[ a b , c d ]¦{ a b : c }¦{a: b c, d: e:f}¦\
    [[[]]]¦[{}, {a: {}}]¦'a'¦\"\"¦''¦^a$¦(a)¦+a¦/a/¦a,b¦a]b¦a  b¦a?b¦ä ö¦a\u{a0}b¦<a¦$a¦\
    a @b¦a'b¦a\"b¦a - b¦a & b¦*a*¦{a:b}¦{\"a\":b}¦{\"a\": b}¦{'a' : b}¦[a,b#]¦[a #b¦\
    [-a, -1, - c]¦[:a]¦[a:]¦{a: ,}¦[,]¦[a: b]¦[\"a\": b]¦[a]b¦'a' b¦\"a\"b¦\"l\\q\"¦x: y¦x:¦\
    no¦~¦2026-01-01¦*a¦&a b¦!a b¦@a¦`b`¦%c¦?¦?a¦:¦:a¦,¦- h¦]¦}¦=¦<<¦|+¦>1¦\u{fffe}¦\u{85}¦\
    \u{feff}¦'a\n  b'¦[a\n  b]¦[a,\n   b]¦{a: b,\n    c: d}¦\
    [\n      a # b\n      , c\n      ]¦{a:\n     b}¦a\n      b¦\"a\n      b\"";
const COMMENTS: &str = "¦¦¦¦¦ ¦   ¦ # a¦ #¦  # b: 'c¦#d¦\t";
const ENDS: &str = "\n¦\n¦\n¦\n¦\n¦\n\n¦\n  \n¦\n# a\n¦\n        # b\n¦\r\n";

const HEADS: &str = "¦¦¦---\n¦# a\n---\n\n¦ ---\n¦--- # a\n¦---\n---\n";

/// A text that is often a document.
fn document(numbers: &mut Numbers) -> String {
    let mut text = one(numbers, HEADS).to_owned();
    // The columns of the open lists and maps, and whether it is a list.
    let mut open: Vec<(usize, bool)> = vec![(0, numbers.below(4) == 0)];
    for _ in 0..=numbers.below(9) {
        let &(column, list) = open.last().unwrap();
        text.push_str(&" ".repeat(column));
        if list {
            text.push_str(one(numbers, "- ¦- ¦-   ¦-"));
        } else {
            text.push_str(one(numbers, KEYS));
            text.push_str(one(numbers, ": ¦: ¦:   ¦:"));
        }
        let deeper = column + [2, 1, 4, 0][usual(numbers, 4)];
        match numbers.below(8) {
            // What is in it stands below.
            0..=2 => open.push((deeper, numbers.below(3) == 0)),
            3 if list => {
                text.push_str("a: b");
                open.push((column + 2, false));
            }
            4 => {
                text.push_str(one(numbers, "|¦>¦|-¦>-¦|+¦|2"));
                for _ in 0..=numbers.below(3) {
                    text.push_str(one(numbers, "\n¦\n¦\n\n¦\n  \n"));
                    text.push_str(&" ".repeat(deeper + usual(numbers, 3)));
                    text.push_str(one(numbers, "a¦b: c¦# d¦e ¦- f¦"));
                }
                open.truncate(1 + numbers.below(open.len()));
            }
            _ => {
                text.push_str(one(numbers, VALUES));
                open.truncate(1 + numbers.below(open.len()));
            }
        }
        text.push_str(one(numbers, COMMENTS));
        text.push_str(one(numbers, ENDS));
    }
    text
}

/// One of some pieces with `¦` between them.
fn one<'p>(numbers: &mut Numbers, pieces: &'p str) -> &'p str {
    let count = pieces.split('¦').count();
    pieces.split('¦').nth(usual(numbers, count)).unwrap()
}

/// A number of the first half mostly.
fn usual(numbers: &mut Numbers, limit: usize) -> usize {
    let all = numbers.below(12) == 0;
    numbers.below(if all { limit } else { limit.div_ceil(2) })
}

#[test]
fn documents_of_any_kind_are_read_alike() {
    let mut numbers = Numbers::new(1);
    let count = 400 * edits();
    let documents = (0..count).map(|_| document(&mut numbers));
    let alike = documents.filter(|it| is_everyday(it)).count();
    assert!(alike * 10 > count, "only {alike} of {count}");
}

#[test]
fn edited_files_are_read_alike() {
    let parts = [
        "", " ", "  ", "\n", "\n  ", ":", ": ", "- ", "#", " #", "'", "\"", "[", "]", "{", "}",
        ",", "|", ">", "-", "\\", "a", "&", "*", "!", "?", "...", "---", "é", "\u{2028}", "\t",
        "\r",
    ];
    let mut numbers = Numbers::new(1);
    let mut alike = 0;
    for (_, whole) in texts() {
        // A few lines: what is broken elsewhere would hide the edit.
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        for _ in 0..edits() {
            let first = numbers.below(lines.len());
            let few = lines[first..].iter().take(1 + numbers.below(40)).copied();
            let mut text = few.collect::<String>();
            for _ in 0..numbers.below(3) {
                let at = numbers.below(text.len() + 1);
                let until = (at + numbers.below(4)).min(text.len());
                if text.is_char_boundary(at) && text.is_char_boundary(until) {
                    text.replace_range(at..until, parts[numbers.below(parts.len())]);
                }
            }
            alike += usize::from(is_everyday(&text));
        }
    }
    assert!(alike > 500, "{alike}");
}
