//! What is not a call of a surface: handshakes, lists, completions, the unknown.

use latchkey_engine::{
    decide::decide,
    decision::{Collect, Visibility},
    id::SurfaceId,
    reason::Reason,
};

use super::{Facts, Outcome, Permit, Stage, Verdict};
use crate::{
    filter::{Filter, FilterKind},
    wire::Reply,
};

impl Stage<'_> {
    /// Protocol traffic: for callers who see at least one surface of the server.
    pub(super) fn protocol(
        &self,
        mut facts: Facts,
        reply: Reply,
        kind: Option<FilterKind>,
    ) -> Verdict {
        let server = self.inbound.server;
        let mut surfaces = self.gate.policy().surfaces(server);
        if surfaces.any(|surface| self.coarse(surface) != Visibility::Never) {
            facts.reason = Reason::Ok;
            facts.visible = true;
            let kind = kind.unwrap_or(FilterKind::Answer);
            let filter = Some(Filter { server, kind });
            let permit = Permit::protocol(server, &facts, filter, reply);
            return Verdict {
                outcome: Outcome::Forward(permit),
                facts,
            };
        }
        self.deny_standing(&mut facts);
        self.refused(facts, false, reply)
    }

    /// A completion, or a task of which the arguments are not known: they could be any, so the
    /// surface must be allowed under every argument.
    pub(super) fn completion(&self, mut facts: Facts, reply: Reply, surface: SurfaceId) -> Verdict {
        facts.surface = Some(self.gate.policy().surface_name(surface));
        let visibility = self.coarse(surface);
        facts.visible = visibility != Visibility::Never;
        if visibility == Visibility::Always {
            facts.reason = Reason::Ok;
            let server = self.inbound.server;
            let kind = FilterKind::Call;
            let permit = Permit::protocol(server, &facts, Some(Filter { server, kind }), reply);
            return Verdict {
                outcome: Outcome::Forward(permit),
                facts,
            };
        }
        self.deny_standing(&mut facts);
        self.refused(facts, true, reply)
    }

    /// A surface that is not in the registry, or a method that is not in the table.
    pub(super) fn unmatched(&self, mut facts: Facts, reply: Reply, surface: bool) -> Verdict {
        let call = self.blank_call(None);
        let mut trace = Collect::default();
        let decision = decide(self.gate.policy(), self.overlay, &call, &mut trace);
        // Nothing that is not in the registry is ever allowed, whatever else fails.
        facts.reason = match decision.reason {
            Reason::TokenRevoked | Reason::PolicyUnavailable => decision.reason,
            _ => Reason::SurfaceUnmatched,
        };
        facts.failed = trace.failed;
        if !facts.failed.contains(&facts.reason) {
            facts.failed.push(facts.reason);
        }
        self.refused(facts, surface, reply)
    }

    /// Why a caller has no standing here: its token or itself, and else that nothing is granted.
    pub(super) fn deny_standing(&self, facts: &mut Facts) {
        let call = self.blank_call(None);
        let mut trace = Collect::default();
        decide(self.gate.policy(), self.overlay, &call, &mut trace);
        let own = trace.failed.into_iter().find(|reason| {
            matches!(
                reason,
                Reason::TokenRevoked
                    | Reason::Unauthenticated
                    | Reason::ChainTooLong
                    | Reason::PrincipalUnknown
                    | Reason::PrincipalSuspended
            )
        });
        let reason = match own {
            Some(reason) => reason,
            None if self.identity.is_none() => Reason::Unauthenticated,
            None => Reason::NoPermission,
        };
        facts.reason = reason;
        facts.failed = vec![reason];
    }
}
