//! Where enforcement points ask, bound, and their connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{CONNECTIONS, PATIENCE, Point, lines};
use crate::{
    answer::now,
    config::DecisionConfig,
    handover::{Inherited, Sockets, point_label as label},
    listen::{Address, Bound, Listener, tls},
    socket::{Channel, Socket},
};

/// How often a connection is looked at: whether its certificates are still good.
const LOOKS: Duration = Duration::from_secs(1);

/// The listeners of a decision point, bound.
#[derive(Debug)]
pub struct Listeners {
    calls: Option<Bound>,
    lines: Option<Bound>,
}

impl Listeners {
    /// Takes what was handed over, and binds what else the settings name. The error names the key and
    /// says what to do.
    pub fn bind(config: &DecisionConfig, inherited: &mut Inherited) -> Result<Self, String> {
        let calls = config.address.as_ref().map(|address| {
            inherited.bind(&label(address), address, 0o600).map_err(|error| {
                format!(
                    "[decision] address = \"{address}\": {error}: choose a free address of this \
                     machine, or a path in a folder that this user may write to"
                )
            })
        });
        let lines =
            config.lines.as_ref().map(|path| {
                let address = Address::Unix(path.clone());
                inherited.bind(&label(&address), &address, 0o600).map_err(|error| {
                format!(
                    "[decision] lines: {}: {error}: name a path in a folder that this user may \
                     write to",
                    path.display()
                )
            })
            });
        Ok(Self {
            calls: calls.transpose()?,
            lines: lines.transpose()?,
        })
    }

    /// Where enforcement points are served over TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.calls.as_ref()?.address().ok()? {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) => None,
        }
    }

    /// The sockets for the process after this one.
    pub fn sockets(&self, config: &DecisionConfig) -> io::Result<Sockets> {
        let mut sockets = Sockets::new();
        if let (Some(bound), Some(address)) = (&self.calls, &config.address) {
            sockets.push((label(address), bound.descriptor()?));
        }
        if let (Some(bound), Some(path)) = (&self.lines, &config.lines) {
            sockets.push((label(&Address::Unix(path.clone())), bound.descriptor()?));
        }
        Ok(sockets)
    }
}

/// Serves until the sidecar drains, and then what is open.
pub(super) async fn serve(point: Arc<Point>, listeners: Listeners) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    if let Some(Ok(Listener::Unix(listener))) = listeners.lines.map(Listener::new) {
        tokio::spawn(lines::accept(Arc::clone(&point), listener));
    }
    match listeners.calls.map(Listener::new) {
        None => {
            let mut draining = point.shared.draining();
            let _ = draining.wait_for(|draining| *draining).await;
        }
        Some(Err(_)) => return,
        Some(Ok(listener)) => accept(&point, &listener, &places).await,
    }
    // Each connection ends with the question that it is at.
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(PATIENCE, places.acquire_many(all)).await;
}

/// Accepts connections until the sidecar drains.
async fn accept(point: &Arc<Point>, listener: &Listener, places: &Arc<Semaphore>) {
    let mut draining = point.shared.draining();
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(connection(Arc::clone(point), socket, place));
    }
}

/// Until when the certificates of a connection are good.
struct Good {
    generation: u64,
    client: Option<latchkey_engine::time::Time>,
}

impl Good {
    fn is_over(&self, point: &Point) -> bool {
        let certificates = point.shared.point_certificates.as_ref();
        certificates.is_some_and(|it| it.is_superseded(self.generation))
            || self.client.is_some_and(|not_after| not_after <= now())
    }
}

async fn connection(point: Arc<Point>, socket: Socket, place: OwnedSemaphorePermit) {
    let shaken = timeout(PATIENCE, shake_hands(&point, socket)).await;
    match shaken {
        Ok(Ok((channel, good))) => answer(&point, channel, good).await,
        Ok(Err(error)) => {
            tracing::debug!(target: "decision", %error, "a handshake failed");
            point.shared.metrics.handshakes_failed.inc();
        }
        Err(_) => {
            point.shared.metrics.handshakes_failed.inc();
        }
    }
    drop(place);
}

async fn shake_hands(point: &Point, socket: Socket) -> io::Result<(Channel, Option<Good>)> {
    let Some(certificates) = &point.shared.point_certificates else {
        return Ok((Channel::Plain(socket), None));
    };
    let loaded = certificates.loaded();
    let stream = loaded.acceptor().accept(socket).await?;
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let shown = leaf.map(tls::client_certificate).transpose();
    let shown = shown.map_err(io::Error::other)?;
    let good = Good {
        generation: loaded.generation,
        client: shown.map(|it| it.not_after),
    };
    Ok((Channel::Tls(Box::new(stream.into())), Some(good)))
}

async fn answer(point: &Arc<Point>, channel: Channel, good: Option<Good>) {
    let mut draining = point.shared.draining();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let point = Arc::clone(point);
        async move { Ok::<_, std::convert::Infallible>(point.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10);
    let connection = builder.serve_connection(TokioIo::new(channel), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = draining.wait_for(|draining| *draining) => break,
            () = tokio::time::sleep(LOOKS), if good.is_some() => {
                if good.as_ref().is_some_and(|good| good.is_over(point)) {
                    break;
                }
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    // An enforcement point that breaks off harms nobody.
    let _ = connection.await;
}
