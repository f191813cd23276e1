//! Lints from analysis: the policy is compared with itself without an entry.
//!
//! They look at what a project compiles to, with every break-glass activated: what only an
//! activation opens still has to be guarded.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use latchkey_engine::{
    bundle,
    index::{Access, Risk, Unlock},
    time::Time,
};
use latchkey_gate::gate::Gate;

use super::Facts;
use crate::{
    diag::{Code, Diagnostic, codes},
    diff::{
        self, Change,
        idle::{self, Entry, Why},
    },
    lower::lower,
    model::{Effect, Model, Permission},
    source::Span,
};

/// The most findings that are confirmed by a comparison of the two whole policies.
const MOST_CONFIRMED: usize = 64;
/// How many bindings and rules all those policies may have together.
const CONFIRMED_ENTRIES: usize = 300_000;

/// The lints that only a thorough check can settle.
pub(super) const CODES: &[&Code] = &[
    &codes::CONTRADICTING_RULES,
    &codes::RULE_NEVER_BINDS,
    &codes::IDLE_BINDING,
    &codes::CONDITION_ALWAYS_TRUE,
    &codes::CONDITION_NEVER_TRUE,
    &codes::REDUNDANT_BINDING,
    &codes::SHADOWED_RULE,
    &codes::RULE_ON_UNREACHABLE,
    &codes::ACTIVATION_ONLY,
];

/// Runs them on what a project compiles to.
pub(super) fn check(facts: &Facts<'_>, gate: &Gate, found: &mut Vec<Diagnostic>) {
    activation_only(facts, found);
    let mut idle = idle::find(gate, &known(facts, found));
    let size = facts.model.bindings.len() + facts.model.rules.len();
    let mut left = Left {
        whole: facts.model,
        rest: None,
        budget: MOST_CONFIRMED.min(CONFIRMED_ENTRIES / size.max(1)),
    };
    for (entry, why) in &idle.entries {
        match left.confirms(entry, true) {
            Err(Spent) => idle.skipped += 1,
            Ok(None) => {}
            Ok(Some(rest)) => {
                left.rest = Some(rest);
                found.extend(idle_entry(facts.model, entry, why));
            }
        }
    }
    for entry in &idle.always {
        match left.confirms(entry, false) {
            Err(Spent) => idle.skipped += 1,
            Ok(None) => {}
            Ok(Some(_)) => found.extend(always(facts.model, entry)),
        }
    }
    for (first, second, subject, permission) in &idle.contradictions {
        found.extend(contradiction(
            facts.model,
            [first, second],
            subject,
            permission,
        ));
    }
    if idle.skipped > 0 {
        let message = format!(
            "the project is too large to compare it with itself without each of {} entries",
            idle.skipped
        );
        found.push(
            Diagnostic::global(&codes::ANALYSIS_SKIPPED, message)
                .help("they are enforced as written; only what would be idle is not looked for"),
        );
    }
}

/// What a project compiles to, with every surface that break-glass locks as good as unlocked.
fn unlocked(model: &Model) -> Option<Gate> {
    let mut index = lower(model).ok()?;
    index.unlock();
    Gate::open(&bundle::encode(&index).ok()?, None).ok()
}

/// Entries that are idle for a reason that another lint has told, or will tell at its time.
fn known(facts: &Facts<'_>, found: &[Diagnostic]) -> BTreeSet<Entry> {
    let means_idle = [
        &codes::REDUNDANT_BINDING,
        &codes::RULE_ON_UNREACHABLE,
        &codes::SHADOWED_RULE,
    ];
    let told = found.iter().filter(|it| means_idle.contains(&it.code));
    let told: HashSet<Span> = told.filter_map(Diagnostic::primary).collect();
    let told = |span: Span| told.contains(&span);
    let rules = facts
        .model
        .rules
        .iter()
        .filter(|(_, rule)| told(rule.span) || facts.is_over(rule.dates.dates));
    let rules = rules.map(|(name, _)| Entry::Rule(name.to_string()));
    let bindings = facts
        .model
        .bindings
        .iter()
        .filter(|(_, binding)| told(binding.span) || facts.is_over(binding.dates.dates));
    let bindings = bindings.map(|(name, _)| Entry::Binding(name.to_string()));
    let limits = limited(facts, found);
    rules.chain(bindings).chain(limits).collect()
}

