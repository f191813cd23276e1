//! A running sidecar: what its threads share, how it starts, and how it stops.

use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::net::UnixStream,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use latchkey_carrier::Location;
use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::task::Tasks;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    activation, admin,
    audit::Audit,
    breaker::Breaker,
    bridge::Bridge,
    config::{Config, OnStale, TlsConfig},
    decision::{Listeners, Point},
    handles::{Change, Handles},
    handover::{self, Inherited, Sockets},
    identity::{Callers, Keeper, keys::IssuerKeys, replay::Proofs},
    limit::Limits,
    listen::{self, Address, Bound, Listener, Places, tls::Certificates},
    metrics::Metrics,
    overlay::{self, Overlays},
    pins::{self, Pins},
    stdio::Children,
    store::Store,
    supply::{Active, Freshness, Status, Supply, Way, tell},
    telemetry::Telemetry,
    token_endpoint::Capabilities,
    upstream::{Trusted, Upstream},
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
    /// What calls have used up of their limits.
    pub limits: Arc<Limits>,
    /// What gives and takes capability tokens.
    pub capabilities: Capabilities,
    /// What the sidecars of the server count together.
    pub store: Option<Arc<Store>>,
    /// Whether the tool server answers.
    pub breaker: Breaker,
    /// What sessions and other handles are sealed with.
    pub handles: Handles,
    /// The sessions that are held for callers of the era without any.
    pub bridge: Bridge,
    /// The tasks that passed by.
    pub tasks: Tasks,
    /// What is known of the tool server's definitions.
    pub pins: Pins,
    /// What operators are told of the bundle.
    pub status: ArcSwap<Status>,
    /// Why the overlay file's content is not in force.
    pub overlay_error: ArcSwapOption<String>,
    /// Names in it that the bundle in force does not know.
    pub overlay_unknown: ArcSwap<Vec<String>>,
    /// What is taken away at run time.
    pub overlays: Overlays,
    /// The proofs of possession that were seen.
    pub proofs: Proofs,
    /// The keys that are with their issuers.
    pub issuer_keys: IssuerKeys,
    /// What time it is by trusted keys, and until when the pointer is fresh.
    pub freshness: Freshness,
    /// Tool servers that the sidecar runs itself.
    pub children: Children,
    /// Where requests leave their spans.
    pub telemetry: Telemetry,
    active: ArcSwapOption<Active>,
    /// Bundles that were replaced, kept until no request uses them, so that no request has to
    /// free one.
    retired: Mutex<Vec<Arc<Active>>>,
    /// The places of connections.
    pub places: Places,
    /// The certificate that callers see.
    pub certificates: Option<Certificates>,
    /// The certificate that enforcement points see.
    pub point_certificates: Option<Certificates>,
    /// Whom tool servers are verified by.
    pub trusted: Arc<Trusted>,
    draining: watch::Sender<bool>,
    /// Whether the time to drain is over, so that what is in flight is cut off.
    overtime: AtomicBool,
    /// Whether a request was cut off then.
    cut_off: AtomicBool,
    poll: Notify,
    swaps: AtomicU64,
    handed_over: Notify,
    /// The process that took the listening sockets. Last, so that it learns of the end only when all
    /// else has ended.
    heir: Mutex<Option<UnixStream>>,
}

/// One thread that serves requests.
#[derive(Debug)]
pub struct Worker {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// The callers that it has verified.
    pub callers: Callers,
    /// Its connections to the tool server.
    pub upstream: Arc<Upstream>,
}

