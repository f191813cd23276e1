//! Search: which subjects, resources or actions are allowed, exactly.
//!
//! A policy knows its principals, its surfaces and their operations, so each candidate is decided
//! as if it had been asked about. Ids of resources are known where the policy lists them.

use hyper::StatusCode;
use latchkey_engine::{
    decision::Visibility,
    id::SurfaceId,
    index::{ScopeSource, Surface, SurfaceKind},
    reason::Reason,
    time::Time,
};
use latchkey_gate::call;
use serde_json::{Value, json};

use super::{
    Point,
    authzen::Answered,
    decide::{Question, close},
    entities::{Action, Asked, Context, Entity, Unreadable, kind},
};
use crate::{audit::AuditUnavailable, pins, supply::Active};

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Subjects,
    Resources,
    Actions,
}

/// How many candidates one page decides at most, so that no search holds up the decisions.
const MOST_DECIDED: usize = 5_000;
/// After how many candidates others get their turn.
const TURN: usize = 64;

/// Answers a search with one page, and one event.
pub(super) async fn answer(
    point: &Point,
    wanted: For,
    door: &str,
    body: &Value,
    traceparent: Option<&str>,
) -> Answered {
    let asked = match read(wanted, body) {
        Ok(asked) => asked,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    let mut exchange = point.open(traceparent);
    let Some((active, now)) = point.policy() else {
        exchange.facts.reason = Reason::PolicyUnavailable;
        door.clone_into(&mut exchange.facts.path);
        close(exchange, None)?;
        return Ok(Ok(
            json!({"results": [], "context": {"reason": "policy_unavailable"}}),
        ));
    };
    exchange.under(&active);
    let page = match Page::read(point, &active, door, body) {
        Ok(page) => page,
        Err(Unreadable(what)) => {
            exchange.facts.detail = Some(what.clone());
            exchange.status = StatusCode::BAD_REQUEST.as_u16();
            door.clone_into(&mut exchange.facts.path);
            let _ = exchange.close(latchkey_gate::event::EventOutcome::ClientError);
            return Ok(Err(Unreadable(what)));
        }
    };
    let search = Search {
        point,
        active: &active,
        now,
        asked,
        wanted,
    };
    let (results, next) = search.page(&page).await;
    exchange.facts.reason = Reason::Ok;
    door.clone_into(&mut exchange.facts.path);
    "search".clone_into(&mut exchange.facts.method);
    close(exchange, None)?;
    let token = next.map_or_else(String::new, |next| page.token(point, next));
    let page = json!({"next_token": token, "count": results.len()});
    Ok(Ok(json!({"page": page, "results": results})))
}

fn read(wanted: For, body: &Value) -> Result<Asked, Unreadable> {
    Ok(Asked {
        subject: Entity::read(body, "subject", wanted == For::Subjects)?,
        action: if wanted == For::Actions {
            Action::default()
        } else {
            Action::read(body)?
        },
        resource: Entity::read(body, "resource", wanted == For::Resources)?,
        context: Context::read(body)?,
    })
}

/// Which part of the results is wanted.
struct Page {
    /// The first candidate.
    from: usize,
    limit: usize,
    /// What the token is bound to: the door, the policy and the question.
    bound: String,
}

impl Page {
    fn read(point: &Point, active: &Active, door: &str, body: &Value) -> Result<Self, Unreadable> {
        let fault = |what: &str| Err(Unreadable(what.to_owned()));
        let mut question = body.clone();
        let page = question.as_object_mut().and_then(|it| it.remove("page"));
        let bound = format!("{door}\n{}\n{question}", active.gate.digest());
        let most = point.config.max_page;
        let page = match page {
            None => Value::Object(serde_json::Map::new()),
            Some(page) if page.is_object() => page,
            Some(_) => return fault("`page` is not an object"),
        };
        let limit = match page.get("limit") {
            None => None,
            Some(limit) => match limit.as_u64() {
                Some(limit) => Some(usize::try_from(limit).unwrap_or(most).min(most)),
                None => return fault("`page.limit` is no whole number"),
            },
        };
        let token = match page.get("token") {
            None => None,
            Some(Value::String(token)) if token.is_empty() => None,
            Some(Value::String(token)) => Some(token),
            Some(_) => return fault("`page.token` is not a text"),
        };
        let Some(token) = token else {
            return Ok(Self {
                from: 0,
                limit: limit.unwrap_or(most),
                bound,
            });
        };
        let mut parts = token.splitn(3, '.');
        let mut number = || parts.next().and_then(|it| it.parse::<usize>().ok());
        let (Some(from), Some(first_limit)) = (number(), number()) else {
            return fault("`page.token` is none of ours");
        };
        let page = Self {
            from,
            limit: first_limit,
            bound,
        };
        if page.token(point, from) != *token || limit.is_some_and(|it| it != first_limit) {
            return fault(
                "`page.token` belongs to another search, or the policy has changed: start again",
            );
        }
        Ok(page)
    }

    /// The token that goes on at a candidate: nobody else can make one.
    fn token(&self, point: &Point, next: usize) -> String {
        let Self { limit, bound, .. } = self;
        let seal = point.seal.digest(&format!("{next}.{limit}\n{bound}"));
        format!("{next}.{limit}.{seal}")
    }
}

struct Search<'a> {
    point: &'a Point,
    active: &'a Active,
    now: Time,
    asked: Asked,
    wanted: For,
}

