//! Pairs of deny rules that take a whole grant away between them.

use std::collections::BTreeSet;

use latchkey_engine::{
    id::{PermissionId, RuleId},
    reason::Reason,
};

use super::{
    super::{
        outcome::{self, Question},
        world::Side,
    },
    MOST_DENIES, Reach, Search, TooMuch, add_rule, drop_rule, kind,
};

impl Search<'_> {
    /// Pairs of deny rules that take everything away between them.
    pub(super) fn contradictions(&mut self) {
        let base = self.base.clone();
        let count = u32::try_from(base.rules.len()).unwrap_or(0);
        let mut told = BTreeSet::new();
        for permission in (0..count).map(PermissionId) {
            let rules = base.rules.get(permission.index()).into_iter().flatten();
            let denies: Vec<RuleId> = rules
                .copied()
                .filter(|it| is_open_deny(&base, *it))
                .collect();
            let granted = base.grants.get(permission.index());
            if denies.len() < 2 || granted.is_none_or(Vec::is_empty) {
                continue;
            }
            let Ok(reach) = self.reach(&[permission], |_| true) else {
                self.idle.skipped += 1;
                return;
            };
            for class in reach.classes.clone() {
                let one = Reach {
                    classes: vec![class],
                    permissions: reach.permissions.clone(),
                };
                let Ok(pair) = self.pair(&base, &denies, &one) else {
                    self.idle.skipped += 1;
                    return;
                };
                let Some((first, second)) = pair.filter(|it| told.insert(*it)) else {
                    continue;
                };
                let subject = self.classes.get(class).and_then(|it| it.subjects.first());
                self.idle.contradictions.push((
                    base.policy.rule_name(first).to_owned(),
                    base.policy.rule_name(second).to_owned(),
                    subject.cloned().unwrap_or_default(),
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
        for at in &one.classes {
            for (surface, operation, permission) in &one.permissions {
                self.pay(*permission)?;
                let Some(class) = self.classes.get(*at) else {
                    continue;
                };
                let question = Question {
                    sides: [side, side],
                    known: &class.known,
                    surface,
                    operation: operation.as_deref(),
                    chain: self.chains,
                    actor: None,
                    texts: &self.texts,
                };
                let Ok(answer) = outcome::compare(&question) else {
                    return Ok(true);
                };
                if answer.pairs.iter().any(|[it, _]| it.reason == Reason::Ok) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn is_open_deny(side: &Side<'_>, id: RuleId) -> bool {
    let rule = side.index.rules.get(id.index());
    rule.is_some_and(|rule| kind(rule) && rule.condition.is_some())
}
