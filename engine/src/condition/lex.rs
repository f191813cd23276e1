//! The words of a condition, with their places.

#![expect(
    clippy::result_large_err,
    reason = "a problem ends the parse, so it is met once"
)]

use super::problem::{Problem, ProblemKind, Span};

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) span: Span,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An identifier or keyword.
    Name(String),
    /// The text of a number.
    Number(String),
    /// A string literal's value.
    Text(String),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", "{", "}", ",", ".", "+",
    "-", "*", "/", "%", "?", ":",
];

/// Cuts a text into words; the last is [`TokenKind::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token>, Problem> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        let kind = lexer.token()?;
        let last = kind == TokenKind::End;
        tokens.push(Token {
            span: Span::new(start, lexer.at),
            kind,
        });
        if last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|next| !test(next)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    /// Skips white space and `//` comments.
    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|next| matches!(next, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|next| next != '\n');
        }
    }

    fn token(&mut self) -> Result<TokenKind, Problem> {
        let start = self.at;
        let Some(next) = self.peek() else {
            return Ok(TokenKind::End);
        };
        if next.is_ascii_alphabetic() || next == '_' {
            let name = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
            return match self.peek() {
                Some('"' | '\'') => self.prefixed(name, start),
                _ => Ok(TokenKind::Name(name.to_owned())),
            };
        }
        if next.is_ascii_digit() {
            return self.number();
        }
        if next == '"' || next == '\'' {
            return self.string(false);
        }
        for symbol in SYMBOLS {
            if self.rest().starts_with(symbol) {
                self.at += symbol.len();
                return Ok(TokenKind::Symbol(symbol));
            }
        }
        Err(unexpected(next, start))
    }

    /// A string literal with a prefix.
    fn prefixed(&mut self, prefix: &str, start: usize) -> Result<TokenKind, Problem> {
        match prefix {
            "r" | "R" => self.string(true),
            _ => Err(Problem::new(
                ProblemKind::Unsupported,
                Span::new(start, self.at),
                format!("`{prefix}` before a text is not supported"),
                "write the text as \"...\", or r\"...\" to take backslashes as they are",
            )),
        }
    }

    fn number(&mut self) -> Result<TokenKind, Problem> {
        let start = self.at;
        self.take_while(|next| next.is_ascii_digit());
        if self.rest().starts_with('.') {
            let fraction = self.rest().chars().nth(1);
            if fraction.is_some_and(|next| next.is_ascii_digit()) {
                self.at += 1;
                self.take_while(|next| next.is_ascii_digit());
            }
        }
        let mark = self.at;
        if matches!(self.peek(), Some('e' | 'E')) {
            self.take();
            if matches!(self.peek(), Some('+' | '-')) {
                self.take();
            }
            if self.take_while(|next| next.is_ascii_digit()).is_empty() {
                self.at = mark;
            }
        }
        let end = self.at;
        let suffix = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
        let number = self.text.get(start..end).unwrap_or("");
        if suffix.is_empty() {
            return Ok(TokenKind::Number(number.to_owned()));
        }
        let span = Span::new(start, self.at);
        let problem = Problem::new(
            ProblemKind::Literal,
            span,
            format!("`{number}{suffix}` is not a decimal number"),
            "write a decimal number such as 100 or 2.5; there is one type of number",
        );
        Err(match suffix {
            "u" | "U" => problem.with_fix(span, number),
            _ => problem,
        })
    }

    fn string(&mut self, raw: bool) -> Result<TokenKind, Problem> {
        let start = self.at;
        let quote = self.take().unwrap_or('"');
        let triple: String = std::iter::repeat_n(quote, 2).collect();
        if self.rest().starts_with(&triple) {
            return Err(Problem::new(
                ProblemKind::Unsupported,
                Span::new(start, self.at + 2),
                "texts in triple quotes are not supported",
                "write the text in one pair of quotes, with \\n for a line break",
            ));
        }
        let mut value = String::new();
        loop {
            let at = self.at;
            match self.take() {
                None | Some('\n' | '\r') => {
                    return Err(Problem::new(
                        ProblemKind::Syntax,
                        Span::new(start, at),
                        "this text is not closed",
                        format!("end it with {quote} on the same line"),
                    ));
                }
                Some(next) if next == quote => return Ok(TokenKind::Text(value)),
                Some('\\') if !raw => value.push(self.escape(at)?),
                Some(next) => value.push(next),
            }
        }
    }

    /// What an escape stands for; its backslash, at `start`, is read.
    fn escape(&mut self, start: usize) -> Result<char, Problem> {
        let simple = match self.take() {
            Some(same @ ('\\' | '?' | '"' | '\'' | '`')) => Some(same),
            Some('a') => Some('\u{7}'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\u{b}'),
            Some('x' | 'X') => self.code(2, 16),
            Some('u') => self.code(4, 16),
            Some('U') => self.code(8, 16),
            Some('0'..='3') => {
                self.at -= 1;
                self.code(3, 8)
            }
            _ => None,
        };
        simple.ok_or_else(|| {
            Problem::new(
                ProblemKind::Literal,
                Span::new(start, self.at),
                "this escape is not one of CEL's",
                "write \\\\ for a backslash, or r\"...\" to take backslashes as they are; \
                 others are \\n \\t \\\" \\' \\xHH \\uHHHH",
            )
        })
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let text = self.rest().get(..digits)?;
        if !text.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        self.at += digits;
        char::from_u32(u32::from_str_radix(text, radix).ok()?)
    }
}

/// A character that begins no word.
fn unexpected(found: char, at: usize) -> Problem {
    let span = Span::new(at, at + found.len_utf8());
    let problem = |help: &str| {
        Problem::new(
            ProblemKind::Syntax,
            span,
            format!("`{}` has no meaning here", found.escape_debug()),
            help,
        )
    };
    match found {
        '=' => problem("write `==` to compare").with_fix(span, "=="),
        '&' => problem("write `&&` for and").with_fix(span, "&&"),
        '|' => problem("write `||` for or").with_fix(span, "||"),
        '\u{201c}' | '\u{201d}' => problem("write plain quotes: \"...\"").with_fix(span, "\""),
        '\u{2018}' | '\u{2019}' => problem("write plain quotes: '...'").with_fix(span, "'"),
        _ => problem("write names, numbers, texts in quotes, and the operators of CEL"),
    }
}
