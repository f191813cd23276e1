//! Edits of one small policy as people write it: what its calls come to do is said.

use latchkey::{
    Checked, check,
    diff::{
        self, Change, Finding, Report,
        access::{Query, access},
    },
    pack,
    source::Memory,
};
use latchkey_engine::time::Time;
use latchkey_gate::{call::Stated, gate::Gate};
use serde_json::{Value, json};

use super::answer;

/// With which condition bob may call the tool; none is not at all.
type Given<'t> = Option<&'t str>;

/// The policy of one tool, which bob alone may call.
fn policy(tool: &Value, given: Given<'_>) -> Value {
    let issuer = json!({
        "issuer": "https://idp.acme.example", "audiences": ["https://tools.acme.example"],
        "organizations": ["acme"],
        "jwks": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": "t", "x": "_QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0"}]}},
    });
    let caller = |kind: &str, subject: &str| {
        let identity = json!({"issuer": "idp", "subject": subject});
        json!({"type": kind, "identity": identity, "in": "acme"})
    };
    let mut tool = tool.clone();
    // Facts of arguments are the server's.
    let facts = tool.as_object_mut().unwrap().remove("arguments");
    let mut server = json!({
        "in": "acme", "transport": "mcp", "upstream": "http://127.0.0.1:9000/mcp",
        "tools": {"t": tool},
    });
    server["arguments"] = facts.unwrap_or_else(|| json!({}));
    let mut policy = json!({
        "organizations": {"acme": {"id": "0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01"}},
        "issuers": {"idp": issuer},
        "principals": {"alice": caller("human", "u-1"), "bob": caller("human", "u-2"),
            "bot": caller("agent", "a-1")},
        "servers": {"desk": server},
        "roles": {"r": {"allow": {"desk": ["t"]}}},
        "bindings": {},
    });
    policy["principals"]["bot"]["owner"] = "alice".into();
    if tool["risk"] == "destructive" {
        policy["roles"]["r"] = json!({"destructive": {"desk": ["t"]}});
    }
    if let Some(when) = given {
        policy["bindings"]["b"] = json!({"who": ["bob"], "roles": ["r"], "in": "acme"});
        if !when.is_empty() {
            policy["bindings"]["b"]["when"] = when.into();
        }
    }
    policy
}

fn compiled(policy: &Value) -> Gate {
    let files = [
        ("latchkey.toml", "[project]\nname = \"p\"\n".to_owned()),
        ("policy.yaml", policy.to_string()),
    ];
    let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
    let Checked { model, sink, .. } = check(&Memory::from_iter(files), today);
    let model = model.unwrap_or_else(|| panic!("{sink:?}"));
    Gate::open(&pack::whole(&model).unwrap(), None).unwrap()
}

fn compared(old: &Value, new: &Value) -> (Gate, Gate, Report) {
    let (from, to) = (compiled(old), compiled(new));
    let at = Time::parse("2026-12-01T10:00:00Z").unwrap();
    let report = diff::compare(&from, &to, at);
    (from, to, report)
}

/// That exactly those calls are in a widened region that are allowed by the new policy only.
fn exactly_widened(old: &Value, new: &Value, calls: &[Value]) {
    let (from, to, report) = compared(old, new);
    let said = diff::human(&report, false);
    assert!(report.undecided.is_empty(), "{said}");
    let mut widened = 0;
    for arguments in calls {
        let call: Stated = serde_json::from_value(json!({
            "caller": {"issuer": "idp", "subject": "u-2"}, "server": "desk", "tool": "t",
            "arguments": arguments, "at": "2026-12-01T10:00:00Z",
        }))
        .unwrap();
        let [before, after] = [&from, &to].map(|gate| answer(gate, &call).unwrap());
        let happens = Change::between(&before, &after) == Some(Change::Widened);
        widened += usize::from(happens);
        let chosen = |operation: &String| {
            let acts = arguments["acts"].as_array();
            acts.is_some_and(|acts| acts.iter().any(|it| it == operation))
        };
        let findings = report.findings.iter();
        let mut findings = findings.filter(|it| it.operation.as_ref().is_none_or(chosen));
        let is_said = findings.any(|it| it.change == Change::Widened && it.covers(&call));
        assert_eq!(is_said, happens, "{arguments}\n{said}");
    }
    assert!(widened > 0, "nothing widens");
}

fn tool(risk: &str, name: &str, schema: &Value) -> Value {
    json!({"risk": risk, "input": {"type": "object", "required": [name],
        "properties": {name: schema}, "additionalProperties": false}})
}

/// A tool whose operations a list chooses.
fn by_list() -> Value {
    let mut tool = tool(
        "write",
        "acts",
        &json!({"type": "array", "items": {"type": "string"}}),
    );
    let values = json!({"add": {"risk": "write"}, "drop": {"risk": "write"}});
    tool["operations"] = json!({"argument": "acts", "values": values});
    // Each operation says its own risk.
    tool.as_object_mut().unwrap().remove("risk");
    tool
}

fn lists() -> Vec<Value> {
    let lists = [json!(["add"]), json!(["drop"]), json!(["add", "drop"])];
    lists.map(|acts| json!({"acts": acts})).to_vec()
}

