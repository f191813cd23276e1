//! What allows may have to carry, surface by surface.

use crate::{
    bundle::OpenError,
    id::{PermissionId, RuleId, SurfaceId},
    index::{Effect, Index, Obligation},
};

/// The most obligations that one surface may have.
pub(crate) const MAX_OBLIGATIONS: usize = 64;

/// Where an obligation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObligationSource {
    /// The surface or its server: every allowed call carries it.
    Surface(SurfaceId),
    /// A require rule: calls that it matches carry it.
    Rule(RuleId),
}

/// The obligations of each surface.
#[derive(Debug)]
pub(crate) struct Table {
    starts: Vec<u32>,
    entries: Vec<(Obligation, ObligationSource)>,
}

impl Table {
    pub(crate) fn build(
        index: &Index,
        permission_starts: &[PermissionId],
    ) -> Result<Self, OpenError> {
        let mut lists = surface_lists(index);
        for (rule, at) in index.rules.iter().zip(0..) {
            let Effect::Require(obligations) = &rule.effect else {
                continue;
            };
            let source = ObligationSource::Rule(RuleId(at));
            let mut last = None;
            for permission in &rule.permissions {
                let (surface, _) = Index::permission_surface(permission_starts, *permission);
                if last.replace(surface) == Some(surface) {
                    continue;
                }
                if let Some(list) = lists.get_mut(surface.index()) {
                    list.extend(obligations.iter().map(|it| (*it, source)));
                    if list.len() > MAX_OBLIGATIONS {
                        return Err(too_many());
                    }
                }
            }
        }
        let mut table = Self {
            starts: vec![0],
            entries: Vec::new(),
        };
        for list in &mut lists {
            if list.len() > MAX_OBLIGATIONS {
                return Err(too_many());
            }
            table.entries.append(list);
            let end = super::id(table.entries.len()).unwrap_or(u32::MAX);
            table.starts.push(end);
        }
        Ok(table)
    }

    /// The obligations of a surface; positions are those of decisions.
    pub(crate) fn of(&self, surface: SurfaceId) -> &[(Obligation, ObligationSource)] {
        let span = super::span(&self.starts, surface.index());
        self.entries
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The positions that come from one source, as bits.
    pub(crate) fn bits(&self, surface: SurfaceId, source: ObligationSource) -> u64 {
        let entries = self.of(surface).iter().zip(0_u32..);
        entries
            .filter(|((_, from), _)| *from == source)
            .fold(0, |bits, (_, at)| bits | 1_u64.checked_shl(at).unwrap_or(0))
    }
}

fn surface_lists(index: &Index) -> Vec<Vec<(Obligation, ObligationSource)>> {
    let surfaces = index.surfaces.iter().zip(0..);
    surfaces
        .map(|(surface, at)| {
            let source = ObligationSource::Surface(SurfaceId(at));
            let obligations = surface.obligations.iter();
            obligations.map(|it| (*it, source)).collect()
        })
        .collect()
}

fn too_many() -> OpenError {
    OpenError {
        offset: 0,
        what: "a surface has more than 64 obligations",
    }
}
