//! After any edits, what the server says is what a check of the same files says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    command::now,
    diag::{Diagnostic, Severity, Sink, codes},
    lsp::{Due, names::Names, world::World},
    project::FILE,
    source::{Folder, Overlay, Tree},
    syntax::yaml,
    testing::Numbers,
};

/// How many edits are made of each project: `LATCHKEY_LSP_EDITS`.
fn edits() -> usize {
    let wanted = std::env::var("LATCHKEY_LSP_EDITS").ok();
    wanted.and_then(|it| it.parse().ok()).unwrap_or(25)
}

fn copy(from: &Path, into: &Path) {
    for path in Folder::new(from).paths().unwrap() {
        let target = into.join(&path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&path), target).unwrap();
    }
}

/// One of the things that people do to a text.
fn edited(text: &str, numbers: &mut Numbers) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (at, other) = (numbers.below(lines.len()), numbers.below(lines.len()));
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |numbers: &mut Numbers| words.get(numbers.below(words.len())).copied();
    let (one, another) = (word(numbers), word(numbers));
    let Some(line) = lines.get(at).cloned() else {
        return "roles: {a: {allow: {b: [c]}}}\n".to_owned();
    };
    match numbers.below(12) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, line),
        2 => lines.swap(at, other),
        3 => lines.truncate(at),
        4 => lines.insert(at, "  half: [".to_owned()),
        5 => lines.insert(at, "# é: latchkey: allow(unused-role): no".to_owned()),
        6 => lines.push("bindings: {more: {who: [type:human], roles: [x], in: platform}}".into()),
        // A name that others may mention is another one now.
        7..=9 => {
            let key = |line: &&mut String| {
                let indent = line.len() - line.trim_start().len();
                indent == 2 && line.contains(':')
            };
            let mut keys: Vec<&mut String> = lines.iter_mut().filter(key).collect();
            let at = numbers.below(keys.len());
            if let Some(line) = keys.get_mut(at) {
                **line = line.replacen(':', "x:", 1);
            }
        }
        _ => {
            let (one, another) = (one.unwrap_or("a"), another.unwrap_or("b"));
            return text.replacen(one, another, 1 + numbers.below(2));
        }
    }
    lines.join("\n") + "\n"
}

/// Names that do not exist, in some files.
fn unknown(world: &World, files: &BTreeSet<String>) -> Vec<Diagnostic> {
    let codes = [
        &codes::UNKNOWN_GROUP,
        &codes::UNKNOWN_PRINCIPAL,
        &codes::UNKNOWN_ROLE,
        &codes::UNKNOWN_RULE,
    ];
    let place = |it: &Diagnostic| it.primary().map(|span| world.sources.path(span.file));
    let found = world.report.diagnostics.iter();
    let found = found.filter(|it| codes.contains(&it.code));
    let found = found.filter(|it| place(it).is_some_and(|file| files.contains(file)));
    found.cloned().collect()
}

