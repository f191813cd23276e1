//! The `Latchkey*` resources of a cluster as entries of sections.
//!
//! Each section is one kind: what a `LatchkeyRole` says under `spec` is an entry of `roles`, with
//! the resource's name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::{
    diag::suggest::closest,
    syntax::{SECTIONS, yaml::foreign},
};

/// The one version of the resources.
const API_VERSION: &str = "latchkey.dev/v1alpha1";
/// What the cluster itself writes into the metadata of every resource.
const MANAGED: [&str; 7] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// What `kubectl apply` leaves in the annotations.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What an export of a cluster says.
#[derive(Debug, Default)]
pub struct Resources {
    /// The entries of each section, by name.
    pub entries: BTreeMap<&'static str, BTreeMap<String, Json>>,
    /// What is left out, and the resources that it is said of.
    pub notes: BTreeMap<String, BTreeSet<String>>,
}

/// Reads a `List`, a resource, or several documents of either.
///
/// # Errors
/// Every problem: a text that cannot be read, a kind or version that does not exist, a resource
/// without a name or that is there twice, a key that resources do not have.
pub fn read(text: &str) -> Result<Resources, Vec<String>> {
    let documents = foreign::read(text);
    let documents =
        documents.map_err(|error| vec![format!("line {}: {}", error.line, error.what)])?;
    let mut resources = Resources::default();
    let mut problems = Vec::new();
    for document in &documents {
        resources.take(document, &mut problems);
    }
    if problems.is_empty() && resources.entries.is_empty() {
        problems.push("there is no resource in it".to_owned());
    }
    if problems.is_empty() {
        Ok(resources)
    } else {
        Err(problems)
    }
}

/// The kind of the resources of a section: `LatchkeyRole` for `roles`.
pub fn kind(section: &str) -> String {
    let one = match section.strip_suffix("ces") {
        Some(stem) => format!("{stem}x"),
        None => section.trim_end_matches('s').to_owned(),
    };
    let (first, rest) = one.split_at(one.len().min(1));
    format!("Latchkey{}{rest}", first.to_uppercase())
}

impl Resources {
    fn take(&mut self, value: &Json, problems: &mut Vec<String>) {
        if value.is_null() {
            // Nothing stands between two `---`.
            return;
        }
        let items = value.get("items").and_then(Json::as_array);
        let of_kind = value.get("kind").and_then(Json::as_str).unwrap_or_default();
        match items.filter(|_| of_kind.ends_with("List")) {
            Some(items) => items.iter().for_each(|it| self.take(it, problems)),
            None => {
                if let Err(why) = self.resource(value) {
                    problems.push(why);
                }
            }
        }
    }

    fn resource(&mut self, value: &Json) -> Result<(), String> {
        let members = value
            .as_object()
            .ok_or("a document is no resource: it is no map")?;
        let text = |pointer: &str| value.pointer(pointer).and_then(Json::as_str);
        let of_kind = text("/kind").ok_or("a document is no resource: it has no `kind`")?;
        let name = text("/metadata/name").ok_or_else(|| format!("a `{of_kind}` has no name"))?;
        let what = format!("{of_kind} {name}");
        let section = section(of_kind).map_err(|why| format!("{what}: {why}"))?;
        let version = text("/apiVersion").unwrap_or_default();
        if version != API_VERSION {
            return Err(format!(
                "{what}: its apiVersion is `{version}`, and `{API_VERSION}` is read"
            ));
        }
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        if let Some(key) = members.keys().find(|key| !known.contains(&key.as_str())) {
            let hint = closest(key, known).map(|near| format!("; did you mean `{near}`?"));
            let hint = hint.unwrap_or_default();
            return Err(format!("{what}: a resource has no `{key}`{hint}"));
        }
        let spec = match members.get("spec") {
            None => Json::Object(Map::new()),
            Some(spec) if spec.is_object() => spec.clone(),
            Some(_) => return Err(format!("{what}: its `spec` is no map")),
        };
        self.metadata(&what, members.get("metadata"));
        let entries = self.entries.entry(section).or_default();
        if entries.insert(name.to_owned(), spec).is_some() {
            return Err(format!(
                "{what} is there twice; names of a project have no namespaces"
            ));
        }
        Ok(())
    }

