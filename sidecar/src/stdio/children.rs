//! All children of a sidecar, and the thread that looks after them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
};

use super::{launch::Launch, server::Server};
use crate::metrics::ChildMetrics;

/// All children of a sidecar. Without a server that is one there is no thread either.
#[derive(Debug, Default)]
pub struct Children {
    state: Mutex<State>,
    metrics: ChildMetrics,
}

#[derive(Debug, Default)]
struct State {
    thread: Option<Thread>,
    servers: Vec<Arc<Server>>,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Children {
    /// None yet; what becomes of them is counted.
    #[must_use]
    pub fn new(metrics: &ChildMetrics) -> Self {
        Self {
            state: Mutex::default(),
            metrics: metrics.clone(),
        }
    }

    /// The server that is started so; none where the system gives no thread.
    pub fn server(&self, launch: &Launch) -> Option<Arc<Server>> {
        let mut state = self.lock();
        if let Some(server) = state.servers.iter().find(|it| it.launch() == launch) {
            return Some(Arc::clone(server));
        }
        let runtime = if let Some(thread) = &state.thread {
            thread.runtime.clone()
        } else {
            let thread = start().inspect_err(|error| {
                tracing::error!(target: "stdio", %error, "cannot start a thread");
            });
            state.thread.insert(thread.ok()?).runtime.clone()
        };
        let server = Server::new(launch.clone(), runtime, self.metrics.clone());
        state.servers.push(Arc::clone(&server));
        Some(server)
    }

    /// Lets go of every server but the one that is started so: its children end when the last
    /// answer has.
    pub fn keep(&self, launch: Option<&Launch>) {
        let mut state = self.lock();
        let kept = |server: &Arc<Server>| Some(server.launch()) == launch;
        let (kept, gone) = state.servers.drain(..).partition(kept);
        state.servers = kept;
        drop(state);
        // Their ends wait for no lock.
        drop::<Vec<_>>(gone);
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock()
            .servers
            .iter()
            .map(|it| it.open_sessions())
            .sum()
    }

    /// Ends all children, and waits until they have ended.
    pub fn end(&self) {
        let thread = {
            let mut state = self.lock();
            state.servers.clear();
            state.thread.take()
        };
        if let Some(thread) = thread {
            thread.stop.send_replace(true);
            // A thread that panicked has ended, too.
            let _ = thread.handle.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

/// The longest that ends may take: closing, asking and killing each have their own time.
const ENDS: Duration = Duration::from_mins(1);

fn start() -> std::io::Result<Thread> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let runtime_handle = runtime.handle().clone();
    let (stop, mut stopped) = watch::channel(false);
    let thread = std::thread::Builder::new().name("stdio".to_owned());
    let handle = thread.spawn(move || {
        runtime.block_on(async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            let deadline = tokio::time::Instant::now() + ENDS;
            // The tasks that end children are the last ones that live.
            while Handle::current().metrics().num_alive_tasks() > 0
                && tokio::time::Instant::now() < deadline
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    })?;
    Ok(Thread {
        runtime: runtime_handle,
        stop,
        handle,
    })
}
