//! A small policy that has one of everything, for the tests of this crate.

use latchkey_engine::{
    bundle,
    id::{SchemaId, ServerId},
    index::{
        Access, ArgumentFact, Disclose, Fold, Index, Obligation, PrincipalType, Risk, ScopeSource,
        Surface, SurfaceKind, Transport, Unlock,
    },
    overlay::Overlay,
    testing::{
        BindingEntry, Condition, GroupEntry, IssuerEntry, PrincipalEntry, RuleEntry, SurfaceEntry,
        Where, Who, World,
    },
    time::{Dates, Time},
};

use crate::{
    admit::{Outcome, Verdict, admit},
    gate::Gate,
    identity::Identity,
    inbound::Inbound,
    pin::{ListKind, Pin},
    settings::{PinMode, ServerSettings, Settings as _, SurfaceSettings},
    token::{Actor, Claims, Confirmation},
    wire::{Exchange, Refusal, Response},
};

/// 2026-12-01T10:00:00Z.
pub(crate) const NOW: Time = Time(1_796_119_200);

const TOOL_SCHEMA: &str = "{\"additionalProperties\":false,\"properties\":{\
    \"action\":{\"type\":[\"string\",\"array\"]},\"amount\":{\"type\":\"number\"},\
    \"as_user\":{\"type\":\"string\"},\"env\":{\"type\":\"string\"},\
    \"labels\":{\"type\":\"array\"},\"number\":{\"minimum\":1,\"type\":\"integer\"},\
    \"owner\":{\"type\":\"string\"},\"path\":{\"type\":\"string\"},\
    \"repo\":{\"type\":\"string\",\"x-mcp-header\":\"Repo\"},\
    \"repos\":{\"type\":\"array\"},\"tenant\":{\"type\":\"string\"}},\"type\":\"object\"}";
const ROUTE_SCHEMA: &str = "{\"properties\":{\"body\":{\"type\":\"object\"},\
    \"path\":{\"properties\":{\"id\":{\"pattern\":\"^[0-9]+$\",\"type\":\"string\"}},\
    \"type\":\"object\"},\"query\":{\"additionalProperties\":false,\"properties\":{\
    \"limit\":{\"type\":\"string\"}},\"type\":\"object\"}},\"type\":\"object\"}";

fn surface(server: &str, name: &str, risk: Risk, scope: Where) -> SurfaceEntry {
    SurfaceEntry {
        server: server.to_owned(),
        name: name.to_owned(),
        access: Access::Permission,
        risk,
        unlock: Unlock::BreakGlass,
        operations: Vec::new(),
        scope,
        obligations: Vec::new(),
    }
}

fn map() -> Where {
    Where::Map(
        [
            ("ledger", "acme/payments"),
            ("invoices", "acme/payments"),
            ("infra", "acme/platform-eng"),
            ("abroad", "globex"),
        ]
        .map(|(value, scope)| (value.to_owned(), scope.to_owned()))
        .to_vec(),
    )
}

fn principal(name: &str, kind: PrincipalType, scope: &str) -> PrincipalEntry {
    let organization = scope.split('/').next().unwrap();
    PrincipalEntry {
        name: name.to_owned(),
        kind,
        scope: scope.to_owned(),
        identities: vec![(format!("{organization}-idp"), format!("s-{name}"))],
        groups: Vec::new(),
        tags: Vec::new(),
        suspended: name == "sally",
        dates: Dates::default(),
    }
}

fn binding(name: &str, who: Vec<Who>, role: &str, scope: &str) -> BindingEntry {
    BindingEntry {
        name: name.to_owned(),
        who,
        roles: vec![role.to_owned()],
        scope: scope.to_owned(),
        condition: None,
        dates: Dates::default(),
        cross_organization: false,
    }
}

/// Names of the tools of the server `github`; `hidden_tool` is granted to nobody.
pub(crate) const TOOLS: [&str; 11] = [
    "delete_repository",
    "get_issue",
    "greeting",
    "hidden_tool",
    "own_stuff",
    "push_files",
    "refund",
    "repo_admin",
    "search",
    "status",
    "sync_labels",
];

