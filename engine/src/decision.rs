//! The answer of `decide`, and what a trace can learn on the way.

use crate::{
    id::{AttributeId, BindingId, PermissionId, RuleId, ScopeId},
    reason::Reason,
};

/// The answer: fixed size, no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Why; [`Reason::Ok`] is the only allow.
    pub reason: Reason,
    /// The binding that granted, or the rule that denied; the lowest name where several did.
    pub because: Option<Because>,
    /// The permission that failed, or the last that was granted.
    pub permission: Option<PermissionId>,
    /// The scope that failed.
    pub scope: Option<ScopeId>,
    /// What the allow carries: positions in
    /// [`Policy::obligations`](crate::policy::Policy::obligations) of the permission.
    pub obligations: Obligations,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// A binding granted.
    Binding(BindingId),
    /// A rule denied.
    Rule(RuleId),
}

/// A set of positions among the obligations of a permission; at most 64, by the compiler.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Obligations(pub u64);

/// What discovery finds: whether any request could pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// No request of this caller on this surface can be allowed.
    Never,
    /// It depends on the arguments.
    Maybe,
    /// Every well-formed request is allowed.
    Always,
}

impl Decision {
    /// Whether the call may go on.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.reason == Reason::Ok
    }
}

impl Obligations {
    /// Whether the set has this position.
    #[must_use]
    pub const fn contains(self, position: usize) -> bool {
        position < 64 && self.0 & (1 << position) != 0
    }
}

/// Watches one decision. With [`NoTrace`] it compiles away; `explain` is the same path with
/// [`Collect`].
pub trait Trace {
    /// Whether checks go on after the first that fails, so that all are seen.
    const FULL: bool;
    /// A check failed.
    fn failed(&mut self, reason: Reason);
    /// A binding grants the permission at the scope to one caller (its position in the chain).
    fn granted(&mut self, caller: usize, binding: BindingId, permission: PermissionId);
    /// A rule matches.
    fn matched(&mut self, rule: RuleId);
    /// A binding would grant, but for this.
    fn missed(&mut self, caller: usize, binding: BindingId, why: Missed);
    /// A condition read an attribute that could not be determined.
    fn undetermined(&mut self, attribute: AttributeId);
}

/// Why a binding that gives the permission does not grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// Its condition does not hold.
    Condition,
    /// It is not in force at this time.
    Dates,
    /// It holds in another scope.
    Scope,
    /// It does not reach into other organizations.
    Organization,
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    const FULL: bool = false;
    fn failed(&mut self, _: Reason) {}
    fn granted(&mut self, _: usize, _: BindingId, _: PermissionId) {}
    fn matched(&mut self, _: RuleId) {}
    fn missed(&mut self, _: usize, _: BindingId, _: Missed) {}
    fn undetermined(&mut self, _: AttributeId) {}
}

/// Remembers everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collect {
    /// All failing checks, in order, distinct.
    pub failed: Vec<Reason>,
    /// All granting bindings.
    pub granted: Vec<(usize, BindingId, PermissionId)>,
    /// All matching rules.
    pub matched: Vec<RuleId>,
    /// Bindings that nearly granted, at most 16.
    pub missed: Vec<(usize, BindingId, Missed)>,
    /// Attributes that could not be determined; sorted, distinct.
    pub undetermined: Vec<AttributeId>,
}

/// The most near misses that are kept.
const MAX_MISSED: usize = 16;

impl Trace for Collect {
    const FULL: bool = true;

    fn failed(&mut self, reason: Reason) {
        if !self.failed.contains(&reason) {
            self.failed.push(reason);
        }
    }

    fn granted(&mut self, caller: usize, binding: BindingId, permission: PermissionId) {
        if !self.granted.contains(&(caller, binding, permission)) {
            self.granted.push((caller, binding, permission));
        }
    }

    fn matched(&mut self, rule: RuleId) {
        if !self.matched.contains(&rule) {
            self.matched.push(rule);
        }
    }

    fn missed(&mut self, caller: usize, binding: BindingId, why: Missed) {
        if self.missed.len() < MAX_MISSED && !self.missed.contains(&(caller, binding, why)) {
            self.missed.push((caller, binding, why));
        }
    }

    fn undetermined(&mut self, attribute: AttributeId) {
        if let Err(at) = self.undetermined.binary_search(&attribute) {
            self.undetermined.insert(at, attribute);
        }
    }
}
