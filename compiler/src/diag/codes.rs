//! The one table of diagnostic codes.

use super::Severity::{self, Error};

/// A kind of finding. Its number is never reused.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code {
    /// `LK` and four digits.
    pub id: &'static str,
    /// A stable name, as written in the `[lints]` of `latchkey.toml`.
    pub slug: &'static str,
    /// The severity before lint levels.
    pub severity: Severity,
    /// What it is about, without a full stop.
    pub title: &'static str,
    /// The explanation, in Markdown, with a failing and a fixed example.
    pub page: &'static str,
}

/// The code with this id (`LK0014`) or slug (`unknown-key`).
pub fn find(id_or_slug: &str) -> Option<&'static Code> {
    TABLE
        .iter()
        .copied()
        .find(|code| code.id == id_or_slug || code.slug == id_or_slug)
}

macro_rules! codes {
    ($($name:ident = $id:literal, $slug:literal, $severity:expr, $title:literal;)+) => {
        $(
            #[doc = $title]
            pub static $name: Code = Code {
                id: $id,
                slug: $slug,
                severity: $severity,
                title: $title,
                page: include_str!(concat!("../codes/", $id, ".md")),
            };
        )+

        /// Every code, in the order of the ids.
        pub static TABLE: &[&Code] = &[$(&$name),+];
    };
}

// A new check costs three things, and nothing else has to be touched:
//   1. a row here, in the order of the ids. Ranges: 0xxx YAML and shape, 1xxx names and
//      references, 2xxx surface coverage, 3xxx roles, bindings, privilege, 4xxx conditions,
//      5xxx argument schemas and limits, 6xxx matrices, 7xxx build, bundle, signature, diff;
//   2. the check, which emits `Diagnostic::new(&codes::THE_NAME, span, message)`;
//   3. a page `compiler/src/codes/LKnnnn.md`: what it means, why it matters, a failing example
//      and the fixed one. How examples are written is described in `diag::examples`; a test
//      compiles them: the first must emit exactly this code at the marked line, the second none.
codes! {
    UNREADABLE_FILE = "LK0001", "unreadable-file", Error, "A file of the project cannot be read";
    NOT_UTF8 = "LK0002", "not-utf8", Error, "A file is not UTF-8";
    FILE_TOO_LARGE = "LK0003", "file-too-large", Error, "A file is larger than 4 MiB";
    YAML_SYNTAX = "LK0004", "yaml-syntax", Error, "A file is not well-formed YAML";
    YAML_ANCHOR = "LK0005", "yaml-anchor", Error, "An anchor, alias or merge key is used";
    YAML_TAG = "LK0006", "yaml-tag", Error, "A YAML tag is used";
    YAML_DOCUMENTS = "LK0007", "yaml-documents", Error, "A file has several documents or a directive";
    FORBIDDEN_CHARACTER = "LK0008", "forbidden-character", Error,
        "A character is used that readers do not see or do not agree on";
    DUPLICATE_KEY = "LK0009", "duplicate-key", Error, "A map says the same key twice";
    NULL_VALUE = "LK0010", "null-value", Error, "A key has no value";
    AMBIGUOUS_VALUE = "LK0011", "ambiguous-value", Error,
        "A plain value is read differently by different YAML versions";
    TOO_DEEP = "LK0012", "too-deep", Error, "Values are nested deeper than 64 levels";
    UNKNOWN_SECTION = "LK0013", "unknown-section", Error, "A section does not exist";
    UNKNOWN_KEY = "LK0014", "unknown-key", Error, "A key does not exist";
    MISSING_KEY = "LK0015", "missing-key", Error, "A mandatory key is missing";
    WRONG_TYPE = "LK0016", "wrong-type", Error, "A value has the wrong type";
    BAD_VALUE = "LK0017", "bad-value", Error, "A value is not one of those allowed here";
    BAD_NAME = "LK0018", "bad-name", Error, "A name has characters that names may not have";
    EMPTY_LIST = "LK0019", "empty-list", Error, "A list is empty";
    NOT_ENFORCED = "LK0020", "not-enforced-in-this-version", Error,
        "A key is reserved for something that this version does not enforce";
    DUPLICATE_ENTRY = "LK0021", "duplicate-entry", Error,
        "One section has the same name twice";
    CONFLICTING_KEYS = "LK0022", "conflicting-keys", Error,
        "Keys contradict each other, or one needs another";
    BAD_PROJECT_FILE = "LK0023", "bad-project-file", Error,
        "The project file is missing or is not TOML";
    NOTHING_INCLUDED = "LK0024", "nothing-included", Error, "An include glob matches no file";
    BAD_EXPECT_TABLE = "LK0025", "bad-expect-table", Error,
        "The table of expected outcomes does not fit its callers and calls";
    BAD_LOCK_FILE = "LK0026", "bad-json-file", Error,
        "A lock file or key file is missing or malformed";
    REPEATED_ITEM = "LK0027", "repeated-item", Error, "A list says the same thing twice";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_rise_and_slugs_are_unique() {
        let ids: Vec<_> = TABLE.iter().map(|code| code.id).collect();
        assert!(
            ids.is_sorted_by(|a, b| a < b),
            "the table is sorted by id: {ids:?}"
        );
        let slugs: BTreeSet<_> = TABLE.iter().map(|code| code.slug).collect();
        assert_eq!(slugs.len(), TABLE.len());
        for code in TABLE {
            let digits = code.id.strip_prefix("LK").unwrap();
            assert!(
                digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()),
                "{code:?}"
            );
            assert!(
                code.slug
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit())
            );
            assert!(!code.title.ends_with('.'));
        }
    }

    #[test]
    fn every_page_opens_with_its_code_and_says_why() {
        for code in TABLE {
            let heading = format!("# {}: {}\n", code.id, code.slug);
            assert!(
                code.page.starts_with(&heading),
                "{} must start with {heading:?}",
                code.id
            );
            assert!(code.page.contains("\n## Why it matters\n"), "{}", code.id);
        }
    }

    #[test]
    fn codes_are_found_by_id_and_slug() {
        assert_eq!(find("LK0014").unwrap().slug, "unknown-key");
        assert_eq!(find("unknown-key").unwrap().id, "LK0014");
        assert!(find("LK9999").is_none());
    }
}
