//! The log itself: sealed lines, one after another.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use latchkey_gate::event::Unsealed;

use super::{AuditError, fault, journal::Begun, locked, stream::Stream};
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

/// How much room there must be until a file counts as taking bytes again.
pub(super) const ROOM: usize = 64 << 10;

/// What is written to see whether there is room. It ends no line: where the sidecar dies before it is
/// taken back, it is taken for the beginning of a line that was cut short.
const BLANK: u8 = b' ';

#[derive(Debug)]
enum Sink {
    /// A file.
    File(Held),
    /// Something that cannot be read back: standard output, a pipe, a device.
    Stream(Stream),
}

/// A file that nobody else writes to for as long as it is held.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Where a line that was cut short is moved to.
    state: PathBuf,
    file: File,
    identity: String,
    /// Good bytes.
    length: u64,
    /// Whether the path names another file, which cannot be opened: what is written to this one is
    /// lost with it.
    lost: bool,
}

impl Log {
    /// Opens the log and finds the end of its chain. A last line that a crash truncated is moved
    /// into the state directory, so that what was written is not lost and the chain stays whole.
    pub(super) fn open(path: &Path, state: &Path) -> Result<Self, AuditError> {
        if path.as_os_str() == "-" {
            let stdout = std::os::fd::AsFd::as_fd(&io::stdout())
                .try_clone_to_owned()
                .map_err(|error| fault(path, "open", &error))?;
            return Ok(Self::new(Sink::Stream(Stream::new(stdout.into())), None));
        }
        let file = opened(path)?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !regular {
            return Ok(Self::new(Sink::Stream(Stream::new(file)), None));
        }
        let (held, last) = Held::new(path, file, state)?;
        Ok(Self::new(Sink::File(held), last))
    }

    fn new(sink: Sink, last: Option<String>) -> Self {
        Self {
            sink,
            prev_hash: last.unwrap_or_default(),
            lines: String::new(),
        }
    }

    /// Goes on in another file if the path names this one no more, and takes note of one that was
    /// cut short. Answers whether either was so.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let Sink::File(held) = &mut self.sink else {
            return Ok(false);
        };
        let there = std::fs::metadata(&held.path);
        if there.is_ok_and(|there| identity(&there) == held.identity) {
            held.lost = false;
            return held.was_cut_short();
        }
        held.lost = true;
        let (next, last) = held.next().map_err(io::Error::other)?;
        *held = next;
        if let Some(last) = last {
            self.prev_hash = last;
        }
        tracing::info!(
            target: "audit", path = %held.path.display(),
            "the audit log was moved away; its chain goes on in a new file"
        );
        Ok(true)
    }

    /// The hash of the last line.
    pub(super) fn prev_hash(&self) -> &str {
        &self.prev_hash
    }

    /// Goes on with a chain whose lines are not here: they cannot be read back, or they were moved
    /// away after the last stop, which had ended them with this hash.
    pub(super) fn resume(&mut self, prev_hash: String, ended: bool) {
        let follows = self.offset().is_none_or(|length| length == 0 && ended);
        if follows && is_hash(&prev_hash) {
            self.prev_hash = prev_hash;
        }
    }

    /// What a journal that is begun now says of the log.
    pub(super) fn state(&self, ended: bool) -> Begun {
        let held = match &self.sink {
            Sink::File(held) => Some(held),
            Sink::Stream(_) => None,
        };
        Begun {
            offset: held.map(|held| held.length),
            prev_hash: self.prev_hash.clone(),
            file: held.map(|held| held.identity.clone()),
            ended,
        }
    }

    /// The ids of the events that were written since a journal was begun, and whether these are all
    /// of them: the log may have been moved away since, to where it is not found.
    pub(super) fn ids_since(&self, begun: &Begun) -> io::Result<(Vec<String>, bool)> {
        let Sink::File(held) = &self.sink else {
            return Ok((Vec::new(), true));
        };
        let offset = begun.offset.unwrap_or(0);
        if held.goes_on_from(begun) {
            return Ok((ids_from(&held.file, offset)?, true));
        }
        let mut ids = ids_from(&held.file, 0)?;
        let moved = held.moved(begun);
        if let Some(moved) = &moved {
            ids.extend(ids_from(moved, offset)?);
        }
        Ok((ids, moved.is_some()))
    }

    /// How many bytes the log has; `None` when it cannot be read back.
    pub(super) fn offset(&self) -> Option<u64> {
        match &self.sink {
            Sink::File(held) => Some(held.length),
            Sink::Stream(_) => None,
        }
    }

    /// Seals the first of some events onto the chain and writes them; answers how many. After an
    /// error the chain is as it was.
    pub(super) fn append<'e>(
        &mut self,
        events: impl Iterator<Item = &'e Unsealed>,
    ) -> io::Result<usize> {
        let most = match &self.sink {
            Sink::File(_) => usize::MAX,
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
            Sink::File(held) => held.probe(),
            Sink::Stream(stream) => stream.probe(),
        }
    }
}