/// Rules whose limits are known to be pointless.
fn limited(facts: &Facts<'_>, found: &[Diagnostic]) -> Vec<Entry> {
    let pointless: Vec<Span> = found
        .iter()
        .filter(|it| it.code == &codes::LIMIT_NEVER_BINDS)
        .filter_map(Diagnostic::primary)
        .collect();
    let rules = facts.syntax.rules.iter().filter(|(_, rule)| {
        let within = |outer: Span, inner: &Span| {
            outer.file == inner.file && outer.start <= inner.start && inner.end <= outer.end
        };
        let asked = rule.require.as_ref();
        asked.is_some_and(|it| {
            let rate = it.rate.as_ref().map(|it| it.span);
            let concurrency = it.concurrency.as_ref().map(|it| it.span);
            let spans = [rate, concurrency].into_iter().flatten();
            spans
                .into_iter()
                .any(|outer| pointless.iter().any(|inner| within(outer, inner)))
        })
    });
    rules
        .map(|(name, _)| Entry::Rule(name.to_string()))
        .collect()
}

/// There were too many to compare.
struct Spent;

/// The project without what was found idle already.
struct Left<'m> {
    whole: &'m Model,
    /// The same once it was needed, and what it compiles to.
    rest: Option<(Model, Gate)>,
    /// How many comparisons are left.
    budget: usize,
}

impl Left<'_> {
    /// The project without an entry, or without its condition, when the two allow the same by the
    /// comparison that `latchkey diff` makes.
    fn confirms(&mut self, entry: &Entry, whole: bool) -> Result<Option<(Model, Gate)>, Spent> {
        self.budget = self.budget.checked_sub(1).ok_or(Spent)?;
        if self.rest.is_none() {
            self.rest = unlocked(self.whole).map(|gate| (self.whole.clone(), gate));
        }
        let Some((model, before)) = &self.rest else {
            return Ok(None);
        };
        let mut less = model.clone();
        match entry {
            Entry::Binding(name) if whole => {
                less.bindings.remove(name.as_str());
            }
            Entry::Rule(name) if whole => {
                less.rules.remove(name.as_str());
            }
            Entry::Binding(name) => {
                let Some(binding) = less.bindings.get_mut(name.as_str()) else {
                    return Ok(None);
                };
                binding.when = None;
            }
            Entry::Rule(name) => {
                let Some(rule) = less.rules.get_mut(name.as_str()) else {
                    return Ok(None);
                };
                rule.when = None;
            }
        }
        let Some(gate) = unlocked(&less) else {
            return Ok(None);
        };
        let report = diff::compare(before, &gate, Time(0));
        let mut findings = report.findings.iter();
        let same = findings.all(|it| it.change == Change::Reason) && report.undecided.is_empty();
        Ok(same.then_some((less, gate)))
    }
}

fn always(model: &Model, entry: &Entry) -> Option<Diagnostic> {
    let (name, span) = match entry {
        Entry::Binding(name) => (name, condition_of_binding(model, name)?),
        Entry::Rule(name) => (name, condition_of_rule(model, name)?),
    };
    let message = format!("the condition of `{name}` holds for every call that it meets");
    Some(
        Diagnostic::new(&codes::CONDITION_ALWAYS_TRUE, span, message)
            .help("remove it, or correct it: as it is, it restricts nothing"),
    )
}

fn condition_of_binding(model: &Model, name: &str) -> Option<Span> {
    Some(model.bindings.get(name)?.when.as_ref()?.span)
}

fn condition_of_rule(model: &Model, name: &str) -> Option<Span> {
    Some(model.rules.get(name)?.when.as_ref()?.span)
}

fn idle_entry(model: &Model, entry: &Entry, why: &Why) -> Option<Diagnostic> {
    match entry {
        Entry::Binding(name) => idle_binding(model, name, why),
        Entry::Rule(name) => idle_rule(model, name, why),
    }
}

fn idle_binding(model: &Model, name: &str, why: &Why) -> Option<Diagnostic> {
    let binding = model.bindings.get(name)?;
    Some(match why {
        Why::Others(Some(other)) => {
            let message = format!("the binding `{name}` adds nothing to `{other}`");
            let found = Diagnostic::new(&codes::REDUNDANT_BINDING, binding.span, message)
                .help("remove the narrower one, or narrow the wider one");
            match model.bindings.get(other.as_str()) {
                Some(wide) => found.also(wide.span, "this one gives all of it"),
                None => found,
            }
        }
        Why::Others(None) => {
            let message = format!("the binding `{name}` adds nothing to the others");
            Diagnostic::new(&codes::REDUNDANT_BINDING, binding.span, message)
                .note("several others give all of it between them")
                .help("remove it, or narrow the others")
        }
        Why::Never => never(name, binding.when.as_ref()?.span),
        Why::Unreachable => {
            let message = format!("no call can use what the binding `{name}` gives");
            Diagnostic::new(&codes::IDLE_BINDING, binding.span, message)
                .note("rules, scopes or facts of the server refuse every such call")
                .help("remove it, or correct what refuses the calls that it is meant for")
        }
    })
}

