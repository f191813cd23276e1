//! The bodies of refusals.

use serde::Serialize;

use latchkey_engine::reason::Reason;

use super::{Exchange, Told, Unknown, table};

/// What a program reads; the same members in both forms.
#[derive(Serialize)]
struct Data<'a> {
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Serialize)]
struct Rpc<'a> {
    jsonrpc: &'static str,
    id: Option<&'a serde_json::value::RawValue>,
    error: RpcError<'a>,
}

#[derive(Serialize)]
struct RpcError<'a> {
    code: i32,
    message: String,
    data: Data<'a>,
}

/// An RFC 9457 problem.
pub(super) fn problem(told: &Told, status: u16, exchange: &Exchange<'_>) -> Vec<u8> {
    json(&Problem {
        r#type: format!("urn:latchkey:{}", told.reason),
        title: told.reason.title(),
        status,
        data: data(told, exchange),
    })
}

/// A JSON-RPC error.
pub(super) fn rpc(
    told: &Told,
    id: Option<&str>,
    unknown: &Unknown,
    exchange: &Exchange<'_>,
) -> Vec<u8> {
    let id = id.and_then(|id| serde_json::from_str(id).ok());
    json(&Rpc {
        jsonrpc: "2.0",
        id,
        error: RpcError {
            code: code(told, unknown),
            message: message(told, unknown),
            data: data(told, exchange),
        },
    })
}

fn code(told: &Told, unknown: &Unknown) -> i32 {
    match (told.fault, told.reason, unknown) {
        (Some(fault), ..) => fault.rpc_code(),
        (None, Reason::SurfaceUnmatched, Unknown::Method) => -32601,
        (None, reason, _) => table::form(reason).rpc,
    }
}

fn message(told: &Told, unknown: &Unknown) -> String {
    if told.reason == Reason::SurfaceUnmatched {
        return match unknown {
            Unknown::Method => "Method not found".to_owned(),
            Unknown::Tool(Some(name)) => format!("Unknown tool: {name}"),
            Unknown::Tool(None) => "Unknown tool".to_owned(),
            Unknown::Prompt(Some(name)) => format!("Unknown prompt: {name}"),
            Unknown::Prompt(None) => "Unknown prompt".to_owned(),
            Unknown::Resource => "Resource not found".to_owned(),
            Unknown::Task => "Failed to retrieve task: Task not found".to_owned(),
        };
    }
    let title = told.reason.title();
    match &told.message {
        Some(message) => format!("{}: {message}", told.reason),
        None => format!("{}: {title}", told.reason),
    }
}

fn data<'a>(told: &'a Told, exchange: &Exchange<'a>) -> Data<'a> {
    Data {
        code: told.reason.as_str(),
        request_id: exchange.request_id,
        message: told.message.as_deref(),
        rule: told.rule.as_deref(),
        place: told.place.as_deref(),
        retry_after: exchange.retry_after,
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // These types have text keys only, so writing them cannot fail; an empty body refuses too.
    serde_json::to_vec(value).unwrap_or_default()
}
