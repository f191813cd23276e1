//! Releases signed by identities: a Sigstore of our own signs, and the rules of acceptance judge.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Accepted, Digest, Floor, Keyless, NoKeyless, Offer, Refused, TrustRoot, accept,
    dsse::{Envelope, Kind},
    keyless::SigstoreKeyless,
    keys,
};
use latchkey_tests::{golden::root, peer::python, program::program};
use serde_json::json;
use tempfile::TempDir;

const SUBJECT: &str = "https://ci.test/acme/policy/.ci/release.yml@refs/heads/main";
const ISSUER: &str = "https://issuer.test";

/// A release of the demo policies, signed by the key `ci`.
struct Release {
    folder: TempDir,
}

impl Release {
    fn build() -> Self {
        let release = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let key = release.at("ci");
        Self::latchkey(&["keygen", "--out", key.to_str().unwrap()]);
        release.build_version("7", "release");
        release
    }

    fn build_version(&self, version: &str, out: &str) {
        let (out, key) = (self.at(out), self.at("ci.key"));
        let (out, key) = (out.to_str().unwrap(), key.to_str().unwrap());
        Self::latchkey(&["build", "--out", out, "--sequence", version, "--key", key]);
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn latchkey(words: &[&str]) {
        let output = Self::try_latchkey(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    fn try_latchkey(words: &[&str]) -> Output {
        Command::new(program("latchkey"))
            .args(words)
            .current_dir(root().join("policies"))
            .output()
            .unwrap()
    }

    fn envelope(&self) -> Vec<u8> {
        fs::read(self.at("release/release.dsse.json")).unwrap()
    }

    /// Has the statement in a folder signed by an identity, by a Sigstore made for this.
    fn sigstore(&self, folder: &str, subject: &str) -> Signed {
        let envelope = fs::read(self.at(folder).join("release.dsse.json")).unwrap();
        let payload = Envelope::read(Kind::Statement, &envelope).unwrap().payload;
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("payload"), payload).unwrap();
        let output = Command::new(python())
            .arg(root().join("tests/peers/sigstore.py"))
            .arg("sign")
            .arg(place.path())
            .arg(place.path().join("payload"))
            .args([subject, ISSUER])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        Signed {
            roots: fs::read(place.path().join("trusted_root.json")).unwrap(),
            bundle: fs::read(place.path().join("bundle.json")).unwrap(),
        }
    }

    /// A root that asks for a number of: the key, and the identity under some roots.
    fn trust(&self, threshold: usize, roots: &[u8]) -> TrustRoot {
        let key = keys::read_public(&fs::read_to_string(self.at("ci.pub")).unwrap()).unwrap();
        let text = json!({
            "version": 1, "project": project(&self.envelope()), "epoch": 1,
            "keys": {"ci": {"algorithm": "ed25519", "spki": keys::public_text(&key)}},
            "identities": {"flow": {
                "kind": "sigstore", "issuer": ISSUER, "subject": SUBJECT,
                "trusted_root_sha256": Digest::of(roots).to_string(),
            }},
            "roles": {"release": {"main": {"threshold": threshold, "members": ["ci", "flow"]}}},
        });
        TrustRoot::parse(text.to_string().as_bytes()).unwrap()
    }
}

/// What a signature of an identity is.
struct Signed {
    roots: Vec<u8>,
    bundle: Vec<u8>,
}

fn project(envelope: &[u8]) -> String {
    let payload = Envelope::read(Kind::Statement, envelope).unwrap().payload;
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let project = statement["predicate"]["project"].as_str();
    project.unwrap().to_owned()
}

fn judge(
    trust: &TrustRoot,
    envelope: &[u8],
    bundles: &[Vec<u8>],
    keyless: &dyn Keyless,
) -> Result<Accepted, Refused> {
    let offer = Offer {
        sigstore: bundles,
        keyless,
        ..Offer::new(envelope)
    };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    accept(trust, &Floor::default(), &offer, Time(now.cast_signed()))
}

#[test]
fn an_identity_counts_beside_a_key_and_nothing_else_does() {
    let release = Release::build();
    let signed = release.sigstore("release", SUBJECT);
    let keyless = SigstoreKeyless::new(&signed.roots).unwrap();
    let (envelope, both) = (release.envelope(), release.trust(2, &signed.roots));
    let bundles = |it: &Signed| vec![it.bundle.clone()];
    let accepted = judge(&both, &envelope, &bundles(&signed), &keyless).unwrap();
    assert_eq!(accepted.signers, ["ci", "flow"]);
    // One of two is not two: no bundle, one bundle twice, nobody who could verify it.
    let twice = vec![signed.bundle.clone(), signed.bundle.clone()];
    assert!(judge(&both, &envelope, &[], &keyless).is_err());
    assert!(judge(&both, &envelope, &bundles(&signed), &NoKeyless).is_err());
    assert!(judge(&both, &envelope, &twice, &keyless).is_ok());
    let none = String::from_utf8(envelope.clone()).unwrap();
    let (head, _) = none.split_once("\"signatures\":[").unwrap();
    let unsigned = format!("{head}\"signatures\":[]}}");
    let refused = |bundles: &[Vec<u8>], trust| judge(trust, unsigned.as_bytes(), bundles, &keyless);
    assert!(refused(&twice, &both).is_err(), "an identity counts once");
    // An identity alone is enough where one is asked for.
    let either = release.trust(1, &signed.roots);
    let alone = refused(&bundles(&signed), &either).unwrap();
    assert_eq!(alone.signers, ["flow"]);
    // Somebody else, under the same roots or the same name under other roots.
    let thief = release.sigstore(
        "release",
        "https://ci.test/thief/.ci/release.yml@refs/heads/main",
    );
    let own = SigstoreKeyless::new(&thief.roots).unwrap();
    let trust = release.trust(1, &thief.roots);
    assert!(judge(&trust, unsigned.as_bytes(), &bundles(&thief), &own).is_err());
    let impostor = release.sigstore("release", SUBJECT);
    assert!(refused(&bundles(&impostor), &either).is_err());
    let together = keyless.and(&impostor.roots).unwrap();
    let judged = judge(&either, unsigned.as_bytes(), &bundles(&impostor), &together);
    assert!(
        judged.is_err(),
        "the trust file names the roots of an identity"
    );
}

#[test]
fn a_signature_over_another_release_counts_for_nothing() {
    let release = Release::build();
    release.build_version("8", "later");
    let other = release.sigstore("later", SUBJECT);
    let keyless = SigstoreKeyless::new(&other.roots).unwrap();
    let trust = release.trust(2, &other.roots);
    let judged = judge(
        &trust,
        &release.envelope(),
        std::slice::from_ref(&other.bundle),
        &keyless,
    );
    assert!(judged.is_err());
    // Nor is it put beside it by mistake.
    let (bundle, folder) = (release.at("bundle.json"), release.at("release"));
    fs::write(&bundle, &other.bundle).unwrap();
    let sign = |folder: &Path| {
        let words = [
            "sign",
            folder.to_str().unwrap(),
            "--bundle",
            bundle.to_str().unwrap(),
        ];
        Release::try_latchkey(&words)
    };
    let output = sign(&folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("something else"),
        "{said}"
    );
    assert!(!folder.join("release.sigstore.1.json").exists());
    let later = release.at("later");
    let output = sign(&later);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let attached = fs::read(later.join("release.sigstore.1.json")).unwrap();
    assert_eq!(attached, other.bundle);
}

/// `sign --keyless` from a job's token to a release that is accepted, with services that check the
/// proof of possession. Built with `--features keyless-sign`.
#[cfg(feature = "keyless-sign")]
mod signing {
    use std::{
        process::{Child, Stdio},
        thread::sleep,
        time::{Duration, Instant},
    };

    use base64::Engine as _;
    use clap::Parser as _;
    use latchkey::{
        cli::Cli,
        command::{self, Terminal},
    };

    use super::*;

    const CHILD: &str = "LATCHKEY_TEST_SIGNS";

    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn serve(place: &Path) -> (Server, String) {
        let server = Command::new(python())
            .arg(root().join("tests/peers/sigstore.py"))
            .arg("serve")
            .arg(place)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (server, begun) = (Server(server), Instant::now());
        loop {
            if let Ok(url) = fs::read_to_string(place.join("url")) {
                return (server, url);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no server");
            sleep(Duration::from_millis(50));
        }
    }

    /// The token of a job, as far as anyone reads it here.
    fn token() -> String {
        let text = |value: serde_json::Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": "repo:acme/policy", "aud": "sigstore",
            "iat": now, "exp": now + 300, "job_workflow_ref": SUBJECT,
        });
        format!("{}.{}.x", text(json!({"alg": "none"})), text(claims))
    }

    #[test]
    fn a_job_signs_with_its_token() {
        // The environment of a process is fixed before it starts: the second process signs.
        if let Ok(words) = std::env::var(CHILD) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut terminal = Terminal {
                out: &mut out,
                err: &mut err,
                colour: false,
            };
            let cli = Cli::try_parse_from(words.split('\n')).unwrap();
            let exit = command::run(&cli, &mut terminal);
            assert_eq!(exit.code(), 0, "{}", String::from_utf8_lossy(&err));
            return;
        }
        let release = Release::build();
        let place = tempfile::tempdir().unwrap();
        let (_server, url) = serve(place.path());
        let folder = release.at("release");
        let folder = folder.to_str().unwrap();
        let words = [
            "latchkey",
            "sign",
            folder,
            "--keyless",
            "--fulcio",
            &url,
            "--rekor",
            &url,
        ];
        let sign = |token: &str| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "signing::a_job_signs_with_its_token"])
                .env(CHILD, words.join("\n"))
                .env("SIGSTORE_ID_TOKEN", token)
                .output()
                .unwrap()
        };
        assert!(!sign("no token").status.success());
        assert!(!Path::new(folder).join("release.sigstore.1.json").exists());
        let output = sign(&token());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let bundle = fs::read(Path::new(folder).join("release.sigstore.1.json")).unwrap();
        let roots = fs::read(place.path().join("trusted_root.json")).unwrap();
        let keyless = SigstoreKeyless::new(&roots).unwrap();
        let trust = release.trust(2, &roots);
        let accepted = judge(&trust, &release.envelope(), &[bundle], &keyless).unwrap();
        assert_eq!(accepted.signers, ["ci", "flow"]);
    }
}
