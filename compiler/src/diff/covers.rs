//! Whether a call lies inside a finding's region.

use std::net::IpAddr;

use latchkey_engine::{
    condition::{Attribute, Root, Segment, address_number},
    decimal::Decimal,
    time::Time,
};
use latchkey_gate::call::Stated;
use serde_json::Value;

use super::domain::{Key, Region};

/// The regions that one variable is confined to.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) key: Key,
    /// The whole domain.
    pub(super) all: Vec<Region>,
    /// Positions in it.
    pub(super) chosen: Vec<usize>,
}

/// Whether a call lies inside all cells. Tests that the analysis does not take apart are taken to
/// hold, so a call may be inside a finding that does not speak of it, never the reverse.
pub(super) fn inside(cells: &[Cell], call: &Stated) -> bool {
    let arguments = arguments(call);
    cells
        .iter()
        .all(|cell| cell.has(&arguments, call) != Some(false))
}

/// As [`inside`]; `None` where a test that is not taken apart leaves it open.
pub(super) fn exactly(cells: &[Cell], call: &Stated) -> Option<bool> {
    let arguments = arguments(call);
    let all = cells.iter().map(|cell| cell.has(&arguments, call));
    let all: Vec<_> = all.collect();
    if all.contains(&Some(false)) {
        return Some(false);
    }
    (!all.contains(&None)).then_some(true)
}

fn arguments(call: &Stated) -> Value {
    let raw = call.arguments.as_ref();
    let read = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    read.unwrap_or_default()
}

impl Cell {
    fn has(&self, arguments: &Value, call: &Stated) -> Option<bool> {
        let region = match &self.key {
            Key::Flag(_) => return None,
            // What a restricted token has is not looked at.
            Key::Token => call.token_permissions.is_none().then_some(1)?,
            Key::Attribute(attribute) if is_of_chain(attribute) => return None,
            Key::Attribute(attribute) => match region_of(attribute, &self.all, arguments, call) {
                Some(region) => region,
                None => return Some(false),
            },
            Key::Group(issuer, value) => usize::from(carries(call, issuer, value)),
        };
        Some(self.chosen.contains(&region))
    }
}

/// Whether an attribute is one of who acts or who is acted for.
pub(super) fn is_of_chain(attribute: &Attribute) -> bool {
    matches!(attribute.root, Root::Principal | Root::Subject)
}

fn carries(call: &Stated, issuer: &str, value: &str) -> bool {
    call.caller.as_ref().is_some_and(|caller| {
        caller.groups.iter().any(|group| group == value)
            && caller.issuer.as_deref().is_none_or(|from| from == issuer)
    })
}

/// The region that the call's value of an attribute lies in. What no test reads is the region for
/// others.
fn region_of(
    attribute: &Attribute,
    all: &[Region],
    arguments: &Value,
    call: &Stated,
) -> Option<usize> {
    let position = |wanted: &dyn Fn(&Region) -> bool| all.iter().position(wanted);
    if attribute.root == Root::Request {
        let time = Time::parse(&call.at);
        let address = address(call).map(address_number);
        return position(&|region| match region {
            Region::Time(..) | Region::Times(_) => time.is_some_and(|it| region.has_instant(it)),
            Region::Address(low, high) => address.is_some_and(|it| (*low..=*high).contains(&it)),
            Region::Absent => address.is_none(),
            _ => false,
        });
    }
    let found = attribute
        .path
        .iter()
        .try_fold(arguments, |at, segment| match segment {
            Segment::Field(name) => at.get(name),
            Segment::Each => at.get(0).or(Some(at)),
        });
    region_of_value(found, all)
}

/// The region that a value, or its absence, lies in.
pub(super) fn region_of_value(value: Option<&Value>, all: &[Region]) -> Option<usize> {
    let position = |wanted: &dyn Fn(&Region) -> bool| all.iter().position(wanted);
    let Some(value) = value else {
        return position(&|region| *region == Region::Absent);
    };
    let lower = value
        .as_str()
        .map(|text| Value::from(text.to_ascii_lowercase()));
    position(&|region| holds(value, region))
        // As a fold may leave it.
        .or_else(|| position(&|region| lower.as_ref().is_some_and(|it| holds(it, region))))
        .or_else(|| position(&|region| *region == Region::Other))
}

fn address(call: &Stated) -> Option<IpAddr> {
    call.ip.as_ref()?.parse().ok()
}

/// Whether a value lies in a region; never in the one for others.
pub(super) fn holds(value: &Value, region: &Region) -> bool {
    match (region, value) {
        (Region::Bool(is), Value::Bool(value)) => is == value,
        (Region::Number(low, high), Value::Number(number)) => Decimal::parse(&number.to_string())
            .is_some_and(|number| (*low..=*high).contains(&number.billionths())),
        (Region::Exactly(is), Value::String(text)) => is.eq_ignore_ascii_case(text),
        (Region::Texts(texts), Value::String(text)) => texts.has(text),
        (Region::List(lists), Value::Array(list)) => lists.has(list),
        _ => false,
    }
}
