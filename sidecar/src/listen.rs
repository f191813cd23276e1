//! Accepts connections and serves their requests, within bounds of number, size and time.

mod address;
mod frames;
mod peer;
mod places;
mod serve;
mod streams;
pub mod tls;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, UnixListener};

pub use address::{Address, Bound};
pub use frames::{Counts, Frames};
pub use peer::Peer;
pub use places::{Place, Places};
pub use serve::connection;
pub use streams::{Paced, Streams};

use crate::{run::Worker, socket::Socket};

/// A bound address in the event loop of a worker.
#[derive(Debug)]
pub enum Listener {
    /// An IP address and a port.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Moves a bound address into the event loop of this thread.
    pub fn new(bound: Bound) -> io::Result<Self> {
        match bound {
            Bound::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Bound::Unix(listener, _) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    /// The next connection, and the address that it comes from.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A delayed segment costs 40 ms; a failure to say so costs nothing else.
                let _ = stream.set_nodelay(true);
                Ok((Socket::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }

    /// Whether a page in a browser on this machine could reach it, and nobody else.
    fn is_on_loopback(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback()),
            Self::Unix(_) => false,
        }
    }
}

/// Accepts connections until the sidecar drains.
pub async fn accept(worker: Arc<Worker>, listener: Listener) {
    let mut draining = worker.shared.draining();
    let on_loopback = listener.is_on_loopback();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                let peer = Peer {
                    address,
                    on_loopback,
                    client_certificate: None,
                };
                take(&worker, socket, peer);
            }
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets some connections end.
                tracing::warn!(target: "listen", %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn take(worker: &Arc<Worker>, socket: Socket, peer: Peer) {
    let Some(place) = Place::take(&worker.shared, peer.address) else {
        worker.shared.metrics.connections_refused.inc();
        return;
    };
    let worker = Arc::clone(worker);
    tokio::spawn(async move {
        connection(&worker, socket, peer).await;
        drop(place);
    });
}
