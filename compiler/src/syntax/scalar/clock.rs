//! Local dates and times of day, of no zone by themselves.

use serde_json::{Value as Json, json};

use super::{Problem, Scalar, Timestamp};

/// A time of day: minutes since midnight, `24:00` included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Clock(pub u16);

/// A date: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date(pub i64);

impl Scalar for Clock {
    const WANTED: &'static str = "a time of day";

    fn parse(text: &str) -> Result<Self, Problem> {
        minutes(text).map(Self).ok_or_else(|| {
            Problem::value(format!("`{text}` is not a time of day"))
                .help("write hours and minutes, from \"00:00\" to \"24:00\"")
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" })
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok())?
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

impl Scalar for Date {
    const WANTED: &'static str = "a date";

    fn parse(text: &str) -> Result<Self, Problem> {
        let refused = || {
            Problem::value(format!("`{text}` is not a date"))
                .help("write year, month and day, such as \"2027-03-31\"")
        };
        if text.len() != 10 {
            return Err(refused());
        }
        let midnight = Timestamp::parse(text).map_err(|_| refused())?;
        Ok(Self(midnight.0 / 86_400))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_minutes() {
        for (text, wanted) in [
            ("00:00", Some(0)),
            ("09:30", Some(570)),
            ("23:59", Some(1439)),
            ("24:00", Some(1440)),
            ("24:01", None),
            ("12:60", None),
            ("9:00", None),
            ("09:00:00", None),
            ("+9:00", None),
            ("", None),
        ] {
            assert_eq!(Clock::parse(text).ok().map(|it| it.0), wanted, "{text}");
        }
    }

    #[test]
    fn dates_are_days() {
        for (text, wanted) in [
            ("1970-01-02", Some(1)),
            ("2026-12-24", Some(20_811)),
            ("2026-02-29", None),
            ("2026-12-24T00:00:00Z", None),
            ("today", None),
        ] {
            assert_eq!(Date::parse(text).ok().map(|it| it.0), wanted, "{text}");
        }
    }
}
