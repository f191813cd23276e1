//! Conditions as diagrams.

use latchkey_engine::{
    condition::{Attribute, Comparison, Formula, Test, Value},
    id::{AttributeId, FormulaId, ScopeId},
};

use super::{
    diagram::{NodeId, TooLarge},
    domain::{Key, Region},
    lists::{Ask, Said},
    outcome::Build,
    texts::Language,
    view::{Constant, View, is_opaque, scope_text, tested},
};

/// Where a condition stands: the policy and caller, the scope, and what a test counts as that
/// cannot be determined.
#[derive(Clone, Copy)]
pub(super) struct At<'v, 'a> {
    pub(super) view: &'v View<'a>,
    pub(super) scope: ScopeId,
    pub(super) default: bool,
}

impl Build {
    pub(super) fn formula(
        &mut self,
        at: At<'_, '_>,
        id: Option<FormulaId>,
    ) -> Result<NodeId, TooLarge> {
        let At { view, default, .. } = at;
        let Some(id) = id else {
            return self.diagram.leaf(1);
        };
        match view.side.index.formulas.get(id.index()) {
            None => self.diagram.leaf(u32::from(default)),
            Some(Formula::Constant(value)) => self.diagram.leaf(u32::from(*value)),
            Some(Formula::All(parts)) => {
                let mut all = self.diagram.leaf(1)?;
                for part in parts {
                    let part = self.formula(at, Some(*part))?;
                    all = self.and(all, part)?;
                }
                Ok(all)
            }
            Some(Formula::Any(parts)) => {
                let mut any = self.diagram.leaf(0)?;
                for part in parts {
                    let part = self.formula(at, Some(*part))?;
                    any = self.or(any, part)?;
                }
                Ok(any)
            }
            Some(Formula::Every(list, _) | Formula::Some(list, _)) => {
                let (Some(attribute), Some(ask)) =
                    (view.request(*list), view.quantified(id, default))
                else {
                    return self.diagram.leaf(u32::from(default));
                };
                let flag = self.flag(&view.quantifier(Some(id), default))?;
                self.on_lists(attribute, &ask, flag, default)
            }
            Some(Formula::Literal { test, negated }) => self.test(at, test, *negated),
        }
    }

    /// What a test says of each kind of list, a flag where that is not settled; undetermined
    /// elsewhere.
    fn on_lists(
        &mut self,
        attribute: &Attribute,
        ask: &Ask,
        flag: NodeId,
        default: bool,
    ) -> Result<NodeId, TooLarge> {
        let otherwise = self.diagram.leaf(u32::from(default))?;
        let Some((variable, regions)) = self.variable(&Key::Attribute(attribute.clone())) else {
            return Ok(otherwise);
        };
        let mut each = Vec::with_capacity(regions.len());
        for region in &regions {
            let said = match region {
                Region::List(lists) => lists.says(ask),
                _ => Some(Said::Undetermined),
            };
            each.push(match said {
                Some(Said::Yes) => self.diagram.leaf(1)?,
                Some(Said::No) => self.diagram.leaf(0)?,
                Some(Said::Undetermined) => otherwise,
                None => flag,
            });
        }
        self.by_region(variable, &each)
    }

    fn test(&mut self, at: At<'_, '_>, test: &Test, negated: bool) -> Result<NodeId, TooLarge> {
        let At { view, default, .. } = at;
        let (id, test) = match test {
            Test::Same(left, right) => match same(at, *left, *right) {
                Same::Settled(value) => {
                    return self
                        .diagram
                        .leaf(u32::from(value.map_or(default, |it| it != negated)));
                }
                Same::Unary(id, text) => {
                    (id, Test::Compare(id, Comparison::Equal, Value::Text(text)))
                }
                Same::Both => return self.both(at, test, negated),
            },
            other => (tested(other), other.clone()),
        };
        let Some(attribute) = view.request(id) else {
            return self.constant(at, id, &test, negated);
        };
        let Some((variable, regions)) = self.variable(&Key::Attribute(attribute.clone())) else {
            return self.diagram.leaf(u32::from(default));
        };
        let flag = if is_opaque(&test) {
            let flag = self.flag(&view.flag(&test))?;
            if negated { self.not(flag)? } else { flag }
        } else {
            self.diagram.leaf(u32::from(default))?
        };
        let mut each = Vec::with_capacity(regions.len());
        for region in &regions {
            each.push(match holds(region, &test) {
                Holds::Yes => self.diagram.leaf(u32::from(!negated))?,
                Holds::No => self.diagram.leaf(u32::from(negated))?,
                Holds::Undetermined => self.diagram.leaf(u32::from(default))?,
                Holds::Either => flag,
            });
        }
        self.by_region(variable, &each)
    }

