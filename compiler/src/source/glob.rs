//! The include globs of `latchkey.toml`: `*`, `?` and `**`, nothing else.

/// A pattern over project paths: `*` and `?` stay within one folder, `**` spans folders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        if pattern.starts_with('/') || pattern.contains('\\') {
            return Err("must be relative to the project and use `/`");
        }
        if pattern.contains(['[', ']', '{', '}', '!']) {
            return Err("may use `*`, `?` and `**`, but no classes, alternatives or negation");
        }
        let parts: Vec<_> = pattern.split('/').map(str::to_owned).collect();
        if parts
            .iter()
            .any(|part| part.is_empty() || part == "." || part == "..")
        {
            return Err("has an empty part, `.` or `..`");
        }
        if parts.iter().any(|part| part.contains("**") && part != "**") {
            return Err("may use `**` only as a whole folder name");
        }
        Ok(Self(parts))
    }

    /// Whether the path matches the whole pattern.
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<_> = path.split('/').collect();
        // One row of the usual table: which prefixes of the path the pattern so far can match.
        let mut reached = vec![false; parts.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for pattern in &self.0 {
            reached = step(&reached, &parts, pattern);
        }
        reached.last().copied().unwrap_or(false)
    }

    /// Whether some path below the folder, written without a last slash, can match.
    pub fn reaches(&self, folder: &str) -> bool {
        let parts: Vec<_> = folder.split('/').collect();
        let mut reached = vec![false; parts.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        let whole = |reached: &[bool]| reached.last().copied().unwrap_or(false);
        self.0.iter().any(|pattern| {
            let more = whole(&reached);
            reached = step(&reached, &parts, pattern);
            more || pattern == "**" && whole(&reached)
        })
    }
}

fn step(reached: &[bool], parts: &[&str], pattern: &str) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    let mut spanning = false;
    for (at, slot) in next.iter_mut().enumerate() {
        let here = reached.get(at).copied().unwrap_or(false);
        if pattern == "**" {
            spanning |= here;
            *slot = spanning;
        } else if let Some(before) = at.checked_sub(1) {
            let from = reached.get(before).copied().unwrap_or(false);
            *slot = from
                && parts
                    .get(before)
                    .is_some_and(|part| part_matches(pattern, part));
        }
    }
    next
}

/// Linear-space matching of one path part, with the last `*` as the only point to return to.
fn part_matches(pattern: &str, part: &str) -> bool {
    // Most patterns are a star and an ending.
    if let Some(end) = pattern.strip_prefix('*')
        && !end.contains(['*', '?'])
    {
        return part.ends_with(end);
    }
    let (pattern, part): (Vec<_>, Vec<_>) = (pattern.chars().collect(), part.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < part.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || part.get(t) == Some(&c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_in_a_folder_and_double_stars_span_them() {
        let cases = [
            ("**/*.yaml", "a.yaml", true),
            ("**/*.yaml", "x/y/a.yaml", true),
            ("**/*.yaml", "x/y/a.yml", false),
            ("*.yaml", "x/a.yaml", false),
            ("access/**/*.yaml", "access/a/b.yaml", true),
            ("access/**/*.yaml", "other/access/b.yaml", false),
            ("a?c*e.yaml", "abcde.yaml", true),
            ("a?c*e.yaml", "ac.yaml", false),
            ("servers/**", "servers/github.yaml", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(
                Glob::new(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_folder_is_reached_where_a_path_below_it_can_match() {
        for (pattern, folder, expected) in [
            ("**/*.yaml", "shared", true),
            ("**/*.yaml", "a/shared", true),
            ("*.yaml", "shared", false),
            ("access/**/*.yaml", "shared", false),
            ("access/**/*.yaml", "access/shared", true),
            ("access/*.yaml", "access", true),
            ("access/*.yaml", "access/shared", false),
            ("servers/**", "servers/shared", true),
        ] {
            let found = Glob::new(pattern).unwrap().reaches(folder);
            assert_eq!(found, expected, "{pattern} {folder}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in [
            "/a",
            "a//b",
            "../a",
            "a/**b",
            "{a,b}.yaml",
            "!a",
            "a\\b",
            "",
        ] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_stay_quick() {
        let glob = Glob::new(&"*a".repeat(40)).unwrap();
        assert!(!glob.matches(&"a".repeat(4000).replace("aaaa", "aaab")));
    }
}
