//! `latchkey import openapi`, as its users see it: what is written, what is said, and what happens
//! when the document changes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value as Json;

/// A small API with a bit of everything.
const SHOP: &str = include_str!("openapi/shop.yaml");

/// A project with one organization, one caller, and the document beside it.
struct Project(PathBuf);

impl Project {
    fn new(name: &str, document: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("openapi")
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let project = Self(folder);
        project.write("latchkey.toml", "[project]\nname = \"shop\"\n");
        project.write(
            "org.yaml",
            "organizations:\n  acme: {id: 6f1f6a5e-3c1d-4b57-9a53-0d7e5d2f8a11}\n",
        );
        project.write("shop.json", document);
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a file")
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .current_dir(&self.0)
            .args(args)
            .env("NO_COLOR", "1")
            .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
            .output()
            .expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().expect("a code"),
            String::from_utf8(said).expect("UTF-8"),
        )
    }

    fn import(&self, more: &[&str]) -> (i32, String) {
        self.run(&[&["import", "openapi", "shop.json"], more].concat())
    }
}

#[test]
fn a_document_becomes_an_entry_and_a_lock() {
    let project = Project::new("first", SHOP);
    let (code, said) = project.import(&["--in", "acme"]);
    assert_eq!(code, 0, "{said}");
    insta::assert_snapshot!("openapi_first", said);
    insta::assert_snapshot!("openapi_entry", project.read("servers/pet-shop.yaml"));
    insta::assert_snapshot!("openapi_lock", project.read("servers/pet-shop.lock.json"));
    let (code, said) = project.import(&["--check"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = project.run(&["check", "--format", "json"]);
    assert_eq!(code, 0, "{said}");
    // Nobody is granted anything yet, and nobody has looked at it.
    let report: Json = serde_json::from_str(&said).expect("JSON");
    for found in report["diagnostics"].as_array().expect("a list") {
        let code = found["code"].as_str();
        assert!(
            matches!(code, Some("LK2012" | "LK2013" | "LK6004")),
            "{found}"
        );
    }
}

#[test]
fn a_changed_document_is_told_in_meaning_and_edits_stay() {
    let project = Project::new("again", SHOP);
    project.import(&["--in", "acme"]);
    let policy = "servers/pet-shop.yaml";
    let edited = project
        .read(policy)
        .replace(
            "risk: read, review: by the rules of HTTP it only reads}",
            "risk: read}  # seen",
        )
        .replace("  pet-shop:\n", "  # Ours.\n  pet-shop:\n");
    let edited: String = edited
        .lines()
        .filter(|it| !it.contains("pets-delete"))
        .fold(String::new(), |text, line| text + line + "\n");
    project.write(policy, &edited);
    let changed = SHOP
        .replace("maxLength: 40", "maxLength: 400")
        .replace(
            "name: limit, in: query",
            "name: limit, in: query, required: true",
        )
        .replace("All pets", "Every pet")
        .replace(
            "    get: {operationId: pets/get}\n",
            "    patch: {operationId: pets/get}\n",
        )
        .replace(
            "        mother:",
            "        father: {$ref: \"#/components/schemas/Pet\"}\n        mother:",
        );
    project.write("shop.json", &changed);
    let (code, said) = project.import(&["--check"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(project.read(policy), edited, "nothing is written");
    insta::assert_snapshot!("openapi_again", said);
    let (code, said) = project.import(&[]);
    assert_eq!(code, 0, "{said}");
    let added = "      pets-get-2: {method: PATCH, path: \"/pets/{id}\", risk: write, \
                 review: its method does not say what it does}\n";
    assert_eq!(project.read(policy), format!("{edited}{added}"));
    // The route that is gone is still in the policy file, and `check` says so.
    let (code, said) = project.run(&["check"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("LK5003") && said.contains("`GET /pets/{id}`"),
        "{said}"
    );
}

#[test]
fn schemas_of_the_lock_are_enforced() {
    let project = Project::new("enforced", SHOP);
    project.import(&["--in", "acme"]);
    let access = "issuers:\n  idp:\n    issuer: https://idp.example\n    audiences: [https://shop]\n    \
        organizations: [acme]\n    jwks:\n      inline:\n        keys:\n          - {kty: OKP, crv: Ed25519, \
        alg: EdDSA, kid: a,\n             x: XixDSzpXzMuIM8eiV69wOww-WlwUJ0qgn47qbfzEHnU}\n\
        principals:\n  ana: {type: human, identity: {issuer: idp, subject: a}, in: acme}\n\
        roles:\n  user: {allow: {pet-shop: {risk: [read, write]}}}\n\
        bindings:\n  users: {who: [ana], roles: [user], in: acme}\n\
        matrices:\n  shop:\n    server: pet-shop\n    at: \"2026-12-01T10:00:00Z\"\n    \
        callers: {ana: {principal: ana}}\n    calls:\n      \
        one: {method: GET, path: /pets/7}\n      \
        no number: {method: GET, path: /pets/seven}\n      \
        listed: {method: GET, path: \"/pets?limit=5\"}\n      \
        unknown: {method: GET, path: \"/pets?page=5\"}\n      \
        made: {method: POST, path: /pets, body: {name: Rex, mother: {name: Dot}}}\n      \
        nested: {method: POST, path: /pets, body: {name: Rex, mother: {nam: Dot}}}\n      \
        bare: {method: POST, path: /pets}\n    \
        expect: |\n      \
        .          ana\n      \
        one        allow\n      \
        no number  schema_violation\n      \
        listed     allow\n      \
        unknown    schema_violation\n      \
        made       allow\n      \
        nested     schema_violation\n      \
        bare       schema_violation\n    \
        others: {ana: [put-pets-id-photo]}\n";
    project.write("access.yaml", access);
    let (code, said) = project.run(&["test"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_is_no_document_is_refused_and_nothing_is_written() {
    let deep = format!(
        "openapi: 3.1.0\npaths: {}{}",
        "{a: ".repeat(300),
        "}".repeat(300)
    );
    let swagger = "{\"swagger\": \"2.0\", \"paths\": {}}";
    let cases = [
        ("a: [1", "line "),
        ("\u{0}\u{1}", "LK7010"),
        (swagger, "Swagger 2.0"),
        ("openapi: 3.1.0\ninfo: {title: A}\n", "no path"),
        ("openapi: 4.0.0\npaths: {/a: {get: {}}}\n", "OpenAPI 4.0.0"),
        (deep.as_str(), "nested deeper"),
    ];
    let project = Project::new("refused", "");
    for (text, expected) in cases {
        project.write("shop.json", text);
        let (code, said) = project.import(&["--in", "acme"]);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("error[LK7010]") && said.contains(expected),
            "{said}"
        );
        assert!(said.contains("help: "), "{said}");
        assert!(!project.0.join("servers").exists());
    }
    fs::write(project.0.join("shop.json"), [0xff, 0xfe, 0x00]).expect("written");
    assert!(project.import(&["--in", "acme"]).1.contains("not UTF-8"));
}

#[test]
fn what_the_command_line_leaves_open_is_asked_for() {
    let nowhere = SHOP.replace("https://shop.example/v1", "/v1");
    let project = Project::new("open", &nowhere);
    let said = |more: &[&str]| {
        let (code, said) = project.import(more);
        assert_eq!(code, 2, "{said}");
        said
    };
    assert!(said(&["--in", "acme"]).contains("--upstream"));
    let upstream = ["--upstream", "https://shop.example/v1"];
    assert!(said(&upstream).contains("--in"));
    assert!(said(&[&upstream[..], &["--in", "acmee"]].concat()).contains("no scope `acmee`"));
    assert!(said(&["--check"]).contains("there is no server `pet-shop`"));
    assert!(said(&["--in", "acme", "--upstream", "shop"]).contains("`shop`"));
    let named = ["--in", "acme", "--server", "Pets"];
    assert!(said(&[&upstream[..], &named].concat()).contains("no name of a server"));
    let (code, text) = project.import(&[&upstream[..], &["--in", "acme"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(said(&["--in", "acme"]).contains("has `pet-shop` already"));
    project.write(
        "tools.yaml",
        "servers:\n  tools: {in: acme, upstream: \"http://127.0.0.1:1/mcp\", lock: t.lock.json}\n",
    );
    project.write("t.lock.json", "{\"version\": 1, \"tools\": {}}\n");
    assert!(said(&["--server", "tools"]).contains("has no routes"));
    project.write("broken.yaml", "servers: [\n");
    assert!(said(&[]).contains("the project has errors"));
}
