//! Bundles and tokens for tests, with keys that everybody knows.

use std::path::Path;

use ed25519_dalek::SigningKey;
use latchkey_engine::{
    bundle,
    index::{Access, Index, Obligation, PrincipalType, Risk, Unlock},
    testing::{BindingEntry, IssuerEntry, PrincipalEntry, SurfaceEntry, Where, Who, World},
    time::{Dates, Time},
};
use latchkey_gate::{
    pin::{ListKind, Pin},
    settings::{PinMode, ServerSettings, Settings as _, SurfaceSettings},
    supply::{self, Statement, Subject, TrustRoot, dsse},
    token::mint::Mint,
};
use serde_json::{Value, json};

/// The secret of the test's issuer.
const ISSUER: [u8; 32] = [7; 32];

/// A release of the test policy.
pub(crate) struct Release {
    pub(crate) version: u64,
    /// How long the server may take until its answer begins, in milliseconds.
    pub(crate) timeout: u32,
    /// Largest request body, in bytes.
    pub(crate) max_body: u32,
    /// Whether bob may call `get_issue`.
    pub(crate) bob: bool,
    /// Whose key signs: 9 is trusted, 0 signs nothing.
    pub(crate) signer: u8,
    /// When it ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
    /// What calls of a tool carry.
    pub(crate) limits: Vec<(&'static str, Obligation)>,
    /// What the sidecar starts; empty where it connects.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, Option<String>)>,
    /// The reviewed definitions of tools.
    pub(crate) pins: Vec<(&'static str, Value)>,
    /// What becomes of calls whose definition was not seen.
    pub(crate) pin_mode: PinMode,
    /// What else holds for the server.
    pub(crate) settings: ServerSettings,
    /// What else is in the policy.
    pub(crate) world: fn(&mut World),
    /// What is different in the bundle.
    pub(crate) index: fn(&mut Index),
}

impl Release {
    pub(crate) fn new(version: u64) -> Self {
        Self {
            version,
            timeout: 30_000,
            max_body: 1 << 16,
            bob: false,
            signer: 9,
            not_after: None,
            limits: vec![("paced", Obligation::rate(3, 3600))],
            command: Vec::new(),
            environment: Vec::new(),
            pins: Vec::new(),
            pin_mode: PinMode::Enforce,
            settings: ServerSettings::default(),
            world: |_| {},
            index: |_| {},
        }
    }

    /// Writes the release into `folder/bundle`, and the trust file beside it.
    pub(crate) fn write(&self, folder: &Path, upstream: &str) {
        let directory = folder.join("bundle");
        std::fs::create_dir_all(&directory).unwrap();
        let slice = bundle::encode(&self.index(upstream)).unwrap();
        let statement = self.statement(&slice).encode().unwrap();
        let envelope = dsse::sign(
            dsse::Kind::Statement,
            &statement,
            &[SigningKey::from_bytes(&[self.signer; 32])],
        );
        // Renamed into place, as a careful copy does: the statement last.
        let put = |name: &str, bytes: &[u8]| {
            let aside = directory.join(format!(".{name}"));
            std::fs::write(&aside, bytes).unwrap();
            std::fs::rename(&aside, directory.join(name)).unwrap();
        };
        put("github.lkb", &slice);
        if self.signer == 0 {
            put("release.json", &statement);
        } else {
            put("release.dsse.json", envelope.as_bytes());
        }
        let trust = TrustRoot::of_one_key("acme", "main", "ci", release_key().verifying_key());
        std::fs::write(folder.join("trust.json"), trust.to_json()).unwrap();
    }

    fn statement(&self, slice: &[u8]) -> Statement {
        Statement {
            subjects: vec![Subject::of("github.lkb", slice)],
            release: supply::Release {
                not_after: self.not_after.map(Time),
                ..supply::Release::new("acme", "main", self.version)
            },
        }
    }

    pub(crate) fn index(&self, upstream: &str) -> Index {
        let mut world = self.world();
        (self.world)(&mut world);
        let mut index = world.index();
        index.issuers[0].keys = jwks();
        for server in &mut index.servers {
            upstream.clone_into(&mut server.upstream);
            server.timeout = self.timeout;
            server.max_body = self.max_body;
            let settings = ServerSettings {
                command: self.command.clone(),
                environment: self.environment.iter().cloned().collect(),
                pins: self.pin_mode,
                ..self.settings.clone()
            };
            server.settings = settings.to_text().unwrap();
        }
        for (tool, definition) in &self.pins {
            let pin = Pin::of(ListKind::Tools, definition);
            let mut surfaces = index.surfaces.iter_mut();
            let surface = surfaces.find(|it| it.name == *tool).unwrap();
            surface.settings = SurfaceSettings {
                pin,
                ..SurfaceSettings::default()
            }
            .to_text()
            .unwrap();
        }
        (self.index)(&mut index);
        index
    }

    fn world(&self) -> World {
        let tool = |name: &str| ("github/".to_owned() + name, None);
        let mut bindings = vec![binding("alice", "everything")];
        if self.bob {
            bindings.push(binding("bob", "reader"));
        }
        let names = [
            "get_issue",
            "paced",
            "push_files",
            "slow",
            "steady",
            "stream",
        ];
        let mut surfaces: Vec<SurfaceEntry> = names.iter().map(|name| surface(name)).collect();
        for surface in &mut surfaces {
            let own = self.limits.iter().filter(|(tool, _)| *tool == surface.name);
            surface.obligations = own.map(|(_, limit)| *limit).collect();
        }
        surfaces.push(surface("delete_repository"));
        World {
            organizations: vec![("acme".to_owned(), vec!["payments".to_owned()])],
            issuers: vec![issuer("idp")],
            principals: vec![principal("alice"), principal("bob")],
            servers: vec![("github".to_owned(), "acme".to_owned())],
            surfaces,
            roles: vec![
                (
                    "everything".to_owned(),
                    names.iter().map(|n| tool(n)).collect(),
                ),
                ("reader".to_owned(), vec![tool("get_issue")]),
            ],
            bindings,
            ..World::default()
        }
    }
}

/// A token of the test's issuer.
pub(crate) fn token(subject: &str) -> String {
    minted(subject, 600)
}

/// A token that has this many seconds to live.
pub(crate) fn minted(subject: &str, seconds: i64) -> String {
    let now = now();
    signed(&json!({
        "iss": "https://idp.example", "sub": subject, "aud": "https://tools.example",
        "client_id": "test", "iat": now.min(now + seconds) - 1, "exp": now + seconds,
        "jti": format!("{subject}-{seconds}"),
    }))
}

/// A token of the test's issuer with these claims.
pub(crate) fn signed(claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "test"});
    Mint::from_seed("test", ISSUER).sign_raw(&header.to_string(), &claims.to_string())
}

