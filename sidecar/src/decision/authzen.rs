//! `AuthZEN` Authorization API 1.0: evaluation, evaluations, search and metadata.

use std::collections::BTreeMap;

use hyper::{HeaderMap, Response, StatusCode, header};
use latchkey_engine::reason::Reason;
use latchkey_gate::json;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Body, Point,
    decide::Decided,
    entities::{Action, Asked, Context, Entity, Unreadable},
    fault, search, typed, unrecorded,
};
use crate::{audit::AuditUnavailable, pins::patience, supply::Active};

/// Where questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Evaluation,
    Evaluations,
    Search(search::For),
}

/// What the metadata is served under; the path of the URL is appended.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

impl Endpoint {
    const ALL: [(&'static str, &'static str, Self); 5] = [
        (
            "access_evaluation_endpoint",
            "/access/v1/evaluation",
            Self::Evaluation,
        ),
        (
            "access_evaluations_endpoint",
            "/access/v1/evaluations",
            Self::Evaluations,
        ),
        (
            "search_subject_endpoint",
            "/access/v1/search/subject",
            Self::Search(search::For::Subjects),
        ),
        (
            "search_resource_endpoint",
            "/access/v1/search/resource",
            Self::Search(search::For::Resources),
        ),
        (
            "search_action_endpoint",
            "/access/v1/search/action",
            Self::Search(search::For::Actions),
        ),
    ];

    /// The endpoint with this path.
    pub(super) fn at(path: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, own, _)| *own == path);
        found.map(|(_, _, endpoint)| *endpoint)
    }

    pub(super) fn path(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, _, endpoint)| *endpoint == self);
        found.map_or("", |(_, path, _)| path)
    }
}

/// The metadata of the decision point, when this is where it is served.
pub(super) fn metadata(point: &Point, path: &str) -> Option<Response<Body>> {
    let rest = path.strip_prefix(WELL_KNOWN)?;
    let Some(url) = &point.config.url else {
        let what = "[decision] url is not set, so this decision point has no metadata";
        return Some(point.refuse(StatusCode::NOT_FOUND, Reason::SurfaceUnmatched, what));
    };
    let url = url.trim_end_matches('/').to_owned();
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let own = authority
        .find('/')
        .and_then(|at| authority.get(at..))
        .unwrap_or_default();
    if rest != own {
        return None;
    }
    let mut document = BTreeMap::from([("policy_decision_point".to_owned(), url.clone())]);
    for (name, path, _) in Endpoint::ALL {
        document.insert(name.to_owned(), [&url, path].concat());
    }
    let answer = typed(StatusCode::OK, &json!(document));
    Some(match point.note_metadata() {
        Ok(()) => answer,
        Err(_) => unrecorded(),
    })
}

/// Answers a question.
pub(super) async fn answer(
    point: &Point,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    let asked = match read(headers, body) {
        Ok(asked) => asked,
        Err(Unreadable(what)) => return unreadable(point, &what),
    };
    let traceparent = headers.get("traceparent").and_then(|it| it.to_str().ok());
    let answered = match endpoint {
        Endpoint::Evaluation => one(point, endpoint, &asked, traceparent).await,
        Endpoint::Evaluations => many(point, endpoint, &asked, traceparent).await,
        Endpoint::Search(wanted) => {
            search::answer(point, wanted, endpoint.path(), &asked, traceparent).await
        }
    };
    match answered {
        Ok(Ok(answer)) => typed(StatusCode::OK, &answer),
        Ok(Err(Unreadable(what))) => unreadable(point, &what),
        Err(AuditUnavailable) => unrecorded(),
    }
}

fn unreadable(point: &Point, what: &str) -> Response<Body> {
    match point.note_refusal(Reason::MalformedRequest, what, StatusCode::BAD_REQUEST) {
        Ok(()) => fault(StatusCode::BAD_REQUEST, what),
        Err(_) => unrecorded(),
    }
}

/// A body that two readers read alike.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Value, Unreadable> {
    let fault = |what: &str| Unreadable(what.to_owned());
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let media = media.and_then(|media| media.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(fault("`Content-Type` is not `application/json`"));
    }
    let document = json::parse(body)
        .map_err(|error| Unreadable(format!("the body is not one strict JSON text: {error}")))?;
    let value = json::to_value(document.root())
        .map_err(|error| Unreadable(format!("the body is not one strict JSON text: {error}")))?;
    if !value.is_object() {
        return Err(fault("the body is not an object"));
    }
    Ok(value)
}

