//! Time as policy knows it: whole seconds, UTC.

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A half-open period `[not_before, expires)`; an absent end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dates {
    /// The first instant in force.
    pub not_before: Option<Time>,
    /// The first instant no longer in force.
    pub expires: Option<Time>,
}

impl Dates {
    /// Whether an instant lies in the period.
    #[must_use]
    pub fn contain(self, now: Time) -> bool {
        self.not_before.is_none_or(|start| start <= now) && self.expires.is_none_or(|end| now < end)
    }
}

impl Time {
    /// Reads an RFC 3339 date-time, or a date as its UTC midnight. Fractions of a second are cut
    /// off, and a leap second counts as the second before it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let year = digits(bytes, 0, 4)?;
        let month = digits(bytes, 5, 2)?;
        let day = digits(bytes, 8, 2)?;
        if *bytes.get(4)? != b'-' || *bytes.get(7)? != b'-' {
            return None;
        }
        let days = days_from_civil(year, month, day)?;
        if bytes.len() == 10 {
            return Some(Self(days * 86_400));
        }
        let hour = digits(bytes, 11, 2)?;
        let minute = digits(bytes, 14, 2)?;
        let second = digits(bytes, 17, 2)?;
        if !matches!(bytes.get(10)?, b'T' | b't')
            || *bytes.get(13)? != b':'
            || *bytes.get(16)? != b':'
        {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let offset = offset_seconds(fraction_end(bytes)?)?;
        let seconds = hour * 3600 + minute * 60 + second.min(59);
        Some(Self(days * 86_400 + seconds - offset))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400));
        let second = self.0.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

fn digits(bytes: &[u8], start: usize, count: usize) -> Option<i64> {
    let mut value = 0;
    for byte in bytes.get(start..start + count)? {
        value = value * 10 + i64::from((*byte).checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(value)
}

/// What follows the seconds and their fraction: the offset.
fn fraction_end(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.get(19..)?;
    let Some((b'.', fraction)) = rest.split_first() else {
        return Some(rest);
    };
    let count = fraction
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if count == 0 {
        None
    } else {
        fraction.get(count..)
    }
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    match offset {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = digits(offset, 1, 2).filter(|hours| *hours < 24)?;
            let minutes = digits(offset, 4, 2).filter(|minutes| *minutes < 60)?;
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, by Howard Hinnant's
/// algorithm.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_instants() {
        for (text, seconds, printed) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            (
                "2026-12-01T10:00:00Z",
                1_796_119_200,
                "2026-12-01T10:00:00Z",
            ),
            ("2024-02-29", 1_709_164_800, "2024-02-29T00:00:00Z"),
            (
                "2026-12-01T12:30:00.25+02:30",
                1_796_119_200,
                "2026-12-01T10:00:00Z",
            ),
        ] {
            assert_eq!(Time::parse(text), Some(Time(seconds)), "{text}");
            assert_eq!(Time(seconds).to_string(), printed);
        }
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2025-02-29",
            "2026-12-01T24:00:00Z",
            "2026-12-01 10:00:00Z",
            "2026-12-01T10:00:00",
            "2026-12-01T10:00:00.Z",
            "2026-12-01T10:00:00+0200",
            "2026-1-01",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
