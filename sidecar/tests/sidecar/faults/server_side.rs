//! Faults of the tool server.

use super::{Manner, NOT_WHOLE, Row, Scene};

const GONE: (&str, &str) = (
    "200 upstream_unavailable",
    "upstream_unavailable upstream_error",
);
/// What has to be filtered and cannot be is answered as plain HTTP.
const HIDDEN: (&str, &str) = (
    "502 upstream_unavailable",
    "upstream_unavailable upstream_error",
);
const BROKEN: (&str, &str) = (NOT_WHOLE, "ok upstream_error");

pub(super) const ROWS: &[Row] = &[
    Row {
        fault: "the server resets the connection",
        comes: &[GONE],
        inject: |scene| scene.with(Manner::Reset, Scene::call),
    },
    Row {
        fault: "the server resets the connection in its answer",
        comes: &[BROKEN],
        inject: |scene| scene.with(Manner::ResetLater, Scene::call),
    },
    Row {
        fault: "the server closes its half without an answer",
        comes: &[GONE],
        inject: |scene| scene.with(Manner::HalfClose, Scene::call),
    },
    Row {
        fault: "the server closes its half in its answer",
        comes: &[BROKEN],
        inject: |scene| scene.with(Manner::HalfCloseLater, Scene::call),
    },
    Row {
        fault: "the server closes a connection that it promised to keep",
        comes: &[("200 ok", "ok success")],
        inject: |scene| {
            scene.upstream.behave(Manner::GoodOnce);
            vec![scene.call(), scene.call()]
        },
    },
    Row {
        fault: "the server hangs",
        comes: &[("200 upstream_timeout", "upstream_timeout timeout")],
        inject: |scene| scene.with(Manner::Hang, Scene::call),
    },
    Row {
        fault: "the server begins its answer, and stops",
        comes: &[(NOT_WHOLE, "ok timeout")],
        inject: |scene| scene.with(Manner::Stall, Scene::call),
    },
    Row {
        fault: "the server begins a list, and stops",
        comes: &[("504 upstream_timeout", "upstream_timeout timeout")],
        inject: |scene| scene.with(Manner::Stall, Scene::list),
    },
    Row {
        fault: "the server sends a list that is too large",
        comes: &[HIDDEN],
        inject: |scene| scene.with(Manner::Huge, Scene::list),
    },
    Row {
        fault: "the server sends a list that has no end",
        comes: &[HIDDEN],
        inject: |scene| scene.with(Manner::Endless, Scene::list),
    },
    Row {
        fault: "the server sends a list that is not JSON",
        comes: &[HIDDEN],
        inject: |scene| scene.with(Manner::Say(NOT_JSON), Scene::list),
    },
    Row {
        fault: "the server sends a result that is not JSON: nothing of it is read",
        comes: &[("200 not JSON", "ok success")],
        inject: |scene| scene.with(Manner::Say(NOT_JSON), Scene::call),
    },
    Row {
        fault: "the server sends an event that is not JSON",
        comes: &[BROKEN],
        inject: |scene| scene.with(Manner::Say(NO_EVENT), Scene::call),
    },
    Row {
        fault: "the server sends an event that breaks off",
        comes: &[BROKEN],
        inject: |scene| scene.with(Manner::Say(HALF_EVENT), Scene::call),
    },
    Row {
        fault: "the server answers with two lengths",
        comes: &[GONE],
        inject: |scene| scene.with(Manner::Say(LENGTHS), Scene::call),
    },
    Row {
        fault: "the server answers with something that is not HTTP",
        comes: &[GONE],
        inject: |scene| scene.with(Manner::Say("SSH-2.0-server\r\n"), Scene::call),
    },
];

const NOT_JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 12\r\nConnection: close\r\n\r\n{\"result\": {";
const NO_EVENT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n16\r\ndata: {\"jsonrpc\":oops\n\r\n0\r\n\r\n";
const HALF_EVENT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n10\r\ndata: {\"jsonrpc\":";
const LENGTHS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}";
