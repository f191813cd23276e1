//! Tasks in what a server says: each caller is told of its own, under the ids that it was given.

use std::sync::LazyLock;

use latchkey_engine::index::SurfaceKind;
use memchr::memmem::Finder;

use super::{Edit, FilterError, Object, Value, Viewer, parse, refuse_variants, replaced};
use crate::{classify::RELATED_TASK, json::splice, task::Task};

/// The extension that has tasks in the stateless era.
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

impl Viewer<'_> {
    /// The edit that names the task that a call has made; none where its answer is no task.
    pub(super) fn made(&self, result: Object<'_>) -> Result<Option<Edit>, FilterError> {
        let Some((sealer, bond)) = self.handles else {
            return Ok(None);
        };
        refuse_variants(result, &["resultType", "taskId", "task"])?;
        let modern = bond.is_modern();
        let holder = if modern {
            let kind = result.get("resultType").and_then(|it| it.as_text());
            (kind == Some("task")).then_some(result)
        } else {
            result.get("task").and_then(|it| it.as_object())
        };
        let Some(holder) = holder else {
            return Ok(None);
        };
        let request = parse(self.request)?;
        let root = request.root();
        let asked = root.get("params").and_then(|it| it.get("task")).is_some();
        if !modern && !asked {
            return Ok(None);
        }
        refuse_variants(holder, &["taskId"])?;
        let named = holder.get("taskId").ok_or(FilterError::Shape)?;
        let called = root.get("method").and_then(|it| it.as_text());
        let task = named
            .as_text()
            .filter(|_| called == Some("tools/call"))
            .and_then(|id| Task::made(sealer, bond, root, id))
            .ok_or(FilterError::Shape)?;
        self.learn(&task);
        Ok(Some(renamed(named, &task)))
    }

    /// What a server answers about a task, or as its result.
    pub(super) fn of_task(&self, source: &str, result: Object<'_>) -> Result<Vec<u8>, FilterError> {
        refuse_variants(
            result,
            &["taskId", "_meta", "inputRequests", "error", "result"],
        )?;
        if let Some((_, bond)) = self.handles {
            for task in bond.tasks() {
                self.learn(task);
            }
        }
        let edits = self.detailed(result)?;
        let text = splice(source, edits).ok_or(FilterError::Shape)?;
        Ok(text.into_bytes())
    }

    /// The edits of a notice about a task; none at all where it is not for this caller.
    pub(super) fn noticed(&self, params: Object<'_>) -> Result<Option<Vec<Edit>>, FilterError> {
        refuse_variants(
            params,
            &["taskId", "_meta", "inputRequests", "error", "result"],
        )?;
        let id = params.get("taskId").and_then(|it| it.as_text());
        if !id.is_some_and(|id| self.is_shown(id)) {
            return Ok(None);
        }
        match self.detailed(params) {
            Ok(edits) => Ok(Some(edits)),
            // What it asks for is refused where the task is followed.
            Err(FilterError::Asked(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn detailed(&self, task: Object<'_>) -> Result<Vec<Edit>, FilterError> {
        self.may_ask_all(task)?;
        if let Some(error) = task.get("error") {
            self.may_show(error)?;
        }
        let mut edits: Vec<Edit> = self.related(task)?.into_iter().collect();
        if let Some(id) = task.get("taskId") {
            let known = id.as_text().and_then(|it| self.known(it));
            edits.push(renamed(id, &known.ok_or(FilterError::Shape)?));
        }
        Ok(edits)
    }

    /// The edit that names the task that a message says it belongs to.
    pub(super) fn related(&self, part: Object<'_>) -> Result<Option<Edit>, FilterError> {
        let Some(meta) = part.get("_meta").and_then(|it| it.as_object()) else {
            return Ok(None);
        };
        refuse_variants(meta, &[RELATED_TASK])?;
        let task = meta.get(RELATED_TASK).and_then(|it| it.as_object());
        let id = task.and_then(|it| it.get("taskId"));
        Ok(id.and_then(|id| Some(renamed(id, &self.known(id.as_text()?)?))))
    }

    /// The edit that names the tasks that a stream will tell of.
    pub(super) fn acknowledged(&self, params: Object<'_>) -> Option<Edit> {
        let ids = params.get("notifications")?.get("taskIds")?;
        let own = ids.as_array()?.values();
        let own = own.filter_map(|id| self.known(id.as_text()?));
        let own: Vec<String> = own.map(|task| text(task.sealed())).collect();
        Some(replaced(ids, format!("[{}]", own.join(","))))
    }

    /// The edit that leaves the caller's own tasks of a list.
    pub(super) fn own_tasks(&self, result: Object<'_>) -> Result<Edit, FilterError> {
        refuse_variants(result, &["tasks"])?;
        let list = result.get("tasks").ok_or(FilterError::Shape)?;
        let mut kept = Vec::new();
        for entry in list.as_array().ok_or(FilterError::Shape)?.values() {
            let object = entry.as_object().ok_or(FilterError::Shape)?;
            refuse_variants(object, &["taskId"])?;
            let id = object.get("taskId").ok_or(FilterError::Shape)?;
            let shown = id.as_text().filter(|id| self.is_shown(id));
            let Some(task) = shown.and_then(|id| self.known(id)) else {
                continue;
            };
            let (from, at) = (entry.span().start, id.span());
            let edit = Edit {
                at: at.start - from..at.end - from,
                text: text(task.sealed()),
            };
            kept.push(splice(entry.raw(), vec![edit]).ok_or(FilterError::Shape)?);
        }
        Ok(replaced(list, format!("[{}]", kept.join(","))))
    }

    /// Tasks in an answer to a request that is not known any more.
    pub(super) fn replayed_tasks(&self, result: Object<'_>) -> Result<Vec<Edit>, FilterError> {
        refuse_variants(result, &["task", "taskId", "tasks", "_meta"])?;
        let mut edits: Vec<Edit> = self.related(result)?.into_iter().collect();
        if result
            .get("tasks")
            .is_some_and(|it| it.as_array().is_some())
        {
            edits.push(self.own_tasks(result)?);
        }
        let made = result.get("task").and_then(|it| it.get("taskId"));
        for id in [result.get("taskId"), made].into_iter().flatten() {
            let known = id.as_text().and_then(|it| self.known(it));
            edits.extend(known.map(|task| renamed(id, &task)));
        }
        Ok(edits)
    }

    /// The caller's task that the server names so.
    fn known(&self, id: &str) -> Option<Task> {
        let (_, bond) = self.handles?;
        let named = bond.tasks().iter().find(|it| it.id() == id).cloned();
        named.or_else(|| Some(Task::clone(&*self.tasks?.find(bond, id)?)))
    }

    /// Whether the caller may hear of a task unasked: it is its own, and so is the tool.
    fn is_shown(&self, id: &str) -> bool {
        let policy = self.gate.policy();
        let tool = self.known(id).and_then(|task| {
            let surface = policy.surface(self.filter.server, task.tool())?;
            let entry = policy.surface_entry(surface)?;
            (entry.kind == SurfaceKind::Tool).then_some(surface)
        });
        tool.is_some_and(|surface| self.visible(surface))
    }

    fn learn(&self, task: &Task) {
        if let (Some(tasks), Some((_, bond))) = (self.tasks, self.handles) {
            tasks.learn(bond, task);
        }
    }
}

/// Prepared once, because every call is searched for them.
static WORDS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| ["\"task\"", "\\u00"].map(Finder::new));

/// Whether a call may ask to run as a task: a cheap look.
#[must_use]
pub fn wants_task(request: &[u8]) -> bool {
    WORDS.iter().any(|word| word.find(request).is_some())
}

/// The capability of tasks with sessions: tools may run as tasks, and nothing else.
pub(super) fn legacy(said: Value<'_>) -> Option<String> {
    let said = said.as_object()?;
    let mut kept = Vec::new();
    for key in ["list", "cancel"] {
        kept.extend(said.get(key).map(|it| format!("\"{key}\":{}", it.raw())));
    }
    let call = said
        .get("requests")
        .and_then(|it| it.get("tools")?.get("call"));
    kept.extend(call.map(|it| format!("\"requests\":{{\"tools\":{{\"call\":{}}}}}", it.raw())));
    Some(format!("{{{}}}", kept.join(",")))
}

/// The extensions that are understood here.
pub(super) fn extension(said: Value<'_>) -> Option<String> {
    let own = said.get(EXTENSION)?;
    Some(format!("{{\"{EXTENSION}\":{}}}", own.raw()))
}

fn renamed(id: Value<'_>, task: &Task) -> Edit {
    replaced(id, text(task.sealed()))
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
