//! Faults that tests inject: compiled with the feature `faults`, which only the tests of this crate
//! turn on. Without it nothing here does anything, and nothing is read.

#[cfg(feature = "faults")]
pub(crate) use injected::{at, clock};

/// A stage has come to its end.
#[cfg(not(feature = "faults"))]
pub(crate) const fn at(_stage: &str) {}

/// The clock as it is.
#[cfg(not(feature = "faults"))]
pub(crate) const fn clock(time: std::time::Duration) -> std::time::Duration {
    time
}

#[cfg(feature = "faults")]
mod injected {
    use std::{fs, path::PathBuf, sync::LazyLock, time::Duration};

    /// The folder that says what goes wrong.
    static FOLDER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("LATCHKEY_FAULTS").map(PathBuf::from));

    /// Panics once, where the folder's file `panic` names this stage.
    #[expect(
        clippy::panic,
        clippy::manual_assert,
        reason = "this is the fault that is injected"
    )]
    pub(crate) fn at(stage: &str) {
        let Some(folder) = &*FOLDER else { return };
        let path = folder.join("panic");
        let named = fs::read_to_string(&path).is_ok_and(|text| text == stage);
        if named && fs::remove_file(&path).is_ok() {
            panic!("injected into {stage}");
        }
    }

    /// The clock, off by as many seconds as the folder's file `clock` says.
    pub(crate) fn clock(time: Duration) -> Duration {
        let Some(folder) = &*FOLDER else { return time };
        let text = fs::read_to_string(folder.join("clock")).unwrap_or_default();
        let offset: i64 = text.trim().parse().unwrap_or(0);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 {
            time.saturating_sub(by)
        } else {
            time.saturating_add(by)
        }
    }
}
