//! The row that kills a survivor, made of the call that shows it.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::overlay::Overlay;
use latchkey_gate::{
    call::{self, Answer, Asker, Stated, StatedCaller},
    gate::Gate,
};
use serde_json::{Map, Value as Json, json};

use super::paste::{self, Paste};
use crate::{
    matrix::{self, outcome},
    model::{Matrix, MatrixCall, Model, Permission, SurfaceName},
    source::{SourceMap, Spanned},
    text::Text,
    yaml,
};

/// A row, or a whole small matrix where no matrix has the caller or the time.
#[derive(Debug, Clone)]
pub struct Row {
    /// The matrix that it is for.
    pub matrix: String,
    /// What is written where.
    pub paste: Paste,
    /// What is asked, and what must come of it.
    cells: Vec<(Stated, String)>,
}

impl Row {
    /// The file that it is written into, where there is one.
    pub fn file(&self) -> Option<&str> {
        match &self.paste {
            Paste::Row { file, .. } => Some(file),
            Paste::Matrix { place, .. } => place.as_ref().map(|(file, _)| file.as_str()),
        }
    }

    /// Whether some cell of it fails on this slice.
    pub fn kills(&self, gate: &Gate) -> bool {
        let overlay = Overlay::default();
        self.cells.iter().any(|(stated, expected)| {
            gate.server(&stated.server).is_some()
                && !call::answer(gate, &overlay, stated)
                    .is_ok_and(|answer| outcome::agrees(expected, &answer))
        })
    }
}

/// Names of calls and matrices that are taken.
#[derive(Debug)]
pub(crate) struct Names {
    matrices: BTreeSet<Text>,
    calls: BTreeMap<Text, BTreeSet<Text>>,
}

impl Names {
    pub(crate) fn new(model: &Model) -> Self {
        let calls = model.matrices.iter().map(|(name, matrix)| {
            let calls = matrix.calls.iter().map(|call| call.name.value.clone());
            (name.clone(), calls.collect())
        });
        Self {
            matrices: model.matrices.keys().cloned().collect(),
            calls: calls.collect(),
        }
    }

    fn call(&mut self, matrix: &str, stem: &str) -> String {
        let taken = self.calls.entry(matrix.into()).or_default();
        free(taken, |number| format!("{stem} {number}"))
    }

    fn matrix(&mut self, stem: &str) -> String {
        free(&mut self.matrices, |number| format!("{stem}-{number}"))
    }
}

fn free(taken: &mut BTreeSet<Text>, name: impl Fn(usize) -> String) -> String {
    let mut number = 1;
    while !taken.insert(name(number).into()) {
        number += 1;
    }
    name(number)
}

/// The row that tells two slices of a server apart by a call; none where it cannot be written.
pub(super) fn build(
    model: &Model,
    sources: &SourceMap,
    stated: &Stated,
    pair: [&Gate; 2],
    names: &mut Names,
) -> Option<Row> {
    let own = model
        .matrices
        .iter()
        .filter(|(_, it)| it.server == stated.server);
    let mut own: Vec<_> = own.collect();
    // The matrix that asks the most is where another row is at home.
    own.sort_by_key(|(_, it)| std::cmp::Reverse(it.cells.len()));
    for (name, matrix) in own {
        let Some(layout) = paste::Layout::of(matrix, sources) else {
            continue;
        };
        let facts = call_facts(stated);
        let cells = cells(matrix, &facts, pair)?;
        if cells.iter().any(|(.., kills)| *kills) {
            let call = names.call(name, &stem(stated));
            let line = format!("{}: {}", key(&call), yaml::inline(&call_json(stated)));
            let words: Vec<&str> = cells.iter().map(|(_, word, _)| word.as_str()).collect();
            return Some(Row {
                matrix: name.to_string(),
                paste: layout.row(&call, &line, &words),
                cells: cells
                    .into_iter()
                    .map(|(asked, word, _)| (asked, word))
                    .collect(),
            });
        }
    }
    whole(model, sources, stated, pair, names)
}

