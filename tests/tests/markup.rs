//! Texts of a policy are text in every report: whatever they say, the page has the same elements.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use latchkey_tests::{golden::root, peer, program::program};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Each of them means something to HTML, to Markdown or to both.
const TEXTS: [&str; 9] = [
    "<script>alert(1)</script>",
    "</code></td><img src=x onerror=alert(1)>",
    "`</code><b>bold</b>",
    "``` ` `` <i>it</i>",
    "a\\|<u>cell</u> | b |",
    "one\n\n# two\n- three\r\n| four |",
    "**bold** _it_ [link](https://evil.example) ![x](y)",
    "https://evil.example/?a=b&c=d @everyone &lt;b&gt; &#60;",
    "\"onmouseover='x' --> <!-- ]]>",
];

#[test]
fn no_text_of_a_policy_becomes_markup() {
    let mut documents = Vec::new();
    for text in TEXTS {
        for kind in ["markdown", "html"] {
            for (report, shown) in reports(text, kind) {
                let plain = reports("plain", kind);
                let plain = plain.iter().find(|it| it.0 == report).unwrap();
                documents.push((text, kind, report, shown, plain.1.clone()));
            }
        }
    }
    let pages = documents
        .iter()
        .flat_map(|(_, kind, _, hostile, plain)| [(*kind, hostile), (*kind, plain)]);
    let found = elements(pages);
    assert_eq!(found.len(), 2 * documents.len());
    for ((text, kind, report, ..), pair) in documents.iter().zip(found.chunks(2)) {
        assert_eq!(pair[0][0], pair[1][0], "{report} as {kind} with {text:?}");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let longest = words.max_by_key(|it| it.len()).unwrap();
        let seen = pair[0][1].as_str().unwrap();
        assert!(seen.contains(longest), "{report} as {kind} hides {text:?}");
    }
}

/// Every report in one format: of a change that opens a lot, and of what is open then.
fn reports(text: &str, kind: &str) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "old", text, false);
    write(&folder, "new", text, true);
    let run = |args: &[&str]| {
        let output = Command::new(program("latchkey"))
            .args(args)
            .args(["--format", kind])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?} with {text:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut reports = vec![("diff", run(&["diff", "old", "new"]))];
    if kind == "html" {
        reports.push(("who-can", run(&["-C", "new", "who-can", "desk/say"])));
        reports.push(("what-can", run(&["-C", "new", "what-can", "ann"])));
    }
    reports
}

fn write(folder: &TempDir, name: &str, text: &str, open: bool) {
    let folder = folder.path().join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("latchkey.toml"),
        "[project]\nname = \"markup\"\n",
    )
    .unwrap();
    put(&folder, &policy(text, open));
}

fn put(folder: &Path, policy: &Value) {
    fs::write(folder.join("policy.yaml"), policy.to_string()).unwrap();
}

/// A policy that has a text wherever one can stand.
fn policy(text: &str, open: bool) -> Value {
    let literal = Value::from(text).to_string();
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k",
        "x": "_QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0"});
    let mut policy = json!({
        "organizations": {"acme": {"id": "0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01",
            "teams": {"red": {}, "blue": {}}}},
        "issuers": {"idp": {"issuer": "https://idp.example", "audiences": ["https://t.example"],
            "jwks": {"inline": {"keys": [key]}}, "organizations": ["acme"],
            "claims": {"groups": "groups"}, "maxLifetime": "1h"}},
        "groups": {"staff": {"from": {"issuer": "idp", "value": text}}},
        "principals": {"ann": {"type": "human", "identity": {"issuer": "idp", "subject": text},
            "in": "acme/red"}},
        "servers": {"desk": {"in": "acme", "transport": "mcp",
            "upstream": "http://127.0.0.1:9000/mcp",
            "scopes": {"from": {"argument": "where"},
                "map": {text: "acme/red", "elsewhere": "acme/blue"}},
            "tools": {
                "say": {"risk": "write", "input": schema(), "limits": {"rate": "9/m"}},
                "look": {"access": "public", "risk": "read", "reason": text, "scope": "server",
                    "input": schema()},
                "act": {"operations": {"argument": "what", "values": {
                    "plain-one": {"risk": "write"}}}, "scope": "server", "input": schema()},
            }}},
        "roles": {"all": {"allow": {"desk": ["say", "act:plain-one"]}}},
        "bindings": {"first": {"who": ["ann"], "roles": ["all"], "in": "acme/blue",
            "when": format!("args.what == {literal}")}},
        "rules": {"no": {"effect": "deny", "surfaces": {"desk": ["say"]}, "message": text,
            "when": format!("args.what.contains({literal}) && args.what != {literal}")}},
    });
    if open {
        policy["bindings"]["second"] = json!({"who": ["group:staff", "ann"], "roles": ["all"],
            "in": "acme", "reason": text, "crossOrganization": true,
            "when": format!("args.what != {literal} || args.where.startsWith({literal})")});
        policy["rules"]["slow"] = json!({"effect": "require", "surfaces": {"desk": ["say"]},
            "when": format!("args.what == {literal}"), "require": {"rate": "3/m"}});
    }
    policy
}

fn schema() -> Value {
    json!({"type": "object", "required": ["where", "what"], "additionalProperties": false,
        "properties": {"where": {"type": "string"}, "what": {"type": "string"}}})
}

/// The elements and the text of documents, in order.
fn elements<'d>(documents: impl Iterator<Item = (&'d str, &'d String)>) -> Vec<Value> {
    let mut child = Command::new(peer::github_markdown())
        .arg(root().join("tests/peers/tags.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = documents
        .map(|(kind, text)| json!({"kind": kind, "text": text}).to_string())
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(serde_json::from_str::<Value>);
    lines.collect::<Result<_, _>>().unwrap()
}
