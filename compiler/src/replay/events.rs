//! The events of a log, one after the other, in constant memory.

use std::io::{self, BufRead};

use latchkey_gate::event::{Chain, Event};
use serde::Serialize;

/// The longest line that is read, in bytes: many times the longest event.
const MAX_LINE: u64 = 1 << 20;

/// An event and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'e> {
    /// The file.
    pub file: &'e str,
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub event: &'e Event,
}

/// A line that cannot be used, or not be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// The lines of one log, with its chain of hashes.
#[derive(Debug)]
pub struct Events<R> {
    from: R,
    file: String,
    chain: Chain,
    line: Vec<u8>,
    number: usize,
}

/// What a line comes to: an event, if it is one, and what is wrong with it, if anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub event: Option<Event>,
    /// What is wrong with it. An event that breaks the chain is still an event.
    pub broken: Option<Broken>,
}

impl<R: BufRead> Events<R> {
    /// The events of a log; `file` is what it is called.
    pub fn new(from: R, file: &str) -> Self {
        Self {
            from,
            file: file.to_owned(),
            chain: Chain::default(),
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line; none at the end. Fails where the log cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Taken>> {
        self.line.clear();
        let mut limited = io::Read::take(&mut self.from, MAX_LINE);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() as u64 == MAX_LINE {
            skip_line(&mut self.from)?;
            return Ok(Some(self.fault("is longer than any event")));
        }
        Ok(Some(self.read()))
    }

    fn read(&mut self) -> Taken {
        let Ok(text) = std::str::from_utf8(&self.line) else {
            return self.fault("is not UTF-8");
        };
        let chained = self.chain.check(text).map_err(|fault| fault.what);
        match (serde_json::from_str::<Event>(text), chained) {
            (Err(_), _) => self.fault("not an audit event"),
            (Ok(event), Ok(())) => Taken {
                line: self.number,
                event: Some(event),
                broken: None,
            },
            (Ok(event), Err(what)) => Taken {
                event: Some(event),
                ..self.fault(what)
            },
        }
    }

    fn fault(&self, what: &str) -> Taken {
        let broken = Broken {
            file: self.file.clone(),
            line: self.number,
            what: what.to_owned(),
        };
        Taken {
            line: self.number,
            event: None,
            broken: Some(broken),
        }
    }
}

/// Reads on to the end of a line that is too long to keep.
fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = from.fill_buf()?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let (count, done) = match end {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        from.consume(count);
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_line_and_the_rest_is_read() {
        let mut log = String::new();
        let mut before = String::new();
        for at in 0..4 {
            let event = Event {
                event_type: "request".to_owned(),
                event_id: at.to_string(),
                ..Event::default()
            };
            let line = event.seal(&before);
            before = line.hash;
            log += &line.text;
            log.push('\n');
        }
        let all: Vec<&str> = log.lines().collect();
        let changed = all[1].replace("\"event_id\":\"1\"", "\"event_id\":\"7\"");
        let long = "x".repeat(3 << 20);
        let log = [all[0], "no event", &changed, &long, all[3]].join("\n");
        let mut events = Events::new(log.as_bytes(), "a.jsonl");
        let mut found = Vec::new();
        while let Some(taken) = events.next_line().unwrap() {
            let what = taken.broken.map(|it| it.what).unwrap_or_default();
            found.push((taken.line, taken.event.map(|it| it.event_id), what));
        }
        let event = |id: &str| Some(id.to_owned());
        let expected = [
            (1, event("0"), ""),
            (2, None, "not an audit event"),
            (3, event("7"), "changed after it was written"),
            (4, None, "is longer than any event"),
            (5, event("3"), "a line before it is missing, or was put in"),
        ];
        let expected = expected.map(|(line, event, what)| (line, event, what.to_owned()));
        assert_eq!(found, expected);
    }
}
