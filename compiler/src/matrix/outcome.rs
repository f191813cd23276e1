//! The words of a cell: an outcome, a reason, a rule, or an allow with what it carries.

use std::collections::BTreeSet;

use latchkey_gate::call::{Answer, obligation_of};

/// Begins a cell that names the rule which must decide.
pub const RULE: &str = "rule:";
/// Begins a cell that says what an allowed call must carry, such as `allow+rate:30/m`.
pub const CARRIES: &str = "allow+";
/// After [`CARRIES`]: nothing at all.
pub const NOTHING: &str = "none";

/// Whether an answer is what a cell expects. `allow` alone says nothing about obligations.
pub fn agrees(expected: &str, actual: &Answer) -> bool {
    if let Some(rule) = expected.strip_prefix(RULE) {
        return actual.rule.as_deref() == Some(rule);
    }
    match expected.strip_prefix(CARRIES) {
        Some(list) => {
            let wanted: BTreeSet<String> = list.split('+').map(str::to_owned).collect();
            actual.decision == "allow" && wanted == obligations(actual)
        }
        None => expected == word(actual),
    }
}

/// An answer in the shortest word of a cell.
pub fn word(actual: &Answer) -> &str {
    if actual.decision == "allow" {
        "allow"
    } else {
        actual.reason
    }
}

/// An answer with what it carries; a denial carries nothing.
pub fn carrying(actual: &Answer) -> String {
    if actual.decision != "allow" {
        return actual.reason.to_owned();
    }
    let parts: Vec<String> = obligations(actual).into_iter().collect();
    format!("{CARRIES}{}", parts.join("+"))
}

/// An answer in the shortest word that says all of it: what an allow carries, if anything.
pub fn full(actual: &Answer) -> String {
    if actual.obligations.is_empty() {
        word(actual).to_owned()
    } else {
        carrying(actual)
    }
}

/// What a cell should say, in the manner in which it says something else now.
pub fn blessed(expected: &str, actual: &Answer) -> String {
    match &actual.rule {
        Some(rule) if expected.starts_with(RULE) => format!("{RULE}{rule}"),
        _ if expected.starts_with(CARRIES) => carrying(actual),
        _ => word(actual).to_owned(),
    }
}

/// What is wrong with the list after [`CARRIES`]: the part that is no obligation.
pub fn unknown_obligation(list: &str) -> Option<&str> {
    let known = |part: &str| {
        let pair = part.split_once(':');
        pair.is_some_and(|(kind, text)| obligation_of(kind, &text.replace('-', " ")).is_some())
    };
    if list == NOTHING {
        return None;
    }
    list.split('+').find(|part| !known(part))
}

/// Obligations as words of a cell: `rate:30/m`, `rate:server-team-900/m`.
fn obligations(actual: &Answer) -> BTreeSet<String> {
    let kinds = actual.obligations.iter();
    let words: BTreeSet<String> = kinds
        .flat_map(|(kind, texts)| texts.iter().map(move |it| (kind, it)))
        .map(|(kind, text)| format!("{kind}:{}", text.replace(' ', "-")))
        .collect();
    if words.is_empty() {
        return BTreeSet::from([NOTHING.to_owned()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn answer(allowed: bool, rates: &[&str]) -> Answer {
        let mut obligations = BTreeMap::new();
        if !rates.is_empty() {
            obligations.insert("rate", rates.iter().map(|it| (*it).to_owned()).collect());
        }
        Answer {
            id: None,
            decision: if allowed { "allow" } else { "deny" },
            reason: if allowed { "ok" } else { "denied_by_policy" },
            rule: (!allowed).then(|| "stop".to_owned()),
            granted_by: Vec::new(),
            surface: None,
            operation: None,
            scopes: Vec::new(),
            permissions: Vec::new(),
            obligations,
            undetermined: Vec::new(),
            place: None,
        }
    }

    #[test]
    fn cells_speak_of_outcome_rule_and_obligations() {
        let plain = answer(true, &[]);
        let paced = answer(true, &["30/m", "server team 900/m"]);
        let denied = answer(false, &[]);
        for (cell, wanted) in [
            ("allow", [true, true, false]),
            ("allow+none", [true, false, false]),
            (
                "allow+rate:server-team-900/m+rate:30/m",
                [false, true, false],
            ),
            ("allow+rate:30/m", [false, false, false]),
            ("denied_by_policy", [false, false, true]),
            ("rule:stop", [false, false, true]),
            ("rule:go", [false, false, false]),
        ] {
            let found = [&plain, &paced, &denied].map(|it| agrees(cell, it));
            assert_eq!(found, wanted, "{cell}");
        }
        assert_eq!(blessed("rule:go", &denied), "rule:stop");
        assert_eq!(blessed("rule:go", &plain), "allow");
        assert_eq!(
            blessed("allow+none", &paced),
            "allow+rate:30/m+rate:server-team-900/m"
        );
        assert!(agrees(&carrying(&paced), &paced) && agrees(&carrying(&plain), &plain));
        assert_eq!(unknown_obligation("rate:30/m+rate:server-team-900/m"), None);
        assert_eq!(unknown_obligation("rate:30/m+speed:1"), Some("speed:1"));
        assert_eq!(unknown_obligation("none"), None);
    }
}
