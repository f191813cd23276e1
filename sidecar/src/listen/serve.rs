//! One connection, from its handshake to its end.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use latchkey_engine::reason::Reason;
use latchkey_gate::event::EventOutcome;
use tokio::{
    io::AsyncReadExt,
    time::{MissedTickBehavior, interval, interval_at},
};

use super::{Paced, Peer, Streams, tls};
use crate::{
    answer::{Answer, now},
    exchange::Exchange,
    meter::{Meter, Metered, Slow, WatchDog},
    pipeline::{self, Slot},
    run::Worker,
    socket::{Channel, Socket},
};

/// What every HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a handshake may go on once the sidecar drains.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How often a connection is looked at once the sidecar drains.
const LAST_LOOKS: Duration = Duration::from_millis(100);

/// A connection whose handshake is done.
struct Ready {
    channel: Channel,
    /// What was read of it to find out what is spoken.
    first: Bytes,
    http2: bool,
    peer: Peer,
    /// The certificate that the handshake was made with.
    generation: Option<u64>,
}

/// A connection of either version of HTTP.
trait Conversation: Future<Output = Result<(), hyper::Error>> {
    /// Takes no more requests, and ends with the last that has begun.
    fn wind_down(self: Pin<&mut Self>);
}

/// Serves a connection that was accepted, until its end.
pub async fn connection(worker: &Arc<Worker>, socket: Socket, peer: Peer) {
    let limit = worker.shared.config.listen.head_timeout.0;
    let mut draining = worker.shared.draining();
    let shaken = tokio::select! {
        biased;
        shaken = tokio::time::timeout(limit, shake_hands(worker, socket, peer)) => shaken,
        // Nothing was asked yet; who is about to ask still may.
        () = async {
            let _ = draining.wait_for(|draining| *draining).await;
            tokio::time::sleep(LAST_WORD).await;
        } => return,
    };
    let ready = match shaken {
        Ok(Ok(Some(ready))) => ready,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            tracing::debug!(target: "listen", %error, "a handshake failed");
            worker.shared.metrics.handshakes_failed.inc();
            return;
        }
        Err(_) => {
            worker.shared.metrics.connections_refused.inc();
            return;
        }
    };
    let streams = ready.http2.then(Arc::<Streams>::default);
    let meter = streams
        .clone()
        .map_or_else(Meter::default, Meter::of_streams);
    let watched = Watched {
        worker,
        meter: &Arc::new(meter),
        peer: &Arc::new(ready.peer),
        generation: ready.generation,
    };
    let io = Metered::new(ready.channel, ready.first, Arc::clone(watched.meter));
    match &streams {
        Some(streams) => http2(&watched, streams, TokioIo::new(io)).await,
        None => http1(&watched, TokioIo::new(io)).await,
    }
}

/// Makes the TLS handshake where there is TLS, and finds out what is spoken. `None` is a caller that
/// went away before it said anything.
async fn shake_hands(
    worker: &Arc<Worker>,
    socket: Socket,
    mut peer: Peer,
) -> io::Result<Option<Ready>> {
    let Some(certificates) = &worker.shared.certificates else {
        let mut channel = Channel::Plain(socket);
        let (first, http2) = if worker.shared.config.listen.http2.cleartext {
            sniff(&mut channel).await?
        } else {
            (Bytes::new(), false)
        };
        return Ok(Some(Ready {
            channel,
            first,
            http2,
            peer,
            generation: None,
        }));
    };
    let loaded = certificates.loaded();
    let stream = loaded.acceptor().accept(socket).await?;
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    if let Some(leaf) = leaf {
        let certificate = tls::client_certificate(leaf);
        peer.client_certificate = Some(certificate.map_err(|what| {
            io::Error::other(format!("the client certificate cannot be taken: {what}"))
        })?);
    }
    let http2 = session.alpn_protocol() == Some(b"h2");
    Ok(Some(Ready {
        channel: Channel::Tls(Box::new(stream.into())),
        first: Bytes::new(),
        http2,
        peer,
        generation: Some(loaded.generation),
    }))
}

/// Reads until it is clear whether the caller speaks HTTP/2.
async fn sniff(channel: &mut Channel) -> io::Result<(Bytes, bool)> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let left = PREFACE.len() - first.len();
        if channel.take(left as u64).read_buf(&mut first).await? == 0 {
            break;
        }
    }
    let http2 = *first == *PREFACE;
    Ok((first.freeze(), http2))
}

