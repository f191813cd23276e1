use serde_json::json;

use super::*;

fn tool(name: &str, annotations: &serde_json::Value) -> Surface {
    let definition = json!({"name": name, "annotations": annotations});
    let locked = Locked::new(ListKind::Tools, definition).unwrap();
    Surface::named(ListKind::Tools, name, &locked)
}

#[test]
fn the_risk_is_what_the_server_says_and_marked() {
    let risk = |annotations: &_| tool("t", annotations).risk;
    assert_eq!(risk(&json!({"readOnlyHint": true})), "read");
    assert_eq!(
        risk(&json!({"readOnlyHint": true, "destructiveHint": true})),
        "read"
    );
    assert_eq!(risk(&json!({"destructiveHint": true})), "destructive");
    assert_eq!(risk(&json!({"readOnlyHint": false})), "write");
    assert_eq!(risk(&json!({})), "write");
    assert!(tool("t", &json!({})).line().contains("review: "));
}

#[test]
fn names_that_readers_disagree_on_are_quoted() {
    assert!(tool("on", &json!({})).line().starts_with("\"on\": "));
    assert!(tool("1.0", &json!({})).line().starts_with("\"1.0\": "));
    assert!(tool("-x", &json!({})).line().starts_with("\"-x\": "));
    assert!(tool("get_x", &json!({})).line().starts_with("get_x: "));
}

#[test]
fn resources_get_names_of_their_own() {
    let taken = ["A-plan.md".to_owned()].into();
    assert_eq!(
        Surface::resource("file:///a", "A plan.md", &taken).name,
        "A-plan.md-2"
    );
    assert_eq!(
        Surface::resource("file:///a", "\u{1b}[31m", &taken).name,
        "31m"
    );
    assert_eq!(Surface::resource("file:///a", "", &taken).name, "resource");
    assert_eq!(
        server_name(Some("mcp-servers/Everything")).as_deref(),
        Some("everything")
    );
    assert_eq!(server_name(Some("My Tools!")).as_deref(), Some("my-tools"));
    assert_eq!(server_name(Some("///")), None);
}

const POLICY: &str = "\
# mine
servers:
  a:
    in: acme
    tools:
      x: {risk: read}   # seen
      # more to come

  b:
    tools: {y: {risk: read}}
    prompts:
        p:
          risk: read
roles: {}
";

#[test]
fn entries_are_added_where_they_belong_and_all_else_stays() {
    let added = append(POLICY, "a", &[tool("new", &json!({"readOnlyHint": true}))]).unwrap();
    let line = "      new: {risk: read, review: the server says that it only reads}\n";
    let at = "      # more to come\n";
    assert_eq!(added, POLICY.replace(at, &format!("{at}{line}")));
    let resource = Surface::resource("file:///a", "a", &BTreeSet::new());
    let added = append(POLICY, "a", &[resource]).unwrap();
    let lines = "    resources:\n      a: {uri: \"file:///a\", risk: read, review: imported}\n";
    assert_eq!(added, POLICY.replace(at, &format!("{at}{lines}")));
    let mut prompt = tool("q", &json!({}));
    prompt.section = "prompts";
    let added = append(POLICY, "b", &[prompt]).unwrap();
    assert!(
        added.contains("          risk: read\n        q: {risk: write,"),
        "{added}"
    );
    assert!(added.ends_with("}\nroles: {}\n"), "{added}");
}

#[test]
fn a_server_in_one_line_is_left_to_a_person() {
    let new = || [tool("new", &json!({}))];
    assert_eq!(append(POLICY, "b", &new()), None);
    assert_eq!(append(POLICY, "c", &new()), None);
    assert!(fragment(&new()).starts_with("    tools:\n      new: "));
    let last = "servers:\n  a:\n    tools:\n      x: {risk: read}";
    assert!(
        append(last, "a", &new())
            .unwrap()
            .contains("read}\n      new: ")
    );
}
