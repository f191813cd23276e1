//! The one table of diagnostic codes.

use super::Severity::{self, Error, Note, Warning};

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
    BAD_SUPPRESSION = "LK0028", "bad-suppression", Error, "A suppression comment is malformed";
    UNUSED_SUPPRESSION = "LK0029", "unused-suppression", Warning,
        "A suppression comment silences nothing";
    EMPTY_PROJECT = "LK0030", "empty-project", Warning, "A project has no entry at all";
    POLICY_NOT_READ = "LK0031", "policy-not-read", Warning,
        "A file that looks like a part of the policy is not read";
    UNKNOWN_SCOPE = "LK1001", "unknown-scope", Error, "An organization or team does not exist";
    UNKNOWN_ISSUER = "LK1002", "unknown-issuer", Error, "An issuer does not exist";
    UNKNOWN_ROLE = "LK1003", "unknown-role", Error, "A role does not exist";
    UNKNOWN_GROUP = "LK1004", "unknown-group", Error, "A group does not exist";
    UNKNOWN_PRINCIPAL = "LK1005", "unknown-principal", Error, "A principal does not exist";
    UNKNOWN_TAG = "LK1006", "unknown-tag", Error, "No principal has the tag";
    UNKNOWN_SERVER = "LK1007", "unknown-server", Error, "A server does not exist";
    UNKNOWN_SURFACE = "LK1008", "unknown-surface", Error,
        "A tool, prompt, resource or route does not exist";
    UNKNOWN_OPERATION = "LK1009", "unknown-operation", Error, "An operation does not exist";
    UNKNOWN_ARGUMENT = "LK1010", "unknown-argument", Error, "An argument does not exist";
    DUPLICATE_IDENTITY = "LK1011", "duplicate-identity", Error,
        "Two principals have the same identity";
    DUPLICATE_ID = "LK1012", "duplicate-id", Error,
        "Two organizations or teams have the same id";
    FOREIGN_IDENTITY = "LK1013", "foreign-identity", Error,
        "A principal lies outside the organizations of its issuer";
    RESERVED_NAME = "LK1014", "reserved-name", Error, "A name means something else already";
    DUPLICATE_ISSUER = "LK1015", "duplicate-issuer", Error,
        "Two issuers sign with the same `iss`";
    DUPLICATE_CLAIM = "LK1016", "duplicate-claim", Error,
        "One claim value makes two groups";
    NO_GROUP_CLAIM = "LK1017", "no-group-claim", Error,
        "A group comes from an issuer whose tokens list no groups";
    UNKNOWN_RULE = "LK1018", "unknown-rule", Error, "A rule does not exist";
    BAD_KEYS = "LK1019", "bad-keys", Error, "The keys of an issuer cannot be used";
    UNUSED_GROUP = "LK1020", "unused-group", Warning, "Nothing names a group";
    GROUP_OF_NOBODY = "LK1021", "group-of-nobody", Warning, "Nobody can be in a group";
    PRINCIPAL_WITHOUT_GRANT = "LK1022", "principal-without-grant", Warning,
        "No binding gives a principal anything";
    ORGANIZATION_WITHOUT_ID = "LK1023", "organization-without-id", Warning,
        "An organization has no id";
    AGENT_WITHOUT_OWNER = "LK1024", "agent-without-owner", Warning, "Nobody answers for an agent";
    UNFIT_OWNER = "LK1025", "unfit-owner", Warning, "An owner cannot answer for anything";
    PRINCIPAL_EXPIRED = "LK1026", "principal-expired", Warning, "A principal can no longer call";
    UNLIMITED_TOKEN_LIFETIME = "LK1027", "unlimited-token-lifetime", Warning,
        "Tokens are accepted however long they live";
    UNUSED_ISSUER = "LK1028", "unused-issuer", Warning, "No principal comes from an issuer";
    UNKNOWN_SCHEDULE = "LK1029", "unknown-schedule", Error, "A schedule does not exist";
    UNKNOWN_ZONE = "LK1030", "unknown-zone", Error, "A time zone does not exist";
    UNUSED_SCHEDULE = "LK1031", "unused-schedule", Warning, "No condition names a schedule";
    SCHEDULE_ENDS_SOON = "LK1032", "schedule-ends-soon", Warning,
        "A schedule is worked out for less than 90 days more";
    EMPTY_SCHEDULE = "LK1033", "empty-schedule", Error, "A schedule is never on";
    SCHEDULE_TOO_LARGE = "LK1034", "schedule-too-large", Error,
        "A schedule is worked out for too long or has too many windows";
    DESTRUCTIVE_PUBLIC = "LK2001", "destructive-public", Error,
        "A destructive surface is public";
    SAME_PATTERN = "LK2002", "same-pattern", Error,
        "Two surfaces match the same requests";
    MIXED_UNLOCK = "LK2003", "mixed-unlock", Error,
        "Operations of one surface need different unlocks";
    SCOPE_OUTSIDE_SERVER = "LK2004", "scope-outside-server", Error,
        "A scope map leads outside the server's scope";
    SURFACE_NOT_ENFORCEABLE = "LK2005", "surface-not-enforceable", Error,
        "A surface cannot be enforced as it is declared";
    RISK_UNDERSTATED = "LK2006", "risk-understated", Warning,
        "A tool seems to do more than its risk says";
    PUBLIC_WRITE = "LK2007", "public-write", Warning, "Anybody may change something";
    CLEARTEXT_UPSTREAM = "LK2008", "cleartext-upstream", Warning,
        "Calls travel to the upstream in clear text";
    SCOPE_MAP_INCOMPLETE = "LK2009", "scope-map-incomplete", Warning,
        "A scope map leaves out a value that the schema allows";
    SCOPE_MAP_CATCH_ALL = "LK2010", "scope-map-catch-all", Warning, "A scope map maps every value";
    EMPTY_SERVER = "LK2011", "empty-server", Warning, "A server has nothing that can be called";
    UNREACHABLE_SURFACE = "LK2012", "unreachable-surface", Warning, "No grant reaches a surface";
    NEEDS_REVIEW = "LK2013", "needs-review", Warning, "Nobody has reviewed an imported surface";
    OVERLAPPING_PATHS = "LK2014", "overlapping-paths", Warning,
        "Two paths match the same requests, and neither is narrower";
    ROLE_CYCLE = "LK3001", "role-cycle", Error, "Roles inherit each other in a circle";
    DESTRUCTIVE_IN_ALLOW = "LK3002", "destructive-in-allow", Error,
        "`allow` names a destructive surface";
    NOT_DESTRUCTIVE = "LK3003", "not-destructive", Error,
        "`destructive` names a surface that is not";
    DESTRUCTIVE_SELECTOR = "LK3004", "destructive-selector", Error,
        "A selector asks for all destructive surfaces";
    SELECTS_NOTHING = "LK3005", "selects-nothing", Error, "A selector matches no surface";
    GROUP_OUTSIDE = "LK3006", "group-outside-its-scope", Error,
        "A group is bound outside its `within`";
    CROSS_ORGANIZATION = "LK3007", "cross-organization", Error,
        "A binding reaches into another organization without saying so";
    TYPE_GETS_DESTRUCTIVE = "LK3008", "type-gets-destructive", Error,
        "All callers of a type would get a destructive surface";
    DATES_REVERSED = "LK3009", "dates-reversed", Error, "A period ends before it begins";
    UNSCOPED_BELOW = "LK3010", "unscoped-below-server", Error,
        "An unscoped surface is bound only below its server's scope";
    TOO_MANY_OBLIGATIONS = "LK3011", "too-many-obligations", Error,
        "A surface would carry more than 64 obligations";
    UNUSED_ROLE = "LK3012", "unused-role", Warning, "Nobody holds a role";
    INHERITED_ALREADY = "LK3013", "inherited-already", Warning,
        "A role says what it inherits anyway";
    BINDING_EXPIRED = "LK3014", "binding-expired", Warning, "A binding has expired";
    BINDING_EXPIRES_SOON = "LK3015", "binding-expires-soon", Warning,
        "A binding expires within 30 days";
    REDUNDANT_BINDING = "LK3016", "redundant-binding", Warning,
        "A binding adds nothing to another one";
    AGENT_HOLDS_DESTRUCTIVE = "LK3017", "agent-holds-destructive", Warning,
        "An agent may call a destructive surface";
    GRANT_TO_SUSPENDED = "LK3018", "grant-to-suspended", Warning,
        "A suspended principal keeps a grant";
    WILDCARD_FOR_ONE = "LK3019", "wildcard-for-one", Warning, "A selector means one surface";
    RULE_OF_NOBODY = "LK3020", "rule-of-nobody", Warning, "A rule speaks of nobody";
    RULE_ON_UNREACHABLE = "LK3021", "rule-on-unreachable", Warning, "A rule can never apply";
    RULE_EXPIRED = "LK3022", "rule-expired", Warning, "A rule has expired";
    SHADOWED_RULE = "LK3023", "shadowed-rule", Warning,
        "A rule denies nothing that another one does not";
    CONTRADICTING_RULES = "LK3024", "contradicting-rules", Warning,
        "Two rules leave nothing of a grant between them";
    RULE_NEVER_BINDS = "LK3025", "rule-never-binds", Warning,
        "A rule asks nothing of any call that is allowed";
    IDLE_BINDING = "LK3026", "idle-binding", Warning, "Nothing that a binding gives can be used";
    ACTIVATION_ONLY = "LK3027", "activation-only", Warning,
        "Only an activation makes a binding usable";
    WIDE_BINDING = "LK3028", "wide-binding", Warning,
        "A binding reaches more surfaces than the project allows";
    WIDE_SELECTOR = "LK3029", "wide-selector", Warning,
        "A wildcard means more surfaces than the project allows";
    CONDITION_SYNTAX = "LK4001", "condition-syntax", Error, "A condition cannot be read";
    CONDITION_TOO_LARGE = "LK4002", "condition-too-large", Error,
        "A condition is too long or too deep";
    CONDITION_UNSUPPORTED = "LK4003", "condition-unsupported", Error,
        "A condition uses a part of CEL that cannot be analysed";
    CONDITION_LITERAL = "LK4004", "condition-literal", Error,
        "A literal of a condition cannot be held exactly";
    CONDITION_PATTERN = "LK4005", "condition-pattern", Error,
        "A regular expression is not one that is allowed";
    CONDITION_UNANCHORED = "LK4006", "condition-unanchored", Error,
        "A regular expression is not anchored";
    UNKNOWN_ATTRIBUTE = "LK4007", "unknown-attribute", Error,
        "A condition reads what does not exist";
    MAY_BE_ABSENT = "LK4008", "may-be-absent", Error,
        "A condition reads what may be absent";
    CONDITION_TYPE = "LK4009", "condition-type", Error,
        "A test does not fit the type of what it reads";
    CONDITION_UNTYPED = "LK4010", "condition-untyped", Error,
        "A condition reads what has no single type";
    IMPOSSIBLE_VALUE = "LK4011", "impossible-value", Error,
        "A text is compared with a value that it never has";
    OUTSIDE_ELEMENT = "LK4012", "outside-element", Error,
        "`all` or `exists` reads something else than its element";
    CONDITION_AMBIGUOUS = "LK4013", "condition-ambiguous", Error,
        "A condition does not mean the same on all its surfaces";
    OPEN_BLOCKLIST = "LK4014", "open-blocklist", Warning, "A deny lists values of an open text";
    CONDITION_ALWAYS_TRUE = "LK4015", "condition-always-true", Warning,
        "A condition holds for every call";
    CONDITION_NEVER_TRUE = "LK4016", "condition-never-true", Warning,
        "A condition holds for no call";
    BAD_SCHEMA = "LK5001", "bad-schema", Error, "An argument schema cannot be enforced";
    SCHEMA_TWICE = "LK5002", "schema-twice", Error,
        "A tool has a schema both inline and in the lock";
    NOT_IN_LOCK = "LK5003", "not-in-lock", Error, "The lock does not have the tool, prompt or route";
    MISSING_SCHEMA = "LK5004", "missing-schema", Error,
        "A surface whose arguments are read has no schema";
    ARGUMENT_OPTIONAL = "LK5005", "argument-optional", Error,
        "The argument that names a scope or an operation may be absent";
    ARGUMENT_NOT_TEXT = "LK5006", "argument-not-text", Error,
        "The argument that names a scope or an operation is not text";
    OPERATION_NOT_IN_SCHEMA = "LK5007", "operation-not-in-schema", Error,
        "The schema never allows an operation's value";
    BAD_FACT = "LK5008", "bad-argument-fact", Error,
        "A fact about an argument does not fit its schema";
    NEVER_FOLDED = "LK5009", "never-after-fold", Error,
        "A value is not in the form that the fold gives";
    TOOL_WITHOUT_SCHEMA = "LK5010", "tool-without-schema", Warning, "A tool has no argument schema";
    OPEN_SCHEMA = "LK5011", "open-schema", Warning, "A schema lets unknown arguments pass";
    LIMIT_NEVER_BINDS = "LK5012", "limit-never-binds", Warning, "A rate never binds";
    NOT_PINNED = "LK5013", "not-pinned", Warning,
        "A tool has no pin, although its server has a lock";
    PLAINTEXT_SECRET = "LK5014", "plaintext-secret", Warning, "A text looks like a secret";
    SCHEMA_KEYWORD = "LK5015", "schema-keyword", Warning,
        "A schema has a keyword that does not exist";
    UNKNOWN_OUTCOME = "LK6001", "unknown-outcome", Error, "A cell expects no outcome of a call";
    MATRIX_WITHOUT_DENIAL = "LK6002", "matrix-without-denial", Warning,
        "A matrix expects no denial";
    UNTESTED_SURFACE = "LK6003", "untested-surface", Warning, "No row of a matrix calls a surface";
    UNTESTED_SERVER = "LK6004", "untested-server", Warning, "No matrix tests a server";
    CLAIM_VALUE_OF_NOTHING = "LK6005", "claim-value-of-nothing", Warning,
        "A caller of a matrix carries a claim value that no group comes from";
    NOT_ENFORCEABLE = "LK7001", "bundle-not-enforceable", Error,
        "The compiled bundle would not open";
    GIT_UNAVAILABLE = "LK7002", "git-unavailable", Error, "Git cannot be asked for a revision";
    UNKNOWN_REVISION = "LK7003", "unknown-revision", Error, "A Git revision does not exist here";
    NOT_IN_REVISION = "LK7004", "not-in-revision", Error,
        "A Git revision does not hold the project";
    REVISION_INCOMPLETE = "LK7005", "revision-incomplete", Error,
        "A Git revision is not here as a whole";
    NOT_IN_POLICY = "LK7006", "not-in-policy", Error, "What is asked about is not in the policy";
    LOG_BROKEN = "LK7007", "audit-log-broken", Error,
        "An audit log has a line that is no event, or breaks the chain";
    NOT_NARROWED = "LK7008", "not-narrowed", Error,
        "A project cannot be narrowed to what was used";
    ANALYSIS_SKIPPED = "LK7009", "analysis-skipped", Note,
        "Some entries were not compared with the policy without them";
    BAD_IMPORT = "LK7010", "bad-import", Error, "What is to be imported cannot be read";
    IMPORT_CLASH = "LK7011", "import-clash", Error,
        "An imported entry is there already and says something else";
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
