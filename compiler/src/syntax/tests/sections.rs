//! Every section with every key, read to its value and place.

use super::*;
use crate::diag::render::human::Style;

const ORG: &str = r#"# org.yaml
organizations:
  acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {payments: {}, platform-eng: {}}}
issuers:
  acme-idp:
    issuer: https://idp.acme.example
    audiences: [https://tools.acme.example/github]
    algorithms: [EdDSA, ES256]
    jwks: {inline: {keys: [{kty: OKP, crv: Ed25519, x: "abc", use: sig}]}}
    organizations: [acme]
    claims: {groups: groups}
    clockSkew: 30s
    maxLifetime: 1h
groups:
  payments-maintainers: {from: {issuer: acme-idp, value: gh-payments-maint}, within: acme/payments}
principals:
  alice: {identity: {issuer: acme-idp, subject: u-1001}, type: human, in: acme/payments}
  triage-bot: {identity: {issuer: acme-idp, subject: agent-triage}, type: agent, in: acme/payments, owner: alice, tags: [ci]}
"#;

const SERVER: &str = r#"# servers/github.yaml
servers:
  github:
    in: acme
    upstream: http://127.0.0.1:9000/mcp
    lock: github.lock.json
    arguments:
      owner: {fold: ascii-lower, only: [acme]}
      repo: {fold: ascii-lower}
    scopes: {from: {argument: repo}, map: {ledger: acme/payments, invoices: acme/payments, "infra-*": acme/platform-eng}}
    tools:
      get_issue: {risk: read}
      search_issues: {risk: read, scope: {unscoped: "the query may name any repository"}}
      push_files: {risk: write, limits: {rate: 30/m}, audit: [branch]}
      repo_admin: {operations: {argument: action, values: {rename: {risk: write}, archive: {risk: destructive, unlock: grant}}}}
      delete_repository: {risk: destructive, unlock: break_glass, input: {type: object}}
    prompts:
      triage: {risk: read, access: public, reason: it is in the handbook}
    resources:
      docs: {risk: read, uri: "file:///docs/{path}", access: authenticated}
    limits: {body: 64KiB, headerTimeout: 5s, timeout: 500ms, rate: 10/s}
    disclose: full
    serverRequests: {sampling: true, elicitation: {form: true, url: [login.example, "*.id.example"]}}
    era: legacy
  refunds:
    in: acme/payments
    transport: http
    upstream: https://refunds.internal:8443
    scopes: principal
    routes:
      read-refund: {risk: read, method: GET, path: "/v1/refunds/{id}", scope: {force: {argument: tenant, value: organization}}}
roles:
  github-triager: {allow: {github: [get_issue]}}
  github-maintainer: {inherits: [github-triager], allow: {github: [push_files, "repo_admin:rename"]}}
  github-owner: {allow: {github: {risk: [read, write]}}, destructive: {github: [delete_repository]}}
  all: {allow: {github: "*"}, description: everything that is not destructive}
"#;

const ACCESS: &str = r#"
bindings:
  triage-bot: {who: [triage-bot], roles: [github-triager], in: acme/payments, expires: "2027-03-31"}
  maintainers: {who: ["group:payments-maintainers"], roles: [github-maintainer], in: acme/payments}
rules:
  agents-stay-on-branches:
    effect: deny
    who: ["type:agent"]
    except: ["tag:ci", everyone]
    surfaces: {github: [push_files]}
    when: args.branch == "main" || args.branch.startsWith("release/")
    message: Agents work on branches; open a pull request.
  writes-are-paced: {effect: require, surfaces: {github: {risk: [write]}}, require: {rate: 30/m}}
"#;

const MATRIX: &str = r#"
matrices:
  github:
    server: github
    at: "2026-12-01T10:00:00Z"
    callers:
      bot: {principal: triage-bot}
      maint: {principal: alice, groups: [gh-payments-maint], ip: 10.1.2.3, token_permissions: []}
    calls:
      read ledger: {get_issue: {owner: acme, repo: ledger, number: 1}}
      push to Main: {push_files: {owner: ACME, repo: Ledger, branch: main, files: []}}
    expect: |
      .             bot            maint
      read ledger   allow          allow

      push to Main  no_permission  allow
    others: {bot: [], maint: ["repo_admin:rename"]}
"#;

const LOCK: &str = r#"{"version":1,"tools":{"get_issue":{"definition":{"name":"get_issue","description":"Reads.",
    "inputSchema":{"type":"object"}},
    "pin":"sha256:65a486b9b10e63f290ffdf1eb0de872a5324c0f27d693ae59e99d7261edbafb5"}}}"#;