/// What each caller of a matrix gets for a call, and whether that tells the slices apart.
fn cells(
    matrix: &Matrix,
    facts: &[(&'static str, String)],
    pair: [&Gate; 2],
) -> Option<Vec<(Stated, String, bool)>> {
    let call = MatrixCall {
        name: Spanned::new(String::new().into(), matrix.span),
        facts: facts.to_vec(),
    };
    let cell = |caller| {
        let asked = matrix::stated(matrix, caller, Some(&call), matrix.span).ok()?;
        let (word, kills) = cell(&asked, pair)?;
        Some((asked, word, kills))
    };
    matrix.callers.iter().map(cell).collect()
}

/// The word for a call on the first slice, and whether the second one fails it.
fn cell(asked: &Stated, [original, mutant]: [&Gate; 2]) -> Option<(String, bool)> {
    let overlay = Overlay::default();
    let before = call::answer(original, &overlay, asked).ok()?;
    let word = outcome::word(&before).to_owned();
    let Ok(after) = call::answer(mutant, &overlay, asked) else {
        return Some((word, true));
    };
    if !outcome::agrees(&word, &after) {
        return Some((word, true));
    }
    // What is carried is only said where it matters.
    let carried = outcome::carrying(&before);
    if outcome::agrees(&carried, &after) {
        return Some((word, false));
    }
    Some((carried, true))
}

/// A key of several plain words, which YAML reads as they are; quoted otherwise.
pub(crate) fn key(name: &str) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
    };
    if name.contains(' ') && name.starts_with(char::is_alphabetic) && name.split(' ').all(plain) {
        name.to_owned()
    } else {
        yaml::text(name)
    }
}

/// What names a call in a table: its surface, as far as a key may hold it.
fn stem(stated: &Stated) -> String {
    let route = stated.method.as_ref().zip(stated.path.as_ref());
    let route = route.map(|(method, path)| {
        let path = path.split('?').next().unwrap_or_default();
        format!("{} {path}", method.to_lowercase())
    });
    let named = [&stated.tool, &stated.prompt, &stated.resource]
        .into_iter()
        .flatten();
    let name = named.cloned().chain(route).next().unwrap_or_default();
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/');
    let text: String = name.chars().filter(|c| kept(*c)).take(40).collect();
    text.trim_matches(['/', ' ']).to_owned()
}

/// The members of an `eval` line that say what is called.
fn call_facts(stated: &Stated) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let texts = [
        ("tool", &stated.tool),
        ("prompt", &stated.prompt),
        ("resource", &stated.resource),
        ("method", &stated.method),
        ("path", &stated.path),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            facts.push((key, json!(value).to_string()));
        }
    }
    for (key, value) in [("arguments", &stated.arguments), ("body", &stated.body)] {
        if let Some(value) = value {
            facts.push((key, value.get().to_owned()));
        }
    }
    facts
}

