//! Streamable HTTP.

use std::time::Duration;

use latchkey_gate::survey::{Answer, Ask, Events, Found, Survey, SurveyError, answers};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};

use super::{CLIENT, LIMITS, McpError, PROBE, unreachable};

/// What came back, held for as long as it is read.
#[derive(Default)]
struct Held {
    status: u16,
    session: Option<String>,
    message: Option<Vec<u8>>,
}

/// Asks the server at this address.
///
/// # Errors
/// It cannot be reached, takes longer than `timeout`, or says something else than MCP does.
pub async fn survey(url: &Url, token: Option<&str>, timeout: Duration) -> Result<Found, McpError> {
    let conversation = converse(url, token);
    let done = tokio::time::timeout(timeout, conversation).await;
    done.map_err(|_| McpError::TimedOut(timeout))?
}

async fn converse(url: &Url, token: Option<&str>) -> Result<Found, McpError> {
    // A redirect would take the token, or what is reviewed, somewhere else.
    let client = Client::builder().redirect(Policy::none()).build();
    let client = client.map_err(|error| unreachable(&error))?;
    let authorization = token.map(|token| {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        value.map(|mut value| {
            value.set_sensitive(true);
            value
        })
    });
    let authorization = authorization.transpose();
    let authorization = authorization
        .map_err(|_| McpError::Unreachable("the token has characters that no header may".into()))?;
    let with = |request: RequestBuilder, headers: Vec<(&'static str, String)>| {
        let request = headers.into_iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        match &authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    };
    let mut survey = Survey::new(CLIENT, LIMITS);
    while let Some(ask) = survey.ask() {
        let request = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json");
        let request = with(request, ask.headers.clone()).body(ask.body.clone());
        let held = if ask.probes {
            let answer = tokio::time::timeout(PROBE, exchange(request, &ask)).await;
            answer.unwrap_or_else(|_| Ok(Held::default()))?
        } else {
            exchange(request, &ask).await?
        };
        survey.answer(Answer {
            status: held.status,
            session: held.session.as_deref(),
            message: held.message.as_deref(),
        })?;
    }
    if let Some(ask) = survey.farewell() {
        // A server that keeps the session all the same loses nothing but its own memory.
        let _ = with(client.delete(url.clone()), ask.headers).send().await;
    }
    Ok(survey.finish())
}

async fn exchange(request: RequestBuilder, ask: &Ask) -> Result<Held, McpError> {
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let media = header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut held = Held {
        status: response.status().as_u16(),
        session: header("mcp-session-id").map(str::to_owned),
        message: None,
    };
    held.message = match ask.id {
        Some(id) if media.starts_with("text/event-stream") => streamed(&mut response, id).await?,
        Some(_) if media.starts_with("application/json") => Some(whole(&mut response).await?),
        None | Some(_) => None,
    };
    Ok(held)
}

async fn whole(response: &mut Response) -> Result<Vec<u8>, McpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > LIMITS.answer {
            return Err(SurveyError::TooMuch.into());
        }
    }
    Ok(body)
}

/// The answer in an event stream, which may hold other messages before it.
async fn streamed(response: &mut Response, id: u64) -> Result<Option<Vec<u8>>, McpError> {
    let (mut events, mut read) = (Events::default(), 0);
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        read += chunk.len();
        if read > LIMITS.answer {
            return Err(SurveyError::TooMuch.into());
        }
        let found = events.push(&chunk).into_iter().find(|it| answers(it, id));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
