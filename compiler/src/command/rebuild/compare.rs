//! In what two builds of one file differ.

use std::{collections::BTreeMap, fmt};

use latchkey_engine::{bundle::places::Places, policy::Policy};
use serde::Serialize;

use crate::{
    diff::entries::{Difference, Entries, differences, entries},
    pack,
};

/// How many names are shown of each kind.
const SHOWN: usize = 3;

/// A section that differs: how many entries, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Section {
    #[serde(rename = "section")]
    name: String,
    added: usize,
    removed: usize,
    changed: usize,
    first: Vec<String>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            added,
            removed,
            changed,
            first,
        } = self;
        write!(f, "{name} +{added} -{removed}")?;
        if *changed > 0 {
            write!(f, ", {changed} changed")?;
        }
        if first.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", first.join(", "))
    }
}

/// The sections in which the file that was signed differs from the one that was built.
pub(super) fn sections(name: &str, signed: &[u8], built: &[u8]) -> Vec<Section> {
    let read = if name == pack::PLACES { places } else { policy };
    let (Some(signed), Some(built)) = (read(signed), read(built)) else {
        return vec![Section {
            name: "bytes: the file of the release cannot be opened".to_owned(),
            added: 0,
            removed: 0,
            changed: 0,
            first: Vec::new(),
        }];
    };
    // What was built is the truth, so what the release has besides was added to it.
    let found = differences(&built, &signed);
    found.into_iter().map(section).collect()
}

fn section(difference: Difference) -> Section {
    let Difference {
        section,
        added,
        removed,
        changed,
    } = difference;
    let shown = |sign: &str, names: &[String]| -> Vec<String> {
        let names = names.iter().take(SHOWN);
        names.map(|name| format!("{sign}{name}")).collect()
    };
    let mut first = shown("+", &added);
    first.extend(shown("-", &removed));
    first.extend(shown("~", &changed));
    Section {
        name: section.to_owned(),
        added: added.len(),
        removed: removed.len(),
        changed: changed.len(),
        first,
    }
}

fn policy(bytes: &[u8]) -> Option<Entries> {
    let policy = Policy::open(bytes).ok()?;
    let mut all = entries(&policy, None);
    let project = policy.index().project.clone();
    all.insert("project", BTreeMap::from([(project, String::new())]));
    Some(all)
}

fn places(bytes: &[u8]) -> Option<Entries> {
    let places = Places::open(bytes).ok()?;
    let all = places.iter().map(|it| {
        let place = format!("{}:{}:{}", it.file, it.line, it.column);
        (format!("{:?} {}", it.kind, it.name).to_lowercase(), place)
    });
    Some(BTreeMap::from([("places", all.collect())]))
}
