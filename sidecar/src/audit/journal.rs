//! The journal: what is in flight, so that a crash cannot make it disappear.
//!
//! The first line says how long the log was when the journal was begun; every other line is an
//! intent, the ids of events that were written, or, when the log cannot be read back, the id and hash
//! of one. So a replay looks in the log for the last events alone.
//!
//! Two files take turns: a journal that is long enough is begun anew in the other, over what stood
//! there. Writing over old bytes costs the system a fraction of what new ones do. Each line names
//! its turn, so that what is left of an earlier one behind the last line is not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};

use serde::{Deserialize, Serialize};

use latchkey_gate::event::{Draft, Event};

use super::{
    AuditError, CUT_OFF, Ticket, Waiting,
    chain::{Log, ROOM},
    fault,
};
use crate::ids;

/// The journal is begun anew, with what is still in flight, when it reaches this many bytes.
const LONGEST: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// The file of the turn before, which has the name of the next.
    spare: Option<File>,
    /// What the lines of this turn are marked with; no two turns have the same.
    turn: String,
    /// Good bytes.
    length: u64,
    /// The intents in flight.
    open: BTreeMap<Ticket, Draft>,
    next: u64,
    /// Lines that are not written yet.
    lines: String,
    /// The first ticket whose intent is not written yet.
    unwritten: Ticket,
    /// The length of the lines that could not be written last.
    refused: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Marked {
    #[serde(default)]
    turn: String,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The log when the journal was begun.
    Begun(Begun),
    /// A request is about to go upstream.
    Intent(Box<Event>),
    /// The ids of events that were written to a log that can be read back.
    Closed(Vec<String>),
    /// An event was written to a log that cannot be read back.
    Done { event_id: String, hash: String },
}

/// What a journal says of the log that it was begun with.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its length; `None` when it cannot be read back.
    pub(super) offset: Option<u64>,
    /// Its last hash.
    pub(super) prev_hash: String,
    /// Which file it is.
    #[serde(default)]
    pub(super) file: Option<String>,
    /// Whether nothing was written after that: the sidecar had stopped.
    #[serde(default)]
    pub(super) ended: bool,
}

/// What the last run has left open.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Intents that have no event.
    pub(super) cut_off: Vec<Event>,
    /// Intents whose event may be in a log that was moved away.
    pub(super) unsettled: Vec<Event>,
}

impl Journal {
    /// Opens the journal, and answers what the last run has left open.
    pub(super) fn open(path: &Path, log: &Log) -> Result<(Self, Left), AuditError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fault(path, "read", &error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let turn = marked(&text).next().map(|first| first.turn);
        let left = unfinished(&text, log).map_err(|error| fault(path, "replay", &error))?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| fault(path, "open", &error))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            spare: None,
            turn: turn.unwrap_or_else(ids::span),
            length: bytes.len() as u64,
            open: BTreeMap::new(),
            next: 0,
            // Half a line may stand at the end.
            lines: if bytes.is_empty() { "" } else { "\n" }.to_owned(),
            unwritten: Ticket(0),
            refused: 0,
        };
        Ok((journal, left))
    }

    /// The hash of the last event that the journal knows of, and whether the sidecar had stopped
    /// with it.
    pub(super) fn last_hash(path: &Path) -> Option<(String, bool)> {
        let text = std::fs::read_to_string(path).ok()?;
        let hashes = entries(&text).filter_map(|entry| match entry {
            Entry::Begun(begun) => Some((begun.prev_hash, begun.ended)),
            Entry::Done { hash, .. } => Some((hash, false)),
            Entry::Intent(_) | Entry::Closed(_) => None,
        });
        hashes.last()
    }

    /// Notes an intent, which counts once it is written.
    pub(super) fn note(&mut self, intent: Draft) -> Ticket {
        write_intent(&mut self.lines, &self.turn, &intent);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.open.insert(ticket, intent);
        ticket
    }

    /// Writes what was noted. On an error there is none of its intents; that others were closed is
    /// then found in the log alone.
    pub(super) fn write(&mut self, log: &Log) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut lines = std::mem::take(&mut self.lines);
        let written = if self.length > LONGEST {
            self.start_over(log.state(false))
        } else {
            self.append(&lines)
        };
        self.refused = if written.is_ok() { 0 } else { lines.len() };
        lines.clear();
        self.lines = lines;
        if written.is_err() {
            let stands = self.unwritten;
            self.open.retain(|ticket, _| *ticket < stands);
        }
        self.unwritten = Ticket(self.next);
        written
    }

    /// An intent in flight.
    pub(super) fn intent(&self, ticket: Ticket) -> Option<&Draft> {
        self.open.get(&ticket)
    }

    /// Events are in the log. Of one that can be read back this is noted with the next intents.
    pub(super) fn done(
        &mut self,
        events: impl Iterator<Item = Waiting>,
        log: &Log,
    ) -> io::Result<()> {
        let mut lines = String::new();
        let mut closed = Vec::new();
        for event in events {
            let intent = event.ticket.and_then(|ticket| self.open.remove(&ticket));
            if log.offset().is_none() {
                let done = Entry::Done {
                    event_id: event.event_id,
                    hash: log.prev_hash().to_owned(),
                };
                lines.push_str(&line_of(&self.turn, done)?);
            } else if intent.is_some() {
                closed.push(event.event_id);
            }
        }
        write_closed(&mut self.lines, &self.turn, &closed);
        self.append(&lines)
    }

    /// Begins the journal anew, with what is still in flight.
    pub(super) fn start_over(&mut self, begun: Begun) -> io::Result<()> {
        let turn = ids::span();
        let mut text = line_of(&turn, Entry::Begun(begun))?;
        for intent in self.open.values() {
            write_intent(&mut text, &turn, intent);
        }
        let aside = self.path.with_extension("new");
        let file = match self.spare.take() {
            Some(spare) => spare,
            None => created(&aside)?,
        };
        file.write_all_at(text.as_bytes(), 0)?;
        let exchange = RenameFlags::EXCHANGE;
        if rustix::fs::renameat_with(CWD, &aside, CWD, &self.path, exchange).is_ok() {
            self.spare = Some(std::mem::replace(&mut self.file, file));
        } else {
            // Not every file system can exchange names: the next turn has a new file then.
            std::fs::rename(&aside, &self.path)?;
            self.file = file;
        }
        self.turn = turn;
        self.length = text.len() as u64;
        // Those of the turn before, which stand in this one as far as they still count.
        self.lines.clear();
        self.unwritten = Ticket(self.next);
        Ok(())
    }

    /// Whether the journal takes as many bytes as it did not take last; its lines are left as they
    /// were.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        let room = vec![b'\n'; ROOM.max(self.refused)];
        let written = self.file.write_all_at(&room, self.length);
        self.file.set_len(self.length)?;
        written
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all_at(lines.as_bytes(), self.length) {
            // Nobody acts upon what was written in part, and a crash must not find it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }
}

