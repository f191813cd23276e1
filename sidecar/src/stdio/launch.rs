//! What is started, and within which limits.

use std::{path::PathBuf, time::Duration};

use crate::config::StdioConfig;

use super::desk::Room;

/// How a child is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program, then its arguments; no shell reads them.
    pub command: Vec<String>,
    /// All variables that it gets: a name, and its value, or `None` for that of the sidecar's own
    /// variable.
    pub environment: Vec<(String, Option<String>)>,
    /// Where and within which limits.
    pub within: StdioConfig,
    /// The longest message, in bytes.
    pub message: usize,
    /// How long an answer may take to begin.
    pub timeout: Duration,
}

/// A variable that a server needs and the sidecar does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset(pub String);

impl Launch {
    /// The program as it is named.
    #[must_use]
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// The variables with their values.
    pub fn variables(&self) -> Result<Vec<(String, std::ffi::OsString)>, Unset> {
        let pair = |(name, value): &(String, Option<String>)| {
            let value = match value {
                Some(value) => value.into(),
                None => std::env::var_os(name).ok_or_else(|| Unset(name.clone()))?,
            };
            Ok((name.clone(), value))
        };
        self.environment.iter().map(pair).collect()
    }

    /// The working directory.
    #[must_use]
    pub fn directory(&self) -> Option<&PathBuf> {
        self.within.directory.as_ref()
    }

    /// How much may wait in a child's correspondence.
    #[must_use]
    pub(super) fn room(&self) -> Room {
        Room {
            bytes: self.message,
            requests: self.within.requests,
            linger: self.timeout,
        }
    }
}