#[expect(clippy::too_many_lines, reason = "one policy, read as a list")]
fn world() -> World {
    let mut admin = surface("github", "repo_admin", Risk::Destructive, map());
    admin.operations = vec![
        ("rename".to_owned(), Risk::Write),
        ("archive".to_owned(), Risk::Destructive),
    ];
    let mut push = surface("github", "push_files", Risk::Write, map());
    push.obligations = vec![Obligation::rate(30, 60)];
    let mut status = surface("github", "status", Risk::Read, Where::Server);
    status.access = Access::Authenticated;
    let mut greeting = surface("github", "greeting", Risk::Read, Where::Server);
    greeting.access = Access::Public;
    let read = |name: &str, scope| surface("github", name, Risk::Read, scope);
    let mut all = vec![
        admin,
        push,
        status,
        greeting,
        read("get_issue", map()),
        read("hidden_tool", Where::Server),
        read("sync_labels", map()),
        read("own_stuff", Where::Force { team: false }),
        read("search", Where::Unscoped),
        read("refund", Where::Principal),
        surface("github", "delete_repository", Risk::Destructive, map()),
        read("greet", Where::Server),
        read("docs", Where::Server),
        read("hidden-docs", Where::Server),
    ];
    for name in ["read-ticket", "reply", "list-tickets"] {
        all.push(surface("desk", name, Risk::Read, Where::Server));
    }
    let given = |names: &[&str]| names.iter().map(|it| ((*it).to_owned(), None)).collect();
    let mut maintainer: Vec<(String, Option<String>)> = given(&[
        "github/get_issue",
        "github/push_files",
        "github/sync_labels",
        "github/own_stuff",
        "github/refund",
        "github/greet",
        "github/docs",
        "github/delete_repository",
    ]);
    maintainer.push(("github/repo_admin".to_owned(), Some("rename".to_owned())));
    World {
        organizations: vec![
            (
                "acme".into(),
                vec!["payments".into(), "platform-eng".into()],
            ),
            ("globex".into(), vec!["support".into()]),
        ],
        issuers: ["acme", "globex"]
            .map(|name| IssuerEntry {
                name: format!("{name}-idp"),
                organizations: vec![name.to_owned()],
                undeclared: false,
                undeclared_type: None,
            })
            .to_vec(),
        groups: vec![GroupEntry {
            name: "maintainers".into(),
            claim: Some(("acme-idp".into(), "gh-maint".into())),
        }],
        schedules: Vec::new(),
        principals: vec![
            principal("alice", PrincipalType::Human, "acme/payments"),
            principal("bot", PrincipalType::Agent, "acme/payments"),
            principal("nobody", PrincipalType::Human, "acme/payments"),
            principal("sally", PrincipalType::Human, "acme/payments"),
            principal("gina", PrincipalType::Human, "globex/support"),
        ],
        servers: vec![
            ("github".into(), "acme".into()),
            ("desk".into(), "acme".into()),
        ],
        surfaces: all,
        roles: vec![
            ("maintainer".into(), maintainer),
            ("reader".into(), given(&["github/get_issue"])),
            ("searcher".into(), given(&["github/search"])),
            (
                "docs".into(),
                given(&[
                    "github/greet",
                    "github/docs",
                    "github/own_stuff",
                    "github/search",
                ]),
            ),
            ("desk".into(), given(&["desk/read-ticket", "desk/reply"])),
        ],
        bindings: vec![
            binding(
                "alice",
                vec![Who::Principal("alice".into())],
                "maintainer",
                "acme/payments",
            ),
            binding(
                "alice-desk",
                vec![Who::Principal("alice".into())],
                "desk",
                "acme",
            ),
            binding(
                "bot",
                vec![Who::Principal("bot".into())],
                "maintainer",
                "acme/payments",
            ),
            binding(
                "group",
                vec![Who::Group("maintainers".into())],
                "reader",
                "acme/payments",
            ),
            binding(
                "alice-docs",
                vec![Who::Principal("alice".into())],
                "docs",
                "acme",
            ),
            binding(
                "bot-searches",
                vec![Who::Principal("bot".into())],
                "searcher",
                "acme/payments",
            ),
        ],
        rules: vec![RuleEntry {
            name: "no-prod".into(),
            require: None,
            who: vec![Who::Type(PrincipalType::Agent)],
            except: Vec::new(),
            permissions: vec![("github/push_files".into(), None)],
            scope: "platform".into(),
            condition: Some(Condition::And(vec![
                Condition::Has("args.env"),
                Condition::Equal("args.env", "prod"),
            ])),
            dates: Dates::default(),
        }],
    }
}

