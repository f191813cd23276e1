//! A model of a registry: one queue of requests, one link that all answers share evenly, and
//! clients that lose their patience.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::Range,
    time::Duration,
};

/// Virtual time: nanoseconds since the simulation began.
pub type Instant = u64;

const SECOND: f64 = 1e9;

/// What a registry can do.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// Requests taken up in a second; the others queue.
    pub requests: f64,
    /// Bytes that its link carries in a second.
    pub bytes: f64,
    /// Requests that may queue; more are answered 503 at once.
    pub backlog: f64,
    /// Answers that may be under way on the link; as long as there are more, 503 too.
    pub flows: usize,
    /// When it is down: every connection is refused, and what is under way breaks off.
    pub outage: Option<Range<Instant>>,
}

/// Bytes in a second that one client can take.
const CLIENT: f64 = 100e6;
/// From an answer's last byte to the next thing the client does.
const ROUND_TRIP: Instant = 40_000_000;
/// The `Retry-After` of a 503.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How long clients wait for an answer to begin, as the carrier does.
const HEAD: Instant = 15_000_000_000;
/// And how long for its end from there.
const BODY: Instant = 120_000_000_000;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// All bytes arrived.
    Whole,
    /// The connection was refused or broke.
    Refused,
    /// 503, and when to come again.
    Busy(Duration),
    /// The client gave up.
    TimedOut,
}

/// What one second looked like from the registry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    /// Requests that arrived, those that it could not answer included.
    pub requests: u32,
    /// Bytes that left.
    pub bytes: f64,
}

/// The registry with all its clients, of which each has at most one request under way.
#[derive(Debug)]
pub struct Registry {
    capacity: Capacity,
    clients: Vec<Request>,
    /// When the last request of the queue will be taken up.
    free: f64,
    /// Queued requests by when they are taken up; in order.
    queue: VecDeque<(Instant, Ticket)>,
    link: Link,
    /// Answers on their way to the client; in order.
    replies: VecDeque<(Instant, u32, Answer)>,
    /// When clients give up waiting for the head; in order.
    heads: VecDeque<(Instant, Ticket)>,
    /// When clients give up waiting for the end; in order.
    ends: VecDeque<(Instant, Ticket)>,
    /// When an outage will break off what is under way.
    breaks: Option<Instant>,
    seconds: Vec<Second>,
}

/// A client's request: the client, and how many it had before.
type Ticket = (u32, u32);

#[derive(Debug, Clone, Copy, Default)]
struct Request {
    number: u32,
    bytes: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    None,
    Queued,
    Flowing,
}

impl Registry {
    /// An idle registry for this many clients.
    pub fn new(capacity: Capacity, clients: usize) -> Self {
        Self {
            link: Link::new(capacity.bytes),
            breaks: capacity.outage.as_ref().map(|it| it.start),
            capacity,
            clients: vec![Request::default(); clients],
            free: 0.0,
            queue: VecDeque::new(),
            replies: VecDeque::new(),
            heads: VecDeque::new(),
            ends: VecDeque::new(),
            seconds: Vec::new(),
        }
    }

    /// From now on it can do this.
    pub fn change(&mut self, capacity: Capacity, now: Instant) {
        self.flow(now);
        self.link.capacity = capacity.bytes;
        self.breaks = capacity.outage.as_ref().map(|it| it.start);
        self.capacity = capacity;
    }

    /// A client asks for something of this many bytes.
    pub fn ask(&mut self, client: u32, bytes: u64, now: Instant) {
        self.second(now).requests += 1;
        let wait = (self.free - now as f64).max(0.0) / SECOND;
        let outage = &self.capacity.outage;
        let refusal = if outage.as_ref().is_some_and(|it| it.contains(&now)) {
            Some(Answer::Refused)
        } else if wait * self.capacity.requests >= self.capacity.backlog
            || self.link.flows >= self.capacity.flows
        {
            Some(Answer::Busy(RETRY_AFTER))
        } else {
            None
        };
        let request = &mut self.clients[client as usize];
        request.number += 1;
        let ticket = (client, request.number);
        if let Some(answer) = refusal {
            request.stage = Stage::None;
            self.replies.push_back((now + ROUND_TRIP, client, answer));
            return;
        }
        (request.stage, request.bytes) = (Stage::Queued, bytes);
        self.free = self.free.max(now as f64) + SECOND / self.capacity.requests;
        self.queue.push_back((self.free as Instant, ticket));
        self.heads.push_back((now + HEAD, ticket));
    }

    /// When something happens next, if anything does.
    pub fn next(&mut self) -> Option<Instant> {
        let clients = &self.clients;
        let over = |it: &mut (Instant, Ticket)| stage(clients, it.1) != Stage::Queued;
        while self.heads.pop_front_if(over).is_some() {}
        let over = |it: &mut (Instant, Ticket)| stage(clients, it.1) != Stage::Flowing;
        while self.ends.pop_front_if(over).is_some() {}
        let first = |queue: &VecDeque<(Instant, Ticket)>| queue.front().map(|it| it.0);
        let all = [
            first(&self.queue),
            first(&self.heads),
            first(&self.ends),
            self.replies.front().map(|it| it.0),
            self.link.next(clients),
            self.breaks,
        ];
        all.into_iter().flatten().min()
    }

