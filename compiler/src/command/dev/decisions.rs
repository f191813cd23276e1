//! The live log of decisions: each audit event as one line for people.

use std::{
    io::{BufRead as _, BufReader},
    process::ChildStdout,
    sync::mpsc,
};

use serde_json::Value;

/// The decisions of a sidecar as lines, as they are recorded, until it ends.
pub(super) fn follow(events: ChildStdout) -> mpsc::Receiver<String> {
    let (lines, decisions) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(events).lines().map_while(Result::ok) {
            if let Some(line) = shown(&line)
                && lines.send(line).is_err()
            {
                return;
            }
        }
    });
    decisions
}

/// The line for a request's event.
fn shown(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    let text = |key: &str| event.get(key).and_then(Value::as_str);
    if text("event_type") != Some("request") {
        return None;
    }
    let time = text("event_time")?.get(11..23)?;
    let what = text("surface_id")
        .or(text("path_template"))
        .unwrap_or_default();
    let mut line = format!(
        "{time} {:<5} {:<18} {} {} {what}",
        text("decision").unwrap_or_default(),
        text("reason").unwrap_or_default(),
        text("actor_id")
            .or(text("principal_id"))
            .unwrap_or_default(),
        text("method").unwrap_or_default(),
    );
    for (name, key) in [("rule", "rule_id"), ("detail", "detail")] {
        if let Some(value) = text(key) {
            line = format!("{line} ({name}: {value})");
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = r#"{"event_type":"request","event_time":"2026-12-01T10:00:00.007Z",
            "decision":"deny","reason":"denied_by_policy","principal_id":"bot","method":"tools/call",
            "surface_id":"github/push_files","rule_id":"no-prod"}"#;
        assert_eq!(
            shown(event).unwrap(),
            "10:00:00.007 deny  denied_by_policy   bot tools/call github/push_files (rule: no-prod)"
        );
        assert_eq!(shown(r#"{"event_type":"bundle_loaded"}"#), None);
        assert_eq!(shown("nonsense"), None);
    }
}
