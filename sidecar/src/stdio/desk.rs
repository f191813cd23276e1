//! The correspondence with one child: who waits for what, and where each of its messages belongs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    mailbox::{BrokenOff, Letters, Mailbox, NotTaken, mailbox},
    message::{self, Message, Sort},
};

/// What a child's messages may be to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// All callers share the child, and each message names what it belongs to. The child asks
    /// nothing, and a request that nobody waits for is taken back.
    Shared,
    /// The child has one session with one caller, to whom all its messages go.
    Session,
}

/// How much may wait, in one child's correspondence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The most bytes that wait for the child, and for each of those it answers.
    pub(super) bytes: usize,
    /// The most requests that it works on.
    pub(super) requests: usize,
    /// For how long it is taken to work on one that nobody waits for.
    pub(super) linger: Duration,
}

/// The most messages that wait in one place.
const MESSAGES: usize = 1024;
/// The most requests of a child that wait for their answers: beyond it the oldest is given up.
const ASKED: usize = 64;

/// The correspondence with one child.
#[derive(Debug)]
pub(super) struct Desk {
    era: Era,
    room: Room,
    outbox: Mailbox,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    open: BTreeMap<u64, Open>,
    /// The requests of the child that were passed on, oldest first, ids as written.
    asked: VecDeque<String>,
    /// Who watches the stream that no request asked for.
    watcher: Option<Mailbox>,
    /// When the child last said something.
    heard: Option<Instant>,
    used: Instant,
    gone: bool,
}

/// A request that the child works on.
#[derive(Debug)]
struct Open {
    /// As its caller wrote it.
    id: String,
    token: Option<String>,
    mailbox: Mailbox,
    /// Since when nobody waits for its answer.
    left: Option<Instant>,
}

/// Why a message does not go to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSent {
    /// It has too much to do.
    Busy,
    /// It has ended.
    Gone,
    /// It makes no sense to it: an answer to what it did not ask, a second watcher.
    Unfit,
}

/// What became of a child's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Somebody gets it.
    Passed,
    /// It is a message, and nobody gets it.
    Dropped,
    /// It is no message.
    Rubbish,
}

/// An answer that is waited for. Dropping it says that nobody waits any more.
#[derive(Debug)]
pub(super) struct Ticket {
    desk: Arc<Desk>,
    number: u64,
}

impl Desk {
    /// An empty correspondence, and the lines for the child.
    #[must_use]
    pub(super) fn new(era: Era, room: Room) -> (Arc<Self>, Letters) {
        let (outbox, lines) = mailbox(room.bytes, MESSAGES);
        let state = State {
            next: 0,
            open: BTreeMap::new(),
            asked: VecDeque::new(),
            watcher: None,
            heard: None,
            used: Instant::now(),
            gone: false,
        };
        let desk = Self {
            era,
            room,
            outbox,
            state: Mutex::new(state),
        };
        (Arc::new(desk), lines)
    }

    /// To whom the child's messages may be what.
    #[must_use]
    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// Sends a request; the answer, and what belongs to it, comes in the letters.
    pub(super) fn ask(
        self: &Arc<Self>,
        request: &Message<'_>,
    ) -> Result<(Letters, Ticket), NotSent> {
        let Some(Sort::Request { id, .. }) = request.sort() else {
            return Err(NotSent::Unfit);
        };
        let mut state = self.lock();
        if state.gone {
            return Err(NotSent::Gone);
        }
        if !state.has_room(self.room) {
            return Err(NotSent::Busy);
        }
        let number = state.number();
        let line = request.to_child(Some(number)).ok_or(NotSent::Unfit)?;
        self.outbox.put(line)?;
        let (mailbox, letters) = mailbox(self.room.bytes, MESSAGES);
        let open = Open {
            id: id.to_owned(),
            token: request.asked_progress().map(str::to_owned),
            mailbox,
            left: None,
        };
        state.open.insert(number, open);
        state.used = Instant::now();
        let desk = Arc::clone(self);
        Ok((letters, Ticket { desk, number }))
    }