/// A sidecar that runs.
#[derive(Debug)]
pub struct Running {
    /// Where callers are served.
    pub addresses: Vec<Address>,
    /// The first of these that is an IP address; unspecified where all are Unix sockets.
    pub address: SocketAddr,
    /// Where operators are served.
    pub admin: SocketAddr,
    /// Where enforcement points are served over TCP.
    pub decision: Option<SocketAddr>,
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
    /// All that is opened before anybody is served, and what keeps the store open.
    fn open(
        config: Config,
        [certificates, point_certificates]: [Option<Certificates>; 2],
        trusted: Trusted,
    ) -> Result<(Arc<Self>, Option<impl Future<Output = ()> + Send + use<>>), StartError> {
        let metrics = Arc::new(Metrics::new());
        let audit = Audit::open(&config, Arc::clone(&metrics))
            .map_err(|error| StartError(error.to_string()))?;
        let limits = Arc::new(Limits::new(config.bounds.rate_keys));
        let handles = Handles::open(&config).map_err(StartError)?;
        let telemetry = Telemetry::new(config.telemetry.as_ref(), &config.bundle.server, &metrics)
            .map_err(StartError)?;
        let capabilities = Capabilities::open(&config).map_err(StartError)?;
        let store = config.store.as_ref();
        let store = store.map(|it| Store::open(it, &config.bundle.server, &metrics.store));
        let (store, link) = store.transpose().map_err(StartError)?.unzip();
        let children = Children::new(&metrics.children);
        let shared = Arc::new(Shared {
            metrics,
            audit,
            limits,
            capabilities,
            store,
            breaker: Breaker::default(),
            handles,
            bridge: Bridge::default(),
            tasks: Tasks::default(),
            pins: Pins::default(),
            status: ArcSwap::default(),
            overlay_error: ArcSwapOption::empty(),
            overlay_unknown: ArcSwap::default(),
            children,
            active: ArcSwapOption::empty(),
            retired: Mutex::default(),
            overlays: Overlays::default(),
            issuer_keys: IssuerKeys::default(),
            proofs: Proofs::new(crate::answer::now()),
            freshness: Freshness::default(),
            places: Places::new(&config.listen),
            certificates,
            point_certificates,
            telemetry,
            trusted: Arc::new(trusted),
            draining: watch::Sender::new(false),
            overtime: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            poll: Notify::new(),
            swaps: AtomicU64::new(0),
            handed_over: Notify::new(),
            config,
            heir: Mutex::default(),
        });
        Ok((shared, link))
    }

    /// The bundle in force.
    #[must_use]
    pub fn active(&self) -> Option<Arc<Active>> {
        self.active.load_full()
    }

    /// Puts a bundle in force; requests that have begun keep theirs.
    pub fn activate(&self, active: Arc<Active>) {
        self.swaps.fetch_add(1, Ordering::Relaxed);
        self.pins.turn(&active);
        self.retire(self.active.swap(Some(active)));
        self.issuer_keys.bundle_changed();
    }

    /// Puts no bundle in force: every call is refused.
    pub fn deactivate(&self) {
        self.retire(self.active.swap(None));
    }

