//! Chains of callers, all of them somebody: what they come to together.
//!
//! A question about one caller of a chain leaves open who acts and who is acted for. What it says
//! of a region may take an actor that nobody is, or one that is refused itself. Where no call was
//! found, the question is asked again for every actor and subject there is: then the region has a
//! call, or it is proved to have none.

use std::{collections::BTreeMap, rc::Rc};

use latchkey_engine::condition::Root;
use latchkey_gate::call::{Stated, StatedCaller};

use super::{
    Sought, chain,
    domain::{Key, Region},
    outcome::{self, Answer, Question, TooLarge},
    report::Change,
    witness::{Choice, Recipe},
    world::{Class, Facts, Known, Sample, Side},
};

/// The most actors and subjects of one question that are looked at.
const MAX_CASTS: usize = 256;
/// The most ways through the diagram of one of them.
const MAX_WAYS: usize = 64;
/// How many calls are tried for each way that meets a region, and how many ways.
const TRIES: usize = 6;
const MOST_TRIED: usize = 32;

/// All ways in which calls by chains around one caller change.
pub(super) struct Casts<'a> {
    ways: Vec<Way<'a>>,
    /// Whether these are all.
    complete: bool,
}

/// What is known of a region.
pub(super) enum Settled {
    /// No call lies in it.
    Empty,
    /// It may have calls; these are worth a try.
    Calls(Vec<Stated>),
}

struct Way<'a> {
    line: Line<'a>,
    answer: Rc<Answer>,
    choice: Choice,
    sought: Sought,
}

/// The callers of a chain, who acts first.
#[derive(Clone)]
struct Line<'a> {
    classes: Vec<&'a Class>,
    /// Where the caller that is asked about stands.
    asked: usize,
}

impl<'a> Casts<'a> {
    /// Looks at every chain of two or three around a class. `may` says of a class on which sides
    /// it can be allowed anywhere in such a chain.
    pub(super) fn new(
        question: &Question<'_>,
        class: &'a Class,
        classes: &'a [Class],
        mut may: impl FnMut(usize) -> [bool; 2],
        change: impl Fn(&Answer, u32) -> Option<Sought>,
    ) -> Self {
        let mut casts = Self {
            ways: Vec::new(),
            complete: true,
        };
        let able: Vec<&Class> = classes
            .iter()
            .enumerate()
            .filter(|(at, _)| may(*at).contains(&true))
            .map(|(_, class)| class)
            .collect();
        let lines = lines(question, class, &able);
        if lines.len() > MAX_CASTS {
            casts.complete = false;
            return casts;
        }
        for line in lines {
            let Ok(answer) = line.answer(question) else {
                casts.complete = false;
                continue;
            };
            let answer = Rc::new(answer);
            let wanted = |leaf: u32| change(&answer, leaf).is_some_and(Sought::matters);
            let ways = answer.diagram.paths(answer.root, &wanted, MAX_WAYS);
            casts.complete &= ways.len() < MAX_WAYS;
            for (way, leaf) in ways {
                let Some(sought) = change(&answer, leaf) else {
                    continue;
                };
                if line.token(question.sides, needed(sought)).is_none() {
                    continue;
                }
                casts.ways.push(Way {
                    line: line.clone(),
                    choice: answer.choice(way),
                    answer: Rc::clone(&answer),
                    sought,
                });
            }
        }
        casts
    }

    /// What there is in a region of the question in which something changes in one way.
    pub(super) fn settle(&self, recipe: &Recipe<'_>, sought: Sought) -> Settled {
        let sides = recipe.question.sides;
        let meets = |way: &&Way<'_>| way.sought == sought && way.meets(sides, recipe);
        let mut ways = self.ways.iter().filter(meets).peekable();
        if ways.peek().is_none() && self.complete {
            return Settled::Empty;
        }
        let calls = ways.take(MOST_TRIED).flat_map(|way| way.calls(recipe));
        Settled::Calls(calls.collect())
    }
}

/// As what a change asks for tokens: what is unlocked must be answered by the new policy.
fn needed(sought: Sought) -> Change {
    if sought.unlocks() {
        Change::Widened
    } else {
        sought.change
    }
}