fn everything() -> (SourceMap, Project, Report) {
    let read = run(&[
        ("org.yaml", ORG),
        ("servers/github.yaml", SERVER),
        ("servers/github.lock.json", LOCK),
        ("access/payments.yaml", ACCESS),
        ("tests/github.yaml", MATRIX),
    ]);
    let shown = crate::diag::render::human::render(&read.2, &read.0, Style::default());
    assert!(read.2.diagnostics.is_empty(), "{shown}");
    read
}

#[test]
fn organizations_issuers_groups_and_principals_are_read() {
    let (sources, read, _) = everything();
    let acme = &read.organizations.get("acme").unwrap();
    assert_eq!(
        acme.id.as_ref().unwrap().as_str(),
        "0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01"
    );
    assert_eq!(
        acme.teams.keys().collect::<Vec<_>>(),
        ["payments", "platform-eng"]
    );
    assert_eq!(
        sources.place(acme.teams.get("payments").unwrap().name.span),
        "org.yaml:3:60"
    );
    let issuer = &read.issuers.get("acme-idp").unwrap();
    assert_eq!(issuer.clock_skew.unwrap().value.0, 30_000);
    assert_eq!(read.key_sets["acme-idp"]["keys"][0]["use"], "sig");
    let group = read
        .groups
        .get("payments-maintainers")
        .unwrap()
        .from
        .as_ref()
        .unwrap();
    assert_eq!(group.value.as_str(), "gh-payments-maint");
    let bot = &read.principals.get("triage-bot").unwrap();
    assert_eq!(bot.kind.value, PrincipalType::Agent);
    assert_eq!(bot.within.to_string(), "acme/payments");
    assert_eq!(bot.all_identities().count(), 1);
    assert_eq!(bot.tags.as_ref().unwrap()[0].as_str(), "ci");
}

#[test]
fn servers_and_roles_are_read() {
    let (_, read, _) = everything();
    let github = &read.servers.get("github").unwrap();
    assert_eq!(
        github.arguments.get("owner").unwrap().fold.unwrap().value,
        server::Fold::AsciiLower
    );
    assert!(matches!(&github.scopes, Some(ScopeSource::Mapped(mapped)) if mapped.map.len() == 3));
    let admin = github
        .tools
        .get("repo_admin")
        .unwrap()
        .surface
        .operations
        .as_ref()
        .unwrap();
    assert_eq!(
        admin.values.get("archive").unwrap().risk.value,
        Risk::Destructive
    );
    assert_eq!(
        github.limits.as_ref().unwrap().body.unwrap().value.0,
        65_536
    );
    assert_eq!(
        github.resources.get("docs").unwrap().uri.as_str(),
        "file:///docs/{path}"
    );
    assert_eq!(
        read.locks["github"].tool("get_issue").unwrap().definition["description"],
        "Reads."
    );
    let route = &read
        .servers
        .get("refunds")
        .unwrap()
        .routes
        .get("read-refund")
        .unwrap();
    assert_eq!(route.method.value, surface::Method::Get);
    assert!(matches!(&route.surface.scope, Some(ScopeSource::Forced(_))));
    let owner = &read.roles.get("github-owner").unwrap();
    assert!(
        matches!(&owner.allow.get("github").unwrap().value, Selector::Risk(risk) if risk.risk.len() == 2)
    );
    assert_eq!(
        owner.destructive.get("github").unwrap()[0].to_string(),
        "delete_repository"
    );
    let maintainer = &read.roles.get("github-maintainer").unwrap();
    let Selector::Names(names) = &maintainer.allow.get("github").unwrap().value else {
        panic!()
    };
    assert_eq!(names[1].operation.as_deref(), Some("rename"));
}

