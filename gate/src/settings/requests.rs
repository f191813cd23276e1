//! What a server may ask its clients for.

use serde::{Deserialize, Serialize};

/// What a server may ask its clients for; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerRequests {
    /// Whether it may ask for the answer of the client's model.
    #[serde(skip_serializing_if = "is_false")]
    pub sampling: bool,
    /// Whether it may ask for the client's folders.
    #[serde(skip_serializing_if = "is_false")]
    pub roots: bool,
    /// How it may ask the user.
    #[serde(skip_serializing_if = "Elicitation::is_none")]
    pub elicitation: Elicitation,
}

/// How a server may ask the user of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Elicitation {
    /// Whether by a form that the client shows.
    #[serde(skip_serializing_if = "is_false")]
    pub form: bool,
    /// The hosts of `https` pages that it may send the user to: `example.com`, or `*.example.com` for
    /// every name below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub url: Vec<String>,
}

impl Elicitation {
    /// Whether the user may not be asked at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.form && self.url.is_empty()
    }

    /// Whether the user may be sent to this address.
    #[must_use]
    pub fn may_open(&self, url: &str) -> bool {
        let Some(host) = host(url) else {
            return false;
        };
        self.url
            .iter()
            .any(|allowed| match allowed.strip_prefix("*.") {
                Some(parent) => host
                    .strip_suffix(parent)
                    .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
                None => *allowed == host,
            })
    }
}

impl ServerRequests {
    /// Whether nothing may be asked.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a text names hosts as [`Elicitation::url`] does.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The host of an `https` address that every browser reads alike, in lower case.
pub(crate) fn host(url: &str) -> Option<String> {
    let rest = url
        .get(..8)
        .filter(|it| it.eq_ignore_ascii_case("https://"));
    let rest = url.get(rest?.len()..)?;
    // Browsers drop some of these, and read `\` as `/`.
    if !url.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) || url.contains('\\') {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|it| it.is_ascii_digit());
    let host = host.to_ascii_lowercase();
    (digits && is_host(&host) && !host.starts_with('*')).then_some(host)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{ServerSettings, Settings};

    #[test]
    fn a_page_is_opened_on_the_listed_hosts_only() {
        let elicitation = Elicitation {
            form: false,
            url: vec!["login.example.com".into(), "*.trusted.example".into()],
        };
        for good in [
            "https://login.example.com/a?b#c",
            "HTTPS://Login.Example.Com:8443",
            "https://a.b.trusted.example/",
        ] {
            assert!(elicitation.may_open(good), "{good}");
        }
        for bad in [
            "http://login.example.com/",
            "https://evil.example/login.example.com",
            "https://login.example.com@evil.example/",
            "https://login.example.com:443@evil.example/",
            "https://login.example.com\\@evil.example/",
            "https://login.example.com.evil.example/",
            "https://evil.example?.trusted.example",
            "https://xlogin.example.com/",
            "https://trusted.example/",
            "https://.trusted.example/",
            "https://a_b.trusted.example/",
            "https://login.example.com./",
            "https:\t//login.example.com/",
            "https:login.example.com",
            "//login.example.com/",
            "https://[::1]/",
            "https://%6cogin.example.com/",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!elicitation.may_open(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let settings = |text| ServerSettings::from_text(text).unwrap().server_requests;
        assert!(settings("").is_none());
        let text = r#"{"serverRequests":{"elicitation":{"url":["a.example"]},"roots":true}}"#;
        let read = settings(text);
        assert!(read.roots && !read.sampling && !read.elicitation.form);
        assert_eq!(read.elicitation.url, ["a.example"]);
        let spelled = r#"{"serverRequests":{"roots":true,"sampling":false}}"#;
        assert!(ServerSettings::from_text(spelled).is_err());
    }
}
