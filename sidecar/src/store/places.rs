//! Places among calls at a time, which a sidecar holds for as long as it says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{Ask, resp::command, script_command};

/// Places that a call holds; dropping it gives them back.
#[derive(Debug)]
pub struct Place {
    pub(super) register: Arc<Register>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) member: String,
}

/// All places that this sidecar holds: the keys of each call.
#[derive(Debug, Default)]
pub(super) struct Register(Mutex<BTreeMap<String, Vec<String>>>);

impl Register {
    pub(super) fn hold(&self, member: &str, keys: Vec<String>) {
        self.lock().insert(member.to_owned(), keys);
    }

    /// The commands that keep every place for another lease.
    pub(super) fn renewals(&self, lease: Duration) -> Vec<Vec<u8>> {
        let lease = lease.as_micros().to_string();
        let held = self.lock();
        held.iter()
            .map(|(member, keys)| script_command(RENEW, keys, &[member, &lease]))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let keys = self.register.lock().remove(&self.member);
        for key in keys.unwrap_or_default() {
            // If it cannot be told now, the lease ends by itself.
            let _ = self.asks.try_send(Ask {
                command: command(&["ZREM", &key, &self.member]),
                reply: None,
            });
        }
    }
}

/// Holds the places of one call for another lease; also in a store that has forgotten them.
const RENEW: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], string.format('%.0f', now + ARGV[2]), ARGV[1])
  redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[2] / 1000))
end
return 1
";
