//! A call joined with the policy entries that it names.

use crate::{
    call::{Call, Caller, MAX_SCOPES, Operation, Scopes},
    condition::Defaults,
    id::{PermissionId, ScopeId, SurfaceId},
    index::{Access, Server, Surface},
    overlay::Overlay,
    policy::Policy,
    scope::Covering,
    time::Dates,
};

/// What the checks ask about.
pub(super) struct Ask<'a> {
    pub(super) policy: &'a Policy,
    pub(super) overlay: &'a Overlay,
    pub(super) call: &'a Call<'a>,
    pub(super) surface: SurfaceId,
    pub(super) entry: &'a Surface,
    pub(super) server: &'a Server,
    /// The scopes, when they are valid; otherwise none.
    pub(super) scopes: &'a [ScopeId],
    /// Whether what is unknown counts in favour of the call.
    pub(super) optimistic: bool,
    operations: Chosen<'a>,
}

/// The operations of a call, proved to be the surface's.
#[derive(Clone, Copy)]
enum Chosen<'a> {
    /// The surface has none: it is one permission.
    Whole(PermissionId),
    /// These positions.
    Positions(&'a [usize]),
}

impl<'a> Ask<'a> {
    /// Joins a call with its surface; `None` when there is none.
    #[inline]
    pub(super) fn new(
        policy: &'a Policy,
        overlay: &'a Overlay,
        call: &'a Call<'a>,
        optimistic: bool,
    ) -> Option<Self> {
        let surface = call.surface?;
        let entry = policy.surface_entry(surface)?;
        let server = policy.server_entry(entry.server)?;
        let tree = &policy.index().scopes;
        let scopes = match call.scopes {
            Scopes::These(scopes)
                if scopes.len() <= MAX_SCOPES
                    && scopes.iter().all(|scope| tree.covers(server.scope, *scope)) =>
            {
                scopes
            }
            _ => &[],
        };
        let operations = match (call.operation, &entry.operations) {
            (Operation::None, None) => policy
                .permission(surface, None)
                .map_or(Chosen::Positions(&[]), Chosen::Whole),
            (Operation::These(positions), Some(operations))
                if positions.iter().all(|at| *at < operations.values.len()) =>
            {
                Chosen::Positions(positions)
            }
            _ => Chosen::Positions(&[]),
        };
        Some(Self {
            policy,
            overlay,
            call,
            surface,
            entry,
            server,
            scopes,
            optimistic,
            operations,
        })
    }

    /// Everybody may ask.
    pub(super) fn is_public(&self) -> bool {
        self.entry.access == Access::Public
    }

    /// The permissions that the call needs; none when its operation is not known.
    pub(super) fn permissions(&self) -> impl Iterator<Item = PermissionId> + use<'a> {
        let (whole, positions) = match self.operations {
            Chosen::Whole(permission) => (Some(permission), [].as_slice()),
            Chosen::Positions(positions) => (None, positions),
        };
        let (policy, surface) = (self.policy, self.surface);
        let positions = positions
            .iter()
            .filter_map(move |at| policy.permission(surface, Some(*at)));
        whole.into_iter().chain(positions)
    }

    /// Who calls, as the rules see it: on a public surface whoever is not declared is anonymous,
    /// and so is a call without any caller.
    pub(super) fn callers(&self) -> impl Iterator<Item = Option<&'a Caller>> + use<'a> {
        let public = self.is_public();
        let anonymous = self.call.callers.is_empty().then_some(None);
        let callers = self.call.callers.iter();
        callers.map(move |it| named(it, public)).chain(anonymous)
    }

    /// The current actor, as conditions see it.
    pub(super) fn actor(&self) -> Option<&'a Caller> {
        let first = self.call.callers.first()?;
        named(first, self.is_public())
    }

    /// The one that the current actor acts for, or the actor itself, as conditions see it.
    pub(super) fn subject(&self) -> Option<&'a Caller> {
        let last = self.call.callers.last()?;
        named(last, self.is_public())
    }

    /// Whether a period contains the time of the call.
    pub(super) fn in_force(&self, dates: Dates) -> bool {
        dates.contain(self.call.now)
    }

    /// What literals without a value count as in conditions of bindings.
    pub(super) fn grant_defaults(&self) -> Defaults {
        Defaults {
            undetermined: false,
            unknown: self.optimistic,
        }
    }

    /// The same, in conditions of rules.
    pub(super) fn rule_defaults(&self) -> Defaults {
        Defaults {
            undetermined: true,
            unknown: !self.optimistic,
        }
    }

    /// A scope of the call and all above it.
    pub(super) fn covering(&self, scope: ScopeId) -> Covering {
        self.policy.index().scopes.covering(scope)
    }
}

fn named(caller: &Caller, public: bool) -> Option<&Caller> {
    (!public || caller.principal.is_some()).then_some(caller)
}
