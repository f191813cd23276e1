//! Limits that several sidecars count together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use latchkey_engine::index::Obligation;
use latchkey_gate::{admit::Charge, call::obligation_text, settings::Sharing};

use super::{Lost, Place, Store, Value};
use crate::{
    ids,
    limit::{Left, Throttled},
};

/// Calls that were drawn ahead, to be let through without asking.
#[derive(Debug, Default)]
pub(super) struct Drawn(Mutex<HashMap<String, Stock>>);

#[derive(Debug, Clone, Copy)]
struct Stock {
    calls: u32,
    until: Instant,
}

/// Of a rate one sidecar draws at most this part ahead.
const PART: u32 = 32;
/// For how long what was drawn ahead is good.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The most limits with calls drawn ahead; those beyond are asked about call by call.
const MOST_DRAWN: usize = 1 << 16;

impl Store {
    /// Counts a call in all of its buckets, or in none.
    pub async fn take(
        &self,
        charges: &[Charge],
        sharing: Sharing,
    ) -> Result<Result<(Option<Place>, Vec<Left>), Throttled>, Lost> {
        if let Some(never) = charges.iter().find(|it| count(it.obligation) == 0) {
            return Ok(Err(used_up(never, Duration::from_secs(1))));
        }
        let keys: Vec<String> = charges.iter().map(|it| self.bucket(it)).collect();
        if sharing == Sharing::Lease && self.drawn.take(&keys) {
            return Ok(Ok((None, Vec::new())));
        }
        let member = ids::uuid();
        let mut words = vec![member.clone(), self.lease.as_micros().to_string()];
        for charge in charges {
            words.extend(limit_words(charge.obligation, sharing));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = self.run(TAKE, &keys, &words).await?;
        let numbers = numbers(&answer).ok_or_else(|| self.lost())?;
        let (refused, rest) = numbers.split_first().ok_or_else(|| self.lost())?;
        if let Some(at) = usize::try_from(*refused).unwrap_or(0).checked_sub(1) {
            let charge = charges.get(at).ok_or_else(|| self.lost())?;
            let wait = rest.first().copied().unwrap_or(1_000_000);
            return Ok(Err(used_up(charge, microseconds(wait))));
        }
        if rest.len() != 3 * charges.len() {
            return Err(self.lost());
        }
        let mut left = Vec::new();
        let mut places = Vec::new();
        for ((charge, key), told) in charges.iter().zip(&keys).zip(rest.chunks(3)) {
            let &[calls, full_in, drawn] = told else {
                continue;
            };
            if matches!(charge.obligation, Obligation::Concurrency { .. }) {
                places.push(key.clone());
                continue;
            }
            self.drawn.put(key, u32::try_from(drawn - 1).unwrap_or(0));
            left.push(Left {
                limit: charge.obligation,
                calls: u32::try_from(calls).unwrap_or(0),
                full_in: microseconds(full_in),
            });
        }
        Ok(Ok((self.hold(member, places), left)))
    }

    fn hold(&self, member: String, places: Vec<String>) -> Option<Place> {
        if places.is_empty() {
            return None;
        }
        self.register.hold(&member, places);
        Some(Place {
            register: Arc::clone(&self.register),
            asks: self.asks.clone(),
            member,
        })
    }

    fn bucket(&self, charge: &Charge) -> String {
        let (kind, text) = obligation_text(charge.obligation);
        self.key(kind, &[&text, "\n", &charge.key].concat())
    }
}

impl Drawn {
    /// Takes a call that was drawn ahead from every one of these, or from none.
    fn take(&self, keys: &[String]) -> bool {
        let mut stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let good = |key: &String| {
            let stock = stocks.get(key);
            stock.is_some_and(|it| it.calls > 0 && it.until > now)
        };
        if !keys.iter().all(good) {
            return false;
        }
        for key in keys {
            if let Some(stock) = stocks.get_mut(key) {
                stock.calls -= 1;
            }
        }
        true
    }

    fn put(&self, key: &str, calls: u32) {
        if calls == 0 {
            return;
        }
        let mut stocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if stocks.len() >= MOST_DRAWN {
            stocks.retain(|_, stock| stock.until > now && stock.calls > 0);
        }
        if stocks.len() < MOST_DRAWN {
            let until = now + GOOD_FOR;
            stocks.insert(key.to_owned(), Stock { calls, until });
        }
    }
}

/// Kind, count, window in microseconds, and how many calls to draw.
fn limit_words(obligation: Obligation, sharing: Sharing) -> [String; 4] {
    match obligation {
        Obligation::Rate { count, seconds, .. } => {
            let draw = match sharing {
                Sharing::Exact => 1,
                Sharing::Lease => (count / PART).max(1),
            };
            let window = u64::from(seconds) * 1_000_000;
            [
                "r".to_owned(),
                count.to_string(),
                window.to_string(),
                draw.to_string(),
            ]
        }
        Obligation::Concurrency { count, .. } => [
            "c".to_owned(),
            count.to_string(),
            "0".to_owned(),
            "1".to_owned(),
        ],
    }
}

fn count(obligation: Obligation) -> u32 {
    let (Obligation::Rate { count, .. } | Obligation::Concurrency { count, .. }) = obligation;
    count
}

fn used_up(charge: &Charge, retry_after: Duration) -> Throttled {
    Throttled {
        retry_after,
        limit: charge.obligation,
        lost: false,
    }
}

fn numbers(answer: &Value) -> Option<Vec<i64>> {
    let Value::Array(values) = answer else {
        return None;
    };
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    };
    values.iter().map(number).collect()
}

fn microseconds(number: i64) -> Duration {
    Duration::from_micros(u64::try_from(number).unwrap_or(0))
}

/// Looks at every limit of a call, and counts it only if all let it through: GCRA for rates, a set
/// of members with the ends of their leases for calls at a time. Numbers are written with `%.0f`,
/// since Lua would round them to 14 digits.
const TAKE: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local after, told = {}, {0}
for i = 1, #KEYS do
  local kind, count = ARGV[4 * i - 1], tonumber(ARGV[4 * i])
  if kind == 'r' then
    local each = math.max(1, math.floor(ARGV[4 * i + 1] / count))
    local room = each * count
    local full = math.max(now, tonumber(redis.call('GET', KEYS[i]) or 0))
    local fits = math.floor((now + room - full) / each)
    if fits < 1 then return {i, full + each - now - room} end
    local draw = math.min(fits, tonumber(ARGV[4 * i + 2]))
    after[i] = full + each * draw
    told[3 * i - 1] = fits - draw
    told[3 * i] = after[i] - now
    told[3 * i + 1] = draw
  else
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now))
    if redis.call('ZCARD', KEYS[i]) >= count then return {i, 1000000} end
    told[3 * i - 1], told[3 * i], told[3 * i + 1] = 0, 0, 1
  end
end
for i = 1, #KEYS do
  if after[i] then
    local ms = math.ceil((after[i] - now) / 1000)
    redis.call('SET', KEYS[i], string.format('%.0f', after[i]), 'PX', string.format('%.0f', ms))
  else
    redis.call('ZADD', KEYS[i], string.format('%.0f', now + ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[2] / 1000))
  end
end
return told
";
