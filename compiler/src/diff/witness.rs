//! A concrete call for one way through a diagram.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv6Addr},
};

use latchkey_engine::{
    condition::{Attribute, Root, Segment, Test, Value as Literal},
    decimal::Decimal,
    index::{Surface, SurfaceKind},
    time::Time,
};
use latchkey_gate::call::{Stated, StatedCaller};
use serde_json::{Map, Value, value::RawValue};

use super::{
    covers::holds,
    domain::{Key, ONE, Region, Texts, folded},
    instance,
    lists::Lists,
    outcome::{Answer, Question, argument},
    shape::Shape,
    view::{View, now},
    world::{Sample, Side},
};

/// How many calls are tried before the answer is *cannot tell*.
pub(super) const MAX_TRIES: usize = 32;

/// The regions that a way through a diagram leaves to each variable; others are free.
pub(super) type Choice = BTreeMap<Key, Vec<usize>>;

/// Everything a witness is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) question: &'a Question<'a>,
    pub(super) answer: &'a Answer,
    pub(super) choice: &'a Choice,
    pub(super) sample: &'a Sample,
    /// The time that is used where any will do.
    pub(super) at: Time,
}

impl Recipe<'_> {
    /// The call of one try, or `None` when this try has nothing new to offer. Different tries
    /// take different regions, ends of intervals and texts.
    pub(super) fn call(&self, attempt: usize) -> Option<Stated> {
        let side = self.side()?;
        let (_, surface) = side.surface(self.question.surface)?;
        let (server, name) = self.question.surface.split_once('/')?;
        let schema = side.schema(surface).cloned().unwrap_or(Value::Null);
        let mut arguments = match instance::plainest(&schema) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        let mut call = Stated {
            id: None,
            caller: self.caller(),
            on_behalf_of: Vec::new(),
            server: server.to_owned(),
            tool: None,
            prompt: None,
            resource: None,
            arguments: None,
            method: None,
            path: None,
            body: None,
            at: self.at.to_string(),
            ip: None,
            token_permissions: self.is_restricted().then(Vec::new),
            token_id: None,
        };
        self.pin(surface, &schema, &mut arguments);
        for (key, regions) in &self.answer.domains {
            let Key::Attribute(attribute) = key else {
                continue;
            };
            let chosen = self.choice.get(key);
            let region = match chosen {
                Some(chosen) => regions.get(*chosen.get(attempt % chosen.len().max(1))?)?,
                None => plain(regions, &arguments, attribute)?,
            };
            if attribute.root == Root::Args {
                // A free attribute keeps what the plainest instance gives it, if it may have that.
                let kept = read(&arguments, &attribute.path)
                    .is_some_and(|value| regions.iter().any(|region| holds(value, region)));
                if chosen.is_some() || !kept {
                    let value = self.value(attribute, region, attempt);
                    write(&mut arguments, &attribute.path, value);
                }
            } else {
                self.put(attribute, region, &mut call);
            }
        }
        place(surface, name, arguments, &mut call)?;
        Some(call)
    }

    /// Whether the way needs a token that lacks the permission.
    fn is_restricted(&self) -> bool {
        self.choice
            .get(&Key::Token)
            .is_some_and(|regions| regions.as_slice() == [0])
    }

    fn side(&self) -> Option<&Side<'_>> {
        let [old, new] = self.question.sides;
        [new, old]
            .into_iter()
            .find(|side| side.surface(self.question.surface).is_some())
    }

    fn caller(&self) -> Option<StatedCaller> {
        let Sample::Identity { issuer, .. } = self.sample else {
            return None;
        };
        let groups: Vec<String> = self
            .choice
            .iter()
            .filter_map(|(key, regions)| match key {
                Key::Group(of, value) if of == issuer && regions.as_slice() == [1] => {
                    Some(value.clone())
                }
                _ => None,
            })
            .collect();
        self.sample.stated(groups)
    }

    /// Writes the operation's argument; as a list of one, where it cannot be a text.
    fn pin(&self, surface: &Surface, schema: &Value, arguments: &mut Map<String, Value>) {
        if let (Some(operations), Some(operation)) = (&surface.operations, self.question.operation)
        {
            let attribute = argument(&operations.argument, false);
            let value = match Shape::of(&attribute, Some(schema)).text {
                Some(false) => Value::from(vec![operation]),
                _ => Value::from(operation),
            };
            write(arguments, &attribute.path, Some(value));
        }
    }

    /// Puts a fact of the request; who acts and who is acted for is put by `chain`.
    fn put(&self, attribute: &Attribute, region: &Region, call: &mut Stated) {
        match region {
            Region::Time(..) | Region::Times(_) if *attribute == now() => {
                if let Some(time) = region.instant_near(self.at) {
                    call.at = time.to_string();
                }
            }
            Region::Address(low, high) => call.ip = Some(address(*low, *high).to_string()),
            _ => {}
        }
    }

    fn value(&self, attribute: &Attribute, region: &Region, attempt: usize) -> Option<Value> {
        Some(match region {
            Region::Bool(value) => Value::Bool(*value),
            Region::Number(low, high) => number(*low, *high, attempt),
            Region::Exactly(text) => Value::String(self.spelt(attribute, text)),
            Region::Texts(texts) => self.text(attribute, texts, attempt),
            Region::List(Lists {
                sample: Some(list), ..
            }) => list.clone(),
            Region::List(_) => self.list(attribute, attempt),
            Region::Other => match attempt % 4 {
                0 => Value::String("\u{e9}".to_owned()),
                1 => Value::from(0.000_000_000_1),
                2 => Value::from(1e16),
                _ => Value::Object(Map::new()),
            },
            Region::Absent
            | Region::Time(..)
            | Region::Times(_)
            | Region::Address(..)
            | Region::Holds(_) => return None,
        })
    }

    /// A text as the schema enumerates it, where that is what becomes of it by its fold.
    fn spelt(&self, attribute: &Attribute, text: &str) -> String {
        let view = View::new(self.question, 1);
        let (shape, fold) = (Shape::of(attribute, view.schema()), view.fold(attribute));
        let mut sent = shape.texts();
        let found = sent.find(|it| folded(it, fold).as_deref() == Some(text));
        found.unwrap_or_else(|| text.to_owned())
    }

    /// One of some texts, tried with the texts that tests of the attribute name.
    fn text(&self, attribute: &Attribute, texts: &Texts, attempt: usize) -> Value {
        let Texts { prefix, sample, .. } = texts;
        let mut candidates: Vec<String> = sample.iter().cloned().collect();
        candidates.extend([
            format!("{prefix}x"),
            prefix.clone(),
            format!("{prefix}other-0"),
        ]);
        for hint in self.answer.hints.get(attribute).into_iter().flatten() {
            candidates.push(format!("{prefix}{hint}"));
            candidates.push(format!("{prefix}x{hint}"));
            candidates.push(format!("{prefix}{hint}x"));
        }
        for size in self.sizes(attribute) {
            candidates.extend([size, size + 1, size.saturating_sub(1)].map(|size| {
                let fill = size.saturating_sub(prefix.chars().count());
                format!("{prefix}{}", "x".repeat(fill))
            }));
        }
        if let Some(text) = sample {
            candidates.extend([format!("{text}x"), format!("{prefix}y{text}")]);
        }
        candidates.retain(|text| texts.has(text));
        let at = attempt % candidates.len().max(1);
        candidates
            .get(at)
            .map_or(Value::Null, |text| Value::String(text.clone()))
    }

    fn list(&self, attribute: &Attribute, attempt: usize) -> Value {
        let mut members: Vec<Value> = Vec::new();
        for (key, flag) in &self.answer.flags {
            let Test::Member(_, literal) = &flag.test else {
                continue;
            };
            let holds = self
                .choice
                .get(key)
                .is_some_and(|regions| regions.as_slice() == [1]);
            if holds && flag.attributes.contains(attribute) {
                members.push(json(literal));
            }
        }
        let sizes = self.sizes(attribute);
        let wanted = if sizes.is_empty() {
            attempt / 2 % 3
        } else {
            let size = sizes.get(attempt / 3 % sizes.len()).copied().unwrap_or(0);
            (size + attempt % 3).saturating_sub(1)
        };
        while members.len() < wanted.min(64) {
            members.push(Value::String(format!("x{}", members.len())));
        }
        Value::Array(members)
    }

    fn sizes(&self, attribute: &Attribute) -> Vec<usize> {
        let flags = self.answer.flags.values();
        flags
            .filter(|flag| flag.attributes.contains(attribute))
            .filter_map(|flag| match &flag.test {
                Test::Size(_, _, size) => usize::try_from(*size).ok().filter(|size| *size < 4096),
                _ => None,
            })
            .collect()
    }
}

