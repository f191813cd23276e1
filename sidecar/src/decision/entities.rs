//! `AuthZEN`'s entities, and how they name principals, surfaces and operations.
//!
//! | entity | means |
//! | --- | --- |
//! | subject | `type` is an issuer's name, and `id` the `sub` of its tokens; or `type` is `user`, `human`, `service`, `agent` or `principal`, and `id` a principal's name |
//! | resource | `type` is `tool`, `prompt`, `resource` or `route`, and `id` which one; or `type` is the name of a tool, and `id` becomes its argument `id` |
//! | action | what is done to one of those; or the operation of that tool |

use latchkey_engine::{
    index::{PrincipalType, SurfaceKind},
    reason::Reason,
    time::Time,
};
use latchkey_gate::call::{Stated, StatedCaller};
use serde_json::{Map, Value, value::to_raw_value};

use super::decide::Question;
use crate::supply::Active;

/// A question that cannot be read; the enforcement point gets 400.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// A subject or resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Entity {
    pub(super) kind: String,
    /// Absent where it is searched for.
    pub(super) id: Option<String>,
    pub(super) properties: Map<String, Value>,
}

/// An action.
#[derive(Debug, Clone, Default)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) properties: Map<String, Value>,
}

/// What else is known of a call. Members that are not listed are ignored, as the standard asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// Where the call came from.
    ip: Option<String>,
    /// The agent that acts for the subject.
    agent: Option<Agent>,
}

/// The agent that acts for a subject.
#[derive(Debug, Clone)]
enum Agent {
    /// Named like the subject: by the same issuer, or as a principal.
    Like(String),
    /// Named in full.
    Entity(Entity),
}

/// A whole question.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) subject: Entity,
    pub(super) action: Action,
    pub(super) resource: Entity,
    pub(super) context: Context,
}

/// The types that name a kind of surface rather than a surface.
const KINDS: [&str; 4] = ["tool", "prompt", "resource", "route"];

impl Entity {
    /// Reads the member `key`; with `searched`, its id is ignored.
    pub(super) fn read(from: &Value, key: &str, searched: bool) -> Result<Self, Unreadable> {
        let entity = object(from, key)?;
        Ok(Self {
            kind: text(entity, key, "type")?,
            id: if searched {
                None
            } else {
                Some(text(entity, key, "id")?)
            },
            properties: properties(entity, key)?,
        })
    }

    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Whether the type names a kind of surface.
    pub(super) fn is_kind(&self) -> bool {
        KINDS.contains(&self.kind.as_str())
    }
}

impl Action {
    pub(super) fn read(from: &Value) -> Result<Self, Unreadable> {
        let action = object(from, "action")?;
        Ok(Self {
            name: text(action, "action", "name")?,
            properties: properties(action, "action")?,
        })
    }
}

impl Context {
    pub(super) fn read(from: &Value) -> Result<Self, Unreadable> {
        let context = match from.get("context") {
            None => return Ok(Self::default()),
            Some(Value::Object(context)) => context,
            Some(_) => return Err(Unreadable("`context` is not an object".to_owned())),
        };
        let agent = match context.get("agent") {
            None => None,
            Some(Value::String(name)) => Some(Agent::Like(name.clone())),
            Some(Value::Object(_)) => {
                let entity = Entity::read(&Value::Object(context.clone()), "agent", false)?;
                Some(Agent::Entity(entity))
            }
            Some(_) => {
                let what = "`context.agent` is neither a text nor an object";
                return Err(Unreadable(what.to_owned()));
            }
        };
        let ip = context.get("ip").map(|ip| {
            let ip = ip.as_str().filter(|ip| super::address(ip).is_some());
            ip.map(str::to_owned)
                .ok_or_else(|| Unreadable("`context.ip` is no address".to_owned()))
        });
        Ok(Self {
            ip: ip.transpose()?,
            agent,
        })
    }
}

fn object<'v>(from: &'v Value, key: &str) -> Result<&'v Map<String, Value>, Unreadable> {
    match from.get(key) {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(Unreadable(format!("`{key}` is not an object"))),
        None => Err(Unreadable(format!("`{key}` is missing"))),
    }
}

fn text(entity: &Map<String, Value>, key: &str, member: &str) -> Result<String, Unreadable> {
    match entity.get(member) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(Unreadable(format!("`{key}.{member}` is empty"))),
        Some(_) => Err(Unreadable(format!("`{key}.{member}` is not a text"))),
        None => Err(Unreadable(format!("`{key}.{member}` is missing"))),
    }
}

