//! The single pass over the bytes.

use super::{Document, JsonError, JsonFault, Node, NodeKind, number, text};

/// Caps on one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// Most values and keys together.
    pub nodes: usize,
}

impl Limits {
    /// The limits for a request body.
    pub const REQUEST: Self = Self {
        bytes: 16 << 20,
        depth: 64,
        nodes: 100_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::REQUEST
    }
}

/// Parses one JSON text under [`Limits::REQUEST`].
pub fn parse(source: &[u8]) -> Result<Document<'_>, JsonError> {
    parse_with(source, Limits::REQUEST)
}

/// Parses one JSON text under the given limits.
pub fn parse_with(source: &[u8], limits: Limits) -> Result<Document<'_>, JsonError> {
    // Spans are 32 bits wide, whatever the caller asks for.
    let cap = limits.bytes.min(u32::MAX as usize);
    if source.len() > cap {
        return Err(JsonError {
            at: cap,
            what: JsonFault::TooLarge,
        });
    }
    if source.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError {
            at: 0,
            what: JsonFault::ByteOrderMark,
        });
    }
    let source = std::str::from_utf8(source).map_err(|error| JsonError {
        at: error.valid_up_to(),
        what: JsonFault::NotUtf8,
    })?;
    let mut parser = Parser {
        source,
        bytes: source.as_bytes(),
        at: 0,
        limits,
        depth: 0,
        // A guess that spares small requests every growth.
        nodes: Vec::with_capacity((source.len() / 8).clamp(4, 512)),
    };
    parser.skip_whitespace();
    let root = parser.node()?;
    parser.skip_whitespace();
    if parser.at < parser.bytes.len() {
        return Err(parser.fault(JsonFault::TrailingBytes));
    }
    Ok(Document {
        source,
        root,
        rest: parser.nodes,
    })
}

/// Objects with more members than this are checked for duplicates by sorting.
const PAIRWISE: usize = 16;

