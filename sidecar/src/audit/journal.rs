//! The journal: what is in flight, so that a crash cannot make it disappear.
//!
//! The first line says how long the log was when the journal was begun; every other line is an
//! intent, or, when the log cannot be read back, the id and hash of an event that was written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use latchkey_gate::event::{Draft, Event};

use super::{AuditError, Ticket, Waiting, chain::Log, fault};

/// The journal is begun anew, with what is still in flight, when it reaches this many bytes.
const LONGEST: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Good bytes.
    length: u64,
    /// The intents in flight.
    open: BTreeMap<Ticket, Draft>,
    next: u64,
    /// Lines that are not written yet.
    lines: String,
    /// The first ticket whose intent is not written yet.
    unwritten: Ticket,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The log's length and last hash when the journal was begun.
    Begun {
        offset: Option<u64>,
        prev_hash: String,
    },
    /// A request is about to go upstream.
    Intent(Box<Event>),
    /// An event was written to a log that cannot be read back.
    Done { event_id: String, hash: String },
}

/// What the event of an intent says that nobody saw the end of.
const CUT_OFF: &str = "cut_off: the sidecar stopped before the answer ended";

impl Journal {
    /// Opens the journal, and answers the intents that have no event.
    pub(super) fn open(path: &Path, log: &Log) -> Result<(Self, Vec<Event>), AuditError> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fault(path, "read", &error)),
        };
        let open = unfinished(&text, log).map_err(|error| fault(path, "replay", &error))?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| fault(path, "open", &error))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            length: text.len() as u64,
            open: BTreeMap::new(),
            next: 0,
            lines: String::new(),
            unwritten: Ticket(0),
        };
        Ok((journal, open))
    }

    /// The hash of the last event of a log that cannot be read back.
    pub(super) fn last_hash(path: &Path) -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Entry>(line).ok())
            .find_map(|entry| match entry {
                Entry::Begun { prev_hash, .. } => Some(prev_hash),
                Entry::Done { hash, .. } => Some(hash),
                Entry::Intent(_) => None,
            })
    }

    /// Notes an intent, which counts once it is written.
    pub(super) fn note(&mut self, intent: Draft) -> Ticket {
        write_intent(&mut self.lines, &intent);
        let ticket = Ticket(self.next);
        self.next += 1;
        self.open.insert(ticket, intent);
        ticket
    }

    /// Writes the intents that were noted. On an error there is none of them.
    pub(super) fn write(&mut self, log: &Log) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut lines = std::mem::take(&mut self.lines);
        let written = if self.length > LONGEST {
            self.start_over(log)
        } else {
            self.append(&lines)
        };
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

    /// Events are in the log.
    pub(super) fn done(
        &mut self,
        events: impl Iterator<Item = Waiting>,
        log: &Log,
    ) -> io::Result<()> {
        let mut lines = String::new();
        for event in events {
            if let Some(ticket) = event.ticket {
                self.open.remove(&ticket);
            }
            if log.offset().is_none() {
                lines.push_str(&line_of(&Entry::Done {
                    event_id: event.event_id,
                    hash: log.prev_hash().to_owned(),
                })?);
            }
        }
        self.append(&lines)
    }

    /// Begins the journal anew, with what is in flight.
    pub(super) fn start_over(&mut self, log: &Log) -> io::Result<()> {
        let mut text = line_of(&Entry::Begun {
            offset: log.offset(),
            prev_hash: log.prev_hash().to_owned(),
        })?;
        for intent in self.open.values() {
            write_intent(&mut text, intent);
        }
        let aside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .or_else(|_| {
                std::fs::remove_file(&aside)?;
                OpenOptions::new()
                    .append(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&aside)
            })?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&aside, &self.path)?;
        self.file = file;
        self.length = text.len() as u64;
        Ok(())
    }

    /// Whether the journal takes bytes; it is left as it was.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&[b'\n'; 512]);
        self.file.set_len(self.length)?;
        written
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(lines.as_bytes()) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }
}

/// The intents of a journal that have no event in the log. Lines that a crash cut short were
/// never acted upon.
fn unfinished(text: &str, log: &Log) -> io::Result<Vec<Event>> {
    let mut offset = 0;
    let mut intents = Vec::new();
    let mut done = BTreeSet::new();
    for line in text.lines() {
        match serde_json::from_str::<Entry>(line) {
            Ok(Entry::Begun { offset: at, .. }) => offset = at.unwrap_or(0),
            Ok(Entry::Intent(intent)) => intents.push(*intent),
            Ok(Entry::Done { event_id, .. }) => {
                done.insert(event_id);
            }
            Err(_) => {}
        }
    }
    if intents.is_empty() {
        return Ok(intents);
    }
    // A log that was moved away since holds none of these events: they are looked for in all of it.
    let start = log
        .offset()
        .filter(|length| offset <= *length)
        .map(|_| offset);
    done.extend(log.ids_from(start.unwrap_or(0))?);
    intents.retain(|intent| !done.contains(&intent.event_id));
    Ok(intents)
}

/// The line of an [`Entry::Intent`].
fn write_intent(line: &mut String, intent: &Draft) {
    line.push_str("{\"intent\":");
    intent.write_intent(line, CUT_OFF);
    line.push_str("}\n");
}

fn line_of(entry: &impl Serialize) -> io::Result<String> {
    let mut line = serde_json::to_string(entry)?;
    line.push('\n');
    Ok(line)
}