/// How often a file was looked at by itself, and how often others with it.
fn follows(project: &Path, seed: u64) -> [usize; 2] {
    let name = format!("latchkey-reading-{seed}-{}", std::process::id());
    let root: PathBuf = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&root);
    copy(project, &root);
    let folder = Folder::new(&root);
    let files = folder.paths().unwrap().into_iter();
    let files: Vec<String> = files
        .filter(|it| Path::new(it).extension().is_some_and(|it| it == "yaml"))
        .collect();
    let mut world = World::new(root.clone());
    world.large = 0;
    world.look(Due::Changed, &|| false);
    let (sender, done) = crossbeam_channel::unbounded();
    let mut late = Vec::new();
    let mut numbers = Numbers::new(seed);
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let (mut alone, mut others) = (0, 0);
    for edit in 0..edits() {
        let file = files.get(numbers.below(files.len())).unwrap();
        let saved = fs::read_to_string(root.join(file)).unwrap();
        let text = match texts.get(file) {
            // What is broken stays so for a while.
            Some(text) if numbers.below(3) > 0 => edited(text, &mut numbers),
            Some(_) => saved,
            None => edited(&saved, &mut numbers),
        };
        world.edit(file.clone(), Some(&text), Some(1));
        texts.insert(file.clone(), text);
        world.look(Due::Changed, &|| false);
        alone += usize::from(world.news.len() == 1);
        others += usize::from(world.news.len() > 1);
        let looked_at = world.news.clone();
        let at_once = unknown(&world, &looked_at);
        // Whoever types on is not kept waiting, and nothing is lost.
        match numbers.below(6) {
            0 => {
                assert!(!world.look(Due::Whole, &|| true) || world.news.is_empty());
                continue;
            }
            // What goes on aside is recalled by the next edit, whether it is done or not.
            1 if world.begin(Due::Whole, &sender) => {
                late.extend((numbers.below(2) == 0).then(|| done.recv().unwrap()));
                continue;
            }
            2 | 3 if world.begin(Due::Whole, &sender) => {
                for old in late.drain(..) {
                    assert!(!world.end(old));
                }
                while !world.end(done.recv().unwrap()) {}
            }
            _ => {
                world.look(Due::Whole, &|| false);
            }
        }
        assert_eq!(
            at_once,
            unknown(&world, &looked_at),
            "edit {edit} of {file}"
        );
        let tree = Overlay::new(&folder, &world.buffers);
        let cold = crate::check(&tree, now());
        let mut trees = BTreeMap::new();
        for (id, it) in cold.sources.files() {
            if cold.project.includes(it.path()) {
                let root = yaml::parse(id, it.text(), &mut Sink::new()).root;
                trees.extend(root.map(|root| (id, root)));
            }
        }
        let names = Names::of(&trees, &cold.sources);
        let sound = cold.model.is_some();
        let report = cold.sink.finish(&cold.project.levels);
        let context = format!("edit {edit} of {file} in {}", project.display());
        assert_eq!(world.report.diagnostics, report.diagnostics, "{context}");
        assert_eq!(world.sound, sound, "{context}");
        assert_eq!(world.names.mentions, names.mentions, "{context}");
    }
    fs::remove_dir_all(&root).unwrap();
    [alone, others]
}

#[test]
fn the_server_says_what_a_check_says_after_any_edits() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = Folder::new(top.join("examples")).paths().unwrap();
    let project = |file: &String| Some(top.join("examples").join(file.strip_suffix(FILE)?));
    let mut projects: Vec<PathBuf> = files.iter().filter_map(project).collect();
    assert!(!projects.is_empty());
    projects.push(top.join("policies"));
    projects.sort();
    let pairs = projects.iter().zip(7..);
    let counts: Vec<[usize; 2]> = pairs
        .map(|(project, seed)| follows(project, seed))
        .collect();
    assert!(counts.iter().any(|[alone, _]| *alone > 0), "{counts:?}");
    assert!(counts.iter().any(|[_, others]| *others > 0), "{counts:?}");
}

/// The errors, each with its file.
fn errors(world: &World) -> Vec<(String, &'static str)> {
    let found = world.report.diagnostics.iter();
    let errors = found.filter(|it| it.severity == Severity::Error);
    let with_file = errors.map(|it| {
        let file = it.primary().unwrap().file;
        (world.sources.path(file).to_owned(), it.code.slug)
    });
    with_file.collect()
}

#[test]
fn what_a_name_does_to_other_files_is_told_with_it() {
    const ROLE: &str = "roles:\n  reader: {inherits: [caller]}\n  caller: {allow: {s: [a]}}\n";
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("latchkey.toml", "[project]\nname = \"p\"\n"),
        ("role.yaml", ROLE),
        ("use.yaml", "roles:\n  writer: {inherits: [reader]}\n"),
    ];
    for (file, text) in files {
        fs::write(root.path().join(file), text).unwrap();
    }
    let mut world = World::new(root.path().to_owned());
    world.large = 0;
    world.look(Due::Changed, &|| false);
    let before = errors(&world).len();
    let gone = ROLE.replace("reader", "other");
    for (text, more) in [(gone.as_str(), 1), (ROLE, 0)] {
        world.edit("role.yaml".into(), Some(text), Some(1));
        assert!(world.look(Due::Changed, &|| false));
        assert!(world.news.iter().eq(["role.yaml", "use.yaml"]));
        let unknown = ("use.yaml".to_owned(), "unknown-role");
        let at_once = errors(&world);
        assert_eq!(at_once.len(), before + more, "{at_once:?}");
        assert_eq!(at_once.contains(&unknown), more == 1, "{at_once:?}");
        assert!(world.look(Due::Whole, &|| false));
        assert_eq!(at_once, errors(&world));
    }
}
