//! The vectors that no package carries; `make vectors` fetches them and runs this.

use std::path::{Path, PathBuf};

use latchkey_tests::golden::root;
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, Verifier,
    trust_root::TrustedRoot,
    types::{Bundle, DerPublicKey},
};

use super::*;

#[test]
fn cctv_vectors_that_must_fail_do() {
    let text = fs::read(vectors("CCTV/ed25519/ed25519vectors.json")).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let (mut accepted, mut must_fail) = (0, 0);
    for vector in &all {
        let key: [u8; 32] = hex(&vector["key"]).try_into().unwrap();
        let message = vector["msg"].as_str().unwrap().as_bytes();
        let public = VerifyingKey::from_bytes(&key).map(|key| keys::public_text(&key));
        let counts = public.is_ok_and(|it| counts(&it, message, &hex(&vector["sig"])));
        let flags = vector["flags"].as_array();
        let flagged = |name: &str| flags.is_some_and(|list| list.contains(&name.into()));
        let forbidden = [
            "low_order_A",
            "low_order_R",
            "non_canonical_A",
            "non_canonical_R",
            "low_order_residue",
        ];
        let forbidden = forbidden.into_iter().any(flagged);
        assert!(!(forbidden && counts), "{vector}");
        accepted += u32::from(counts);
        must_fail += u32::from(forbidden);
    }
    println!(
        "CCTV: {} vectors, {must_fail} must fail and do, {accepted} accepted",
        all.len()
    );
    assert!(all.len() >= 914 && must_fail > 800 && accepted > 0);
}

fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A folder that `make vectors` fetched.
fn vectors(name: &str) -> PathBuf {
    let path = root().join(".cache/vectors").join(name);
    assert!(path.exists(), "`make vectors` fetches {}", path.display());
    path
}

/// Sigstore's own suite for clients: 70 cases, whose names end in `_fail` where a client must
/// refuse.
///
/// Three ways, and every case goes at least one of them:
/// - attestations under a certificate: [`SigstoreKeyless`], as a sidecar runs it; that the
///   artifact is a subject is asked of the payload, as `check_files` does;
/// - signatures over a file: the same library with the same policy, and [`SigstoreKeyless`] must
///   refuse them all;
/// - managed keys: the same library with the key, and [`SigstoreKeyless`] must refuse them all.
#[test]
fn sigstore_conformance_verdicts_agree() {
    let folder = vectors("sigstore-conformance/test/assets/bundle-verify");
    let mut counts = [0; 3];
    let mut wrong = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    for path in &names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let conformance = Conformance::read(path);
        let (way, accepted) = conformance.judge();
        counts[way] += 1;
        if accepted == name.ends_with("_fail") {
            wrong.push(name);
        }
    }
    println!(
        "Sigstore conformance: {} cases; {} as attestations through SigstoreKeyless, {} file \
         signatures and {} managed keys through the library, refused by SigstoreKeyless; {} \
         verdicts differ",
        names.len(),
        counts[0],
        counts[1],
        counts[2],
        wrong.len()
    );
    assert_eq!(wrong, [""; 0]);
    assert!(
        names.len() >= 70 && counts.iter().all(|count| *count > 0),
        "{counts:?}"
    );
}

struct Conformance {
    bundle: String,
    artifact: Vec<u8>,
    root: String,
    identity: Identity,
    key: Option<String>,
}

impl Conformance {
    fn read(path: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(path.join(name)).ok();
        let shared = || fs::read(path.parent().unwrap().join("a.txt")).unwrap();
        let root = text("trusted_root.json");
        let public = SigstoreInstance::PublicGood.embedded_trusted_root_json();
        let root = root.unwrap_or_else(|| public.to_owned());
        let subject = text("identity").unwrap_or_else(|| BEACON.to_owned());
        let issuer = text("issuer").unwrap_or_else(|| GITHUB.to_owned());
        Self {
            bundle: text("bundle.sigstore.json").unwrap(),
            artifact: fs::read(path.join("artifact")).unwrap_or_else(|_| shared()),
            identity: identity(subject.trim(), issuer.trim(), root.as_bytes()),
            root,
            key: text("key.pub"),
        }
    }

    /// Which way the case went, and whether it was accepted.
    fn judge(&self) -> (usize, bool) {
        let ours = SigstoreKeyless::new(self.root.as_bytes())
            .and_then(|prover| prover.verify(self.bundle.as_bytes(), &self.identity));
        if self.key.is_none() && self.bundle.contains("\"dsseEnvelope\"") {
            return (0, ours.is_ok_and(|payload| names(&payload, &self.artifact)));
        }
        assert!(ours.is_err(), "{:?}", ours.map(|it| it.len()));
        let Some(key) = &self.key else {
            let Identity {
                issuer, subject, ..
            } = &self.identity;
            let policy = VerificationPolicy::new(subject, issuer);
            return (
                1,
                self.library(|it, bundle| it.verify(&*self.artifact, bundle, &policy)),
            );
        };
        let Ok(key) = DerPublicKey::from_pem(key) else {
            return (2, false);
        };
        let policy = PublicKeyVerificationPolicy::new(key);
        (
            2,
            self.library(|it, bundle| it.verify(&*self.artifact, bundle, &policy)),
        )
    }

    fn library<T>(
        &self,
        verify: impl FnOnce(&Verifier, &Bundle) -> sigstore_verify::Result<T>,
    ) -> bool {
        let Ok(root) = TrustedRoot::from_json(&self.root) else {
            return false;
        };
        let (Ok(verifier), Ok(bundle)) = (Verifier::new(&root), Bundle::from_json(&self.bundle))
        else {
            return false;
        };
        verify(&verifier, &bundle).is_ok()
    }
}

/// Whether a statement names these bytes.
fn names(payload: &[u8], artifact: &[u8]) -> bool {
    let statement: Value = serde_json::from_slice(payload).unwrap();
    let digest = Digest::of(artifact).to_string();
    let subjects = statement["subject"].as_array().unwrap();
    subjects.iter().any(|it| it["digest"]["sha256"] == *digest)
}
