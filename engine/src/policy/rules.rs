//! Which rules can match a call: by permission and scope, and by whom they speak of.
//!
//! Rules that speak of the same callers share a **selector**. Which selectors speak of a caller is
//! found once, when the caller is resolved; a decision then tests one bit for each candidate.

use std::collections::BTreeMap;

use super::grants::Grants;
use crate::{
    id::{PermissionId, RuleId, ScopeId},
    index::{Bounds, Effect, Index, Rule, Subject},
};

/// The rules of every permission.
#[derive(Debug)]
pub(crate) struct Table {
    deny: Candidates,
    require: Candidates,
    /// The selector of each rule.
    selector_of: Vec<u32>,
    selectors: Selectors,
    /// The selectors that speak of an anonymous caller, as bits.
    anonymous: Vec<u64>,
}

/// For each permission the rules of one effect, sorted by scope and then rule.
#[derive(Debug)]
struct Candidates {
    starts: Vec<u32>,
    scopes: Vec<ScopeId>,
    rules: Vec<RuleId>,
}

/// Distinct pairs of `who` and `except`.
#[derive(Debug)]
struct Selectors {
    count: usize,
    /// Selectors without `who`: all callers.
    all: Vec<u32>,
    /// `(subject, selector)`, sorted: whom each speaks of.
    who: Vec<(u32, u32)>,
    /// `(subject, selector)`, sorted: whom each leaves out.
    except: Vec<(u32, u32)>,
}

impl Table {
    pub(crate) fn build(index: &Index, permission_starts: &[PermissionId]) -> Self {
        let count = permission_starts.last().map_or(0, |end| end.index());
        let bounds = index.bounds();
        let mut numbers: BTreeMap<(&[Subject], &[Subject]), u32> = BTreeMap::new();
        let mut selector_of = Vec::with_capacity(index.rules.len());
        for rule in &index.rules {
            let next = super::id(numbers.len()).unwrap_or(u32::MAX);
            let key = (rule.who.as_slice(), rule.except.as_slice());
            selector_of.push(*numbers.entry(key).or_insert(next));
        }
        let selectors = Selectors::build(&numbers, bounds);
        let anonymous = selectors.of(&[bounds.number(Subject::Everyone)]);
        Self {
            deny: Candidates::build(index, count, |rule| rule.effect == Effect::Deny),
            require: Candidates::build(index, count, |rule| rule.effect != Effect::Deny),
            selector_of,
            selectors,
            anonymous,
        }
    }

    /// Which selectors speak of a caller that is all these subjects.
    pub(crate) fn selectors_of(&self, subjects: &[u32]) -> Vec<u64> {
        self.selectors.of(subjects)
    }

    /// Whether any deny rule speaks of a permission.
    #[inline]
    pub(crate) fn may_deny(&self, permission: PermissionId) -> bool {
        let span = super::span(&self.deny.starts, permission.index());
        span.start < span.end
    }

    /// Shows the deny rules that speak of a permission at a scope and of the caller; without one,
    /// of everyone. `scopes` are the call's and all above it.
    #[inline]
    pub(crate) fn visit_deny(
        &self,
        permission: PermissionId,
        scopes: &[ScopeId],
        caller: Option<&Grants>,
        see: impl FnMut(RuleId),
    ) {
        self.visit(&self.deny, permission, scopes, caller, see);
    }

    /// As [`Self::visit_deny`], for require rules.
    #[inline]
    pub(crate) fn visit_require(
        &self,
        permission: PermissionId,
        scopes: &[ScopeId],
        caller: Option<&Grants>,
        see: impl FnMut(RuleId),
    ) {
        self.visit(&self.require, permission, scopes, caller, see);
    }

