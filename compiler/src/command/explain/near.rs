//! What a denied call comes nearest to: the one thing of each grant that would have to be different.

use std::collections::BTreeMap;

use latchkey_engine::{
    bundle::places::PlaceKind,
    call::Caller,
    condition::{Attribute, Defaults, Facts as Attributes, Formula, Program, Root, Segment},
    decision::NoTrace,
    id::{AttributeId, BindingId, FormulaId},
    index::{Index, Subject},
    policy::Policy,
    reason::Reason,
    slot::Slot,
    time::Time,
};
use latchkey_gate::{
    admit::{Facts, SlotValue},
    call::Stated,
    event::attribute_name,
};

use super::call::Opened;
use crate::{
    diff::{attribute_words, formula_words, read_by},
    model::type_name,
    replay::Held,
};

/// The most roles that are named as giving what nobody gave.
const MAX_ROLES: usize = 3;

/// A decision, and what it was asked.
pub(super) struct Near<'a> {
    pub(super) facts: &'a Facts,
    /// Who calls, and whom they act for; nobody where their token is refused.
    pub(super) callers: &'a [Caller],
    pub(super) stated: &'a Stated,
    pub(super) opened: &'a Opened,
}

impl Near<'_> {
    /// Why a binding that nearly granted did not, as a clause.
    pub(super) fn missed(&self, binding: &str, why: &str) -> String {
        let policy = self.opened.gate.policy();
        let Some(id) = policy.binding(binding) else {
            return why.to_owned();
        };
        let columns = policy.bindings();
        match why {
            "scope" => {
                let own = columns.scopes.get(id.index());
                let own = own.map_or_else(String::new, |it| policy.index().scopes.path(*it));
                let there = self.facts.scopes.join(", ");
                format!("it holds in {own}, and the call takes place in {there}")
            }
            "dates" => {
                let dates = columns.dates.get(id.index()).copied().unwrap_or_default();
                let now = Time::parse(&self.stated.at);
                match (dates.not_before, dates.expires) {
                    (Some(from), _) if now.is_some_and(|now| now < from) => {
                        format!(
                            "it holds from {from} on, and the call is of {}",
                            self.stated.at
                        )
                    }
                    (_, Some(until)) => {
                        format!("it ended at {until}, and the call is of {}", self.stated.at)
                    }
                    _ => "it is not in force at this time".to_owned(),
                }
            }
            "organization" => "it does not reach into other organizations, for want of \
                               `crossOrganization`"
                .to_owned(),
            "condition" => {
                let condition = columns.conditions.get(id.index()).copied().flatten();
                let blamed = condition.map_or_else(Vec::new, |it| self.blame(it, false));
                format!("its condition does not hold: {}", told(&blamed))
            }
            other => other.to_owned(),
        }
    }

    /// Why the rule that denied applies, as a clause; none for a rule without a condition.
    pub(super) fn denied(&self, rule: &str) -> Option<String> {
        let policy = self.opened.gate.policy();
        let rule = policy.index().rules.get(policy.rule(rule)?.index())?;
        let blamed = self.blame(rule.condition?, true);
        (!blamed.is_empty()).then(|| format!("its condition holds: {}", told(&blamed)))
    }

    /// As what a binding names a caller of the call.
    pub(super) fn named_by(&self, binding: BindingId) -> Vec<String> {
        let policy = self.opened.gate.policy();
        let subjects = policy.bindings().subjects_of(binding).iter();
        let named =
            subjects.filter(|it| self.callers.iter().any(|caller| is(policy, caller, **it)));
        let named = named.map(|subject| match subject {
            Subject::Principal(id) => policy.principal_name(*id).to_owned(),
            Subject::Group(id) => format!("group:{}", policy.group_name(*id)),
            Subject::Tag(id) => format!("tag:{}", policy.index().tags.get(id.index())),
            Subject::Type(kind) => format!("type:{}", type_name(*kind)),
            Subject::Everyone => "everyone".to_owned(),
        });
        named.collect()
    }

    /// Whether nothing else stands in the way of the call.
    pub(super) fn is_alone(&self) -> bool {
        let facts = self.facts;
        facts.failed.as_slice() == [Reason::NoPermission]
            && facts.who.callers.len() == 1
            && facts.scopes.len() == 1
            && facts.permissions.len() == 1
            && facts.missed.len() == 1
    }

    /// The smallest roles that give everything the call needs, where nobody gave it to this caller.
    pub(super) fn roles(&self) -> Vec<(String, Option<String>)> {
        if self.facts.reason != Reason::NoPermission || !self.facts.missed.is_empty() {
            return Vec::new();
        }
        let policy = self.opened.gate.policy();
        let wanted: Option<Vec<_>> = self
            .facts
            .permissions
            .iter()
            .map(|it| policy.permission_by_name(it))
            .collect();
        let Some(wanted) = wanted.filter(|it| !it.is_empty()) else {
            return Vec::new();
        };
        let roles = &policy.index().roles;
        let mut giving: Vec<(usize, &str)> = roles
            .names
            .iter()
            .enumerate()
            .filter_map(|(at, name)| {
                let given = roles.permissions.get(at);
                let all = wanted.iter().all(|it| given.binary_search(it).is_ok());
                all.then_some((given.len(), name))
            })
            .collect();
        giving.sort_unstable();
        let named = giving.into_iter().take(MAX_ROLES).map(|(_, name)| {
            let place = self.opened.place(PlaceKind::Role, name);
            (name.to_owned(), place)
        });
        named.collect()
    }

    /// The literals that make a condition hold, or not, each with the value that it read.
    fn blame(&self, condition: FormulaId, holds: bool) -> Vec<Blamed> {
        let policy = self.opened.gate.policy();
        let index = policy.index();
        let Ok(program) = Program::compile(&index.attributes, &index.formulas) else {
            return Vec::new();
        };
        let held = self.held(policy);
        let elements = held.iter().map(|(id, it)| (*id, it.elements()));
        let elements: BTreeMap<AttributeId, Vec<Slot<'_>>> = elements.collect();
        let values = Values {
            policy,
            callers: self.callers,
            held: &held,
            elements: &elements,
        };
        let search = Search {
            index,
            program: &program,
            values: &values,
            holds,
        };
        let mut found = Vec::new();
        search.walk(condition, &mut found);
        found
    }

    /// The values of all attributes that are no lists in memory, as the call has them.
    fn held(&self, policy: &Policy) -> BTreeMap<AttributeId, Held> {
        let attributes = policy.index().attributes.iter().zip(0..);
        let each =
            attributes.map(|(attribute, at)| (AttributeId(at), self.value(policy, attribute)));
        each.collect()
    }

    fn value(&self, policy: &Policy, attribute: &Attribute) -> Held {
        let text = |text: Option<String>| text.map_or(Held::Absent, Held::Text);
        let tree = &policy.index().scopes;
        let field = match attribute.path.as_slice() {
            [Segment::Field(name)] => name.as_str(),
            _ => "",
        };
        match attribute.root {
            Root::Args => {
                let name = attribute_name(&attribute.path);
                let slot = self.facts.slots.iter().find(|it| *it.attribute == *name);
                match slot.map(|it| &it.value) {
                    None | Some(SlotValue::Absent) => Held::Absent,
                    Some(SlotValue::Digest(json) | SlotValue::Value(json)) => {
                        serde_json::from_str(json).map_or(Held::Opaque, |it| Held::value(&it))
                    }
                }
            }
            Root::Principal => text(fact(policy, self.callers.first(), field)),
            Root::Subject => text(fact(policy, self.callers.last(), field)),
            Root::Scope => {
                let scope = self.facts.scopes.first().and_then(|it| tree.find(it));
                let node = scope.and_then(|scope| match field {
                    "team" => tree.team(scope),
                    _ => tree.organization(scope),
                });
                text(node.map(|node| tree.name(node).to_owned()))
            }
            Root::Request if field == "time" => Held::Text(self.stated.at.clone()),
            Root::Request => text(self.facts.address.map(|it| it.to_string())),
        }
    }
}

