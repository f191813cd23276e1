//! The parser: condition text to [`Expr`].
//!
//! First the grammar of CEL as it is, so that what lies outside the subset is recognised and told
//! with its place (`Raw`); then `subset` takes what conditions allow.

#![expect(
    clippy::result_large_err,
    reason = "a problem ends the parse, so it is met once"
)]

use super::{
    Comparison,
    expr::{Expr, Member, Operator},
    lex::{Token, TokenKind, lex},
    problem::{Problem, ProblemKind, Span},
    subset,
};
use crate::decimal::Decimal;

/// The longest condition, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// The deepest nesting of parentheses, `!`, calls and quantifiers.
pub const MAX_DEPTH: usize = 32;

/// Parses a condition, and lists all that is wrong. Spans are offsets in this text.
pub fn parse(text: &str) -> Result<Expr, Vec<Problem>> {
    if text.len() > MAX_LENGTH {
        return Err(vec![Problem::new(
            ProblemKind::TooLarge,
            Span::new(MAX_LENGTH, text.len()),
            format!("this condition is longer than {MAX_LENGTH} bytes"),
            "split it over several rules or bindings",
        )]);
    }
    let tokens = lex(text).map_err(|problem| vec![problem])?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        problems: Vec::new(),
    };
    let raw = match parser.whole() {
        Ok(raw) => raw,
        Err(problem) => {
            parser.problems.push(problem);
            return Err(parser.problems);
        }
    };
    let mut problems = parser.problems;
    match subset::condition(raw, &mut problems) {
        Some(expr) if problems.is_empty() => Ok(expr),
        _ => {
            problems.sort_by_key(|problem| problem.span);
            Err(problems)
        }
    }
}

/// A CEL expression, whatever it means.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) span: Span,
    pub(super) kind: RawKind,
}

#[derive(Debug)]
pub(super) enum RawKind {
    Bool(bool),
    Number(Decimal),
    Text(String),
    List(Vec<Raw>),
    Name(String),
    Member(Box<Raw>, Member),
    Index(Box<Raw>, Box<Raw>),
    Call {
        target: Option<Box<Raw>>,
        name: String,
        name_span: Span,
        arguments: Vec<Raw>,
    },
    Not(Box<Raw>),
    And(Vec<Raw>),
    Or(Vec<Raw>),
    Compare(Box<Raw>, Operator, Box<Raw>),
    In(Box<Raw>, Box<Raw>),
    /// Something that a problem was already told about.
    Broken,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    problems: Vec<Problem>,
}

impl Parser {
    fn whole(&mut self) -> Result<Raw, Problem> {
        let raw = self.expression()?;
        match self.peek() {
            TokenKind::End => Ok(raw),
            _ => Err(self.unexpected("an operator such as `&&`, or the end")),
        }
    }

    fn expression(&mut self) -> Result<Raw, Problem> {
        self.nested(Self::ternary)
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Raw, Problem>,
    ) -> Result<Raw, Problem> {
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let raw = inner(self)?;
        self.depth -= 1;
        Ok(raw)
    }

    fn too_deep(&self) -> Problem {
        Problem::new(
            ProblemKind::TooLarge,
            self.span(),
            format!("this condition is nested deeper than {MAX_DEPTH} levels"),
            "split it over several rules or bindings",
        )
    }

    fn ternary(&mut self) -> Result<Raw, Problem> {
        let start = self.span().start;
        let condition = self.or()?;
        if !self.accept("?") {
            return Ok(condition);
        }
        self.expression()?;
        self.expect(":")?;
        self.expression()?;
        Ok(self.unsupported(
            start,
            "`a ? b : c` is not supported",
            "write `(a && b) || (!a && c)`",
        ))
    }

    fn or(&mut self) -> Result<Raw, Problem> {
        self.chain("||", Self::and, RawKind::Or)
    }

    fn and(&mut self) -> Result<Raw, Problem> {
        self.chain("&&", Self::relation, RawKind::And)
    }

    fn chain(
        &mut self,
        operator: &'static str,
        part: fn(&mut Self) -> Result<Raw, Problem>,
        join: fn(Vec<Raw>) -> RawKind,
    ) -> Result<Raw, Problem> {
        let start = self.span().start;
        let first = part(self)?;
        if *self.peek() != TokenKind::Symbol(operator) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.accept(operator) {
            parts.push(part(self)?);
        }
        Ok(self.node(start, join(parts)))
    }

