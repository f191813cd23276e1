//! From the ways through one diagram to lines.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    id::ScopeId,
    index::{Access as Door, Obligation, PrincipalType},
    overlay::Overlay,
    reason::Reason,
    time::Time,
};
use latchkey_gate::call::{self, Stated, StatedCaller};

use super::{Line, Review, What, chains::Chains, has_a_way_in};
use crate::diff::{
    cells, chain,
    domain::{Key, Region},
    outcome::{self, Answer, Outcome, Question},
    region,
    report::{Change, Undecided},
    view::{View, now},
    widest,
    witness::{Choice, MAX_TRIES, Recipe},
    world::Class,
};
use crate::model::risk_name;

/// The most ways of one class and permission that are told one by one.
const MAX_WAYS: usize = 64;

/// The time of calls for which any time will do: the first second of 2026.
const ANY_TIME: Time = Time(1_767_225_600);

impl Review<'_> {
    /// Adds all that one class is allowed of one permission.
    pub(super) fn ask(&mut self, class: &Class, question: &Question<'_>) {
        let view = View::new(question, 1);
        if !has_a_way_in(&view) {
            return;
        }
        let Ok(answer) = outcome::compare(question) else {
            self.cannot_tell(
                question,
                "the conditions have too many combinations to tell apart",
            );
            return;
        };
        let allows = |leaf: u32| outcome(&answer, leaf).is_some_and(Outcome::is_reachable);
        let ways = answer.diagram.paths(answer.root, &allows, MAX_WAYS);
        if ways.len() >= MAX_WAYS {
            let why =
                format!("more than {MAX_WAYS} different regions are allowed; not all are listed");
            self.cannot_tell(question, &why);
        }
        for (way, leaf) in ways {
            let (Some(outcome), Some((choice, window))) = (
                outcome(&answer, leaf),
                self.in_time(&answer, answer.choice(way)),
            ) else {
                continue;
            };
            // Those that confine nobody else are told already.
            let around = question.chain && question.actor.is_none();
            if around && !chain::is_confined(&answer, &choice) {
                continue;
            }
            for (place, choice) in widest::split(question, &answer, &choice, Change::Widened) {
                let found = Found {
                    class,
                    question,
                    answer: &answer,
                    outcome,
                    place: &place,
                    choice: &choice,
                    window: window.as_ref(),
                };
                self.add(&view, &found);
            }
        }
    }

    /// The choice at the time that is asked about, or with its time as a window, where it is one.
    fn in_time(&self, answer: &Answer, mut choice: Choice) -> Option<(Choice, Option<Window>)> {
        let key = Key::Attribute(now());
        let Some(chosen) = choice.get(&key).cloned() else {
            return Some((choice, None));
        };
        let regions = answer.regions(&key);
        let Some(at) = self.query.at else {
            return Some((choice, window(regions, &chosen)));
        };
        let inside = |region: &&usize| {
            let region = regions.get(**region);
            region.is_some_and(|it| it.has_instant(at))
        };
        let region = *chosen.iter().find(inside)?;
        choice.insert(key, vec![region]);
        Some((choice, Some(Window::default())))
    }

    fn add(&mut self, view: &View<'_>, found: &Found<'_>) {
        let Some(what) = found.what(view, self.query.at) else {
            return;
        };
        if !self.is_at(&found.place.path) || !self.query.runs_through(&what) {
            return;
        }
        let subjects = self.subjects(found.class);
        if let Some(known) = self.lines.get_mut(&what) {
            known.subjects.extend(subjects);
            return;
        }
        let chains = self.chains(found);
        // Only the caller itself fits, and that was asked about alone.
        let alone = usize::from(found.question.actor.is_none());
        if found.question.chain && chains.len() <= alone {
            return;
        }
        let line = Line {
            subjects,
            witness: self.witness(found, &chains),
            cells: cells(found.answer, found.choice),
            what: what.clone(),
        };
        self.lines.insert(what, line);
    }

    /// Who may stand before and after the caller.
    fn chains(&self, found: &Found<'_>) -> Vec<[Option<StatedCaller>; 2]> {
        if !found.question.chain {
            return vec![[None, None]];
        }
        let way = (found.answer, found.choice);
        let (sides, actor) = (found.question.sides, found.question.actor);
        chain::around(sides, self.classes, way, actor)
    }

    /// A call that the gate answers as the line says.
    fn witness(&self, found: &Found<'_>, chains: &[[Option<StatedCaller>; 2]]) -> Option<Stated> {
        let recipe = Recipe {
            question: found.question,
            answer: found.answer,
            choice: found.choice,
            sample: &found.class.sample,
            at: self.query.at.unwrap_or(ANY_TIME),
        };
        let wanted = found.outcome.reason.as_str();
        (0..MAX_TRIES).find_map(|attempt| {
            let call = chain::join(recipe.call(attempt)?, chains.get(attempt % chains.len())?);
            let answer = call::answer(self.side.gate, &Overlay::default(), &call).ok()?;
            (answer.reason == wanted).then_some(call)
        })
    }

    /// Whether a line speaks of the scope that is asked about.
    fn is_at(&self, path: &str) -> bool {
        let Some(asked) = self.query.scope else {
            return true;
        };
        let tree = &self.side.index.scopes;
        let own = tree.find(path);
        own.is_some_and(|own| tree.covers(own, asked) || tree.covers(asked, own))
    }

    fn cannot_tell(&mut self, question: &Question<'_>, why: &str) {
        self.undecided.insert(Undecided {
            surface: question.surface.to_owned(),
            place: None,
            why: why.to_owned(),
        });
    }
}