/// A new, empty file.
fn created(path: &Path) -> io::Result<File> {
    let create = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    };
    create().or_else(|_| {
        std::fs::remove_file(path)?;
        create()
    })
}

/// The lines that can be read, of whichever turn. Those that a crash cut short were never acted
/// upon.
fn marked(text: &str) -> impl Iterator<Item = Marked> + '_ {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// The entries of a journal: of the turn that its first line is of.
fn entries(text: &str) -> impl Iterator<Item = Entry> + '_ {
    let mut turn = None;
    marked(text)
        .filter(move |line: &Marked| *turn.get_or_insert_with(|| line.turn.clone()) == line.turn)
        .map(|line| line.entry)
}

/// The intents of a journal that have no event.
fn unfinished(text: &str, log: &Log) -> io::Result<Left> {
    let mut from = Begun::default();
    let mut intents = Vec::new();
    let mut done = BTreeSet::new();
    for entry in entries(text) {
        match entry {
            Entry::Begun(begun) => from = begun,
            Entry::Closed(ids) => done.extend(ids),
            Entry::Intent(intent) => intents.push(*intent),
            Entry::Done { event_id, .. } => {
                done.insert(event_id);
            }
        }
    }
    intents.retain(|intent| !done.contains(&intent.event_id));
    if intents.is_empty() {
        return Ok(Left::default());
    }
    let (ids, are_all) = log.ids_since(&from)?;
    done.extend(ids);
    intents.retain(|intent| !done.contains(&intent.event_id));
    let (cut_off, unsettled) = if are_all {
        (intents, Vec::new())
    } else {
        (Vec::new(), intents)
    };
    Ok(Left { cut_off, unsettled })
}

/// The line of an [`Entry::Closed`], if there is any to note.
fn write_closed(line: &mut String, turn: &str, ids: &[String]) {
    if ids.is_empty() {
        return;
    }
    line.push_str("{\"turn\":\"");
    line.push_str(turn);
    line.push_str("\",\"closed\":[\"");
    line.push_str(&ids.join("\",\""));
    line.push_str("\"]}\n");
}

/// The line of an [`Entry::Intent`].
fn write_intent(line: &mut String, turn: &str, intent: &Draft) {
    line.push_str("{\"turn\":\"");
    line.push_str(turn);
    line.push_str("\",\"intent\":");
    intent.write_intent(line, CUT_OFF);
    line.push_str("}\n");
}

fn line_of(turn: &str, entry: Entry) -> io::Result<String> {
    let turn = turn.to_owned();
    let mut line = serde_json::to_string(&Marked { turn, entry })?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_earlier_turn_is_not_read() {
        let line = |turn: &str, id: &str| {
            let done = Entry::Done {
                event_id: id.to_owned(),
                hash: String::new(),
            };
            line_of(turn, done).unwrap()
        };
        let old = line("a", "1") + &line("a", "2") + &line("a", "3");
        let new = line("b", "4") + &line("b", "5555");
        let text = new.clone() + old.get(new.len()..).unwrap();
        assert!(text.contains("\"3\""), "{text}");
        let ids: Vec<String> = entries(&text)
            .filter_map(|entry| match entry {
                Entry::Done { event_id, .. } => Some(event_id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, ["4", "5555"]);
    }
}
