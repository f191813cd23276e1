//! What sessions and other handles are sealed with, and how its keys are replaced while the sidecar
//! runs.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use latchkey_gate::seal::{KEY_LENGTH, MAX_KEYS, Sealer};

use crate::{
    config::Config,
    files::Stamp,
    session::{make_key, read_keys},
};

type Key = [u8; KEY_LENGTH];

/// What handles are sealed with.
pub struct Handles {
    sealer: ArcSwap<Sealer>,
    /// The file that may change, and how long a key that was taken out of it still opens.
    file: Option<(PathBuf, Duration)>,
    state: Mutex<State>,
}

struct State {
    stamp: Stamp,
    keys: Vec<Key>,
    /// Keys that were taken out of the file, the last one first, and until when they open.
    replaced: Vec<(Key, Instant)>,
}

/// What has become of a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These many keys are in force, and these many that were taken out still open.
    Loaded(usize, usize),
    /// It cannot be used, for this reason; the keys before stay in force.
    Refused(String),
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Handles {
    /// The keys of the settings, or one that this sidecar made for itself and keeps with its state.
    /// An error says what is wrong, where, and what to do.
    pub fn open(config: &Config) -> Result<Self, String> {
        let Some(path) = &config.handles.key_file else {
            let path = config.state.directory.join("handles.key");
            let opened = match Self::read(&path, None) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_key(&path).and_then(|()| Self::read(&path, None))
                }
                read => read,
            };
            return opened.map_err(|error| format!("{}: {error}", path.display()));
        };
        Self::read(path, Some(config.handles.grace.0)).map_err(|error| {
            format!(
                "[handles] key_file = \"{}\": {error}; write one key on each line, as base64 of \
                 {KEY_LENGTH} random bytes: `head -c 32 /dev/urandom | base64`",
                path.display()
            )
        })
    }

    fn read(path: &Path, grace: Option<Duration>) -> io::Result<Self> {
        // Before it is read: what is written meanwhile is read at the next look.
        let stamp = Stamp::of(path);
        let keys = read_keys(path)?;
        let sealer = Sealer::new(&keys).ok_or_else(|| too_many(keys.len()))?;
        Ok(Self {
            sealer: ArcSwap::from_pointee(sealer),
            file: grace.map(|grace| (path.to_owned(), grace)),
            state: Mutex::new(State {
                stamp,
                keys,
                replaced: Vec::new(),
            }),
        })
    }

    /// What is sealed and opened with now.
    pub fn sealer(&self) -> Guard<Arc<Sealer>> {
        self.sealer.load()
    }

    /// Looks at the file. Call from time to time; answers what has changed.
    pub fn look(&self, now: Instant) -> Option<Change> {
        let (path, grace) = self.file.as_ref()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(path);
        if stamp == state.stamp {
            let before = state.replaced.len();
            state.replaced.retain(|(_, until)| now < *until);
            if state.replaced.len() < before {
                self.put(&state);
            }
            return None;
        }
        state.stamp = stamp;
        let keys = match read_keys(path) {
            Ok(keys) if (1..=MAX_KEYS).contains(&keys.len()) => keys,
            Ok(keys) => return Some(Change::Refused(too_many(keys.len()).to_string())),
            Err(error) => return Some(Change::Refused(error.to_string())),
        };
        let old = std::mem::replace(&mut state.keys, keys);
        let replaced = old.into_iter().map(|key| (key, now + *grace));
        let mut replaced: Vec<_> = replaced
            .chain(std::mem::take(&mut state.replaced))
            .collect();
        replaced.retain(|(key, until)| now < *until && !state.keys.contains(key));
        state.replaced = replaced;
        self.put(&state);
        Some(Change::Loaded(state.keys.len(), state.replaced.len()))
    }

    fn put(&self, state: &State) {
        let replaced: Vec<Key> = state.replaced.iter().map(|(key, _)| *key).collect();
        if let Some(sealer) = Sealer::beside(&state.keys, &replaced) {
            self.sealer.store(Arc::new(sealer));
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded(keys, 0) => write!(f, "{keys} in force"),
            Self::Loaded(keys, old) => write!(f, "{keys} in force, {old} before still open"),
            Self::Refused(error) => write!(f, "{error}: the keys before stay in force"),
        }
    }
}

fn too_many(count: usize) -> io::Error {
    io::Error::other(format!("{count} keys; 1 to {MAX_KEYS} are taken"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use latchkey_gate::seal::Purpose;

    use super::*;

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; KEY_LENGTH]) + "\n"
    }

    #[test]
    fn a_key_is_made_once_and_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/handles.key");
        make_key(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        Handles::read(&path, None).unwrap();
    }

    #[test]
    fn a_key_file_that_holds_no_key_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let good = line(1);
        fs::write(&path, format!("{good}\n{good}")).unwrap();
        Handles::read(&path, None).unwrap();
        for (text, said) in [
            ("", "0 keys".to_owned()),
            ("AAAA", "line 1".to_owned()),
            (&format!("{good}secret"), "line 2".to_owned()),
            (&good.repeat(9), "9 keys".to_owned()),
        ] {
            fs::write(&path, text).unwrap();
            let error = Handles::read(&path, None).unwrap_err().to_string();
            assert!(
                error.contains(&said) && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_that_was_taken_out_opens_for_its_grace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let (grace, begin) = (Duration::from_mins(1), Instant::now());
        fs::write(&path, line(1)).unwrap();
        let handles = Handles::read(&path, Some(grace)).unwrap();
        let sealed = || handles.sealer().seal(Purpose::Task, &[], b"t").unwrap();
        let opens = |it: &str| handles.sealer().open(Purpose::Task, &[], it).is_some();
        let old = sealed();
        assert_eq!(handles.look(begin), None);
        fs::write(&path, "half a key").unwrap();
        let refused = handles.look(begin).unwrap();
        assert!(matches!(&refused, Change::Refused(error) if error.contains("line 1")));
        assert!(opens(&old) && sealed() == old);
        fs::write(&path, line(2)).unwrap();
        assert_eq!(handles.look(begin), Some(Change::Loaded(1, 1)));
        let new = sealed();
        assert!(new != old && opens(&old) && opens(&new));
        assert_eq!(handles.look(begin + grace), None);
        assert!(!opens(&old) && opens(&new));
        // What comes back is in force again.
        fs::write(&path, line(2) + &line(1)).unwrap();
        assert_eq!(handles.look(begin + grace), Some(Change::Loaded(2, 0)));
        assert!(opens(&old) && sealed() == new);
    }
}
