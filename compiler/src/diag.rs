//! Diagnostics as plain data; rendering is apart.
//!
//! A message says what is wrong and names the thing; the primary label underlines it; `help` says
//! what to do; a fix is an exact edit of bytes.

use crate::source::{FileId, Span};

pub mod codes;
pub mod examples;
pub mod render;
pub mod sink;
pub mod suggest;

pub use codes::Code;
pub use sink::{Level, Levels, Report, Sink};

/// How serious a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is built.
    Error,
    /// Worth a look; `latchkey.toml` may raise it or silence it.
    Warning,
    /// For information.
    Note,
}

impl Severity {
    /// The spelling in every output: `error`, `warning` or `note`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Its row in the table of codes.
    pub code: &'static Code,
    /// The severity, which lint levels may have changed.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// The marked places; the first is the primary one. Empty only where no file is to blame.
    pub labels: Vec<Label>,
    /// Further facts, one sentence each.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Edits that would settle it.
    pub fixes: Vec<Fix>,
}

/// A marked place of a diagnostic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The underlined bytes.
    pub span: Span,
    /// What this place has to do with it; may be empty on the primary label.
    pub text: String,
    /// Whether this is the place to blame.
    pub primary: bool,
}

/// A set of edits that settles a diagnostic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// What the edit does, as an order: "quote the value".
    pub title: String,
    /// Whether it may be applied without asking.
    pub applicability: Applicability,
    /// The edits; they do not overlap.
    pub edits: Vec<Edit>,
}

/// How sure a fix is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applicability {
    /// Keeps what the author evidently meant.
    Always,
    /// A good guess that a person has to confirm.
    Maybe,
}

impl Applicability {
    /// The spelling in every output: `always` or `maybe`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Maybe => "maybe",
        }
    }
}

/// The replacement of some bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// What takes its place.
    pub insert: String,
}

impl Diagnostic {
    /// A finding that blames the text at `span`.
    pub fn new(code: &'static Code, span: Span, message: impl Into<String>) -> Self {
        let label = Label {
            span,
            text: String::new(),
            primary: true,
        };
        Self {
            labels: vec![label],
            ..Self::global(code, message)
        }
    }

    /// A finding that no file is to blame for.
    pub fn global(code: &'static Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity,
            message: shortened(message.into()),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            fixes: Vec::new(),
        }
    }

    /// Says at the primary place what is wrong with it.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.text = text.into();
        }
        self
    }

    /// Marks another place, in any file.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
            primary: false,
        });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Offers to replace the text at `span`.
    #[must_use]
    pub fn fix(
        mut self,
        title: impl Into<String>,
        applicability: Applicability,
        span: Span,
        insert: impl Into<String>,
    ) -> Self {
        let edits = vec![Edit {
            span,
            insert: insert.into(),
        }];
        self.fixes.push(Fix {
            title: title.into(),
            applicability,
            edits,
        });
        self
    }

    /// Suggests the closest of `known` to `wrong`, the text at `span`, as help and as a fix;
    /// nothing close leaves the diagnostic as it is.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        wrong: &str,
        span: Span,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match suggest::closest(wrong, known) {
            Some(best) => self.perhaps(wrong, span, best),
            None => self,
        }
    }

    /// Suggests `best` for `wrong`, the text at `span`, as help and as a fix.
    #[must_use]
    pub fn perhaps(self, wrong: &str, span: Span, best: &str) -> Self {
        self.help(format!("did you mean `{best}`?")).fix(
            format!("replace `{wrong}` with `{best}`"),
            Applicability::Maybe,
            span,
            best,
        )
    }

    /// The place to blame, if a file is to blame.
    pub fn primary(&self) -> Option<Span> {
        self.labels
            .iter()
            .find(|label| label.primary)
            .map(|label| label.span)
    }

    fn order(&self) -> (Option<(FileId, u32)>, &'static str, &str) {
        let place = self.primary().map(|span| (span.file, span.start));
        (place, self.code.id, &self.message)
    }
}

/// A message may quote text of any length; nobody reads past this many bytes.
const MESSAGE: usize = 500;

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE {
        let end = (0..=MESSAGE)
            .rev()
            .find(|&at| message.is_char_boundary(at))
            .unwrap_or(0);
        message.truncate(end);
        message.push('\u{2026}');
    }
    message
}
