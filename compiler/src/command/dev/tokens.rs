//! Tokens for development: every issuer of the project speaks with the key of this machine.

use std::{fs, path::Path};

use latchkey_engine::index::Algorithm;
use latchkey_gate::{settings::IssuerSettings, token::mint::Mint};
use serde_json::{Map, Value, json};

use super::{Args, Failure, Terminal};
use crate::model::Model;

/// How long a token lives, in seconds: a day of work.
const LIFETIME: i64 = 12 * 60 * 60;

/// Who signs tokens in development.
#[derive(Debug)]
pub(super) struct Issuer(Mint);

impl Issuer {
    /// The key of a file, made on first use, so that tokens outlive a restart.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut seed = [0; 32];
        match fs::read(path) {
            Ok(bytes) if bytes.len() == seed.len() => seed.copy_from_slice(&bytes),
            Ok(_) => {
                return Err(Failure::usage(format!("`{}` is no key", path.display()))
                    .help("remove it; a new one is made"));
            }
            Err(_) => {
                getrandom::fill(&mut seed).map_err(|error| Failure::internal(error.to_string()))?;
                private(path, &seed)?;
            }
        }
        Ok(Self(Mint::from_seed("latchkey-dev", seed)))
    }

    /// Puts its key in the place of every issuer's.
    pub(super) fn take_over(&self, model: &mut Model) {
        for issuer in model.issuers.values_mut() {
            issuer.keys = self.0.jwks();
            issuer.algorithms.insert(Algorithm::EdDsa);
            issuer.max_lifetime = 0;
            issuer.settings = IssuerSettings::default();
        }
    }

    /// Prints a token for each principal that is asked for.
    pub(super) fn show(
        &self,
        model: &Model,
        args: &Args,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        for name in &args.principals {
            if !model.principals.contains_key(name.as_str()) {
                return Err(Failure::usage(format!("there is no principal `{name}`"))
                    .help("name one of the section `principals` after `--as`"));
            }
        }
        for (name, principal) in &model.principals {
            let wanted = args.principals.is_empty() || args.principals.iter().any(|it| it == name);
            let identity = principal.identities.first().filter(|_| wanted);
            let issuer = identity.and_then(|(issuer, _)| model.issuers.get(issuer));
            let (Some((_, subject)), Some(issuer)) = (identity, issuer) else {
                continue;
            };
            let now = super::super::now().0;
            let mut claims = Map::new();
            let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
            claim("iss", issuer.url.value.as_str().into());
            claim("sub", subject.as_str().into());
            claim("aud", json!(issuer.audiences.first()));
            claim("client_id", "latchkey-dev".into());
            claim("jti", format!("dev-{name}").into());
            claim("iat", now.into());
            claim("exp", now.saturating_add(LIFETIME).into());
            if let Some(groups) = &issuer.groups_claim {
                claim(groups, json!(args.groups));
            }
            writeln!(
                terminal.out,
                "dev: token of {name}: {}",
                self.0.sign(&claims)
            )?;
        }
        Ok(())
    }
}

/// Writes a file that only its owner can read.
fn private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = fs::OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::file("write", path, &error))
}