#[test]
fn bindings_and_rules_are_read_and_conditions_keep_places() {
    let (sources, read, _) = everything();
    let binding = &read.bindings.get("triage-bot").unwrap();
    assert_eq!(binding.expires.as_ref().unwrap().value.0, 1_806_451_200);
    assert_eq!(
        read.bindings.get("maintainers").unwrap().who[0].to_string(),
        "group:payments-maintainers"
    );
    let rule = &read.rules.get("agents-stay-on-branches").unwrap();
    assert_eq!(rule.except.as_ref().unwrap().len(), 2);
    let when = rule.when.as_ref().unwrap();
    let at = when.value.find("\"release/\"").unwrap();
    assert_eq!(sources.text(when.span_of(at..at + 10)), "\"release/\"");
}

#[test]
fn matrices_are_read_with_the_place_of_every_cell() {
    let (sources, read, _) = everything();
    let matrix = &read.matrices.get("github").unwrap();
    let table = &matrix.expect;
    assert_eq!(
        table.header.iter().map(|h| h.as_str()).collect::<Vec<_>>(),
        ["bot", "maint"]
    );
    let cell = matrix.expected("push to Main", "bot").unwrap();
    assert_eq!(cell.value, "no_permission");
    assert_eq!(sources.text(cell.span), "no_permission");
    assert_eq!(sources.place(cell.span), "tests/github.yaml:16:21");
    for row in &table.rows {
        assert_eq!(sources.text(row.call.span), row.call.value);
        for cell in &row.cells {
            assert_eq!(sources.text(cell.span), cell.value);
        }
    }
    let matrix::Call::Surface { name, arguments } =
        &matrix.calls.get("push to Main").unwrap().value
    else {
        panic!()
    };
    assert_eq!(name.value, "push_files");
    let expected = r#"{"owner":"ACME","repo":"Ledger","branch":"main","files":[]}"#;
    assert_eq!(arguments.to_json().unwrap(), expected);
    let maint = &matrix.callers.get("maint").unwrap();
    assert!(maint.token_permissions.as_ref().unwrap().is_empty());
    assert!(
        matrix
            .callers
            .get("bot")
            .unwrap()
            .token_permissions
            .is_none()
    );
    assert!(matrix.others.get("bot").unwrap().is_empty());
}

#[test]
fn places_inside_quoted_folded_and_block_text_are_exact() {
    let cases = [
        r#"'it''s == "x" && y'"#,
        r#""caf\u00e9 \"x\" && y""#,
        "|\n      first == 1\n        && y\n",
        ">\n      first == 1\n      && y\n",
        ">-\n      é == 1\n      && y\n",
        "first == 1\n      && y",
        "|\r\n      first == 1\r\n      && y\r\n",
    ];
    for case in cases {
        let text = format!(
            "rules:\n  r:\n    effect: require\n    require: {{rate: 1/s}}\n    when: {case}\n"
        );
        let (sources, read, report) = run(&[("a.yaml", &text)]);
        assert!(
            report.diagnostics.is_empty(),
            "{case}: {:?}",
            report.diagnostics
        );
        let when = read.rules.get("r").unwrap().when.as_ref().unwrap();
        let at = when.value.find("&& y").unwrap();
        assert_eq!(sources.text(when.span_of(at..at + 4)), "&& y", "{case}");
        assert_eq!(sources.text(when.span_of(at..at + 2)), "&&", "{case}");
    }
}

#[test]
fn another_reader_agrees_on_the_fixtures() {
    for text in [ORG, SERVER, ACCESS, MATRIX] {
        agrees_with_another_reader(text).unwrap();
    }
}
