//! Our envelopes under somebody else's verifier.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{fs, path::Path, process::Command};

use latchkey_gate::supply::{dsse, keys};
use latchkey_tests::{golden::root, peer::python, program::program};
use serde_json::{Value, json};

const VERIFY: &str = r"
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

envelope, threshold, *keys = sys.argv[1:]
with open(envelope) as file:
    document = json.load(file)
ids = [entry['keyid'] for entry in document['signatures']]
trusted = []
for path in keys:
    with open(path, 'rb') as file:
        public = load_pem_public_key(file.read())
    # This library matches by key id, so each key is offered under every id that the envelope has.
    trusted.append([SSlibKey.from_crypto(public, keyid=keyid) for keyid in ids])
counted = 0
for offered in trusted:
    try:
        counted += len(Envelope.from_dict(json.loads(json.dumps(document))).verify(offered, 1))
    except Exception as error:
        print(type(error).__name__, error)
print(counted, 'of', threshold)
sys.exit(0 if counted >= int(threshold) else 1)
";

#[test]
fn another_verifier_accepts_our_envelopes_and_refuses_changed_ones() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let latchkey = |words: &[&str]| {
        let output = Command::new(program("latchkey"))
            .args(words)
            .current_dir(root().join("policies"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    };
    for name in ["one", "two", "three"] {
        latchkey(&["keygen", "--out", at(name).to_str().unwrap()]);
    }
    let out = at("release");
    let (one, two) = (at("one.key"), at("two.key"));
    latchkey(&[
        "build",
        "--out",
        out.to_str().unwrap(),
        "--sequence",
        "7",
        "--key",
        one.to_str().unwrap(),
        "--key",
        two.to_str().unwrap(),
    ]);
    let verify = |envelope: &Path, threshold: &str, keys: &[&str]| {
        let output = Command::new(&python)
            .args(["-c", VERIFY])
            .arg(envelope)
            .arg(threshold)
            .args(keys.iter().map(|name| at(name)))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    };
    let envelope = out.join("release.dsse.json");
    let rows: [(&str, &[&str], bool); 5] = [
        ("1", &["one.pub"], true),
        ("2", &["one.pub", "two.pub"], true),
        ("2", &["three.pub", "two.pub", "one.pub"], true),
        ("2", &["one.pub", "three.pub"], false),
        ("1", &["three.pub"], false),
    ];
    for (threshold, keys, accepted) in rows {
        let (verdict, said) = verify(&envelope, threshold, keys);
        assert_eq!(verdict, accepted, "{threshold} of {keys:?}: {said}");
    }
    // Payload, type and signature: one character each.
    let document: Value = serde_json::from_slice(&fs::read(&envelope).unwrap()).unwrap();
    for path in ["/payload", "/payloadType", "/signatures/0/sig"] {
        let mut document = document.clone();
        let text = document.pointer_mut(path).unwrap();
        *text = json!(flip(text.as_str().unwrap()));
        let changed = at("changed.json");
        fs::write(&changed, document.to_string()).unwrap();
        let (verdict, said) = verify(&changed, "2", &["one.pub", "two.pub"]);
        assert!(!verdict, "{path}: {said}");
    }
    // And what the peer was given is what we read ourselves.
    let text = fs::read(&envelope).unwrap();
    let read = dsse::Envelope::read(dsse::Kind::Statement, &text).unwrap();
    let key = |name: &str| keys::read_public(&fs::read_to_string(at(name)).unwrap()).unwrap();
    let trusted = [("one", key("one.pub")), ("two", key("two.pub"))];
    assert_eq!(read.signers(&trusted), ["one", "two"]);
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