    /// Equality of two attributes of the request, which are cut alike: texts of one region may be
    /// equal, others are not.
    fn both(&mut self, at: At<'_, '_>, test: &Test, negated: bool) -> Result<NodeId, TooLarge> {
        let At { view, default, .. } = at;
        let undetermined = self.diagram.leaf(u32::from(default))?;
        let Test::Same(left, right) = test else {
            return Ok(undetermined);
        };
        let variable = |build: &Self, id| {
            let attribute = view.request(id)?.clone();
            build.variable(&Key::Attribute(attribute))
        };
        let (Some((left, lefts)), Some((right, rights))) =
            (variable(self, *left), variable(self, *right))
        else {
            return Ok(undetermined);
        };
        let flag = self.flag(&view.flag(test))?;
        let flag = if negated { self.not(flag)? } else { flag };
        let mut rows = Vec::with_capacity(lefts.len());
        for region in &lefts {
            let mut row = Vec::with_capacity(rights.len());
            for other in &rights {
                row.push(match equal(region, other) {
                    Holds::Undetermined => undetermined,
                    Holds::Yes => self.diagram.leaf(u32::from(!negated))?,
                    Holds::No => self.diagram.leaf(u32::from(negated))?,
                    Holds::Either => flag,
                });
            }
            rows.push(self.by_region(right, &row)?);
        }
        self.by_region(left, &rows)
    }

    /// A test of an attribute of the caller or the scope.
    fn constant(
        &mut self,
        at: At<'_, '_>,
        id: AttributeId,
        test: &Test,
        negated: bool,
    ) -> Result<NodeId, TooLarge> {
        let At {
            view,
            scope,
            default,
        } = at;
        let tree = &view.side.index.scopes;
        let text = match view.constant(id) {
            Constant::Groups => return self.in_group(at, id, test, negated),
            Constant::Tags => {
                let Test::Member(_, Value::Text(tag)) = test else {
                    return self.diagram.leaf(u32::from(default));
                };
                let tags = &view.side.index.tags;
                let facts = view.speaker(id);
                // Nobody has no tags, which is something that is known.
                let has =
                    facts.is_some_and(|it| it.tags.iter().any(|id| tags.get(id.index()) == tag));
                return self.diagram.leaf(u32::from(has != negated));
            }
            Constant::Text(text) => Some(text),
            Constant::Scope(team) => scope_text(tree, scope, team),
            Constant::Absent => None,
        };
        let region = text.map_or(Region::Absent, Region::Exactly);
        let value = match holds(&region, test) {
            Holds::Yes => !negated,
            Holds::No => negated,
            Holds::Undetermined | Holds::Either => default,
        };
        self.diagram.leaf(u32::from(value))
    }

    fn in_group(
        &mut self,
        at: At<'_, '_>,
        id: AttributeId,
        test: &Test,
        negated: bool,
    ) -> Result<NodeId, TooLarge> {
        let At { view, default, .. } = at;
        let Test::Member(_, Value::Text(name)) = test else {
            return self.diagram.leaf(u32::from(default));
        };
        // Nobody is in no group.
        let Some(facts) = view.speaker(id) else {
            return self.diagram.leaf(u32::from(negated));
        };
        let group = view.side.policy.group(name);
        if group.is_some_and(|group| facts.groups.contains(&group)) {
            return self.diagram.leaf(u32::from(!negated));
        }
        match view.claimable(id, name) {
            None => self.diagram.leaf(u32::from(negated)),
            Some(group) => {
                let flag = self.flag(&view.group(group))?;
                if negated { self.not(flag) } else { Ok(flag) }
            }
        }
    }
}

fn same(at: At<'_, '_>, left: AttributeId, right: AttributeId) -> Same {
    let At { view, scope, .. } = at;
    let text = |id| match view.constant(id) {
        Constant::Text(text) => Some(text),
        Constant::Scope(team) => scope_text(&view.side.index.scopes, scope, team),
        _ => None,
    };
    match (view.request(left).is_some(), view.request(right).is_some()) {
        (true, true) => Same::Both,
        (true, false) => text(right).map_or(Same::Settled(None), |it| Same::Unary(left, it)),
        (false, true) => text(left).map_or(Same::Settled(None), |it| Same::Unary(right, it)),
        (false, false) => Same::Settled(
            text(left)
                .zip(text(right))
                .map(|(left, right)| left == right),
        ),
    }
}

