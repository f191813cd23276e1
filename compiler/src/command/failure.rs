//! Why a command could not be carried out, in the words of the person who typed it.

use std::{fmt, io, path::Path};

use super::Exit;
use crate::diag::Code;

/// A command that was not carried out: what is wrong, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is wrong, and where.
    pub what: String,
    /// What to do.
    pub help: Option<String>,
    /// Its row in the table of codes, where it has one: `latchkey explain` has a page on it.
    pub code: Option<&'static Code>,
}

impl Failure {
    /// The command line, or a file that it names, is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            what: what.into(),
            help: None,
            code: None,
        }
    }

    /// A file or folder cannot be read or written: `doing` is "read", "write", ...
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::NotFound => "check the path; it is relative to the current folder",
            io::ErrorKind::PermissionDenied => "check who owns it, and run as somebody who may",
            io::ErrorKind::StorageFull => "make room on the disk, then run this again",
            _ => "check that it is a file or folder of the kind that is needed here",
        };
        Self::usage(format!("cannot {doing} `{}`: {error}", path.display())).help(help)
    }

    /// A bundle or signature is not acceptable.
    pub fn unverified(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Unverified,
            what: what.into(),
            help: None,
            code: None,
        }
    }

    /// Something that cannot happen did.
    pub fn internal(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Internal,
            what: what.into(),
            help: Some("this is a defect of latchkey; please report it with the input".to_owned()),
            code: None,
        }
    }

    /// Gives it a code.
    #[must_use]
    pub fn code(mut self, code: &'static Code) -> Self {
        self.code = Some(code);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "error[{}]: {}", code.id, self.what)?,
            None => write!(f, "error: {}", self.what)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Output that cannot be written. A closed pipe is the reader's choice and no failure at all.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                exit: Exit::Clean,
                what: String::new(),
                help: None,
                code: None,
            };
        }
        Self::usage(format!("cannot write the output: {error}"))
    }
}
