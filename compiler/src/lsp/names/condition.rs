//! The names in a condition: texts that are compared with what is known of callers and scopes.

use super::Kind;

/// Each name with its kind, and the byte where it starts.
pub(super) fn names(text: &str) -> Vec<(Kind, &str, usize)> {
    let mut found = Vec::new();
    for (start, end) in literals(text) {
        let (Some(name), Some(before), Some(after)) = (
            text.get(start..end),
            text.get(..start - 1),
            text.get(end + 1..),
        ) else {
            continue;
        };
        if let Some(kind) = after_it(after).or_else(|| before_it(before)) {
            found.push((kind, name, start));
        }
    }
    found
}

/// The insides of all texts: from after the opening quote to before the closing one.
fn literals(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(char, usize)> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match open {
            None if matches!(c, '"' | '\'') => open = Some((c, at + 1)),
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some((quote, start)) if c == quote => {
                found.push((start, at));
                open = None;
            }
            None | Some(_) => {}
        }
    }
    found
}

/// `"x" in principal.tags`, and `"x" == principal.name`.
fn after_it(after: &str) -> Option<Kind> {
    let rest = after.trim_start();
    let one = rest.strip_prefix("==").or_else(|| rest.strip_prefix("!="));
    let list = rest.strip_prefix("in ").map(str::trim_start);
    let member = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')));
        kind(text.get(..end.unwrap_or(text.len()))?)
    };
    member(list.or(one)?.trim_start())
}

/// `principal.name == "x"` and `principal.name in ["a", "x"]`.
fn before_it(before: &str) -> Option<Kind> {
    let before = before.trim_end();
    let one = before
        .strip_suffix("==")
        .or_else(|| before.strip_suffix("!="));
    let list = || {
        let (head, items) = before.rsplit_once('[')?;
        let closed = items.contains([']', '(', ')', '&', '|']);
        head.trim_end().strip_suffix(" in").filter(|_| !closed)
    };
    let left = one.or_else(list)?.trim_end();
    let start = left
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .map_or(0, |at| at + 1);
    kind(left.get(start..)?)
}

/// What a member of a caller or scope is compared with.
fn kind(member: &str) -> Option<Kind> {
    let (root, field) = member.split_once('.')?;
    match (root, field) {
        ("principal" | "subject", "name") => Some(Kind::Principal),
        ("principal" | "subject", "tags") => Some(Kind::Tag),
        ("principal" | "subject", "groups") => Some(Kind::Group),
        ("principal" | "subject" | "scope", "organization") => Some(Kind::Organization),
        ("principal" | "subject" | "scope", "team") => Some(Kind::Team),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_compared() {
        let found = |text: &'static str| {
            let names = names(text).into_iter();
            names
                .map(|(kind, name, at)| {
                    assert_eq!(text.get(at..at + name.len()), Some(name));
                    (kind, name)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found(r#""ci" in principal.tags && args.x == "ci" && subject.name != 'bob'"#),
            [(Kind::Tag, "ci"), (Kind::Principal, "bob")]
        );
        assert_eq!(
            found(r#"scope.team in ["a", "b"] || "on-call" in subject.groups"#),
            [
                (Kind::Team, "a"),
                (Kind::Team, "b"),
                (Kind::Group, "on-call")
            ]
        );
        assert_eq!(
            found(r#""acme" == scope.organization"#),
            [(Kind::Organization, "acme")]
        );
        assert_eq!(found(r#"args.name == "a" || args.b in ["c\"", "d"]"#), []);
        assert_eq!(found(r#"principal.name == "unclosed"#), []);
    }
}
