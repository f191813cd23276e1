//! Witnesses with several callers: who acts, the caller that is asked about, who is acted for.

use latchkey_engine::condition::{Attribute, Root, Segment, Test, Value};
use latchkey_gate::call::{Stated, StatedCaller};

use super::{
    covers::is_of_chain,
    domain::{Flag, Key, Region},
    outcome::{Actor, Answer},
    witness::Choice,
    world::{Class, Facts, Known, Side},
};

/// The most actors, and the most subjects, that are tried for one finding.
const MAX_EACH: usize = 8;

/// Whether a way confines who acts or who is acted for.
pub(super) fn is_confined(answer: &Answer, choice: &Choice) -> bool {
    choice.keys().any(|key| match key {
        Key::Attribute(attribute) => is_of_chain(attribute),
        Key::Flag(_) => {
            let flag = answer.flags.get(key);
            flag.is_some_and(|it| it.attributes.iter().any(is_of_chain))
        }
        Key::Group(..) | Key::Token => false,
    })
}

/// Chains around a caller whose actor and subject fit a way; empty when nobody fits.
pub(super) fn around(
    sides: [&Side<'_>; 2],
    classes: &[Class],
    (answer, choice): (&Answer, &Choice),
    actor: Option<Actor>,
) -> Vec<[Option<StatedCaller>; 2]> {
    let fitting = |root: Root, actor: Option<Actor>| -> Vec<Option<StatedCaller>> {
        // Nobody else: the caller itself acts, or is acted for.
        let alone = actor.is_none().then_some(None);
        let others = classes
            .iter()
            .filter(|class| actor.is_none_or(|scopes| class.scopes() == scopes))
            .filter(|class| fits(sides, class, root, answer, choice))
            .filter_map(|class| class.sample.stated(Vec::new()).map(Some));
        alone.into_iter().chain(others.take(MAX_EACH)).collect()
    };
    let subjects = fitting(Root::Subject, None);
    let pairs = fitting(Root::Principal, actor)
        .into_iter()
        .flat_map(|actor| {
            subjects
                .iter()
                .map(move |subject| [actor.clone(), subject.clone()])
        });
    pairs.collect()
}

/// Puts a caller between its actor and its subject.
pub(super) fn join(mut call: Stated, [actor, subject]: &[Option<StatedCaller>; 2]) -> Stated {
    let middle = call.caller.take();
    let mut chain = actor
        .iter()
        .cloned()
        .chain(middle)
        .chain(subject.iter().cloned());
    call.caller = chain.next();
    call.on_behalf_of = chain.collect();
    call
}

fn fits(
    sides: [&Side<'_>; 2],
    class: &Class,
    root: Root,
    answer: &Answer,
    choice: &Choice,
) -> bool {
    sides.iter().zip(class.known()).any(|(side, known)| {
        let Known::Caller(facts) = known else {
            return false;
        };
        answer
            .domains
            .iter()
            .all(|(key, all)| match (key, choice.get(key)) {
                (Key::Flag(_), Some(chosen)) => match answer.flags.get(key) {
                    Some(Flag {
                        attributes,
                        test: Test::Member(_, Value::Text(name)),
                    }) => attributes.iter().filter(|it| it.root == root).all(|it| {
                        let has = usize::from(has(side, facts, it, name));
                        chosen.contains(&has)
                    }),
                    _ => true,
                },
                (Key::Attribute(attribute), Some(chosen)) if attribute.root == root => {
                    chosen.iter().any(|at| {
                        all.get(*at)
                            .is_some_and(|it| is(side, facts, attribute, it))
                    })
                }
                _ => true,
            })
    })
}

/// Whether somebody has a tag, or is in a group without a token's help.
fn has(side: &Side<'_>, facts: &Facts, attribute: &Attribute, name: &str) -> bool {
    match attribute.path.as_slice() {
        [Segment::Field(field)] if field == "tags" => {
            let mut tags = facts.tags.iter();
            tags.any(|id| side.index.tags.get(id.index()) == name)
        }
        _ => { side.policy.group(name) }.is_some_and(|it| facts.groups.contains(&it)),
    }
}

pub(super) fn is(side: &Side<'_>, facts: &Facts, attribute: &Attribute, region: &Region) -> bool {
    let [Segment::Field(name)] = attribute.path.as_slice() else {
        return false;
    };
    match (facts.text(side, name), region) {
        (None, Region::Absent) | (_, Region::List(_)) => true,
        (Some(text), Region::Exactly(is)) => text == *is,
        (Some(text), Region::Texts(texts)) => texts.has(&text),
        _ => false,
    }
}
