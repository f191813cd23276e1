//! Conditions by recursive Kleene logic; `None` is undetermined.

use std::net::IpAddr;

use jiff::{Timestamp, civil::date};
use latchkey::model::{Condition, Schedule, Scope, type_name};
use latchkey_engine::{
    condition::{
        Comparison, Root, Value as Literal,
        expr::{Expr, ExprKind, Operand, Operator, Path, TextTest, Variable},
    },
    time::Time,
};
use serde_json::Value;

use super::{Person, Reference};

/// What stands at a path.
#[derive(Debug, Clone)]
enum Read {
    Absent,
    Json(Value),
    Time(Time),
    Address(IpAddr),
}

/// The element of the enclosing `all` or `exists`.
type Element<'e> = Option<&'e Value>;

impl Reference<'_> {
    pub(super) fn holds(
        &self,
        condition: Option<&Condition>,
        scope: &Scope,
        undetermined: bool,
    ) -> bool {
        condition.is_none_or(|it| {
            let expression = it.expression().unwrap();
            self.kleene(&expression, scope, None)
                .unwrap_or(undetermined)
        })
    }

    fn kleene(&self, expr: &Expr, scope: &Scope, element: Element<'_>) -> Option<bool> {
        let read = |path: &Path| self.value(path, scope, element);
        match &expr.kind {
            ExprKind::Constant(value) => Some(*value),
            ExprKind::Not(inner) => self.kleene(inner, scope, element).map(|it| !it),
            ExprKind::And(parts) => all(parts.iter().map(|it| self.kleene(it, scope, element))),
            ExprKind::Or(parts) => any(parts.iter().map(|it| self.kleene(it, scope, element))),
            ExprKind::Has(path) => Some(!matches!(read(path), Read::Absent)),
            ExprKind::Truth(path) => match read(path) {
                Read::Json(value) => value.as_bool(),
                _ => None,
            },
            ExprKind::Compare(left, operator, right) => {
                let left = self.operand(left, scope, element)?;
                let right = self.operand(right, scope, element)?;
                compare(&left, *operator, &right)
            }
            ExprKind::OneOf(path, values) => {
                let value = read(path);
                let equal = Operator::Is(Comparison::Equal);
                any({ values.iter() }.map(|it| compare(&value, equal, &literal(&it.value))))
            }
            ExprKind::Within(item, path) => match (read(path), &item.value) {
                (Read::Json(Value::Object(object)), Literal::Text(name)) => {
                    Some(object.contains_key(name))
                }
                (Read::Json(Value::Array(items)), wanted) => {
                    let equal = Operator::Is(Comparison::Equal);
                    let wanted = literal(wanted);
                    let each = items.into_iter().map(Read::Json);
                    any(each.map(|it| compare(&it, equal, &wanted)))
                }
                _ => None,
            },
            ExprKind::Text(path, test, part) => match (read(path), &part.value) {
                (Read::Json(Value::String(text)), Literal::Text(part)) => {
                    Some(text_test(&text, *test, part))
                }
                _ => None,
            },
            ExprKind::Contains(cidr, path) => match read(path) {
                Read::Address(address) => Some(in_block(address, cidr.address, cidr.prefix)),
                _ => None,
            },
            ExprKind::Schedule(name) => {
                self.is_on(self.model.schedules.get(name.name.as_str()).unwrap())
            }
            ExprKind::Quantifier {
                every, list, body, ..
            } => {
                let Read::Json(Value::Array(items)) = read(list) else {
                    return None;
                };
                let each = items.iter().map(|it| self.kleene(body, scope, Some(it)));
                if *every { all(each) } else { any(each) }
            }
        }
    }

    /// By the calendar and the clock on the wall of the schedule's zone.
    fn is_on(&self, schedule: &Schedule) -> Option<bool> {
        if !schedule.dates.dates.contain(self.now) {
            return None;
        }
        let zone = latchkey::calendar::zone(&schedule.zone).unwrap();
        let local = Timestamp::from_second(self.now.0).unwrap().to_zoned(zone);
        let day = (local.date() - date(1970, 1, 1)).get_days();
        let weekday = local.weekday().to_monday_zero_offset();
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let on = schedule.recurring.iter().any(|it| {
            let within = i32::from(it.from) <= minute && minute < i32::from(it.to);
            within && it.days.iter().any(|it| i8::try_from(*it) == Ok(weekday))
        });
        Some(on && !schedule.except.contains(&i64::from(day)))
    }

    fn operand(&self, operand: &Operand, scope: &Scope, element: Element<'_>) -> Option<Read> {
        Some(match operand {
            Operand::Path(path) => self.value(path, scope, element),
            Operand::Literal(it) => literal(&it.value),
            Operand::Size(path, _) => match self.value(path, scope, element) {
                Read::Json(Value::Array(items)) => Read::Json(items.len().into()),
                Read::Json(Value::String(text)) => Read::Json(text.chars().count().into()),
                Read::Json(Value::Object(members)) => Read::Json(members.len().into()),
                _ => return None,
            },
        })
    }

    fn value(&self, path: &Path, scope: &Scope, element: Element<'_>) -> Read {
        let names: Vec<String> = path.members.iter().map(|it| it.name.clone()).collect();
        let json = |value: Option<Value>| value.map_or(Read::Absent, Read::Json);
        let own =
            |person: Option<&Option<Person<'_>>>| fact(person.and_then(Option::as_ref), &names[0]);
        match &path.variable {
            Variable::Element(_) => {
                let start = element.unwrap();
                json(
                    names
                        .iter()
                        .try_fold(start, |it, name| it.get(name))
                        .cloned(),
                )
            }
            Variable::Root(Root::Args) => json(self.arguments.read(&names)),
            Variable::Root(Root::Scope) if names[0] == "team" => {
                json(scope.team().map(Value::from))
            }
            Variable::Root(Root::Scope) => json(scope.organization().map(Value::from)),
            Variable::Root(Root::Request) if names[0] == "time" => Read::Time(self.now),
            Variable::Root(Root::Request) => {
                let address = self.stated.ip.as_ref().map(|it| it.parse().unwrap());
                address.map_or(Read::Absent, Read::Address)
            }
            Variable::Root(Root::Principal) => json(own(self.people.first())),
            Variable::Root(Root::Subject) => json(own(self.people.last())),
        }
    }
}

