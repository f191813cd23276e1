//! Conditions of which one test always holds, never holds, is turned round or moved by one.

use std::{collections::BTreeSet, sync::Arc};

use latchkey_engine::{
    condition::{
        self, Comparison, Environment, Expr, Value,
        expr::{ExprKind, Literal, Operand, Operator as Sign},
    },
    decimal::Decimal,
};

use super::{Mutant, Operator, Plan, grants, servers_of};
use crate::{
    model::{Condition, Model, Permission, SurfaceName},
    source::{SourceMap, Span},
    text::Text,
};

/// One way to change an expression.
struct Variant {
    /// The part that is changed.
    part: condition::Span,
    what: String,
    /// What the part always is afterwards, where it is a test.
    always: Option<bool>,
    expression: Expr,
}

/// One side of a test: the mutant that takes it away.
pub(crate) struct Branch {
    /// Where the test is written.
    pub(crate) span: Span,
    /// The test and the side, such as `args.amount <= 100 is false`.
    pub(crate) what: String,
    /// Notices that the test never comes out on this side.
    pub(crate) mutant: Mutant,
}

/// Who has a condition.
#[derive(Clone, Copy)]
pub(super) enum Owner<'m> {
    Binding(&'m str),
    Rule(&'m str),
}

/// The same, for an edit to keep.
#[derive(Clone)]
pub(super) enum OwnerKey {
    Binding(String),
    Rule(String),
}

impl OwnerKey {
    /// Where a model has the condition.
    pub(super) fn when<'m>(&self, model: &'m mut Model) -> Option<&'m mut Option<Arc<Condition>>> {
        match self {
            Self::Binding(name) => model.bindings.get_mut(name.as_str()).map(|it| &mut it.when),
            Self::Rule(name) => model.rules.get_mut(name.as_str()).map(|it| &mut it.when),
        }
    }
}

pub(super) fn plan(model: &Model, sources: &SourceMap, plan: &mut Plan) {
    for (owner, condition, servers, permissions) in conditions(model) {
        let environments = environments(model, permissions);
        for variant in variants(condition) {
            let mutant = mutant(
                owner,
                condition,
                &variant,
                (&environments, sources),
                &servers,
            );
            plan.mutants.extend(mutant);
        }
    }
}

/// Both sides of each test of each condition, where the condition has a meaning without it.
pub(crate) fn branches(model: &Model, sources: &SourceMap) -> Vec<Branch> {
    let mut branches = Vec::new();
    for (owner, condition, servers, permissions) in conditions(model) {
        let environments = environments(model, permissions);
        for variant in variants(condition) {
            let Some(always) = variant.always else {
                continue;
            };
            let mutant = mutant(
                owner,
                condition,
                &variant,
                (&environments, sources),
                &servers,
            );
            branches.extend(mutant.map(|mutant| Branch {
                span: mutant.span,
                what: format!(
                    "{}: `{}` is {}",
                    owner.name(),
                    part(condition, &variant),
                    !always
                ),
                mutant,
            }));
        }
    }
    branches
}

impl Owner<'_> {
    pub(super) fn key(self) -> OwnerKey {
        match self {
            Self::Binding(name) => OwnerKey::Binding(name.to_owned()),
            Self::Rule(name) => OwnerKey::Rule(name.to_owned()),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Binding(name) => format!("binding `{name}`"),
            Self::Rule(name) => format!("rule `{name}`"),
        }
    }
}

/// A condition, who has it, and the servers and permissions that it is for.
pub(super) type Conditioned<'m> = (
    Owner<'m>,
    &'m Condition,
    BTreeSet<Text>,
    BTreeSet<&'m Permission>,
);