/// What equality of two attributes comes to for one class at one scope.
enum Same {
    /// Constant; `None` is undetermined.
    Settled(Option<bool>),
    /// A comparison of one attribute with a text.
    Unary(AttributeId, String),
    /// Both are of the request.
    Both,
}

/// Whether a test holds in a region.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    Undetermined,
    /// For some of its values, and for others not.
    Either,
}

impl From<Option<bool>> for Holds {
    fn from(value: Option<bool>) -> Self {
        match value {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Undetermined,
        }
    }
}

/// What a literal asks of a list.
pub(super) fn ask_of(test: &Test) -> Option<Ask> {
    match test {
        Test::Member(_, value) => Some(Ask::Member(value.clone())),
        Test::Size(_, how, size) => Some(Ask::Size(*how, *size)),
        _ => None,
    }
}

/// Whether a test holds in a region.
pub(super) fn holds(region: &Region, test: &Test) -> Holds {
    let sure = |value: bool| Holds::from(Some(value));
    if let Test::Present(_) = test {
        return sure(*region != Region::Absent);
    }
    match (region, test) {
        (Region::Bool(value), Test::True(_)) => sure(*value),
        (region, Test::Compare(_, how, value)) => compares(region, *how, value).into(),
        (region, Test::In(_, values)) => {
            let each: Vec<_> = values
                .iter()
                .map(|value| compares(region, Comparison::Equal, value))
                .collect();
            if each.contains(&Some(true)) {
                Holds::Yes
            } else {
                each.first().copied().flatten().into()
            }
        }
        (Region::Exactly(text), Test::StartsWith(_, prefix)) => sure(text.starts_with(prefix)),
        (Region::Texts(texts), Test::StartsWith(_, prefix)) => {
            sure(texts.prefix.starts_with(prefix))
        }
        (Region::Exactly(text), Test::EndsWith(_, suffix)) => sure(text.ends_with(suffix)),
        (Region::Exactly(text), Test::Contains(_, part)) => sure(text.contains(part)),
        (Region::Address(low, _), Test::Network(_, network)) => {
            sure(network.first <= *low && *low <= network.last)
        }
        (Region::Exactly(text), Test::Matches(..) | Test::Size(..)) => Language::of(test)
            .and_then(|it| it.has(text))
            .map_or(Holds::Either, sure),
        (
            Region::Texts(texts),
            Test::EndsWith(..) | Test::Contains(..) | Test::Matches(..) | Test::Size(..),
        ) => texts.says(test).map_or(Holds::Either, sure),
        (Region::Times(times), Test::During(_, schedule)) => times.says(schedule).into(),
        (Region::List(lists), test) => match ask_of(test).map(|ask| lists.says(&ask)) {
            Some(Some(Said::Yes)) => Holds::Yes,
            Some(Some(Said::No)) => Holds::No,
            Some(None) => Holds::Either,
            Some(Some(Said::Undetermined)) | None => Holds::Undetermined,
        },
        _ => Holds::Undetermined,
    }
}

/// Whether values of two regions are equal texts.
fn equal(left: &Region, right: &Region) -> Holds {
    let may_be = match (left, right) {
        (Region::Exactly(left), Region::Exactly(right)) => return Some(left == right).into(),
        (Region::Texts(left), Region::Texts(right)) => {
            // One of them may not be taken apart as far as the other.
            let coarse = left.holds.is_empty() || right.holds.is_empty();
            left.prefix == right.prefix && (coarse || left.holds == right.holds)
        }
        (Region::Exactly(text), Region::Texts(texts))
        | (Region::Texts(texts), Region::Exactly(text)) => texts.has(text),
        _ => return Holds::Undetermined,
    };
    if may_be { Holds::Either } else { Holds::No }
}

fn compares(region: &Region, how: Comparison, value: &Value) -> Option<bool> {
    match (region, value) {
        (Region::Bool(has), Value::Bool(value)) => Some(has == value),
        (Region::Number(low, _), Value::Number(value)) => {
            Some(ordered(how, low.cmp(&value.billionths())))
        }
        (Region::Time(..) | Region::Times(_), Value::Time(value)) => {
            Some(ordered(how, region.stretch_begins()?.cmp(value)))
        }
        (Region::Exactly(text), Value::Text(value)) => Some(ordered(how, text.cmp(value))),
        (Region::Texts(_), Value::Text(_)) => Some(false),
        _ => None,
    }
}

fn ordered(how: Comparison, order: std::cmp::Ordering) -> bool {
    match how {
        Comparison::Equal => order.is_eq(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}
