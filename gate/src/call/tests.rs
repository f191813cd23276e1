use latchkey_engine::index::Disclose;

use super::*;
use crate::testing::gate;

fn ask(text: &str) -> String {
    let gate = gate(Disclose::Code);
    let stated: Stated = match serde_json::from_str(text) {
        Ok(stated) => stated,
        Err(error) => return format!("unreadable: {error}"),
    };
    match answer(&gate, &Overlay::default(), &stated) {
        Ok(answer) => serde_json::to_string(&answer).unwrap(),
        Err(error) => format!("error: {error}"),
    }
}

/// The page of the documents has every member and no other, and what it shows can be read.
#[test]
fn every_member_is_documented() {
    use std::collections::BTreeSet;
    let page = include_str!("../../../docs/reference/stated-calls.md");
    let shown: Vec<serde_json::Map<String, serde_json::Value>> = page
        .split("```json")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let [call, answered] = shown.as_slice() else {
        panic!("{shown:?}");
    };
    let call: Stated = serde_json::from_value(call.clone().into()).unwrap();
    let rows = |head: &str| -> BTreeSet<String> {
        let table = page.split(head).nth(1).unwrap();
        let rows = table.lines().skip(2).take_while(|it| it.starts_with('|'));
        let names =
            rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
        names.map(str::to_owned).collect()
    };
    let members = |value: serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let text = || Some(String::new());
    let json = || Some(RawValue::from_string("{}".to_owned()).unwrap());
    let caller = StatedCaller {
        principal: text(),
        issuer: text(),
        subject: text(),
        groups: vec![String::new()],
    };
    let whole = Stated {
        tool: text(),
        prompt: text(),
        resource: text(),
        arguments: json(),
        method: text(),
        path: text(),
        body: json(),
        token_permissions: Some(Vec::new()),
        token_id: text(),
        ..call
    };
    assert_eq!(
        rows("member of a call"),
        members(serde_json::to_value(whole).unwrap())
    );
    assert_eq!(
        rows("member of a caller"),
        members(serde_json::to_value(caller).unwrap())
    );
    let answered: BTreeSet<String> = answered.keys().cloned().collect();
    assert_eq!(rows("member of an answer"), answered);
    let text =
        r#"{"caller":{"principal":"alice"},"server":"github","tool":"nope","at":"2026-12-01"}"#;
    assert_eq!(answered, members(serde_json::from_str(&ask(text)).unwrap()));
}

#[test]
fn an_answer_has_exactly_the_agreed_members() {
    let text = r#"{"id":"r1","caller":{"principal":"alice"},"server":"github","tool":"push_files","arguments":{"owner":"ACME","repo":"Ledger"},"at":"2026-12-01T10:00:00Z"}"#;
    assert_eq!(
        ask(text),
        r#"{"id":"r1","decision":"allow","reason":"ok","rule":null,"granted_by":["alice"],"surface":"github/push_files","operation":null,"scopes":["acme/payments"],"permissions":["tools:github/push_files:call"],"obligations":{"rate":["30/m"]},"undetermined":[],"place":null}"#
    );
    let text = r#"{"caller":{"principal":"bot"},"on_behalf_of":[{"principal":"alice"}],"server":"github","tool":"push_files","arguments":{"repo":"ledger","env":"prod"},"at":"2026-12-01T10:00:00Z","ip":"10.1.2.3"}"#;
    let answer: serde_json::Value = serde_json::from_str(&ask(text)).unwrap();
    assert_eq!(answer["decision"], "deny");
    assert_eq!(answer["reason"], "denied_by_policy");
    assert_eq!(answer["rule"], "no-prod");
    assert_eq!(answer["granted_by"], serde_json::json!(["alice", "bot"]));
}

