//! Quantities with a unit: durations, sizes, rates.

use std::fmt;

use serde_json::{Value as Json, json};

use super::{Problem, Scalar};
use crate::syntax::node::Value;

/// A duration in milliseconds, written with a unit: `500ms`, `30s`, `5m`, `1h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Millis(pub u64);

/// A size in bytes, written with a unit: `512B`, `64KiB`, `4MiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteSize(pub u64);

/// A number of calls in a period: `30/m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rate {
    /// How many calls, at least one.
    pub count: u32,
    /// In what period.
    pub per: Per,
}

/// How many at a time: a whole number above zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Count(pub u32);

/// The period of a rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Per {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl Per {
    /// The period in seconds.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())
    }
}

impl Scalar for Millis {
    const WANTED: &'static str = "a duration such as `30s`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        measure(text, &units).map(Self).ok_or_else(|| {
            Problem::value(format!("`{text}` is not a duration"))
                .help("write a whole number above zero with `ms`, `s`, `m` or `h`, such as `30s`")
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h)$" })
    }
}

impl Scalar for ByteSize {
    const WANTED: &'static str = "a size such as `64KiB`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let units = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("B", 1),
        ];
        measure(text, &units).map(Self).ok_or_else(|| {
            Problem::value(format!("`{text}` is not a size"))
                .help("write a whole number above zero with `B`, `KiB` or `MiB`, such as `64KiB`")
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[1-9][0-9]*(B|KiB|MiB|GiB)$" })
    }
}

impl Scalar for Rate {
    const WANTED: &'static str = "a rate such as `30/m`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::value(format!("`{text}` is not a rate"))
                .help("write a whole number above zero, `/`, and `s`, `m` or `h`, such as `30/m`")
        };
        let (count, per) = text.split_once('/').ok_or_else(bad)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(bad()),
        };
        let count = whole(count)
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(bad)?;
        Ok(Self { count, per })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[1-9][0-9]*/[smh]$" })
    }
}

impl Scalar for Count {
    const WANTED: &'static str = "a whole number above zero";

    fn parse(text: &str) -> Result<Self, Problem> {
        Err(Problem::value(format!("`{text}` is not a whole number"))
            .help("write a whole number above zero, such as `4`"))
    }

    fn from_value(value: &Value) -> Option<Result<Self, Problem>> {
        match value {
            Value::Number(number) => {
                let count = whole(number).and_then(|count| u32::try_from(count).ok());
                let count = count.filter(|count| *count > 0).map(Self);
                Some(count.map_or_else(|| Self::parse(number), Ok))
            }
            Value::Text(text, _) => Some(Self::parse(text)),
            _ => None,
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

/// A number with one of the units, in the smallest of them.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    whole(number)?.checked_mul(*scale)
}

/// A whole number above zero without leading zeros.
fn whole(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(Millis::parse("500ms").unwrap(), Millis(500));
        assert_eq!(Millis::parse("5m").unwrap(), Millis(300_000));
        assert_eq!(ByteSize::parse("64KiB").unwrap(), ByteSize(65_536));
        assert_eq!(ByteSize::parse("1B").unwrap(), ByteSize(1));
        let rate = Rate::parse("30/m").unwrap();
        assert_eq!(
            (rate.count, rate.per.seconds(), rate.to_string()),
            (30, 60, "30/m".to_owned())
        );
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "0s",
            "-1s",
            "030s",
            "1.5s",
            "30 s",
            "30S",
            "99999999999999999999h",
        ] {
            assert!(Millis::parse(text).is_err(), "{text}");
        }
        for text in ["64KB", "64k", "0B", "18446744073709551615KiB"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
        for text in ["30", "/m", "30/d", "0/m", "30/ m", "4294967296/s", "30/m/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