fn edit(index: &mut Index, name: &str, change: impl FnOnce(&mut Surface)) {
    let found = index.surfaces.iter_mut().find(|it| it.name == name);
    change(found.unwrap());
}

fn fact(name: &str) -> ArgumentFact {
    ArgumentFact {
        argument: vec![name.to_owned()],
        fold: None,
        only: Vec::new(),
        force: None,
        forbid: false,
    }
}

#[expect(clippy::too_many_lines, reason = "one policy, read as a list")]
fn index() -> Index {
    let mut index = world().index();
    index.schemas = vec![TOOL_SCHEMA.to_owned(), ROUTE_SCHEMA.to_owned()];
    for surface in &mut index.surfaces {
        surface.schema = Some(SchemaId(0));
        surface.arguments = vec![
            ArgumentFact {
                forbid: true,
                ..fact("as_user")
            },
            ArgumentFact {
                fold: Some(Fold::AsciiLower),
                only: vec!["acme".to_owned()],
                ..fact("owner")
            },
            ArgumentFact {
                fold: Some(Fold::AsciiLower),
                ..fact("repo")
            },
            ArgumentFact {
                fold: Some(Fold::AsciiLower),
                ..fact("repos")
            },
        ];
    }
    edit(&mut index, "refund", |it| {
        it.arguments.push(ArgumentFact {
            force: Some("\"acme\"".to_owned()),
            ..fact("tenant")
        });
    });
    edit(&mut index, "push_files", |it| {
        it.audit = vec!["env".to_owned()];
    });
    edit(&mut index, "sync_labels", |it| {
        if let ScopeSource::Map {
            argument,
            prefixes,
            exact,
            ..
        } = &mut it.scope
        {
            *argument = vec!["repos".to_owned()];
            let payments = exact.get("ledger").unwrap();
            let platform = exact.get("infra").unwrap();
            *prefixes = [("infra-pay-", payments), ("infra-", platform)]
                .into_iter()
                .collect();
        }
    });
    let bare = |it: &mut Surface, kind| {
        it.kind = kind;
        it.schema = None;
        it.arguments.clear();
    };
    edit(&mut index, "greet", |it| bare(it, SurfaceKind::Prompt));
    for (name, uri) in [
        ("docs", "file:///docs/{path}"),
        ("hidden-docs", "file:///secret/{path}"),
    ] {
        let uri = uri.to_owned();
        edit(&mut index, name, |it| {
            bare(it, SurfaceKind::Resource { uri });
        });
    }
    for (name, method, path) in [
        ("read-ticket", "GET", "/v1/tickets/{id}"),
        ("reply", "POST", "/v1/tickets/{id}/replies"),
        ("list-tickets", "GET", "/v1/tickets/all"),
    ] {
        let (method, path) = (method.to_owned(), path.to_owned());
        edit(&mut index, name, |it| {
            bare(it, SurfaceKind::Route { method, path });
            it.schema = Some(SchemaId(1));
        });
    }
    let desk = index
        .servers
        .iter_mut()
        .find(|it| it.name == "desk")
        .unwrap();
    desk.transport = Transport::Http;
    index
}

