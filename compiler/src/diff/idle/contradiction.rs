//! Pairs of deny rules that take a whole grant away between them.

use std::collections::BTreeSet;

use latchkey_engine::{
    bundle,
    id::{PermissionId, RuleId},
    index::{Effect, Rule},
    reason::Reason,
    scope::ScopeTree,
    time::{Dates, Time},
};
use latchkey_gate::gate::Gate;

use super::{
    super::{compare, report::Change, world::Side},
    MOST_DENIES, Reach, Search, TooMuch, add_rule, drop_rule, kind,
};

impl Search<'_> {
    /// Pairs of deny rules that take everything away between them.
    pub(super) fn contradictions(&mut self) {
        let base = self.base.clone();
        let count = u32::try_from(base.rules.len()).unwrap_or(0);
        let mut told = BTreeSet::new();
        for permission in (0..count).map(PermissionId) {
            let rules = base.rules.get(permission.index()).into_iter();
            let denies: Vec<RuleId> = rules
                .flat_map(|list| list.iter().copied())
                .filter(|it| is_open_deny(&base, *it))
                .collect();
            let granted = base.grants.get(permission.index());
            if denies.len() < 2 || granted.is_none_or(|it| it.is_empty()) {
                continue;
            }
            let everywhere = (ScopeTree::PLATFORM, None);
            let Ok(reach) = self.reach(&[permission], everywhere, |_| true) else {
                self.idle.skipped += 1;
                return;
            };
            for class in reach.classes.clone() {
                let one = Reach {
                    classes: vec![class],
                    permissions: reach.permissions.clone(),
                    scope: reach.scope,
                };
                let Ok(pair) = self.pair(&base, &denies, &one) else {
                    self.idle.skipped += 1;
                    return;
                };
                let Some((first, second)) = pair.filter(|it| told.insert(*it)) else {
                    continue;
                };
                let subject = self.classes.get(class).map(|it| it.subject.to_string());
                let subject = subject.unwrap_or_default();
                let Some(left) = self.to_confirm.checked_sub(1) else {
                    self.idle.skipped += 1;
                    return;
                };
                self.to_confirm = left;
                let claim = Claim {
                    denies: &denies,
                    permission,
                    reach: &reach,
                    subject: &subject,
                };
                if !claim.holds(&base, first, second) {
                    continue;
                }
                self.idle.contradictions.push((
                    base.policy.rule_name(first).to_owned(),
                    base.policy.rule_name(second).to_owned(),
                    subject,
                    base.policy.permission_name(permission),
                ));
            }
        }
    }

    /// Two of some deny rules which leave nothing that either would leave alone.
    fn pair(
        &mut self,
        base: &Side<'_>,
        denies: &[RuleId],
        one: &Reach,
    ) -> Result<Option<(RuleId, RuleId)>, TooMuch> {
        if self.passes(base, one)? {
            return Ok(None);
        }
        let mut none = base.clone();
        for rule in denies {
            drop_rule(&mut none, *rule);
        }
        // Nothing to take away.
        if !self.passes(&none, one)? {
            return Ok(None);
        }
        let mut alone = Vec::new();
        for rule in denies.iter().take(MOST_DENIES) {
            let mut side = none.clone();
            add_rule(&mut side, *rule);
            if self.passes(&side, one)? {
                alone.push((*rule, side));
            }
        }
        for (at, (first, side)) in alone.iter().enumerate() {
            for (second, _) in alone.iter().skip(at + 1) {
                let mut both = side.clone();
                add_rule(&mut both, *second);
                if !self.passes(&both, one)? {
                    return Ok(Some((*first, *second)));
                }
            }
        }
        Ok(None)
    }

    /// Whether any call is allowed; yes where it cannot be told.
    fn passes(&mut self, side: &Side<'_>, one: &Reach) -> Result<bool, TooMuch> {
        self.any([side, side], one, |it, _| it.reason == Reason::Ok)
    }
}

/// That two rules leave a caller nothing of a permission between them, and either leaves some.
struct Claim<'c> {
    /// All deny rules with a condition that speak of the permission.
    denies: &'c [RuleId],
    permission: PermissionId,
    reach: &'c Reach,
    subject: &'c str,
}

impl Claim<'_> {
    /// Whether the comparison that `latchkey diff` makes says the same: to shut the permission
    /// altogether takes nothing from the caller under both rules, and something under either.
    fn holds(&self, base: &Side<'_>, first: RuleId, second: RuleId) -> bool {
        let takes = |kept: &[RuleId]| self.shutting_takes(base, kept);
        takes(&[first, second]) == Some(false)
            && takes(&[first]) == Some(true)
            && takes(&[second]) == Some(true)
    }

    /// `None` where it cannot be told.
    fn shutting_takes(&self, base: &Side<'_>, kept: &[RuleId]) -> Option<bool> {
        let [open, shut] = [false, true].map(|shut| self.policy(base, kept, shut));
        let report = compare(&open?, &shut?, Time(0));
        let (surface, operation, _) = self.reach.permissions.first()?;
        if report
            .undecided
            .iter()
            .any(|it| it.surface == *surface || it.surface == "*")
        {
            return None;
        }
        // A group that a token names may be the caller's.
        let mine = |name: &String| name == self.subject || name.starts_with("group:");
        Some(report.findings.iter().any(|it| {
            let asked = it.surface == *surface && it.operation == *operation;
            asked && it.change == Change::Narrowed && it.subjects.iter().any(mine)
        }))
    }

    /// The policy with some of the deny rules on the permission, and maybe shut.
    fn policy(&self, base: &Side<'_>, kept: &[RuleId], shut: bool) -> Option<Gate> {
        let mut index = base.index.clone();
        if base.unlocked {
            index.unlock();
        }
        let dropped = self.denies.iter().filter(|it| !kept.contains(it));
        for id in dropped {
            let rule = index.rules.get_mut(id.index())?;
            rule.permissions.retain(|it| *it != self.permission);
        }
        index.rules.retain(|rule| !rule.permissions.is_empty());
        if shut {
            index.rules.push(Rule {
                name: "zz-shut".to_owned(),
                effect: Effect::Deny,
                who: Vec::new(),
                except: Vec::new(),
                permissions: vec![self.permission],
                scope: ScopeTree::PLATFORM,
                condition: None,
                dates: Dates::default(),
                message: None,
            });
            index.rules.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Gate::open(&bundle::encode(&index).ok()?, None).ok()
    }
}

fn is_open_deny(side: &Side<'_>, id: RuleId) -> bool {
    let rule = side.index.rules.get(id.index());
    rule.is_some_and(|rule| kind(rule) && rule.condition.is_some())
}