/// An answer, a question that cannot be read, or no event.
pub(super) type Answered = Result<Result<Value, Unreadable>, AuditUnavailable>;

async fn one(point: &Point, endpoint: Endpoint, asked: &Value, trace: Option<&str>) -> Answered {
    match whole(asked) {
        Ok(asked) => {
            let decided = decided(point, endpoint, &asked, trace, patience());
            Ok(Ok(answer_of(&decided.await?)))
        }
        Err(unreadable) => Ok(Err(unreadable)),
    }
}

fn whole(asked: &Value) -> Result<Asked, Unreadable> {
    Ok(Asked {
        subject: Entity::read(asked, "subject", false)?,
        action: Action::read(asked)?,
        resource: Entity::read(asked, "resource", false)?,
        context: Context::read(asked)?,
    })
}

async fn decided(
    point: &Point,
    endpoint: Endpoint,
    asked: &Asked,
    trace: Option<&str>,
    until: Instant,
) -> Result<Decided, AuditUnavailable> {
    let question = |active: &Active, now| asked.question(active, now);
    let decided = point.decide(endpoint.path(), trace, until, question);
    decided.await
}

/// What an enforcement point is told. It is trusted with the reason; its caller need not be.
fn answer_of(decided: &Decided) -> Value {
    let facts = &decided.facts;
    let mut context = json!({"reason": facts.reason.as_str(), "event": decided.event});
    if let Some(context) = context.as_object_mut() {
        let texts = [
            ("rule", &facts.rule),
            ("message", &facts.message),
            ("place", &facts.place),
            ("detail", &facts.detail),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                context.insert(name.to_owned(), text.as_str().into());
            }
        }
        if let Some(seconds) = decided.retry_after {
            context.insert("retry_after".to_owned(), seconds.into());
        }
    }
    json!({"decision": decided.is_allow(), "context": context})
}

/// When a batch ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

fn semantic(asked: &Value) -> Result<Semantic, Unreadable> {
    let options = match asked.get("options") {
        None => return Ok(Semantic::ExecuteAll),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(Unreadable("`options` is not an object".to_owned())),
    };
    match options.get("evaluations_semantic") {
        None => Ok(Semantic::ExecuteAll),
        Some(Value::String(text)) if text == "execute_all" => Ok(Semantic::ExecuteAll),
        Some(Value::String(text)) if text == "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
        Some(Value::String(text)) if text == "permit_on_first_permit" => {
            Ok(Semantic::PermitOnFirstPermit)
        }
        Some(_) => Err(Unreadable(
            "`options.evaluations_semantic` is `execute_all`, `deny_on_first_deny` or \
             `permit_on_first_permit`"
                .to_owned(),
        )),
    }
}

async fn many(point: &Point, endpoint: Endpoint, asked: &Value, trace: Option<&str>) -> Answered {
    let items = match asked.get("evaluations") {
        Some(Value::Array(items)) if !items.is_empty() => items,
        None | Some(Value::Array(_)) => return one(point, endpoint, asked, trace).await,
        Some(_) => return Ok(Err(Unreadable("`evaluations` is not an array".to_owned()))),
    };
    let most = point.config.max_evaluations;
    if items.len() > most {
        let what = format!("`evaluations` has more than {most} items: ask in parts");
        return Ok(Err(Unreadable(what)));
    }
    let semantic = match semantic(asked) {
        Ok(semantic) => semantic,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    let mut answers = Vec::with_capacity(items.len());
    let until = patience();
    for item in items {
        let answer = match whole(&inherited(asked, item)) {
            Ok(asked) => answer_of(&decided(point, endpoint, &asked, trace, until).await?),
            Err(Unreadable(what)) => {
                point.note_refusal(Reason::MalformedRequest, &what, StatusCode::OK)?;
                let error = json!({"status": 400, "message": what});
                json!({"decision": false, "context": {"error": error}})
            }
        };
        let allowed = answer.get("decision") == Some(&Value::Bool(true));
        answers.push(answer);
        if semantic == Semantic::DenyOnFirstDeny && !allowed
            || semantic == Semantic::PermitOnFirstPermit && allowed
        {
            break;
        }
    }
    Ok(Ok(json!({"evaluations": answers})))
}

/// An item with what it inherits: whole entities, never parts of them.
fn inherited(asked: &Value, item: &Value) -> Value {
    let Value::Object(item) = item else {
        return Value::Null;
    };
    let mut item = item.clone();
    for key in ["subject", "action", "resource", "context"] {
        if let (false, Some(value)) = (item.contains_key(key), asked.get(key)) {
            item.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(item)
}