    /// Sends a question of the sidecar's own.
    pub(super) fn ask_alone(
        self: &Arc<Self>,
        question: impl FnOnce(u64) -> Bytes,
    ) -> Result<(Letters, Ticket), NotSent> {
        let mut state = self.lock();
        let number = state.number();
        self.outbox.put(question(number))?;
        let (mailbox, letters) = mailbox(self.room.bytes, MESSAGES);
        let open = Open {
            id: number.to_string(),
            token: None,
            mailbox,
            left: None,
        };
        state.open.insert(number, open);
        let desk = Arc::clone(self);
        Ok((letters, Ticket { desk, number }))
    }

    /// Sends what is no request: a notification, or an answer to what the child has asked. A request
    /// that is cancelled so is not answered any more, by the child or by anybody.
    pub(super) fn tell(&self, message: &Message<'_>) -> Result<(), NotSent> {
        let mut state = self.lock();
        if state.gone {
            return Err(NotSent::Gone);
        }
        let number = match message.sort() {
            Some(Sort::Answer { id, .. }) if state.was_asked(id) => None,
            Some(Sort::Notification {
                method: "notifications/cancelled",
            }) => {
                // Where the child is shared, the id could be that of somebody else's request.
                let own = message.cancels().filter(|_| self.era == Era::Session);
                let number = own.and_then(|id| state.under(id));
                Some(number.ok_or(NotSent::Unfit)?)
            }
            Some(Sort::Notification { .. }) => None,
            _ => return Err(NotSent::Unfit),
        };
        state.used = Instant::now();
        let line = message.to_child(number).ok_or(NotSent::Unfit)?;
        self.outbox.put(line)?;
        if let Some(open) = number.and_then(|number| state.open.remove(&number)) {
            open.mailbox.close(Ok(()));
        }
        Ok(())
    }

    /// Watches what the child says to nobody's request; one at a time.
    pub(super) fn watch(&self) -> Result<Letters, NotSent> {
        let mut state = self.lock();
        if state.gone {
            return Err(NotSent::Gone);
        }
        let watched = state.watcher.as_ref().is_some_and(|it| !it.is_closed());
        if watched || self.era == Era::Shared {
            return Err(NotSent::Unfit);
        }
        let (mailbox, letters) = mailbox(self.room.bytes, MESSAGES);
        state.watcher = Some(mailbox);
        state.used = Instant::now();
        Ok(letters)
    }

    /// Takes a line of the child's.
    pub(super) fn hear(&self, line: &[u8]) -> Heard {
        let Some(message) = Message::read(line) else {
            return Heard::Rubbish;
        };
        let Some(sort) = message.sort() else {
            return Heard::Rubbish;
        };
        let mut state = self.lock();
        state.heard = Some(Instant::now());
        match sort {
            Sort::Answer { id, .. } => state.answer(id, &message),
            Sort::Notification { method } => {
                let to = state.addressee(self.era, method, &message);
                passed(to.is_some_and(|to| to.give(&message)))
            }
            Sort::Request { id, .. } => {
                let partner = match self.era {
                    Era::Shared => None,
                    Era::Session => state.partner(false),
                };
                let given = partner.is_some_and(|it| it.give(&message));
                let unanswered = if given {
                    state.ask(id)
                } else {
                    Some(id.to_owned())
                };
                // A child that waits for an answer would wait for ever. Where its own queue is
                // full, it does not read anyway.
                if let Some(id) = unanswered {
                    let refusal = message::error(&id, -32601, "the client cannot be asked", None);
                    let _ = self.outbox.put(refusal);
                }
                passed(given)
            }
        }
    }

