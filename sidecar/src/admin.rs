//! What operators see: `/metrics`, `/healthz`, `/readyz`, `/status`; and `POST /poll`.

mod status;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::run::Shared;

/// Serves operators for as long as it is polled.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&shared, &request);
                async { Ok::<_, Infallible>(response) }
            });
            // An operator who breaks off harms nobody.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/poll" if *request.method() == Method::POST => {
            shared.poll_now();
            text(StatusCode::ACCEPTED, "the source is asked now\n".to_owned())
        }
        "/poll" => text(StatusCode::METHOD_NOT_ALLOWED, "send POST\n".to_owned()),
        _ if !reads => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET is served, and POST /poll\n".to_owned(),
        ),
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(shared),
        "/metrics" => metrics(shared),
        "/status" => match status::report(shared, state(shared)) {
            Some(body) => typed(StatusCode::OK, "application/json", body),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "served are /metrics, /healthz, /readyz, /status and POST /poll\n".to_owned(),
        ),
    }
}

fn ready(shared: &Shared) -> Response<Full<Bytes>> {
    let status = if shared.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    text(status, format!("{}\n", state(shared)))
}

fn state(shared: &Shared) -> &'static str {
    if shared.is_ready() {
        "ready"
    } else if shared.is_draining() {
        "draining"
    } else if !shared.audit.is_available() {
        "the audit log cannot be written"
    } else if !shared.overlay_is_known() {
        "the overlay file cannot be read"
    } else {
        let clock = crate::answer::now();
        match shared.active() {
            None => "no verified bundle is in force",
            Some(active) if active.has_ended(shared.freshness.now(clock)) => {
                "the bundle in force is past its end"
            }
            Some(_) => "the freshness pointer is past its end",
        }
    }
}

fn metrics(shared: &Shared) -> Response<Full<Bytes>> {
    let clock = crate::answer::now();
    let freshness = &shared.freshness;
    let (stale, behind) = (freshness.is_stale(clock), freshness.clock_behind(clock));
    shared.metrics.supply.set_time(stale, behind);
    let age = shared.active().map(|active| active.since.elapsed());
    let Ok(body) = shared.metrics.text(age) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, String::new());
    };
    typed(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        body,
    )
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