/// The call as a matrix writes it.
pub(crate) fn call_json(stated: &Stated) -> Json {
    let value = |raw: &serde_json::value::RawValue| serde_json::from_str::<Json>(raw.get());
    let parse = |raw: Option<&serde_json::value::RawValue>| raw.and_then(|raw| value(raw).ok());
    if let Some(name) = stated.tool.as_ref().or(stated.prompt.as_ref()) {
        let arguments = parse(stated.arguments.as_deref()).unwrap_or_else(|| json!({}));
        return json!({ name: arguments });
    }
    if let Some(uri) = &stated.resource {
        return json!({ "uri": uri });
    }
    let mut call = Map::new();
    for (key, value) in [("method", &stated.method), ("path", &stated.path)] {
        if let Some(value) = value {
            call.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(body) = parse(stated.body.as_deref()) {
        call.insert("body".to_owned(), body);
    }
    Json::Object(call)
}

/// A matrix of one caller and one call.
fn whole(
    model: &Model,
    sources: &SourceMap,
    stated: &Stated,
    pair: [&Gate; 2],
    names: &mut Names,
) -> Option<Row> {
    let (word, kills) = cell(stated, pair)?;
    if !kills {
        return None;
    }
    let name = names.matrix(&label(&format!("{}-{}", stated.server, stem(stated))));
    let caller = caller_name(stated);
    let call = names.call(&name, &stem(stated));
    let others = others(stated, pair[0])?;
    let width = call.chars().count().max(1) + 2;
    let lines = vec![
        format!("{name}:"),
        format!("  server: {}", yaml::text(&stated.server)),
        format!("  at: {}", json!(stated.at)),
        format!(
            "  callers: {{{caller}: {}}}",
            yaml::inline(&caller_json(model, stated))
        ),
        "  calls:".to_owned(),
        format!("    {}: {}", key(&call), yaml::inline(&call_json(stated))),
        "  expect: |".to_owned(),
        format!("    {:width$}{caller}", "."),
        format!("    {call:width$}{word}"),
        format!("  others: {{{caller}: {}}}", yaml::inline(&json!(others))),
    ];
    Some(Row {
        matrix: name,
        paste: paste::whole(model, sources, &stated.server, lines),
        cells: vec![(stated.clone(), word)],
    })
}

/// A label for the caller of a call.
fn caller_name(stated: &Stated) -> String {
    let Some(caller) = &stated.caller else {
        return "anonymous".to_owned();
    };
    let name = caller.principal.as_ref().or(caller.subject.as_ref());
    match label(name.map_or("caller", String::as_str)) {
        name if name.is_empty() => "caller".to_owned(),
        name if name.starts_with(|c: char| c.is_ascii_digit()) => format!("s-{name}"),
        name => name,
    }
}

/// A text as a label: words in lower case, joined by `-`.
fn label(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|it| !it.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let label: String = words.join("-").chars().take(50).collect();
    label.trim_end_matches('-').to_owned()
}

/// The caller as a matrix writes it.
fn caller_json(model: &Model, stated: &Stated) -> Json {
    let Some(caller) = &stated.caller else {
        return json!({ "anonymous": true });
    };
    let mut members = actor(model, caller);
    if !stated.on_behalf_of.is_empty() {
        let chain: Vec<Json> = stated
            .on_behalf_of
            .iter()
            .map(|it| Json::Object(actor(model, it)))
            .collect();
        members.insert("on_behalf_of".to_owned(), Json::Array(chain));
    }
    if let Some(permissions) = &stated.token_permissions {
        members.insert("token_permissions".to_owned(), json!(permissions));
    }
    for (key, value) in [("token_id", &stated.token_id), ("ip", &stated.ip)] {
        if let Some(value) = value {
            members.insert(key.to_owned(), json!(value));
        }
    }
    Json::Object(members)
}

fn actor(model: &Model, caller: &StatedCaller) -> Map<String, Json> {
    let mut members = Map::new();
    let declared = caller
        .principal
        .as_ref()
        .and_then(|name| model.principals.get(name.as_str()));
    // Where a principal has one identity, nobody needs to be told its issuer.
    let known = declared.is_some_and(|it| it.identities.len() == 1);
    let issuer = caller.issuer.clone().filter(|_| !known);
    let texts = [
        ("principal", &caller.principal),
        ("issuer", &issuer),
        ("subject", &caller.subject),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            members.insert(key.to_owned(), json!(value));
        }
    }
    if !caller.groups.is_empty() {
        members.insert("groups".to_owned(), json!(caller.groups));
    }
    members
}

/// What else the caller of a call may ever reach, as `others` lists it.
fn others(stated: &Stated, gate: &Gate) -> Option<Vec<String>> {
    let overlay = Overlay::default();
    let reachable = matrix::reachable(gate, &overlay, &Asker::of(gate, stated).ok()?);
    let answer = call::answer(gate, &overlay, stated).ok()?;
    let called = called(&stated.server, &answer);
    let names = reachable.iter().filter(|it| Some(*it) != called.as_ref());
    Some(names.map(short).collect())
}

/// The permission that a call was about.
fn called(server: &str, answer: &Answer) -> Option<Permission> {
    let name = answer
        .surface
        .as_deref()?
        .strip_prefix(server)?
        .strip_prefix('/')?;
    Some(Permission {
        surface: SurfaceName {
            server: server.into(),
            name: name.into(),
        },
        operation: answer.operation.as_deref().map(Text::from),
    })
}

/// A permission within its server.
fn short(permission: &Permission) -> String {
    match &permission.operation {
        None => permission.surface.name.to_string(),
        Some(operation) => format!("{}:{operation}", permission.surface.name),
    }
}
