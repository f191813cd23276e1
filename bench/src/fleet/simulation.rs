//! The sidecars of one scenario, event by event.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    pace::Pace,
    registry::{Answer, Instant, Registry, Second},
    scenario::{END, FLEET, MEASURED, Manner, POLL, RELEASE, STARTS, Scenario, USUAL, nanoseconds},
};
use crate::process::Failure;

/// Sizes of what is asked for, in bytes with their headers.
const UNCHANGED: u64 = 350;
const POINTER: u64 = 1000;
const STATEMENT: u64 = 4000;
const PATCH: u64 = 6000;
const FULL_FILE: u64 = 9_500_000;

/// What the only release is called.
const NAME: &[u8] = b"the release";

/// What happened in one scenario.
#[derive(Debug)]
pub struct Outcome {
    /// What was simulated.
    pub scenario: Scenario,
    /// When each sidecar read the pointer to the release, with its urgent denials; sorted.
    pub told: Vec<Instant>,
    /// When each sidecar had the files of the release; sorted.
    pub current: Vec<Instant>,
    /// The registry, second by second.
    pub seconds: Vec<Second>,
    /// Requests that failed while the load was measured.
    pub errors: Errors,
}

/// Requests that failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errors {
    /// Connections refused or broken.
    pub refused: u64,
    /// Answered 503.
    pub busy: u64,
    /// Given up by the client.
    pub timed_out: u64,
}

/// One sidecar.
#[derive(Debug)]
struct Sidecar {
    pace: Clock,
    asking: Asking,
    /// Whether the release was published when it asked last.
    asked_since: bool,
    told: bool,
    current: bool,
    full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Pointer,
    Statement,
    File,
}

/// Who says when to ask.
#[derive(Debug)]
enum Clock {
    Paced(Pace),
    /// The next tick.
    Naive(Instant),
}

/// Simulates one scenario to its end.
pub fn run(scenario: &Scenario) -> Result<Outcome, Failure> {
    let mut fleet = Fleet::new(scenario)?;
    let (release, end) = (nanoseconds(RELEASE), nanoseconds(END));
    let measured = release + nanoseconds(MEASURED);
    let mut published = false;
    loop {
        let wake = fleet.wakes.peek().map(|it| it.0.0);
        let event = fleet.registry.next();
        let now = wake.into_iter().chain(event).min().ok_or("nobody asks")?;
        if now > end || now > measured && fleet.outcome.current.len() == FLEET {
            break;
        }
        if now >= release && !published {
            published = true;
            fleet.registry.change(scenario.registry.clone(), release);
            continue;
        }
        fleet.now = now;
        if event == Some(now) {
            if let Some((sidecar, answer)) = fleet.registry.advance(now) {
                fleet.answered(sidecar, answer);
            }
        } else if let Some(Reverse((_, sidecar))) = fleet.wakes.pop() {
            fleet.ask(sidecar, Asking::Pointer);
        }
    }
    let mut outcome = fleet.outcome;
    outcome.seconds = fleet.registry.into_seconds();
    check(&outcome)?;
    Ok(outcome)
}

/// The model has kept its own laws: else its figures would say nothing.
fn check(outcome: &Outcome) -> Result<(), Failure> {
    let name = outcome.scenario.name;
    let most = USUAL.bytes * 1.000_001;
    if outcome.seconds.iter().any(|it| it.bytes > most) {
        return Err(format!("{name}: the link carries more than it can").into());
    }
    let file = |at: usize| {
        if at % outcome.scenario.full == 0 {
            FULL_FILE
        } else {
            PATCH
        }
    };
    let carried: f64 = outcome.seconds.iter().map(|it| it.bytes).sum();
    let needed: u64 = (0..FLEET).map(file).sum();
    if outcome.current.len() == FLEET && carried < needed as f64 {
        return Err(format!("{name}: files arrive that were never sent").into());
    }
    if !outcome.current.is_sorted() || !outcome.told.is_sorted() {
        return Err(format!("{name}: time goes back").into());
    }
    Ok(())
}

struct Fleet {
    now: Instant,
    sidecars: Vec<Sidecar>,
    registry: Registry,
    /// Who wakes when.
    wakes: BinaryHeap<Reverse<(Instant, u32)>>,
    outcome: Outcome,
}

