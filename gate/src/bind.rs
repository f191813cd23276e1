//! The bind stage: forced values, folds, operation, scopes and slots of one call.
//!
//! Everything that policy reads of the arguments is read here, once, through the registry's facts
//! about the upstream. Nothing is guessed: what cannot be read is invalid or undetermined.

mod fold;
mod force;
mod held;

use std::sync::Arc;

use latchkey_engine::{
    call::{Caller, MAX_SCOPES, Operation, Scopes},
    condition::Segment,
    id::{ScopeId, SurfaceId},
    index::{ArgumentFact, ArgumentPath, Operations, ScopeNames, ScopeSource, Surface},
    policy::Policy,
};

pub use fold::fold;
pub(crate) use force::{check as check_forced, force, forced_body, forces};
pub(crate) use held::Held;

use crate::{
    admit::{SlotFact, SlotValue},
    gate::Gate,
    json::{Kind, Object, Value},
};

/// What is known of the arguments of one call.
#[derive(Debug)]
pub(crate) struct Bound<'d> {
    pub(crate) operation: Bindable<usize>,
    pub(crate) scopes: Bindable<ScopeId>,
    /// One for each of the surface's slots.
    pub(crate) slots: Vec<Held<'d>>,
    /// Where an argument fact is broken, as a JSON Pointer, and which.
    pub(crate) broken: Option<(String, &'static str)>,
}

/// A set that arguments choose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bindable<T> {
    /// There is nothing to choose.
    None,
    /// The arguments do not choose it.
    Invalid,
    /// Not empty; scopes sorted and distinct.
    These(Vec<T>),
}

/// Binds one call. `arguments` is `None` for a call without any, which means `{}`.
pub(crate) fn bind<'d>(
    policy: &Policy,
    surface: SurfaceId,
    callers: &[Caller],
    arguments: Option<Value<'d>>,
) -> Option<Bound<'d>> {
    let entry = policy.surface_entry(surface)?;
    let home = policy.server_entry(entry.server)?.scope;
    let arguments = Arguments {
        root: arguments,
        facts: &entry.arguments,
    };
    let operation = match &entry.operations {
        None => Bindable::None,
        Some(operations) => arguments.operation(operations),
    };
    let scopes = scopes(policy, entry, home, callers, &arguments);
    let attributes = &policy.index().attributes;
    let slots = policy
        .slots(surface)
        .iter()
        .map(|attribute| {
            let attribute = attributes.get(attribute.index());
            attribute.map_or(Held::Opaque, |attribute| arguments.slot(&attribute.path))
        })
        .collect();
    Some(Bound {
        operation,
        scopes,
        slots,
        broken: arguments
            .case_variant(policy, surface, entry)
            .or_else(|| arguments.broken_fact()),
    })
}

impl Bindable<usize> {
    /// As `decide` takes it.
    pub(crate) fn operation(&self) -> Operation<'_> {
        match self {
            Self::None => Operation::None,
            Self::Invalid => Operation::Undeclared,
            Self::These(positions) => Operation::These(positions),
        }
    }
}

impl Bindable<ScopeId> {
    /// As `decide` takes it.
    pub(crate) fn scopes(&self) -> Scopes<'_> {
        match self {
            Self::None | Self::Invalid => Scopes::Invalid,
            Self::These(scopes) => Scopes::These(scopes),
        }
    }
}

impl Bound<'_> {
    /// What the audit event may say of the slots.
    pub(crate) fn slot_facts(&self, gate: &Gate, surface: SurfaceId) -> Vec<SlotFact> {
        let policy = gate.policy();
        let audit = policy
            .surface_entry(surface)
            .map_or(&[][..], |entry| entry.audit.as_slice());
        let attributes = policy.slots(surface).iter().zip(&self.slots);
        attributes
            .filter_map(|(attribute, held)| {
                let name = gate.attribute_name(*attribute)?;
                let attribute = policy.index().attributes.get(attribute.index())?;
                let named = match attribute.path.first() {
                    Some(Segment::Field(name)) => audit.contains(name),
                    _ => false,
                };
                let value = match held {
                    Held::Absent => SlotValue::Absent,
                    held if named => SlotValue::Value(held.canonical()),
                    held => SlotValue::Digest(held.canonical()),
                };
                Some(SlotFact {
                    attribute: Arc::clone(name),
                    value,
                })
            })
            .collect()
    }
}

/// How people, and the slots of an event, write an attribute of the arguments:
/// `args.files[*].path`.
#[must_use]
pub fn attribute_name(path: &[Segment]) -> String {
    let mut name = String::from("args");
    for segment in path {
        match segment {
            Segment::Field(field) => {
                name.push('.');
                name.push_str(field);
            }
            Segment::Each => name.push_str("[*]"),
        }
    }
    name
}

