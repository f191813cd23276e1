//! The chain of hashes that makes a log tamper-evident.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Event, Unsealed};
use crate::gate::hex;

/// A sealed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The JSON text, without a line end.
    pub text: String,
    /// Its hash, which the next event names: SHA-256 in lower-case hex.
    pub hash: String,
}

impl Event {
    /// Seals the event onto the chain: `prev_hash` is the hash of the line before, empty for the
    /// first.
    #[must_use]
    pub fn seal(&self, prev_hash: &str) -> Line {
        Unsealed::from(self).seal(prev_hash)
    }
}

impl From<&Event> for Unsealed {
    fn from(event: &Event) -> Self {
        // Every key of an event is a text, so writing it cannot fail; an empty line would break
        // the chain, which is what a checker must then see.
        let mut text = serde_json::to_string(event).unwrap_or_default();
        text.pop();
        Self { text }
    }
}

impl Unsealed {
    /// Seals the event onto the chain, as [`Event::seal`] does.
    #[must_use]
    pub fn seal(&self, prev_hash: &str) -> Line {
        let mut text = String::with_capacity(self.text.len() + LINKS);
        let hash = self.seal_onto(prev_hash, &mut text);
        Line { text, hash }
    }

    /// The same, appended to other lines; answers the hash.
    #[must_use]
    pub fn seal_onto(&self, prev_hash: &str, lines: &mut String) -> String {
        // The two links are appended as text: a flattened wrapper costs as much as the event.
        let start = lines.len();
        lines.push_str(&self.text);
        lines.push_str(",\"prev_hash\":\"");
        lines.push_str(prev_hash);
        lines.push_str("\"}");
        let hash = hex(&Sha256::digest(
            lines.as_bytes().get(start..).unwrap_or_default(),
        ));
        lines.pop();
        lines.push_str(",\"hash\":\"");
        lines.push_str(&hash);
        lines.push_str("\"}");
        hash
    }
}

/// At least what the two links and a line end take.
const LINKS: usize = 160;

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ChainError {}

#[derive(Deserialize)]
struct Link {
    prev_hash: String,
    hash: String,
}

/// A chain that is checked line by line, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    before: Option<String>,
    lines: usize,
}

impl Chain {
    /// How many lines were looked at.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Checks that the next line's hash is its own and that it names the line before. The first
    /// line may name any: a log starts where the one before it was rotated away. After a fault the
    /// check goes on with what the faulty line says of itself.
    pub fn check(&mut self, line: &str) -> Result<(), ChainError> {
        self.lines += 1;
        let fault = |what| ChainError {
            line: self.lines,
            what,
        };
        let link: Link = serde_json::from_str(line).map_err(|_| fault("not an audit event"))?;
        let before = self.before.replace(link.hash);
        let hash = self.before.as_deref().unwrap_or_default();
        let tail = format!(",\"hash\":\"{hash}\"}}");
        let Some(body) = line.strip_suffix(tail.as_str()) else {
            return Err(fault("its hash is not its last member"));
        };
        let mut digest = Sha256::new();
        digest.update(body.as_bytes());
        digest.update(b"}");
        if hex(&digest.finalize()) != hash {
            return Err(fault("changed after it was written"));
        }
        if before.is_some_and(|before| before != link.prev_hash) {
            return Err(fault("a line before it is missing, or was put in"));
        }
        Ok(())
    }
}

/// Checks the chain of some lines, as [`Chain::check`] does. Answers how many there are.
pub fn verify_chain<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<usize, ChainError> {
    let mut chain = Chain::default();
    for line in lines {
        chain.check(line)?;
    }
    Ok(chain.lines())
}
