//! A condition read aloud over the data of a call; `None` is undetermined.

use std::net::IpAddr;

use serde_json::Value;

use super::{
    call::{Call, START},
    draw::{Condition, Literal, Sign},
};

/// What a condition comes to on a call.
pub(crate) fn value(condition: &Condition, call: &Call) -> Option<bool> {
    of(condition, call, None)
}

fn of(condition: &Condition, call: &Call, element: Option<&Value>) -> Option<bool> {
    let read = |name: &str| read(name, call, element);
    match condition {
        Condition::Constant(value) => Some(*value),
        Condition::Not(inner) => of(inner, call, element).map(|it| !it),
        Condition::All(parts) => every(parts.iter().map(|it| of(it, call, element))),
        Condition::Any(parts) => some(parts.iter().map(|it| of(it, call, element))),
        Condition::Has("request.ip") => Some(call.ip.is_some()),
        Condition::Has(name) => Some(read(name).is_some()),
        Condition::Named(name, of) => Some(read(&format!("{of}.{name}")).is_some()),
        Condition::Truth(name) => read(name)?.as_bool(),
        Condition::Compare(name, sign, literal, _) => compare(read(name)?, *sign, literal),
        Condition::OneOf(name, values) => {
            let value = read(name)?;
            some(values.iter().map(|it| compare(value, Sign::Equal, it)))
        }
        Condition::Element(wanted, list) => {
            let items = read(list)?.as_array()?;
            some(items.iter().map(|it| compare(it, Sign::Equal, wanted)))
        }
        Condition::Text(name, test, part) => {
            let text = read(name)?.as_str()?;
            Some(match *test {
                "startsWith" => text.get(..part.len()) == Some(part),
                "endsWith" => {
                    let before = text.len().checked_sub(part.len());
                    before.and_then(|at| text.get(at..)) == Some(part)
                }
                _ => (0..=text.len()).any(|at| text.get(at..at + part.len()) == Some(part)),
            })
        }
        Condition::Matches(name, pattern) => Some((pattern.is)(read(name)?.as_str()?)),
        Condition::Size(name, sign, size, _) => {
            let count = match read(name)? {
                Value::String(text) => text.chars().count(),
                Value::Array(items) => items.len(),
                _ => return None,
            };
            Some(sign.accepts(i64::try_from(count).unwrap(), *size))
        }
        Condition::Same(one, equal, other) => {
            let (one, other) = (read(one)?.as_str()?, read(other)?.as_str()?);
            Some((one == other) == *equal)
        }
        Condition::Block(_, first, bits) => Some(match call.ip? {
            IpAddr::V4(address) => {
                let differ = address.to_bits() ^ u32::from_be_bytes(*first);
                differ.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            IpAddr::V6(_) => false,
        }),
        Condition::Time(sign, second) => Some(sign.accepts(call.time, START + second)),
        Condition::Schedule(name) => is_on(name, call.time - START),
        Condition::Quantifier(all, list, body) => {
            let items = read(list)?.as_array()?;
            let each = items.iter().map(|item| of(body, call, Some(item)));
            if *all { every(each) } else { some(each) }
        }
    }
}

/// Whether a schedule is on at a second after the beginning.
pub(crate) fn is_on(name: &str, second: i64) -> Option<bool> {
    match name {
        "always" => Some(true),
        "at-times" => Some(second == 1 || second == 3 || second == 4),
        _ => (second < 2).then_some(second == 1),
    }
}

fn read<'v>(name: &str, call: &'v Call, element: Option<&'v Value>) -> Option<&'v Value> {
    let name = name.replace("[\"a-b\"]", ".a-b");
    let mut steps = name.split('.');
    let root = steps.next()?;
    let start = match root {
        "e" => element?,
        _ => call.roots.get(root)?,
    };
    steps.try_fold(start, |at, step| at.get(step))
}

fn compare(value: &Value, sign: Sign, literal: &Literal) -> Option<bool> {
    match (value, literal) {
        (Value::Bool(value), Literal::Bool(literal)) => {
            Some((value == literal) == (sign == Sign::Equal))
        }
        (Value::String(value), Literal::Text(literal)) => {
            Some((value == literal) == (sign == Sign::Equal))
        }
        (Value::Number(number), Literal::Number(literal)) => {
            Some(sign.accepts(thousandths(&number.to_string())?, *literal))
        }
        _ => None,
    }
}

/// A number in thousandths; `None` beyond what policy reads.
fn thousandths(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole: i64 = whole.parse().unwrap();
    if whole.abs() > 9_007_199_254_740_991 {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<3}").parse().unwrap();
    Some(
        whole * 1000
            + if text.starts_with('-') {
                -fraction
            } else {
                fraction
            },
    )
}

impl Sign {
    fn accepts(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

fn every(mut parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    parts
        .try_fold(Some(true), |so_far, part| match part {
            Some(false) => Err(()),
            Some(true) => Ok(so_far),
            None => Ok(None),
        })
        .unwrap_or(Some(false))
}

fn some(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    every(parts.map(|it| it.map(|it| !it))).map(|it| !it)
}
