//! What the sidecars of one server count together: limits and used tokens, in a Redis.
//!
//! One script takes a call's limits all together or not at all, by the store's own clock. Whatever
//! does not answer in time is lost, and what that means is for the caller to say; nothing here
//! lets a call through by itself.

mod link;
mod places;
mod rates;
mod resp;

use std::{future::Future, sync::Arc, time::Duration};

use latchkey_gate::supply::Digest;
use tokio::sync::{mpsc, oneshot};

use crate::{config::StoreConfig, metrics::StoreMetrics};
pub use places::Place;
use places::Register;
use rates::Drawn;
pub use resp::Value;

/// The way to the store; all workers share it.
#[derive(Debug)]
pub struct Store {
    asks: mpsc::Sender<Ask>,
    timeout: Duration,
    /// How long a place is kept for a sidecar that is not heard of.
    lease: Duration,
    register: Arc<Register>,
    drawn: Drawn,
    metrics: StoreMetrics,
    /// Before every key: the server whose sidecars share, as a hash tag so that its keys are of one
    /// slot.
    prefix: String,
}

/// The store did not answer, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// One command on its way.
#[derive(Debug)]
struct Ask {
    command: Vec<u8>,
    reply: Option<oneshot::Sender<Value>>,
}

/// The most commands that wait to be sent: beyond it the store counts as lost.
const MAX_WAITING: usize = 4096;

impl Store {
    /// The way to a store, and what keeps it open: run that for as long as the sidecar serves.
    pub fn open(
        config: &StoreConfig,
        server: &str,
        metrics: &StoreMetrics,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + Send + use<>), String> {
        let (asks, asked) = mpsc::channel(MAX_WAITING);
        let register = Arc::new(Register::default());
        let link = link::Link::new(config, metrics.clone(), Arc::clone(&register))?;
        let store = Arc::new(Self {
            asks,
            timeout: config.timeout.0,
            lease: config.lease.0,
            register,
            drawn: Drawn::default(),
            metrics: metrics.clone(),
            prefix: format!("latchkey:{{{server}}}:"),
        });
        Ok((store, link.run(asked)))
    }

    /// Whether the store answers, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.metrics.is_connected()
    }

    /// Marks an id as used until a time passes; `false` when it was used before, here or by
    /// another sidecar, or may have been: it was `issued_at` before the store began to remember.
    pub async fn use_once(
        &self,
        id: &str,
        issued_at: i64,
        remembered_for: Duration,
    ) -> Result<bool, Lost> {
        let keys = [self.key("once", id), self.key("born", "")];
        let milliseconds = remembered_for.as_millis().max(1).to_string();
        let reply = self
            .run(ONCE, &keys, &[&milliseconds, &issued_at.to_string()])
            .await?;
        match reply {
            Value::Integer(1) => Ok(true),
            Value::Integer(0) => Ok(false),
            _ => Err(self.lost()),
        }
    }

    /// A time by the store's clock, from when on it remembers ids for certain.
    pub async fn remembers(&self) -> Result<i64, Lost> {
        match self.run(BORN, &[self.key("born", "")], &[]).await? {
            Value::Integer(now) => Ok(now),
            _ => Err(self.lost()),
        }
    }

    /// A name as a key. It is hashed: the store learns no names of callers.
    fn key(&self, kind: &str, name: &str) -> String {
        let digest = Digest::of(name.as_bytes()).to_string();
        let short = digest.get(..32).unwrap_or(&digest);
        [&self.prefix, kind, ":", short].concat()
    }

    /// Runs a script, within the time that an answer may take.
    async fn run(&self, script: &str, keys: &[String], more: &[&str]) -> Result<Value, Lost> {
        if !self.is_connected() {
            return Err(self.lost());
        }
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            command: script_command(script, keys, more),
            reply: Some(reply),
        };
        if self.asks.try_send(ask).is_err() {
            return Err(self.lost());
        }
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(value)) => Ok(value),
            _ => Err(self.lost()),
        }
    }

    fn lost(&self) -> Lost {
        self.metrics.lose();
        Lost
    }
}

fn script_command(script: &str, keys: &[String], more: &[&str]) -> Vec<u8> {
    let count = keys.len().to_string();
    let mut words = vec!["EVAL", script, &count];
    words.extend(keys.iter().map(String::as_str));
    words.extend(more);
    resp::command(&words)
}

/// Begins to remember, where it has not.
const BORN: &str = "
local now = tonumber(redis.call('TIME')[1])
redis.call('SET', KEYS[1], now, 'NX')
return now
";

/// Marks an id as used, once. An id from before the store began to remember (it was emptied, or
/// is new) counts as used: nobody knows.
const ONCE: &str = "
local now = tonumber(redis.call('TIME')[1])
redis.call('SET', KEYS[2], now, 'NX')
if tonumber(ARGV[2]) < tonumber(redis.call('GET', KEYS[2])) then return 0 end
if redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[1]) then return 1 end
return 0
";
