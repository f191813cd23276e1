//! An opened bundle with everything that enforcing it needs, built once and off to the side.

use std::fmt;

use latchkey_engine::{bundle::OpenError, id::ServerId, policy::Policy};

use crate::{
    route::Routes,
    schema::{self, SchemaError, Validator},
};

/// One slice of a bundle in force.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    digest: String,
    validators: Vec<Validator>,
    routes: Routes,
}

/// Why bytes cannot be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateError {
    /// The slice is no bundle.
    Policy(OpenError),
    /// An argument schema cannot be enforced; its position in the slice.
    Schema(usize, SchemaError),
    /// What is wrong with the surface of this name.
    Surface(String, &'static str),
    /// The key set of the issuer of this name cannot be used.
    Keys(String, String),
    /// The places file does not belong to anything that can be read.
    Places(String),
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => write!(
                f,
                "not a bundle slice: {} at byte {}",
                error.what, error.offset
            ),
            Self::Schema(at, error) => write!(f, "argument schema {at}: {error}"),
            Self::Surface(name, what) => write!(f, "surface {name}: {what}"),
            Self::Keys(issuer, what) => write!(f, "the keys of issuer {issuer}: {what}"),
            Self::Places(what) => write!(f, "the places file: {what}"),
        }
    }
}

impl std::error::Error for GateError {}

impl Gate {
    /// Opens a slice, and the places of its rules and bindings when they are at hand.
    pub fn open(slice: &[u8], places: Option<&[u8]>) -> Result<Self, GateError> {
        let _ = places;
        let policy = Policy::open(slice).map_err(GateError::Policy)?;
        let mut validators = Vec::with_capacity(policy.index().schemas.len());
        for (at, text) in policy.index().schemas.iter().enumerate() {
            validators.push(schema::compile(text).map_err(|error| GateError::Schema(at, error))?);
        }
        let routes = Routes::build(policy.index())?;
        Ok(Self {
            digest: hex(&policy.digest()),
            policy,
            validators,
            routes,
        })
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The SHA-256 of the slice, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The server with this name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<ServerId> {
        self.policy.server(name)
    }

    /// The compiled schema at a position of the slice.
    pub(crate) fn validator(&self, at: usize) -> Option<&Validator> {
        self.validators.get(at)
    }

    /// The tables that turn names, URIs and paths into surfaces.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