impl Sink {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(lines),
            Self::File(held) => held.write(lines),
        }
    }
}

impl Held {
    /// Locks a log and finds the end of its chain.
    fn new(
        path: &Path,
        mut file: File,
        state: &Path,
    ) -> Result<(Self, Option<String>), AuditError> {
        locked(&file, path, "[audit] file")?;
        let found = recover(&mut file, state).and_then(|it| Ok((it, file.metadata()?)));
        let ((length, last), metadata) = found.map_err(|error| fault(path, "recover", &error))?;
        let hash = |line: String| {
            hash_of(&line).ok_or_else(|| {
                AuditError(format!(
                    "{}: its last line is no audit event; move the file away to start a new chain",
                    path.display()
                ))
            })
        };
        let held = Self {
            path: path.to_owned(),
            state: state.to_owned(),
            file,
            identity: identity(&metadata),
            length,
            lost: false,
        };
        Ok((held, last.map(hash).transpose()?))
    }

    /// The file that the path names now.
    fn next(&self) -> Result<(Self, Option<String>), AuditError> {
        let file = opened(&self.path)?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(AuditError(format!(
                "{} is no file any more: move what is there away",
                self.path.display()
            )));
        }
        Self::new(&self.path, file, &self.state)
    }

    /// Whether somebody has cut the file short; its end is known again then.
    fn was_cut_short(&mut self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        let was = length < self.length;
        if was {
            self.length = length;
        }
        Ok(was)
    }

    fn write(&mut self, lines: &str) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("the file was moved away"));
        }
        if let Err(error) = self.file.write_all(lines.as_bytes()) {
            self.cut_back()?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Half a line must not stand before the next one.
    fn cut_back(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.length {
            // Somebody has cut the file short: lengthening it would leave a hole.
            self.length = line_start(&self.file, length)?;
        }
        self.file.set_len(self.length)
    }

    fn probe(&mut self) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        let written = self.file.write_all(&vec![BLANK; ROOM]);
        self.file.set_len(end)?;
        written
    }

    /// Whether this is the log that a journal was begun with, and so holds what was written since.
    fn goes_on_from(&self, begun: &Begun) -> bool {
        match begun.offset {
            Some(0) | None => begun.file.as_ref() == Some(&self.identity),
            Some(offset) => {
                let line = line_before(&self.file, offset).ok();
                let hash = line.as_deref().and_then(hash_of);
                offset <= self.length && hash.as_ref() == Some(&begun.prev_hash)
            }
        }
    }

    /// The file that was the log when a journal was begun, if it has another name in its folder now.
    fn moved(&self, begun: &Begun) -> Option<File> {
        let sought = begun.file.as_ref()?;
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let files = std::fs::read_dir(folder.unwrap_or_else(|| Path::new("."))).ok()?;
        let mut paths = files.filter_map(|entry| Some(entry.ok()?.path()));
        let is_it = |path: &PathBuf| {
            let metadata = std::fs::metadata(path);
            metadata.is_ok_and(|it| it.is_file() && identity(&it) == *sought)
        };
        File::open(paths.find(is_it)?).ok()
    }
}

/// A log that is opened for more lines, and made where there is none.
fn opened(path: &Path) -> Result<File, AuditError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options
        .open(path)
        .map_err(|error| fault(path, "open", &error))
}

/// What tells a file from all others, also from a later one in its place.
fn identity(metadata: &std::fs::Metadata) -> String {
    let made = metadata.created().ok();
    let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    format!("{}-{}", metadata.ino(), made.unwrap_or_default().as_nanos())
}

/// The ids of the events from an offset on.
fn ids_from(mut file: &File, offset: u64) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(id_of).collect())
}

/// The good length of a log and its last line.
fn recover(file: &mut File, state: &Path) -> io::Result<(u64, Option<String>)> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_start = line_start(file, length)?;
    if tail_start < length {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(tail_start))?;
        file.read_to_end(&mut tail)?;
        if tail.iter().any(|byte| *byte != BLANK) {
            move_aside(&tail, state)?;
        }
        file.set_len(tail_start)?;
    }
    if tail_start == 0 {
        return Ok((0, None));
    }
    Ok((tail_start, Some(line_before(file, tail_start)?)))
}

/// Keeps a line that was cut short.
fn move_aside(line: &[u8], state: &Path) -> io::Result<()> {
    let aside = state.join(format!("audit.cut-{}", ids::uuid()));
    crate::files::write_private(&aside, line)?;
    tracing::warn!(
        target: "audit", bytes = line.len(), aside = %aside.display(),
        "the last audit line was cut short; moved it aside"
    );
    Ok(())
}

/// The line that ends at `end`, without its line end.
fn line_before(mut file: &File, end: u64) -> io::Result<String> {
    let end = end.saturating_sub(1);
    let start = line_start(file, end)?;
    let mut line = vec![0; usize::try_from(end - start).unwrap_or(0)];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Where the line that ends before `end` starts: after the last line end before it.
fn line_start(mut file: &File, end: u64) -> io::Result<u64> {
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