    #[inline]
    fn visit(
        &self,
        candidates: &Candidates,
        permission: PermissionId,
        scopes: &[ScopeId],
        caller: Option<&Grants>,
        mut see: impl FnMut(RuleId),
    ) {
        let selectors = caller.map_or(self.anonymous.as_slice(), |it| it.selectors.as_slice());
        candidates.visit(permission, scopes, |rule| {
            let selector = self.selector_of.get(rule.index()).copied();
            let speaks = selector.is_some_and(|selector| {
                selectors
                    .get(selector as usize / 64)
                    .is_some_and(|word| word >> (selector % 64) & 1 == 1)
            });
            if speaks {
                see(rule);
            }
        });
    }
}

impl Candidates {
    fn build(index: &Index, permissions: usize, wanted: impl Fn(&Rule) -> bool) -> Self {
        let mut order: Vec<(ScopeId, u32)> = index
            .rules
            .iter()
            .zip(0..)
            .filter(|(rule, _)| wanted(rule))
            .map(|(rule, at)| (rule.scope, at))
            .collect();
        order.sort_unstable();
        let mut starts = vec![0_u32; permissions + 1];
        for rule in index.rules.iter().filter(|rule| wanted(rule)) {
            for permission in &rule.permissions {
                if let Some(count) = starts.get_mut(permission.index() + 1) {
                    *count += 1;
                }
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut scopes = vec![ScopeId(0); total as usize];
        let mut rules = vec![RuleId(0); total as usize];
        for (scope, at) in order {
            let rule = index.rules.get(at as usize);
            for permission in rule.into_iter().flat_map(|rule| &rule.permissions) {
                let Some(slot) = next.get_mut(permission.index()) else {
                    continue;
                };
                let row = *slot as usize;
                *slot += 1;
                if let (Some(to_scope), Some(to_rule)) = (scopes.get_mut(row), rules.get_mut(row)) {
                    (*to_scope, *to_rule) = (scope, RuleId(at));
                }
            }
        }
        Self {
            starts,
            scopes,
            rules,
        }
    }

    #[inline]
    fn visit(&self, permission: PermissionId, wanted: &[ScopeId], mut see: impl FnMut(RuleId)) {
        let span = super::span(&self.starts, permission.index());
        let (from, to) = (span.start as usize, span.end as usize);
        let (Some(column), Some(rules)) = (self.scopes.get(from..to), self.rules.get(from..to))
        else {
            return;
        };
        if column.is_empty() {
            return;
        }
        for scope in wanted {
            let first = column.partition_point(|it| it < scope);
            let found = column.iter().zip(rules).skip(first);
            for (_, rule) in found.take_while(|(it, _)| *it == scope) {
                see(*rule);
            }
        }
    }
}

impl Selectors {
    fn build(numbers: &BTreeMap<(&[Subject], &[Subject]), u32>, bounds: Bounds) -> Self {
        let mut selectors = Self {
            count: numbers.len(),
            all: Vec::new(),
            who: Vec::new(),
            except: Vec::new(),
        };
        for ((who, except), selector) in numbers {
            if who.is_empty() {
                selectors.all.push(*selector);
            }
            let pair = |subject: &Subject| (bounds.number(*subject), *selector);
            selectors.who.extend(who.iter().map(pair));
            selectors.except.extend(except.iter().map(pair));
        }
        selectors.who.sort_unstable();
        selectors.except.sort_unstable();
        selectors
    }

    fn of(&self, subjects: &[u32]) -> Vec<u64> {
        let mut bits = vec![0_u64; self.count.div_ceil(64)];
        let mut put = |selector: u32, on: bool| {
            if let Some(word) = bits.get_mut(selector as usize / 64) {
                let bit = 1_u64 << (selector % 64);
                *word = if on { *word | bit } else { *word & !bit };
            }
        };
        for selector in &self.all {
            put(*selector, true);
        }
        for (pairs, on) in [(&self.who, true), (&self.except, false)] {
            for subject in subjects {
                let first = pairs.partition_point(|(it, _)| it < subject);
                let found = pairs.iter().skip(first);
                for (_, selector) in found.take_while(|(it, _)| it == subject) {
                    put(*selector, on);
                }
            }
        }
        bits
    }
}
