//! One check and what came of it, in words.

use serde::Serialize;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::command) enum Outcome {
    /// It holds.
    Ok,
    /// It does not: a sidecar would refuse.
    Failed,
    /// There is nothing to check.
    NotApplicable,
}

impl Outcome {
    /// How people are told.
    pub(in crate::command) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::NotApplicable => "-",
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub(in crate::command) struct Line {
    /// What is checked; stable.
    pub(in crate::command) check: String,
    /// What came of it.
    pub(in crate::command) outcome: Outcome,
    /// In words.
    pub(in crate::command) detail: String,
}

impl Line {
    pub(super) fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Ok, detail)
    }

    pub(super) fn failed(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Failed, detail)
    }

    pub(super) fn skipped(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::NotApplicable, detail)
    }

    /// A check that holds or does not.
    pub(super) fn of(check: &str, holds: bool, detail: impl Into<String>) -> Self {
        let outcome = if holds { Outcome::Ok } else { Outcome::Failed };
        Self::new(check, outcome, detail)
    }

    fn new(check: &str, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            outcome,
            detail: detail.into(),
        }
    }
}