/// A region for an attribute that any will do for: what the plainest instance says, if it can.
fn plain<'r>(
    regions: &'r [Region],
    arguments: &Map<String, Value>,
    attribute: &Attribute,
) -> Option<&'r Region> {
    let present = attribute.root == Root::Args && read(arguments, &attribute.path).is_some();
    let absent = regions.iter().find(|region| **region == Region::Absent);
    match absent {
        Some(absent) if !present => Some(absent),
        _ => regions
            .iter()
            .find(|region| !matches!(region, Region::Absent | Region::Other))
            .or(absent),
    }
}

/// What the arguments have at a path.
fn read<'v>(arguments: &'v Map<String, Value>, path: &[Segment]) -> Option<&'v Value> {
    let mut at: Option<&'v Value> = None;
    for (depth, segment) in path.iter().enumerate() {
        at = match segment {
            Segment::Field(name) if depth == 0 => arguments.get(name),
            Segment::Field(name) => at.and_then(|at| at.get(name)),
            Segment::Each => at.and_then(|at| at.get(0)),
        };
    }
    at
}

/// Writes, or with `None` removes, the value at a path.
fn write(arguments: &mut Map<String, Value>, path: &[Segment], value: Option<Value>) {
    match path {
        [Segment::Field(name)] => match value {
            Some(value) => {
                arguments.insert(name.clone(), value);
            }
            None => {
                arguments.remove(name);
            }
        },
        [Segment::Field(name), Segment::Each] => {
            if let Some(value) = value {
                // As many as the schema asks for, and all the same.
                let before = arguments.get(name).and_then(Value::as_array);
                let count = before.map_or(1, |it| it.len().max(1));
                arguments.insert(name.clone(), Value::Array(vec![value; count]));
            }
        }
        [Segment::Field(name), rest @ ..] => {
            if value.is_none() && !arguments.contains_key(name) {
                return;
            }
            let inner = arguments
                .entry(name.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(members) = inner {
                write(members, rest, value);
            }
        }
        [Segment::Each, ..] | [] => {}
    }
}

/// Puts the arguments where the kind of surface has them.
fn place(
    surface: &Surface,
    name: &str,
    arguments: Map<String, Value>,
    call: &mut Stated,
) -> Option<()> {
    match &surface.kind {
        SurfaceKind::Tool => {
            call.tool = Some(name.to_owned());
            call.arguments = Some(raw(&Value::Object(arguments))?);
        }
        SurfaceKind::Prompt => {
            call.prompt = Some(name.to_owned());
            call.arguments = Some(raw(&Value::Object(arguments))?);
        }
        SurfaceKind::Resource { uri } => call.resource = Some(fill(uri, &arguments)),
        SurfaceKind::Route { method, path } => {
            let empty = Map::new();
            let part = |name: &str| arguments.get(name).and_then(Value::as_object);
            let mut path = fill(path, part("path").unwrap_or(&empty));
            let query = part("query")
                .unwrap_or(&empty)
                .iter()
                .map(|(name, value)| format!("{}={}", encoded(name), encoded(&bare(value))));
            let query: Vec<_> = query.collect();
            if !query.is_empty() {
                path = format!("{path}?{}", query.join("&"));
            }
            call.method = Some(method.clone());
            call.path = Some(path);
            call.body = match arguments.get("body") {
                Some(body) => Some(raw(body)?),
                None => None,
            };
        }
    }
    Some(())
}

/// A template with its parameters filled in.
fn fill(template: &str, values: &Map<String, Value>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(
            &values
                .get(name)
                .map_or_else(|| "x".to_owned(), |it| encoded(&bare(it))),
        );
        rest = after;
    }
    out + rest
}

fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    RawValue::from_string(value.to_string()).ok()
}

fn json(literal: &Literal) -> Value {
    match literal {
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Text(text) => Value::String(text.clone()),
        Literal::Number(number) => serde_json::from_str(&number.to_string()).unwrap_or_default(),
        Literal::Time(time) => Value::String(time.to_string()),
    }
}

/// A number of a range: whole if it can be, near its end that is nearer to zero.
pub(super) fn number(low: i128, high: i128, attempt: usize) -> Value {
    let up = low.div_euclid(ONE) * ONE + if low.rem_euclid(ONE) == 0 { 0 } else { ONE };
    let down = high.div_euclid(ONE) * ONE;
    let ends = if up <= down { (up, down) } else { (low, high) };
    let near = if ends.0 <= 0 && ends.1 >= 0 {
        0
    } else if ends.0 > 0 {
        ends.0
    } else {
        ends.1
    };
    let pick = match attempt % 3 {
        0 => near,
        1 => ends.0,
        _ => ends.1,
    };
    let text = Decimal::from_billionths(pick).map_or_else(|| "0".to_owned(), |it| it.to_string());
    serde_json::from_str(&text).unwrap_or_default()
}

/// An address of a range, IPv4 where there is one.
fn address(low: u128, high: u128) -> IpAddr {
    const MAPPED: u128 = 0xffff_0000_0000;
    let pick = if low <= MAPPED && MAPPED <= high {
        MAPPED + 0x0100_0001
    } else {
        low
    };
    let pick = if (low..=high).contains(&pick) {
        pick
    } else {
        low
    };
    let v6 = Ipv6Addr::from(pick);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}
