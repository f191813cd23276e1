use serde_json::{Value, json};

use super::*;
use crate::testing::{Manner, Server, run};
use crate::{Carrier, Location};

/// A registry that holds what a test puts there.
struct Registry(Server);

impl Registry {
    fn start() -> Self {
        Self(Server::start())
    }

    fn open(&self) -> Carrier {
        let location = format!("oci://{}/acme/policy:main", self.0.address());
        let location: Location = location.parse().unwrap();
        let options = Options {
            stall: Duration::from_millis(800),
            docker_config: Some("/none/config.json".into()),
            ..Options::default()
        };
        Carrier::open(&location, options).unwrap()
    }

    fn path(kind: &str, name: &str) -> String {
        format!("/v2/acme/policy/{kind}/{name}")
    }

    /// Puts a manifest under the tag and its digest.
    fn tag(&self, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let digest = oci_digest(&bytes);
        self.0.set(&Self::path("manifests", &digest), &bytes);
        self.0.set(&Self::path("manifests", "main"), &bytes);
        digest
    }

    /// Puts files with a manifest that lists them.
    fn hold(&self, files: &[(&str, &[u8])]) {
        let layers = files.iter().map(|(name, bytes)| {
            let digest = oci_digest(bytes);
            self.0.set(&Self::path("blobs", &digest), bytes);
            layer(name, bytes)
        });
        let layers: Vec<_> = layers.collect();
        self.tag(&manifest(&layers));
    }
}

fn layer(name: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": "application/vnd.latchkey.policy.v1",
        "digest": oci_digest(bytes),
        "size": bytes.len(),
        "annotations": {"org.opencontainers.image.title": name},
    })
}

fn manifest(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.latchkey.bundle.v1",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
            "digest": oci_digest(b"{}"), "size": 2},
        "layers": layers,
    })
}

#[test]
fn what_is_read_belongs_to_one_manifest_until_a_change_is_asked_for() {
    let registry = Registry::start();
    registry.hold(&[("github.lkb", b"one"), (names::RELEASE, b"first")]);
    let carrier = registry.open();
    run(async {
        assert_eq!(carrier.changed(None).await, Ok(true));
        let got = carrier.get("github.lkb", 10).await.unwrap();
        assert_eq!(got.as_deref(), Some(&b"one"[..]));
        registry.hold(&[("github.lkb", b"two"), (names::RELEASE, b"second")]);
        let got = carrier.get(names::RELEASE, 10).await.unwrap();
        assert_eq!(got.as_deref(), Some(&b"first"[..]));
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
        let got = carrier.get(names::RELEASE, 10).await.unwrap();
        assert_eq!(got.as_deref(), Some(&b"second"[..]));
        let by_digest = names::file(&Digest::of(b"two"));
        let got = carrier.get(&by_digest, 10).await.unwrap();
        assert_eq!(got.as_deref(), Some(&b"two"[..]));
        assert_eq!(carrier.get("places.lkm", 10).await, Ok(None));
    });
}

#[test]
fn a_tag_that_is_not_there_yet_is_no_release() {
    let registry = Registry::start();
    let carrier = registry.open();
    assert_eq!(run(carrier.release()), Ok(None));
    assert_eq!(run(carrier.changed(None)), Ok(true));
    assert_eq!(run(carrier.changed(None)), Ok(false));
    registry.hold(&[("github.lkb", b"one")]);
    assert_eq!(run(carrier.changed(None)), Ok(true));
    assert!(run(carrier.get("github.lkb", 10)).unwrap().is_some());
}

#[test]
fn a_layer_beyond_the_limit_is_not_even_asked_for() {
    let registry = Registry::start();
    registry.hold(&[("github.lkb", b"one")]);
    let carrier = registry.open();
    let error = run(carrier.get("github.lkb", 2)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    let requests = registry.0.requests().join(" ");
    assert!(!requests.contains("blobs"), "{requests}");
}

#[test]
fn manifests_that_are_not_ours_or_not_sound_are_refused() {
    let registry = Registry::start();
    let kind = || {
        run(registry.open().get("github.lkb", 10))
            .unwrap_err()
            .kind()
    };
    let mut other = manifest(&[]);
    other["artifactType"] = json!("application/vnd.example");
    registry.tag(&other);
    assert_eq!(kind(), Kind::Damaged);
    let twice = [layer("github.lkb", b"one"), layer("github.lkb", b"two")];
    registry.tag(&manifest(&twice));
    assert_eq!(kind(), Kind::Damaged);
    let mut astray = layer("github.lkb", b"one");
    astray["digest"] = json!("sha256:../../../secret");
    registry.tag(&manifest(&[astray]));
    assert_eq!(kind(), Kind::Damaged);
    registry.tag(&json!([1]));
    assert_eq!(kind(), Kind::Damaged);
    let outside = [layer("../../etc/passwd", b"one")];
    registry.tag(&manifest(&outside));
    assert_eq!(run(registry.open().get("github.lkb", 10)), Ok(None));
}

#[test]
fn swapped_bytes_are_refused() {
    let registry = Registry::start();
    registry.hold(&[("github.lkb", b"one")]);
    let blob = Registry::path("blobs", &oci_digest(b"one"));
    registry.0.set(&blob, b"two");
    let error = run(registry.open().get("github.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    registry.0.behave(&blob, Manner::Endless);
    let error = run(registry.open().get("github.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    let digest = registry.tag(&manifest(&[]));
    let by_digest = Registry::path("manifests", &digest);
    let swapped = manifest(&[layer("github.lkb", b"two")]);
    registry.0.set(&by_digest, swapped.to_string().as_bytes());
    let error = run(registry.open().get("github.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    registry.0.behave(&by_digest, Manner::Endless);
    let error = run(registry.open().get("github.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
}

#[test]
fn a_token_is_fetched_where_the_registry_says() {
    let registry = Registry::start();
    registry.hold(&[("github.lkb", b"one")]);
    registry.0.want("issued-secret");
    let carrier = registry.open();
    let error = run(carrier.get("github.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let address = registry.0.address();
    let query = "scope=repository%3Aacme%2Fpolicy%3Apull&service=registry";
    let issued = format!("/token?{query}");
    registry.0.set(&issued, br#"{"token":"issued-secret"}"#);
    let challenge = format!(r#"Bearer realm="http://{address}/token",service="registry""#);
    registry.0.challenge(&challenge);
    assert!(run(carrier.get("github.lkb", 10)).unwrap().is_some());
    assert!(!format!("{carrier:?}").contains("secret"));
    registry.0.requests();
    assert!(run(carrier.get("github.lkb", 10)).unwrap().is_some());
    let requests = registry.0.requests();
    assert!(
        requests.iter().all(|it| !it.ends_with("401")),
        "{requests:?}"
    );
    registry
        .0
        .challenge(r#"Bearer realm="http://elsewhere.example/token""#);
    let error = run(registry.open().get("github.lkb", 10)).unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}
