//! A message that passes as it comes: whether it stays the result that it began as.

use memchr::memchr2;

use super::requests::says;

/// The longest key that means anything, in bytes, as it may be written.
const LONGEST: usize = 16;

/// Reads the keys of a message, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct Watch {
    depth: u32,
    /// The text that is being read.
    text: Option<Text>,
    /// The text that has just ended at the outermost level: a key, if a colon follows.
    ended: Option<Said>,
    leads: bool,
    strange: bool,
}

#[derive(Debug, Default)]
struct Text {
    /// Its beginning, where it may be a key of the message.
    kept: Vec<u8>,
    escaped: bool,
    /// Whether the next byte is of an escape.
    escapes: bool,
}

/// What a key of the message makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Result,
    Other,
    /// Something that is no result, or cannot be told without reading it whole.
    Strange,
}

impl Watch {
    /// Reads on; false where the message is not, or not only, a result.
    pub fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !self.strange && !bytes.is_empty() {
            bytes = match &mut self.text {
                Some(text) => match text.end(bytes, self.depth == 1) {
                    Some(rest) => {
                        self.ended = self.text.take().filter(|_| self.depth == 1).map(Text::said);
                        rest
                    }
                    None => &[],
                },
                None => self.outside(bytes),
            };
        }
        !self.strange
    }

    /// Whether what was read shows that the message holds a result, and nothing else before it.
    #[must_use]
    pub fn leads_with_result(&self) -> bool {
        self.leads && !self.strange
    }

    fn outside<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((byte, rest)) = bytes.split_first() else {
            return bytes;
        };
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return rest,
            b':' => match self.ended {
                Some(Said::Result) => self.leads = true,
                Some(Said::Strange) => self.strange = true,
                Some(Said::Other) | None => {}
            },
            b'"' => self.text = Some(Text::default()),
            b'{' if self.depth == 0 && !self.leads => self.depth = 1,
            b'{' | b'[' if self.depth > 0 => self.depth += 1,
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            _ => {}
        }
        // Only an object is one message, and nothing comes before or behind it.
        self.strange |= self.depth == 0 && *byte != b'}';
        self.ended = None;
        rest
    }
}

impl Text {
    /// What follows the text, if it ends in these bytes.
    fn end<'a>(&mut self, mut bytes: &'a [u8], keeps: bool) -> Option<&'a [u8]> {
        if std::mem::take(&mut self.escapes) {
            bytes = bytes.get(1..)?;
        }
        loop {
            let at = memchr2(b'"', b'\\', bytes);
            let part = bytes.get(..at.unwrap_or(bytes.len()))?;
            if keeps && self.kept.len() <= LONGEST {
                let room = part.len().min(LONGEST + 1 - self.kept.len());
                self.kept.extend_from_slice(part.get(..room)?);
            }
            let rest = bytes.get(at?..)?;
            if rest.first() == Some(&b'"') {
                return rest.get(1..);
            }
            self.escaped = true;
            self.escapes = rest.len() < 2;
            bytes = rest.get(2..)?;
        }
    }

    fn said(mut self) -> Said {
        self.kept.push(b'"');
        let is = |key: &[u8]| says(&self.kept, key);
        if self.escaped || is(b"method") || is(b"error") {
            Said::Strange
        } else if self.kept == b"result\"" {
            Said::Result
        } else {
            Said::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str, piece: usize) -> (bool, bool) {
        let mut watch = Watch::default();
        let stays = message.as_bytes().chunks(piece).all(|it| watch.take(it));
        (stays, watch.leads_with_result())
    }

    #[test]
    fn a_result_stays_one_however_it_is_cut() {
        for (message, stays, leads) in [
            (
                r#"{"jsonrpc":"2.0","id":"a\"b","result":{"x":[{"method":"m","error":1}]}}"#,
                true,
                true,
            ),
            (
                r#" {"id" : 1 , "result" : "error" , "other" : "method" } "#,
                true,
                true,
            ),
            (
                r#"{"id":1,"result":{},"method":"sampling/createMessage"}"#,
                false,
                false,
            ),
            (r#"{"id":1,"result":{},"Method":"x"}"#, false, false),
            (
                r#"{"id":1,"result":{},"error":{"code":-32042}}"#,
                false,
                false,
            ),
            (r#"{"id":1,"result":{},"m\u0065thod":"x"}"#, false, false),
            (r#"{"id":1,"error":{},"result":{}}"#, false, false),
            (r#"{"id":1,"method":"x"}"#, false, false),
            (r#"{"id":1}"#, true, false),
            (r#"[{"id":1,"result":{}}]"#, false, false),
            (r#"{"id":1,"result":{}}{"id":2,"method":"x"}"#, false, false),
            ("{\"id\":1,\"result\":{}}\n\ndata: {}", false, false),
            ("data: {}", false, false),
            (r#""result":{}"#, false, false),
        ] {
            for piece in [1, 2, 3, 7, message.len()] {
                assert_eq!(read(message, piece), (stays, leads), "{message} by {piece}");
            }
        }
    }
}
