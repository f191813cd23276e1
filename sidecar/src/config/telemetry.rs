//! `[telemetry]` and `[log]`: what is told of requests beside the audit log.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::Span;

/// Traces, and how long the stages of a request take. Absent costs nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where spans go, by OTLP over HTTP in JSON: a URL, as a rule ending in `/v1/traces`. Absent
    /// keeps the histograms of stages only.
    pub endpoint: Option<String>,
    /// The file with the bearer token of the collector, read for each batch.
    pub token_file: Option<PathBuf>,
    /// The share of traces that begin here which are exported, from 0 to 1. A trace that a caller
    /// began goes by the caller's mark.
    #[serde(default = "all")]
    pub sample: f64,
    /// The name of this service in traces.
    #[serde(default = "service")]
    pub service: String,
    /// The most requests whose spans wait; the spans of others are dropped and counted.
    #[serde(default = "queue")]
    pub queue: usize,
    /// How long spans wait for a batch to fill.
    #[serde(default = "one_second")]
    pub interval: Span,
    /// How long the collector may take for one batch.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
}

/// The log for operators, on standard error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Lines for people, or JSON objects.
    #[serde(default)]
    pub format: LogFormat,
    /// What is logged, such as `info` or `supply=debug`; `LATCHKEY_LOG` goes before it.
    pub level: Option<String>,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

impl TelemetryConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        if let Some(path) = &mut self.token_file {
            *path = base.join(&*path);
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let fault = |what: &str| Err(what.to_owned());
        if let Some(endpoint) = &self.endpoint {
            let known = endpoint.starts_with("http://") || endpoint.starts_with("https://");
            if !known || endpoint.contains('@') || endpoint.parse::<hyper::Uri>().is_err() {
                return fault(
                    "[telemetry] endpoint is the http(s) URL of a collector, such as \
                     `http://127.0.0.1:4318/v1/traces`, without a user name",
                );
            }
        } else if self.token_file.is_some() {
            return fault(
                "[telemetry] token_file has no use without `endpoint`: set it, or remove",
            );
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return fault("[telemetry] sample is a number from 0 to 1, such as 0.1 for a tenth");
        }
        if self.queue == 0 || self.queue > 1 << 20 {
            return fault("[telemetry] queue must be between 1 and 1048576");
        }
        if self.interval.0.is_zero() || self.timeout.0.is_zero() {
            return fault("[telemetry] interval and timeout must be longer than nothing");
        }
        if self.service.is_empty() {
            return fault("[telemetry] service is empty: name it, or leave the key out");
        }
        Ok(())
    }
}

impl LogConfig {
    /// What is wrong, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.level {
            Some(level) => log_filter_of("[log] level", level).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Reads what is logged from the text of a setting. A word that is no level is refused, because it
/// would be read as a target, and nothing but that be logged.
pub fn log_filter_of(setting: &str, text: &str) -> Result<EnvFilter, String> {
    // An empty word is read as a level, too.
    let is_level = |it: &str| !it.is_empty() && it.parse::<LevelFilter>().is_ok();
    let mut levels = text.split(',').filter_map(|part| part.rsplit('=').next());
    let known = levels.all(is_level);
    let filter = EnvFilter::try_new(text).ok();
    filter.filter(|_| known).ok_or_else(|| {
        format!(
            "{setting} is `{text}`: write a level, which is `off`, `error`, `warn`, `info`, \
             `debug` or `trace`, or targets with levels such as `info,supply=debug`"
        )
    })
}

const fn all() -> f64 {
    1.0
}
fn service() -> String {
    "latchkey-sidecar".to_owned()
}
const fn queue() -> usize {
    2048
}
const fn one_second() -> Span {
    Span(std::time::Duration::from_secs(1))
}
const fn ten_seconds() -> Span {
    Span(std::time::Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_levels() {
        for good in [
            "info",
            "WARN",
            "off",
            "info,supply=debug",
            "supply[x]=trace",
        ] {
            assert!(log_filter_of("[log] level", good).is_ok(), "{good}");
        }
        for bad in ["warning", "INFOO", "", "supply", "supply=verbose", "info,"] {
            let error = log_filter_of("[log] level", bad).unwrap_err();
            let says = format!("[log] level is `{bad}`");
            assert!(error.contains(&says) && error.contains("`warn`"), "{error}");
        }
    }
}
