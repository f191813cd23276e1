//! Asking a live MCP server what it has.
//!
//! The messages are those of [`latchkey_gate::survey`], which the sidecar sends too; here is how
//! they travel.

use std::{fmt, time::Duration};

use latchkey_gate::survey::{Limits, SurveyError};

pub mod http;
pub mod stdio;

/// What the server is told about who asks.
const CLIENT: &str = "latchkey";
/// How long a server may leave a question of the other era without an answer.
const PROBE: Duration = Duration::from_secs(5);
/// How much a server may say.
const LIMITS: Limits = Limits::DEFAULT;

/// Why a server did not say what it has.
#[derive(Debug)]
pub enum McpError {
    /// It cannot be reached, or broke off.
    Unreachable(String),
    /// It took too long.
    TimedOut(Duration),
    /// It was reached, and said something else.
    Survey(SurveyError),
}

impl fmt::Display for McpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be asked: {why}"),
            Self::TimedOut(after) => {
                write!(f, "the server has not said everything within {after:?}")
            }
            Self::Survey(error) => write!(f, "the server {error}"),
        }
    }
}

impl std::error::Error for McpError {}

impl From<SurveyError> for McpError {
    fn from(error: SurveyError) -> Self {
        Self::Survey(error)
    }
}

fn unreachable(error: &dyn std::error::Error) -> McpError {
    // The outermost error of an HTTP client says little; the innermost says what happened.
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    McpError::Unreachable(inner.to_string())
}