/// The chains that can be: who acts has the scope that is asked about, or that of the class.
fn lines<'a>(question: &Question<'_>, class: &'a Class, able: &[&'a Class]) -> Vec<Line<'a>> {
    let own = question.takes_scope_from_caller();
    let scopes = question.actor.unwrap_or_else(|| class.scopes());
    let acts = |it: &&&Class| !own || it.scopes() == scopes;
    let actors = able.iter().filter(acts).map(|it| Some(*it));
    // Nobody acts for the class where it acts itself.
    let itself = question.actor.is_none().then_some(None);
    let reads_subject = question.reads(Root::Subject);
    let mut lines = Vec::new();
    for actor in itself.into_iter().chain(actors) {
        let front: Vec<&Class> = actor.into_iter().chain([class]).collect();
        let asked = front.len() - 1;
        let alone = Line {
            classes: front.clone(),
            asked,
        };
        let sides = question.sides;
        let told = [Change::Widened, Change::Narrowed]
            .iter()
            .all(|it| alone.token(sides, *it).is_some());
        let subjects = able.iter().filter(|_| reads_subject || !told || asked == 0);
        for subject in subjects {
            let classes = front.iter().copied().chain([*subject]).collect();
            lines.push(Line { classes, asked });
        }
        if asked > 0 {
            lines.push(alone);
        }
    }
    lines.retain(|line| {
        let token = |change| line.token(question.sides, change).is_some();
        token(Change::Widened) || token(Change::Narrowed)
    });
    lines
}

impl Line<'_> {
    /// What the callers come to together, in regions that are no wider than the question's.
    fn answer(&self, question: &Question<'_>) -> Result<Answer, TooLarge> {
        let last = self.classes.len().saturating_sub(1);
        let numbered = self.classes.iter().enumerate();
        let known: Vec<[Known; 2]> = numbered
            .map(|(at, class)| {
                class.known().map(|known| {
                    if at == last {
                        known.clone()
                    } else {
                        known.without_claims()
                    }
                })
            })
            .collect();
        let (Some(first), Some(subject)) = (known.first(), known.last()) else {
            return Err(TooLarge);
        };
        let actor = self.classes.first().map(|it| it.scopes());
        let members: Vec<Question<'_>> = known
            .iter()
            .map(|known| Question {
                known: known.each_ref(),
                chain: false,
                actor,
                cast: Some([first, subject]),
                ..*question
            })
            .collect();
        outcome::chained(&members, question)
    }

    /// Identities of all, where the issuer of the last may speak for each of them in the policies
    /// that must allow the call.
    fn token(&self, sides: [&Side<'_>; 2], change: Change) -> Option<Vec<(String, String)>> {
        let needed: &[usize] = match change {
            Change::Widened => &[1],
            Change::Narrowed => &[0],
            Change::Loosened | Change::Tightened | Change::Reason => &[0, 1],
        };
        let (subject, actors) = self.classes.split_last()?;
        let speaks = |issuer: &str, class: &Class, own: &str| {
            needed.iter().all(|at| {
                let (side, known) = (sides.get(*at), class.known().get(*at).copied());
                side.zip(known)
                    .is_some_and(|(side, known)| speaks_for(side, issuer, known, own))
            })
        };
        issuers(subject).into_values().find_map(|(issuer, name)| {
            if !speaks(issuer, subject, issuer) {
                return None;
            }
            let each = actors.iter().map(|class| {
                let mut all = issuers(class).into_values();
                let found = all.find(|(own, _)| speaks(issuer, class, own));
                found.map(|(own, name)| (own.to_owned(), name.to_owned()))
            });
            let mut token: Vec<(String, String)> = each.collect::<Option<_>>()?;
            token.push((issuer.to_owned(), name.to_owned()));
            Some(token)
        })
    }
}

/// One identity of a class at each issuer.
fn issuers(class: &Class) -> BTreeMap<&str, (&str, &str)> {
    let all = class.strangers.iter().chain(&class.identities);
    all.map(|(issuer, subject)| (issuer.as_str(), (issuer.as_str(), subject.as_str())))
        .collect()
}

/// Whether a token of an issuer may name somebody whom another issuer knows.
fn speaks_for(side: &Side<'_>, issuer: &str, known: &Known, own: &str) -> bool {
    let issuers = { side.policy.issuer(issuer) }.zip(side.policy.issuer(own));
    let vouches = |((issuer, own), facts): (_, &Facts)| side.gate.vouches(issuer, own, facts.scope);
    issuers.zip(known.facts()).is_some_and(vouches)
}

