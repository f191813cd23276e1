//! One survey over the sidecar's own connection, with no caller's headers and no credentials.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response,
    header::{CONTENT_TYPE, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::survey::{Answer, Ask, Events, Found, Limits, Survey, SurveyError, answers};

use crate::{
    arriving::Arriving,
    stdio::{Call, Caller, Children},
    supply::Way,
    upstream::Upstream,
};

/// What the server is told about who asks.
const CLIENT: &str = "latchkey-sidecar";
/// How long all answers may take together.
const LONGEST: Duration = Duration::from_secs(20);
/// How long a server may leave a question of the other era without an answer.
const PROBE: Duration = Duration::from_secs(5);
/// Who asks a child: no caller of the sidecar has this name.
pub(crate) const NOBODY: Caller = [0xff; 32];
/// How much a server may say.
const LIMITS: Limits = Limits::DEFAULT;

/// Why a survey has no result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server cannot be reached, or breaks off.
    Upstream(Reason),
    /// It takes too long.
    TimedOut,
    /// It says something else.
    Survey(SurveyError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(reason) => reason.fmt(f),
            Self::TimedOut => f.write_str("it takes too long"),
            // What a server says of its errors is not for a log.
            Self::Survey(SurveyError::Refused(method, code, _)) => {
                write!(f, "it answers `{method}` with error {code}")
            }
            Self::Survey(error) => write!(f, "it {error}"),
        }
    }
}

/// The way to the server that a bundle names.
pub(crate) struct Road<'a> {
    /// Connections of the surveys' own.
    pub(crate) upstream: &'a Arc<Upstream>,
    /// The children of the sidecar.
    pub(crate) children: &'a Children,
    /// Which of them.
    pub(crate) way: &'a Way,
    /// Who asks, where the server is a child: it has sessions of each caller.
    pub(crate) caller: Caller,
}

impl Road<'_> {
    /// Sends one message, with nothing of any caller.
    async fn ask(&self, ask: &Ask) -> Result<Response<Arriving>, Reason> {
        match self.way {
            Way::Connect(target) => self.upstream.ask(target, ask).await,
            Way::Run(launch) => {
                let server = self.children.server(launch);
                let server = server.ok_or(Reason::UpstreamUnavailable)?;
                let call = Call {
                    method: ask.method.parse().map_err(|_| Reason::Internal)?,
                    headers: &headers(ask).ok_or(Reason::Internal)?,
                    body: Bytes::copy_from_slice(ask.body.as_bytes()),
                    caller: self.caller,
                };
                Ok(server.send(call).await?.map(Arriving::Child))
            }
        }
    }
}

fn headers(ask: &Ask) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        headers.insert(*name, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) status: u16,
    pub(crate) session: Option<String>,
    pub(crate) message: Option<Vec<u8>>,
}

/// Asks for every list; `revision` is what the server spoke the last time.
pub(crate) async fn survey(road: &Road<'_>, revision: &str) -> Result<Found, Fault> {
    let conversation = converse(road, revision);
    let done = tokio::time::timeout(LONGEST, conversation).await;
    done.map_err(|_| Fault::TimedOut)?
}

async fn converse(road: &Road<'_>, revision: &str) -> Result<Found, Fault> {
    let mut survey = Survey::again(CLIENT, LIMITS, revision);
    let mut outcome = Ok(());
    while let Some(ask) = survey.ask() {
        let asked = exchange(road, &ask);
        let held = if ask.probes {
            let answer = tokio::time::timeout(PROBE, asked).await;
            answer.unwrap_or_else(|_| Ok(Held::default()))
        } else {
            asked.await
        };
        outcome = held.and_then(|held| {
            let answer = Answer {
                status: held.status,
                session: held.session.as_deref(),
                message: held.message.as_deref(),
            };
            survey.answer(answer).map_err(Fault::Survey)
        });
        if outcome.is_err() {
            break;
        }
    }
    if let Some(ask) = survey.farewell() {
        // A server that keeps the session all the same loses nothing but its own memory.
        let _ = exchange(road, &ask).await;
    }
    outcome.map(|()| survey.finish())
}

/// Sends one message, and reads what comes back.
pub(crate) async fn exchange(road: &Road<'_>, ask: &Ask) -> Result<Held, Fault> {
    let mut response = road.ask(ask).await.map_err(Fault::Upstream)?;
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let media = header(CONTENT_TYPE.as_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut held = Held {
        status: response.status().as_u16(),
        session: header("mcp-session-id").map(str::to_owned),
        message: None,
    };
    let streamed = media.starts_with("text/event-stream");
    if let Some(id) = ask.id
        && (streamed || media.starts_with("application/json"))
    {
        held.message = read(&mut response, id, streamed).await?;
    }
    Ok(held)
}

/// The answer: the whole body, or the message with this id in an event stream.
async fn read(
    response: &mut Response<Arriving>,
    id: u64,
    streamed: bool,
) -> Result<Option<Vec<u8>>, Fault> {
    let (mut events, mut body, mut read) = (Events::default(), Vec::new(), 0);
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|_| Fault::Upstream(Reason::UpstreamUnavailable))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read += data.len();
        if read > LIMITS.answer {
            return Err(Fault::Survey(SurveyError::TooMuch));
        }
        if !streamed {
            body.extend_from_slice(&data);
            continue;
        }
        let found = events.push(&data).into_iter().find(|it| answers(it, id));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok((!streamed).then_some(body))
}