/// Whether a caller is what a binding names.
fn is(policy: &Policy, caller: &Caller, subject: Subject) -> bool {
    match subject {
        Subject::Principal(id) => caller.principal == Some(id),
        Subject::Group(id) => caller.groups.contains(&id),
        Subject::Tag(id) => has_tag(policy, caller, policy.index().tags.get(id.index())),
        Subject::Type(kind) => caller.kind == Some(kind),
        Subject::Everyone => true,
    }
}

/// A fact of a caller, as conditions read it.
fn fact(policy: &Policy, caller: Option<&Caller>, field: &str) -> Option<String> {
    let caller = caller?;
    let tree = &policy.index().scopes;
    match field {
        "name" => Some(policy.principal_name(caller.principal?).to_owned()),
        "type" => Some(type_name(caller.kind?).to_owned()),
        "organization" => Some(tree.name(tree.organization(caller.scope?)?).to_owned()),
        "team" => Some(tree.name(tree.team(caller.scope?)?).to_owned()),
        _ => None,
    }
}

/// A literal that decided, and what it read.
struct Blamed {
    literal: String,
    read: Vec<(String, String)>,
}

fn told(blamed: &[Blamed]) -> String {
    let each = blamed.iter().map(|it| {
        let read: Vec<String> = it
            .read
            .iter()
            .map(|(name, value)| format!("{name} is {value}"))
            .collect();
        if read.is_empty() {
            format!("`{}`", it.literal)
        } else {
            format!("`{}`, where {}", it.literal, read.join(" and "))
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The values of a call, as the engine's evaluator asks for them.
struct Values<'a> {
    policy: &'a Policy,
    callers: &'a [Caller],
    held: &'a BTreeMap<AttributeId, Held>,
    elements: &'a BTreeMap<AttributeId, Vec<Slot<'a>>>,
}

impl Attributes for Values<'_> {
    fn slot(&self, attribute: AttributeId) -> Slot<'_> {
        let entry = self.policy.index().attributes.get(attribute.index());
        let field = entry.and_then(|it| it.path.first());
        let held = self.held.get(&attribute);
        match (entry.map(|it| it.root), field, held) {
            (Some(Root::Request), Some(Segment::Field(name)), Some(Held::Text(text))) => {
                if name == "time" {
                    Time::parse(text).map_or(Slot::Opaque, Slot::Time)
                } else {
                    text.parse().map_or(Slot::Opaque, Slot::Address)
                }
            }
            (_, _, Some(held)) => {
                let elements = self.elements.get(&attribute);
                held.slot(elements.map_or(&[], Vec::as_slice))
            }
            _ => Slot::Absent,
        }
    }

    fn member(&self, attribute: AttributeId, name: &str) -> Option<bool> {
        let entry = self.policy.index().attributes.get(attribute.index())?;
        let caller = match entry.root {
            Root::Principal => self.callers.first(),
            Root::Subject => self.callers.last(),
            Root::Args | Root::Scope | Root::Request => return None,
        };
        let [Segment::Field(field)] = entry.path.as_slice() else {
            return None;
        };
        let group = self.policy.group(name);
        match field.as_str() {
            "groups" => {
                let in_group = |it: &Caller| group.is_some_and(|id| it.groups.contains(&id));
                Some(caller.is_some_and(in_group))
            }
            "tags" => Some(caller.is_some_and(|it| has_tag(self.policy, it, name))),
            _ => None,
        }
    }
}

fn has_tag(policy: &Policy, caller: &Caller, name: &str) -> bool {
    let index = policy.index();
    let tags = index.principals.tags.iter();
    let of = tags.filter(|(it, _)| Some(*it) == caller.principal);
    let mut names = of.map(|(_, tag)| index.tags.get(tag.index()));
    names.any(|it| it == name)
}

/// Looks for the literals that make a formula what it is.
struct Search<'a> {
    index: &'a Index,
    program: &'a Program,
    values: &'a Values<'a>,
    /// What the formula comes to, and what counts for a literal without a value.
    holds: bool,
}

