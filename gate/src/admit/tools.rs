//! What a caller may call of a server: the list that an HTTP server has no method for.

use latchkey_engine::{
    call::{Call, Operation},
    decide::discover,
    decision::Visibility,
    id::SurfaceId,
    index::{Surface, SurfaceKind},
    reason::Reason,
};
use serde_json::{Map, Value as Json, json};

use super::{Facts, Outcome, Permit, Stage, Verdict, surface::risk_word};
use crate::{bridge::Crossing, wire::Reply};

/// Where a caller asks.
pub(crate) const PATH: &str = "/v1/tools";

impl Stage<'_> {
    /// The list, for callers who see something of the server. Who only decides has nobody to tell.
    pub(super) fn tools(&self, mut facts: Facts, reply: Reply) -> Verdict {
        if self.sealer.is_none() {
            return self.unmatched(facts, reply, true);
        }
        let policy = self.gate.policy();
        let own = policy.surfaces(self.inbound.server);
        let mut tools: Vec<Json> = own.filter_map(|surface| self.tool(surface)).collect();
        if tools.is_empty() {
            self.deny_standing(&mut facts);
            return self.refused(facts, false, reply);
        }
        tools.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
        let list = json!({"server": facts.server, "tools": tools});
        facts.reason = Reason::Ok;
        facts.visible = true;
        let mut permit = Permit::protocol(self.inbound.server, &facts, None, reply);
        permit.cross(Crossing::Here(Some(list.to_string())), None);
        Verdict {
            outcome: Outcome::Forward(permit),
            facts,
        }
    }

    /// A surface as its caller is told of it; none where no call of it could be allowed.
    fn tool(&self, surface: SurfaceId) -> Option<Json> {
        let seen = self.coarse(surface);
        if seen == Visibility::Never {
            return None;
        }
        let policy = self.gate.policy();
        let entry = policy.surface_entry(surface)?;
        let mut tool = Map::new();
        let mut say = |key: &str, value: Json| tool.insert(key.to_owned(), value);
        say("name", entry.name.as_str().into());
        let kind = match &entry.kind {
            SurfaceKind::Tool => "tool",
            SurfaceKind::Prompt => "prompt",
            SurfaceKind::Resource { uri } => {
                say("uri", uri.as_str().into());
                "resource"
            }
            SurfaceKind::Route { method, path } => {
                say("method", method.as_str().into());
                say("path", path.as_str().into());
                "route"
            }
        };
        say("kind", kind.into());
        say("risk", risk_word(entry.risk).into());
        let always = seen == Visibility::Always;
        say("allowed", if always { "always" } else { "depends" }.into());
        if entry.operations.is_some() {
            say("operations", self.operations(surface, entry).into());
        }
        let schema = entry
            .schema
            .and_then(|it| policy.index().schemas.get(it.index()));
        if let Some(schema) = schema.and_then(|text| serde_json::from_str(text).ok()) {
            say("inputSchema", schema);
        }
        Some(Json::Object(tool))
    }

    /// The operations of a surface that the caller could be allowed.
    fn operations(&self, surface: SurfaceId, entry: &Surface) -> Vec<Json> {
        let operations = entry.operations.iter().flat_map(|it| &it.values).zip(0..);
        let seen = operations.filter(|(_, position)| {
            let position = [*position];
            let call = Call {
                operation: Operation::These(&position),
                ..self.blank_call(Some(surface))
            };
            discover(self.gate.policy(), self.overlay, &call) != Visibility::Never
        });
        seen.map(|((name, risk), _)| json!({"name": name, "risk": risk_word(*risk)}))
            .collect()
    }
}
