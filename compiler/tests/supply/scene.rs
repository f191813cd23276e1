//! A project, keys and people.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_gate::supply::{
    Digest, Statement, Subject,
    dsse::{self, Envelope, Kind},
    keys,
};
use serde_json::Value as Json;

/// What CI and a reviewer build together.
pub(crate) const BUILD: &str = "-C p build --out b --key ci.key --key alice.key";
/// The pointer to it.
pub(crate) const RELEASE: &str = "release b --trust trust.json --key clock.key";
/// What a sidecar with the trust file says.
pub(crate) const VERIFY: &str = "verify b --trust trust.json";

/// A folder with a project in a Git clone and some keys.
pub(crate) struct Scene {
    folder: PathBuf,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("supply")
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("p")).expect("a folder");
        let scene = Self { folder };
        scene.good("init p");
        scene.git(&["init", "--quiet"]);
        scene.commit();
        scene
    }

    /// Two who must both release, two who must both change the root, and one for pointers.
    pub(crate) fn trusted(name: &str) -> Self {
        let scene = Self::new(name);
        for key in ["ci", "alice", "bob", "carol", "clock"] {
            scene.good(&format!("keygen --out {key}"));
        }
        scene.good(
            "-C p trust init --release ci=ci.pub --release alice=alice.pub --threshold release=2
             --root alice=alice.pub --root bob=bob.pub --threshold root=2
             --freshness clock=clock.pub --expires 2036-12-01",
        );
        scene
    }

    /// A release that both have signed, with a pointer.
    pub(crate) fn released(name: &str) -> Self {
        let scene = Self::trusted(name);
        scene.good("-C p build --out b --key ci.key --key alice.key");
        scene.good("release b --trust trust.json --key clock.key");
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn run(&self, words: &str) -> Output {
        let args: Vec<_> = words.split_whitespace().collect();
        self.program(env!("CARGO_BIN_EXE_latchkey"), &args)
    }

    pub(crate) fn program(&self, program: &str, args: &[&str]) -> Output {
        Command::new(program)
            .current_dir(&self.folder)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("the program runs")
    }

    /// Exit code, and all that was said.
    pub(crate) fn said(&self, words: &str) -> (i32, String) {
        let output = self.run(words);
        let code = output.status.code().expect("an exit code");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        (code, text(&output.stdout) + &text(&output.stderr))
    }

    pub(crate) fn good(&self, words: &str) -> String {
        let (code, said) = self.said(words);
        assert_eq!(code, 0, "{words}: {said}");
        said
    }

    pub(crate) fn bad(&self, code: i32, words: &str, wanted: &str) {
        let (found, said) = self.said(words);
        assert!(
            found == code && said.contains(wanted),
            "{words}: {found}: {said}"
        );
    }

    pub(crate) fn json(&self, words: &str) -> Json {
        let output = self.run(&format!("{words} --format json"));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words}: {error}: {output:?}"))
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let identity = "-C p -c user.name=t -c user.email=t@t.example -c core.autocrlf=false";
        let identity: Vec<_> = identity.split(' ').collect();
        let output = self.program("git", &[&identity, args].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "a change"]);
    }

    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).expect("the file");
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(self.path(file), text.replacen(from, to, 1)).expect("written");
    }

    /// What an envelope holds.
    pub(crate) fn payload(&self, file: &str, kind: Kind) -> Vec<u8> {
        let envelope = fs::read(self.path(file)).expect("the envelope");
        Envelope::read(kind, &envelope)
            .expect("an envelope")
            .payload
    }

    pub(crate) fn pointer(&self, file: &str) -> Json {
        serde_json::from_slice(&self.payload(file, Kind::Pointer)).expect("JSON")
    }

    pub(crate) fn digest(&self, folder: &str) -> String {
        let file = format!("{folder}/release.dsse.json");
        Digest::of(&self.payload(&file, Kind::Statement)).to_string()
    }

    pub(crate) fn verify(&self, words: &str) -> Json {
        self.json(&format!("{VERIFY} {words}"))
    }
}

/// The checks of a verification that did not hold.
pub(crate) fn failed(report: &Json) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks");
    let failed = checks.iter().filter(|it| it["outcome"] == "failed");
    failed
        .map(|it| it["check"].as_str().expect("a name").to_owned())
        .collect()
}

/// Signs a statement over what lies in a folder, whatever it was built from.
pub(crate) fn forge(scene: &Scene, folder: &str, files: &[&str], signers: &[&str]) {
    let unsigned = scene.path(folder).join("release.json");
    let bytes = fs::read(&unsigned).expect("the statement");
    let mut statement = Statement::parse(&bytes).expect("a statement");
    for subject in &mut statement.subjects {
        if files.contains(&subject.name.as_str()) {
            let bytes = fs::read(scene.path(folder).join(&subject.name)).expect("bytes");
            *subject = Subject::of(&subject.name, &bytes);
        }
    }
    let key = |name: &&str| {
        let text = fs::read_to_string(scene.path(&format!("{name}.key"))).expect("a key");
        keys::read_private(&text).expect("a key")
    };
    let keys: Vec<_> = signers.iter().map(key).collect();
    let payload = statement.encode().expect("canonical");
    let envelope = dsse::sign(Kind::Statement, &payload, &keys);
    fs::write(scene.path(folder).join("release.dsse.json"), envelope).expect("written");
    fs::remove_file(unsigned).expect("removed");
}
