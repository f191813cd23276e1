//! An opened bundle with everything that enforcing it needs, built once and off to the side.

mod profiles;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use latchkey_engine::{
    bundle::{
        OpenError,
        places::{PlaceKind, Places},
    },
    id::{AttributeId, IssuerId, PrincipalId, ServerId, SurfaceId},
    index::Index,
    policy::Policy,
};

use crate::{
    bind, passage,
    route::Routes,
    schema::{self, SchemaError, Validator},
    settings::{IssuerSettings, ServerSettings, Settings, SurfaceSettings},
    token::IssuerProfile,
};

/// One slice of a bundle in force.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    digest: String,
    validators: Vec<Validator>,
    routes: Routes,
    issuers: Vec<IssuerProfile>,
    settings: AllSettings,
    /// Whether any of its routes streams bodies.
    streams: bool,
    places: Option<Places>,
    /// How people write each attribute, as if it were of the arguments.
    attribute_names: Vec<Arc<str>>,
    /// Positions in the identities, sorted by principal; made on first use.
    identities: OnceLock<Vec<(PrincipalId, u32)>>,
}

/// The settings of all entries, by id.
#[derive(Debug)]
struct AllSettings {
    issuers: Vec<IssuerSettings>,
    servers: Vec<ServerSettings>,
    surfaces: Vec<SurfaceSettings>,
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
    /// The settings of the entry of this name cannot be enforced.
    Settings(String, String),
    /// The places file cannot be read.
    Places(OpenError),
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => write!(f, "not a bundle slice: {error}"),
            Self::Schema(at, error) => write!(f, "argument schema {at}: {error}"),
            Self::Surface(name, what) => write!(f, "surface {name}: {what}"),
            Self::Keys(issuer, what) => write!(f, "the keys of issuer {issuer}: {what}"),
            Self::Settings(name, what) => write!(f, "the settings of {name}: {what}"),
            Self::Places(error) => write!(f, "not a places file: {error}"),
        }
    }
}

impl std::error::Error for GateError {}

impl Gate {
    /// Opens a slice, and the places of its rules and bindings when they are at hand.
    pub fn open(slice: &[u8], places: Option<&[u8]>) -> Result<Self, GateError> {
        Self::open_keeping(slice, places, &PlaceKind::ALL)
    }

    /// The same, and keeps the places of these kinds only.
    pub fn open_keeping(
        slice: &[u8],
        places: Option<&[u8]>,
        kinds: &[PlaceKind],
    ) -> Result<Self, GateError> {
        let places = places.map(|bytes| Places::open_of(bytes, kinds));
        let places = places.transpose().map_err(GateError::Places)?;
        let policy = Policy::open(slice).map_err(GateError::Policy)?;
        let mut validators = Vec::with_capacity(policy.index().schemas.len());
        for (at, text) in policy.index().schemas.iter().enumerate() {
            validators.push(schema::compile(text).map_err(|error| GateError::Schema(at, error))?);
        }
        let routes = Routes::build(policy.index())?;
        bind::check_forced(policy.index())?;
        let settings = AllSettings::read(policy.index())?;
        passage::check(&policy, &settings.surfaces)?;
        Ok(Self {
            streams: settings.surfaces.iter().any(|it| it.body.is_some()),
            issuers: profiles::read(policy.index(), &settings.issuers)?,
            settings,
            places,
            identities: OnceLock::new(),
            attribute_names: attribute_names(policy.index()),
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

    /// Where a rule is written, as `file:line:column`.
    #[must_use]
    pub fn rule_place(&self, rule: &str) -> Option<String> {
        self.place(PlaceKind::Rule, rule)
    }

    /// Where a binding is written, as `file:line:column`.
    #[must_use]
    pub fn binding_place(&self, binding: &str) -> Option<String> {
        self.place(PlaceKind::Binding, binding)
    }

    /// Where a role is written, as `file:line:column`.
    #[must_use]
    pub fn role_place(&self, role: &str) -> Option<String> {
        self.place(PlaceKind::Role, role)
    }

    /// Where an entry is written, as `file:line:column`.
    #[must_use]
    pub fn place(&self, kind: PlaceKind, name: &str) -> Option<String> {
        let place = self.places.as_ref()?.find(kind, name)?;
        Some(place.to_string())
    }

    /// What else holds for the tokens of an issuer.
    #[must_use]
    pub fn issuer_settings(&self, issuer: IssuerId) -> Option<&IssuerSettings> {
        self.settings.issuers.get(issuer.index())
    }

    /// What else holds for a server.
    #[must_use]
    pub fn server_settings(&self, server: ServerId) -> Option<&ServerSettings> {
        self.settings.servers.get(server.index())
    }

    /// What else holds for a surface.
    #[must_use]
    pub fn surface_settings(&self, surface: SurfaceId) -> Option<&SurfaceSettings> {
        self.settings.surfaces.get(surface.index())
    }

    /// What each issuer's tokens must look like, in the order of the policy.
    #[must_use]
    pub fn issuers(&self) -> &[IssuerProfile] {
        &self.issuers
    }

    /// The positions of a principal's identities in the policy.
    pub fn identities(&self, principal: PrincipalId) -> impl Iterator<Item = usize> {
        let all = self.identities.get_or_init(|| {
            let identities = &self.policy.index().principals.identities;
            let mut all: Vec<_> = identities
                .iter()
                .zip(0..)
                .map(|((_, principal), at)| (*principal, at))
                .collect();
            all.sort_unstable();
            all
        });
        let start = all.partition_point(|(it, _)| *it < principal);
        let rest = all.get(start..).unwrap_or_default();
        rest.iter()
            .take_while(move |(it, _)| *it == principal)
            .map(|(_, at)| *at as usize)
    }

    /// Whether any route streams bodies.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// How people write an attribute of the arguments.
    pub(crate) fn attribute_name(&self, attribute: AttributeId) -> Option<&Arc<str>> {
        self.attribute_names.get(attribute.index())
    }

    /// The tables that turn names, URIs and paths into surfaces.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }
}

fn attribute_names(index: &Index) -> Vec<Arc<str>> {
    let names = index.attributes.iter();
    names
        .map(|it| bind::attribute_name(&it.path).into())
        .collect()
}

impl AllSettings {
    fn read(index: &Index) -> Result<Self, GateError> {
        Ok(Self {
            issuers: read(index.issuers.iter().map(|it| (&it.name, &it.settings)))?,
            servers: read(index.servers.iter().map(|it| (&it.name, &it.settings)))?,
            surfaces: read(index.surfaces.iter().map(|it| (&it.name, &it.settings)))?,
        })
    }
}

fn read<'a, T: Settings>(
    entries: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<Vec<T>, GateError> {
    let read = |(name, text): (&String, &String)| {
        T::from_text(text).map_err(|error| GateError::Settings(name.clone(), error.to_string()))
    };
    entries.map(read).collect()
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    // Formatting each byte costs twenty times as much, and every audit line has digests; without a
    // table many digits are made at a time.
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'9' - 1);
    let mut out = vec![0; bytes.len() * 2];
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    String::from_utf8(out).unwrap_or_default()
}