impl Search<'_> {
    /// One page of results, and the candidate that the next one starts with.
    async fn page(&self, page: &Page) -> (Vec<Value>, Option<usize>) {
        let candidates = self.candidates();
        let mut results = Vec::new();
        let mut rest = candidates.iter().enumerate().skip(page.from);
        for (decided, (at, candidate)) in rest.by_ref().enumerate() {
            if results.len() >= page.limit.max(1) || decided >= MOST_DECIDED {
                return (results, Some(at));
            }
            if decided % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            results.extend(self.result(candidate));
        }
        (results, None)
    }

    fn candidates(&self) -> Vec<String> {
        match self.wanted {
            For::Subjects => self.subjects(),
            For::Resources => self.resources(),
            For::Actions => self.actions(),
        }
    }

    /// Every declared principal of the type, as the type names it.
    fn subjects(&self) -> Vec<String> {
        let policy = self.active.gate.policy();
        let principals = &policy.index().principals;
        if let Some(issuer) = policy.issuer(&self.asked.subject.kind) {
            let identities = principals.identities.iter();
            let subjects = identities.zip(principals.identity_subjects.iter());
            return subjects
                .filter(|((own, _), _)| *own == issuer)
                .map(|(_, subject)| subject.to_owned())
                .collect();
        }
        let Some(kind) = kind(&self.asked.subject.kind) else {
            return Vec::new();
        };
        let principals = principals.names.iter().zip(&principals.types);
        principals
            .filter(|(_, own)| kind.is_none_or(|kind| kind == **own))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Every surface of the kind, or every id that the policy knows of the type.
    fn resources(&self) -> Vec<String> {
        let policy = self.active.gate.policy();
        if !self.asked.resource.is_kind() {
            let surface = policy.surface(self.active.server, &self.asked.resource.kind);
            let entry = surface.and_then(|surface| policy.surface_entry(surface));
            return entry.map_or_else(Vec::new, |entry| self.ids(entry));
        }
        let surfaces = policy.surfaces(self.active.server);
        surfaces
            .filter_map(|surface| named(policy.surface_entry(surface)?, &self.asked))
            .collect()
    }

    /// The values that the argument `id` can have.
    fn ids(&self, entry: &Surface) -> Vec<String> {
        let is_id = |path: &[String]| matches!(path, [name] if name == "id");
        let fact = entry.arguments.iter().find(|it| is_id(&it.argument));
        if let Some(fact) = fact.filter(|fact| !fact.only.is_empty()) {
            return fact.only.clone();
        }
        let schemas = &self.active.gate.policy().index().schemas;
        let schema = entry.schema.and_then(|at| schemas.get(at.index()));
        let schema = schema.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let listed = schema
            .as_ref()
            .and_then(|it| it.pointer("/properties/id/enum"));
        if let Some(Value::Array(listed)) = listed {
            let texts = listed.iter().filter_map(Value::as_str);
            return texts.map(str::to_owned).collect();
        }
        match &entry.scope {
            ScopeSource::Map {
                argument, exact, ..
            } if is_id(argument) => exact.texts().iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// What can be done to the resource at all.
    fn actions(&self) -> Vec<String> {
        let policy = self.active.gate.policy();
        match self.asked.resource.kind.as_str() {
            "tool" => return vec!["call".to_owned()],
            "prompt" => return vec!["get".to_owned()],
            "resource" => return vec!["read".to_owned()],
            "route" => {
                let surfaces = policy.surfaces(self.active.server);
                let mut methods: Vec<String> = surfaces
                    .filter_map(|surface| match &policy.surface_entry(surface)?.kind {
                        SurfaceKind::Route { method, .. } => Some(method.clone()),
                        _ => None,
                    })
                    .collect();
                methods.sort_unstable();
                methods.dedup();
                return methods;
            }
            _ => {}
        }
        let surface = policy.surface(self.active.server, &self.asked.resource.kind);
        let entry = surface.and_then(|surface| policy.surface_entry(surface));
        match entry.map(|entry| &entry.operations) {
            None => Vec::new(),
            Some(None) => vec!["call".to_owned()],
            Some(Some(operations)) => {
                let values = operations.values.iter();
                values.map(|(name, _)| name.clone()).collect()
            }
        }
    }

    /// A candidate as a result, if it is allowed.
    fn result(&self, candidate: &str) -> Option<Value> {
        let mut asked = self.asked.clone();
        match self.wanted {
            For::Subjects => asked.subject.id = Some(candidate.to_owned()),
            For::Resources => {
                asked.resource.id = Some(candidate.to_owned());
                if asked.resource.is_kind() && asked.resource.properties.is_empty() {
                    return self.reachable(&asked, candidate);
                }
            }
            For::Actions => candidate.clone_into(&mut asked.action.name),
        }
        let question = asked.question(self.active, self.now);
        let (facts, _) = self.point.weigh(self.active, self.now, &question);
        let allowed = facts.is_allow() && self.is_as_reviewed(facts.surface.as_deref());
        allowed.then(|| match self.wanted {
            For::Subjects => json!({"type": asked.subject.kind, "id": candidate}),
            For::Resources => json!({"type": asked.resource.kind, "id": candidate}),
            For::Actions => json!({"name": candidate}),
        })
    }

    /// A surface that the subject may call with some arguments, and whether with all.
    fn reachable(&self, asked: &Asked, candidate: &str) -> Option<Value> {
        let (Question::Call(stated) | Question::Template(_, stated)) =
            asked.question(self.active, self.now)
        else {
            return None;
        };
        let identity = call::identity(&self.active.gate, &stated).ok()?.ok()?;
        let surface = self.surface(candidate)?;
        let name = self.active.gate.policy().surface_name(surface);
        if !self.is_as_reviewed(Some(&name)) {
            return None;
        }
        let seen = self
            .point
            .visibility(self.active, self.now, surface, identity.as_ref());
        let always = match seen {
            Visibility::Never => return None,
            Visibility::Maybe => "some",
            Visibility::Always => "any",
        };
        let kind = &asked.resource.kind;
        Some(json!({"type": kind, "id": candidate, "properties": {"arguments": always}}))
    }

    /// Whether no pin holds back the calls of a surface.
    fn is_as_reviewed(&self, surface: Option<&str>) -> bool {
        pins::check(&self.point.shared, self.active, surface).is_ok()
    }

    fn surface(&self, candidate: &str) -> Option<SurfaceId> {
        let policy = self.active.gate.policy();
        policy.surfaces(self.active.server).find(|surface| {
            let entry = policy.surface_entry(*surface);
            entry.and_then(|entry| named(entry, &self.asked)).as_deref() == Some(candidate)
        })
    }
}

/// How a surface is called as a resource of the kind that is searched for.
fn named(entry: &Surface, asked: &Asked) -> Option<String> {
    match (&entry.kind, asked.resource.kind.as_str()) {
        (SurfaceKind::Tool, "tool") | (SurfaceKind::Prompt, "prompt") => Some(entry.name.clone()),
        (SurfaceKind::Resource { uri }, "resource") => Some(uri.clone()),
        (SurfaceKind::Route { method, path }, "route") if *method == asked.action.name => {
            Some(path.clone())
        }
        _ => None,
    }
}

impl Point {
    /// Records that the metadata were read.
    pub(super) fn note_metadata(&self) -> Result<(), AuditUnavailable> {
        let mut exchange = self.open(None);
        exchange.facts.reason = Reason::Ok;
        "GET".clone_into(&mut exchange.facts.method);
        "/.well-known/authzen-configuration".clone_into(&mut exchange.facts.path);
        exchange.status = 200;
        exchange.close(latchkey_gate::event::EventOutcome::Success)
    }
}