/// One way to an allow, in one scope.
struct Found<'a> {
    class: &'a Class,
    question: &'a Question<'a>,
    answer: &'a Answer,
    outcome: &'a Outcome,
    place: &'a widest::Where,
    choice: &'a Choice,
    window: Option<&'a Window>,
}

impl Found<'_> {
    /// The line, but for its subjects; none where nobody can ever have the activation it needs.
    fn what(&self, view: &View<'_>, at: Option<Time>) -> Option<What> {
        let (_, surface) = view.surface?;
        let permission = view.permission?;
        let activation = match self.outcome.reason {
            Reason::Ok => None,
            _ => Some(activation(view)?),
        };
        let mut said = self.choice.clone();
        if self.window.is_some() {
            said.remove(&Key::Attribute(now()));
        }
        let window = self.window.cloned().unwrap_or_default();
        let scope = view.side.index.scopes.find(&self.place.path)?;
        let chains = Chains {
            view,
            scope,
            choice: self.choice,
            at,
        };
        Some(What {
            surface: self.question.surface.to_owned(),
            operation: self.question.operation.map(str::to_owned),
            permission: view.side.policy.permission_name(permission),
            risk: risk_name(view.risk),
            access: access_word(surface.access),
            scope: self.place.path.clone(),
            token_groups: token_groups(view, self.choice),
            not_before: window.from.map(|it| it.to_string()),
            expires: window.until.map(|it| it.to_string()),
            when: region(self.answer, &said, self.said_by_scope(view, scope)),
            chain: self.question.chain,
            activation,
            obligations: obligations(&self.outcome.obligations),
            grants: chains.grants(),
            unless: chains.denials(),
        })
    }

    /// The argument whose region the scope alone says: where the line holds everywhere below it.
    fn said_by_scope(&self, view: &View<'_>, scope: ScopeId) -> Option<&Key> {
        let key = self.place.argument.as_ref()?;
        let regions = self.answer.regions(key);
        let chosen = self.choice.get(key)?.iter();
        let chosen = chosen.filter_map(|at| view.scope_of(regions.get(*at)?));
        let chosen: BTreeSet<ScopeId> = chosen.collect();
        let tree = &view.side.index.scopes;
        let mut below = view.scopes().into_iter();
        let whole = below.all(|it| !tree.covers(scope, it) || chosen.contains(&it));
        whole.then_some(key)
    }
}

/// Whose activation is needed. Nobody can activate for whom Git does not declare.
fn activation(view: &View<'_>) -> Option<&'static str> {
    let facts = view.facts()?;
    match facts.kind {
        Some(PrincipalType::Agent) => Some("whom it acts for"),
        _ => facts.declared.then_some("the caller"),
    }
}

/// A half-open period; an absent end is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Window {
    from: Option<Time>,
    until: Option<Time>,
}

/// The period that neighbouring regions of time make; none where there is a hole in it.
fn window(regions: &[Region], chosen: &[usize]) -> Option<Window> {
    let spans = chosen.iter().filter_map(|at| regions.get(*at));
    let mut spans: Vec<(i64, i64)> = spans.flat_map(Region::spans).collect();
    spans.sort_unstable();
    let joined = spans.iter().zip(spans.iter().skip(1));
    if !joined
        .clone()
        .all(|(one, next)| one.1.checked_add(1) == Some(next.0))
    {
        return None;
    }
    let (first, last) = (spans.first()?.0, spans.last()?.1);
    Some(Window {
        from: (first != i64::MIN).then_some(Time(first)),
        until: last.checked_add(1).map(Time),
    })
}

fn outcome(answer: &Answer, leaf: u32) -> Option<&Outcome> {
    let [_, outcome] = answer.pairs.get(leaf as usize)?;
    Some(outcome)
}

/// The groups that a way needs the token to carry.
fn token_groups(view: &View<'_>, choice: &Choice) -> BTreeSet<String> {
    let Some(facts) = view.facts() else {
        return BTreeSet::new();
    };
    let claimed = facts.claimable.iter().filter(|group| {
        let chosen = choice.get(&view.group(**group));
        chosen.is_some_and(|regions| regions.as_slice() == [1])
    });
    claimed
        .map(|group| format!("group:{}", view.side.policy.group_name(*group)))
        .collect()
}

fn obligations(all: &BTreeSet<Obligation>) -> BTreeMap<&'static str, Vec<String>> {
    let mut by_kind: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for obligation in all {
        let (kind, text) = call::obligation_text(*obligation);
        by_kind.entry(kind).or_default().push(text);
    }
    by_kind
}

fn access_word(access: Door) -> &'static str {
    match access {
        Door::Permission => "permission",
        Door::Authenticated => "authenticated",
        Door::Public => "public",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_make_a_window_and_holes_make_none() {
        let regions = [
            Region::Time(i64::MIN, 9),
            Region::Time(10, 19),
            Region::Time(20, i64::MAX),
        ];
        let both = window(&regions, &[0, 1]).unwrap();
        assert_eq!((both.from, both.until), (None, Some(Time(20))));
        let middle = window(&regions, &[1]).unwrap();
        assert_eq!(
            (middle.from, middle.until),
            (Some(Time(10)), Some(Time(20)))
        );
        assert_eq!(window(&regions, &[0, 2]), None);
        assert_eq!(window(&regions, &[0, 1, 2]).unwrap(), Window::default());
    }
}
