//! Files that the sidecar writes, read as far as they have grown.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The audit log is begun anew when it reaches this many bytes.
const LONG: u64 = 16 << 20;

/// The audit log, read as far as it has grown.
pub(crate) struct LogTail {
    path: PathBuf,
    file: File,
}

impl LogTail {
    pub(crate) fn of(path: PathBuf) -> Self {
        let file = File::open(&path).unwrap();
        Self { path, file }
    }

    /// The new events of requests.
    pub(crate) fn requests(&mut self) -> Vec<Value> {
        let mut text = String::new();
        self.file.read_to_string(&mut text).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut lines: Vec<Value> = lines.collect();
        lines.retain(|event| event["event_type"] == "request");
        if self.file.stream_position().unwrap() > LONG {
            let options = File::options().write(true).open(&self.path).unwrap();
            options.set_len(0).unwrap();
            self.file.seek(SeekFrom::Start(0)).unwrap();
        }
        lines
    }
}

/// The journal, read as far as its present turn has come: what stands behind that is of an earlier
/// turn, over which it is written.
pub(crate) struct JournalTail {
    path: PathBuf,
    file: File,
    turn: Option<String>,
    at: u64,
}

impl JournalTail {
    pub(crate) fn of(path: PathBuf) -> Self {
        let file = File::open(&path).unwrap();
        Self {
            path,
            file,
            turn: None,
            at: 0,
        }
    }

    /// The ids of the new intents, and whether a new turn has begun, which repeats those in flight.
    pub(crate) fn intents(&mut self) -> (Vec<String>, bool) {
        let mut ids = Vec::new();
        self.read(&mut ids);
        let rotated = is_other(&self.file, &self.path);
        if rotated {
            *self = Self::of(self.path.clone());
            self.read(&mut ids);
        }
        (ids, rotated)
    }

    fn read(&mut self, ids: &mut Vec<String>) {
        let length = self.file.metadata().unwrap().len();
        let mut bytes = vec![0; usize::try_from(length.saturating_sub(self.at)).unwrap()];
        self.file.read_exact_at(&mut bytes, self.at).unwrap();
        let mut end = self.at;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            // Empty lines stand where it was tried whether the disk takes any, for that moment only.
            if line == b"\n" {
                continue;
            }
            let Ok(line) = serde_json::from_slice::<Value>(line) else {
                return;
            };
            let turn = line["turn"].as_str().unwrap();
            if self.turn.get_or_insert_with(|| turn.to_owned()) != turn {
                return;
            }
            let id = line["intent"]["event_id"].as_str();
            ids.extend(id.map(str::to_owned));
            self.at = end;
        }
    }
}

fn is_other(file: &File, path: &Path) -> bool {
    file.metadata().unwrap().ino() != path.metadata().unwrap().ino()
}
