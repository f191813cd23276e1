//! The body of a token request: `application/x-www-form-urlencoded`, every parameter at most once.

use std::collections::BTreeMap;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body; an error says what is wrong with it. Parameters without a value are as if they
    /// were not there (RFC 6749, 3.2).
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
        let mut found = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or("a name is not encoded as forms are")?;
            let value = decoded(value).ok_or("a value is not encoded as forms are")?;
            if found.contains_key(&name) {
                return Err("a parameter is there twice".to_owned());
            }
            found.insert(name, value);
        }
        found.retain(|_, value| !value.is_empty());
        Ok(Self(found))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_each() {
        let form = Form::read(b"a=1+2%3D&b=&c=%C3%A4").unwrap();
        assert_eq!(form.get("a"), Some("1 2="));
        assert_eq!(form.get("b"), None);
        assert_eq!(form.get("c"), Some("\u{e4}"));
        for bad in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%FF"] {
            assert!(Form::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Form::read(&[0xff]).is_err());
    }
}