fn idle_rule(model: &Model, name: &str, why: &Why) -> Option<Diagnostic> {
    let rule = model.rules.get(name)?;
    let requires = matches!(rule.effect, Effect::Require(_));
    Some(match why {
        Why::Never => never(name, rule.when.as_ref()?.span),
        Why::Others(other) if requires => {
            let message = format!("the rule `{name}` asks nothing that others do not ask already");
            let found = Diagnostic::new(&codes::RULE_NEVER_BINDS, rule.span, message)
                .help("tighten it, or remove it");
            also(found, model, other.as_deref(), "this one asks for as much")
        }
        Why::Unreachable if requires => {
            let message = format!("the rule `{name}` never binds");
            Diagnostic::new(&codes::RULE_NEVER_BINDS, rule.span, message)
                .note("of the calls that it speaks of none is allowed, or all are limited already")
                .help("correct it, or remove it")
        }
        Why::Others(other) => {
            let by = other.as_ref().map_or_else(
                || "other rules do not".to_owned(),
                |other| format!("`{other}` does not"),
            );
            let message = format!("the rule `{name}` denies nothing that {by}");
            let found = Diagnostic::new(&codes::SHADOWED_RULE, rule.span, message)
                .help("remove one of them");
            also(found, model, other.as_deref(), "this one denies all of it")
        }
        Why::Unreachable => {
            let message =
                format!("the rule `{name}` can never apply: no such call is allowed anyway");
            Diagnostic::new(&codes::RULE_ON_UNREACHABLE, rule.span, message)
                .help("correct or remove it; as it is, nothing depends on it")
        }
    })
}

fn also(found: Diagnostic, model: &Model, other: Option<&str>, text: &str) -> Diagnostic {
    match other.and_then(|other| model.rules.get(other)) {
        Some(rule) => found.also(rule.span, text),
        None => found,
    }
}

fn never(name: &str, span: Span) -> Diagnostic {
    let message = format!("the condition of `{name}` holds for no call");
    Diagnostic::new(&codes::CONDITION_NEVER_TRUE, span, message)
        .help("correct it; the schema of the arguments, or who is meant, leaves no such call")
}

fn contradiction(
    model: &Model,
    [first, second]: [&str; 2],
    subject: &str,
    permission: &str,
) -> Option<Diagnostic> {
    let (one, other) = (model.rules.get(first)?, model.rules.get(second)?);
    let message = format!("`{first}` and `{second}` leave nothing of a grant between them");
    Some(
        Diagnostic::new(&codes::CONTRADICTING_RULES, other.span, message)
            .also(one.span, "what this one lets pass, the other one denies")
            .note(format!(
                "`{subject}` holds `{permission}`, and no call of it is allowed"
            ))
            .help("correct one of them; to forbid it altogether, take the grant away"),
    )
}

/// Bindings all of whose permissions wait for break-glass.
fn activation_only(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let waits = |permission: &&Permission| {
        let surface = facts.model.surface(&permission.surface);
        let guarded = surface
            .is_some_and(|it| it.unlock == Unlock::BreakGlass && it.access != Access::Public);
        guarded && facts.model.risk(permission) == Risk::Destructive
    };
    let mut surfaces = facts
        .model
        .servers
        .values()
        .flat_map(|it| it.surfaces.values());
    if !surfaces.any(|it| it.unlock == Unlock::BreakGlass) {
        return;
    }
    for (name, binding) in &facts.model.bindings {
        let gives = || facts.gives(binding);
        if !gives().all(|it| waits(&it)) || facts.is_over(binding.dates.dates) {
            continue;
        }
        let Some(first) = gives().min() else {
            continue;
        };
        let message = format!("only an activation makes the binding `{name}` usable");
        found.push(
            Diagnostic::new(&codes::ACTIVATION_ONLY, binding.span, message)
                .note(format!(
                    "`{first}` and all else that it gives waits for break-glass"
                ))
                .help("say so in a comment that silences this, or set another `unlock`"),
        );
    }
}
