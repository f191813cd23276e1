//! Accepts connections and serves their requests, within bounds of number, size and time.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use latchkey_engine::reason::Reason;
use latchkey_gate::event::EventOutcome;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval},
};

use crate::{
    exchange::Exchange,
    meter::{Meter, Metered, Slow, WatchDog},
    pipeline,
    run::Worker,
};

/// Accepts connections until the sidecar drains.
pub async fn accept(worker: Arc<Worker>, listener: TcpListener) {
    let mut draining = worker.shared.draining();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(&worker, stream, peer),
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets some connections end.
                tracing::warn!(target: "listen", %error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

fn take(worker: &Arc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let Some(place) = worker.shared.place() else {
        worker.shared.metrics.connections_refused.inc();
        return;
    };
    // A delayed segment costs 40 ms; a failure to say so costs nothing else.
    let _ = stream.set_nodelay(true);
    let worker = Arc::clone(worker);
    tokio::spawn(async move {
        connection(&worker, stream, peer).await;
        drop(place);
    });
}

async fn connection(worker: &Arc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let meter = Arc::new(Meter::default());
    let config = &worker.shared.config.listen;
    let service = service_fn(|request: Request<Incoming>| {
        pipeline::serve(Arc::clone(worker), Arc::clone(&meter), peer.ip(), request)
    });
    let io = TokioIo::new(Metered::new(stream, Arc::clone(&meter)));
    let mut connection = pin!(
        http1::Builder::new()
            .max_headers(config.max_headers)
            .max_buf_size(config.max_head)
            .half_close(false)
            .serve_connection(io, service)
    );
    let mut dog = WatchDog::new(config);
    let mut looks = interval(WatchDog::period(config));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                // A head that came in one piece with an earlier request counts as read with it.
                let unreadable_head = ended.as_ref().is_err_and(hyper::Error::is_parse);
                if unreadable_head || (ended.is_err() && meter.has_partial_head()) {
                    unreadable(worker, &meter, peer, "not HTTP/1.1, or over a limit of its head");
                }
                return;
            }
            _ = looks.tick() => {}
        }
        if !draining && worker.shared.is_draining() {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        match dog.look(&meter) {
            None => {}
            Some(Slow::Idle) => connection.as_mut().graceful_shutdown(),
            Some(slow) => {
                worker.shared.metrics.connections_refused.inc();
                if slow == Slow::Head {
                    unreadable(worker, &meter, peer, "the head did not arrive in time");
                }
                return;
            }
        }
    }
}

/// Records a request that never became one.
fn unreadable(worker: &Arc<Worker>, meter: &Arc<Meter>, peer: SocketAddr, what: &str) {
    let mut exchange = Exchange::open(Arc::clone(&worker.shared), Arc::clone(meter), None);
    exchange.facts.address = Some(peer.ip());
    exchange.facts.reason = Reason::MalformedRequest;
    exchange.facts.detail = Some(what.to_owned());
    exchange.status = 400;
    // Nothing follows that would have to be withheld.
    let _ = exchange.close(EventOutcome::ClientError);
}
