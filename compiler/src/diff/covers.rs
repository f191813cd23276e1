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
pub(super) type Cell = (Key, Vec<Region>);

/// Whether a call lies inside all cells. Tests that the analysis does not take apart are taken to
/// hold, so a call may be inside a finding that does not speak of it, never the reverse.
pub(super) fn inside(cells: &[Cell], call: &Stated) -> bool {
    let arguments = call
        .arguments
        .as_ref()
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    let arguments: Value = arguments.unwrap_or_default();
    cells.iter().all(|(key, regions)| match key {
        Key::Attribute(attribute) => regions
            .iter()
            .any(|region| within(attribute, region, &arguments, call)),
        Key::Group(issuer, value) => {
            let carries = call.caller.as_ref().is_some_and(|caller| {
                caller.groups.contains(value)
                    && caller.issuer.as_ref().is_none_or(|from| from == issuer)
            });
            regions.contains(&Region::Holds(carries))
        }
        Key::Flag(_) => true,
    })
}

fn within(attribute: &Attribute, region: &Region, arguments: &Value, call: &Stated) -> bool {
    if attribute.root == Root::Request {
        return match region {
            Region::Time(low, high) => {
                Time::parse(&call.at).is_some_and(|at| (*low..=*high).contains(&at.0))
            }
            Region::Address(low, high) => address(call)
                .is_some_and(|address| (*low..=*high).contains(&address_number(address))),
            Region::Absent => address(call).is_none(),
            _ => false,
        };
    }
    let found = attribute
        .path
        .iter()
        .try_fold(arguments, |at, segment| match segment {
            Segment::Field(name) => at.get(name),
            Segment::Each => at.get(0).or(Some(at)),
        });
    match (found, region) {
        (None, region) => *region == Region::Absent,
        (Some(value), region) => holds(value, region),
    }
}

fn address(call: &Stated) -> Option<IpAddr> {
    call.ip.as_ref()?.parse().ok()
}

fn holds(value: &Value, region: &Region) -> bool {
    match (region, value) {
        (Region::Bool(is), Value::Bool(value)) => is == value,
        (Region::Number(low, high), Value::Number(number)) => Decimal::parse(&number.to_string())
            .is_some_and(|number| (*low..=*high).contains(&number.billionths())),
        (Region::Exactly(is), Value::String(text)) => is.eq_ignore_ascii_case(text),
        (Region::Prefix(prefix, without), Value::String(text)) => {
            let taken = without.iter().any(|it| match it.strip_suffix('*') {
                Some(longer) => text.starts_with(longer),
                None => it == text,
            });
            text.starts_with(prefix) && !taken
        }
        (Region::List, Value::Array(_)) => true,
        (Region::Other, Value::Number(number)) => Decimal::parse(&number.to_string()).is_none(),
        (Region::Other, Value::String(text)) => !text.is_ascii(),
        (Region::Other, Value::Null | Value::Object(_)) => true,
        _ => false,
    }
}