impl Fleet {
    fn new(scenario: &Scenario) -> Result<Self, Failure> {
        let mut sidecars = Vec::with_capacity(FLEET);
        let mut wakes = BinaryHeap::with_capacity(FLEET);
        for at in 0..FLEET {
            let start = nanoseconds(STARTS) * at as u64 / FLEET as u64;
            let (pace, first) = match scenario.manner {
                Manner::Paced => {
                    let mut pace = Pace::new(format!("sidecar-{at}").as_bytes(), POLL)?;
                    let first = start + nanoseconds(pace.first());
                    (Clock::Paced(pace), first)
                }
                Manner::Naive => (Clock::Naive(start), start),
            };
            wakes.push(Reverse((first, at as u32)));
            sidecars.push(Sidecar {
                pace,
                asking: Asking::Pointer,
                asked_since: false,
                told: false,
                current: false,
                full: at % scenario.full == 0,
            });
        }
        Ok(Self {
            now: 0,
            sidecars,
            registry: Registry::new(USUAL, FLEET),
            wakes,
            outcome: Outcome {
                scenario: scenario.clone(),
                told: Vec::with_capacity(FLEET),
                current: Vec::with_capacity(FLEET),
                seconds: Vec::new(),
                errors: Errors::default(),
            },
        })
    }

    fn ask(&mut self, at: u32, what: Asking) {
        let published = self.now >= nanoseconds(RELEASE);
        let sidecar = &mut self.sidecars[at as usize];
        sidecar.asking = what;
        let bytes = match what {
            Asking::Pointer if sidecar.told || !published => UNCHANGED,
            Asking::Pointer => POINTER,
            Asking::Statement => STATEMENT,
            Asking::File if sidecar.full => FULL_FILE,
            Asking::File => PATCH,
        };
        // What a pointer says is what it said when it was asked for.
        sidecar.asked_since = published;
        self.registry.ask(at, bytes, self.now);
    }

    fn answered(&mut self, at: u32, answer: Answer) {
        let asking = self.sidecars[at as usize].asking;
        match (answer, asking) {
            (Answer::Whole, Asking::Pointer) => self.pointer(at),
            (Answer::Whole, Asking::Statement) => self.ask(at, Asking::File),
            (Answer::Whole, Asking::File) => {
                self.sidecars[at as usize].current = true;
                self.outcome.current.push(self.now);
                self.rest(at, Instant::MAX);
            }
            (Answer::Refused, _) => self.failed(at, None, |it| &mut it.refused),
            (Answer::Busy(after), _) => self.failed(at, Some(after), |it| &mut it.busy),
            (Answer::TimedOut, _) => self.failed(at, None, |it| &mut it.timed_out),
        }
    }

    /// A sidecar has read the pointer: it fetches, or rests until it may or polls again.
    fn pointer(&mut self, at: u32) {
        let (now, spread) = (self.now, self.outcome.scenario.spread);
        let sidecar = &mut self.sidecars[at as usize];
        if sidecar.asked_since && !sidecar.told {
            sidecar.told = true;
            self.outcome.told.push(now);
        }
        if !sidecar.told || sidecar.current {
            return self.rest(at, Instant::MAX);
        }
        let due = match &mut sidecar.pace {
            Clock::Paced(pace) => nanoseconds(pace.start(NAME, spread, Duration::from_nanos(now))),
            Clock::Naive(_) => now,
        };
        if due <= now {
            self.ask(at, Asking::Statement);
        } else {
            self.rest(at, due);
        }
    }

    /// Nothing is left to do before the next poll, or an earlier time.
    fn rest(&mut self, at: u32, earlier: Instant) {
        let next = match &mut self.sidecars[at as usize].pace {
            Clock::Paced(pace) => self.now + nanoseconds(pace.succeeded()),
            Clock::Naive(tick) => tick_after(tick, self.now),
        };
        self.wakes.push(Reverse((next.min(earlier), at)));
    }

    fn failed(&mut self, at: u32, after: Option<Duration>, count: fn(&mut Errors) -> &mut u64) {
        if (nanoseconds(RELEASE)..nanoseconds(RELEASE + MEASURED)).contains(&self.now) {
            *count(&mut self.outcome.errors) += 1;
        }
        let next = match &mut self.sidecars[at as usize].pace {
            Clock::Paced(pace) => self.now + nanoseconds(pace.failed(after)),
            Clock::Naive(tick) => tick_after(tick, self.now),
        };
        self.wakes.push(Reverse((next, at)));
    }
}

fn tick_after(tick: &mut Instant, now: Instant) -> Instant {
    while *tick <= now {
        *tick += nanoseconds(POLL);
    }
    *tick
}
