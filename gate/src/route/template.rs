//! Templates such as `/v1/refunds/{id}` and `file:///docs/{+path}`.

/// A template: one segment for each part between slashes.
#[derive(Debug)]
pub(super) struct Template {
    segments: Vec<Segment>,
    /// The variable of a last `{+name}`, which takes all that is left.
    tail: Option<String>,
}

/// The variables of a match, by name.
pub(crate) type Variables<'a> = Vec<(&'a str, String)>;

#[derive(Debug)]
struct Segment {
    prefix: String,
    variable: Option<String>,
    suffix: String,
}

impl Template {
    /// Reads a template; at most one variable between two slashes, so that a match is unique.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut segments = Vec::new();
        let mut tail = None;
        for part in text.split('/') {
            if tail.is_some() {
                return Err("`{+name}` takes all that is left, so it comes last");
            }
            if let Some(name) = part.strip_prefix("{+").and_then(|it| it.strip_suffix('}')) {
                tail = Some(variable(name)?);
                continue;
            }
            segments.push(segment(part)?);
        }
        let template = Self { segments, tail };
        let names = template.names();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() == names.len() {
            Ok(template)
        } else {
            Err("a variable's name is used twice")
        }
    }

    /// The more literal template comes first, decided at the first segment that differs.
    pub(super) fn rank(&self) -> Vec<u8> {
        let segment = |segment: &Segment| match &segment.variable {
            None => 0,
            Some(_) if !segment.prefix.is_empty() || !segment.suffix.is_empty() => 1,
            Some(_) => 2,
        };
        let tail = self.tail.iter().map(|_| 3);
        self.segments.iter().map(segment).chain(tail).collect()
    }

    /// The variables, if decoded segments fit; a variable is never empty.
    pub(super) fn matches(&self, segments: &[String]) -> Option<Variables<'_>> {
        let (head, rest) = segments.split_at_checked(self.segments.len())?;
        let mut variables = Vec::new();
        for (segment, text) in self.segments.iter().zip(head) {
            match &segment.variable {
                None if segment.prefix == *text => {}
                None => return None,
                Some(name) => {
                    let inner = text.strip_prefix(segment.prefix.as_str())?;
                    let inner = inner.strip_suffix(segment.suffix.as_str())?;
                    if inner.is_empty() {
                        return None;
                    }
                    variables.push((name.as_str(), inner.to_owned()));
                }
            }
        }
        match &self.tail {
            None if rest.is_empty() => {}
            Some(name) if rest.iter().any(|part| !part.is_empty()) => {
                variables.push((name.as_str(), rest.join("/")));
            }
            _ => return None,
        }
        Some(variables)
    }

    /// Whether an upstream that ignores case and a last slash could take decoded segments for this.
    pub(super) fn could_match(&self, segments: &[String]) -> bool {
        let own = match self.segments.as_slice() {
            [rest @ .., last] if self.tail.is_none() && !rest.is_empty() && last.is_empty() => rest,
            all => all,
        };
        let given = match segments {
            [rest @ .., last] if !rest.is_empty() && last.is_empty() => rest,
            all => all,
        };
        let long_enough = match self.tail {
            None => given.len() == own.len(),
            Some(_) => given.len() > own.len(),
        };
        long_enough && own.iter().zip(given).all(|(own, text)| own.could_be(text))
    }

    /// Whether this is the more literal one at the first segment in which they differ.
    pub(super) fn is_more_literal(&self, other: &Self) -> bool {
        let (own, other) = (self.rank(), other.rank());
        let mut both = own.iter().zip(&other);
        both.find(|(own, other)| own != other)
            .is_some_and(|(own, other)| own < other)
    }

    fn names(&self) -> Vec<&str> {
        let segments = self.segments.iter();
        let names = segments.filter_map(|segment| segment.variable.as_deref());
        names.chain(self.tail.as_deref()).collect()
    }
}

impl Segment {
    fn is_empty(&self) -> bool {
        self.variable.is_none() && self.prefix.is_empty()
    }

    /// Whether a text fits when case is ignored.
    fn could_be(&self, text: &str) -> bool {
        if self.variable.is_none() {
            return text.eq_ignore_ascii_case(&self.prefix);
        }
        let inner = text
            .len()
            .checked_sub(self.prefix.len() + self.suffix.len());
        let head = text.get(..self.prefix.len());
        let tail = text.get(text.len().saturating_sub(self.suffix.len())..);
        inner.is_some_and(|inner| inner > 0)
            && head.is_some_and(|head| head.eq_ignore_ascii_case(&self.prefix))
            && tail.is_some_and(|tail| tail.eq_ignore_ascii_case(&self.suffix))
    }
}

fn segment(part: &str) -> Result<Segment, &'static str> {
    let Some((prefix, rest)) = part.split_once('{') else {
        if part.contains('}') {
            return Err("a `}` without its `{`");
        }
        return Ok(Segment {
            prefix: part.to_owned(),
            variable: None,
            suffix: String::new(),
        });
    };
    let (name, suffix) = rest.split_once('}').ok_or("a `{` without its `}`")?;
    if prefix.contains('}') || suffix.contains(['{', '}']) {
        return Err("between two slashes there may be one variable");
    }
    Ok(Segment {
        prefix: prefix.to_owned(),
        variable: Some(variable(name)?),
        suffix: suffix.to_owned(),
    })
}

fn variable(name: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("a variable's name is letters, digits, `_` and `-`");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<String> {
        let template = Template::parse(template).unwrap();
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let variables = template.matches(&segments)?;
        let shown = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        Some(shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn templates_match_whole_segments() {
        for (template, path, expected) in [
            ("/v1/refunds/{id}", "/v1/refunds/7", Some("id=7")),
            ("/v1/refunds/{id}", "/v1/refunds/", None),
            ("/v1/refunds/{id}", "/v1/refunds/7/8", None),
            ("/v1/refunds/{id}", "/v2/refunds/7", None),
            ("/v1/{a}/x/{b}", "/v1/1/x/2", Some("a=1 b=2")),
            ("/docs/{name}.md", "/docs/a.md", Some("name=a")),
            ("/docs/{name}.md", "/docs/.md", None),
            ("file:///docs/{path}", "file:///docs/a", Some("path=a")),
            ("file:///docs/{path}", "file:///docs/a/b", None),
            ("file:///docs/{+path}", "file:///docs/a/b", Some("path=a/b")),
            ("file:///docs/{+path}", "file:///docs/", None),
            ("file:///docs/{+path}", "file:///docs", None),
        ] {
            assert_eq!(
                matched(template, path).as_deref(),
                expected,
                "{template} {path}"
            );
        }
    }

    #[test]
    fn templates_that_could_match_in_two_ways_are_refused() {
        for template in [
            "/{a}{b}", "/{a", "/a}", "/{}", "/{+a}/b", "/{a}/{a}", "/{a b}",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
