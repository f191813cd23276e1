//! A deny that lists bad values of a text which has no end of spellings.

use latchkey_engine::condition::{
    self, Comparison, Root, Shape, Value,
    expr::{Expr, ExprKind, Operand, Operator, Path, Variable},
};

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Effect, Rule, Surface},
    syntax::Prose,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        let written = facts.syntax.rules.get(name).and_then(|it| it.when.as_ref());
        let (Effect::Deny(_), Some(when), Some(text)) = (&rule.effect, &rule.when, written) else {
            continue;
        };
        let Some(expression) = when.expression() else {
            continue;
        };
        let mut listed = Vec::new();
        blocked(&expression, true, &mut listed);
        if let Some((path, span)) = listed
            .into_iter()
            .find(|(path, _)| is_open(facts, rule, path))
        {
            found.push(finding(name, path, span, text));
        }
    }
}

fn finding(name: &str, path: &Path, span: condition::Span, text: &Prose) -> Diagnostic {
    let argument: Vec<_> = path.members.iter().map(|it| it.name.as_str()).collect();
    let message = format!(
        "the rule `{name}` lists values of `args.{}`, and another spelling gets past it",
        argument.join(".")
    );
    Diagnostic::new(
        &codes::OPEN_BLOCKLIST,
        text.span_of(span.start..span.end),
        message,
    )
    .note("nothing says which values there are, or how the upstream folds them")
    .help("deny all but the good values, or state an `enum`, `only` or `fold` for the argument")
}

/// Tests for single values of an argument that make the condition true.
fn blocked<'e>(expr: &'e Expr, positive: bool, out: &mut Vec<(&'e Path, condition::Span)>) {
    let span = expr.span;
    match &expr.kind {
        ExprKind::Not(inner) => blocked(inner, !positive, out),
        ExprKind::And(all) | ExprKind::Or(all) => {
            for each in all {
                blocked(each, positive, out);
            }
        }
        ExprKind::Compare(left, operator, right) => {
            let equal = matches!(operator, Operator::Is(Comparison::Equal));
            let differs = matches!(operator, Operator::NotEqual);
            let counts = if positive { equal } else { differs };
            if let (true, Some(path)) = (counts, compared(left, right)) {
                out.push((path, span));
            }
        }
        ExprKind::OneOf(path, literals)
            if positive && literals.iter().any(|it| matches!(it.value, Value::Text(_))) =>
        {
            out.push((path, span));
        }
        ExprKind::Within(literal, path) if positive && matches!(literal.value, Value::Text(_)) => {
            out.push((path, span));
        }
        ExprKind::Text(path, ..) if positive => out.push((path, span)),
        _ => {}
    }
}

fn compared<'e>(left: &'e Operand, right: &'e Operand) -> Option<&'e Path> {
    match (left, right) {
        (Operand::Path(path), Operand::Literal(literal))
        | (Operand::Literal(literal), Operand::Path(path)) => {
            matches!(literal.value, Value::Text(_)).then_some(path)
        }
        _ => None,
    }
}

/// Whether an argument of some surface of the rule is neither enumerated nor folded.
fn is_open(facts: &Facts<'_>, rule: &Rule, path: &Path) -> bool {
    if !matches!(path.variable, Variable::Root(Root::Args)) {
        return false;
    }
    let mut surfaces = rule
        .permissions
        .keys()
        .filter_map(|it| facts.model.surface(&it.surface));
    surfaces.any(|surface| open_in(surface, path))
}

fn open_in(surface: &Surface, path: &Path) -> bool {
    let mut shape = surface.schema.as_ref().map(|it| &*it.shape);
    for member in &path.members {
        shape = shape.and_then(|it| it.fields.get(&member.name));
    }
    let element = |it: &Shape| it.items.as_deref().is_some_and(|it| !it.values.is_empty());
    let closed = shape.is_none_or(|it| !it.values.is_empty() || element(it));
    let stated = surface.arguments.iter().any(|(argument, fact)| {
        let same = argument.iter().eq(path.members.iter().map(|it| &it.name));
        same && (fact.fold.is_some() || !fact.only.is_empty())
    });
    !closed && !stated
}
