//! When each stage of a request ended.

use std::time::{Duration, Instant};

/// A stage of a request, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The body is read.
    Receive,
    /// The token is verified.
    Identify,
    /// The call is decided.
    Admit,
    /// The tool is compared with its reviewed definition.
    Hold,
    /// The limits are asked.
    Throttle,
    /// The intent is recorded.
    Record,
    /// The tool server begins its answer.
    Forward,
    /// The answer is passed on, and the event recorded.
    Answer,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Receive,
        Self::Identify,
        Self::Admit,
        Self::Hold,
        Self::Throttle,
        Self::Record,
        Self::Forward,
        Self::Answer,
    ];

    /// Its word in metrics and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Identify => "identify",
            Self::Admit => "admit",
            Self::Hold => "hold",
            Self::Throttle => "throttle",
            Self::Record => "record",
            Self::Forward => "forward",
            Self::Answer => "answer",
        }
    }
}

/// When the stages of a request ended.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    /// How long after the beginning each ended, in order.
    ends: Vec<(Stage, Duration)>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            ends: Vec::with_capacity(Stage::ALL.len()),
        }
    }
}

impl Timeline {
    /// A stage has ended, well or not.
    pub fn ended(&mut self, stage: Stage) {
        self.ends.push((stage, self.began.elapsed()));
    }

    /// The stages with when each began and ended, after the beginning of the request.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, Duration, Duration)> + '_ {
        let mut before = Duration::ZERO;
        self.ends.iter().map(move |(stage, end)| {
            let began = std::mem::replace(&mut before, *end);
            (*stage, began, *end)
        })
    }
}
