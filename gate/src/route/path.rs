//! Decoding of paths, queries and URIs, refusing what real servers read differently.

/// Why a path, query or URI is refused: one phrase for people that quotes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ambiguous(pub(crate) &'static str);

/// The decoded segments of an absolute path; the first is empty, as a template's is.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, Ambiguous> {
    if !path.starts_with('/') {
        return Err(Ambiguous("the path does not start with `/`"));
    }
    let count = path.split('/').count();
    if path
        .split('/')
        .enumerate()
        .any(|(at, part)| part.is_empty() && at != 0 && at + 1 != count)
    {
        return Err(Ambiguous("`//` in the path"));
    }
    path.split('/').map(segment).collect()
}

/// The decoded segments of a resource's URI, split at every slash.
pub(crate) fn uri_segments(uri: &str) -> Result<Vec<String>, Ambiguous> {
    // Whoever parses it as a URL of the Web leaves that out.
    if uri.trim() != uri {
        return Err(Ambiguous("space around the URI"));
    }
    let path = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let count = path.split('/').count();
    let inner = path.split('/').enumerate();
    let mut inner = inner.filter(|(at, _)| *at != 0 && at + 1 != count);
    if inner.any(|(_, part)| part.is_empty()) {
        return Err(Ambiguous("`//` in the URI"));
    }
    uri.split('/').map(segment).collect()
}

fn segment(part: &str) -> Result<String, Ambiguous> {
    let decoded = decode(part)?;
    if part.contains([';', '\\', '#']) || decoded.contains(['/', '\\', '%', ';', '#', '?']) {
        return Err(Ambiguous("a separator, plain or encoded, inside a segment"));
    }
    if decoded == "." || decoded == ".." {
        return Err(Ambiguous("a dot segment"));
    }
    Ok(decoded)
}

/// The decoded parameters of a query, in order; each name once.
pub(crate) fn query(text: &str) -> Result<Vec<(String, String)>, Ambiguous> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Ok(parameters);
    }
    for pair in text.split('&') {
        if pair.contains([';', '#']) {
            return Err(Ambiguous("`;` or `#` in the query"));
        }
        let (name, value) = pair
            .split_once('=')
            .ok_or(Ambiguous("a query parameter without `=`"))?;
        let (name, value) = (
            decode(&name.replace('+', " "))?,
            decode(&value.replace('+', " "))?,
        );
        if name.is_empty() || name.contains(['[', ']']) {
            return Err(Ambiguous(
                "a query parameter's name that servers read differently",
            ));
        }
        if name.eq_ignore_ascii_case("_method") {
            return Err(Ambiguous("a query parameter that overrides the method"));
        }
        if parameters.iter().any(|(other, _)| *other == name) {
            return Err(Ambiguous("a query parameter given twice"));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

/// Percent-decodes; refuses broken escapes, control characters and what is not UTF-8.
fn decode(text: &str) -> Result<String, Ambiguous> {
    let broken = Ambiguous("a broken percent escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let high = rest.next().and_then(hex).ok_or(broken)?;
            let low = rest.next().and_then(hex).ok_or(broken)?;
            high * 16 + low
        } else {
            byte
        };
        if byte < b' ' || byte == 0x7f {
            return Err(Ambiguous("a control character"));
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| Ambiguous("an escape that is not UTF-8"))
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "v1",
            "*",
            "/a//b",
            "//a",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/%2E/b",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a;b=1/c",
            "/a%3Bb",
            "/a%00",
            "/a%zz",
            "/a%",
            "/a%ff",
            "/a%252Fb",
            "/a#b",
            "/a%23b",
            "/a%3Fb",
            "/a\u{7f}",
        ] {
            assert!(segments(path).is_err(), "{path}");
        }
    }

    #[test]
    fn ambiguous_uris_are_refused() {
        for uri in [
            "docs://lib/secret ",
            " docs://lib/secret",
            "file:///srv/pub/.. ",
            "docs://lib/a\u{a0}",
            "file:///docs//a",
            "file:////etc",
            "file:///docs/../a",
            "file:///docs/%2e%2e/a",
            "file:///docs/a%2Fb",
            "file:///docs/a?b",
            "file:///docs/a\\b",
        ] {
            assert!(uri_segments(uri).is_err(), "{uri}");
        }
        assert_eq!(uri_segments("file:///docs/a").unwrap().len(), 5);
        assert_eq!(uri_segments("ticket://7").unwrap(), ["ticket:", "", "7"]);
    }

    #[test]
    fn plain_paths_are_read() {
        for (path, expected) in [
            ("/", vec!["", ""]),
            ("/v1/a", vec!["", "v1", "a"]),
            ("/v1/a%20b", vec!["", "v1", "a b"]),
            ("/v1/a/", vec!["", "v1", "a", ""]),
            ("/%C3%A9", vec!["", "\u{e9}"]),
        ] {
            assert_eq!(segments(path).unwrap(), expected);
        }
    }

    #[test]
    fn ambiguous_queries_are_refused() {
        for text in [
            "a",
            "a=1&a=2",
            "a=1&%61=2",
            "a=1;b=2",
            "a[]=1",
            "a%5B%5D=1",
            "=1",
            "a=%",
            "&a=1",
            "_method=DELETE",
            "a=%00",
        ] {
            assert!(query(text).is_err(), "{text}");
        }
        let read = query("q=a+b%2Fc&n=").unwrap();
        assert_eq!(
            read,
            [("q".into(), "a b/c".into()), ("n".into(), String::new())]
        );
    }
}
