//! What capability tokens are signed with.

use std::io;

use latchkey_gate::capability::CapabilityKeys;

use crate::{config::Config, session};

/// The keys of the settings, or one that this sidecar made for itself and keeps with its state.
/// An error says what is wrong, where, and what to do.
pub(super) fn load(config: &Config) -> Result<CapabilityKeys, String> {
    let own = config.state.directory.join("token.key");
    let path = config.token.key_file.as_ref().unwrap_or(&own);
    let seeds = match session::read_keys(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path == &own => {
            session::make_key(path).and_then(|()| session::read_keys(path))
        }
        read => read,
    };
    let fault = |what: &str| {
        format!(
            "{}: {what}; [token] key_file has one key on each line, as base64 of 32 random bytes: \
             `head -c 32 /dev/urandom | base64`",
            path.display()
        )
    };
    let seeds = seeds.map_err(|error| fault(&error.to_string()))?;
    CapabilityKeys::new(&seeds).ok_or_else(|| fault("it holds no key"))
}