    /// A number for the next bundle that this process puts in force.
    #[must_use]
    pub fn next_generation(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed) + 1
    }

    /// Frees the bundles that no request uses any more.
    pub fn free_retired(&self) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|active| Arc::strong_count(active) > 1);
    }

    /// Lets go of the tool servers that the bundle in force does not name.
    pub fn keep_children(&self) {
        let active = self.active();
        self.children.keep(match active.as_ref().map(|it| &it.way) {
            Some(Way::Run(launch)) => Some(launch),
            Some(Way::Connect(_)) | None => None,
        });
    }

    fn retire(&self, active: Option<Arc<Active>>) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.extend(active);
    }

    /// Whether calls are served under a bundle no more: it is past its end, or nothing says that it
    /// is current and the settings ask for that.
    #[must_use]
    pub fn is_over(&self, active: &Active, clock: Time) -> bool {
        let denied_when_stale = self.config.bundle.on_stale == OnStale::Deny;
        active.has_ended(self.freshness.now(clock))
            || denied_when_stale && self.freshness.is_stale(clock)
    }

    /// What is taken away at run time.
    #[must_use]
    pub fn overlay(&self) -> Arc<Overlay> {
        self.overlays.merged()
    }

    /// Whether the overlay that the settings name has been read.
    #[must_use]
    pub fn overlay_is_known(&self) -> bool {
        self.config.overlay.is_none() || self.overlays.has_file()
    }

    /// Whether the sidecar stops.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// A request is dropped before its end. Answers whether the sidecar is the cause: the time to
    /// drain is over.
    pub(crate) fn cuts_off(&self) -> bool {
        let overtime = self.overtime.load(Ordering::Relaxed);
        if overtime {
            self.cut_off.store(true, Ordering::Relaxed);
        }
        overtime
    }

    /// Tells when the sidecar stops.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Asks for the bundle source to be asked now.
    pub fn poll_now(&self) {
        self.poll.notify_one();
    }

    /// Waits until that is asked for.
    pub async fn polled(&self) {
        self.poll.notified().await;
    }

    /// Another process has the listening sockets and waits for the end of this one.
    pub fn hand_over(&self, heir: UnixStream) {
        let mut place = self.heir.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(heir);
        self.handed_over.notify_one();
    }

    /// Waits until that is so.
    pub async fn handed_over(&self) {
        self.handed_over.notified().await;
    }

    /// Whether calls can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let now = crate::answer::now();
        !self.is_draining()
            && self.audit.is_available()
            && self.overlay_is_known()
            && self
                .active()
                .is_some_and(|active| !self.is_over(&active, now))
    }

    /// Whether a caller is connected.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        self.places.taken() > 0
    }
}

impl Running {
    /// Opens the audit log, loads the bundle, binds both addresses and serves. A bundle that is
    /// missing or bad does not stop the start: every call is refused until there is a good one.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let certificates = certificates(&config)?;
        let trusted = Trusted::open(&config.upstream)
            .map_err(|error| StartError(format!("[upstream] {error}")))?;
        let mut inherited = inherit(&config)?;
        let (shared, link) = Shared::open(config, certificates, trusted)?;
        let mut threads = Vec::new();
        let mut housekeeping = Housekeeping::new(&shared);
        housekeeping.look(&shared);
        // Before the first thread, so that a start that fails leaves none behind.
        let (calls, operators) = bind(&shared.config, &mut inherited)?;
        let settings = shared.config.decision.as_ref();
        let listeners = settings.map(|it| Listeners::bind(it, &mut inherited));
        let listeners = listeners.transpose().map_err(StartError)?;
        let offered = offered(&shared.config, &calls, &operators, listeners.as_ref())?;
        let addresses = calls
            .iter()
            .map(Bound::address)
            .collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(|error| fault("read an address", &error))?;
        let admin = operators
            .local_addr()
            .map_err(|error| fault("read an address", &error))?;
        let decision = listeners.as_ref().and_then(Listeners::address);
        threads.push(supply(&shared)?);
        threads.push(keys(&shared)?);
        if let Some(link) = link {
            let shared = Arc::clone(&shared);
            threads.push(spawn("store", move || keep_store(shared, link))?);
        }
        threads.extend(point(&shared, listeners)?);
        if let Some(exporter) = shared.telemetry.exporter() {
            let shared = Arc::clone(&shared);
            threads.push(spawn("telemetry", move || exporter.run(shared))?);
        }
        let control = Arc::clone(&shared);
        threads.push(spawn("control", move || async move {
            let Ok(listener) = TcpListener::from_std(operators) else {
                return;
            };
            if let Some(sockets) = offered {
                tokio::spawn(offer(Arc::clone(&control), sockets));
            }
            tokio::select! {
                () = admin::serve(Arc::clone(&control), listener) => {}
                () = housekeeping.run(&control) => {}
                () = pins::run(Arc::clone(&control)) => {}
            }
        })?);
        for n in 0..shared.config.listen.workers {
            let calls = calls.iter().map(Bound::try_clone).collect::<Result<_, _>>();
            let calls = calls.map_err(|error| fault("listen", &error))?;
            let shared = Arc::clone(&shared);
            threads.push(spawn(&format!("worker-{n}"), move || work(shared, calls))?);
        }
        let tcp = addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        });
        Ok(Self {
            address: tcp.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            addresses,
            admin,
            decision,
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
        self.shared.children.end();
        self.shared.audit.close();
        !self.shared.cut_off.load(Ordering::Relaxed)
    }
}

