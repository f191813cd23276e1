//! Which entries of a list, and which capabilities of a server, a caller is shown.

use latchkey_engine::{id::SurfaceId, index::SurfaceKind};

use super::{
    Edit, FilterError, FilterKind, Object, Value, Viewer, refuse_variants, replaced, tasks,
};
use crate::{json::to_value, pin::ListKind, route};

impl Viewer<'_> {
    /// The edit that leaves the visible entries of a list.
    pub(super) fn entries(
        &self,
        result: Object<'_>,
        kind: FilterKind,
    ) -> Result<Edit, FilterError> {
        let list = listed(kind).ok_or(FilterError::Shape)?;
        let (member, key) = (list.member(), list.key());
        refuse_variants(result, &[member])?;
        let entries = result.get(member).ok_or(FilterError::Shape)?;
        let mut kept = Vec::new();
        for entry in entries.as_array().ok_or(FilterError::Shape)?.values() {
            let object = entry.as_object().ok_or(FilterError::Shape)?;
            refuse_variants(object, &[key])?;
            let name = object.get(key).and_then(|name| name.as_text());
            let name = name.ok_or(FilterError::Shape)?;
            let surface = self.surface(kind, name).filter(|surface| {
                // What this caller does not see is compared as well: another one may call it.
                self.is_as_reviewed(list, *surface, name, entry) & self.visible(*surface)
            });
            if surface.is_some() {
                kept.push(entry.raw());
            }
        }
        Ok(replaced(entries, format!("[{}]", kept.join(","))))
    }

    /// Whether a definition is the one that was reviewed, where one was.
    fn is_as_reviewed(
        &self,
        kind: ListKind,
        surface: SurfaceId,
        name: &str,
        definition: Value<'_>,
    ) -> bool {
        let pin = self.gate.surface_settings(surface);
        let Some(pin) = pin.and_then(|it| it.pin.as_ref()) else {
            return true;
        };
        let Some(entry) = self.gate.policy().surface_entry(surface) else {
            return false;
        };
        // The pin of a pattern is that of the template, not of what matches it.
        if matches!(&entry.kind, SurfaceKind::Resource { uri } if uri != name) {
            return true;
        }
        let definition = to_value(definition).ok();
        match (self.pins, &definition) {
            (Some(pins), definition) => pins.see(kind, &entry.name, pin, definition.as_ref()),
            (None, Some(definition)) => pin.compare(kind, definition).is_none(),
            (None, None) => false,
        }
    }

    /// The edits of an answer to a request that is not known any more.
    pub(super) fn replayed(&self, result: Object<'_>) -> Result<Vec<Edit>, FilterError> {
        let lists = [
            ("tools", FilterKind::Tools),
            ("prompts", FilterKind::Prompts),
            ("resources", FilterKind::Resources),
            ("resourceTemplates", FilterKind::ResourceTemplates),
        ];
        let mut edits = self.handshake(result)?;
        for (list, kind) in lists {
            refuse_variants(result, &[list])?;
            if result.get(list).is_some() {
                edits.push(self.entries(result, kind)?);
            }
        }
        edits.extend(self.replayed_tasks(result)?);
        Ok(edits)
    }

    /// The surface that an entry of a list is.
    pub(super) fn surface(&self, kind: FilterKind, name: &str) -> Option<SurfaceId> {
        let policy = self.gate.policy();
        let server = self.filter.server;
        let named = |wanted: SurfaceKind| {
            policy.surface(server, name).filter(|surface| {
                let entry = policy.surface_entry(*surface);
                entry.is_some_and(|entry| entry.kind == wanted)
            })
        };
        match kind {
            FilterKind::Tools => named(SurfaceKind::Tool),
            FilterKind::Prompts => named(SurfaceKind::Prompt),
            FilterKind::Resources => {
                let segments = route::uri_segments(name).ok()?;
                let found = self.gate.routes().resource(server, &segments);
                found.map(|(surface, _)| surface)
            }
            FilterKind::ResourceTemplates => {
                let routes = self.gate.routes();
                routes.resource_template(policy.index(), server, name)
            }
            FilterKind::Handshake
            | FilterKind::Answer
            | FilterKind::Call
            | FilterKind::Task
            | FilterKind::Tasks
            | FilterKind::Listen
            | FilterKind::Stream
            | FilterKind::Unread => None,
        }
    }

    /// The edits that leave the capabilities of which the caller sees something, and none that
    /// this version refuses.
    pub(super) fn handshake(&self, result: Object<'_>) -> Result<Vec<Edit>, FilterError> {
        refuse_variants(result, &["capabilities"])?;
        let Some(capabilities) = result.get("capabilities") else {
            return Ok(Vec::new());
        };
        let object = capabilities.as_object().ok_or(FilterError::Shape)?;
        let kept: Vec<String> = object
            .members()
            .filter_map(|member| self.offered(member.key, member.value))
            .collect();
        let text = format!("{{{}}}", kept.join(","));
        Ok(vec![replaced(capabilities, text)])
    }

    /// A capability as the caller is told it; none where it may use nothing of it.
    fn offered(&self, capability: &str, value: Value<'_>) -> Option<String> {
        let tools = || self.sees(|kind| *kind == SurfaceKind::Tool);
        let text = match capability {
            "tasks" => tools().then(|| tasks::legacy(value))?,
            "extensions" => tools().then(|| tasks::extension(value))?,
            _ => self.offers(capability).then(|| value.raw().to_owned()),
        };
        Some(text_member(capability, &text?))
    }

    fn offers(&self, capability: &str) -> bool {
        match capability {
            "tools" => self.sees(|kind| *kind == SurfaceKind::Tool),
            "prompts" => self.sees(|kind| *kind == SurfaceKind::Prompt),
            "resources" => self.sees(|kind| matches!(kind, SurfaceKind::Resource { .. })),
            "completions" => {
                self.sees(|kind| matches!(kind, SurfaceKind::Prompt | SurfaceKind::Resource { .. }))
            }
            "logging" => true,
            // Other extensions, and whatever comes: their methods are refused.
            _ => false,
        }
    }
}

/// The list that an answer holds.
fn listed(kind: FilterKind) -> Option<ListKind> {
    match kind {
        FilterKind::Tools => Some(ListKind::Tools),
        FilterKind::Prompts => Some(ListKind::Prompts),
        FilterKind::Resources => Some(ListKind::Resources),
        FilterKind::ResourceTemplates => Some(ListKind::Templates),
        FilterKind::Handshake
        | FilterKind::Answer
        | FilterKind::Call
        | FilterKind::Task
        | FilterKind::Tasks
        | FilterKind::Listen
        | FilterKind::Stream
        | FilterKind::Unread => None,
    }
}

fn text_member(key: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(key))
}