    fn relation(&mut self) -> Result<Raw, Problem> {
        let start = self.span().start;
        let left = self.sum()?;
        let Some(operator) = self.relation_operator() else {
            return Ok(left);
        };
        self.advance();
        let right = Box::new(self.sum()?);
        let kind = match operator {
            Some(operator) => RawKind::Compare(Box::new(left), operator, right),
            None => RawKind::In(Box::new(left), right),
        };
        let raw = self.node(start, kind);
        if self.relation_operator().is_some() {
            return Err(Problem::new(
                ProblemKind::Unsupported,
                self.span(),
                "comparisons do not chain",
                "write two comparisons, joined with `&&`",
            ));
        }
        Ok(raw)
    }

    /// The next word, when it compares; `in` is a `None` within.
    #[expect(
        clippy::option_option,
        reason = "`in` compares, but is no operator of its own"
    )]
    fn relation_operator(&self) -> Option<Option<Operator>> {
        Some(match self.peek() {
            TokenKind::Symbol("==") => Some(Operator::Is(Comparison::Equal)),
            TokenKind::Symbol("!=") => Some(Operator::NotEqual),
            TokenKind::Symbol("<") => Some(Operator::Is(Comparison::Less)),
            TokenKind::Symbol("<=") => Some(Operator::Is(Comparison::LessOrEqual)),
            TokenKind::Symbol(">") => Some(Operator::Is(Comparison::Greater)),
            TokenKind::Symbol(">=") => Some(Operator::Is(Comparison::GreaterOrEqual)),
            TokenKind::Name(name) if name == "in" => None,
            _ => return None,
        })
    }

    fn sum(&mut self) -> Result<Raw, Problem> {
        let start = self.span().start;
        let first = self.unary()?;
        let mut arithmetic = false;
        while matches!(self.peek(), TokenKind::Symbol("+" | "-" | "*" | "/" | "%")) {
            arithmetic = true;
            self.advance();
            self.unary()?;
        }
        if !arithmetic {
            return Ok(first);
        }
        Ok(self.unsupported(
            start,
            "arithmetic is not supported",
            "compare one attribute with a literal; work the number or text out by hand",
        ))
    }

    fn unary(&mut self) -> Result<Raw, Problem> {
        let start = self.span().start;
        if self.accept("!") {
            let inner = self.nested(Self::unary)?;
            return Ok(self.node(start, RawKind::Not(Box::new(inner))));
        }
        if !self.accept("-") {
            return self.postfix();
        }
        if let TokenKind::Number(text) = self.peek().clone() {
            self.advance();
            return Ok(self.number(start, &format!("-{text}")));
        }
        self.nested(Self::unary)?;
        Ok(self.unsupported(
            start,
            "`-` stands only before a number",
            "compare with the negative number: `args.x < -5`",
        ))
    }

    fn postfix(&mut self) -> Result<Raw, Problem> {
        let start = self.span().start;
        let mut raw = self.primary()?;
        for _ in 0..=MAX_DEPTH {
            if self.accept(".") {
                let (name, span) = self.member_name()?;
                raw = if *self.peek() == TokenKind::Symbol("(") {
                    self.call(start, Some(Box::new(raw)), name, span)?
                } else {
                    let member = Member { name, span };
                    self.node(start, RawKind::Member(Box::new(raw), member))
                };
            } else if self.accept("[") {
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                raw = self.node(start, RawKind::Index(Box::new(raw), index));
            } else {
                return Ok(raw);
            }
        }
        Err(self.too_deep())
    }

    fn primary(&mut self) -> Result<Raw, Problem> {
        let span = self.span();
        let start = span.start;
        match self.peek().clone() {
            TokenKind::Text(text) => {
                self.advance();
                Ok(self.node(start, RawKind::Text(text)))
            }
            TokenKind::Number(text) => {
                self.advance();
                Ok(self.number(start, &text))
            }
            TokenKind::Name(name) => {
                self.advance();
                self.name(name, span)
            }
            TokenKind::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            TokenKind::Symbol("[") => {
                self.advance();
                let items = self.items("]")?;
                Ok(self.node(start, RawKind::List(items)))
            }
            TokenKind::Symbol("{") => Err(Problem::new(
                ProblemKind::Unsupported,
                span,
                "maps are not supported",
                "test each attribute by itself and join the tests with `&&`",
            )),
            _ => Err(self.unexpected("an attribute, a literal, `!` or `(`")),
        }
    }

    fn name(&mut self, name: String, span: Span) -> Result<Raw, Problem> {
        match name.as_str() {
            "true" | "false" => Ok(self.node(span.start, RawKind::Bool(name == "true"))),
            "null" => Ok(self.unsupported(
                span.start,
                "`null` is not supported",
                "ask whether an attribute is there with `has(args.x)`",
            )),
            "in" => {
                self.at = self.at.saturating_sub(1);
                Err(self.unexpected("an attribute or a literal before `in`"))
            }
            "not" if !matches!(self.peek(), TokenKind::Symbol("." | "[")) => Err(Problem::new(
                ProblemKind::Syntax,
                span,
                "`not` is no operator",
                "write `!`",
            )
            .with_fix(span, "!")),
            _ if *self.peek() == TokenKind::Symbol("(") => self.call(span.start, None, name, span),
            _ => Ok(self.node(span.start, RawKind::Name(name))),
        }
    }

    fn call(
        &mut self,
        start: usize,
        target: Option<Box<Raw>>,
        name: String,
        name_span: Span,
    ) -> Result<Raw, Problem> {
        self.expect("(")?;
        let arguments = self.items(")")?;
        let kind = RawKind::Call {
            target,
            name,
            name_span,
            arguments,
        };
        Ok(self.node(start, kind))
    }

    /// Expressions between commas, up to and with the closing symbol.
    fn items(&mut self, close: &'static str) -> Result<Vec<Raw>, Problem> {
        let mut items = Vec::new();
        if self.accept(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            if !self.accept(",") {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }

    fn member_name(&mut self) -> Result<(String, Span), Problem> {
        let span = self.span();
        match self.peek().clone() {
            TokenKind::Name(name) => {
                self.advance();
                Ok((name, span))
            }
            _ => Err(self.unexpected("a name; for others write `args[\"a-b\"]`")),
        }
    }

    fn number(&mut self, start: usize, text: &str) -> Raw {
        if let Some(number) = Decimal::parse(text) {
            return self.node(start, RawKind::Number(number));
        }
        let raw = self.node(start, RawKind::Broken);
        self.problems.push(Problem::new(
            ProblemKind::Literal,
            raw.span,
            format!("`{text}` cannot be held exactly"),
            "integers go to 9007199254740991, other numbers to 10^15 with 9 digits after the \
             point; no leading zeros",
        ));
        raw
    }

    /// Tells that what began at `start` lies outside the subset.
    fn unsupported(&mut self, start: usize, message: &str, help: &str) -> Raw {
        let raw = self.node(start, RawKind::Broken);
        let problem = Problem::new(ProblemKind::Unsupported, raw.span, message, help);
        self.problems.push(problem);
        raw
    }

    /// A node from `start` to the last word that was read.
    fn node(&self, start: usize, kind: RawKind) -> Raw {
        let end = self
            .at
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last))
            .map_or(start, |token| token.span.end);
        Raw {
            span: Span::new(start, end),
            kind,
        }
    }

    fn unexpected(&self, wanted: &str) -> Problem {
        let span = self.span();
        let (found, fix) = match self.peek() {
            TokenKind::End => ("the end".to_owned(), None),
            TokenKind::Name(name) => {
                let fix = match name.to_ascii_lowercase().as_str() {
                    "and" => Some("&&"),
                    "or" => Some("||"),
                    _ => None,
                };
                (format!("`{name}`"), fix)
            }
            TokenKind::Number(text) => (format!("`{text}`"), None),
            TokenKind::Text(_) => ("a text".to_owned(), None),
            TokenKind::Symbol(symbol) => (format!("`{symbol}`"), None),
        };
        let help = match fix {
            Some(operator) => format!("write `{operator}`"),
            None => format!("expected {wanted}"),
        };
        let problem = Problem::new(
            ProblemKind::Syntax,
            span,
            format!("{found} does not belong here"),
            help,
        );
        match fix {
            Some(operator) => problem.with_fix(span, operator),
            None => problem,
        }
    }

    fn peek(&self) -> &TokenKind {
        self.tokens
            .get(self.at)
            .map_or(&TokenKind::End, |token| &token.kind)
    }

    fn span(&self) -> Span {
        let last = self.tokens.last().map(|token| token.span);
        self.tokens
            .get(self.at)
            .map(|token| token.span)
            .or(last)
            .unwrap_or_default()
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn accept(&mut self, symbol: &'static str) -> bool {
        let found = *self.peek() == TokenKind::Symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), Problem> {
        if self.accept(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{symbol}`")))
        }
    }
}

#[cfg(test)]
mod tests;