struct Parser<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    depth: usize,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    /// Reads one value: its descendants are pushed, it is returned.
    fn node(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        let before = self.nodes.len();
        let kind = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            _ => self.leaf()?,
        };
        let size = self.nodes.len() - before + 1;
        Ok(Node {
            kind,
            start: narrow(start),
            end: narrow(self.at),
            size: narrow(size),
        })
    }

    /// Reads a value that holds no others.
    fn leaf(&mut self) -> Result<NodeKind, JsonError> {
        Ok(match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => {
                self.at = number::scan(self.bytes, self.at)?;
                NodeKind::Number
            }
            Some(b't') => self.word(b"true", NodeKind::Bool(true))?,
            Some(b'f') => self.word(b"false", NodeKind::Bool(false))?,
            Some(b'n') => self.word(b"null", NodeKind::Null)?,
            Some(_) => return Err(self.fault(JsonFault::UnexpectedByte)),
            None => return Err(self.fault(JsonFault::UnexpectedEnd)),
        })
    }

    /// Reads one value into its place in front of its descendants.
    fn push_node(&mut self) -> Result<(), JsonError> {
        let slot = self.nodes.len();
        if slot >= self.limits.nodes {
            return Err(self.fault(JsonFault::TooManyValues));
        }
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.push_leaf();
        }
        self.nodes.push(Node {
            kind: NodeKind::Null,
            start: 0,
            end: 0,
            size: 1,
        });
        let node = self.node()?;
        if let Some(place) = self.nodes.get_mut(slot) {
            *place = node;
        }
        Ok(())
    }

    /// Reads a value that holds no others, most often a key, into the next place.
    fn push_leaf(&mut self) -> Result<(), JsonError> {
        let start = narrow(self.at);
        // Most are strings without an escape.
        let kind = match self.plain_string() {
            Some(kind) => kind,
            None => self.leaf()?,
        };
        let end = narrow(self.at);
        self.nodes.push(Node {
            kind,
            start,
            end,
            size: 1,
        });
        Ok(())
    }

    /// Steps over a string that says what it spells; over nothing else.
    fn plain_string(&mut self) -> Option<NodeKind> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let end = plain_until(self.bytes, self.at + 1);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some(NodeKind::Text(None))
    }

    fn array(&mut self) -> Result<NodeKind, JsonError> {
        self.open()?;
        let mut len = 0;
        if !self.closes(b']') {
            loop {
                self.push_node()?;
                len += 1;
                if !self.continues(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(NodeKind::Array { len })
    }

    fn object(&mut self) -> Result<NodeKind, JsonError> {
        self.open()?;
        let first = self.nodes.len();
        let mut len = 0;
        if !self.closes(b'}') {
            loop {
                self.key()?;
                self.push_node()?;
                len += 1;
                if !self.continues(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        self.refuse_duplicates(first, len)?;
        Ok(NodeKind::Object { len: narrow(len) })
    }

    fn key(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') if self.nodes.len() >= self.limits.nodes => {
                return Err(self.fault(JsonFault::TooManyValues));
            }
            Some(b'"') => self.push_leaf()?,
            Some(_) => return Err(self.fault(JsonFault::UnexpectedByte)),
            None => return Err(self.fault(JsonFault::UnexpectedEnd)),
        }
        self.skip_whitespace();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.fault(JsonFault::UnexpectedByte)),
            None => return Err(self.fault(JsonFault::UnexpectedEnd)),
        }
        self.skip_whitespace();
        Ok(())
    }

    /// Steps over the opening bracket.
    fn open(&mut self) -> Result<(), JsonError> {
        if self.depth >= self.limits.depth {
            return Err(self.fault(JsonFault::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_whitespace();
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// Steps over a comma (true) or the closing bracket (false).
    fn continues(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.skip_whitespace();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_whitespace();
                Ok(true)
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.fault(JsonFault::UnexpectedByte)),
            None => Err(self.fault(JsonFault::UnexpectedEnd)),
        }
    }

    fn string(&mut self) -> Result<NodeKind, JsonError> {
        self.at += 1;
        let mut decoded: Option<String> = None;
        loop {
            let run = self.at;
            self.at = plain_until(self.bytes, self.at);
            let stopped_at = self.at;
            if let Some(text) = &mut decoded {
                text.push_str(self.source.get(run..stopped_at).unwrap_or_default());
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(NodeKind::Text(decoded.map(String::into_boxed_str)));
                }
                Some(b'\\') => {
                    let so_far = || {
                        self.source
                            .get(run..stopped_at)
                            .unwrap_or_default()
                            .to_owned()
                    };
                    let mut text = decoded.unwrap_or_else(so_far);
                    text.push(self.escape()?);
                    decoded = Some(text);
                }
                Some(_) => return Err(self.fault(JsonFault::ControlCharacter)),
                None => return Err(self.fault(JsonFault::UnexpectedEnd)),
            }
        }
    }

    /// Reads one escape, the backslash included.
    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let letter = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        let plain = match letter {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            Some(_) => {
                return Err(JsonError {
                    at: start,
                    what: JsonFault::BadEscape,
                });
            }
            None => {
                return Err(JsonError {
                    at: start,
                    what: JsonFault::UnexpectedEnd,
                });
            }
        };
        Ok(plain)
    }

    /// Reads what follows `\u`, with its second half where it is a surrogate pair.
    fn unicode(&mut self, start: usize) -> Result<char, JsonError> {
        let fault = |what| JsonError { at: start, what };
        let first = self.hex4().ok_or(fault(JsonFault::BadEscape))?;
        let code = match first {
            0 => return Err(fault(JsonFault::NulCharacter)),
            0xd800..=0xdbff => {
                if self.bytes.get(self.at..self.at + 2) != Some(br"\u") {
                    return Err(fault(JsonFault::LoneSurrogate));
                }
                self.at += 2;
                match self.hex4().ok_or(fault(JsonFault::BadEscape))? {
                    low @ 0xdc00..=0xdfff => 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(fault(JsonFault::LoneSurrogate)),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or(fault(JsonFault::LoneSurrogate))
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let mut code = 0;
        for digit in digits {
            code = code << 4 | char::from(*digit).to_digit(16)?;
        }
        self.at += 4;
        Some(code)
    }

    fn word(&mut self, word: &[u8], kind: NodeKind) -> Result<NodeKind, JsonError> {
        if !self
            .bytes
            .get(self.at..)
            .unwrap_or_default()
            .starts_with(word)
        {
            return Err(self.fault(JsonFault::UnexpectedByte));
        }
        self.at += word.len();
        Ok(kind)
    }

    /// Compares the decoded keys of the object whose nodes start at `first`.
    fn refuse_duplicates(&self, first: usize, len: usize) -> Result<(), JsonError> {
        if len < 2 {
            return Ok(());
        }
        let nodes = self.nodes.get(first..).unwrap_or_default();
        let keys = Keys {
            source: self.source,
            nodes,
        };
        if len <= PAIRWISE {
            let mut known = [""; PAIRWISE];
            for (seen, (key, at)) in keys.enumerate() {
                let before = known.get(..seen).unwrap_or_default();
                if before.contains(&key) {
                    return Err(JsonError {
                        at,
                        what: JsonFault::DuplicateKey,
                    });
                }
                if let Some(place) = known.get_mut(seen) {
                    *place = key;
                }
            }
            return Ok(());
        }
        let mut sorted: Vec<(&str, usize)> = keys.collect();
        sorted.sort_unstable();
        let twins = sorted.iter().zip(sorted.iter().skip(1));
        let second = twins.filter(|(a, b)| a.0 == b.0).map(|(_, b)| b.1).min();
        second.map_or(Ok(()), |at| {
            Err(JsonError {
                at,
                what: JsonFault::DuplicateKey,
            })
        })
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, what: JsonFault) -> JsonError {
        JsonError { at: self.at, what }
    }
}

/// The keys of one object, with their offsets.
#[derive(Clone)]
struct Keys<'p> {
    source: &'p str,
    nodes: &'p [Node],
}

impl<'p> Iterator for Keys<'p> {
    type Item = (&'p str, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = self.nodes.split_first()?;
        let below = rest.first().map_or(0, |value| value.size as usize);
        self.nodes = rest.get(below..).unwrap_or_default();
        let NodeKind::Text(decoded) = &key.kind else {
            return None;
        };
        Some((
            text(self.source, key, decoded.as_deref()),
            key.start as usize,
        ))
    }
}

/// The first offset at or after `at` of a quote, a backslash or a control character.
pub(crate) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at a time: a byte is zero, or below 0x20, where the subtraction borrows.
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * u64::from(b'"'));
        let backslash = word ^ (LOW * u64::from(b'\\'));
        let hits = (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(LOW * 0x20) & !word);
        let hits = hits & HIGH;
        if hits != 0 {
            // A borrow only ever marks bytes above a true hit, so the lowest mark is exact.
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..=0x1f) {
            break;
        }
        at += 1;
    }
    at
}

/// Offsets and counts fit: the source is at most `u32::MAX` bytes long.
fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
