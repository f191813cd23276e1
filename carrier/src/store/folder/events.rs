//! What tells at once that a folder changed: inotify(7).
//!
//! Only names that come and go and files that were written to the end are asked for. A log that
//! grows in the folder or beside it would otherwise wake the process for each of its lines.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

/// Names that come to mean other bytes.
const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::ONLYDIR);
/// Some events, with the longest names that files have.
const ROOM: usize = 1024;

/// The events of one folder, and of its name.
#[derive(Debug)]
pub(super) struct Events {
    stream: EventStream<[u8; ROOM]>,
    parent: WatchDescriptor,
    /// The folder's name in its parent, whose other names are of others.
    name: OsString,
}

impl Events {
    /// Watches the folder, which may not be there yet, and its parent.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let stream = Inotify::init()?.into_event_stream([0; ROOM])?;
        let parent = match root.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = stream.watches().add(parent, NAMES)?;
        match stream.watches().add(root, NAMES | WatchMask::CLOSE_WRITE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let name = root.file_name().unwrap_or_default().to_owned();
        Ok(Self {
            stream,
            parent,
            name,
        })
    }

    /// Waits for the next, and takes all there are.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        while let Some(event) = self.stream.next().await {
            if self.is_of_us(&event?) {
                while self.stream.next().now_or_never().flatten().is_some() {}
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn is_of_us(&self, event: &EventOwned) -> bool {
        event.wd != self.parent || event.name.as_ref() == Some(&self.name)
    }
}