pub(super) fn conditions(model: &Model) -> Vec<Conditioned<'_>> {
    let mut all = Vec::new();
    for (name, binding) in &model.bindings {
        let Some(when) = binding.when.as_deref() else {
            continue;
        };
        let roles = binding
            .roles
            .iter()
            .filter_map(|it| model.roles.get(&it.value));
        let permissions = roles.flat_map(|role| role.permissions.keys()).collect();
        let servers = grants::servers(model, binding);
        all.push((Owner::Binding(name), when, servers, permissions));
    }
    for (name, rule) in &model.rules {
        let Some(when) = rule.when.as_deref() else {
            continue;
        };
        let servers = servers_of(rule.permissions.keys());
        all.push((
            Owner::Rule(name),
            when,
            servers,
            rule.permissions.keys().collect(),
        ));
    }
    all
}

/// What a condition may read on each surface that it is for.
pub(super) fn environments(model: &Model, permissions: BTreeSet<&Permission>) -> Vec<Environment> {
    let names: BTreeSet<&SurfaceName> = permissions.into_iter().map(|it| &it.surface).collect();
    let surfaces = names.into_iter().filter_map(|name| model.surface(name));
    surfaces.map(|surface| model.environment(surface)).collect()
}

/// The mutant of a variant; none where it has no meaning any more.
fn mutant(
    owner: Owner<'_>,
    condition: &Condition,
    variant: &Variant,
    (environments, sources): (&[Environment], &SourceMap),
    servers: &BTreeSet<Text>,
) -> Option<Mutant> {
    let typed = condition::check_everywhere(&variant.expression, environments).ok()?;
    let when = Arc::new(Condition {
        span: condition.span,
        text: variant.expression.to_string().into(),
        typed: Arc::new(typed),
    });
    let span = place(condition, variant.part, sources);
    let what = format!("{}: {}", owner.name(), variant.what);
    let mut plan = Plan::default();
    let owner = owner.key();
    plan.add(
        Operator::Condition,
        span,
        what,
        Some(servers),
        move |model| {
            if let Some(place) = owner.when(model) {
                *place = Some(when.clone());
            }
        },
    );
    plan.mutants.pop()
}

/// Where a part is written: exactly where the scalar holds the text as it is, the scalar otherwise.
fn place(condition: &Condition, part: condition::Span, sources: &SourceMap) -> Span {
    let Some(at) = sources.text(condition.span).find(condition.text.as_str()) else {
        return condition.span;
    };
    let start = condition.span.range().start + at;
    Span::new(condition.span.file, start + part.start..start + part.end)
}

fn part<'c>(condition: &'c Condition, variant: &Variant) -> &'c str {
    let text = condition.text.get(variant.part.start..variant.part.end);
    text.unwrap_or(&condition.text)
}

fn variants(condition: &Condition) -> Vec<Variant> {
    let mut found = Vec::new();
    if let Some(expression) = condition.expression() {
        walk(&expression, &|expr| expr, &condition.text, &mut found);
    }
    found
}

/// Changes each test of an expression in each way; `wrap` puts a part back where it was.
fn walk(expr: &Expr, wrap: &dyn Fn(Expr) -> Expr, text: &str, found: &mut Vec<Variant>) {
    let span = expr.span;
    let again = |kind: ExprKind| wrap(Expr { span, kind });
    match &expr.kind {
        ExprKind::Constant(_) => {}
        ExprKind::Not(inner) => {
            walk(inner, &|it| again(ExprKind::Not(Box::new(it))), text, found);
        }
        ExprKind::And(parts) => each(parts, &|it| again(ExprKind::And(it)), text, found),
        ExprKind::Or(parts) => each(parts, &|it| again(ExprKind::Or(it)), text, found),
        ExprKind::Quantifier {
            every,
            list,
            variable,
            body,
        } => {
            let quantified = |every: bool, body: Expr| {
                again(ExprKind::Quantifier {
                    every,
                    list: list.clone(),
                    variable: variable.clone(),
                    body: Box::new(body),
                })
            };
            constants(expr, wrap, text, found);
            let word = if *every {
                "`exists` instead of `all`"
            } else {
                "`all` instead of `exists`"
            };
            found.push(Variant {
                part: span,
                what: format!("{word} in `{}`", shown(text, span)),
                always: None,
                expression: quantified(!every, (**body).clone()),
            });
            walk(body, &|it| quantified(*every, it), text, found);
        }
        _ => {
            constants(expr, wrap, text, found);
            for kind in altered(&expr.kind) {
                let expression = Expr { span, kind };
                found.push(Variant {
                    part: span,
                    what: format!("`{expression}` instead of `{}`", shown(text, span)),
                    always: None,
                    expression: wrap(expression),
                });
            }
        }
    }
}

