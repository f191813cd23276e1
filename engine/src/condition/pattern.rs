//! Regular expressions as conditions allow them: anchored, ASCII classes, the same meaning in
//! RE2 (so in CEL) and in the `regex` crate of any version.

use regex::{Regex, RegexBuilder};
use regex_syntax::{
    ast::{self, Ast, Visitor},
    hir::Look,
};

/// The longest pattern, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// The largest compiled pattern, in bytes.
const MAX_SIZE: usize = 1 << 20;
/// The deepest nesting of groups and repetitions.
const MAX_NESTING: u32 = 32;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Whether only the anchors are missing.
    pub unanchored: bool,
    /// Then: the pattern with them, when that is all it takes.
    pub anchored: Option<String>,
}

/// Checks a pattern and compiles it: the one function that decides what a pattern means.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_LENGTH {
        return Err(refuse(
            format!("this pattern is longer than {MAX_LENGTH} bytes"),
            "test with `in [...]`, `startsWith` or `endsWith`",
        ));
    }
    let ast = ast::parse::ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(pattern)
        .map_err(|error| {
            refuse(
                format!("this pattern is malformed: {}", error.kind()),
                "write a regular expression in RE2 syntax",
            )
        })?;
    let classes = ast::visit(&ast, Subset::new(pattern))?;
    let translated = translate(pattern, classes);
    let hir = regex_syntax::Parser::new()
        .parse(&translated)
        .map_err(|_| foreign("a construct that needs Unicode tables"))?;
    let properties = hir.properties();
    if !properties.look_set_prefix().contains(Look::Start)
        || !properties.look_set_suffix().contains(Look::End)
    {
        return Err(unanchored(pattern, &ast));
    }
    RegexBuilder::new(&translated)
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|_| {
            refuse(
                "this pattern is too large".to_owned(),
                "repeat less, or test with `startsWith`, `endsWith` and `size`",
            )
        })
}

fn unanchored(pattern: &str, ast: &Ast) -> PatternError {
    let anchored = if matches!(ast, Ast::Alternation(_)) {
        format!("^(?:{pattern})$")
    } else {
        let start = if pattern.starts_with('^') { "" } else { "^" };
        let ends = pattern.ends_with('$') && !pattern.ends_with("\\$");
        format!("{start}{pattern}{}", if ends { "" } else { "$" })
    };
    PatternError {
        message: "this pattern would also match in the middle of a text".to_owned(),
        help: format!(
            "write the pattern of the whole text, as r\"{anchored}\"; `.*` at an end takes anything"
        ),
        unanchored: true,
        anchored: Some(anchored),
    }
}

fn refuse(message: String, help: &str) -> PatternError {
    PatternError {
        message,
        help: help.to_owned(),
        unanchored: false,
        anchored: None,
    }
}

fn foreign(what: &str) -> PatternError {
    refuse(
        format!("this pattern has {what}, which conditions do not allow"),
        "write ASCII classes such as [A-Za-z0-9_], without flags, word boundaries or classes in \
         classes",
    )
}

