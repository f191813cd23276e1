//! `[upstream]`: connections to the tool server.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, Span, counts, spans};

/// Connections to the tool server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// How long a connection may take to open, with its handshake.
    pub connect_timeout: Span,
    /// The most idle connections that each worker keeps.
    pub max_idle: usize,
    /// The largest answer that is buffered to be filtered, in bytes.
    pub max_filtered: usize,
    /// How often the tool server is asked whether its definitions are still those that were
    /// reviewed.
    pub pins_check: Span,
    /// The authorities that `https://` servers are verified by, in PEM, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate chain that is shown to `https://` servers, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Span::seconds(5),
            max_idle: 128,
            max_filtered: 4 << 20,
            pins_check: Span::seconds(60),
            ca: None,
            certificate: None,
            key: None,
        }
    }
}

impl UpstreamConfig {
    pub(super) fn resolve(&mut self, join: &dyn Fn(&mut PathBuf)) {
        let files = [&mut self.ca, &mut self.certificate, &mut self.key];
        files.into_iter().flatten().for_each(join);
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        spans(&[
            ("[upstream] connect_timeout", self.connect_timeout),
            ("[upstream] pins_check", self.pins_check),
        ])?;
        if self.certificate.is_some() != self.key.is_some() {
            return Err(ConfigError(
                "[upstream] certificate and key belong together: name both files".to_owned(),
            ));
        }
        counts(&[
            ("[upstream] max_idle", self.max_idle, 0, 1 << 16),
            ("[upstream] max_filtered", self.max_filtered, 1024, 1 << 30),
        ])
    }
}
