use super::*;

/// The cursor at `|`: the place, the path, the word, and the siblings.
fn at(text: &str) -> Option<(Place, String, String, String)> {
    let offset = text.find('^').unwrap();
    let before = text.get(..offset).unwrap().to_owned();
    let text = text.replacen('^', "", 1);
    let cursor = cursor(&text, offset)?;
    let word = before.get(cursor.start..).unwrap().to_owned();
    Some((
        cursor.place,
        cursor.path.join("."),
        word,
        cursor.siblings.join(" "),
    ))
}

fn is(text: &str, place: Place, path: &str, word: &str, siblings: &str) {
    let expected = (place, path.to_owned(), word.to_owned(), siblings.to_owned());
    assert_eq!(at(text), Some(expected), "{text}");
}

#[test]
fn keys_of_blocks_are_told_by_indentation() {
    is("^", Place::Key, "", "", "");
    is("ro^", Place::Key, "", "ro", "");
    is("roles:\n  ^", Place::Key, "roles", "", "");
    is("roles:\n  a:\n    al^", Place::Key, "roles.a", "al", "");
    let text = "roles:\n  a:\n    description: x\n    allow:\n      s: [t]\n    in^";
    is(text, Place::Key, "roles.a", "in", "description allow");
    let text = "roles:\n  a:\n    allow:\n      s: [t]\n\n  # c\n  ^\n  c: {}";
    is(text, Place::Key, "roles", "", "a");
    let text = "issuers:\n  i: {}\nroles:\n  a: {}\nser^";
    is(text, Place::Key, "", "ser", "roles");
}

#[test]
fn values_and_items_are_told_from_keys() {
    is("a:\n  b: wo^", Place::Value, "a.b", "wo", "");
    is("a:\n  b: \"wo^", Place::Value, "a.b", "wo", "");
    is("a:\n  b:\n    - wo^", Place::Item, "a.b.[]", "wo", "");
    is("a:\n  b:\n  - x\n  - ^", Place::Item, "a.b.[]", "", "");
    is(
        "a:\n  - k: 1\n    l: 2\n    m^",
        Place::Key,
        "a.[]",
        "m",
        "k l",
    );
    is("a:\n  - k: v^", Place::Value, "a.[].k", "v", "");
    is("a: x # so^", Place::Comment, "", "", "");
    is(
        "a:\n  u: http://x#y^",
        Place::Value,
        "a.u",
        "http://x#y",
        "",
    );
}

#[test]
fn brackets_may_be_open_over_lines() {
    is("a: {b: [x, y^", Place::Item, "a.b.[]", "y", "");
    is("a: {b: [x], c^", Place::Key, "a", "c", "b");
    is("a: {b: [x], c: \"d^", Place::Value, "a.c", "d", "b c");
    is(
        "a:\n  s: {f: {g: [1]},\n    h: [z^",
        Place::Item,
        "a.s.h.[]",
        "z",
        "",
    );
    is("a:\n  - {k: v^", Place::Value, "a.[].k", "v", "k");
    is(
        "a: [\"group:x\", \"group:^",
        Place::Item,
        "a.[]",
        "group:",
        "",
    );
    is("a: {\"k\": ^", Place::Value, "a.k", "", "k");
}

#[test]
fn the_text_of_a_block_is_nobodys() {
    assert_eq!(at("a:\n  b: |\n    roles: ^"), None);
    is("a:\n  b: |\n    roles: x\n  c^", Place::Key, "a", "c", "b");
}

#[test]
fn no_text_is_too_broken() {
    let bits = [
        "a:", " ", "\n", "  ", "- ", "{", "}", "[", "]", "\"", "'", ":", ",", "#", "|", "é", "😀",
        "\r\n", "\\", "-", "b", "\t", "\u{feff}", "&x", "*x", "? ", "---",
    ];
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(bits[usize::try_from(seed >> 33).unwrap() % bits.len()]);
        }
        for (offset, _) in text.char_indices() {
            if let Some(found) = cursor(&text, offset) {
                assert!(text.get(found.start..offset).is_some(), "{text:?} {offset}");
            }
        }
    }
}
