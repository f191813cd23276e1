//! Arguments as policy reads them: forced, folded, judged.

use latchkey::model::{Scope, ScopeSource, Surface};
use latchkey_engine::index::{ArgumentPath, Fold};
use serde_json::Value;

use super::people::Person;

/// The arguments of one call, with forced values in place.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    pub(super) value: Value,
    pub(super) surface: &'a Surface,
}

/// Writes what the registry forces.
pub(super) fn force(value: &mut Value, surface: &Surface, actor: Option<&Person<'_>>) {
    for (path, fact) in &surface.arguments {
        if let Some(text) = &fact.force {
            put(value, path, serde_json::from_str(text).unwrap());
        }
    }
    let ScopeSource::Force { argument, team } = &surface.scope else {
        return;
    };
    let scope = actor.and_then(|it| it.scope.as_ref());
    let own = match team {
        true => scope.and_then(Scope::team),
        false => scope.and_then(Scope::organization),
    };
    if let Some(own) = own {
        put(value, &argument.value, own.into());
    }
}

fn put(value: &mut Value, path: &ArgumentPath, new: Value) {
    let mut place = value;
    for name in path {
        place = &mut place[name];
    }
    *place = new;
}

/// Folds a text; `None` when that is undetermined.
fn fold(how: Option<Fold>, text: &str) -> Option<String> {
    match how {
        None => Some(text.to_owned()),
        Some(Fold::AsciiLower) => text.is_ascii().then(|| text.to_lowercase()),
        Some(Fold::PosixPath) => {
            let mut parts: Vec<&str> = Vec::new();
            for part in text.split('/').filter(|it| !it.is_empty() && *it != ".") {
                if part == ".." {
                    parts.pop()?;
                } else {
                    parts.push(part);
                }
            }
            let mut path = parts.join("/");
            if text.starts_with('/') {
                path.insert(0, '/');
            }
            if text.ends_with('/') && !parts.is_empty() {
                path.push('/');
            }
            (!path.is_empty()).then_some(path)
        }
    }
}

impl Arguments<'_> {
    fn at(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |it, name| it.get(name))
    }

    /// What a path holds after its fold; an element that cannot be folded is `null`.
    pub(super) fn read(&self, path: &[String]) -> Option<Value> {
        let value = self.at(path)?;
        let fact = self.surface.arguments.get(path);
        let folded = |value: &Value| match value {
            Value::String(text) => {
                fold(fact.and_then(|it| it.fold), text).map_or(Value::Null, Value::String)
            }
            other => other.clone(),
        };
        Some(match value {
            Value::Array(items) => Value::Array(items.iter().map(folded).collect()),
            other => folded(other),
        })
    }

    /// The folded text or texts of an argument that chooses something.
    pub(super) fn texts(&self, path: &ArgumentPath) -> Option<Vec<String>> {
        let values = match self.read(path)? {
            Value::Array(items) => items,
            one => vec![one],
        };
        let texts = values.iter().map(|it| it.as_str().map(str::to_owned));
        texts
            .collect::<Option<Vec<_>>>()
            .filter(|it| !it.is_empty())
    }

    /// Whether the schema or a fact about an argument is broken.
    pub(super) fn broken(&self) -> bool {
        let facts = self.surface.arguments.iter().any(|(path, fact)| {
            let Some(value) = self.read(path) else {
                return false;
            };
            let known = |it: &Value| it.as_str().is_some_and(|text| fact.only.contains(text));
            let only = match &value {
                Value::Array(items) => items.iter().all(known),
                one => known(one),
            };
            fact.forbid || (!fact.only.is_empty() && !only)
        });
        facts
            || self.surface.schema.as_ref().is_some_and(|schema| {
                let options = jsonschema::options().should_validate_formats(true);
                !options.build(&schema.json).unwrap().is_valid(&self.value)
            })
    }
}
