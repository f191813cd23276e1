//! What the sidecar says and keeps never holds a token, or what a token could be made of.

use std::{fmt::Write as _, path::Path};

use crate::{bundle, client, crash::Program, server::ToolServer};

/// All that a program has written and answers, by where it stands.
fn everything_said(folder: &Path, program: &Program) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for path in ["/metrics", "/status", "/readyz", "/healthz"] {
        let answer = client::get(program.admin, path);
        said.push((path.to_owned(), answer.body));
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                said.push((path.display().to_string(), text));
            }
        }
    }
    said
}

/// Tokens that are good, refused by policy, expired, forged and broken.
fn tokens() -> Vec<String> {
    let good = bundle::token("alice");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged: String = signature.chars().rev().collect();
    vec![
        bundle::token("bob"),
        bundle::token("a-stranger"),
        bundle::minted("alice", -600),
        format!("{signed}.{forged}"),
        format!("{signed}{signature}"),
        format!("{good}.more-of-it"),
        format!("not-a-token-but-secret-{}", signature.get(..20).unwrap()),
        good,
    ]
}

#[test]
fn no_token_is_written_or_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::logging(folder.path(), "", "trace");
    let tokens = tokens();
    let mut said = Vec::new();
    for token in &tokens {
        for request in requests(token) {
            let mut connection = client::Connection::open(program.address, "");
            connection.send(&request).unwrap();
            // A head that is no head is not answered by an orderly one.
            if let Ok(answer) = connection.answer() {
                let mut text = answer.body;
                for (name, value) in &answer.headers {
                    let _ = write!(text, "\n{name}: {value}");
                }
                said.push(("an answer".to_owned(), text));
            }
        }
    }
    for seen in server.seen() {
        said.push(("what went upstream".to_owned(), format!("{seen:?}")));
    }
    said.extend(everything_said(folder.path(), &program));
    program.signal("TERM");
    program.ended();
    said.push((
        "the log".to_owned(),
        std::fs::read_to_string(folder.path().join("log.txt")).unwrap(),
    ));
    let log = folder.path().join("audit.jsonl");
    assert!(std::fs::read_to_string(log).unwrap().lines().count() > 3 * tokens.len());
    for token in &tokens {
        // A whole token, its claims, or its signature.
        for part in std::iter::once(token.as_str()).chain(token.split('.')) {
            // The header of a token is the same for all and says nothing.
            if part.len() < 20 || tokens.iter().all(|it| it.starts_with(part)) {
                continue;
            }
            for (place, text) in &said {
                assert!(!text.contains(part), "{place} holds `{part}`:\n{text}");
            }
        }
    }
}

/// One token in good and bad requests.
fn requests(token: &str) -> Vec<String> {
    let body = client::tool_call("get_issue");
    let post = |headers: &str, body: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    vec![
        post(&bearer, &body),
        post(&bearer, "{"),
        post(&bearer.repeat(2), &body),
        post(&format!("Authorization: {token}\r\n"), &body),
        post(&format!("Authorization: Basic {token}\r\n"), &body),
        post(&format!("{bearer}no header\r\n"), &body),
    ]
}