/// Replaces classes by ASCII ones, from the back.
fn translate(pattern: &str, mut classes: Vec<(usize, usize, &'static str)>) -> String {
    let mut translated = pattern.to_owned();
    classes.sort_unstable();
    for (start, end, class) in classes.into_iter().rev() {
        if translated.is_char_boundary(start) && translated.is_char_boundary(end) && start <= end {
            translated.replace_range(start..end, class);
        }
    }
    translated
}

/// Refuses what has no one meaning, and collects the classes to translate.
struct Subset<'a> {
    pattern: &'a str,
    classes: Vec<(usize, usize, &'static str)>,
}

impl<'a> Subset<'a> {
    const fn new(pattern: &'a str) -> Self {
        Self {
            pattern,
            classes: Vec::new(),
        }
    }

    fn perl(&mut self, class: &ast::ClassPerl) {
        let ascii = match (&class.kind, class.negated) {
            (ast::ClassPerlKind::Digit, false) => "[0-9]",
            (ast::ClassPerlKind::Digit, true) => "[^0-9]",
            (ast::ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ast::ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
            // RE2's, without the vertical tab.
            (ast::ClassPerlKind::Space, false) => "[\\t\\n\\f\\r ]",
            (ast::ClassPerlKind::Space, true) => "[^\\t\\n\\f\\r ]",
        };
        let span = class.span;
        self.classes
            .push((span.start.offset, span.end.offset, ascii));
    }
}

impl Visitor for Subset<'_> {
    type Output = Vec<(usize, usize, &'static str)>;
    type Err = PatternError;

    fn finish(self) -> Result<Self::Output, PatternError> {
        Ok(self.classes)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        match ast {
            Ast::Flags(_) => Err(foreign("flags")),
            Ast::Group(group) if group.flags().is_some_and(|flags| !flags.items.is_empty()) => {
                Err(foreign("flags"))
            }
            Ast::ClassUnicode(_) => Err(foreign("a Unicode class")),
            Ast::ClassPerl(class) => {
                self.perl(class);
                Ok(())
            }
            Ast::Assertion(assertion)
                if matches!(
                    assertion.kind,
                    ast::AssertionKind::StartLine
                        | ast::AssertionKind::EndLine
                        | ast::AssertionKind::StartText
                        | ast::AssertionKind::EndText
                ) =>
            {
                Ok(())
            }
            Ast::Assertion(_) => Err(foreign("a word boundary")),
            Ast::Repetition(repetition) => {
                let span = repetition.op.span;
                let operator = self.pattern.get(span.start.offset..span.end.offset);
                // RE2 takes `{,5}` as a text.
                if operator.is_some_and(|operator| operator.contains("{,")) {
                    return Err(foreign("a repetition without its least count"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), PatternError> {
        match item {
            ast::ClassSetItem::Perl(class) => {
                self.perl(class);
                Ok(())
            }
            ast::ClassSetItem::Unicode(_) => Err(foreign("a Unicode class")),
            // The item of the whole class is no bracket; one within is a class in a class.
            ast::ClassSetItem::Bracketed(_) => Err(foreign("a class within a class")),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        _: &ast::ClassSetBinaryOp,
    ) -> Result<(), PatternError> {
        Err(foreign("an operation on classes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_dots_are_characters() {
        for (pattern, yes, no) in [
            (r"^\d+$", "123", "١٢"),
            (r"^\w$", "_", "é"),
            (r"^[\w-]+$", "a-b", "a b"),
            (r"^[^\d]$", "x", "7"),
            (r"^\D$", "٣", "3"),
            (r"^\s$", "\n", "\u{b}"),
            (r"^.$", "é", "ab"),
            (r"^é$", "é", "e"),
            (r"^[[:alpha:]]+$", "abc", "a1"),
            ("^a$|^b$", "b", "ab"),
            (r"^(?:a|b)$", "a", "ab"),
            (r"\Aacme/.*\z", "acme/x", "evil/acme/x"),
            (r"^a\$$", "a$", "a"),
        ] {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
            assert!(regex.is_match(yes), "{pattern} {yes}");
            assert!(!regex.is_match(no), "{pattern} {no}");
        }
        assert!(!compile("^a$").unwrap().is_match("a\n"));
    }

    #[test]
    fn what_has_no_one_meaning_is_refused() {
        for pattern in [
            r"^\p{L}$",
            r"^\pL$",
            "(?i)^a$",
            "^(?i:a)$",
            r"^\bа$",
            "^[a-z&&[^b]]$",
            "^[a[b]]$",
            "^[a--b]$",
            "^a{,5}$",
            r"^(a)\1$",
            "^(?=a)$",
            "^(",
            "^a{1000}{1000}$",
            "^[[:alpha:]&&a]$",
        ] {
            let error = compile(pattern).expect_err(pattern);
            assert!(!error.unanchored, "{pattern}: {error:?}");
            assert!(!error.help.is_empty());
        }
        assert!(compile(&format!("^{}$", "a".repeat(MAX_LENGTH))).is_err());
    }

    #[test]
    fn anchors_are_asked_for_and_offered() {
        for (pattern, fixed) in [
            ("acme/.*", "^acme/.*$"),
            ("^a", "^a$"),
            ("a$", "^a$"),
            ("a|b", "^(?:a|b)$"),
            ("^a|b$", "^(?:^a|b$)$"),
            (r"^a\$", r"^a\$$"),
            ("", "^$"),
        ] {
            let error = compile(pattern).expect_err(pattern);
            assert!(error.unanchored);
            assert_eq!(error.anchored.as_deref(), Some(fixed));
            assert!(compile(fixed).is_ok(), "{fixed}");
        }
    }
}
