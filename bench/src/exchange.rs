//! The one exchange that is sent through every proxy, and the policy that allows it.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use crate::process::{self, Failure};

/// What the servers of this policy are called by.
pub const AUDIENCE: &str = "https://tools.bench.example";
/// Who signs the tokens.
pub const ISSUER: &str = "https://idp.bench.example";

/// Who calls.
pub const SUBJECT: &str = "agent-triage";

/// Who signs tokens. The key is for measuring only: everybody knows it.
fn issuer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Its public key, as a JWKS.
pub fn keys() -> String {
    let public = BASE64.encode(issuer().verifying_key().as_bytes());
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "bench", "x": public,
    });
    json!({"keys": [key]}).to_string()
}

/// A token of the one caller, good for an hour.
pub fn token() -> Result<String, Failure> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "bench"});
    let claims = json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "client_id": "bench",
        "iat": now - 1, "exp": now + 3600, "jti": "01J9ZQ0W7N6Q4M5R8T2V3X4Y5Z",
        "groups": ["gh-payments-maint", "gh-everybody"],
    });
    let [header, claims] = [header, claims].map(|it| BASE64.encode(it.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = issuer().sign(signed.as_bytes()).to_bytes();
    Ok(format!("{signed}.{}", BASE64.encode(signature)))
}

/// A tool call of about 590 bytes.
pub fn call(tool: &str) -> String {
    let arguments = json!({
        "query": "retry storm settlement worker timeout after deploy", "team": "payments",
        "state": "open", "limit": 8, "labels": ["payments", "incident", "p1"],
        "created_after": "2026-11-01T00:00:00Z", "include_closed": false,
        "sort": {"field": "updated_at", "order": "desc"},
        "note": "look for duplicates of the ticket that the on-call engineer opened during last \
                 night's deploy window; only unassigned or team-payments tickets matter for this \
                 triage pass, and skip anything already linked to an incident review",
    });
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    })
    .to_string()
}

/// The whole request.
pub fn request(host: SocketAddr, token: &str, tool: &str) -> Vec<u8> {
    let body = call(tool);
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2025-06-18\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What the tool answers: about 1 kB.
pub fn result() -> String {
    let mut rows = String::new();
    for at in 0..10 {
        let number = 41_000 + at * 37;
        let _ = writeln!(
            rows,
            "#{number} open  P{}  assigned=team-payments  title=Retry storm on settlement worker",
            at % 4
        );
    }
    json!({
        "jsonrpc": "2.0", "id": 1,
        "result": {"content": [{"type": "text", "text": rows}], "isError": false},
    })
    .to_string()
}

/// Writes, builds and signs a policy for an upstream; answers what the sidecar's settings must
/// say about it.
pub fn build_policy(folder: &Path, upstream: SocketAddr) -> Result<String, Failure> {
    let project = folder.join("policy");
    fs::create_dir_all(&project)?;
    let toml = "[project]\nname = \"bench\"\ninclude = [\"**/*.yaml\"]\n";
    fs::write(project.join("latchkey.toml"), toml)?;
    let policy = POLICY
        .replace("UPSTREAM", &upstream.to_string())
        .replace("JWKS", &keys());
    fs::write(project.join("policy.yaml"), policy)?;
    let latchkey = process::beside("latchkey")?;
    let key = folder.join("release");
    let bundle = folder.join("bundle");
    let secret = key.with_extension("key");
    let at = ["-C".as_ref(), project.as_os_str()];
    let keygen = ["keygen".as_ref(), "--out".as_ref(), key.as_os_str()];
    process::run(&latchkey, &[&at[..], &keygen].concat())?;
    let build = ["build".as_ref(), "--out".as_ref(), bundle.as_os_str()];
    let signed = ["--key".as_ref(), secret.as_os_str()];
    let sequence = ["--sequence".as_ref(), "1".as_ref()];
    process::run(&latchkey, &[&at[..], &build, &signed, &sequence].concat())?;
    Ok(format!(
        "[bundle]\nsource = {bundle:?}\nserver = \"tickets\"\n[trust]\nfile = {:?}\n",
        key.with_extension("trust.json")
    ))
}

const POLICY: &str = r#"
organizations:
  acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {payments: {}, platform-eng: {}}}
issuers:
  idp:
    issuer: https://idp.bench.example
    audiences: [https://tools.bench.example]
    jwks: {inline: JWKS}
    organizations: [acme]
    claims: {groups: groups}
    maxLifetime: 2h
groups:
  maintainers: {from: {issuer: idp, value: gh-payments-maint}, within: acme/payments}
principals:
  alice: {type: human, identity: {issuer: idp, subject: u-1001}, in: acme/payments}
  triage-bot: {type: agent, identity: {issuer: idp, subject: agent-triage}, in: acme/payments, owner: alice}
servers:
  tickets:
    in: acme
    transport: mcp
    upstream: http://UPSTREAM/mcp
    arguments: {team: {fold: ascii-lower}}
    scopes: {from: {argument: team}, map: {payments: acme/payments, "infra-*": acme/platform-eng}}
    limits: {rate: 1000000/s}
    tools:
      search:
        risk: read
        input:
          type: object
          required: [query, team, state, limit, include_closed]
          additionalProperties: false
          properties:
            query: {type: string, minLength: 1, maxLength: 500}
            team: {type: string}
            state: {type: string, enum: [open, closed, all]}
            limit: {type: integer, minimum: 1, maximum: 100}
            labels: {type: array, maxItems: 20, items: {type: string}}
            created_after: {type: string}
            include_closed: {type: boolean}
            sort:
              type: object
              properties: {field: {type: string}, order: {type: string, enum: [asc, desc]}}
            note: {type: string, maxLength: 1000}
      watch: {risk: read, input: {type: object, required: [team], properties: {team: {type: string}}}}
      delete: {risk: write, input: {type: object, required: [team], properties: {team: {type: string}}}}
roles:
  searcher: {allow: {tickets: [search]}}
  watcher: {allow: {tickets: [watch]}}
bindings:
  triage-bot: {who: [triage-bot], roles: [searcher, watcher], in: acme/payments, expires: "2099-01-01"}
  maintainers: {who: ["group:maintainers"], roles: [searcher], in: acme/payments, when: args.limit <= 50}
rules:
  no-closed-tickets:
    effect: deny
    who: ["type:agent"]
    surfaces: {tickets: [search]}
    when: args.include_closed || args.state == "all"
    message: Agents look at open tickets.
"#;