async fn work(shared: Arc<Shared>, calls: Vec<Bound>) {
    let worker = Arc::new(Worker {
        callers: Callers::new(shared.config.bounds.tokens),
        upstream: Arc::new(Upstream::new(
            &shared.config.upstream,
            Arc::clone(&shared.trusted),
        )),
        shared: Arc::clone(&shared),
    });
    let mut accepting = JoinSet::new();
    for bound in calls {
        let Ok(listener) = Listener::new(bound) else {
            return;
        };
        accepting.spawn(listen::accept(Arc::clone(&worker), listener));
    }
    accepting.join_all().await;
    drained(&shared).await;
    if shared.places.taken() > 0 {
        // What is in flight is dropped with this thread, which is not its caller's doing.
        shared.overtime.store(true, Ordering::Relaxed);
    }
}

/// Starts the thread that decides for others, where the settings ask for it.
fn point(
    shared: &Arc<Shared>,
    listeners: Option<Listeners>,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let (Some(listeners), Some(config)) = (listeners, &shared.config.decision) else {
        return Ok(None);
    };
    let point = Point::new(Arc::clone(shared), config.clone())
        .map_err(|error| fault("make a key", &error))?;
    spawn("decision", move || point.serve(listeners)).map(Some)
}

/// Starts the thread that looks after the bundle, apart from those that serve: it reads, hashes and
/// opens large files. What was good last is in force when this returns, and what a folder holds.
fn supply(shared: &Arc<Shared>) -> Result<JoinHandle<()>, StartError> {
    let supply = Supply::open(shared).map_err(|error| StartError(error.to_string()))?;
    let (first, looked) = mpsc::sync_channel(1);
    let mut draining = shared.draining();
    let thread = spawn("supply", move || async move {
        step_back();
        tokio::select! {
            () = supply.run(first) => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
    })?;
    if matches!(shared.config.bundle.source, Location::Folder(_)) {
        // It answers, or the thread has ended; either way there is nothing more to wait for.
        let _ = looked.recv();
    }
    Ok(thread)
}

/// Starts the thread that fetches the keys of issuers. What the disk holds of them is in use when
/// this returns.
fn keys(shared: &Arc<Shared>) -> Result<JoinHandle<()>, StartError> {
    let keeper = Keeper::new(shared).map_err(StartError)?;
    let (first, followed) = mpsc::sync_channel(1);
    let mut draining = shared.draining();
    let thread = spawn("keys", move || async move {
        tokio::select! {
            () = keeper.run(first) => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
    })?;
    // It answers, or the thread has ended; either way there is nothing more to wait for.
    let _ = followed.recv();
    Ok(thread)
}

/// Lets the threads that serve go first where processors are short: opening a large bundle is work
/// without a pause. On Linux a priority belongs to a thread, and the threads that it starts.
fn step_back() {
    // Not the least there is: an urgent denial must come into force on a busy machine, too.
    const NICE: i32 = 10;
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, NICE)
    {
        tracing::warn!(target: "supply", %error, "a swap will compete with requests");
    }
}

/// Looks at the overlay and the audit log for as long as the sidecar runs.
#[derive(Debug)]
struct Housekeeping {
    overlay: Option<overlay::Watch>,
    /// The bundle that the names of the overlay file were looked for in.
    named_under: Option<u64>,
    forgotten: Instant,
}

/// How often the overlay file is looked at, unless the source is asked more often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Housekeeping {
    fn new(shared: &Shared) -> Self {
        let overlay = shared.config.overlay.as_ref();
        Self {
            overlay: overlay.map(|overlay| overlay::Watch::new(overlay.file.clone())),
            named_under: None,
            forgotten: Instant::now(),
        }
    }

    async fn run(mut self, shared: &Shared) {
        let tick = HOUSEKEEPING.min(shared.config.bundle.poll());
        // The log may be full or moved away, and operators can look, until the last request has
        // ended.
        let mut drained = pin!(drained(shared));
        loop {
            tokio::select! {
                () = tokio::time::sleep(tick) => self.look(shared),
                () = &mut drained => return,
            }
        }
    }

    fn look(&mut self, shared: &Shared) {
        shared.free_retired();
        shared.keep_children();
        shared.audit.look();
        let certificates = [&shared.certificates, &shared.point_certificates];
        for certificates in certificates.into_iter().flatten() {
            certificates.look();
        }
        shared.trusted.look();
        look_at_keys(shared);
        give_back();
        if self.forgotten.elapsed() > Duration::from_secs(30) {
            shared.limits.forget_idle();
            self.forgotten = Instant::now();
        }
        self.look_at_overlay(shared);
        self.look_for_unknown_names(shared);
    }

    fn look_at_overlay(&mut self, shared: &Shared) {
        let error = match self.overlay.as_mut().and_then(overlay::Watch::look) {
            None => return,
            Some(Ok(overlay)) => {
                tracing::info!(target: "overlay", "overlay in force");
                shared.overlays.set_file(overlay);
                None
            }
            Some(Err(error)) => {
                tracing::error!(target: "overlay", %error, "overlay refused");
                Some(error.to_string())
            }
        };
        let supply = &shared.metrics.supply;
        supply.overlay_refused.set(i64::from(error.is_some()));
        supply.set_urgent(shared.overlays.count());
        shared.overlay_error.store(error.map(Arc::new));
        self.named_under = None;
    }

    /// Tells operators of names in the overlay file that take nothing away under the bundle in force.
    /// They may be misspelt, or of another server: what else the file says stays in force.
    fn look_for_unknown_names(&mut self, shared: &Shared) {
        let Some(active) = shared.active() else {
            return;
        };
        if self.named_under.replace(active.generation) == Some(active.generation) {
            return;
        }
        let unknown = shared.overlays.unknown_to(active.gate.policy());
        if !unknown.is_empty() && unknown != **shared.overlay_unknown.load() {
            let names = unknown.join(", ");
            tracing::warn!(
                target: "overlay", names,
                "the bundle in force does not know these names of the overlay file, so they take \
                 nothing away: correct those that are misspelt"
            );
        }
        shared.overlay_unknown.store(Arc::new(unknown));
    }
}

