//! Section `rules`.

use crate::source::Spanned;
use crate::syntax::collection::{List, Listed};
use crate::syntax::limit::Limit;
use crate::syntax::reference::{ScopePath, Selector, Who};
use crate::syntax::scalar::{Count, Prose, Rate, Timestamp, choice};
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// Denies calls, or asks something of calls that are allowed. A rule never allows.
    pub struct Rule: "rule" {
        /// What it does.
        effect "effect": Spanned<Effect>;
        /// Whose calls; anybody's if absent.
        who "who": Option<List<Spanned<Who>>>;
        /// Whose calls not.
        except "except": Option<List<Spanned<Who>>>;
        /// Calls of which surfaces, by server; of any if absent.
        surfaces "surfaces": Option<Listed<Selector>>;
        /// Calls in which scope; in any if absent.
        within "in": Option<Spanned<ScopePath>>;
        /// A condition that must hold on the call.
        when "when": Option<Prose>;
        /// It counts from this time on.
        not_before "notBefore": Option<Spanned<Timestamp>>;
        /// It no longer counts from this time on.
        expires "expires": Option<Spanned<Timestamp>>;
        /// What a denied caller is told.
        message "message": Option<Spanned<Text>>;
        /// What is asked of a call.
        require "require": Option<Requirement>;
    }
    check check_rule;
}

record! {
    /// What a `require` rule asks of a call.
    pub struct Requirement: "requirement" {
        /// How many calls a caller may make in a period, surface by surface; or so for each pool:
        /// `caller`, `team`, `organization`, `source`, `surface`, `server`.
        rate "rate": Option<Limit<Rate>>;
        /// How many calls a caller may have open at a time, or so for each pool.
        concurrency "concurrency": Option<Limit<Count>>;
    }
    check check_requirement;
}

choice! {
    /// What a rule does to a call that it matches.
    pub enum Effect: "effect" {
        /// The call is denied.
        Deny = "deny",
        /// The call must meet a requirement.
        Require = "require",
    }
}

fn check_requirement(_: &Requirement, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    map.either("rate", "concurrency", cx)
}

fn check_rule(rule: &Rule, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    match rule.effect.value {
        Effect::Deny => {
            let message = map.must_have("message", "say what a denied caller should do", cx);
            map.must_not_have("require", "`effect: deny` asks nothing: it denies", cx) && message
        }
        Effect::Require => {
            let require = map.must_have("require", "say what is asked, such as {rate: 30/m}", cx);
            map.must_not_have("message", "only a denied caller is told something", cx) && require
        }
    }
}
