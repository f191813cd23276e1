use super::*;
use crate::{
    diag::Sink,
    fix,
    source::{Folder, Memory, Tree as _},
    syntax::yaml,
};
use latchkey_engine::time::Time;

const TODAY: Time = Time(1_790_000_000);

fn trees(sources: &SourceMap) -> BTreeMap<FileId, Node> {
    let files = sources.files();
    let yaml = files.filter(|(_, it)| it.path().ends_with("yaml"));
    let roots = yaml.filter_map(|(id, it)| {
        let root = yaml::parse(id, it.text(), &mut Sink::new()).root?;
        Some((id, root))
    });
    roots.collect()
}

fn memory(folder: &str) -> Memory {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Folder::new(root.join(folder));
    let paths = folder.paths().unwrap().into_iter();
    let files = paths.map(|path| {
        let bytes = folder.read(&path).unwrap();
        (path, bytes)
    });
    files.collect()
}

/// Every name of the real projects takes a new spelling in all places, and the project is as sound
/// as before: the table of places is complete.
#[test]
fn every_name_can_be_changed_everywhere() {
    let mut renamed = BTreeMap::new();
    for project in [
        "policies",
        "examples/boundary/after",
        "examples/group-claim/after",
    ] {
        let tree = memory(project);
        let checked = crate::check(&tree, TODAY);
        assert!(checked.model.is_some(), "{project}");
        let names = Names::of(&trees(&checked.sources), &checked.sources);
        let declared = names.mentions.iter().filter(|it| it.declares);
        for mention in declared {
            // A server gives its tools and operations their names; a lock has them too.
            if matches!(mention.name.kind, Kind::Surface | Kind::Operation) {
                continue;
            }
            let mut new = tree.clone();
            let mut edits: BTreeMap<FileId, Vec<_>> = BTreeMap::new();
            for place in names.places(&mention.name) {
                let text = checked.sources.text(place.span);
                assert!(mention.name.full.ends_with(text), "{place:?} {text}");
                let edit = (place.span.range(), "zz-renamed");
                edits.entry(place.span.file).or_default().push(edit);
            }
            for (id, edits) in edits {
                let file = checked.sources.file(id).unwrap();
                let text = fix::edited(file.text(), edits);
                new.0.insert(file.path().to_owned(), Ok(text.into_bytes()));
            }
            let after = crate::check(&new, TODAY);
            let report = after.sink.finish(&BTreeMap::new());
            let errors: Vec<_> = report.diagnostics.iter().map(|it| &it.message).collect();
            assert!(!report.has_errors(), "{:?}: {errors:#?}", mention.name);
            *renamed.entry(mention.name.kind).or_insert(0) += 1;
        }
    }
    let kinds: Vec<_> = renamed.keys().collect();
    assert!(kinds.len() >= 10, "{renamed:?}");
}

#[test]
fn names_inside_scalars_have_their_own_places() {
    let yaml = "organizations:\n  acme: {teams: {payments: {}}}\nbindings:\n  b:\n    who: \
                [\"group:g\", 'tag:t', p]\n    in: acme/payments\n    when: '\"t' # x\n\
                roles:\n  r: {allow: {s: [get, \"admin:drop\"]}}\nrules:\n  x:\n    when: \
                principal.team == \"payments\"\n    surfaces: {s: {risk: [read]}}\n  \
                y:\n    when: >-\n      !('a b' in principal.tags)\n      && \"late\" in \
                principal.tags\n\
                matrices:\n  m:\n    server: s\n    expect: |\n      .    c\n      one  rule:x\n      of rule:x  allow\n    calls:\n      one: {get: {}}\n      \
                two: {method: GET, path: /}\n    others: {c: [get]}\n";
    let files = [("a.yaml".to_owned(), yaml.as_bytes().to_vec())];
    let sources = SourceMap::from_files(files.into());
    let names = Names::of(&trees(&sources), &sources);
    let found: Vec<String> = names
        .mentions
        .iter()
        .map(|it| {
            let mark = if it.declares { "!" } else { "" };
            let text = sources.text(it.span);
            format!("{mark}{} {}={text}", it.name.kind.noun(), it.name.full)
        })
        .collect();
    for wanted in [
        "!team acme/payments=payments",
        "group g=g",
        "tag t=t",
        "principal p=p",
        "organization acme=acme",
        "team acme/payments=payments",
        "surface s/get=get",
        "surface s/admin=admin",
        "operation s/admin:drop=drop",
        "server s=s",
        "!matrix m=m",
        "rule x=x",
        "tag late=late",
    ] {
        assert!(found.iter().any(|it| it == wanted), "{wanted}: {found:#?}");
    }
    let count = |wanted: &str| found.iter().filter(|it| *it == wanted).count();
    // In a scope, and bare in a condition.
    assert_eq!(count("team acme/payments=payments"), 2);
    // A role, a call of a matrix, and a list of others.
    assert_eq!(count("surface s/get=get"), 3);
    assert_eq!(count("server s=s"), 3);
    // An outcome, and not the name of a call.
    assert_eq!(count("rule x=x"), 1);
    assert!(!found.iter().any(|it| it.contains("method")), "{found:#?}");
}
