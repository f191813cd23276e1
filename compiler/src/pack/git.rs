//! What Git knows of a project: the commit, the tree, and how many commits came before.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use latchkey_engine::time::Time;

/// A project's folder in a Git work tree.
#[derive(Debug, Clone)]
pub struct Git {
    folder: PathBuf,
}

/// The committed state that a release is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The commit, in hex.
    pub commit: String,
    /// When the commit was made.
    pub time: Time,
    /// How many commits lead here, following first parents.
    pub sequence: u64,
}

/// Why Git does not know the committed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// The history is cut off, so commits cannot be counted.
    Shallow,
    /// A `git` command failed, and this is what it said.
    Failed(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shallow => f.write_str("the clone is shallow, so its commits cannot be counted"),
            Self::Failed(what) => write!(f, "git: {what}"),
        }
    }
}

impl std::error::Error for SourceError {}

impl Git {
    /// The work tree that a folder lies in; `None` when there is none, or no commit yet.
    pub fn find(folder: &Path) -> Option<Self> {
        let git = Self {
            folder: folder.to_owned(),
        };
        let inside = git.run(&["rev-parse", "--is-inside-work-tree"]).ok()? == "true";
        // A folder that Git does not track is in the work tree, and in no commit.
        let committed = git
            .run(&["rev-parse", "--verify", "--quiet", "HEAD:./"])
            .is_ok();
        (inside && committed).then_some(git)
    }

    /// Paths below the folder that differ from the commit, or are in none.
    pub fn changed(&self) -> Result<Vec<String>, SourceError> {
        let prefix = self.run(&["rev-parse", "--show-prefix"])?;
        let args = [
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=all",
            "--no-renames",
            "--",
            ".",
        ];
        let status = self.run(&args)?;
        let paths = status.split('\0').filter_map(|entry| entry.get(3..));
        let own = paths.filter_map(|path| path.strip_prefix(prefix.as_str()));
        Ok(own.map(str::to_owned).collect())
    }

    /// Paths below the folder that are in the commit. What Git ignores, and what a submodule holds,
    /// is in none, and differs from none either.
    pub fn committed(&self) -> Result<BTreeSet<String>, SourceError> {
        let listed = self.output(&["ls-tree", "-r", "-z", "--name-only", "HEAD"], |_| {})?;
        // A path that is not Unicode is none that is read.
        let listed = String::from_utf8_lossy(&listed);
        Ok(listed.split('\0').map(str::to_owned).collect())
    }

    /// The committed state. The sequence is counted only when it is asked for, since a shallow
    /// clone has none.
    pub fn source(&self, count: bool) -> Result<Source, SourceError> {
        let sequence = if count { self.sequence()? } else { 0 };
        Ok(Source {
            commit: self.run(&["rev-parse", "HEAD"])?,
            time: self.time()?,
            sequence,
        })
    }

    /// Writes the folder as it stands in a commit into an empty one. The clone stays as it is: the
    /// index is another one, and nothing is checked out in the work tree.
    pub fn check_out(&self, commit: &str, into: &Path) -> Result<(), SourceError> {
        let prefix = self.run(&["rev-parse", "--show-prefix"])?;
        let tree = format!("{commit}:{}", prefix.trim_end_matches('/'));
        let index = into.join("index");
        let files = into.join("tree");
        std::fs::create_dir_all(&files).map_err(|it| SourceError::Failed(it.to_string()))?;
        let aside = |git: &mut Command| {
            git.env("GIT_INDEX_FILE", &index)
                .env("GIT_WORK_TREE", &files);
        };
        // Nothing of the clone's own settings may run a program or change a line ending.
        let quiet = |args: &[&'static str]| -> Vec<&'static str> {
            let settings = [
                "core.hooksPath=/dev/null",
                "core.fsmonitor=false",
                "core.splitIndex=false",
                "core.autocrlf=false",
            ];
            let settings = settings.iter().flat_map(|it| ["-c", *it]);
            settings.chain(args.iter().copied()).collect()
        };
        let mut read = quiet(&["read-tree"]);
        read.push(&tree);
        self.run_with(&read, aside)?;
        self.run_with(&quiet(&["checkout-index", "--all", "--force"]), aside)?;
        Ok(())
    }

    fn time(&self) -> Result<Time, SourceError> {
        let text = self.run(&["show", "--no-patch", "--format=%ct", "HEAD"])?;
        let seconds = text
            .parse()
            .map_err(|_| SourceError::Failed(format!("`{text}` is no time")));
        seconds.map(Time)
    }

    fn sequence(&self) -> Result<u64, SourceError> {
        if self.run(&["rev-parse", "--is-shallow-repository"])? == "true" {
            return Err(SourceError::Shallow);
        }
        let count = self.run(&["rev-list", "--count", "--first-parent", "HEAD"])?;
        count
            .parse()
            .map_err(|_| SourceError::Failed(format!("`{count}` is no number")))
    }

    fn run(&self, args: &[&str]) -> Result<String, SourceError> {
        self.run_with(args, |_| {})
    }

    fn run_with(
        &self,
        args: &[&str],
        surround: impl FnOnce(&mut Command),
    ) -> Result<String, SourceError> {
        let text = String::from_utf8(self.output(args, surround)?);
        let text = text.map_err(|_| SourceError::Failed("a path is not UTF-8".to_owned()))?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    fn output(
        &self,
        args: &[&str],
        surround: impl FnOnce(&mut Command),
    ) -> Result<Vec<u8>, SourceError> {
        let failed = |what: String| SourceError::Failed(what);
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&self.folder)
            .args(args)
            // Nothing of the caller's surroundings may choose another repository.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .env("GIT_OPTIONAL_LOCKS", "0");
        surround(&mut git);
        let output = git.output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(
                said.lines().next().unwrap_or("it failed").to_owned(),
            ));
        }
        Ok(output.stdout)
    }
}