#[test]
fn every_kind_of_surface_can_be_stated() {
    for (call, reason) in [
        (r#""tool":"get_issue","arguments":{"repo":"ledger"}"#, "ok"),
        (r#""tool":"get_issue""#, "scope_invalid"),
        (r#""tool":"nope""#, "surface_unmatched"),
        (
            r#""tool":"repo_admin","arguments":{"repo":"ledger","action":"x"}"#,
            "operation_unknown",
        ),
        (r#""prompt":"greet","arguments":{}"#, "ok"),
        (r#""resource":"file:///docs/a""#, "ok"),
        (r#""resource":"file:///secret/a""#, "no_permission"),
    ] {
        let text = format!(
            r#"{{"caller":{{"principal":"alice"}},"server":"github",{call},"at":"2026-12-01"}}"#
        );
        let answer: serde_json::Value = serde_json::from_str(&ask(&text)).unwrap();
        assert_eq!(answer["reason"], reason, "{call}");
    }
    for (call, reason) in [
        (r#""method":"GET","path":"/v1/tickets/7?limit=1""#, "ok"),
        (
            r#""method":"GET","path":"/v1/tickets/x""#,
            "schema_violation",
        ),
        (
            r#""method":"POST","path":"/v1/tickets/7/replies","body":{"a":1}"#,
            "ok",
        ),
        (
            r#""method":"DELETE","path":"/v1/tickets/7""#,
            "surface_unmatched",
        ),
    ] {
        let text = format!(
            r#"{{"caller":{{"principal":"alice"}},"server":"desk",{call},"at":"2026-12-01"}}"#
        );
        let answer: serde_json::Value = serde_json::from_str(&ask(&text)).unwrap();
        assert_eq!(answer["reason"], reason, "{call}");
    }
}

#[test]
fn callers_are_stated_as_a_token_would_name_them() {
    for (caller, reason) in [
        (r#""caller":{"principal":"alice"},"#, "ok"),
        (
            r#""caller":{"issuer":"acme-idp","subject":"s-alice"},"#,
            "ok",
        ),
        (
            r#""caller":{"issuer":"acme-idp","subject":"s-nope"},"#,
            "principal_unknown",
        ),
        (r#""caller":{"principal":"nobody"},"#, "no_permission"),
        (
            r#""caller":{"principal":"nobody","groups":["gh-maint"]},"#,
            "ok",
        ),
        (r#""caller":{"principal":"gina"},"#, "cross_organization"),
        (r#""caller":{"principal":"sally"},"#, "principal_suspended"),
        ("", "unauthenticated"),
    ] {
        let text = format!(
            r#"{{{caller}"server":"github","tool":"get_issue","arguments":{{"repo":"ledger"}},"at":"2026-12-01"}}"#
        );
        let answer: serde_json::Value = serde_json::from_str(&ask(&text)).unwrap();
        assert_eq!(answer["reason"], reason, "{caller}");
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let at = r#""at":"2026-12-01""#;
    let alice = r#""caller":{"principal":"alice"}"#;
    for (text, part) in [
        (
            format!(r#"{{"server":"x","tool":"t",{at}}}"#),
            "no server `x`",
        ),
        (format!(r#"{{"server":"github",{at}}}"#), "state one of"),
        (
            format!(r#"{{"server":"github","tool":"t","prompt":"p",{at}}}"#),
            "state one of",
        ),
        (
            format!(r#"{{"server":"github","tool":"t","tol":1,{at}}}"#),
            "unknown field `tol`",
        ),
        (
            r#"{"server":"github","tool":"t","at":"now"}"#.to_owned(),
            "`now` is no RFC 3339",
        ),
        (
            format!(r#"{{{alice},"server":"github","tool":"t","ip":"x",{at}}}"#),
            "no address",
        ),
        (
            format!(r#"{{"caller":{{"principal":"zoe"}},"server":"github","tool":"t",{at}}}"#),
            "no principal `zoe`",
        ),
        (
            format!(r#"{{"caller":{{"subject":"s"}},"server":"github","tool":"t",{at}}}"#),
            "needs the `issuer`",
        ),
        (
            format!(
                r#"{{"caller":{{"principal":"bot","groups":["g"]}},"on_behalf_of":[{{"principal":"alice"}}],"server":"github","tool":"t",{at}}}"#
            ),
            "last of the chain",
        ),
        (
            format!(r#"{{"server":"desk","method":"GET",{at}}}"#),
            "`method` and `path`",
        ),
    ] {
        let said = ask(&text);
        assert!(said.contains(part), "{text}: {said}");
    }
}

#[test]
fn an_overlay_file_is_strict() {
    let text = r#"{"revoked_tokens":["b","a"],"break_glass":[{"id":"w","principal":"alice","surfaces":["github/delete_repository"],"in":"globex","expires":"2026-12-02"},{"id":"x","principal":"alice","surfaces":["github/delete_repository"],"in":"acme","expires":"2026-12-02"}]}"#;
    let file: OverlayFile = serde_json::from_str(text).unwrap();
    let overlay = file.overlay().unwrap();
    assert_eq!(overlay.revoked_tokens, ["a", "b"]);
    let call = r#"{"caller":{"principal":"alice"},"server":"github","tool":"delete_repository","arguments":{"repo":"ledger"},"at":"2026-12-01"}"#;
    let stated: Stated = serde_json::from_str(call).unwrap();
    let gate = gate(Disclose::Code);
    let unlocked = verdict(&gate, &overlay, &stated).unwrap().facts;
    assert!(unlocked.is_allow(), "{unlocked:?}");
    assert_eq!(unlocked.activation.as_deref(), Some("x"));
    assert!(serde_json::from_str::<OverlayFile>(r#"{"suspendet":[]}"#).is_err());
}
