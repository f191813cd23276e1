//! Random calls, and how the engine sees them.

use std::net::IpAddr;

use latchkey_engine::{
    condition::{Attribute, Facts, Schedule, Segment},
    decimal::Decimal,
    id::AttributeId,
    slot::Slot,
    testing::Rng,
    time::Time,
};
use serde_json::{Map, Value, json};

use super::draw::TEXTS;

/// The second at which calls of this test begin: 2026-12-01 at ten.
pub(crate) const START: i64 = 1_796_119_200;

/// What the attributes of a call can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Of their types, or absent.
    Typed,
    /// Also of another type, and numbers that policy does not read.
    Any,
}

/// What a condition reads.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The roots, but for the request.
    pub(crate) roots: Value,
    /// When it comes.
    pub(crate) time: i64,
    /// From where.
    pub(crate) ip: Option<IpAddr>,
}

/// The schedules of these tests: one that is known for every call, one that ends among them, and
/// one that is always on.
pub(crate) fn schedules() -> Vec<Schedule> {
    let schedule = |name: &str, end: i64, windows: &[(i64, i64)]| {
        let windows = windows.iter();
        let windows = windows.map(|(from, to)| (Time(START + from), Time(START + to)));
        Schedule {
            name: name.to_owned(),
            not_before: Time(START),
            expires: Time(START + end),
            windows: windows.collect(),
        }
    };
    vec![
        schedule("always", 9, &[(0, 9)]),
        schedule("at-times", 9, &[(1, 2), (3, 5)]),
        schedule("ends", 2, &[(1, 2)]),
    ]
}

impl Call {
    /// A random call.
    pub(crate) fn draw(rng: &mut Rng, values: Values) -> Self {
        let mut draw = Draw {
            rng: Rng::new(rng.bits()),
            values,
        };
        let principal = draw.object(&[
            ("name", Draw::text),
            ("team", Draw::text),
            ("groups", |it| it.list(Draw::text)),
            ("tags", |it| it.list(Draw::text)),
        ]);
        let subject = draw.object(&[("team", Draw::text)]);
        let scope = draw.object(&[("team", Draw::text)]);
        let args = draw.object(&[
            ("b", Draw::boolean),
            ("a-b", Draw::boolean),
            ("n", Draw::number),
            ("m", Draw::number),
            ("t", Draw::text),
            ("u", Draw::text),
            ("l", |it| it.list(Draw::text)),
            ("ns", |it| it.list(Draw::number)),
            ("o", |it| {
                it.object(&[("x", Draw::number), ("y", Draw::text)])
            }),
            ("fs", |it| {
                it.list(|it| {
                    it.object(&[("p", Draw::text), ("k", Draw::number), ("d", Draw::text)])
                })
            }),
        ]);
        let ips = ["10.1.2.3", "10.9.9.9", "11.0.0.1", "2001:db8::1"];
        let at = draw.rng.below(ips.len() + 1);
        Self {
            roots: json!({"args": args, "principal": principal, "subject": subject, "scope": scope}),
            time: START + i64::try_from(draw.rng.below(4)).unwrap(),
            ip: ips.get(at).map(|it| it.parse().unwrap()),
        }
    }
}

struct Draw {
    rng: Rng,
    values: Values,
}

type Member = (&'static str, fn(&mut Draw) -> Value);

impl Draw {
    fn object(&mut self, members: &[Member]) -> Value {
        let mut object = Map::new();
        for (name, value) in members {
            if self.rng.chance(80) {
                let odd = self.values == Values::Any && self.rng.chance(8);
                let value = if odd { self.odd() } else { value(self) };
                object.insert((*name).to_owned(), value);
            }
        }
        Value::Object(object)
    }

    fn list(&mut self, item: fn(&mut Draw) -> Value) -> Value {
        let count = self.rng.below(4);
        (0..count).map(|_| item(self)).collect()
    }

    fn boolean(&mut self) -> Value {
        self.rng.chance(50).into()
    }

    fn text(&mut self) -> Value {
        TEXTS[self.rng.below(TEXTS.len())].into()
    }

    fn number(&mut self) -> Value {
        let numbers = ["-1", "0", "1", "1.5", "2", "2.5", "3", "2.25"];
        serde_json::from_str(numbers[self.rng.below(numbers.len())]).unwrap()
    }

    fn odd(&mut self) -> Value {
        match self.rng.below(6) {
            0 => Value::Bool(true),
            1 => "a".into(),
            2 => 1.into(),
            3 => json!(["a", 1]),
            4 => 9_007_199_254_740_993_i64.into(),
            _ => json!({"x": 1}),
        }
    }
}

/// The attributes of a call, as the engine asks for them.
pub(crate) struct Scene<'a> {
    slots: Vec<(Slot<'a>, Option<Vec<Slot<'a>>>)>,
}

impl<'a> Scene<'a> {
    /// What a program reads of a call.
    pub(crate) fn new(attributes: &[Attribute], call: &'a Call) -> Self {
        let slots = attributes.iter().map(|attribute| slot(attribute, call));
        Self {
            slots: slots.collect(),
        }
    }
}

impl Facts for Scene<'_> {
    fn slot(&self, attribute: AttributeId) -> Slot<'_> {
        match &self.slots[attribute.index()] {
            (_, Some(column)) => Slot::List(column),
            (slot, None) => *slot,
        }
    }
}

fn slot<'a>(attribute: &Attribute, call: &'a Call) -> (Slot<'a>, Option<Vec<Slot<'a>>>) {
    if attribute.root.as_str() == "request" {
        let time = attribute.path == [Segment::Field("time".to_owned())];
        let slot = match call.ip {
            _ if time => Slot::Time(Time(call.time)),
            Some(address) => Slot::Address(address),
            None => Slot::Absent,
        };
        return (slot, None);
    }
    let mut parts = attribute.path.split(|it| *it == Segment::Each);
    let found = walk(
        call.roots.get(attribute.root.as_str()),
        parts.next().unwrap(),
    );
    let rest = parts.next().unwrap_or_default();
    match found {
        Some(Value::Array(items)) => {
            let column = items.iter().map(|item| scalar(walk(Some(item), rest)));
            (Slot::Opaque, Some(column.collect()))
        }
        other => (scalar(other), None),
    }
}

fn walk<'v>(from: Option<&'v Value>, path: &[Segment]) -> Option<&'v Value> {
    path.iter().fold(from, |at, segment| match segment {
        Segment::Field(name) => at?.get(name),
        Segment::Each => None,
    })
}

fn scalar(value: Option<&Value>) -> Slot<'_> {
    match value {
        None => Slot::Absent,
        Some(Value::Bool(value)) => Slot::Bool(*value),
        Some(Value::String(text)) => Slot::Text(text),
        Some(Value::Number(number)) => {
            Decimal::parse(&number.to_string()).map_or(Slot::Opaque, Slot::Number)
        }
        Some(Value::Null | Value::Array(_) | Value::Object(_)) => Slot::Opaque,
    }
}
