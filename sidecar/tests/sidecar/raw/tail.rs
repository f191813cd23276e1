//! Files that the sidecar writes, read as far as they have grown.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The audit log is begun anew when it reaches this many bytes.
const LONG: u64 = 16 << 20;

/// A file that another writes, read as far as it has grown.
pub(crate) struct Tail {
    path: PathBuf,
    file: File,
}

impl Tail {
    pub(crate) fn of(path: PathBuf) -> Self {
        let file = File::open(&path).unwrap();
        Self { path, file }
    }

    /// The new lines, and whether there is another file in place of the one that was read.
    fn lines(&mut self) -> (Vec<Value>, bool) {
        let mut text = String::new();
        self.file.read_to_string(&mut text).unwrap();
        let rotated = is_other(&self.file, &self.path);
        if rotated {
            self.file = File::open(&self.path).unwrap();
            self.file.read_to_string(&mut text).unwrap();
        }
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), rotated)
    }

    /// The events of requests.
    pub(crate) fn requests(&mut self) -> Vec<Value> {
        let (mut lines, _) = self.lines();
        lines.retain(|event| event["event_type"] == "request");
        if self.file.stream_position().unwrap() > LONG {
            let options = File::options().write(true).open(&self.path).unwrap();
            options.set_len(0).unwrap();
            self.file.seek(SeekFrom::Start(0)).unwrap();
        }
        lines
    }

    /// The ids of the intents.
    pub(crate) fn intents(&mut self) -> (Vec<String>, bool) {
        let (lines, rotated) = self.lines();
        let ids = lines.iter().filter_map(|line| {
            let id = line["intent"]["event_id"].as_str()?;
            Some(id.to_owned())
        });
        (ids.collect(), rotated)
    }
}

fn is_other(file: &File, path: &Path) -> bool {
    file.metadata().unwrap().ino() != path.metadata().unwrap().ino()
}
