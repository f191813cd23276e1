//! Instants: RFC 3339, or a date for its midnight in UTC.

use std::fmt;

use latchkey_engine::time::Time;
use serde_json::{Value as Json, json};

use super::{Problem, Scalar};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(pub i64);

impl Scalar for Timestamp {
    const WANTED: &'static str = "a date or a time";

    fn parse(text: &str) -> Result<Self, Problem> {
        parse(text).map(Self).map_err(|why| {
            Problem::value(format!("`{text}` is not a date or a time: {why}"))
                .help("write a date as \"2027-03-31\" or a time as \"2027-03-31T10:00:00Z\"")
        })
    }

    fn schema() -> Json {
        json!({
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}\
                (T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?$",
        })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Time(self.0).fmt(f)
    }
}

fn parse(text: &str) -> Result<i64, &'static str> {
    let (date, time) = match text.split_at_checked(10) {
        Some((date, "")) => (date, None),
        Some((date, time)) => (date, Some(time)),
        None => return Err("it is too short"),
    };
    let midnight = days(date)? * 86_400;
    match time {
        None => Ok(midnight),
        Some(time) => Ok(midnight + seconds(time)?),
    }
}

fn days(date: &str) -> Result<i64, &'static str> {
    let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or("the date is not YYYY-MM-DD")?;
    if !(1..=12).contains(&month) {
        return Err("there is no such month");
    }
    if day < 1 || day > days_in(year, month) {
        return Err("the month has no such day");
    }
    let midnight = Time::parse(date).ok_or("the date is not YYYY-MM-DD")?;
    Ok(midnight.0 / 86_400)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The part after the date: `T10:00:00Z`, or with an offset.
fn seconds(text: &str) -> Result<i64, &'static str> {
    const FORM: &str = "the time is not THH:MM:SS with `Z` or an offset";
    let text = text.strip_prefix('T').ok_or(FORM)?;
    let (clock, zone) = text.split_at_checked(8).ok_or(FORM)?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2]).ok_or(FORM)?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err("there is no such time of day");
    }
    if zone.starts_with('.') {
        return Err("fractions of a second are not used here");
    }
    Ok(hour * 3600 + minute * 60 + second - offset(zone).ok_or(FORM)?)
}

fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let [hour, minute] = numbers(rest, ':', [2, 2])?;
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3600 + minute * 60))
}

/// Splits at the separator into numbers with exactly these many digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut out = [0; N];
    for (slot, digits) in out.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_exact() {
        let cases = [
            ("1970-01-01", 0),
            ("2027-03-31", 1_806_451_200),
            ("2026-12-01T10:00:00Z", 1_796_119_200),
            ("2026-12-01T12:30:00+02:30", 1_796_119_200),
            ("2026-12-01T07:00:00-03:00", 1_796_119_200),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("1969-12-31T23:59:59Z", -1),
            ("0000-03-01", -62_162_035_200),
        ];
        for (text, expected) in cases {
            assert_eq!(Timestamp::parse(text).unwrap().0, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_instant_is_refused() {
        for text in [
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-04-31",
            "2027-3-1",
            "2027-03-31 10:00:00Z",
            "2027-03-31T10:00Z",
            "2027-03-31T24:00:00Z",
            "2027-03-31T10:00:60Z",
            "2027-03-31T10:00:00",
            "2027-03-31T10:00:00.5Z",
            "2027-03-31T10:00:00+2:00",
            "2027-03-31t10:00:00z",
            "",
            "tomorrow",
            "2027-03-3é",
            "+027-03-31",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn display_is_the_inverse_of_parse() {
        for second in (-62_000_000_000..250_000_000_000).step_by(12_345_677_777) {
            let time = Timestamp(second);
            assert_eq!(
                Timestamp::parse(&time.to_string()).map(|t| t.0).ok(),
                Some(second)
            );
        }
    }
}
