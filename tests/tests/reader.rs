//! The second reader: a program in another language, written from `docs/reference/bundle-format.md`,
//! finds in every release what `latchkey inspect` finds, and refuses what is not signed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Parser as _;
use ed25519_dalek::SigningKey;
use latchkey::{
    cli::Cli,
    command::{self, Exit, Terminal},
    pack,
};
use latchkey_engine::{
    bundle,
    policy::Policy,
    testing::{Rng, World},
};
use latchkey_gate::supply::{
    Release, Statement, TrustRoot,
    dsse::{self, Kind},
};
use latchkey_tests::golden;
use serde_json::Value;
use tempfile::TempDir;

/// A release folder, and who is believed about it.
struct Signed {
    home: TempDir,
}

impl Signed {
    fn new(files: &pack::Files) -> Self {
        let home = TempDir::new().unwrap();
        let signed = Self { home };
        fs::create_dir(signed.folder()).unwrap();
        for (name, bytes) in files {
            fs::write(signed.folder().join(name), bytes).unwrap();
        }
        let key = SigningKey::from_bytes(&[7; 32]);
        let trust = TrustRoot::of_one_key("acme", "main", "ci", key.verifying_key());
        fs::write(signed.trust(), trust.to_json()).unwrap();
        signed.sign(files, &key);
        signed
    }

    fn sign(&self, files: &pack::Files, key: &SigningKey) {
        let statement = Statement::about(files, Release::new("acme", "main", 3));
        let payload = statement.encode().unwrap();
        let envelope = dsse::sign(Kind::Statement, &payload, std::slice::from_ref(key));
        fs::write(self.folder().join(pack::SIGNED), envelope).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("release")
    }

    fn trust(&self) -> PathBuf {
        self.home.path().join("trust.json")
    }

    /// What the second reader says.
    fn read(&self) -> Output {
        let reader = golden::root().join("tests/reader/read_bundle.py");
        let mut python = Command::new("python3");
        python.args(["-I", "-B"]).arg("-c").arg(RUN).arg(&reader);
        python.arg(self.folder()).arg(self.trust());
        python.output().unwrap()
    }

    fn facts(&self) -> Value {
        let output = self.read();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Why the second reader refuses.
    fn refusal(&self) -> String {
        let output = self.read();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Runs a program beside its own modules, and with nothing else of the surroundings.
const RUN: &str = "import runpy, sys, pathlib; del sys.argv[0]; \
    sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent)); \
    runpy.run_path(sys.argv[0], run_name='__main__')";

/// What `latchkey inspect` says.
fn inspect(folder: &Path) -> Value {
    let folder = folder.to_str().unwrap();
    let cli = Cli::try_parse_from(["latchkey", "--format", "json", "inspect", folder]).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        out: &mut out,
        err: &mut err,
        colour: false,
    };
    let exit = command::run(&cli, &mut terminal);
    let said = String::from_utf8_lossy(&err).into_owned();
    assert!(matches!(exit, Exit::Clean), "{said}");
    serde_json::from_slice(&out).unwrap()
}

/// Fails at the first fact that differs, by its path.
fn same(path: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = |it: &serde_json::Map<String, Value>| it.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(one), keys(other), "{path}");
            for (key, value) in one {
                same(&format!("{path}.{key}"), value, &other[key]);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                same(&format!("{path}[{at}]"), one, other);
            }
        }
        _ => assert_eq!(one, other, "{path}"),
    }
}

#[test]
fn both_readers_find_the_same_in_every_golden_project() {
    let (mut slices, mut bindings) = (0, 0);
    for golden in golden::all() {
        let signed = Signed::new(&pack::pack(&golden.model, &golden.sources).unwrap());
        let (ours, theirs) = (inspect(&signed.folder()), signed.facts());
        same(&golden.name, &ours, &theirs);
        for slice in ours["slices"].as_array().unwrap() {
            slices += 1;
            bindings += slice["bindings"].as_array().unwrap().len();
        }
    }
    println!("{slices} slices with {bindings} bindings are the same to both readers");
    assert!(slices > 20 && bindings > 100);
}

