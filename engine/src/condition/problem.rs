//! What is wrong with a condition, where, and what to write instead.

/// A range of bytes in the text of a condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span of these two offsets.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The least span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// The kind of a problem: stable, each maps to one diagnostic code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The text is not an expression at all.
    Syntax,
    /// It is longer than [`MAX_LENGTH`](super::parse::MAX_LENGTH) or nested deeper than
    /// [`MAX_DEPTH`](super::parse::MAX_DEPTH).
    TooLarge,
    /// CEL knows it, but it lies outside the decidable subset.
    Unsupported,
    /// A literal that cannot be held exactly: a number, an escape, a timestamp, an address block.
    Literal,
    /// A regular expression that is malformed, too large, or not ASCII.
    Pattern,
    /// A regular expression without `^` and `$`.
    Unanchored,
    /// An attribute that does not exist here.
    UnknownAttribute,
    /// A schedule that is not declared.
    UnknownSchedule,
    /// An attribute that may be absent is read where its presence is not established.
    MayBeAbsent,
    /// A test or literal that does not fit the attribute's type.
    Type,
    /// An attribute without a type is tested for more than presence.
    Untyped,
    /// A text is compared with a value that the schema never lets it have.
    Impossible,
    /// The body of `all` or `exists` reads something else than its element.
    OutsideElement,
    /// The condition does not mean the same on every surface that it is for.
    Ambiguous,
}

impl ProblemKind {
    /// Every kind, in order.
    pub const ALL: &'static [Self] = &[
        Self::Syntax,
        Self::TooLarge,
        Self::Unsupported,
        Self::Literal,
        Self::Pattern,
        Self::Unanchored,
        Self::UnknownAttribute,
        Self::UnknownSchedule,
        Self::MayBeAbsent,
        Self::Type,
        Self::Untyped,
        Self::Impossible,
        Self::OutsideElement,
        Self::Ambiguous,
    ];
}

/// One problem of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which kind of problem.
    pub kind: ProblemKind,
    /// Where; for an unknown attribute exactly the name that is not known.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// An edit that settles it: the span is replaced by the text; an empty span inserts.
    pub fix: Option<(Span, String)>,
    /// For an unknown attribute or schedule, or an impossible value: what is known, sorted.
    pub known: Vec<String>,
}

impl Problem {
    pub(crate) fn new(
        kind: ProblemKind,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            span,
            message: message.into(),
            help: help.into(),
            fix: None,
            known: Vec::new(),
        }
    }

    pub(crate) fn with_fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some((span, text.into()));
        self
    }

    pub(crate) fn with_known(mut self, known: impl IntoIterator<Item = String>) -> Self {
        self.known = known.into_iter().collect();
        self.known.sort_unstable();
        self
    }
}