fn each(parts: &[Expr], join: &dyn Fn(Vec<Expr>) -> Expr, text: &str, found: &mut Vec<Variant>) {
    for (at, part) in parts.iter().enumerate() {
        let replace = |it: Expr| {
            let mut parts = parts.to_vec();
            if let Some(slot) = parts.get_mut(at) {
                *slot = it;
            }
            join(parts)
        };
        walk(part, &replace, text, found);
    }
}

fn shown(text: &str, span: condition::Span) -> &str {
    text.get(span.start..span.end).unwrap_or(text)
}

/// A test that always holds, and one that never does.
fn constants(expr: &Expr, wrap: &dyn Fn(Expr) -> Expr, text: &str, found: &mut Vec<Variant>) {
    for always in [true, false] {
        let word = if always { "always" } else { "never" };
        found.push(Variant {
            part: expr.span,
            what: format!("`{}` {word} holds", shown(text, expr.span)),
            always: Some(always),
            expression: wrap(Expr {
                span: expr.span,
                kind: ExprKind::Constant(always),
            }),
        });
    }
}

/// A test turned round, with its bound inside or outside, or with a value less.
fn altered(kind: &ExprKind) -> Vec<ExprKind> {
    match kind {
        ExprKind::Compare(left, sign, right) => {
            let other = ExprKind::Compare(left.clone(), beside(*sign), right.clone());
            let moved = [
                moved(right, *sign, false).map(|it| (left.clone(), it)),
                moved(left, *sign, true).map(|it| (it, right.clone())),
            ];
            let moved = moved.into_iter().flatten();
            let moved = moved.map(|(left, right)| ExprKind::Compare(left, *sign, right));
            std::iter::once(other).chain(moved).collect()
        }
        ExprKind::OneOf(path, values) if values.len() > 1 => (0..values.len())
            .map(|gone| {
                let mut rest = values.clone();
                rest.remove(gone);
                ExprKind::OneOf(path.clone(), rest)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The comparison that differs at the bound only; the opposite where there is no order.
fn beside(sign: Sign) -> Sign {
    match sign {
        Sign::NotEqual => Sign::Is(Comparison::Equal),
        Sign::Is(Comparison::Equal) => Sign::NotEqual,
        Sign::Is(Comparison::Less) => Sign::Is(Comparison::LessOrEqual),
        Sign::Is(Comparison::LessOrEqual) => Sign::Is(Comparison::Less),
        Sign::Is(Comparison::Greater) => Sign::Is(Comparison::GreaterOrEqual),
        Sign::Is(Comparison::GreaterOrEqual) => Sign::Is(Comparison::Greater),
    }
}

/// A bound moved by one, so that more passes.
fn moved(operand: &Operand, sign: Sign, is_left: bool) -> Option<Operand> {
    let Operand::Literal(Literal {
        span,
        value: Value::Number(number),
    }) = operand
    else {
        return None;
    };
    let up = match sign {
        Sign::Is(Comparison::Less | Comparison::LessOrEqual) => true,
        Sign::Is(Comparison::Greater | Comparison::GreaterOrEqual) => false,
        Sign::NotEqual | Sign::Is(Comparison::Equal) => return None,
    };
    let step = if up == is_left { -1 } else { 1 };
    let moved = number.billionths().checked_add(step * 1_000_000_000)?;
    Some(Operand::Literal(Literal {
        span: *span,
        value: Value::Number(Decimal::from_billionths(moved)?),
    }))
}
