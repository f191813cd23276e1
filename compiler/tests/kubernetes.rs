//! `latchkey import kubernetes`, as its users see it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What `kubectl get latchkeyroles,latchkeybindings,... -o yaml` prints.
const EXPORT: &str = r#"apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyOrganization
  metadata:
    name: acme
    uid: 0b5e7a52-0000-4000-8000-000000000001
    resourceVersion: "812"
    creationTimestamp: "2026-11-01T10:00:00Z"
    managedFields: [{manager: kubectl, operation: Apply}]
    labels: {team: platform}
  spec: {id: 6f1f6a5e-3c1d-4b57-9a53-0d7e5d2f8a11}
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyServer
  metadata: {name: tickets, generation: 3}
  spec:
    in: acme
    upstream: http://tickets.tools.svc:9000/mcp
    tools:
      get_ticket:
        risk: read
        input:
          type: object
          properties: {id: {type: integer}}
          additionalProperties: false
  status: {ready: true}
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyRole
  metadata: {name: reader}
  spec: {allow: {tickets: [get_ticket]}}
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyPrincipal
  metadata: {name: ana}
  spec: {type: human, in: acme, identity: {issuer: idp, subject: a}}
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyIssuer
  metadata: {name: idp}
  spec:
    issuer: https://idp.acme.example
    audiences: [https://tools.acme.example]
    organizations: [acme]
    jwks:
      inline:
        keys: [{kty: OKP, crv: Ed25519, alg: EdDSA, x: XixDSzpXzMuIM8eiV69wOww-WlwUJ0qgn47qbfzEHnU}]
- apiVersion: latchkey.dev/v1alpha1
  kind: LatchkeyBinding
  metadata: {name: readers}
  spec: {who: [ana], roles: [reader], in: acme, expires: "2027-01-01"}
"#;

/// An empty project, and the export beside it.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("kubernetes")
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let project = Self(folder);
        project.write("latchkey.toml", "[project]\nname = \"shop\"\n");
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a file")
    }

    fn run(&self, args: &[&str], input: &str) -> (i32, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .current_dir(&self.0)
            .args(args)
            .env("NO_COLOR", "1")
            .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        // A program that refuses its arguments reads nothing.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().expect("a code");
        (code, String::from_utf8(said).expect("UTF-8"))
    }

    fn import(&self, export: &str, more: &[&str]) -> (i32, String) {
        self.run(&[&["import", "kubernetes", "-"], more].concat(), export)
    }
}

#[test]
fn an_export_becomes_a_file_for_each_section() {
    let project = Project::new("export");
    let (code, said) = project.import(EXPORT, &["--check"]);
    assert_eq!(code, 1, "{said}");
    assert!(!project.0.join("cluster").exists());
    let (code, said) = project.import(EXPORT, &[]);
    assert_eq!(code, 0, "{said}");
    insta::assert_snapshot!("kubernetes_export", said);
    let mut all = String::new();
    for section in [
        "bindings",
        "issuers",
        "organizations",
        "principals",
        "roles",
        "servers",
    ] {
        all += &project.read(&format!("cluster/{section}.yaml"));
    }
    insta::assert_snapshot!("kubernetes_files", all);
    let (code, said) = project.run(&["check"], "");
    assert_eq!(code, 0, "{said}");
    // Again: nothing is new, and nothing is written, wherever the entries stand by now.
    fs::rename(
        project.0.join("cluster/roles.yaml"),
        project.0.join("mine.yaml"),
    )
    .expect("moved");
    let (code, said) = project.import(EXPORT, &["--check"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = project.import(EXPORT, &["--format", "json"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(r#""roles":{"new":[],"same":["reader"]}"#),
        "{said}"
    );
    assert!(said.contains(r#""wrote":[]"#), "{said}");
}

#[test]
fn what_is_new_is_added_and_a_clash_is_refused() {
    let project = Project::new("again");
    project.import(EXPORT, &[]);
    let edited = project.read("cluster/roles.yaml") + "    # ours\n";
    project.write("cluster/roles.yaml", &edited);
    let more = "---\napiVersion: latchkey.dev/v1alpha1\nkind: LatchkeyRole\nmetadata: {name: auditor}\n\
                spec: {inherits: [reader]}\n";
    let (code, said) = project.import(&format!("{EXPORT}{more}"), &[]);
    assert_eq!(code, 0, "{said}");
    let added = "  auditor:\n    inherits: [reader]\n";
    assert_eq!(
        project.read("cluster/roles.yaml"),
        format!("{edited}{added}")
    );
    let other = EXPORT.replace("tickets: [get_ticket]", "tickets: \"*\"");
    let (code, said) = project.import(&other, &[]);
    assert_eq!(code, 2, "{said}");
    let told = "`roles.reader` says something else at cluster/roles.yaml:4:3";
    assert!(
        said.contains("error[LK7011]") && said.contains(told),
        "{said}"
    );
    assert_eq!(
        project.read("cluster/roles.yaml"),
        format!("{edited}{added}")
    );
}

#[test]
fn what_cannot_be_an_entry_is_refused_and_nothing_is_written() {
    let cases = [
        ("a: [", "line 1"),
        ("kind: List\nitems: []\n", "no resource"),
        (
            &EXPORT.replace("kind: LatchkeyRole\n", "kind: LatchkeyRoel\n"),
            "did you mean `LatchkeyRole`?",
        ),
        (
            &EXPORT.replace("spec: {allow: {", "spec: {alow: {"),
            "roles.reader.alow: ",
        ),
        (
            &EXPORT.replace("name: reader", "name: Reader.x"),
            "Reader.x",
        ),
        (
            &EXPORT.replace("type: human, in: acme", "type: human, in: ~"),
            "principals.ana.in: ",
        ),
    ];
    let project = Project::new("refused");
    for (export, told) in cases {
        let (code, said) = project.import(export, &[]);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("error[LK7010]") && said.contains(told),
            "{told}: {said}"
        );
        assert!(!project.0.join("cluster").exists(), "{told}");
    }
    for outside in ["../out", "/tmp", "a/../../b"] {
        let (code, said) = project.import(EXPORT, &["--output", outside]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("would be no file of the project"), "{said}");
    }
}
