//! Tasks that a server runs for a caller: whose they are, and which call they come from.
//!
//! The id of a task leaves sealed to its caller and the server, with the call that made it inside.
//! So who follows a task is decided as that call is, and nothing has to be remembered. What a server
//! names unasked, in lists and notices, is told to its caller by a memory of what passed by here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value as Json;

use crate::{
    json::{self, Value},
    seal::{Purpose, Sealer},
    session::Bond,
};

/// The longest id that a server may give a task, in bytes.
const MAX_ID: usize = 512;
/// The longest arguments that an id holds, in bytes of their canonical form. Ids stand in headers,
/// too.
const MAX_ARGUMENTS: usize = 2048;
/// The most tasks that are remembered.
const MOST: usize = 10_000;

/// A task of one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// As the server names it.
    id: String,
    /// As its caller names it.
    sealed: String,
    /// The tool that was called.
    tool: String,
    /// The arguments in canonical form; `None` where they were too long to be kept.
    arguments: Option<String>,
}

impl Task {
    /// As the server names it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As its caller names it.
    #[must_use]
    pub(crate) fn sealed(&self) -> &str {
        &self.sealed
    }

    /// The name of the tool that was called.
    #[must_use]
    pub(crate) fn tool(&self) -> &str {
        &self.tool
    }