/// The scopes of a call; outside the server's own is invalid, never wider.
fn scopes(
    policy: &Policy,
    entry: &Surface,
    home: ScopeId,
    callers: &[Caller],
    arguments: &Arguments<'_, '_>,
) -> Bindable<ScopeId> {
    let tree = &policy.index().scopes;
    let own = callers.first().and_then(|actor| actor.scope);
    let mut scopes = match &entry.scope {
        ScopeSource::Server | ScopeSource::Unscoped => vec![home],
        ScopeSource::Principal => own.into_iter().collect(),
        ScopeSource::Force { team, .. } => force::own_scope(tree, own, *team).into_iter().collect(),
        ScopeSource::Map {
            argument,
            exact,
            prefixes,
        } => match arguments.mapped(argument, exact, prefixes) {
            Some(scopes) => scopes,
            None => return Bindable::Invalid,
        },
    };
    scopes.sort_unstable();
    scopes.dedup();
    let inside = scopes.iter().all(|scope| tree.covers(home, *scope));
    if scopes.is_empty() || scopes.len() > MAX_SCOPES || !inside {
        return Bindable::Invalid;
    }
    Bindable::These(scopes)
}

/// The arguments of a call, and what the registry knows of them.
struct Arguments<'d, 'p> {
    root: Option<Value<'d>>,
    facts: &'p [ArgumentFact],
}

/// What stands at a path.
enum Found<'d> {
    Absent,
    /// A step leads into something that is no object.
    Astray,
    Value(Value<'d>),
}

impl<'d> Arguments<'d, '_> {
    fn find<'k>(&self, path: impl IntoIterator<Item = &'k str>) -> Found<'d> {
        let Some(mut value) = self.root else {
            return Found::Absent;
        };
        for key in path {
            let Some(object) = value.as_object() else {
                return Found::Astray;
            };
            let Some(member) = object.get(key) else {
                return Found::Absent;
            };
            value = member;
        }
        Found::Value(value)
    }

    fn at(&self, path: &ArgumentPath) -> Found<'d> {
        self.find(path.iter().map(String::as_str))
    }

    fn fact<'k>(&self, path: &(impl Iterator<Item = &'k str> + Clone)) -> Option<&ArgumentFact> {
        let same = |fact: &&ArgumentFact| {
            let own = fact.argument.iter().map(String::as_str);
            own.eq(path.clone())
        };
        self.facts.iter().find(same)
    }

    /// The values of an argument that is a text or a list of texts, folded; `None` if it is
    /// neither, absent, empty, or cannot be folded.
    fn texts(&self, path: &ArgumentPath) -> Option<Vec<Held<'d>>> {
        let Found::Value(value) = self.at(path) else {
            return None;
        };
        let fact = self.fact(&path.iter().map(String::as_str));
        let fold = fact.and_then(|fact| fact.fold);
        let values = match Held::of(value, fold) {
            Held::List(values) => values,
            held => vec![held],
        };
        let texts = values.iter().all(|held| matches!(held, Held::Text(_)));
        (texts && !values.is_empty()).then_some(values)
    }

    fn operation(&self, operations: &Operations) -> Bindable<usize> {
        let Some(texts) = self.texts(&operations.argument) else {
            return Bindable::Invalid;
        };
        let mut positions = Vec::with_capacity(texts.len());
        for text in &texts {
            let found = text.text().and_then(|text| {
                let values = &operations.values;
                let at = values.binary_search_by(|(name, _)| name.as_str().cmp(text));
                at.ok()
            });
            match found {
                Some(at) if !positions.contains(&at) => positions.push(at),
                Some(_) => {}
                None => return Bindable::Invalid,
            }
        }
        positions.sort_unstable();
        Bindable::These(positions)
    }

    /// The scopes that an argument's values map to; `None` when one maps to none.
    fn mapped(
        &self,
        path: &ArgumentPath,
        exact: &ScopeNames,
        prefixes: &ScopeNames,
    ) -> Option<Vec<ScopeId>> {
        let texts = self.texts(path)?;
        let scope = |text: &str| exact.get(text).or_else(|| prefixes.by_prefix(text));
        texts.iter().map(|held| scope(held.text()?)).collect()
    }

    /// The value of an attribute that conditions read.
    fn slot(&self, path: &[Segment]) -> Held<'d> {
        let fields = path.iter().map_while(field);
        let rest = path.get(fields.clone().count()..).unwrap_or_default();
        let value = match self.find(fields.clone()) {
            Found::Absent => return Held::Absent,
            Found::Astray => return Held::Opaque,
            Found::Value(value) => value,
        };
        let fold = self.fact(&fields).and_then(|fact| fact.fold);
        match rest {
            [] => Held::of(value, fold),
            [Segment::Each, inner @ ..] => {
                let Some(array) = value.as_array() else {
                    return Held::Opaque;
                };
                let element = |value: Value<'d>| match inner {
                    [] => Held::of(value, fold).flat(),
                    inner => element_field(value, inner),
                };
                Held::List(array.values().map(element).collect())
            }
            [Segment::Field(_), ..] => Held::Opaque,
        }
    }

    /// An argument whose name differs only in case from one that policy reads: an upstream that
    /// ignores case could take it for that one.
    fn case_variant(
        &self,
        policy: &Policy,
        surface: SurfaceId,
        entry: &Surface,
    ) -> Option<(String, &'static str)> {
        let root = self.root?;
        let facts = self.facts.iter().map(|fact| &fact.argument);
        let operation = entry.operations.iter().map(|it| &it.argument);
        let scope = match &entry.scope {
            ScopeSource::Map { argument, .. } | ScopeSource::Force { argument, .. } => {
                Some(argument)
            }
            ScopeSource::Server | ScopeSource::Principal | ScopeSource::Unscoped => None,
        };
        // The argument of a scope or an operation is often one of the facts, too.
        let known = |path: &&ArgumentPath| !self.facts.iter().any(|it| it.argument == **path);
        let mut named = facts.chain(operation.chain(scope).filter(known));
        let found = named.find_map(|path| variant(root, path.iter().map(|it| Some(it.as_str()))));
        let mut slots = policy
            .slots(surface)
            .iter()
            .filter_map(|id| policy.index().attributes.get(id.index()));
        let found =
            found.or_else(|| slots.find_map(|slot| variant(root, slot.path.iter().map(field))))?;
        Some((pointer(&found), "case"))
    }

    /// The first argument fact that the arguments break.
    fn broken_fact(&self) -> Option<(String, &'static str)> {
        self.facts.iter().find_map(|fact| {
            let broken = match self.at(&fact.argument) {
                Found::Astray if fact.forbid || !fact.only.is_empty() => "only",
                Found::Value(_) if fact.forbid => "forbid",
                Found::Value(value) if !allowed(fact, value) => "only",
                Found::Absent | Found::Astray | Found::Value(_) => return None,
            };
            Some((pointer(&fact.argument), broken))
        })
    }
}