impl Search<'_> {
    fn is(&self, id: FormulaId) -> bool {
        let defaults = Defaults {
            undetermined: self.holds,
            unknown: self.holds,
        };
        self.program.holds(id, self.values, defaults, &mut NoTrace) == self.holds
    }

    fn walk(&self, id: FormulaId, found: &mut Vec<Blamed>) {
        match self.index.formulas.get(id.index()) {
            Some(Formula::All(parts) | Formula::Any(parts)) => {
                for part in parts.iter().filter(|part| self.is(**part)) {
                    self.walk(*part, found);
                }
            }
            Some(Formula::Constant(_)) | None => {}
            Some(Formula::Literal { test, .. }) => {
                let read = read_by(test).map(|id| self.shown(id));
                found.push(Blamed {
                    literal: plain(&formula_words(self.index, id)),
                    read: read.collect(),
                });
            }
            Some(Formula::Every(list, _) | Formula::Some(list, _)) => found.push(Blamed {
                literal: formula_words(self.index, id),
                read: vec![self.shown(*list)],
            }),
        }
    }

    /// An attribute and its value, as people write them.
    fn shown(&self, id: AttributeId) -> (String, String) {
        let attribute = self.index.attributes.get(id.index());
        let name = attribute.map_or_else(String::new, attribute_words);
        let value = match self.values.slot(id) {
            Slot::Absent => "absent".to_owned(),
            Slot::Unknown | Slot::Opaque => "no value that policy reads".to_owned(),
            Slot::Bool(value) => value.to_string(),
            Slot::Number(value) => value.to_string(),
            Slot::Text(text) => format!("{text:?}"),
            Slot::Address(address) => address.to_string(),
            Slot::Time(time) => time.to_string(),
            Slot::List(elements) => format!("a list of {}", elements.len()),
        };
        (name, value)
    }
}

/// A literal without the brackets that it has inside a formula.
fn plain(words: &str) -> String {
    let inner = words.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
    inner.unwrap_or(words).to_owned()
}
