//! Conditions: parsed and typed against every surface that they apply to.

use std::{collections::BTreeSet, sync::Arc};

use latchkey_engine::condition::{self, Environment, Problem, ProblemKind, Typed};

use super::{Resolver, STANDS};
use crate::{
    diag::{Applicability, Code, Diagnostic, codes, suggest},
    model::{Condition, Model, Permission, Surface, SurfaceName},
    source::Span,
    syntax::Prose,
    text::Text,
};

impl Resolver<'_> {
    /// A condition that applies to these permissions; reports what is wrong with it.
    pub(super) fn condition<'m>(
        &mut self,
        text: &Prose,
        permissions: impl Iterator<Item = &'m Permission>,
        model: &Model,
    ) -> Option<Arc<Condition>> {
        let names: BTreeSet<&SurfaceName> = permissions.map(|it| &it.surface).collect();
        let surfaces: Vec<(&SurfaceName, &Surface)> = names
            .into_iter()
            .filter_map(|name| Some((name, model.surface(name)?)))
            .collect();
        let expression = match condition::parse(&text.value) {
            Ok(expression) => expression,
            Err(problems) => {
                self.problems(text, &problems);
                return None;
            }
        };
        // Without a surface there is nothing to check against, and why was reported.
        if surfaces.is_empty() {
            return None;
        }
        let environments: Vec<Environment> = surfaces
            .iter()
            .map(|(_, surface)| model.environment(surface))
            .collect();
        match condition::check_everywhere(&expression, &environments) {
            Ok(typed) => Some(Arc::new(Condition {
                span: text.span,
                text: text.value.clone(),
                typed: self.shared(&text.value, typed),
            })),
            Err(problems) => {
                self.typing(text, &problems, &surfaces);
                None
            }
        }
    }

    /// What a condition means, held once for all that say it in the same words.
    fn shared(&mut self, text: &Text, typed: Typed) -> Arc<Typed> {
        if let Some(known) = self.meanings.get(text).filter(|known| ***known == typed) {
            return Arc::clone(known);
        }
        let typed = Arc::new(typed);
        self.meanings.insert(text.clone(), Arc::clone(&typed));
        typed
    }

    fn problems(&mut self, text: &Prose, problems: &[Problem]) {
        for problem in problems {
            let found = self.problem(text, problem);
            self.report(found);
        }
    }

    /// Problems of several surfaces: the same one is said once, and names the surfaces.
    fn typing(
        &mut self,
        text: &Prose,
        problems: &[(usize, Problem)],
        surfaces: &[(&SurfaceName, &Surface)],
    ) {
        let mut said: BTreeSet<(condition::Span, ProblemKind)> = BTreeSet::new();
        for (at, problem) in problems {
            let surface = surfaces.get(*at).map(|(_, surface)| surface.span);
            // What is missing from a surface may be what could not be read of it.
            if surface.is_some_and(|span| self.holed(span)) && !STANDS.contains(&code(problem.kind))
            {
                continue;
            }
            if !said.insert((problem.span, problem.kind)) || self.is_refused(text, problem) {
                continue;
            }
            let mut found = self.problem(text, problem);
            if let Some((name, surface)) = surfaces.get(*at) {
                let unread = surface.schema.is_none() && reads_arguments(text, problem);
                if unread {
                    found.help = Some(format!(
                        "give `{name}` an `input` schema, or its server a lock"
                    ));
                }
                found = found.also(surface.span, format!("it applies to `{name}`"));
            }
            self.report(found);
        }
    }

    /// Whether this is about a schedule that is declared, and was refused.
    fn is_refused(&self, text: &Prose, problem: &Problem) -> bool {
        let written = text.value.get(problem.span.start..problem.span.end);
        let name = written.unwrap_or_default().trim_matches(['"', '\'']);
        let known = self.syntax.schedules.contains_key(name);
        problem.kind == ProblemKind::UnknownSchedule
            && (known || self.syntax.may_declare("schedules", name))
    }

    fn problem(&self, text: &Prose, problem: &Problem) -> Diagnostic {
        let place = |span: condition::Span| text.span_of(span.start..span.end);
        let found = Diagnostic::new(code(problem.kind), place(problem.span), &problem.message)
            .help(&problem.help);
        let written = text.value.get(problem.span.start..problem.span.end);
        let written = written.unwrap_or_default();
        let wrong = written.trim_matches(['"', '\'']);
        if let Some(best) = suggest::closest(wrong, problem.known.iter().map(String::as_str)) {
            let found = found.help(format!("did you mean `{best}`?"));
            let insert = written.replace(wrong, best);
            if !self.fits(text.span, &insert) {
                return found;
            }
            let title = format!("replace `{wrong}` with `{best}`");
            return found.fix(title, Applicability::Maybe, place(problem.span), insert);
        }
        match &problem.fix {
            Some((span, insert)) if self.fits(text.span, insert) => {
                let title = format!("write `{insert}`");
                found.fix(title, Applicability::Maybe, place(*span), insert)
            }
            _ => found,
        }
    }

    /// Whether a text can be written into a scalar as it is.
    fn fits(&self, scalar: Span, text: &str) -> bool {
        match self.sources.text(scalar).chars().next() {
            Some('"') => !text.contains(['"', '\\']),
            Some('\'') => !text.contains('\''),
            _ => !text.contains([':', '#', '\n']),
        }
    }
}

fn reads_arguments(text: &Prose, problem: &Problem) -> bool {
    let before = text.value.get(..problem.span.end).unwrap_or_default();
    problem.kind == ProblemKind::UnknownAttribute && before.contains("args")
}

/// The code of a kind of problem.
fn code(kind: ProblemKind) -> &'static Code {
    match kind {
        ProblemKind::Syntax => &codes::CONDITION_SYNTAX,
        ProblemKind::TooLarge => &codes::CONDITION_TOO_LARGE,
        ProblemKind::Unsupported => &codes::CONDITION_UNSUPPORTED,
        ProblemKind::Literal => &codes::CONDITION_LITERAL,
        ProblemKind::Pattern => &codes::CONDITION_PATTERN,
        ProblemKind::Unanchored => &codes::CONDITION_UNANCHORED,
        ProblemKind::UnknownAttribute => &codes::UNKNOWN_ATTRIBUTE,
        ProblemKind::UnknownSchedule => &codes::UNKNOWN_SCHEDULE,
        ProblemKind::MayBeAbsent => &codes::MAY_BE_ABSENT,
        ProblemKind::Type => &codes::CONDITION_TYPE,
        ProblemKind::Untyped => &codes::CONDITION_UNTYPED,
        ProblemKind::Impossible => &codes::IMPOSSIBLE_VALUE,
        ProblemKind::OutsideElement => &codes::OUTSIDE_ELEMENT,
        ProblemKind::Ambiguous => &codes::CONDITION_AMBIGUOUS,
    }
}
