//! Plain (unquoted) YAML values: which ones every reader reads alike.

/// How a plain value is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plain {
    /// Empty, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number of JSON's grammar without an exponent.
    Number,
    /// Text, for every reader.
    Text,
    /// Read differently by different readers; what some take it for.
    Ambiguous(&'static str),
}

/// Reads a plain value, as YAML 1.1, YAML 1.2 core and JSON would, and says if they disagree.
pub(crate) fn classify(text: &str) -> Plain {
    // What is not text for all begins as a number, a date or one of a few words.
    let first = text.bytes().next().map(|b| b.to_ascii_lowercase());
    if first.is_some_and(|b| b.is_ascii_lowercase() && !b"ntfyo".contains(&b)) {
        return Plain::Text;
    }
    match text {
        "" | "~" | "null" => return Plain::Null,
        "true" => return Plain::Bool(true),
        "false" => return Plain::Bool(false),
        "=" | "<<" => return Plain::Ambiguous("a special value"),
        _ => {}
    }
    if is_word_for(&["null"], text) {
        return Plain::Ambiguous("null");
    }
    if is_word_for(&["true", "false", "yes", "no", "on", "off", "y", "n"], text) {
        return Plain::Ambiguous("a boolean");
    }
    if is_json_number(text) {
        return Plain::Number;
    }
    if looks_like_date(text) {
        return Plain::Ambiguous("a date");
    }
    if looks_like_number(text) {
        return Plain::Ambiguous("a number");
    }
    Plain::Text
}

fn is_word_for(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && text != "-0"
}

/// `2027-03-31`, `2027-3-1`, and anything that starts so and goes on as a time.
fn looks_like_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let number = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| {
            (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let (year, month) = (parts.next(), parts.next());
    let day = parts.next().map(|rest| {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        (digits, rest.chars().nth(digits))
    });
    year.is_some_and(|year| year.len() == 4)
        && number(year, 4)
        && number(month, 2)
        && matches!(day, Some((1..=2, None | Some('T' | 't' | ' '))))
}

fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_word_for(&[".inf", ".nan", "inf", "nan", "infinity"], unsigned) {
        // Without the dot only some readers take it for a number, and only as a value of a float.
        return unsigned.starts_with('.');
    }
    let mut chars = unsigned.chars();
    let radix = match (chars.next(), chars.next()) {
        (Some('0'), Some('x' | 'X')) => Some(16),
        (Some('0'), Some('o' | 'O')) => Some(8),
        (Some('0'), Some('b' | 'B')) => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let rest = chars.as_str();
        return !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(radix));
    }
    sexagesimal(unsigned) || decimal(unsigned)
}

/// `1:30` and `190:20:30.15`, which YAML 1.1 reads in base 60.
fn sexagesimal(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_digit());
    starts
        && text.contains(':')
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "_:.".contains(c))
}

/// Digits with underscores, one dot and an exponent in any of the spellings in use.
fn decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let has_digit = mantissa.bytes().any(|b| b.is_ascii_digit());
    let first = mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let body = mantissa
        .chars()
        .all(|c| c.is_ascii_digit() || c == '_' || c == '.' || c == ',');
    let dots = mantissa.matches('.').count() <= 1;
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    has_digit && first && body && dots && exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_agree_on_stays_plain() {
        for text in [
            "alice",
            "30/m",
            "64KiB",
            "30s",
            "10.0.0.0/8",
            "10.0.0.1",
            "a-b",
            "1.2.3",
            "acme/payments",
            "tools/call",
            "nope",
            "once",
            "yesterday",
            "2027",
            "0",
            "-1",
            "1.50",
            "https://a.example:80/x",
            "2027-03",
            "v1",
            "12ab",
            "0xg",
            "e5",
            "1e",
            "...",
            "-",
            "on-call",
        ] {
            let found = classify(text);
            assert!(
                !matches!(found, Plain::Ambiguous(_) | Plain::Null),
                "{text}: {found:?}"
            );
        }
        assert_eq!(classify("-1.50"), Plain::Number);
        assert_eq!(classify("true"), Plain::Bool(true));
    }

    #[test]
    fn what_readers_disagree_on_is_found() {
        for text in [
            "no",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "True",
            "FALSE",
            "Null",
            "NULL",
            "014",
            "0o7",
            "0x1F",
            "0b1",
            "1_000",
            "1:30",
            "-1:30",
            "190:20:30.15",
            ".inf",
            "-.INF",
            ".NaN",
            "1e3",
            "1.5E-3",
            "+1",
            ".5",
            "1.",
            "-0",
            "00",
            "1,000",
            "2027-03-31",
            "2027-3-1",
            "2027-03-31T10:00:00Z",
            "2027-03-31 10:00:00",
            "=",
            "685230.15_1",
            "123e4",
        ] {
            assert!(matches!(classify(text), Plain::Ambiguous(_)), "{text}");
        }
    }

    #[test]
    fn nothing_is_null() {
        for text in ["", "~", "null"] {
            assert_eq!(classify(text), Plain::Null);
        }
    }
}
