//! Exact decimal numbers, as conditions compare them.

/// A number scaled by 10^9, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

const SCALE: i128 = 1_000_000_000;
const FRACTION_DIGITS: i32 = 9;
const MAX_INTEGER: i128 = (1 << 53) - 1;
const MAX_DECIMAL: i128 = 1_000_000_000_000_000;

impl Decimal {
    /// The number of this many billionths; `None` outside what policy can read: integers to
    /// 2^53-1, others to 10^15.
    #[must_use]
    pub const fn from_billionths(billionths: i128) -> Option<Self> {
        let limit = if billionths % SCALE == 0 {
            MAX_INTEGER
        } else {
            MAX_DECIMAL
        };
        if billionths.unsigned_abs() <= (limit * SCALE).unsigned_abs() {
            Some(Self(billionths))
        } else {
            None
        }
    }

    /// The integer; `None` beyond 2^53-1.
    #[must_use]
    pub const fn from_integer(integer: i64) -> Option<Self> {
        Self::from_billionths(integer as i128 * SCALE)
    }

    /// The number in billionths.
    #[must_use]
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// Whether there is no fraction.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.0 % SCALE == 0
    }

    /// Reads a number in JSON's grammar; `None` when it is not one, or cannot be held exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let fraction_length = i32::try_from(fraction.len()).ok()?;
        let mut digits: i128 = 0;
        let mut zeros: i32 = 0;
        // Trailing zeros are held back, so that `1.000...0` stays exact whatever its length.
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            if digit == 0 {
                zeros += 1;
                continue;
            }
            if digits != 0 {
                digits = digits.checked_mul(10_i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
            }
            zeros = 0;
            digits = digits.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        if digits == 0 {
            return Some(Self(0));
        }
        let power = exponent
            .checked_sub(fraction_length)?
            .checked_add(zeros)?
            .checked_add(FRACTION_DIGITS)?;
        let power = u32::try_from(power).ok()?;
        let billionths = digits.checked_mul(10_i128.checked_pow(power)?)?;
        Self::from_billionths(if negative { -billionths } else { billionths })
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.abs() / SCALE, self.0.abs() % SCALE);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exactly_what_fits() {
        for (text, printed) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("100", Some("100")),
            ("100.0", Some("100")),
            ("1e3", Some("1000")),
            ("1.5E-3", Some("0.0015")),
            ("-2.50", Some("-2.5")),
            ("0.000000001", Some("0.000000001")),
            ("1.0000000000000000000000000000", Some("1")),
            ("9007199254740991", Some("9007199254740991")),
            ("9007199254740992", None),
            ("0.0000000001", None),
            ("500.00000000000001", None),
            ("1e999", None),
            ("", None),
            ("01", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("NaN", None),
            ("1e", None),
            ("1000000000000000.5", None),
            ("999999999999999.5", Some("999999999999999.5")),
            ("10e-1", Some("1")),
            ("1002003", Some("1002003")),
            ("0.10", Some("0.1")),
        ] {
            let read = Decimal::parse(text).map(|number| number.to_string());
            assert_eq!(read.as_deref(), printed, "{text}");
        }
    }
}
