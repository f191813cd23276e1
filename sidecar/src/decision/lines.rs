//! The decision endpoint on a Unix socket: a stated call on each line in, its answer on each line
//! out, in the shapes of `latchkey eval`.

use std::{sync::Arc, time::Duration};

use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::call::{Answer, Stated};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::{CONNECTIONS, Point, decide::Question};
use crate::{pins::patience, supply::Active};

/// What the events of this door have as their path.
const DOOR: &str = "/lines";
/// How far a stated time may be from the clock here, in seconds.
const SKEW: i64 = 30;

/// Accepts connections until the sidecar drains.
pub(super) async fn accept(point: Arc<Point>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut draining = point.shared.draining();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let point = Arc::clone(&point);
        tokio::spawn(async move {
            // Whoever breaks off wants no answer.
            let _ = serve(&point, stream).await;
            drop(place);
        });
    }
}

async fn serve(point: &Point, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let most = point.config.max_body as u64;
    let mut number = 0_u64;
    loop {
        let mut line = Vec::new();
        (&mut reader)
            .take(most + 1)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Ok(());
        }
        number += 1;
        let too_long = line.len() as u64 > most;
        if line.trim_ascii().is_empty() && !too_long {
            continue;
        }
        let mut answer = if too_long {
            point.not_asked(
                number,
                None,
                Reason::PayloadTooLarge,
                "the line is too long",
            )
        } else {
            answer(point, &line, number).await
        };
        answer.push('\n');
        writer.write_all(answer.as_bytes()).await?;
        if too_long {
            return Ok(());
        }
    }
}

async fn answer(point: &Point, line: &[u8], number: u64) -> String {
    let stated: Stated = match serde_json::from_slice(line) {
        Ok(stated) => stated,
        Err(error) => {
            let what = format!("this is no call: {error}");
            return point.not_asked(number, None, Reason::MalformedRequest, &what);
        }
    };
    let id = stated.id.clone();
    let asked = |active: &Active, now| question(active, now, stated);
    let decided = point.decide(DOOR, None, patience(), asked);
    let Ok(decided) = decided.await else {
        let what = Reason::AuditUnavailable.title();
        return error(number, id.as_deref(), what);
    };
    // A call that cannot be asked is no decision.
    if decided.facts.reason == Reason::MalformedRequest && decided.facts.server.is_empty() {
        let what = decided.facts.detail.as_deref().unwrap_or_default();
        return error(number, id.as_deref(), what);
    }
    serde_json::to_string(&Answer::of(id.clone(), decided.facts))
        .unwrap_or_else(|_| error(number, id.as_deref(), Reason::Internal.title()))
}

/// The call goes by the clock here: one that states a time may only confirm it.
fn question(active: &Active, now: Time, mut stated: Stated) -> Question {
    let refused = |what: &str| Question::Refused(Reason::MalformedRequest, what.to_owned());
    if !stated.at.is_empty() {
        match Time::parse(&stated.at) {
            Some(at) if at.0.abs_diff(now.0) <= SKEW.unsigned_abs() => {}
            Some(_) => return refused("`at` is not now: leave it out"),
            None => return refused("`at` is no RFC 3339 time: leave it out"),
        }
    }
    let here = active.gate.policy().server_entry(active.server);
    if here.is_none_or(|here| here.name != stated.server) {
        return refused("this sidecar decides for another server");
    }
    stated.at = now.to_string();
    Question::Call(Box::new(stated))
}

impl Point {
    fn not_asked(&self, line: u64, id: Option<&str>, reason: Reason, what: &str) -> String {
        match self.note_refusal(reason, what, hyper::StatusCode::BAD_REQUEST) {
            Ok(()) => error(line, id, what),
            Err(_) => error(line, id, Reason::AuditUnavailable.title()),
        }
    }
}

fn error(line: u64, id: Option<&str>, what: &str) -> String {
    let error: Value = json!({"id": id, "error": {"line": line, "message": what}});
    error.to_string()
}