fn properties(entity: &Map<String, Value>, key: &str) -> Result<Map<String, Value>, Unreadable> {
    match entity.get("properties") {
        None => Ok(Map::new()),
        Some(Value::Object(properties)) => Ok(properties.clone()),
        Some(_) => Err(Unreadable(format!("`{key}.properties` is not an object"))),
    }
}

/// Why an entity names nothing here.
struct Nothing(Reason, String);

impl Asked {
    /// The call that is asked about.
    pub(super) fn question(&self, active: &Active, now: Time) -> Question {
        match self.stated(active, now) {
            Ok(question) => question,
            Err(Nothing(reason, what)) => Question::Refused(reason, what),
        }
    }

    fn stated(&self, active: &Active, now: Time) -> Result<Question, Nothing> {
        let subject = caller(active, &self.subject)?;
        let token_id = self.subject.properties.get("jti").and_then(Value::as_str);
        let (caller, on_behalf_of) = match &self.context.agent {
            None => (subject, Vec::new()),
            Some(Agent::Entity(agent)) => (bare(caller(active, agent)?), vec![subject]),
            Some(Agent::Like(name)) => {
                let agent = Entity {
                    kind: match active.gate.policy().issuer(&self.subject.kind) {
                        Some(_) => self.subject.kind.clone(),
                        None => "principal".to_owned(),
                    },
                    id: Some(name.clone()),
                    properties: Map::new(),
                };
                (bare(caller(active, &agent)?), vec![subject])
            }
        };
        let server = active.gate.policy().server_entry(active.server);
        let mut stated = Stated {
            id: None,
            caller: Some(caller),
            on_behalf_of,
            server: server.map(|server| server.name.clone()).unwrap_or_default(),
            tool: None,
            prompt: None,
            resource: None,
            arguments: None,
            method: None,
            path: None,
            body: None,
            at: now.to_string(),
            ip: self.context.ip.clone(),
            token_permissions: None,
            token_id: token_id.map(str::to_owned),
        };
        match self.resource.kind.as_str() {
            "route" => return self.route(active, stated),
            kind if KINDS.contains(&kind) => self.kind(&mut stated, kind)?,
            _ => self.operation(active, &mut stated)?,
        }
        Ok(Question::Call(Box::new(stated)))
    }

    /// A tool, prompt or resource that the resource's id names.
    fn kind(&self, stated: &mut Stated, kind: &str) -> Result<(), Nothing> {
        let (short, long) = match kind {
            "tool" => ("call", "tools/call"),
            "prompt" => ("get", "prompts/get"),
            _ => ("read", "resources/read"),
        };
        if self.action.name != short && self.action.name != long {
            let what = format!("the action on a {kind} is `{short}`");
            return Err(Nothing(Reason::OperationUnknown, what));
        }
        let id = self.resource.id();
        let own = id.strip_prefix(&stated.server);
        let name = own.and_then(|rest| rest.strip_prefix('/')).unwrap_or(id);
        match kind {
            "tool" => stated.tool = Some(name.to_owned()),
            "prompt" => stated.prompt = Some(name.to_owned()),
            _ => {
                stated.resource = Some(id.to_owned());
                return Ok(());
            }
        }
        let mut arguments = Map::new();
        merge(&mut arguments, &self.resource.properties)?;
        merge(&mut arguments, &self.action.properties)?;
        stated.arguments = to_raw_value(&arguments).ok();
        Ok(())
    }

    /// The operation of a tool whose name is the resource's type.
    fn operation(&self, active: &Active, stated: &mut Stated) -> Result<(), Nothing> {
        let policy = active.gate.policy();
        let surface = policy.surface(active.server, &self.resource.kind);
        let entry = surface.and_then(|surface| policy.surface_entry(surface));
        let entry = entry.filter(|entry| entry.kind == SurfaceKind::Tool);
        let mut arguments = Map::new();
        arguments.insert("id".to_owned(), self.resource.id().into());
        merge(&mut arguments, &self.resource.properties)?;
        merge(&mut arguments, &self.action.properties)?;
        match entry.and_then(|entry| entry.operations.as_ref()) {
            Some(operations) => {
                let argument = operations.argument.first().map_or("", String::as_str);
                let name = Value::from(self.action.name.as_str());
                if arguments.insert(argument.to_owned(), name).is_some() {
                    return Err(twice(argument));
                }
            }
            None if entry.is_some() && self.action.name != "call" => {
                let what = "a tool without operations has the action `call` only";
                return Err(Nothing(Reason::OperationUnknown, what.to_owned()));
            }
            None => {}
        }
        stated.tool = Some(self.resource.kind.clone());
        stated.arguments = to_raw_value(&arguments).ok();
        Ok(())
    }

