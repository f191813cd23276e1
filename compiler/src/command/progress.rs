//! How far a long run has come, on a terminal.

use std::{
    io::{IsTerminal as _, Write},
    time::{Duration, Instant},
};

/// Nothing is drawn before this much time has passed.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is drawn.
const PERIOD: Duration = Duration::from_millis(100);
/// How wide the bar is, in characters.
const WIDTH: usize = 30;

/// A line that is drawn over itself, and is gone when it is dropped.
pub(crate) struct Bar<'a> {
    out: &'a mut dyn Write,
    what: &'static str,
    visible: bool,
    next: Instant,
    drawn: bool,
}

impl<'a> Bar<'a> {
    /// A bar on standard error, if that is a terminal.
    pub(crate) fn new(out: &'a mut dyn Write, what: &'static str) -> Self {
        Self {
            out,
            what,
            visible: std::io::stderr().is_terminal(),
            next: Instant::now() + PATIENCE,
            drawn: false,
        }
    }

    /// So much is done, of so much.
    pub(crate) fn tell(&mut self, done: usize, all: usize) {
        if !self.visible || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + PERIOD;
        self.drawn = true;
        // A terminal that is gone needs no bar.
        let _ = write!(self.out, "\r{}", line(self.what, done, all));
        let _ = self.out.flush();
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(self.out, "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: usize, all: usize) -> String {
    let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    let (full, rest) = ("#".repeat(filled), " ".repeat(WIDTH - filled));
    format!("[{full}{rest}] {done} of {all} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(
            line("mutants", 0, 0),
            format!("[{}] 0 of 0 mutants", "#".repeat(30))
        );
        assert_eq!(
            line("mutants", 5, 10),
            format!("[{}{}] 5 of 10 mutants", "#".repeat(15), " ".repeat(15))
        );
    }

    #[test]
    fn nothing_is_drawn_where_nobody_looks() {
        let mut out = Vec::new();
        let mut bar = Bar::new(&mut out, "mutants");
        bar.visible = false;
        bar.next = Instant::now();
        bar.tell(1, 2);
        drop(bar);
        assert!(out.is_empty());
    }
}