    /// The call that made it, as a message; `None` where its arguments were not kept.
    #[must_use]
    pub(crate) fn call(&self) -> Option<String> {
        let arguments = self.arguments.as_deref()?;
        let name = Json::from(self.tool.as_str());
        Some(format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/call\",\
             \"params\":{{\"name\":{name},\"arguments\":{arguments}}}}}"
        ))
    }

    /// The task that a call has made; `None` where its id or the call cannot be one.
    pub(crate) fn made(sealer: &Sealer, bond: &Bond, request: Value<'_>, id: &str) -> Option<Self> {
        let params = request.get("params")?;
        let tool = params.get("name")?.as_text()?;
        if id.is_empty() || id.len() > MAX_ID || [id, tool].iter().any(|it| has_control(it)) {
            return None;
        }
        let arguments = match params.get("arguments").filter(|value| !value.is_null()) {
            None => "{}".to_owned(),
            Some(value) => {
                serde_json_canonicalizer::to_string(&json::to_value(value).ok()?).ok()?
            }
        };
        let arguments = Some(arguments).filter(|it| it.len() <= MAX_ARGUMENTS);
        let inside = [tool, id, arguments.as_deref().unwrap_or_default()].join("\n");
        Some(Self {
            sealed: sealer.seal(Purpose::Task, &bond.owner(), inside.as_bytes())?,
            id: id.to_owned(),
            tool: tool.to_owned(),
            arguments,
        })
    }

    /// The task that a caller names, if it is that caller's.
    pub(crate) fn open(sealer: &Sealer, bond: &Bond, sealed: &str) -> Option<Self> {
        let inside = sealer.open_text(Purpose::Task, &bond.owner(), sealed)?;
        let mut parts = inside.splitn(3, '\n').map(str::to_owned);
        Some(Self {
            tool: parts.next()?,
            id: parts.next()?,
            arguments: parts.next().filter(|it| !it.is_empty()),
            sealed: sealed.to_owned(),
        })
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The tasks that passed by here, by caller. It says nothing about who may follow one: that is in
/// the id. What it has forgotten, or what another sidecar saw, is not listed.
#[derive(Debug, Default)]
pub struct Tasks {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_caller: BTreeMap<[u8; 32], VecDeque<Arc<Task>>>,
    count: usize,
}

impl Tasks {
    /// Remembers a task of a caller.
    pub(crate) fn learn(&self, bond: &Bond, task: &Task) {
        let mut known = self.lock();
        let own = known.by_caller.entry(bond.caller()).or_default();
        if let Some(at) = own.iter().position(|it| it.id == task.id) {
            own.remove(at);
            own.push_back(Arc::new(task.clone()));
            return;
        }
        own.push_back(Arc::new(task.clone()));
        known.count += 1;
        if known.count > MOST {
            known.forget_one();
        }
    }

    /// The caller's task that the server names so.
    pub(crate) fn find(&self, bond: &Bond, id: &str) -> Option<Arc<Task>> {
        let known = self.lock();
        let own = known.by_caller.get(&bond.caller())?;
        own.iter().rev().find(|it| it.id == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets the oldest task of who has most of them: nobody's list is cut short by others.
    fn forget_one(&mut self) {
        let most = self.by_caller.iter().max_by_key(|(_, own)| own.len());
        let Some(caller) = most.map(|(caller, _)| *caller) else {
            return;
        };
        let Some(own) = self.by_caller.get_mut(&caller) else {
            return;
        };
        own.pop_front();
        self.count -= 1;
        if own.is_empty() {
            self.by_caller.remove(&caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use latchkey_engine::index::Disclose;

    use super::*;
    use crate::testing::{gate, identity, server};

    fn sealer() -> Sealer {
        Sealer::new(&[[1; 32]]).unwrap()
    }

    fn bond(name: &str) -> Bond {
        let gate = gate(Disclose::Code);
        let who = identity(&gate, name);
        Bond::new(&gate, server(&gate, "github"), Some(&who), false)
    }

    fn made(bond: &Bond, params: &str, id: &str) -> Option<Task> {
        let text = format!(r#"{{"method":"tools/call","params":{params}}}"#);
        Task::made(
            &sealer(),
            bond,
            json::parse(text.as_bytes()).unwrap().root(),
            id,
        )
    }

    #[test]
    fn a_task_opens_for_its_caller_with_the_call_that_made_it() {
        let alice = bond("alice");
        let task = made(
            &alice,
            r#"{"name":"t","arguments":{"b":"x\ny","a":1}}"#,
            "7",
        )
        .unwrap();
        let opened = Task::open(&sealer(), &alice, task.sealed()).unwrap();
        assert_eq!(opened, task);
        assert_eq!((opened.id(), opened.tool()), ("7", "t"));
        let call = opened.call().unwrap();
        assert!(call.contains(r#""arguments":{"a":1,"b":"x\ny"}"#), "{call}");
        assert_eq!(Task::open(&sealer(), &bond("bot"), task.sealed()), None);
        assert_eq!(Task::open(&sealer(), &alice, "7"), None);
        let elsewhere = sealer().seal(Purpose::Session, &alice.owner(), b"t\n7\n{}");
        assert_eq!(Task::open(&sealer(), &alice, &elsewhere.unwrap()), None);
    }

    #[test]
    fn arguments_that_are_too_long_are_not_kept_and_odd_ids_are_none() {
        let alice = bond("alice");
        let long = format!(
            r#"{{"name":"t","arguments":{{"a":"{}"}}}}"#,
            "x".repeat(3000)
        );
        let task = made(&alice, &long, "7").unwrap();
        assert_eq!(
            Task::open(&sealer(), &alice, task.sealed()),
            Some(task.clone())
        );
        assert_eq!(task.call(), None);
        for odd in ["", "a\nb", &"x".repeat(MAX_ID + 1)] {
            assert_eq!(made(&alice, r#"{"name":"t"}"#, odd), None);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_each_callers_own() {
        let (alice, bot) = (bond("alice"), bond("bot"));
        let tasks = Tasks::default();
        let own = made(&bot, r#"{"name":"t"}"#, "own").unwrap();
        tasks.learn(&bot, &own);
        let template = made(&alice, r#"{"name":"t"}"#, "0").unwrap();
        for n in 0..=MOST {
            let id = n.to_string();
            tasks.learn(
                &alice,
                &Task {
                    id,
                    ..template.clone()
                },
            );
        }
        assert!(tasks.find(&alice, "0").is_none() && tasks.find(&alice, "5").is_some());
        assert!(tasks.find(&bot, "own").is_some() && tasks.find(&alice, "own").is_none());
    }
}
