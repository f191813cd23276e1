//! Who publishes releases, honestly or not: any statement, pointer and trust root, by any key.
//!
//! The keys are named: `root`, `ci` and `ops` may release, `clock` says what is current, and
//! `thief` is trusted for nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use latchkey::{model::Model, pack};
use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Digest, Pointer, Release, Statement, Subject, TrustRoot, UrgentDeny,
    dsse::{self, Kind},
    keys::public_text,
};
use serde_json::{Value, json};

use crate::{golden::Golden, tokens::seconds};

/// The key of a name.
#[must_use]
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Digest::of(name.as_bytes()).0)
}

/// The keys of some names.
#[must_use]
pub fn keys(names: &[&str]) -> Vec<SigningKey> {
    names.iter().map(|name| key(name)).collect()
}

/// A release as it is about to be published.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The facts; those of an honest release of this version, to be changed.
    pub facts: Release,
    /// Who signs.
    pub signers: Vec<&'static str>,
    /// Which of the two contents it has.
    pub content: usize,
}

/// A pointer as it is about to be published.
#[derive(Debug, Clone)]
pub struct Pointing {
    /// What it says; an honest hour, to be changed.
    pub pointer: Pointer,
    /// Who signs.
    pub signer: &'static str,
}

/// Publishes into a folder.
#[derive(Debug)]
pub struct Publisher {
    folder: PathBuf,
    project: String,
    contents: [pack::Files; 2],
    pointers: u64,
}

impl Publisher {
    /// A publisher of one project's model; its two contents differ in one time limit.
    #[must_use]
    pub fn new(golden: &Golden, model: &Model, folder: &Path) -> Self {
        let mut other = model.clone();
        for server in other.servers.values_mut() {
            server.timeout += 1;
        }
        fs::create_dir_all(folder).unwrap();
        Self {
            folder: folder.to_owned(),
            project: model.project.clone(),
            contents: [model, &other].map(|model| pack::pack(model, &golden.sources).unwrap()),
            pointers: 0,
        }
    }

    /// An honest release of this version.
    #[must_use]
    pub fn draft(&self, version: u64) -> Draft {
        Draft {
            facts: Release::new(&self.project, "main", version),
            signers: vec!["ci"],
            content: usize::from(version.is_multiple_of(2)),
        }
    }

    /// An honest pointer at a release.
    pub fn pointing(&mut self, draft: &Draft) -> Pointing {
        self.pointers += 1;
        let now = seconds();
        Pointing {
            pointer: Pointer {
                project: self.project.clone(),
                channel: "main".to_owned(),
                trust_version: 1,
                epoch: draft.facts.epoch,
                version: draft.facts.version,
                statement: Digest::of(&self.payload(draft)),
                pointer_version: self.pointers,
                issued_at: Time(now - 1),
                expires: Time(now + 3600),
                min_version: 0,
                spread_seconds: 0,
                urgent_deny: UrgentDeny::default(),
            },
            signer: "clock",
        }
    }

    /// Publishes a release and a pointer at it.
    pub fn publish(&mut self, draft: &Draft) {
        let pointing = self.pointing(draft);
        self.put_release(draft);
        self.put_pointer(&pointing);
    }

    /// Publishes a release: its files, then its statement under both of its names.
    pub fn put_release(&self, draft: &Draft) {
        self.put_files(draft.content);
        let payload = self.payload(draft);
        let envelope = dsse::sign(Kind::Statement, &payload, &keys(&draft.signers));
        let name = format!("releases/{}.dsse.json", Digest::of(&payload));
        self.put(&name, envelope.as_bytes());
        self.put("release.dsse.json", envelope.as_bytes());
    }

    /// Publishes the files of a content.
    pub fn put_files(&self, content: usize) {
        for (name, bytes) in &self.contents[content] {
            self.put(name, bytes);
        }
    }

    /// Publishes a pointer.
    pub fn put_pointer(&self, pointing: &Pointing) {
        let payload = pointing.pointer.encode().unwrap();
        let envelope = dsse::sign(Kind::Pointer, &payload, &[key(pointing.signer)]);
        self.put("pointer.dsse.json", envelope.as_bytes());
    }

    /// Publishes a version of the trust root.
    pub fn put_trust(&self, version: u64, root: &Value, signers: &[&str]) {
        let payload = root.to_string();
        let envelope = dsse::sign(Kind::Trust, payload.as_bytes(), &keys(signers));
        self.put(&format!("trust.{version}.dsse.json"), envelope.as_bytes());
    }

    /// Puts a file as a careful copy does: a reader sees the old one or the new one.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.join(name);
        let aside = self.folder.join(".aside");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&aside, bytes).unwrap();
        fs::rename(&aside, &path).unwrap();
    }

    /// The bytes of a file that was published.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }

    /// Takes a file away.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// The digest that names a release.
    #[must_use]
    pub fn digest(&self, draft: &Draft) -> Digest {
        Digest::of(&self.payload(draft))
    }

    /// The statement of a release.
    #[must_use]
    pub fn payload(&self, draft: &Draft) -> Vec<u8> {
        let files = self.contents[draft.content].iter();
        let subjects = files
            .map(|(name, bytes)| Subject::of(name, bytes))
            .collect();
        let release = draft.facts.clone();
        Statement { subjects, release }.encode().unwrap()
    }

    /// A trust root: version 1 of an honest project, to be changed.
    #[must_use]
    pub fn trust(&self, version: u64, change: impl FnOnce(&mut Value)) -> Value {
        let entry = |name: &str| {
            let spki = public_text(&key(name).verifying_key());
            json!({"algorithm": "ed25519", "spki": spki})
        };
        let mut root = json!({
            "version": version, "project": self.project, "epoch": 1,
            "keys": {"root": entry("root"), "ci": entry("ci"), "ops": entry("ops"),
                "clock": entry("clock"), "new-ci": entry("new-ci")},
            "roles": {
                "root": {"threshold": 1, "members": ["root"]},
                "release": {"main": {"threshold": 1, "members": ["ci", "ops"]}},
                "freshness": {"main": {"threshold": 1, "members": ["clock"]}},
            },
        });
        change(&mut root);
        TrustRoot::parse(root.to_string().as_bytes()).unwrap();
        root
    }
}