    /// The child has ended: whoever waits for it waits no longer.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.gone = true;
        self.outbox.close(Ok(()));
        for open in std::mem::take(&mut state.open).into_values() {
            open.mailbox.close(Err(BrokenOff));
        }
        if let Some(watcher) = state.watcher.take() {
            watcher.close(Err(BrokenOff));
        }
    }

    /// Whether the child has ended.
    #[must_use]
    pub(super) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Whether the child has ever said anything that was a message.
    #[must_use]
    pub(super) fn was_heard_since(&self, time: Instant) -> bool {
        self.lock().heard.is_some_and(|heard| heard >= time)
    }

    /// When somebody last had to do with the child.
    #[must_use]
    pub(super) fn used(&self) -> Instant {
        self.lock().used
    }

    fn give_up(&self, number: u64) {
        let mut state = self.lock();
        let now = Instant::now();
        state.used = now;
        match self.era {
            Era::Shared => {
                if state.open.remove(&number).is_some() {
                    let _ = self.outbox.put(message::cancellation(number));
                }
            }
            // That a caller stopped reading does not say that it wants the call undone. The answer
            // is still taken, and goes nowhere; the call can still be cancelled.
            Era::Session => {
                if let Some(open) = state.open.get_mut(&number) {
                    open.left = Some(now);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether the child can be asked for more. Where it cannot, what nobody has waited for in a
    /// long time is forgotten: perhaps it is never answered.
    fn has_room(&mut self, room: Room) -> bool {
        if self.open.len() >= room.requests {
            let lingers = |left: Instant| left.elapsed() < room.linger;
            self.open.retain(|_, open| open.left.is_none_or(lingers));
        }
        self.open.len() < room.requests
    }

    /// The request that its caller gave this id, the last where it did so again.
    fn under(&self, id: &str) -> Option<u64> {
        let mut open = self.open.iter().rev();
        open.find(|(_, open)| open.id == id)
            .map(|(number, _)| *number)
    }

    /// Notes a request of the child; answers the one that is given up for it.
    fn ask(&mut self, id: &str) -> Option<String> {
        let oldest = (self.asked.len() >= ASKED).then(|| self.asked.pop_front());
        self.asked.push_back(id.to_owned());
        oldest.flatten()
    }

    /// Whether the child waits for this answer; it waits no more.
    fn was_asked(&mut self, id: &str) -> bool {
        let at = self.asked.iter().position(|asked| asked == id);
        at.and_then(|at| self.asked.remove(at)).is_some()
    }

    fn answer(&mut self, id: &str, message: &Message<'_>) -> Heard {
        let Ok(number) = id.parse::<u64>() else {
            return Heard::Dropped;
        };
        let Some(open) = self.open.remove(&number) else {
            // Late: nobody waits any more. Whatever was never asked is made up.
            return passed((1..=self.next).contains(&number));
        };
        match message.to_caller(&open.id, None) {
            Some(answer) => open.mailbox.put_last(answer),
            None => open.mailbox.close(Err(BrokenOff)),
        }
        self.used = Instant::now();
        Heard::Passed
    }

    /// Who hears a notification: the request that it names and no other, even where nobody waits for
    /// that one any more, or a session's caller where it names none.
    fn addressee(&self, era: Era, method: &str, message: &Message<'_>) -> Option<To<'_>> {
        let named = if method == "notifications/progress" {
            Some(message.progress_of()?)
        } else {
            message.subscription_of()
        };
        match (named, era) {
            (Some(number), _) => self.open.get(&number).map(To::Request),
            (None, Era::Shared) => None,
            (None, Era::Session) => {
                let about_all = method.ends_with("changed") || method.ends_with("updated");
                self.partner(about_all)
            }
        }
    }

    /// Where a session's caller hears what names no request: the request that came last, of which
    /// it is most likely a part, or the stream that no request asked for.
    fn partner(&self, watcher_first: bool) -> Option<To<'_>> {
        let mut open = self.open.values().rev();
        let request = open.find(|open| !open.mailbox.is_closed()).map(To::Request);
        let watcher = self.watcher.as_ref().filter(|it| !it.is_closed());
        let watcher = watcher.map(To::Watcher);
        if watcher_first {
            watcher.or(request)
        } else {
            request.or(watcher)
        }
    }
}

/// Who gets a message.
#[derive(Debug, Clone, Copy)]
enum To<'s> {
    Request(&'s Open),
    Watcher(&'s Mailbox),
}

impl To<'_> {
    fn give(self, message: &Message<'_>) -> bool {
        let (mailbox, message) = match self {
            Self::Request(open) => {
                let message = message.to_caller(&open.id, open.token.as_deref());
                (&open.mailbox, message)
            }
            Self::Watcher(mailbox) => (mailbox, message.to_child(None)),
        };
        message.is_some_and(|message| mailbox.put(message).is_ok())
    }
}

fn passed(given: bool) -> Heard {
    if given { Heard::Passed } else { Heard::Dropped }
}

impl From<NotTaken> for NotSent {
    fn from(not: NotTaken) -> Self {
        match not {
            NotTaken::Full => Self::Busy,
            NotTaken::Closed => Self::Gone,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.desk.give_up(self.number);
    }
}

#[cfg(test)]
mod tests;
