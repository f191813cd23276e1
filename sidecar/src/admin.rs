//! What operators see: `/metrics`, `/healthz`, `/readyz`, `/status`.

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
use serde::Serialize;
use tokio::net::TcpListener;

use crate::run::Shared;

/// What `/status` says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// `ready`, or why calls are refused.
    state: &'static str,
    server: &'a str,
    sidecar_id: &'a str,
    sidecar_version: &'static str,
    bundle: Option<BundleReport>,
    last_error: Option<&'a str>,
    overlay_error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct BundleReport {
    digest: String,
    version: u64,
    signed: bool,
    not_after: Option<String>,
    commit: Option<String>,
    age_seconds: u64,
    source: &'static str,
    generation: u64,
}

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
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET is served\n".to_owned(),
        );
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(shared),
        "/metrics" => metrics(shared),
        "/status" => status(shared),
        _ => text(
            StatusCode::NOT_FOUND,
            "served are /metrics, /healthz, /readyz and /status\n".to_owned(),
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
        "no verified bundle is in force"
    }
}

fn metrics(shared: &Shared) -> Response<Full<Bytes>> {
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

fn status(shared: &Shared) -> Response<Full<Bytes>> {
    let status = shared.status.load();
    let bundle = shared.active().map(|active| BundleReport {
        digest: active.gate.digest().to_owned(),
        version: active.release.version,
        signed: active.release.signed,
        not_after: active.release.not_after.map(|time| time.to_string()),
        commit: active.release.commit.clone(),
        age_seconds: active.since.elapsed().as_secs(),
        source: active.source.as_str(),
        generation: active.generation,
    });
    let report = Report {
        state: state(shared),
        server: &shared.config.bundle.server,
        sidecar_id: shared.audit.sidecar(),
        sidecar_version: env!("CARGO_PKG_VERSION"),
        bundle,
        last_error: status.bundle_error.as_deref(),
        overlay_error: status.overlay_error.as_deref(),
    };
    match serde_json::to_string_pretty(&report) {
        Ok(body) => typed(StatusCode::OK, "application/json", body + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    }
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
