//! Keys that are reserved: they belong to the language, and nothing enforces them yet.
//!
//! This is the whole list. A key leaves it in the change that enforces the key.

/// One reserved key.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// The noun of the record that it belongs to; `file` for a whole section.
    pub noun: &'static str,
    /// The key.
    pub key: &'static str,
    /// What it is reserved for, as the end of "reserved for".
    pub what: &'static str,
}

/// What `key` of a record is reserved for, if it is.
pub fn reason(noun: &str, key: &str) -> Option<&'static str> {
    // The four kinds of surface share their keys.
    let noun = if matches!(noun, "prompt" | "resource" | "route") {
        "tool"
    } else {
        noun
    };
    let row = RESERVED
        .iter()
        .find(|row| row.noun == noun && row.key == key);
    row.map(|row| row.what)
}

/// Every reserved key.
pub const RESERVED: &[Reserved] = &[
    row("file", "secrets", "sealed secrets"),
    row("file", "redactions", "redaction of answers"),
    row("file", "budgets", "cost budgets"),
    row("file", "breakGlass", "break-glass procedures"),
    row("file", "egress", "outbound calls of a server"),
    row(
        "organization",
        "claims",
        "organizations named by a token claim",
    ),
    row("organization", "region", "data residency"),
    row("organization", "defaults", "defaults of an organization"),
    row("organization", "budgets", "cost budgets"),
    row("team", "region", "data residency"),
    row("team", "defaults", "defaults of a team"),
    row("team", "budgets", "cost budgets"),
    row(
        "claim mapping",
        "organization",
        "organizations named by a token claim",
    ),
    row(
        "server",
        "credentials",
        "credentials that the sidecar injects",
    ),
    row("server", "egress", "outbound calls of a server"),
    row("server", "region", "data residency"),
    row("server", "workload", "the workload that a server runs as"),
    row("server", "cost", "cost budgets"),
    row("server", "budgets", "cost budgets"),
    row("tool", "cost", "cost budgets"),
    row("tool", "token", "token binding"),
    row(
        "tool",
        "credentials",
        "credentials that the sidecar injects",
    ),
    row("tool", "egress", "outbound calls of a server"),
    row("tool", "redact", "redaction of answers"),
    row("requirement", "approval", "approvals"),
    row("requirement", "budget", "cost budgets"),
    row("requirement", "redact", "redaction of answers"),
    row("requirement", "audit", "audit levels by rule"),
    row("requirement", "binding", "token binding"),
    row("requirement", "token", "token binding"),
    row(
        "requirement",
        "credentials",
        "credentials that the sidecar injects",
    ),
];

/// Values that are reserved: the noun of the value, its spelling, what for.
pub const RESERVED_VALUES: &[Reserved] = &[
    row("unlock", "approval", "approvals"),
    row("binding", "dpop", "tokens bound to a key of their caller"),
];

const fn row(noun: &'static str, key: &'static str, what: &'static str) -> Reserved {
    Reserved { noun, key, what }
}