/// The policy, disclosing as told.
pub(crate) fn gate(disclose: Disclose) -> Gate {
    changed(|index| {
        for server in &mut index.servers {
            server.disclose = disclose;
        }
    })
}

/// The policy, changed.
pub(crate) fn changed(change: impl FnOnce(&mut Index)) -> Gate {
    let mut index = index();
    change(&mut index);
    let bytes = bundle::encode(&index).unwrap();
    Gate::open(&bytes, None).unwrap()
}

/// The policy with the pin of one tool of `github`.
pub(crate) fn pinned(
    disclose: Disclose,
    mode: PinMode,
    tool: &str,
    definition: &serde_json::Value,
) -> Gate {
    changed(|index| {
        for server in &mut index.servers {
            server.disclose = disclose;
            let settings = ServerSettings {
                pins: mode,
                ..ServerSettings::default()
            };
            server.settings = settings.to_text().unwrap();
        }
        for surface in index.surfaces.iter_mut().filter(|it| it.name == tool) {
            let pin = Pin::of(ListKind::Tools, definition);
            surface.settings = SurfaceSettings {
                pin,
                ..SurfaceSettings::default()
            }
            .to_text()
            .unwrap();
        }
    })
}

pub(crate) fn claims(subject: &str) -> Claims {
    let organization = if subject == "gina" { "globex" } else { "acme" };
    Claims {
        issuer: format!("https://{organization}-idp.example"),
        subject: format!("s-{subject}"),
        audience: String::new(),
        issued_at: NOW.0,
        expires_at: NOW.0 + 300,
        token_id: Some(format!("t-{subject}")),
        groups: Vec::new(),
        actors: Vec::new(),
        permissions: None,
        confirmation: Confirmation::default(),
        token_hash: [7; 32],
    }
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor {
        issuer: None,
        subject: format!("s-{name}"),
    }
}

pub(crate) fn identity(gate: &Gate, name: &str) -> Identity {
    gate.identity(&claims(name)).unwrap()
}

pub(crate) fn server(gate: &Gate, name: &str) -> ServerId {
    gate.server(name).unwrap()
}

/// One MCP request with the headers of an ordinary client, and more.
pub(crate) fn post(
    gate: &Gate,
    who: Option<&Identity>,
    body: &[u8],
    headers: &[(&str, &[u8])],
) -> Verdict {
    let mut all: Vec<(&str, &[u8])> = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", b"application/json"));
    }
    let inbound = Inbound {
        server: server(gate, "github"),
        method: "POST",
        target: "/mcp",
        headers: &all,
        body,
        peer: None,
    };
    admit(gate, &Overlay::default(), &inbound, who, NOW)
}

/// A legacy `tools/call`.
pub(crate) fn tool(gate: &Gate, who: Option<&Identity>, name: &str, arguments: &str) -> Verdict {
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\
         \"params\":{{\"name\":\"{name}\",\"arguments\":{arguments}}}}}"
    );
    post(gate, who, body.as_bytes(), &[])
}

/// A plain HTTP request to the server `desk`.
pub(crate) fn http(
    gate: &Gate,
    who: Option<&Identity>,
    method: &str,
    target: &str,
    body: &str,
) -> Verdict {
    let inbound = Inbound {
        server: server(gate, "desk"),
        method,
        target,
        headers: &[("content-type", b"application/json")],
        body: body.as_bytes(),
        peer: None,
    };
    admit(gate, &Overlay::default(), &inbound, who, NOW)
}

pub(crate) fn refusal(verdict: Verdict) -> Refusal {
    match verdict.outcome {
        Outcome::Refuse(refusal) => refusal,
        Outcome::Forward(permit) => panic!("allowed: {permit:?}"),
    }
}

/// The answer to a refused request, under one request id.
pub(crate) fn told(verdict: Verdict) -> Response {
    refusal(verdict).response(&Exchange {
        request_id: "r-1",
        resource_metadata: Some("https://tools.example/.well-known/oauth-protected-resource"),
        proofs: false,
        retry_after: None,
    })
}
