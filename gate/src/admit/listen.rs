//! A stream of notifications: each kind and each resource is decided by itself.

use latchkey_engine::{
    decision::Visibility,
    id::SurfaceId,
    index::{Surface, SurfaceKind},
};

use super::{Facts, Outcome, Stage, Verdict};
use crate::{
    classify::{self, Source},
    filter::FilterKind,
    json::{Edit, Object, Value, splice},
    route,
    session::Bond,
    wire::Reply,
};

/// The most resources that one stream follows.
const MAX_RESOURCES: usize = 256;

impl Stage<'_> {
    /// Forwards the wish for notifications with only what the caller sees.
    pub(super) fn listen(
        &self,
        facts: Facts,
        reply: Reply,
        mut bond: Option<&mut Bond>,
        wanted: Object<'_>,
    ) -> Verdict {
        let mut kept = Vec::new();
        for member in wanted.members() {
            if member.key == "taskIds" {
                let Some(bond) = bond.as_deref_mut() else {
                    continue;
                };
                let tasks = self.followed(&reply, bond, member.value);
                let ids = tasks.iter().map(|it| serde_json::Value::from(it.id()));
                let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
                kept.push(format!("\"taskIds\":[{}]", ids.join(",")));
                for task in tasks {
                    bond.name_task(task);
                }
            } else {
                kept.extend(self.kept(&reply, member.key, member.value));
            }
        }
        let edit = Edit {
            at: wanted.span(),
            text: format!("{{{}}}", kept.join(",")),
        };
        let mut verdict = self.protocol(facts, reply, Some(FilterKind::Listen));
        if let Outcome::Forward(permit) = &mut verdict.outcome {
            let source = std::str::from_utf8(self.inbound.body).unwrap_or_default();
            permit.rewrite(splice(source, vec![edit]).unwrap_or_default());
        }
        verdict
    }

    /// One kind of notification with what the caller may follow of it, as it is asked for upstream.
    fn kept(&self, reply: &Reply, kind: &str, wanted: Value<'_>) -> Option<String> {
        let sees =
            |kind: fn(&Surface) -> bool| (wanted.as_bool()? && self.sees(kind)).then_some(());
        match kind {
            "toolsListChanged" => sees(|it| it.kind == SurfaceKind::Tool)?,
            "promptsListChanged" => sees(|it| it.kind == SurfaceKind::Prompt)?,
            "resourcesListChanged" => sees(|it| matches!(it.kind, SurfaceKind::Resource { .. }))?,
            "resourceSubscriptions" => {
                let uris = wanted.as_array()?.values().take(MAX_RESOURCES);
                let may =
                    |uri: &Value<'_>| uri.as_text().is_some_and(|it| self.may_read(reply, it));
                let kept: Vec<&str> = uris.filter(may).map(|uri| uri.raw()).collect();
                return Some(format!("\"{kind}\":[{}]", kept.join(",")));
            }
            // Whatever else comes is nothing that policy speaks of.
            _ => return None,
        }
        Some(format!("\"{kind}\":true"))
    }

    fn sees(&self, wanted: fn(&Surface) -> bool) -> bool {
        let policy = self.gate.policy();
        policy
            .surfaces(self.inbound.server)
            .any(|surface: SurfaceId| {
                policy.surface_entry(surface).is_some_and(wanted)
                    && self.coarse(surface) != Visibility::Never
            })
    }

    /// Whether this very resource may be read.
    fn may_read(&self, reply: &Reply, uri: &str) -> bool {
        let Ok(segments) = route::uri_segments(uri) else {
            return false;
        };
        let found = self.gate.routes().resource(self.inbound.server, &segments);
        let Some((surface, variables)) = found else {
            return false;
        };
        let parts = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let source = Source::Parts(classify::members(parts), None);
        let facts = Facts::of(self.gate, self.inbound, self.identity);
        let verdict = self.surface(facts, reply.clone(), surface, &source);
        matches!(verdict.outcome, Outcome::Forward(_))
    }
}
