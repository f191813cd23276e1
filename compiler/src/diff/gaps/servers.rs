//! What differs between servers themselves: where their calls go, and how they are enforced.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::index::{Disclose, Server, Transport};
use serde_json::Value as Json;

use super::super::{report::Report, world::Side};

/// Names each part of a server that differs, with what it was and what it is.
pub(super) fn find(from: &Side<'_>, to: &Side<'_>, report: &mut Report) {
    for new in &to.index.servers {
        let old = from.index.servers.iter().find(|old| old.name == new.name);
        for why in old.into_iter().flat_map(|old| differences(old, new)) {
            report.undecided("*", &why, None);
        }
    }
}

fn differences(old: &Server, new: &Server) -> Vec<String> {
    let (was, is) = (parts(old), parts(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| was.get(*name) != is.get(*name));
    let said = |part: Option<&String>| part.map_or("not set", String::as_str).to_owned();
    differing
        .map(|name| {
            let (was, is) = (said(was.get(name)), said(is.get(name)));
            let server = &new.name;
            format!("`{name}` of server `{server}` differs: it was {was} and is {is}")
        })
        .collect()
}

/// All of a server but what its surfaces say, by name.
fn parts(server: &Server) -> BTreeMap<String, String> {
    let transport = match server.transport {
        Transport::Mcp => "mcp",
        Transport::Http => "http",
    };
    let disclose = match server.disclose {
        Disclose::Hidden => "hidden",
        Disclose::Code => "code",
        Disclose::Full => "full",
    };
    let fixed = [
        ("transport", transport.to_owned()),
        ("upstream", format!("`{}`", server.upstream)),
        ("disclose", disclose.to_owned()),
        ("limits.body", format!("{} bytes", server.max_body)),
        (
            "limits.headerTimeout",
            format!("{} ms", server.header_timeout),
        ),
        ("limits.timeout", format!("{} ms", server.timeout)),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
    fixed
        .into_iter()
        .chain(settings(&server.settings))
        .collect()
}

/// The settings one by one, or whole where they are not read.
fn settings(text: &str) -> BTreeMap<String, String> {
    let shown = |value: &dyn std::fmt::Display| format!("`{value}`");
    match serde_json::from_str(text) {
        Ok(Json::Object(all)) => {
            let all = all.into_iter();
            all.map(|(name, value)| (name, shown(&value))).collect()
        }
        _ if text.is_empty() => BTreeMap::new(),
        _ => BTreeMap::from([("settings".to_owned(), shown(&text))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_one_by_one_where_they_are_read() {
        let settings = |text| settings(text).into_iter().collect::<Vec<_>>();
        let said = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(settings(""), []);
        let one = settings(r#"{"command":["a","b"]}"#);
        assert_eq!(one, said("command", r#"`["a","b"]`"#));
        assert_eq!(settings("{"), said("settings", "`{`"));
    }
}
