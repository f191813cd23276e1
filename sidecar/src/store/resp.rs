//! The protocol of Redis (RESP 2), as far as scripts need it.

use bytes::{Buf, BytesMut};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A status word.
    Simple(String),
    /// An error, with its code in front.
    Error(String),
    /// A number.
    Integer(i64),
    /// Text, or nothing.
    Bulk(Option<Vec<u8>>),
    /// A list.
    Array(Vec<Value>),
}

/// What came is not the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// The longest text and list that an answer may have.
const MOST: usize = 1 << 16;
/// The longest line.
const MAX_LINE: usize = 1024;
/// How deep lists may lie in one another.
const MAX_DEPTH: usize = 3;

/// A command as bytes.
pub(super) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Takes one whole answer off the front; `None` when it has not all come yet.
pub(super) fn take(from: &mut BytesMut) -> Result<Option<Value>, Garbled> {
    let mut cursor = Cursor { bytes: from, at: 0 };
    match cursor.value(0) {
        Ok(value) => {
            let at = cursor.at;
            from.advance(at);
            Ok(Some(value))
        }
        Err(Stop::More) => Ok(None),
        Err(Stop::Garbled) => Err(Garbled),
    }
}

enum Stop {
    More,
    Garbled,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(Stop::Garbled)?;
        Ok(match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Integer(rest.parse().map_err(|_| Stop::Garbled)?),
            "$" if rest == "-1" => Value::Bulk(None),
            "$" => Value::Bulk(Some(self.bulk(length(rest)?)?)),
            "*" if rest == "-1" => Value::Array(Vec::new()),
            "*" if depth < MAX_DEPTH => {
                let count = length(rest)?;
                let values = (0..count).map(|_| self.value(depth + 1));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            _ => return Err(Stop::Garbled),
        })
    }

    fn line(&mut self) -> Result<String, Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let window = rest.get(..MAX_LINE).unwrap_or(rest);
        let Some(end) = window.windows(2).position(|it| it == b"\r\n") else {
            return Err(if rest.len() > MAX_LINE {
                Stop::Garbled
            } else {
                Stop::More
            });
        };
        let line = window.get(..end).unwrap_or_default();
        self.at += end + 2;
        String::from_utf8(line.to_vec()).map_err(|_| Stop::Garbled)
    }

    fn bulk(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let text = rest.get(..length).ok_or(Stop::More)?;
        match rest.get(length..length + 2) {
            None => Err(Stop::More),
            Some(b"\r\n") => {
                self.at += length + 2;
                Ok(text.to_vec())
            }
            Some(_) => Err(Stop::Garbled),
        }
    }
}

fn length(text: &str) -> Result<usize, Stop> {
    let length = text.parse().map_err(|_| Stop::Garbled)?;
    if length > MOST {
        return Err(Stop::Garbled);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lists_of_texts() {
        assert_eq!(
            command(&["GET", "a b"]),
            b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n"
        );
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        let all = b"*3\r\n:-5\r\n$2\r\nhi\r\n*1\r\n$-1\r\n+OK\r\n-NOSCRIPT no\r\n";
        let wanted = [
            Value::Array(vec![
                Value::Integer(-5),
                Value::Bulk(Some(b"hi".to_vec())),
                Value::Array(vec![Value::Bulk(None)]),
            ]),
            Value::Simple("OK".to_owned()),
            Value::Error("NOSCRIPT no".to_owned()),
        ];
        for cut in 0..all.len() {
            let (mut found, mut bytes) = (Vec::new(), BytesMut::new());
            for part in [&all[..cut], &all[cut..]] {
                bytes.extend_from_slice(part);
                while let Some(value) = take(&mut bytes).unwrap() {
                    found.push(value);
                }
            }
            assert_eq!(found, wanted, "{cut}");
        }
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bad in [
            "HTTP/1.1 200\r\n",
            ":x\r\n",
            "$99999999\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            "$1\r\nabc",
        ] {
            assert_eq!(take(&mut BytesMut::from(bad)), Err(Garbled), "{bad}");
        }
    }
}