    /// Lets happen what happens at this time, which [`Self::next`] has answered; at most one
    /// client learns how its request ended.
    pub fn advance(&mut self, now: Instant) -> Option<(u32, Answer)> {
        self.flow(now);
        if self.breaks.take_if(|it| *it <= now).is_some() {
            self.break_off(now);
        }
        if let Some((_, ticket)) = self.queue.pop_front_if(|it| it.0 <= now) {
            // Who has given up is served in vain: the registry cannot know.
            if stage(&self.clients, ticket) == Stage::Queued {
                let request = &mut self.clients[ticket.0 as usize];
                request.stage = Stage::Flowing;
                self.link.add(ticket, request.bytes);
                self.ends.push_back((now + BODY, ticket));
            }
            return None;
        }
        if let Some((_, client, answer)) = self.replies.pop_front_if(|it| it.0 <= now) {
            return Some((client, answer));
        }
        if let Some(ticket) = self.link.done(&self.clients, now) {
            self.clients[ticket.0 as usize].stage = Stage::None;
            let reply = (now + ROUND_TRIP, ticket.0, Answer::Whole);
            self.replies.push_back(reply);
            return None;
        }
        let late = self.heads.pop_front_if(|it| it.0 <= now);
        let late = late.filter(|it| stage(&self.clients, it.1) == Stage::Queued);
        if let Some((_, ticket)) = late {
            self.clients[ticket.0 as usize].stage = Stage::None;
            return Some((ticket.0, Answer::TimedOut));
        }
        let late = self.ends.pop_front_if(|it| it.0 <= now);
        let late = late.filter(|it| stage(&self.clients, it.1) == Stage::Flowing);
        let (_, ticket) = late?;
        self.link.flows -= 1;
        self.clients[ticket.0 as usize].stage = Stage::None;
        Some((ticket.0, Answer::TimedOut))
    }

    /// What each second looked like.
    pub fn into_seconds(self) -> Vec<Second> {
        self.seconds
    }

    fn break_off(&mut self, now: Instant) {
        for (client, request) in self.clients.iter_mut().enumerate() {
            if std::mem::take(&mut request.stage) != Stage::None {
                let reply = (now + ROUND_TRIP, client as u32, Answer::Refused);
                self.replies.push_back(reply);
            }
        }
        self.queue.clear();
        self.link = Link {
            now,
            ..Link::new(self.capacity.bytes)
        };
        self.free = now as f64;
    }

    /// Carries bytes until now, each counted in its second.
    fn flow(&mut self, now: Instant) {
        while self.link.now < now {
            let second = self.link.now / 1_000_000_000;
            let until = now.min((second + 1) * 1_000_000_000);
            if self.link.flows == 0 {
                self.link.now = now;
                return;
            }
            let bytes = self.link.flow(until);
            self.second(until - 1).bytes += bytes;
        }
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let at = (now / 1_000_000_000) as usize;
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }
}

/// Where a request is, if it is still the client's.
fn stage(clients: &[Request], ticket: Ticket) -> Stage {
    let request = clients[ticket.0 as usize];
    if request.number == ticket.1 {
        request.stage
    } else {
        Stage::None
    }
}

/// A link whose flows all run at the same rate, so that what each has carried since any moment is
/// the same number: a flow ends when that number has grown by its size.
#[derive(Debug)]
struct Link {
    capacity: f64,
    now: Instant,
    /// Bytes that a flow there from the beginning would have carried.
    carried: f64,
    flows: usize,
    /// Flows by what `carried` is at their end, in bytes; some may have been given up.
    ends: BinaryHeap<Reverse<(u64, Ticket)>>,
}

impl Link {
    fn new(capacity: f64) -> Self {
        Self {
            capacity,
            now: 0,
            carried: 0.0,
            flows: 0,
            ends: BinaryHeap::new(),
        }
    }

    /// Bytes in a second of each flow.
    fn rate(&self) -> f64 {
        (self.capacity / self.flows.max(1) as f64).min(CLIENT)
    }

    fn add(&mut self, ticket: Ticket, bytes: u64) {
        self.flows += 1;
        self.ends
            .push(Reverse((self.carried as u64 + bytes, ticket)));
    }

    /// Carries bytes of all flows until now, and answers how many.
    fn flow(&mut self, now: Instant) -> f64 {
        let each = self.rate() * now.saturating_sub(self.now) as f64 / SECOND;
        self.now = now;
        self.carried += each;
        each * self.flows as f64
    }

    fn next(&mut self, clients: &[Request]) -> Option<Instant> {
        let over = |it: &Reverse<(u64, Ticket)>| stage(clients, it.0.1) != Stage::Flowing;
        while self.ends.peek().is_some_and(over) {
            self.ends.pop();
        }
        let Reverse((end, _)) = self.ends.peek()?;
        let left = (*end as f64 - self.carried).max(0.0);
        Some(self.now + (left / self.rate() * SECOND).ceil() as Instant)
    }

    /// A flow that has ended by now.
    fn done(&mut self, clients: &[Request], now: Instant) -> Option<Ticket> {
        if self.next(clients)? > now {
            return None;
        }
        let Reverse((_, ticket)) = self.ends.pop()?;
        self.flows -= 1;
        Some(ticket)
    }
}
