//! A review in SARIF 2.1.0, which code scanning shows beside the lines of a pull request.

use latchkey_engine::index::Risk;
use serde_json::{Value as Json, json};

use super::{OUTSIDE, list};
use crate::{
    diag::render::sarif::{fingerprint, uri},
    diff::{
        report::Side,
        review::{Entry, Kind, Review, named, outcome},
    },
    model::risk_name,
};

/// The most names in a message.
const MOST_NAMES: usize = 6;
/// What GitHub takes of one run.
const MOST_RESULTS: usize = 5_000;
/// The id of what cannot be told.
const UNDECIDED: &str = "access-undecided";

/// The review as one run. `prefix` leads from the root of the repository to the project: places
/// are relative to the root there.
#[must_use]
pub fn render(review: &Review<'_>, prefix: &str) -> Json {
    let entries = review.entries.iter().take(MOST_RESULTS);
    let findings = entries.map(|entry| result(entry, prefix));
    let room = MOST_RESULTS.saturating_sub(review.entries.len());
    let gaps = review.undecided.iter().take(room).map(|(surfaces, gap)| {
        let surfaces = list(surfaces.iter().copied(), MOST_NAMES, quoted);
        let text = format!("Cannot tell for {surfaces}: {}", gap.why);
        let place = gap.place.as_deref().unwrap_or("latchkey.toml:1:1");
        json!({
            "ruleId": UNDECIDED,
            "level": "warning",
            "message": {"text": text},
            "locations": [location(place, prefix)],
            "partialFingerprints": {"latchkey/v1": fingerprint(&text)},
        })
    });
    let [from, to] = review.names;
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "latchkey",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules(),
            }},
            "columnKind": "unicodeCodePoints",
            "properties": {"from": from, "to": to, "outside": OUTSIDE},
            "results": findings.chain(gaps).collect::<Vec<_>>(),
        }],
    })
}

fn rules() -> Vec<Json> {
    let kinds = Kind::ALL.iter().map(|kind| {
        json!({
            "id": id(*kind),
            "name": name(kind.word()),
            "shortDescription": {"text": kind.title()},
            "defaultConfiguration": {"level": level(*kind)},
            "properties": {"tags": ["security", "access"]},
        })
    });
    let gap = json!({
        "id": UNDECIDED,
        "name": name("undecided"),
        "shortDescription": {"text": "Cannot tell: counts as widening"},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["security", "access"]},
    });
    kinds.chain([gap]).collect()
}

fn id(kind: Kind) -> String {
    format!("access-{}", kind.word())
}

/// `AccessWidened` of `widened`.
fn name(word: &str) -> String {
    let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
    format!("Access{}{rest}", first.to_uppercase())
}

fn level(kind: Kind) -> &'static str {
    match kind {
        Kind::Widened | Kind::Unlocked | Kind::Loosened => "warning",
        Kind::Narrowed | Kind::Tightened | Kind::Reason => "note",
    }
}

fn result(entry: &Entry<'_>, prefix: &str) -> Json {
    let text = message(entry);
    let place = entry.place();
    let level = if entry.kind.needs_review() && entry.risk == Risk::Destructive {
        "error"
    } else {
        level(entry.kind)
    };
    // Every result has a place: code scanning drops what has none.
    let (side, at) = place.unwrap_or((Side::To, "latchkey.toml:1:1"));
    let mut main = location(at, prefix);
    if side == Side::From
        && let Some(object) = main.as_object_mut()
    {
        object.insert(
            "message".to_owned(),
            json!({"text": "as it was before the change"}),
        );
    }
    let mut related: Vec<Json> = Vec::new();
    for cause in &entry.causes {
        for (place, when) in cause.places.iter().zip(["before", "now"]) {
            let Some(place) = place.as_deref().filter(|it| *it != at) else {
                continue;
            };
            let mut related_to = location(place, prefix);
            if let Some(object) = related_to.as_object_mut() {
                let text = format!("{} {}, {when}", named(cause), cause.cause.how.word());
                object.insert("id".to_owned(), json!(related.len()));
                object.insert("message".to_owned(), json!({"text": text}));
            }
            related.push(related_to);
        }
    }
    let witnesses: Vec<_> = entry
        .findings
        .iter()
        .take(1)
        .map(|it| &it.witness)
        .collect();
    json!({
        "ruleId": id(entry.kind),
        "level": level,
        "message": {"text": text},
        "locations": [main],
        "relatedLocations": related,
        "partialFingerprints": {"latchkey/v1": fingerprint(&text)},
        "properties": {
            "risk": risk_name(entry.risk),
            "subjects": entry.subjects,
            "surfaces": entry.surfaces,
            "scopes": entry.scopes,
            "regions": entry.regions,
            "before": outcome(entry.before),
            "after": outcome(entry.after),
            "witness": witnesses.first(),
        },
    })
}

fn message(entry: &Entry<'_>) -> String {
    let region = entry.region();
    let region = if region.is_empty() {
        String::new()
    } else {
        format!(" where {region}")
    };
    let surfaces = entry.surfaces.iter().map(String::as_str);
    format!(
        "{} {} {} in {}{region}. Before: {}. Now: {}.",
        list(
            entry.subjects.iter().map(String::as_str),
            MOST_NAMES,
            str::to_owned
        ),
        entry.kind.verb(),
        list(surfaces, MOST_NAMES, quoted),
        list(entry.scopes.iter().copied(), MOST_NAMES, str::to_owned),
        outcome(entry.before),
        outcome(entry.after)
    )
}

fn quoted(name: &str) -> String {
    format!("'{name}'")
}

/// `file:line:column` as a location.
fn location(place: &str, prefix: &str) -> Json {
    let mut parts = place.rsplitn(3, ':');
    let (column, line, file) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|it| it.parse::<u32>().ok()).unwrap_or(1);
    json!({"physicalLocation": {
        "artifactLocation": {
            "uri": uri(&format!("{prefix}{}", file.unwrap_or_default())),
            "uriBaseId": "%SRCROOT%",
        },
        "region": {"startLine": number(line), "startColumn": number(column)},
    }})
}
