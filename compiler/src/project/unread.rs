//! Files that look like a part of the policy, and are not read for their names.

use super::{FILE, Project};
use crate::{
    diag::{Diagnostic, Sink, codes},
    source::Tree,
    syntax::SECTIONS,
};

/// Warns of each file that would be read under a name that is spelt as usual.
pub(super) fn check<'p>(
    tree: &dyn Tree,
    others: impl Iterator<Item = &'p String>,
    project: &Project,
    sink: &mut Sink,
) {
    for path in others {
        let Some(usual) = usual(path).filter(|usual| project.includes(usual)) else {
            continue;
        };
        // A file of another tool is nobody's policy, and one that cannot be read is none here.
        if !tree.read(path).is_ok_and(|bytes| is_policy(&bytes)) {
            continue;
        }
        let message = format!("`{path}` has a section of a policy, and is not read");
        sink.push(
            Diagnostic::global(&codes::POLICY_NOT_READ, message).help(format!(
                "name it `{usual}`, or move it out of the folders that `include` of `{FILE}` names"
            )),
        );
    }
}

/// Whether a file, or a folder that it is in, is hidden.
pub(super) fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

/// The path of a YAML file as it is usually spelt; nothing for other files, and below hidden folders.
fn usual(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, ending) = name.trim_start_matches('.').rsplit_once('.')?;
    let yaml = ["yaml", "yml"]
        .iter()
        .any(|it| ending.eq_ignore_ascii_case(it));
    if !yaml || stem.is_empty() || is_hidden(folder) {
        return None;
    }
    let slash = if folder.is_empty() { "" } else { "/" };
    Some(format!("{folder}{slash}{stem}.yaml"))
}

/// Whether a line begins with the name of a section.
fn is_policy(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let keys = text.lines().filter_map(|line| {
        let key = line.split_once(':')?.0;
        Some(
            key.trim_start_matches(['\u{feff}', '{'])
                .trim_matches(['"', '\'']),
        )
    });
    let mut keys = keys;
    keys.any(|key| SECTIONS.iter().any(|section| section.name == key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;

    fn found(include: &str, files: &[(&str, &str)]) -> Vec<String> {
        let toml = format!("[project]\nname = \"p\"\n{include}");
        let files = files.iter().copied().chain([(FILE, toml.as_str())]);
        let tree: Memory = files
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .collect();
        let mut sink = Sink::new();
        super::super::open(&tree, &mut sink);
        let found = sink.into_found().into_iter();
        let found = found.filter(|it| it.code == &codes::POLICY_NOT_READ);
        found.map(|it| it.message).collect()
    }

    #[test]
    fn a_policy_in_a_file_that_is_not_read_is_told() {
        let policy = "# Why.\nrules: {}\n";
        for path in ["a.yml", "a.YAML", "a.Yml", "access/.a.yaml", "access/a.yml"] {
            let said = found("", &[(path, policy)]);
            let wanted = format!("`{path}` has a section of a policy, and is not read");
            assert_eq!(said, [wanted]);
        }
        let json = "{\"rules\": {}}\n";
        assert_eq!(found("", &[("a.yml", json)]).len(), 1);
    }

    #[test]
    fn what_is_read_left_out_on_purpose_or_of_another_tool_is_not_told() {
        let policy = "rules: {}\n";
        for (include, path, text) in [
            ("", "a.yaml", policy),
            ("", "a.txt", policy),
            ("", ".github/a.yml", policy),
            ("", "docker-compose.yml", "services:\n  rules: {}\n"),
            ("include = [\"access/*.yaml\"]", "other/a.yml", policy),
            ("include = [\"**/*.yml\"]", "a.yml", policy),
        ] {
            assert_eq!(found(include, &[(path, text)]), [""; 0], "{path}");
        }
    }
}
