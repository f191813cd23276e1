//! Tool servers that the sidecar runs itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{ConfigError, Span};

/// Where and within which limits a tool server runs; what runs is in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdioConfig {
    /// Its working directory; absent means that of the sidecar.
    pub directory: Option<PathBuf>,
    /// The most sessions at a time; each is a process of its own.
    pub sessions: usize,
    /// The most sessions of one caller. One who opens more loses the one idle longest.
    pub sessions_each: usize,
    /// After how long without any use a session ends.
    pub idle_timeout: Span,
    /// How long a program may take to start, when it is first asked what it speaks.
    pub start_timeout: Span,
    /// How long it may take to end once its input has, and again once it was asked to.
    pub grace: Span,
    /// The most requests that one process works on.
    pub requests: usize,
    /// The longest message in either direction, in bytes; as much may wait in each queue.
    pub message: usize,
    /// The most open files of a process.
    pub open_files: u64,
    /// The most address space of a process, in bytes; absent means no limit of its own.
    pub memory: Option<u64>,
    /// The most processor time of a process; absent means no limit of its own.
    pub cpu: Option<Span>,
}

impl Default for StdioConfig {
    fn default() -> Self {
        Self {
            directory: None,
            sessions: 32,
            sessions_each: 8,
            idle_timeout: Span(Duration::from_mins(15)),
            start_timeout: Span(Duration::from_secs(30)),
            grace: Span(Duration::from_secs(2)),
            requests: 256,
            message: 4 << 20,
            open_files: 1024,
            memory: None,
            cpu: None,
        }
    }
}

impl StdioConfig {
    pub(super) fn resolve(&mut self, base: &Path) {
        if let Some(directory) = &mut self.directory {
            *directory = base.join(&*directory);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("sessions", self.sessions, 1, 4096),
            ("sessions_each", self.sessions_each, 1, self.sessions),
            ("requests", self.requests, 1, 65_536),
            ("message", self.message, 1 << 10, 1 << 30),
        ];
        for (key, value, low, high) in counts {
            if value < low || value > high {
                return Err(ConfigError(format!(
                    "[stdio] {key} is {value}: it must be between {low} and {high}"
                )));
            }
        }
        let spans = [
            ("idle_timeout", self.idle_timeout),
            ("start_timeout", self.start_timeout),
            ("grace", self.grace),
        ];
        for (key, span) in spans {
            if span.0 < Duration::from_millis(10) {
                let fault = format!("[stdio] {key} must be at least 10ms");
                return Err(ConfigError(fault));
            }
        }
        if self.grace.0 > Duration::from_secs(20) {
            return Err(ConfigError("[stdio] grace is at most 20s".to_owned()));
        }
        if self.open_files < 16 {
            return Err(ConfigError(
                "[stdio] open_files must be at least 16: a process needs some to start".to_owned(),
            ));
        }
        let directory = self.directory.as_ref();
        if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
            return Err(ConfigError(format!(
                "[stdio] directory = \"{}\" is no folder: create it, or name another",
                directory.display()
            )));
        }
        Ok(())
    }
}