/// A token of alice's that differs in these claims.
pub(crate) fn with(changes: &Value) -> String {
    let now = now();
    let mut claims = json!({
        "iss": "https://idp.example", "sub": "alice", "aud": "https://tools.example",
        "client_id": "test", "iat": now - 1, "exp": now + 600,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signed(&claims)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    now.cast_signed()
}

fn release_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn jwks() -> String {
    let keys = Mint::from_seed("test", ISSUER).jwks();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    keys.to_string()
}

/// An issuer of the test organization.
pub(crate) fn issuer(name: &str) -> IssuerEntry {
    IssuerEntry {
        name: name.to_owned(),
        organizations: vec!["acme".to_owned()],
        undeclared: false,
        undeclared_type: None,
    }
}

/// A person, known to the usual issuer by the same name.
pub(crate) fn principal(name: &str) -> PrincipalEntry {
    PrincipalEntry {
        name: name.to_owned(),
        kind: PrincipalType::Human,
        scope: "acme".to_owned(),
        identities: vec![("idp".to_owned(), name.to_owned())],
        groups: Vec::new(),
        tags: Vec::new(),
        suspended: false,
        dates: Dates::default(),
    }
}

/// What gives somebody a role in the whole organization.
pub(crate) fn binding(who: &str, role: &str) -> BindingEntry {
    BindingEntry {
        name: who.to_owned(),
        who: vec![Who::Principal(who.to_owned())],
        roles: vec![role.to_owned()],
        scope: "acme".to_owned(),
        condition: None,
        dates: Dates::default(),
        cross_organization: false,
    }
}

fn surface(name: &str) -> SurfaceEntry {
    SurfaceEntry {
        server: "github".to_owned(),
        name: name.to_owned(),
        access: Access::Permission,
        risk: Risk::Write,
        unlock: Unlock::default(),
        operations: Vec::new(),
        scope: Where::Server,
        obligations: Vec::new(),
    }
}
