//! The log itself: sealed lines, one after another.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use latchkey_gate::event::Unsealed;

use super::{AuditError, fault};
use crate::ids;

/// Where sealed lines go, and the hash that the next one names.
#[derive(Debug)]
pub(super) struct Log {
    sink: Sink,
    prev_hash: String,
    /// The lines that are being written.
    lines: String,
}

/// About as many bytes are written at once.
const BLOCK: usize = 64 << 10;

#[derive(Debug)]
enum Sink {
    /// A file with this many good bytes.
    File { file: File, length: u64 },
    /// Something that cannot be read back: standard output, a pipe, a device.
    Stream(File),
}

impl Log {
    /// Opens the log and finds the end of its chain. A last line that a crash truncated is moved
    /// into the state directory, so that what was written is not lost and the chain stays whole.
    pub(super) fn open(path: &Path, state: &Path) -> Result<Self, AuditError> {
        if path.as_os_str() == "-" {
            let stdout = std::os::fd::AsFd::as_fd(&io::stdout())
                .try_clone_to_owned()
                .map_err(|error| fault(path, "open", &error))?;
            return Ok(Self {
                sink: Sink::Stream(stdout.into()),
                prev_hash: String::new(),
                lines: String::new(),
            });
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| fault(path, "open", &error))?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !regular {
            return Ok(Self {
                sink: Sink::Stream(file),
                prev_hash: String::new(),
                lines: String::new(),
            });
        }
        let (length, last) = recover(&mut file, state).map_err(|e| fault(path, "recover", &e))?;
        let prev_hash = match last {
            None => String::new(),
            Some(line) => hash_of(&line).ok_or_else(|| {
                AuditError(format!(
                    "{}: its last line is no audit event; move the file away to start a new chain",
                    path.display()
                ))
            })?,
        };
        Ok(Self {
            sink: Sink::File { file, length },
            prev_hash,
            lines: String::new(),
        })
    }

    /// The hash of the last line.
    pub(super) fn prev_hash(&self) -> &str {
        &self.prev_hash
    }

    /// Goes on with a chain whose lines cannot be read back.
    pub(super) fn resume(&mut self, prev_hash: String) {
        if self.offset().is_none() && is_hash(&prev_hash) {
            self.prev_hash = prev_hash;
        }
    }

    /// How many bytes the log has; `None` when it cannot be read back.
    pub(super) fn offset(&self) -> Option<u64> {
        match &self.sink {
            Sink::File { length, .. } => Some(*length),
            Sink::Stream(_) => None,
        }
    }

    /// The ids of the events from an offset on.
    pub(super) fn ids_from(&self, offset: u64) -> io::Result<Vec<String>> {
        let Sink::File { file, .. } = &self.sink else {
            return Ok(Vec::new());
        };
        let mut file = file;
        let mut text = String::new();
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_string(&mut text)?;
        Ok(text.lines().filter_map(id_of).collect())
    }

    /// Seals the first of some events onto the chain and writes them; answers how many. After an
    /// error the chain is as it was.
    pub(super) fn append<'e>(
        &mut self,
        events: impl Iterator<Item = &'e Unsealed>,
    ) -> io::Result<usize> {
        let most = match &self.sink {
            Sink::File { .. } => usize::MAX,
            // What has left cannot be taken back.
            Sink::Stream(_) => 1,
        };
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        let mut hash = self.prev_hash.clone();
        let mut count = 0;
        for event in events.take(most) {
            hash = event.seal_onto(&hash, &mut lines);
            lines.push('\n');
            count += 1;
            if lines.len() >= BLOCK {
                break;
            }
        }
        let written = self.sink.write(&lines);
        self.lines = lines;
        written?;
        self.prev_hash = hash;
        Ok(count)
    }

    /// Whether the log takes bytes. A file is left as it was; a device gets an empty line.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::File { file, length } => {
                let written = file.write_all(&[b'\n'; 512]);
                file.set_len(*length)?;
                written
            }
            Sink::Stream(file) => file.write_all(b"").and_then(|()| device_takes(file)),
        }
    }
}

impl Sink {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        match self {
            Self::Stream(file) => file.write_all(lines.as_bytes()),
            Self::File { file, length } => {
                if let Err(error) = file.write_all(lines.as_bytes()) {
                    // Half a line must not stand before the next one.
                    file.set_len(*length)?;
                    return Err(error);
                }
                *length += lines.len() as u64;
                Ok(())
            }
        }
    }
}

/// A full device says so only when something is written; a pipe or terminal is left alone.
fn device_takes(file: &mut File) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = file.metadata()?.file_type();
    if kind.is_char_device() && !io::IsTerminal::is_terminal(file) {
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// The good length of a log and its last line.
fn recover(file: &mut File, state: &Path) -> io::Result<(u64, Option<String>)> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_start = line_start(file, length)?;
    if tail_start < length {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(tail_start))?;
        file.read_to_end(&mut tail)?;
        let aside = state.join(format!("audit.cut-{}", ids::uuid()));
        crate::files::write_private(&aside, &tail)?;
        file.set_len(tail_start)?;
        tracing::warn!(
            target: "audit", bytes = tail.len(), aside = %aside.display(),
            "the last audit line was cut short; moved it aside"
        );
    }
    if tail_start == 0 {
        return Ok((0, None));
    }
    let start = line_start(file, tail_start - 1)?;
    let mut line = vec![0; usize::try_from(tail_start - 1 - start).unwrap_or(0)];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut line)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    Ok((tail_start, Some(line)))
}

/// Where the line that ends before `end` starts: after the last line end before it.
fn line_start(file: &mut File, end: u64) -> io::Result<u64> {
    const BLOCK: u64 = 8192;
    let mut high = end;
    while high > 0 {
        let low = high.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(high - low).unwrap_or(0)];
        file.seek(SeekFrom::Start(low))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(low + at as u64 + 1);
        }
        high = low;
    }
    Ok(0)
}

fn hash_of(line: &str) -> Option<String> {
    text_field(line, "hash").filter(|hash| is_hash(hash))
}

/// Whether a text is a hash as lines carry it.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn id_of(line: &str) -> Option<String> {
    text_field(line, "event_id")
}

fn text_field(line: &str, name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}
