use serde_json::json;

use super::*;

type Change = fn(&mut Json);

fn tool() -> Json {
    json!({
        "name": "refund",
        "description": "Pay money back.",
        "annotations": {"destructiveHint": true},
        "inputSchema": {
            "type": "object",
            "required": ["amount"],
            "properties": {"amount": {"type": "number", "maximum": 100}, "note": {"type": "string"}},
            "additionalProperties": false,
        },
    })
}

fn difference(change: impl FnOnce(&mut Json)) -> Option<String> {
    let pin = Pin::of(ListKind::Tools, &tool()).unwrap();
    let mut changed = tool();
    change(&mut changed);
    let difference = pin.compare(ListKind::Tools, &changed)?;
    Some(difference.as_str().to_owned())
}

#[test]
fn order_and_spacing_do_not_matter() {
    let text = r#"{ "inputSchema": {"additionalProperties":false,
        "properties":{"note":{"type":"string"},"amount":{"maximum":1e2,"type":"number"}},
        "required":["amount"],"type":"object"}, "annotations":{"destructiveHint":true},
        "name":"refund", "description":"Pay money back."}"#;
    let reordered: Json = serde_json::from_str(text).unwrap();
    assert_eq!(difference(|it| *it = reordered), None);
}

#[test]
fn a_difference_names_parts_and_says_nothing_of_their_content() {
    let cases: [(Change, &str); 8] = [
        (
            |it| it["description"] = json!("Send the secret along."),
            "description changed",
        ),
        (
            |it| it["annotations"]["destructiveHint"] = json!(false),
            "annotations.destructiveHint changed",
        ),
        (
            |it| it["inputSchema"]["properties"]["amount"] = json!({"type": "number"}),
            "argument amount changed",
        ),
        (
            |it| it["inputSchema"]["properties"]["to"] = json!({"type": "string"}),
            "argument to new",
        ),
        (
            |it| it["inputSchema"]["required"] = json!(["amount", "note"]),
            "argument note changed",
        ),
        (
            |it| it["inputSchema"]["additionalProperties"] = json!(true),
            "inputSchema changed",
        ),
        (|it| it["title"] = json!("Refund"), "title new"),
        (
            |it| {
                it.as_object_mut().unwrap().remove("annotations");
            },
            "annotations.destructiveHint gone",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(difference(change).as_deref(), Some(expected));
    }
}

#[test]
fn names_of_a_hostile_server_are_short_and_plain() {
    let long = "\u{1b}[31m\n".repeat(100);
    let said = difference(|it| {
        for at in 0..100 {
            it["inputSchema"]["properties"][format!("{at}{long}")] = json!({});
        }
    });
    let said = said.unwrap();
    assert!(said.len() < 1200 && said.ends_with("88 more"), "{said}");
    assert!(
        said.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
        "{said}"
    );
}

#[test]
fn the_content_of_a_resource_may_change() {
    let listed = |size: u64, name: &str| {
        json!({"uri": "file:///a", "name": name, "size": size,
            "annotations": {"lastModified": size.to_string(), "priority": 1}})
    };
    let pin = Pin::of(ListKind::Resources, &listed(1, "a")).unwrap();
    assert_eq!(pin.compare(ListKind::Resources, &listed(2, "a")), None);
    assert!(pin.compare(ListKind::Resources, &listed(1, "b")).is_some());
    // A tool has no size that could be left out.
    let pin = Pin::of(ListKind::Tools, &listed(1, "a")).unwrap();
    assert!(pin.compare(ListKind::Tools, &listed(2, "a")).is_some());
}