    /// Notes what of the metadata a person has written, and no entry has a place for.
    fn metadata(&mut self, what: &str, metadata: Option<&Json>) {
        for (key, value) in metadata.and_then(Json::as_object).into_iter().flatten() {
            let annotations = value.as_object().filter(|_| key == "annotations");
            let only_applied = annotations.is_some_and(|it| it.keys().all(|it| it == LAST_APPLIED));
            if MANAGED.contains(&key.as_str()) || only_applied {
                continue;
            }
            let note = match key.as_str() {
                "deletionTimestamp" => "the cluster is about to delete it".to_owned(),
                key => format!("`metadata.{key}` is left out"),
            };
            self.notes.entry(note).or_default().insert(what.to_owned());
        }
    }
}

fn section(of_kind: &str) -> Result<&'static str, String> {
    let found = SECTIONS.iter().find(|it| kind(it.name) == of_kind);
    if let Some(section) = found {
        return Ok(section.name);
    }
    let inner = ["Tool", "Prompt", "Resource", "Route"];
    let own = of_kind.strip_prefix("Latchkey");
    if own.is_some_and(|own| inner.contains(&own)) {
        return Err(format!(
            "there is no kind `{of_kind}`; what a server offers stands in its own `spec`"
        ));
    }
    let kinds: Vec<String> = SECTIONS.iter().map(|it| kind(it.name)).collect();
    let near = closest(of_kind, kinds.iter().map(String::as_str));
    Err(match near {
        Some(near) => format!("there is no kind `{of_kind}`; did you mean `{near}`?"),
        None => format!(
            "there is no kind `{of_kind}`; the kinds are {}",
            kinds.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str) -> Json {
        json!({
            "apiVersion": API_VERSION, "kind": "LatchkeyRole",
            "metadata": {"name": name, "uid": "1", "resourceVersion": "7", "managedFields": [{}],
                "annotations": {LAST_APPLIED: "{}"}},
            "spec": {"allow": {"a": "*"}}, "status": {"ready": true},
        })
    }

    fn problems(value: &Json) -> String {
        read(&value.to_string()).unwrap_err().join("\n")
    }

    #[test]
    fn every_section_is_one_kind() {
        let kinds: Vec<String> = SECTIONS.iter().map(|it| kind(it.name)).collect();
        let expected = [
            "Organization",
            "Issuer",
            "Group",
            "Principal",
            "Role",
            "Binding",
            "Rule",
            "Schedule",
            "Server",
            "Matrix",
        ];
        assert_eq!(kinds, expected.map(|it| format!("Latchkey{it}")));
    }

    #[test]
    fn what_the_cluster_manages_is_dropped() {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [role("a"), role("b")]});
        let found = read(&list.to_string()).unwrap();
        assert_eq!(found.entries["roles"].len(), 2);
        assert_eq!(found.entries["roles"]["a"], json!({"allow": {"a": "*"}}));
        assert!(found.notes.is_empty());
        let mut labelled = role("a");
        labelled["metadata"]["labels"] = json!({"team": "x"});
        labelled["metadata"]["namespace"] = json!("default");
        let found = read(&format!("---\n{labelled}\n---\n---\n{}\n", role("b"))).unwrap();
        let notes: Vec<_> = found.notes.keys().collect();
        assert_eq!(
            notes,
            [
                "`metadata.labels` is left out",
                "`metadata.namespace` is left out"
            ]
        );
    }

    #[test]
    fn what_is_no_resource_is_refused_all_at_once() {
        let mut other = role("a");
        other["kind"] = json!("LatchkeyRoles");
        assert!(problems(&other).contains("did you mean `LatchkeyRole`?"));
        other["kind"] = json!("LatchkeyTool");
        assert!(problems(&other).contains("in its own `spec`"));
        other["kind"] = json!("Deployment");
        assert!(problems(&other).contains("the kinds are LatchkeyOrganization"));
        let mut old = role("a");
        old["apiVersion"] = json!("latchkey.dev/v1");
        assert!(problems(&old).contains("`latchkey.dev/v1alpha1` is read"));
        let mut misspelt = role("a");
        misspelt["sepc"] = json!({});
        assert!(problems(&misspelt).contains("did you mean `spec`?"));
        let list =
            json!({"kind": "List", "items": [role("a"), role("a"), old, json!({"kind": "X"})]});
        assert_eq!(problems(&list).lines().count(), 3);
        assert!(problems(&json!({"kind": "List", "items": []})).contains("no resource"));
        assert!(problems(&json!([1])).contains("no map"));
        assert!(read("a: [").unwrap_err()[0].starts_with("line 1"));
    }
}