#[test]
fn both_readers_find_the_same_in_random_policies() {
    let mut files = pack::Files::new();
    for seed in 0..40 {
        let index = World::random(&mut Rng::new(seed)).index();
        files.insert(format!("s-{seed}.lkb"), bundle::encode(&index).unwrap());
    }
    let signed = Signed::new(&files);
    same("random", &inspect(&signed.folder()), &signed.facts());
}

#[test]
fn the_second_reader_refuses_what_is_not_signed() {
    let golden = golden::all().into_iter().next().unwrap();
    let files = pack::pack(&golden.model, &golden.sources).unwrap();
    let signed = Signed::new(&files);
    signed.facts();
    for (name, bytes) in &files {
        let path = signed.folder().join(name);
        let mut flipped = bytes.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(signed.refusal().contains("signed digest"), "{name}");
        fs::write(&path, &bytes[..last]).unwrap();
        assert!(signed.refusal().contains("signed size"), "{name}");
        fs::write(&path, bytes).unwrap();
    }
    fs::write(signed.folder().join("stranger.lkb"), b"x").unwrap();
    assert!(signed.refusal().contains("nobody signed"));
    fs::remove_file(signed.folder().join("stranger.lkb")).unwrap();
    // Whatever byte of the envelope changes; its key ids are not signed.
    let path = signed.folder().join(pack::SIGNED);
    let envelope = fs::read_to_string(&path).unwrap();
    let document: Value = serde_json::from_str(&envelope).unwrap();
    for member in ["payload", "payloadType"] {
        let text = document[member].as_str().unwrap();
        let spoilt = text.replacen(['a', 'c'], "b", 1);
        fs::write(&path, envelope.replacen(text, &spoilt, 1)).unwrap();
        signed.refusal();
    }
    let signature = document["signatures"][0]["sig"].as_str().unwrap();
    let spoilt = if signature.starts_with('A') { "B" } else { "A" };
    let spoilt = format!("{spoilt}{}", signature.get(1..).unwrap());
    fs::write(&path, envelope.replacen(signature, &spoilt, 1)).unwrap();
    assert!(signed.refusal().contains("not signed by"));
    signed.sign(&files, &SigningKey::from_bytes(&[8; 32]));
    assert!(signed.refusal().contains("not signed by"));
    signed.sign(&files, &SigningKey::from_bytes(&[7; 32]));
    signed.facts();
}

/// Spoils a slice and signs what came of it: what the digest would hide is left to the reader.
#[test]
fn what_the_second_reader_takes_the_first_one_takes() {
    let index = World::random(&mut Rng::new(3)).index();
    let bytes = bundle::encode(&index).unwrap();
    let mut rng = Rng::new(9);
    let spoilt = (0..300).map(|_| {
        let mut bytes = bytes.clone();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        bytes
    });
    let all: Vec<Vec<u8>> = spoilt.collect();
    let home = TempDir::new().unwrap();
    for (at, bytes) in all.iter().enumerate() {
        fs::write(home.path().join(format!("{at:03}.lkb")), bytes).unwrap();
    }
    let judge = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import bundle\n\
        for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):\n    \
        try: bundle.Bundle(path.read_bytes()); print('taken')\n    \
        except bundle.Refused: print('refused')";
    let reader = golden::root().join("tests/reader");
    let mut python = Command::new("python3");
    python
        .args(["-I", "-B", "-c", judge])
        .arg(reader)
        .arg(home.path());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<bool> = said.lines().map(|it| it == "taken").collect();
    assert_eq!(said.len(), all.len());
    let (mut taken, mut only_ours) = (0, 0);
    for (bytes, theirs) in all.iter().zip(said) {
        let ours = Policy::open(bytes).is_ok();
        // The engine also proves the canonical form of conditions.
        assert!(theirs || !ours, "only the second reader refuses");
        taken += usize::from(ours && theirs);
        only_ours += usize::from(theirs && !ours);
    }
    println!(
        "{taken} of {} taken by both, {only_ours} refused by the engine alone",
        all.len()
    );
    assert!(taken > 20 && only_ours < taken);
}
