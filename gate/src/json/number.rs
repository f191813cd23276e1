//! Numbers: spelled as RFC 8259 says, of a size that means the same everywhere.

use super::{JsonError, JsonFault, Kind, Value};

/// Longest number, in characters.
const MAX_LEN: usize = 64;
/// Largest exponent as written, either way.
const MAX_EXPONENT: u32 = 308;
/// Any decimal with this many significant digits survives a double unchanged.
const SAFE_DIGITS: usize = 15;

/// Steps over the number at `start`; returns the offset after it.
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let fault = |at, what| Err(JsonError { at, what });
    let peek = |at: usize| bytes.get(at).copied();
    let digits = |mut at: usize| {
        while peek(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        at
    };
    let first = start + usize::from(peek(start) == Some(b'-'));
    let mut at = digits(first);
    if at == first || (peek(first) == Some(b'0') && at > first + 1) {
        return fault(first, JsonFault::BadNumber);
    }
    if peek(at) == Some(b'.') {
        let fraction = at + 1;
        at = digits(fraction);
        if at == fraction {
            return fault(at, JsonFault::BadNumber);
        }
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = peek(at) {
        let power = at + 1 + usize::from(matches!(peek(at + 1), Some(b'+' | b'-')));
        at = digits(power);
        if at == power {
            return fault(at, JsonFault::BadNumber);
        }
        exponent = bytes
            .get(power..at)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<u32>().ok())
            .unwrap_or(u32::MAX);
    }
    // `01`, `1x` and `1.2.3` are bad numbers rather than two values.
    if let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-' | b'_') = peek(at) {
        return fault(at, JsonFault::BadNumber);
    }
    let finite = || {
        let lexeme = bytes
            .get(start..at)
            .and_then(|lexeme| std::str::from_utf8(lexeme).ok());
        lexeme
            .and_then(|lexeme| lexeme.parse::<f64>().ok())
            .is_some_and(f64::is_finite)
    };
    if at - start > MAX_LEN || exponent > MAX_EXPONENT || (exponent > 0 && !finite()) {
        return fault(start, JsonFault::NumberRange);
    }
    Ok(at)
}

/// Refuses a value with a number that would not mean the same everywhere.
///
/// Integers that fit 64 bits are exact. Any other number is a double to most readers, so it must
/// be one that, written in its shortest form, has the digits of the source.
pub fn check_numbers(value: Value<'_>) -> Result<(), JsonError> {
    for (lexeme, at) in value.numbers() {
        // The most common ones need no second look.
        let small = lexeme.len() <= SAFE_DIGITS && lexeme.bytes().all(|it| it.is_ascii_digit());
        if !small && exact(lexeme).is_none() {
            return Err(JsonError {
                at,
                what: JsonFault::NumberPrecision,
            });
        }
    }
    Ok(())
}

/// Copies a value, refusing numbers as [`check_numbers`] does.
pub fn to_value(value: Value<'_>) -> Result<serde_json::Value, JsonError> {
    Ok(match value.kind() {
        Kind::Null => serde_json::Value::Null,
        Kind::Bool(value) => serde_json::Value::Bool(value),
        Kind::Text(text) => serde_json::Value::String(text.to_owned()),
        Kind::Number(lexeme) => exact(lexeme)
            .map(serde_json::Value::Number)
            .ok_or(JsonError {
                at: value.span().start,
                what: JsonFault::NumberPrecision,
            })?,
        Kind::Array(array) => {
            serde_json::Value::Array(array.values().map(to_value).collect::<Result<_, _>>()?)
        }
        Kind::Object(object) => serde_json::Value::Object(
            object
                .members()
                .map(|member| Ok((member.key.to_owned(), to_value(member.value)?)))
                .collect::<Result<_, JsonError>>()?,
        ),
    })
}

/// A number that means the same everywhere.
pub(crate) fn exact(lexeme: &str) -> Option<serde_json::Number> {
    // `-0` is a double: an integer would lose its sign.
    if lexeme != "-0" {
        if let Ok(integer) = lexeme.parse::<i64>() {
            return Some(integer.into());
        }
        if let Ok(integer) = lexeme.parse::<u64>() {
            return Some(integer.into());
        }
    }
    let double = lexeme.parse::<f64>().ok()?;
    let written = significant(lexeme);
    // Near zero a double has fewer digits than elsewhere, so only normal ones are safe by count.
    let survives = (written.len() <= SAFE_DIGITS && (double.is_normal() || written.is_empty()))
        || significant(&format!("{double:e}")) == written;
    survives
        .then(|| serde_json::Number::from_f64(double))
        .flatten()
}

/// The digits of a number without sign, point, exponent, leading and trailing zeros.
fn significant(lexeme: &str) -> String {
    let mantissa = lexeme.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}