async fn http1(watched: &Watched<'_>, io: TokioIo<Metered>) {
    let config = &watched.worker.shared.config.listen;
    // What the connection becomes after its last request.
    let next = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let worker = Arc::clone(watched.worker);
        let (meter, peer) = (Arc::clone(watched.meter), Arc::clone(watched.peer));
        let served = pipeline::serve(Arc::clone(&worker), meter, peer, request);
        let next = &next;
        async move {
            let mut response = served.await?;
            if let Some(slot) = response.extensions_mut().remove::<Slot>() {
                *next.lock().unwrap_or_else(PoisonError::into_inner) = slot.take();
            } else if worker.shared.is_draining() {
                // A connection that just closes could meet the next request on its way.
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .max_headers(config.max_headers)
        .max_buf_size(config.max_head)
        .half_close(false)
        .serve_connection(io, service)
        .with_upgrades();
    let ended = watched.drive(pin!(connection)).await;
    let next = next.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(tunnel) = next
        && matches!(ended, Some(Ok(())))
    {
        return Box::pin(tunnel.run()).await;
    }
    // A head that came in one piece with an earlier request counts as read with it.
    let unreadable = matches!(&ended, Some(Err(error)) if error.is_parse());
    if unreadable || (matches!(ended, Some(Err(_))) && watched.meter.has_partial_head()) {
        watched.unreadable("not HTTP/1.1, or over a limit of its head");
    }
}

async fn http2(watched: &Watched<'_>, streams: &Arc<Streams>, io: TokioIo<Metered>) {
    let config = &watched.worker.shared.config.listen;
    let service = service_fn(|request: Request<Incoming>| {
        streams.arrive();
        let (worker, meter) = (Arc::clone(watched.worker), Arc::clone(watched.meter));
        let (peer, streams) = (Arc::clone(watched.peer), Arc::clone(streams));
        async move {
            let most = worker.shared.config.listen.max_headers;
            let response = if request.headers().len() > most {
                unreadable(&worker, &meter, &peer, "over a limit of its head");
                let mut response = Response::new(Answer::whole(Bytes::new()));
                *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                response
            } else {
                pipeline::serve(worker, meter, peer, request).await?
            };
            Ok::<_, Infallible>(response.map(|body| Paced::new(&streams, body)))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(u32::try_from(config.http2.max_streams).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(config.max_head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .initial_stream_window_size(1 << 16)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(1 << 16)
        .serve_connection(io, service);
    let ended = watched.drive(pin!(connection)).await;
    watched.tell_lost(streams);
    if matches!(ended, Some(Err(_))) && watched.meter.has_partial_head() {
        watched.unreadable("an HTTP/2 head that has no end");
    }
}

impl<I, S> Conversation for http1::UpgradeableConnection<I, S>
where
    Self: Future<Output = Result<(), hyper::Error>>,
    S: hyper::service::HttpService<Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Conversation for http2::Connection<I, S, E>
where
    Self: Future<Output = Result<(), hyper::Error>>,
    S: hyper::service::HttpService<Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// A connection under the eyes of a watch-dog.
struct Watched<'a> {
    worker: &'a Arc<Worker>,
    meter: &'a Arc<Meter>,
    peer: &'a Arc<Peer>,
    generation: Option<u64>,
}

impl Watched<'_> {
    /// Serves until the end, or until the caller is too slow (`None`).
    async fn drive(
        &self,
        mut conversation: Pin<&mut impl Conversation>,
    ) -> Option<Result<(), hyper::Error>> {
        let config = &self.worker.shared.config.listen;
        let mut dog = WatchDog::new(config);
        let mut looks = interval(WatchDog::period(config));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut winding: Option<Instant> = None;
        // How often it was looked at since the sidecar drains.
        let mut last: Option<u32> = None;
        let per_period = WatchDog::period(config).as_millis() / LAST_LOOKS.as_millis();
        loop {
            tokio::select! {
                biased;
                ended = conversation.as_mut() => return Some(ended),
                _ = looks.tick() => {}
            }
            if let Some(streams) = self.meter.streams()
                && winding.is_none()
            {
                self.tell_lost(streams);
            }
            if last.is_none() && self.worker.shared.is_draining() {
                last = Some(0);
                looks = interval_at(tokio::time::Instant::now() + LAST_LOOKS, LAST_LOOKS);
            } else if let Some(count) = &mut last {
                *count += 1;
            }
            // Who has just connected, or been answered, may be about to ask.
            let settled = self.meter.is_busy() || last.is_none_or(|count| count > 1);
            if winding.is_none() && settled && self.must_end() {
                winding = Some(Instant::now());
                conversation.as_mut().wind_down();
            }
            // The dog counts in periods of its own.
            if last.is_some_and(|count| u128::from(count) % per_period.max(1) != 0) {
                continue;
            }
            match dog.look(self.meter) {
                None => {}
                // Who does not say good-bye in time is left.
                Some(Slow::Idle) => match winding {
                    Some(since) if since.elapsed() > config.head_timeout.0 => return None,
                    Some(_) => {}
                    None => {
                        winding = Some(Instant::now());
                        conversation.as_mut().wind_down();
                    }
                },
                Some(slow) => {
                    self.worker.shared.metrics.connections_refused.inc();
                    if slow == Slow::Head {
                        self.unreadable("the head did not arrive in time");
                    }
                    return None;
                }
            }
        }
    }

    /// Whether nothing more may be asked on this connection: the sidecar drains, the certificate
    /// that the caller showed has ended, or who may connect has changed.
    fn must_end(&self) -> bool {
        let shared = &self.worker.shared;
        let superseded = |generation| {
            let certificates = shared.certificates.as_ref();
            certificates.is_some_and(|certificates| certificates.is_superseded(generation))
        };
        let certificate = self.peer.client_certificate.as_ref();
        shared.is_draining()
            || self.generation.is_some_and(superseded)
            || certificate.is_some_and(|certificate| certificate.not_after <= now())
    }

    /// Records the HTTP/2 requests that the protocol refused by itself.
    fn tell_lost(&self, streams: &Streams) {
        for _ in 0..streams.lost() {
            self.unreadable("not a request of HTTP/2, or over a limit of its head or of streams");
        }
    }

    fn unreadable(&self, what: &str) {
        unreadable(self.worker, self.meter, self.peer, what);
    }
}

/// Records a request that never became one.
fn unreadable(worker: &Worker, meter: &Arc<Meter>, peer: &Peer, what: &str) {
    let mut exchange = Exchange::open(Arc::clone(&worker.shared), Arc::clone(meter), None);
    exchange.facts.address = peer.address;
    exchange.facts.reason = Reason::MalformedRequest;
    exchange.facts.detail = Some(what.to_owned());
    exchange.status = 400;
    // Nothing follows that would have to be withheld.
    let _ = exchange.close(EventOutcome::ClientError);
}
