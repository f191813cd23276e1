//! Push and pull through a real OCI registry: the `docker-registry` of the distribution, 2.8.2 in
//! Debian 12.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "carried/releases.rs"]
mod releases;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use latchkey_carrier::{Carrier, How, Kind, Location, Options, names, publish};
use latchkey_tests::{
    client,
    golden::{Golden, root},
    live::{Rig, wait_for},
    publisher::Publisher,
};
use releases::{Made, Program, free_address, packaged, run};
use serde_json::Value;
use tempfile::TempDir;

/// `mallory:correct horse`, hashed as the registry wants it.
const HTPASSWD: &str = "mallory:$2b$04$jTbTaz/aEXqfGyFH6Wq3ZuuIo4./xq7M6oAcdi4.JOdnk1iYgj792\n";

/// A registry on loopback with nothing in it.
struct Registry {
    address: SocketAddr,
    folder: TempDir,
    _program: Program,
}

impl Registry {
    fn open() -> Self {
        Self::start("")
    }

    /// A registry that lets in `mallory` alone.
    fn closed() -> Self {
        Self::start("auth:\n  htpasswd: {realm: test, path: HTPASSWD}\n")
    }

    fn start(auth: &str) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let at = |name: &str| folder.path().join(name);
        fs::write(at("htpasswd"), HTPASSWD).unwrap();
        let auth = auth.replace("HTPASSWD", &at("htpasswd").to_string_lossy());
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: \"{address}\"}}\n{auth}",
            at("store").display()
        );
        fs::write(at("config.yml"), config).unwrap();
        let program = Command::new(packaged("docker-registry", "/usr/bin/docker-registry"))
            .arg("serve")
            .arg(at("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut program = Program(program);
        program.wait_for(address, String::new);
        Self {
            address,
            folder,
            _program: program,
        }
    }

    fn location(&self) -> Location {
        let location = format!("oci://{}/acme/policy:main", self.address);
        location.parse().unwrap()
    }

    /// The manifest under the tag, read without any of the code under test.
    fn manifest(&self) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET /v2/acme/policy/manifests/main HTTP/1.0\r\n\
             Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        serde_json::from_str(body).unwrap()
    }
}

fn anonymous() -> Options {
    Options {
        docker_config: Some("/none/config.json".into()),
        ..Options::default()
    }
}

fn offered(reader: &Carrier) -> Vec<u8> {
    run(reader.release()).unwrap().unwrap().envelope
}

#[test]
fn what_is_pushed_is_pulled_and_a_second_version_comes_as_a_patch() {
    let registry = Registry::open();
    let (first, options) = (Made::first(), anonymous());
    let second = first.next();
    let reader = Carrier::open(&registry.location(), options.clone()).unwrap();
    assert_eq!(run(reader.release()), Ok(None));
    assert_eq!(run(reader.changed(None)), Ok(true));
    first.push(&registry.location(), &options);
    assert_eq!(run(reader.changed(None)), Ok(true));
    assert_eq!(run(reader.changed(None)), Ok(false));
    assert!(offered(&reader) == first.files[names::RELEASE]);
    let pushed = second.push(&registry.location(), &options);
    assert!(
        pushed
            .written
            .iter()
            .all(|it| it.name != names::file(&first.subject("jira.lkb").sha256))
    );
    // Until it asks for changes, a reader stays with the release that it began with.
    assert!(offered(&reader) == first.files[names::RELEASE]);
    assert_eq!(run(reader.changed(None)), Ok(true));
    assert!(offered(&reader) == second.files[names::RELEASE]);
    let have = &first.files["github.lkb"];
    let fetched = run(reader.subject(&second.subject("github.lkb"), Some(have))).unwrap();
    assert_eq!(fetched.how, How::Patch);
    assert!(fetched.transferred < 1000, "{fetched:?}");
    // The release before is still whole.
    for subject in &first.statement.subjects {
        run(reader.subject(subject, None)).unwrap();
    }
    let older = run(reader.get(&names::statement(&first.digest), 1 << 20)).unwrap();
    assert!(older.as_ref() == Some(&first.files[names::RELEASE]));

    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("release");
    let pulled = run(publish::pull(&registry.location(), &into, &options)).unwrap();
    assert_eq!(pulled.version, 2);
    second.assert_in(&into);
}