    /// A route, by its path or by its template.
    fn route(&self, active: &Active, mut stated: Stated) -> Result<Question, Nothing> {
        let id = self.resource.id();
        stated.method = Some(self.action.name.clone());
        stated.path = Some(id.to_owned());
        let body = self.resource.properties.get("body");
        stated.body = body.and_then(|body| to_raw_value(body).ok());
        if !id.contains('{') {
            return Ok(Question::Call(Box::new(stated)));
        }
        let policy = active.gate.policy();
        let found = policy.surfaces(active.server).find(|surface| {
            let entry = policy.surface_entry(*surface);
            entry.is_some_and(|entry| {
                matches!(&entry.kind, SurfaceKind::Route { method, path }
                    if *method == self.action.name && path == id)
            })
        });
        found
            .map(|surface| Question::Template(surface, Box::new(stated)))
            .ok_or_else(|| {
                let what = "no route has this method and template";
                Nothing(Reason::SurfaceUnmatched, what.to_owned())
            })
    }
}

/// A member of the chain that is not its last: only the last has groups.
fn bare(caller: StatedCaller) -> StatedCaller {
    StatedCaller {
        groups: Vec::new(),
        ..caller
    }
}

/// Who a subject is. Its groups are the values of the claim that its issuer has for them.
fn caller(active: &Active, subject: &Entity) -> Result<StatedCaller, Nothing> {
    let policy = active.gate.policy();
    let (issuer, mut stated) = if let Some(issuer) = policy.issuer(&subject.kind) {
        let stated = StatedCaller {
            issuer: Some(subject.kind.clone()),
            subject: Some(subject.id().to_owned()),
            ..StatedCaller::default()
        };
        (Some(issuer), stated)
    } else {
        let unknown = |what: String| Nothing(Reason::PrincipalUnknown, what);
        let kind = kind(&subject.kind)
            .ok_or_else(|| unknown(format!("no issuer is named `{}`", shown(&subject.kind))))?;
        let principal = policy
            .principal(subject.id())
            .filter(|principal| {
                let own = policy.index().principals.types.get(principal.index());
                own.is_some_and(|own| kind.is_none_or(|kind| kind == *own))
            })
            .ok_or_else(|| unknown("no principal has this type and name".to_owned()))?;
        let identity = active.gate.identities(principal).next();
        let identity = identity.and_then(|at| policy.index().principals.identities.get(at));
        let stated = StatedCaller {
            principal: Some(subject.id().to_owned()),
            ..StatedCaller::default()
        };
        (identity.map(|identity| identity.0), stated)
    };
    let entry = issuer.and_then(|issuer| policy.issuer_entry(issuer));
    let claim = entry.and_then(|entry| entry.groups_claim.as_deref());
    if let Some(value) = claim.and_then(|claim| subject.properties.get(claim)) {
        stated.groups = texts(value).ok_or_else(|| {
            let what = "the groups of the subject are neither a text nor texts";
            Nothing(Reason::Unauthenticated, what.to_owned())
        })?;
    }
    Ok(stated)
}

/// The principals that a type of subject means; `Some(None)` is all of them.
#[expect(clippy::option_option, reason = "no such type, any type, one type")]
pub(super) fn kind(text: &str) -> Option<Option<PrincipalType>> {
    match text {
        "user" | "human" => Some(Some(PrincipalType::Human)),
        "service" => Some(Some(PrincipalType::Service)),
        "agent" => Some(Some(PrincipalType::Agent)),
        "principal" => Some(None),
        _ => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Adds arguments; no two may have the same name, since it would be open which of them counts.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) -> Result<(), Nothing> {
    for (name, value) in from {
        if into.insert(name.clone(), value.clone()).is_some() {
            return Err(twice(name));
        }
    }
    Ok(())
}

fn twice(name: &str) -> Nothing {
    let what = format!("the argument `{}` is stated twice", shown(name));
    Nothing(Reason::SchemaViolation, what)
}

/// A name of the question, short enough to be told.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