#[test]
fn operations_that_a_list_chooses_are_compared() {
    for (old, new) in [
        (None, r#""add" in args.acts"#),
        (None, r#"args.acts.all(it, it == "add")"#),
        (
            Some("size(args.acts) == 1"),
            r#"size(args.acts) == 1 || ("add" in args.acts && "drop" in args.acts)"#,
        ),
    ] {
        let (old, new) = (policy(&by_list(), old), policy(&by_list(), Some(new)));
        exactly_widened(&old, &new, &lists());
    }
    let new = policy(&by_list(), Some(""));
    let mut old = new.clone();
    old["rules"] = json!({"no-both": {"effect": "deny", "surfaces": {"desk": ["t"]},
        "when": r#""add" in args.acts && "drop" in args.acts"#, "message": "m"}});
    exactly_widened(&old, &new, &lists());
}

#[test]
fn who_can_call_by_a_list_of_operations_is_listed() {
    let gate = compiled(&policy(&by_list(), Some(r#""add" in args.acts"#)));
    let found = access(&gate, &Query::default());
    let lines = found.lines.iter();
    let operations: Vec<_> = lines.map(|it| it.what.operation.as_deref()).collect();
    assert_eq!(operations, [Some("add"), Some("drop")], "{found:#?}");
}

#[test]
fn a_list_of_accepted_texts_is_compared_by_its_elements() {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    let mut tool = tool("read", "labels", &schema);
    tool["arguments"] = json!({"labels": {"only": ["x", "y"]}});
    let calls = [json!(["x"]), json!(["y"]), json!(["x", "y"]), json!(["z"])];
    let calls = calls.map(|labels| json!({"labels": labels}));
    let (old, new) = (
        policy(&tool, None),
        policy(&tool, Some(r#""y" in args.labels"#)),
    );
    exactly_widened(&old, &new, &calls);
    // More is accepted now.
    let mut fewer = tool.clone();
    fewer["arguments"]["labels"]["only"] = json!(["x"]);
    let (old, new) = (policy(&fewer, Some("")), policy(&tool, Some("")));
    exactly_widened(&old, &new, &calls);
}

#[test]
fn an_enumerated_path_is_compared_as_its_fold_leaves_it() {
    let mut tool = tool(
        "read",
        "f",
        &json!({"type": "string", "enum": ["/a/../b", "/c"]}),
    );
    tool["arguments"] = json!({"f": {"fold": "posix-path"}});
    let new = policy(&tool, Some(r#"args.f.startsWith("/b")"#));
    let (_, _, report) = compared(&policy(&tool, None), &new);
    assert_eq!(report.summary.widened, 1, "{report:?}");
}

#[test]
fn bounds_of_integers_may_lie_between_them() {
    let schema = json!({"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 10.5});
    let tool = tool("write", "n", &schema);
    let old = policy(&tool, Some("args.n > 1 && args.n < 10"));
    let calls = [1, 2, 10].map(|n| json!({"n": n}));
    exactly_widened(&old, &policy(&tool, Some("")), &calls);
}

#[test]
fn what_break_glass_may_open_is_told_without_a_witness() {
    let pair = json!({"risk": "destructive", "input": {"type": "object",
        "required": ["from", "to"], "additionalProperties": false,
        "properties": {"from": {"type": "string"}, "to": {"type": "string"}}}});
    let sevens = json!({"type": "integer", "multipleOf": 7});
    for (tool, when) in [
        (pair, "args.from != args.to"),
        (
            tool("destructive", "n", &sevens),
            "args.n > 10 && args.n < 18",
        ),
    ] {
        let (_, _, report) = compared(&policy(&tool, None), &policy(&tool, Some(when)));
        assert!(report.widens(), "{report:?}");
    }
}

#[test]
fn what_break_glass_opens_in_a_chain_is_told() {
    let tool = json!({"risk": "destructive", "input": {"type": "object"}});
    let mut old = policy(&tool, None);
    old["bindings"]["a"] = json!({"who": ["alice"], "roles": ["r"], "in": "acme"});
    let mut new = old.clone();
    let when = r#"has(subject.name) && subject.name == "alice""#;
    new["bindings"]["b"] = json!({"who": ["bot"], "roles": ["r"], "in": "acme", "when": when});
    let (_, _, report) = compared(&old, &new);
    assert!(report.widens(), "{report:?}");
    let (_, _, report) = compared(&new, &old);
    assert!(!report.widens(), "{report:?}");
}

#[test]
fn an_agent_that_becomes_a_service_can_activate_for_itself() {
    let tool = json!({"risk": "destructive", "input": {"type": "object"}});
    let mut old = policy(&tool, None);
    old["bindings"]["b"] = json!({"who": ["bot"], "roles": ["r"], "in": "acme"});
    let mut new = old.clone();
    let bot = new["principals"]["bot"].as_object_mut().unwrap();
    bot.remove("owner");
    bot["type"] = "service".into();
    let (_, _, report) = compared(&old, &new);
    assert!(report.undecided.is_empty(), "{report:?}");
    assert!(report.findings.iter().any(Finding::unlocks), "{report:?}");
    let (_, _, report) = compared(&new, &old);
    assert!(!report.widens(), "{report:?}");
}

#[test]
fn a_limit_behind_break_glass_that_goes_is_told() {
    let free = json!({"risk": "destructive", "input": {"type": "object"}});
    let mut limited = free.clone();
    limited["limits"] = json!({"rate": "1/h"});
    let (limited, free) = (policy(&limited, Some("")), policy(&free, Some("")));
    let (_, _, report) = compared(&limited, &free);
    assert_eq!(report.undecided.len(), 1, "{report:?}");
    let (_, _, report) = compared(&free, &limited);
    assert!(!report.changes(), "{report:?}");
}
