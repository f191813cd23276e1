//! A log that cannot be read back: standard output, a pipe, a device.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::unix::fs::FileTypeExt,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Somebody reads it, and may stop doing so.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// Whether its reader took nothing last time.
    stalled: bool,
}

/// How long a line waits for its reader. Until then the thread that writes does nothing else; after
/// it the record counts as unavailable, and nobody waits until the reader goes on.
const PATIENCE: Duration = Duration::from_millis(100);

impl Stream {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            stalled: false,
        }
    }

    /// Writes a line as soon as there is room. A pipe that has any takes up to 4 KiB at once, and a
    /// socket more: only the rest of a longer line can still wait for its reader.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        self.wait_for_room()?;
        self.file.write_all(line.as_bytes())
    }

    /// Whether it takes bytes. A full device says so only when something is written: it gets an empty
    /// line. A pipe or terminal is left alone.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        self.wait_for_room()?;
        let kind = self.file.metadata()?.file_type();
        if kind.is_char_device() && !self.file.is_terminal() {
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    fn wait_for_room(&mut self) -> io::Result<()> {
        let patience = if self.stalled {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let ready = poll(
            &mut [PollFd::new(&self.file, PollFlags::OUT)],
            Some(&patience),
        )?;
        self.stalled = ready == 0;
        if self.stalled {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "who reads it has stopped reading",
            ));
        }
        Ok(())
    }
}