fn fact(person: Option<&Person<'_>>, name: &str) -> Option<Value> {
    let declared = person.and_then(|it| it.declared);
    let scope = person.and_then(|it| it.scope.as_ref());
    match name {
        "tags" => Some(declared.map_or_else(
            || Value::Array(Vec::new()),
            |it| it.1.tags.iter().map(ToString::to_string).collect(),
        )),
        "groups" => {
            let groups = person.map_or(&[][..], |it| &it.groups);
            Some(groups.iter().map(|it| Value::from(it.as_str())).collect())
        }
        "name" => declared.map(|it| Value::from(it.0.as_str())),
        "type" => person.and_then(|it| it.kind).map(|it| type_name(it).into()),
        "organization" => scope.and_then(Scope::organization).map(Value::from),
        _ => scope.and_then(Scope::team).map(Value::from),
    }
}

fn literal(value: &Literal) -> Read {
    match value {
        Literal::Bool(value) => Read::Json((*value).into()),
        Literal::Text(text) => Read::Json(text.as_str().into()),
        Literal::Time(time) => Read::Time(*time),
        Literal::Number(number) => Read::Json(serde_json::from_str(&number.to_string()).unwrap()),
    }
}

fn compare(left: &Read, operator: Operator, right: &Read) -> Option<bool> {
    let order = match (left, right) {
        (Read::Time(left), Read::Time(right)) => left.0.cmp(&right.0),
        (Read::Json(Value::String(left)), Read::Json(Value::String(right))) => left.cmp(right),
        (Read::Json(Value::Bool(left)), Read::Json(Value::Bool(right))) => left.cmp(right),
        (Read::Json(Value::Number(left)), Read::Json(Value::Number(right))) => {
            billionths(&left.to_string())?.cmp(&billionths(&right.to_string())?)
        }
        _ => return None,
    };
    Some(match operator {
        Operator::NotEqual => order.is_ne(),
        Operator::Is(Comparison::Equal) => order.is_eq(),
        Operator::Is(Comparison::Less) => order.is_lt(),
        Operator::Is(Comparison::LessOrEqual) => order.is_le(),
        Operator::Is(Comparison::Greater) => order.is_gt(),
        Operator::Is(Comparison::GreaterOrEqual) => order.is_ge(),
    })
}

/// A plain decimal in billionths; a finer or larger one cannot be determined.
fn billionths(text: &str) -> Option<i128> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |it| (-1, it));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let limit = if fraction.is_empty() {
        (1 << 53) - 1
    } else {
        999_999_999_999_999
    };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    (whole <= limit).then_some(sign * (whole * 1_000_000_000 + fraction))
}

fn text_test(text: &str, test: TextTest, part: &str) -> bool {
    match test {
        TextTest::StartsWith => text.starts_with(part),
        TextTest::EndsWith => text.ends_with(part),
        TextTest::Contains => text.contains(part),
        TextTest::Matches => regex::Regex::new(part).unwrap().is_match(text),
    }
}

fn in_block(address: IpAddr, block: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(it) => it.octets().to_vec(),
        IpAddr::V6(it) => it.octets().to_vec(),
    };
    let (one, other) = (bits(address), bits(block));
    let same = |at: usize| one[at / 8] >> (7 - at % 8) & 1 == other[at / 8] >> (7 - at % 8) & 1;
    one.len() == other.len() && (0..usize::from(prefix)).all(same)
}

fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let parts: Vec<_> = parts.collect();
    if parts.contains(&Some(false)) {
        return Some(false);
    }
    (!parts.contains(&None)).then_some(true)
}

fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(parts.map(|it| it.map(|it| !it))).map(|it| !it)
}
