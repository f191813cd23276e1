//! A condition read naively: recursive strong Kleene logic over a tree of data.

use std::{collections::BTreeMap, net::IpAddr};

use super::super::{
    Expr, Value,
    expr::{ExprKind, Operand, Operator, Path, TextTest, Variable},
};
use crate::{decimal::Decimal, time::Time};

/// What a member of a call is, in full.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Unknown,
    Opaque,
    Bool(bool),
    Number(Decimal),
    Text(String),
    Time(Time),
    Address(IpAddr),
    List(Vec<Data>),
    Object(BTreeMap<String, Data>),
}

/// Strong Kleene logic: `None` is undetermined.
pub(super) fn kleene(expr: &Expr, world: &Data, element: Option<&Data>) -> Option<bool> {
    let find = |path: &Path| find(path, world, element);
    match &expr.kind {
        ExprKind::Constant(value) => Some(*value),
        ExprKind::Not(inner) => kleene(inner, world, element).map(|value| !value),
        ExprKind::And(parts) => all(parts.iter().map(|part| kleene(part, world, element))),
        ExprKind::Or(parts) => any(parts.iter().map(|part| kleene(part, world, element))),
        ExprKind::Has(path) => Some(find(path).is_some()),
        ExprKind::Truth(path) => match find(path)? {
            Data::Bool(value) => Some(*value),
            _ => None,
        },
        ExprKind::Compare(left, operator, right) => {
            let paths = matches!((left, right), (Operand::Path(_), Operand::Path(_)));
            let (left, right) = (operand(left, &find)?, operand(right, &find)?);
            // Two attributes are compared as texts.
            if paths && !matches!((&left, &right), (Data::Text(_), Data::Text(_))) {
                return None;
            }
            let order = match (&left, &right) {
                (Data::Bool(left), Data::Bool(right)) => left.cmp(right),
                (Data::Number(left), Data::Number(right)) => left.cmp(right),
                (Data::Text(left), Data::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
                (Data::Time(left), Data::Time(right)) => left.cmp(right),
                _ => return None,
            };
            Some(match operator {
                Operator::NotEqual => order.is_ne(),
                Operator::Is(comparison) => comparison.accepts(order),
            })
        }
        ExprKind::OneOf(path, values) => {
            let found = find(path)?;
            any(values.iter().map(|value| equal(found, &value.value)))
        }
        ExprKind::Within(literal, path) => {
            let Value::Text(name) = &literal.value else {
                panic!("only texts here")
            };
            let object = path.members.is_empty() || path.to_string() == "args.o";
            match find(path) {
                Some(Data::Object(members)) => Some(members.contains_key(name.as_str())),
                // Without its parent, a member is not there.
                _ if object => Some(false),
                Some(Data::List(items)) => {
                    any(items.iter().map(|item| equal(item, &literal.value)))
                }
                _ => None,
            }
        }
        ExprKind::Text(path, function, literal) => {
            let (Data::Text(text), Value::Text(part)) = (find(path)?, &literal.value) else {
                return None;
            };
            Some(match function {
                TextTest::StartsWith => text.starts_with(part.as_str()),
                TextTest::EndsWith => text.ends_with(part.as_str()),
                TextTest::Contains => text.contains(part.as_str()),
                // The one pattern of these tests.
                TextTest::Matches => part == "^a.*$" && text.starts_with('a'),
            })
        }
        ExprKind::Contains(cidr, path) => match find(path)? {
            Data::Address(IpAddr::V4(address)) => {
                let IpAddr::V4(block) = cidr.address else {
                    return Some(false);
                };
                let shift = 32 - u32::from(cidr.prefix);
                Some(address.to_bits() >> shift == block.to_bits() >> shift)
            }
            Data::Address(IpAddr::V6(_)) => Some(false),
            _ => None,
        },
        ExprKind::Schedule(name) => schedule(&name.name, world),
        ExprKind::Quantifier {
            every, list, body, ..
        } => {
            let Data::List(items) = find(list)? else {
                return None;
            };
            let values = items.iter().map(|item| kleene(body, world, Some(item)));
            if *every { all(values) } else { any(values) }
        }
    }
}

fn schedule(name: &str, world: &Data) -> Option<bool> {
    let Some(Data::Time(now)) = member(member(world, "request")?, "time") else {
        return None;
    };
    let second = now.0 - super::START;
    match name {
        "every-other" => Some(second == 1),
        _ => (0..2).contains(&second).then_some(second == 1),
    }
}

fn all(values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(values.map(|value| value.map(|value| !value))).map(|value| !value)
}

fn any(values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let values: Vec<Option<bool>> = values.collect();
    if values.contains(&Some(true)) {
        Some(true)
    } else if values.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn equal(found: &Data, value: &Value) -> Option<bool> {
    match (found, value) {
        (Data::Number(found), Value::Number(value)) => Some(found == value),
        (Data::Text(found), Value::Text(value)) => Some(found == value),
        _ => None,
    }
}

fn operand<'a>(operand: &Operand, find: &impl Fn(&Path) -> Option<&'a Data>) -> Option<Data> {
    match operand {
        Operand::Path(path) => find(path).cloned(),
        Operand::Size(path, _) => {
            let count = match find(path)? {
                Data::Text(text) => text.chars().count(),
                Data::List(items) => items.len(),
                _ => return None,
            };
            Decimal::from_integer(i64::try_from(count).unwrap()).map(Data::Number)
        }
        Operand::Literal(literal) => Some(match &literal.value {
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(value) => Data::Number(*value),
            Value::Text(value) => Data::Text(value.clone()),
            Value::Time(value) => Data::Time(*value),
        }),
    }
}

fn find<'a>(path: &Path, world: &'a Data, element: Option<&'a Data>) -> Option<&'a Data> {
    let mut at = match &path.variable {
        Variable::Root(root) => member(world, root.as_str())?,
        Variable::Element(_) => element?,
    };
    for step in &path.members {
        at = member(at, &step.name)?;
    }
    Some(at)
}

pub(super) fn member<'a>(data: &'a Data, name: &str) -> Option<&'a Data> {
    match data {
        Data::Object(members) => members.get(name),
        Data::Unknown => Some(data),
        _ => None,
    }
}