/// Whether a value is among the only ones that are accepted; of a list, each element.
fn allowed(fact: &ArgumentFact, value: Value<'_>) -> bool {
    if fact.only.is_empty() {
        return true;
    }
    let known = |held: &Held<'_>| {
        held.text()
            .is_some_and(|text| fact.only.iter().any(|only| only == text))
    };
    match Held::of(value, fact.fold) {
        Held::List(values) => values.iter().all(known),
        held => known(&held),
    }
}

fn field(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Field(name) => Some(name),
        Segment::Each => None,
    }
}

/// A field of one element of a list.
fn element_field<'d>(element: Value<'d>, path: &[Segment]) -> Held<'d> {
    let mut value = element;
    for segment in path {
        let (Some(name), Some(object)) = (field(segment), value.as_object()) else {
            return Held::Opaque;
        };
        let Some(member) = object.get(name) else {
            return Held::Absent;
        };
        value = member;
    }
    Held::of(value, None).flat()
}

/// Where a name differs only in case from a step of a path; `None` steps into each element.
fn variant<'k, P>(value: Value<'_>, mut path: P) -> Option<ArgumentPath>
where
    P: Iterator<Item = Option<&'k str>> + Clone,
{
    let Some(name) = path.next()? else {
        let elements = value.as_array()?;
        let mut elements = elements.values().enumerate();
        return elements.find_map(|(at, element)| {
            let found = variant(element, path.clone())?;
            Some([vec![at.to_string()], found].concat())
        });
    };
    let object = value.as_object()?;
    let Ok(member) = object.get_only(name) else {
        return Some(vec![name.to_owned()]);
    };
    let found = variant(member?, path)?;
    Some([vec![name.to_owned()], found].concat())
}

fn pointer(path: &ArgumentPath) -> String {
    path.iter().fold(String::new(), |mut pointer, name| {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// The arguments of an MCP message; `null` counts as none, as the official SDKs send it.
pub(crate) fn message_arguments(params: Object<'_>) -> Option<Value<'_>> {
    params
        .get("arguments")
        .filter(|value| !matches!(value.kind(), Kind::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_case_variant_is_found_in_each_element() {
        let found = |text: &str| {
            let document = json::parse(text.as_bytes()).unwrap();
            let path = [Some("files"), None, Some("path")];
            variant(document.root(), path.into_iter()).map(|found| pointer(&found))
        };
        let hidden = r#"{"files":[{"path":"a"},{"path":"a","Path":"secrets/b"}]}"#;
        assert_eq!(found(hidden).as_deref(), Some("/files/1/path"));
        assert_eq!(
            found(r#"{"files":[],"FILES":[]}"#).as_deref(),
            Some("/files")
        );
        assert_eq!(found(r#"{"files":[{"path":"a","x":1},7],"X":2}"#), None);
        assert_eq!(found(r#"{"files":7}"#), None);
    }
}