/// Takes up other keys of handles, and says so.
fn look_at_keys(shared: &Shared) {
    let Some(change) = shared.handles.look(Instant::now()) else {
        return;
    };
    let detail = format!("[handles] key_file: {change}");
    let word = match change {
        Change::Loaded(..) => "handle_keys_loaded",
        Change::Refused(_) => "handle_keys_refused",
    };
    tracing::warn!(target: "handles", event = word, detail);
    tell(shared, word, detail);
}

/// Lets the allocator return memory that has been free for a second. It looks for all of it when a
/// thread ends, and an idle sidecar ends none: what opening a bundle needed would stay for hours.
fn give_back() {
    let _ = std::thread::Builder::new()
        .name("idle".to_owned())
        .spawn(|| ());
}

/// Keeps the store open for as long as a request may need it.
async fn keep_store(shared: Arc<Shared>, link: impl Future<Output = ()>) {
    tokio::select! {
        () = link => {}
        () = drained(&shared) => {}
    }
}

/// Until the sidecar stops and the last request has ended, or has had its time to.
async fn drained(shared: &Shared) {
    let _ = shared.draining().wait_for(|draining| *draining).await;
    let deadline = Instant::now() + shared.config.listen.drain_timeout.0;
    while shared.places.taken() > 0 && Instant::now() < deadline {
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

/// The certificates that callers and enforcement points see.
fn certificates(config: &Config) -> Result<[Option<Certificates>; 2], StartError> {
    let point = config.decision.as_ref().and_then(|it| it.tls.as_ref());
    let open = |section, files: Option<&TlsConfig>, http2| {
        let opened = files
            .map(|files| Certificates::open(files, http2))
            .transpose();
        opened.map_err(|error| StartError(format!("[{section}.tls] {error}")))
    };
    let listen = &config.listen;
    let callers = open("listen", listen.tls.as_ref(), listen.http2.tls)?;
    Ok([callers, open("decision", point, true)?])
}

/// What the process that runs hands over, where the settings say so, and what a service manager
/// passes. The process that ran has ended then.
fn inherit(config: &Config) -> Result<Inherited, StartError> {
    let passed = activation::take(config).map_err(StartError)?;
    if !config.listen.handover {
        return Ok(Inherited::new(passed));
    }
    let handed = handover::take(config).map_err(|error| {
        let path = handover::path(config);
        StartError(format!(
            "{}: the process that runs does not hand over: {error}; stop it, then start again",
            path.display()
        ))
    })?;
    Ok(Inherited::new(handed.into_iter().chain(passed).collect()))
}

/// Takes the sockets that were handed over, and binds the others.
fn bind(
    config: &Config,
    inherited: &mut Inherited,
) -> Result<(Vec<Bound>, std::net::TcpListener), StartError> {
    let listen = &config.listen;
    let calls = listen.addresses.iter().map(|address| {
        let bound = inherited.bind(&address.to_string(), address, listen.unix_mode);
        bound.map_err(|error| {
            StartError(format!("[listen] address = \"{address}\": {error}: {FREE}"))
        })
    });
    let calls = calls.collect::<Result<_, _>>()?;
    let address = config.admin.address;
    let listener = match inherited.take(&handover::admin_label(config)) {
        Some(descriptor) => Ok(descriptor.into()),
        None => std::net::TcpListener::bind(address),
    };
    let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let operators = listener
        .map_err(|error| StartError(format!("[admin] address = \"{address}\": {error}: {FREE}")))?;
    Ok((calls, operators))
}

/// The sockets for the process after this one, where the settings say so.
fn offered(
    config: &Config,
    calls: &[Bound],
    operators: &std::net::TcpListener,
    point: Option<&Listeners>,
) -> Result<Option<Sockets>, StartError> {
    if !config.listen.handover {
        return Ok(None);
    }
    let mut sockets = Vec::new();
    for (address, bound) in config.listen.addresses.iter().zip(calls) {
        let descriptor = bound.descriptor();
        let descriptor = descriptor.map_err(|error| fault("copy a socket", &error))?;
        sockets.push((address.to_string(), descriptor));
    }
    let admin = operators.try_clone();
    let admin = admin.map_err(|error| fault("copy a socket", &error))?;
    sockets.push((handover::admin_label(config), admin.into()));
    if let (Some(point), Some(settings)) = (point, &config.decision) {
        let asked = point.sockets(settings);
        sockets.extend(asked.map_err(|error| fault("copy a socket", &error))?);
    }
    Ok(Some(sockets))
}

async fn offer(shared: Arc<Shared>, sockets: Sockets) {
    if let Err(error) = handover::offer(&shared, sockets).await {
        tracing::error!(
            target: "handover", %error, "the listening sockets cannot be handed over"
        );
    }
}

/// What to do where an address cannot be bound.
const FREE: &str = "choose one of this machine that is free, or stop what uses it";

fn fault(what: &str, error: &io::Error) -> StartError {
    StartError(format!(
        "cannot {what}: {error}: raise this process's limits of files, threads or memory"
    ))
}