#[test]
fn the_manifest_is_one_that_other_clients_read() {
    let registry = Registry::open();
    let (made, options) = (Made::first(), anonymous());
    made.push(&registry.location(), &options);
    let manifest = registry.manifest();
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.latchkey.bundle.v1"
    );
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.empty.v1+json"
    );
    let layers = manifest["layers"].as_array().unwrap();
    let of = |name: &str| {
        let title = |it: &&Value| it["annotations"]["org.opencontainers.image.title"] == name;
        layers
            .iter()
            .find(title)
            .unwrap_or_else(|| panic!("no {name}: {layers:?}"))
    };
    for (name, media_type) in [
        ("github.lkb", "application/vnd.latchkey.policy.v1"),
        ("places.lkm", "application/vnd.latchkey.places.v1"),
    ] {
        assert_eq!(of(name)["mediaType"], media_type);
        let signed = made.subject(name);
        assert_eq!(of(name)["digest"], format!("sha256:{}", signed.sha256));
        assert_eq!(of(name)["size"], signed.size);
    }
    let envelope = "application/vnd.dsse.envelope.v1+json";
    assert_eq!(of(names::RELEASE)["mediaType"], envelope);
    // The same push makes the same manifest.
    made.push(&registry.location(), &options);
    assert_eq!(registry.manifest(), manifest);
}

#[test]
fn readers_during_pushes_see_whole_releases_that_never_go_back() {
    let registry = Registry::open();
    let options = anonymous();
    let mut made = Made::first();
    made.push(&registry.location(), &options);
    let (location, limits) = (registry.location(), options.clone());
    let pushing = thread::spawn(move || {
        for _ in 0..6 {
            made = made.next();
            made.push(&location, &limits);
        }
    });
    let mut highest = 0;
    while highest < 7 {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("release");
        match run(publish::pull(&registry.location(), &into, &options)) {
            Ok(pulled) => {
                assert!(pulled.version >= highest);
                highest = pulled.version;
            }
            // While a tag is written this registry may answer 500: a reader comes again.
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
    pushing.join().unwrap();
}

#[test]
fn a_lower_version_is_not_pushed_over_a_higher() {
    let registry = Registry::open();
    let (first, options) = (Made::first(), anonymous());
    first.next().push(&registry.location(), &options);
    let before = registry.manifest();
    let folder = first.folder();
    let refused = run(publish::push(folder.path(), &registry.location(), &options));
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(registry.manifest(), before);
}

#[test]
fn a_closed_registry_takes_dockers_credentials() {
    let registry = Registry::closed();
    let made = Made::first();
    let folder = made.folder();
    let push = |options: &Options| run(publish::push(folder.path(), &registry.location(), options));
    let error = push(&anonymous()).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let config = registry.folder.path().join("config.json");
    let options = Options {
        docker_config: Some(config.clone()),
        timeout: Duration::from_secs(20),
        ..Options::default()
    };
    // `mallory:wrong horse`, and then the right one.
    let auth = |pair: &str| {
        format!(
            r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#,
            registry.address
        )
    };
    fs::write(&config, auth("bWFsbG9yeTp3cm9uZyBob3JzZQ==")).unwrap();
    let error = push(&options).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("horse"));
    fs::write(&config, auth("bWFsbG9yeTpjb3JyZWN0IGhvcnNl")).unwrap();
    push(&options).unwrap();
    let into = folder.path().join("pulled");
    run(publish::pull(&registry.location(), &into, &options)).unwrap();
    made.assert_in(&into);
}

#[test]
fn a_sidecar_follows_a_registry() {
    let registry = Registry::open();
    let golden = Golden::open(&root().join("tests/golden/scope-map"));
    let rig = Rig::new(&golden, "git");
    let folder = rig.path().join("made");
    let mut publisher = Publisher::new(&golden, &rig.model, &folder);
    let trust = publisher.trust(1, |_| {}).to_string();
    fs::write(rig.path().join("trust.json"), trust).unwrap();
    let mut push = |version, content| {
        let mut draft = publisher.draft(version);
        draft.content = content;
        publisher.publish(&draft);
        run(publish::push(&folder, &registry.location(), &anonymous())).unwrap();
    };
    push(1, 0);
    let source = registry.location().to_string();
    let more = format!("bundle.source = {source:?}\nbundle.poll = \"100ms\"");
    let sidecar = rig.spawn(&more);
    let follows = |version: u64| {
        wait_for("the release of the registry", || {
            client::get(sidecar.admin, "/status").json()["bundle"]["version"] == version
        });
    };
    follows(1);
    push(2, 1);
    follows(2);
    let metrics = client::get(sidecar.admin, "/metrics").body;
    let patched = metrics
        .lines()
        .find(|line| line.contains("bytes") && line.contains("patch"))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(!patched.ends_with(" 0"), "{patched}");
}
