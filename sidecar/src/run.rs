//! A running sidecar: what its threads share, how it starts, and how it stops.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use latchkey_engine::overlay::Overlay;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Notify, watch},
};

use crate::{
    admin,
    audit::Audit,
    config::Config,
    identity::Tokens,
    limit::Limits,
    listen,
    metrics::Metrics,
    supply::{Active, Status, Supply},
    upstream::Upstream,
};

/// What all threads of a sidecar share.
#[derive(Debug)]
pub struct Shared {
    /// The settings.
    pub config: Config,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The audit log.
    pub audit: Audit,
    /// The rate limits.
    pub limits: Limits,
    /// What operators are told of the bundle.
    pub status: ArcSwap<Status>,
    active: ArcSwapOption<Active>,
    overlay: ArcSwapOption<Overlay>,
    connections: AtomicUsize,
    draining: watch::Sender<bool>,
    poll: Notify,
    swaps: AtomicU64,
}

/// One thread that serves requests.
#[derive(Debug)]
pub struct Worker {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// The tokens that it has verified.
    pub tokens: Tokens,
    /// Its connections to the tool server.
    pub upstream: Arc<Upstream>,
}

/// A connection's place among those that are allowed at a time.
#[derive(Debug)]
pub struct Place(Arc<Shared>);

/// A sidecar that runs.
#[derive(Debug)]
pub struct Running {
    /// Where callers are served.
    pub address: SocketAddr,
    /// Where operators are served.
    pub admin: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a sidecar cannot start: says what, where, and what to do.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Shared {
    /// The bundle in force.
    #[must_use]
    pub fn active(&self) -> Option<Arc<Active>> {
        self.active.load_full()
    }

    /// Puts a bundle in force; requests that have begun keep theirs. Answers the one before.
    pub fn activate(&self, active: Arc<Active>) -> Option<Arc<Active>> {
        self.swaps.fetch_add(1, Ordering::Relaxed);
        self.active.swap(Some(active))
    }

    /// Puts no bundle in force: every call is refused. Answers the one before.
    pub fn deactivate(&self) -> Option<Arc<Active>> {
        self.active.swap(None)
    }

    /// A number for the next bundle that this process puts in force.
    #[must_use]
    pub fn next_generation(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed) + 1
    }

    /// The overlay in force; empty before one is known.
    #[must_use]
    pub fn overlay(&self) -> Arc<Overlay> {
        static EMPTY: LazyLock<Arc<Overlay>> = LazyLock::new(Arc::default);
        self.overlay
            .load_full()
            .unwrap_or_else(|| Arc::clone(&EMPTY))
    }

    /// Whether the overlay that the settings name has been read.
    #[must_use]
    pub fn overlay_is_known(&self) -> bool {
        self.config.overlay.is_none() || self.overlay.load().is_some()
    }

    /// Puts an overlay in force.
    pub fn set_overlay(&self, overlay: Overlay) {
        self.overlay.store(Some(Arc::new(overlay)));
    }

    /// Whether the sidecar stops.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Tells when the sidecar stops.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Asks for the bundle directory to be looked at now.
    pub fn poll_now(&self) {
        self.poll.notify_one();
    }

    /// Whether calls can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let now = crate::answer::now();
        !self.is_draining()
            && self.audit.is_available()
            && self.overlay_is_known()
            && self.active().is_some_and(|active| !active.has_ended(now))
    }

    /// A place for one more connection, when there is one.
    #[must_use]
    pub fn place(self: &Arc<Self>) -> Option<Place> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        self.metrics.connections.inc();
        (taken < self.config.listen.max_connections).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.connections.dec();
    }
}

impl Running {
    /// Opens the audit log, loads the bundle, binds both addresses and serves. A bundle that is
    /// missing or bad does not stop the start: every call is refused until there is a good one.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let audit = Audit::open(&config, Arc::clone(&metrics))
            .map_err(|error| StartError(error.to_string()))?;
        let limits = Limits::new(config.bounds.rate_keys);
        let shared = Arc::new(Shared {
            metrics,
            audit,
            limits,
            status: ArcSwap::default(),
            active: ArcSwapOption::empty(),
            overlay: ArcSwapOption::empty(),
            connections: AtomicUsize::new(0),
            draining: watch::Sender::new(false),
            poll: Notify::new(),
            swaps: AtomicU64::new(0),
            config,
        });
        let mut supply = Supply::open(&shared).map_err(|error| StartError(error.to_string()))?;
        supply.look(&shared);
        let calls = bind(shared.config.listen.address, "[listen] address")?;
        let operators = bind(shared.config.admin.address, "[admin] address")?;
        let address = local(&calls)?;
        let admin = local(&operators)?;
        let mut threads = Vec::new();
        let control = Arc::clone(&shared);
        threads.push(spawn("control", move || async move {
            let Ok(listener) = TcpListener::from_std(operators) else {
                return;
            };
            tokio::select! {
                () = admin::serve(Arc::clone(&control), listener) => {}
                () = housekeeping(&control, supply) => {}
            }
        })?);
        for n in 0..shared.config.listen.workers {
            let listener = calls.try_clone().map_err(|error| fault("listen", &error))?;
            let shared = Arc::clone(&shared);
            threads.push(spawn(&format!("worker-{n}"), move || {
                work(shared, listener)
            })?);
        }
        Ok(Self {
            address,
            admin,
            shared,
            threads,
        })
    }

    /// What the threads share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Accepts no more connections, lets requests in flight end, and stops. Answers whether all
    /// of them ended in time; the others are cut off and recorded so.
    pub fn drain(self) -> bool {
        self.shared.draining.send_replace(true);
        for thread in self.threads {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
        self.shared.connections.load(Ordering::Relaxed) == 0
    }
}

async fn work(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let worker = Arc::new(Worker {
        tokens: Tokens::new(shared.config.bounds.tokens),
        upstream: Arc::new(Upstream::new(&shared.config.upstream)),
        shared: Arc::clone(&shared),
    });
    listen::accept(worker, listener).await;
    let deadline = Instant::now() + shared.config.listen.drain_timeout.0;
    while shared.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Looks at the bundle directory, the overlay and the audit log for as long as the sidecar runs.
async fn housekeeping(shared: &Arc<Shared>, mut supply: Supply) {
    let mut draining = shared.draining();
    let mut forgotten = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(shared.config.bundle.poll.0) => {}
            () = shared.poll.notified() => {}
            _ = draining.wait_for(|draining| *draining) => break,
        }
        supply.look(shared);
        shared.audit.retry();
        if forgotten.elapsed() > Duration::from_secs(30) {
            shared.limits.forget_idle();
            forgotten = Instant::now();
        }
    }
    // Operators can look until the last request has ended.
    let deadline = Instant::now() + shared.config.listen.drain_timeout.0;
    while shared.connections.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a thread with a runtime of its own.
fn spawn<F: Future<Output = ()>>(
    name: &str,
    serve: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| fault("start a runtime", &error))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(serve());
            // What is still in flight is dropped here, and so recorded as cut off.
            drop(runtime);
        })
        .map_err(|error| fault("start a thread", &error))
}

fn bind(address: SocketAddr, key: &str) -> Result<std::net::TcpListener, StartError> {
    let listener = std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| StartError(format!("{key} = \"{address}\": {error}")))
}

fn local(listener: &std::net::TcpListener) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|error| fault("read an address", &error))
}

fn fault(what: &str, error: &io::Error) -> StartError {
    StartError(format!("cannot {what}: {error}"))
}