impl Way<'_> {
    /// Whether some call may lie both in the way and in a region of the question.
    fn meets(&self, sides: [&Side<'_>; 2], recipe: &Recipe<'_>) -> bool {
        let asked_last = self.line.asked + 1 == self.line.classes.len();
        recipe.choice.iter().all(|(key, chosen)| match key {
            Key::Attribute(attribute) if attribute.root == Root::Principal => {
                is(sides, recipe, key, self.line.classes.first())
            }
            Key::Attribute(attribute) if attribute.root == Root::Subject => {
                is(sides, recipe, key, self.line.classes.last())
            }
            // Only the last of a chain has what a token adds.
            Key::Group(..) if !asked_last => chosen.contains(&0),
            Key::Attribute(_) | Key::Group(..) | Key::Flag(_) | Key::Token => {
                let Some(own) = self.choice.get(key) else {
                    return true;
                };
                let (here, there) = (self.answer.regions(key), recipe.answer.regions(key));
                own.iter().filter_map(|at| here.get(*at)).any(|one| {
                    let others = chosen.iter().filter_map(|at| there.get(*at));
                    others.into_iter().any(|other| may_meet(one, other))
                })
            }
        })
    }

    /// Calls by this chain.
    fn calls(&self, recipe: &Recipe<'_>) -> Vec<Stated> {
        let token = self.line.token(recipe.question.sides, needed(self.sought));
        let Some((subject, actors)) = token.as_ref().and_then(|it| it.split_last()) else {
            return Vec::new();
        };
        let stated = |(issuer, subject): &(String, String)| StatedCaller {
            principal: None,
            issuer: Some(issuer.clone()),
            subject: Some(subject.clone()),
            groups: Vec::new(),
        };
        let sample = Sample::Identity {
            issuer: subject.0.clone(),
            subject: subject.1.clone(),
            principal: None,
        };
        let own = Recipe {
            answer: &self.answer,
            choice: &self.choice,
            sample: &sample,
            ..*recipe
        };
        let calls = (0..TRIES).filter_map(|attempt| {
            let mut call = own.call(attempt)?;
            let mut chain: Vec<StatedCaller> = actors.iter().map(stated).collect();
            chain.extend(call.caller.take());
            let mut chain = chain.into_iter();
            call.caller = chain.next();
            call.on_behalf_of = chain.collect();
            Some(call)
        });
        calls.collect()
    }
}

/// Whether one of a chain can be what a region asks of it.
fn is(sides: [&Side<'_>; 2], recipe: &Recipe<'_>, key: &Key, class: Option<&&Class>) -> bool {
    let (Key::Attribute(attribute), Some(class)) = (key, class) else {
        return false;
    };
    let all = recipe.answer.regions(key);
    let chosen = recipe.choice.get(key).into_iter().flatten();
    let regions: Vec<&Region> = chosen.filter_map(|at| all.get(*at)).collect();
    sides.iter().zip(class.known()).any(|(side, known)| {
        let is = |facts| {
            let mut regions = regions.iter();
            regions.any(|it| chain::is(side, facts, attribute, it))
        };
        known.facts().is_none_or(is)
    })
}

/// Whether two regions of one attribute may have a value in common; regions of the first are never
/// cut through by those of the second.
fn may_meet(one: &Region, other: &Region) -> bool {
    match (one, other) {
        (Region::Number(a, b), Region::Number(c, d)) => a <= d && c <= b,
        (Region::Time(a, b), Region::Time(c, d)) => a <= d && c <= b,
        (Region::Address(a, b), Region::Address(c, d)) => a <= d && c <= b,
        (Region::Exactly(text), Region::Texts(texts))
        | (Region::Texts(texts), Region::Exactly(text)) => texts.has(text),
        (Region::Texts(one), Region::Texts(other)) => match &one.sample {
            Some(text) if one.has(text) => other.has(text),
            _ => one.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&one.prefix),
        },
        (Region::List(one), Region::List(other)) => match &one.sample {
            Some(serde_json::Value::Array(list)) if one.has(list) => other.has(list),
            _ => true,
        },
        (one, other) => one == other,
    }
}
