use serde_json::json;

use super::*;

fn definitions(tools: &[Json]) -> Definitions {
    let tools = tools.iter().map(|tool| {
        let name = tool["name"].as_str().unwrap().to_owned();
        (name, Locked::new(ListKind::Tools, tool.clone()).unwrap())
    });
    [(ListKind::Tools, tools.collect())].into()
}

fn tool() -> Json {
    json!({"name": "pay", "description": "Pays.", "annotations": {"destructiveHint": true},
        "inputSchema": {"type": "object", "required": ["amount"], "properties": {
            "amount": {"type": "number", "maximum": 100},
            "to": {"type": "object", "properties": {"iban": {"type": "string", "enum": ["a", "b"]}}},
            "note": {"type": "string"}}, "additionalProperties": false}})
}

/// What is said when the tool changes so: `word at`.
fn said(change: impl FnOnce(&mut Json)) -> Vec<String> {
    let mut changed = tool();
    change(&mut changed);
    let found = changes(&definitions(&[tool()]), &definitions(&[changed]));
    let said = found.iter().map(|it| {
        assert_eq!((it.noun, it.name.as_str()), ("tool", "pay"));
        format!("{} {}", it.what.word(), it.what.at().unwrap_or_default())
    });
    said.collect()
}

#[test]
fn nothing_is_said_of_what_is_the_same() {
    assert!(said(|_| ()).is_empty());
}

#[test]
fn a_whole_number_is_the_same_however_it_is_written() {
    let new = said(|it| {
        it["inputSchema"]["properties"]["amount"]["maximum"] = json!(100.0);
        it["description"] = json!("Pays more.");
    });
    assert_eq!(new, ["member_changed description"]);
    let routes = |maximum: Json| {
        let route = json!({"method": "GET", "path": "/pets", "input": {"maximum": maximum}});
        Routes::from([("GET /pets".to_owned(), route)])
    };
    assert!(of_routes(&routes(json!(100)), &routes(json!(100.0))).is_empty());
}

#[test]
fn changes_of_arguments_are_told_apart() {
    let new = said(|it| it["inputSchema"]["properties"]["cc"] = json!({"type": "string"}));
    assert_eq!(new, ["argument_new cc"]);
    let needed = said(|it| it["inputSchema"]["required"] = json!(["amount", "note"]));
    assert_eq!(needed, ["argument_required note"]);
    assert_eq!(
        said(|it| it["inputSchema"]["required"] = json!([])),
        ["argument_optional amount"]
    );
    let gone = said(|it| {
        it["inputSchema"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("note");
    });
    assert_eq!(gone, ["argument_gone note"]);
}

#[test]
fn changes_of_a_schema_have_a_direction() {
    type Cases = [(&'static str, Json, &'static str); 8];
    let cases: Cases = [
        (
            "/amount/maximum",
            json!(500),
            "schema_loosened amount.maximum",
        ),
        (
            "/amount/maximum",
            json!(5),
            "schema_tightened amount.maximum",
        ),
        (
            "/amount/type",
            json!(["number", "string"]),
            "schema_loosened amount.type",
        ),
        (
            "/amount/type",
            json!("string"),
            "schema_changed amount.type",
        ),
        (
            "/to/properties/iban/enum",
            json!(["a", "b", "c"]),
            "schema_loosened to.iban.enum",
        ),
        (
            "/to/properties/iban/enum",
            json!(["a"]),
            "schema_tightened to.iban.enum",
        ),
        (
            "/note",
            json!({"type": "string", "maxLength": 9}),
            "schema_tightened note.maxLength",
        ),
        ("/note", json!({}), "schema_loosened note.type"),
    ];
    for (at, value, expected) in cases {
        let pointer = format!("/inputSchema/properties{at}");
        let said = said(|it| *it.pointer_mut(&pointer).unwrap() = value);
        assert_eq!(said, [expected], "{at}");
    }
    let open = said(|it| it["inputSchema"]["additionalProperties"] = json!(true));
    assert_eq!(open, ["schema_loosened additionalProperties"]);
    let open = said(|it| {
        it["inputSchema"]
            .as_object_mut()
            .unwrap()
            .remove("additionalProperties");
    });
    assert_eq!(open, ["schema_loosened additionalProperties"]);
}

#[test]
fn descriptions_and_hints_are_changes_too() {
    assert_eq!(
        said(|it| it["description"] = json!("Pays me.")),
        ["member_changed description"]
    );
    let flipped = said(|it| it["annotations"] = json!({"readOnlyHint": true}));
    let expected = [
        "annotation_changed destructiveHint",
        "annotation_changed readOnlyHint",
    ];
    assert_eq!(flipped, expected);
}

#[test]
fn entries_come_and_go() {
    let (one, other) = (
        definitions(&[tool()]),
        definitions(&[json!({"name": "refund"})]),
    );
    let found = changes(&one, &other);
    let said: Vec<_> = found
        .iter()
        .map(|it| (it.name.as_str(), it.what.word()))
        .collect();
    assert_eq!(said, [("pay", "gone"), ("refund", "new")]);
}
