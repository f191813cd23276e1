use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::testing::{Made, Manner, Server, noise, run};
use crate::{Carrier, Found, names};

fn options() -> Options {
    Options::default()
}

fn open(location: &Location) -> Carrier {
    Carrier::open(location, options()).unwrap()
}

fn publish(made: &Made, to: &Location) -> Pushed {
    run(push(made.folder().path(), to, &options())).unwrap_or_else(|error| panic!("{error}"))
}

/// A release after another, with a small change.
fn next(before: &Made) -> Made {
    let mut content = before.files["github.lkb"].clone();
    let version = before.statement.release.version + 1;
    content.splice(1000..1010, format!("v{version}").into_bytes());
    Made::new(version, Some(before.digest), &content)
}

/// Pushes two versions and reads the second as someone who has nothing, and who has the first.
fn round_trip(location: &Location) {
    let first = Made::new(1, None, &noise(200_000, 1)).keyless();
    let second = next(&first);
    let second = second.with(&names::trust(2), b"root").keyless();
    let pushed = publish(&first, location);
    assert_eq!((pushed.version, pushed.statement), (1, first.digest));
    let pushed = publish(&second, location);
    let written: BTreeSet<_> = pushed.written.iter().map(|it| it.name.clone()).collect();
    let (old, new) = (first.subject("github.lkb"), second.subject("github.lkb"));
    assert!(written.contains(&names::patch(&old.sha256, &new.sha256)));
    assert!(!written.contains(&names::file(&first.subject("places.lkm").sha256)));

    run(async {
        let carrier = open(location);
        let found = carrier.release().await.unwrap().unwrap();
        assert_eq!(
            found,
            Found {
                pointer: None,
                envelope: second.files[names::RELEASE].clone(),
                sigstore: vec![second.files[&names::sigstore(1)].clone()],
            }
        );
        let trust = carrier.trust(2).await.unwrap();
        assert_eq!(trust.as_deref(), Some(&b"root"[..]));
        let content = &second.files["github.lkb"];
        let before = &first.files["github.lkb"];
        for (have, how, most) in [
            (None, How::Whole, 200_000),
            (Some(&before[..]), How::Patch, 500),
            (Some(&content[..]), How::Held, 0),
            (Some(&b"something else"[..]), How::Whole, 200_000),
        ] {
            let fetched = carrier.subject(&new, have).await.unwrap();
            assert_eq!(fetched.how, how);
            assert_eq!(&fetched.bytes, content);
            assert!(fetched.transferred <= most, "{fetched:?}");
        }
        // The release before is still there by its digest.
        let older = carrier.get(&names::statement(&first.digest), 10_000).await;
        assert_eq!(older.unwrap().as_ref(), Some(&first.files[names::RELEASE]));
    });

    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("release");
    let pulled = run(pull(location, &into, &options())).unwrap();
    assert_eq!(pulled.statement, second.digest);
    let names: BTreeSet<_> = fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, second.files.keys().cloned().collect());
    for (name, bytes) in &second.files {
        assert_eq!(&fs::read(into.join(name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn by_folder() {
    let folder = tempfile::tempdir().unwrap();
    round_trip(&Location::Folder(folder.path().join("deep/down")));
}

#[test]
fn over_http() {
    round_trip(&Server::start().location());
}

#[test]
fn a_plain_build_folder_is_read_by_the_same_code() {
    let made = Made::new(1, None, &b"grant ".repeat(1000));
    let folder = made.folder();
    let carrier = open(&Location::Folder(folder.path().to_owned()));
    let fetched = run(carrier.subject(&made.subject("github.lkb"), None)).unwrap();
    assert_eq!(fetched.how, How::Whole);
    assert!(run(carrier.release()).unwrap().is_some());
}

#[test]
fn changing_names_go_last_and_the_pointer_after_the_statement() {
    let server = Server::start();
    let first = Made::new(1, None, b"one").keyless();
    let first = first.with(&names::trust(3), b"root");
    let digest = first.digest;
    publish(&first.pointing(1, digest), &server.location());
    let puts = server.requests();
    let puts: Vec<_> = puts
        .iter()
        .filter_map(|it| it.strip_prefix("PUT "))
        .collect();
    let changing: Vec<_> = puts.iter().skip_while(|it| it.contains('/')).collect();
    assert_eq!(
        changing,
        [
            "trust.3.dsse.json 201",
            "release.dsse.json 201",
            "release.sigstore.1.json 201",
            "pointer.dsse.json 201"
        ]
        .iter()
        .collect::<Vec<_>>()
    );
    assert!(puts.iter().any(|it| it.starts_with("files/")));
}

#[test]
fn a_reader_sees_the_release_before_or_after_at_every_step_of_a_push() {
    let first = Made::new(1, None, &noise(20_000, 1));
    let digest = first.digest;
    let first = first.pointing(1, digest);
    let second = next(&first).keyless();
    let digest = second.digest;
    let second = second.pointing(2, digest);
    let server = Server::start();
    publish(&first, &server.location());
    let before: Vec<_> = server_files(&server, &first, &second);
    server.requests();
    publish(&second, &server.location());
    let steps = server.requests();
    let steps: Vec<_> = steps
        .iter()
        .filter_map(|it| it.strip_prefix("PUT "))
        .collect();
    let half = Server::start();
    for (name, bytes) in before {
        half.set(&name, &bytes);
    }
    let mut seen = BTreeSet::new();
    for step in steps {
        let name = step.split(' ').next().unwrap();
        half.set(name, &server.file(name).unwrap());
        let carrier = open(&half.location());
        let found = run(carrier.release()).unwrap().unwrap();
        let peeked = crate::peek::statement(&found.envelope).unwrap();
        let version = peeked.statement.release.version;
        assert_eq!(found.sigstore.len(), usize::from(version == 2), "{name}");
        for subject in &peeked.statement.subjects {
            run(carrier.subject(subject, None)).unwrap();
        }
        seen.insert(version);
    }
    assert_eq!(seen, BTreeSet::from([1, 2]));
}

fn server_files(server: &Server, first: &Made, second: &Made) -> Vec<(String, Vec<u8>)> {
    let mut names: BTreeSet<String> = BTreeSet::from([
        names::RELEASE.to_owned(),
        names::POINTER.to_owned(),
        names::statement(&first.digest),
    ]);
    let nothing = Digest::of(b"");
    for made in [first, second] {
        for subject in &made.statement.subjects {
            names.insert(names::file(&subject.sha256));
            names.insert(names::patch(&nothing, &subject.sha256));
        }
    }
    let file = |name: String| server.file(&name).map(|bytes| (name, bytes));
    names.into_iter().filter_map(file).collect()
}

#[test]
fn patches_reach_back_ten_versions_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let mut versions = vec![Made::new(1, None, &noise(50_000, 1))];
    for _ in 0..12 {
        versions.push(next(versions.last().unwrap()));
    }
    for version in &versions {
        publish(version, &location);
    }
    let newest = versions.last().unwrap().subject("github.lkb");
    let carrier = open(&location);
    for (age, version) in versions.iter().rev().enumerate().skip(1) {
        let have = &version.files["github.lkb"];
        let fetched = run(carrier.subject(&newest, Some(have))).unwrap();
        let patched = fetched.how == How::Patch;
        assert_eq!(patched, age <= 10, "{age}: {fetched:?}");
    }
}

#[test]
fn pushing_again_writes_only_the_changing_names() {
    let server = Server::start();
    let made = Made::new(1, None, &noise(5000, 1));
    publish(&made, &server.location());
    server.requests();
    let pushed = publish(&made, &server.location());
    assert_eq!(pushed.present, 2);
    let lasting = server
        .requests()
        .into_iter()
        .filter(|it| it.starts_with("PUT files/"));
    assert_eq!(lasting.count(), 0);
}

#[test]
fn a_higher_or_another_release_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let second = Made::new(2, None, b"two");
    publish(&second, &location);
    let first = Made::new(1, None, b"one");
    let twin = Made::new(2, None, b"other");
    for (made, why) in [(&first, "go back"), (&twin, "higher version")] {
        let error = run(push(made.folder().path(), &location, &options())).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains(why), "{error}");
        // The other way round the same holds.
        let from = Location::Folder(made.folder().keep());
        let error = run(pull(&from, folder.path(), &options())).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
    }
    let held = fs::read(folder.path().join(names::RELEASE)).unwrap();
    assert_eq!(held, second.files[names::RELEASE]);
}

#[test]
fn a_pointer_goes_forward_and_leads_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let first = Made::new(1, None, b"one");
    let digest = first.digest;
    publish(&first.clone().pointing(5, digest), &location);
    let second = next_small(&first);
    let digest = second.digest;
    let elsewhere = second.clone().pointing(6, Digest::of(b"elsewhere"));
    for (made, why) in [
        (second.clone().pointing(4, digest), "pointer version 5"),
        (elsewhere, "neither this release"),
    ] {
        let error = run(push(made.folder().path(), &location, &options())).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains(why), "{error}");
    }
    let pushed = publish(&second, &location);
    assert_eq!(pushed.waits_for_pointer, Some(first.digest));
    let found = run(open(&location).release()).unwrap().unwrap();
    assert_eq!(found.envelope, first.files[names::RELEASE]);
    let pushed = publish(&second.clone().pointing(6, digest), &location);
    assert_eq!(pushed.waits_for_pointer, None);
    let found = run(open(&location).release()).unwrap().unwrap();
    assert_eq!(found.envelope, second.files[names::RELEASE]);
}

fn next_small(before: &Made) -> Made {
    let version = before.statement.release.version + 1;
    Made::new(version, Some(before.digest), b"next")
}

#[test]
fn a_folder_whose_files_are_not_the_signed_ones_is_not_pushed() {
    let made = Made::new(1, None, b"one");
    let target = tempfile::tempdir().unwrap();
    let location = Location::Folder(target.path().join("to"));
    for (name, bytes, kind) in [
        ("github.lkb", Some(&b"two"[..]), Kind::Damaged),
        ("github.lkb", Some(b"much more than that"), Kind::TooLarge),
        ("github.lkb", None, Kind::Missing),
        (names::RELEASE, Some(b"{}"), Kind::Damaged),
        (names::RELEASE, None, Kind::Missing),
    ] {
        let folder = made.folder();
        let path = folder.path().join(name);
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let error = run(push(folder.path(), &location, &options())).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!target.path().join("to").exists());
    }
}

#[test]
fn a_damaged_form_is_passed_over_for_the_next() {
    let server = Server::start();
    let first = Made::new(1, None, &b"one ".repeat(1000));
    let second = Made::new(2, Some(first.digest), &b"one ".repeat(1001));
    publish(&first, &server.location());
    publish(&second, &server.location());
    let wanted = second.subject("github.lkb");
    let have = &first.files["github.lkb"];
    let carrier = open(&server.location());
    let patch = names::patch(&Digest::of(have), &wanted.sha256);
    let compressed = names::patch(&Digest::of(b""), &wanted.sha256);
    let how = || run(carrier.subject(&wanted, Some(have))).map(|fetched| fetched.how);
    assert_eq!(how(), Ok(How::Patch));
    server.set(&patch, &crate::patch::make(have, b"else").unwrap());
    assert_eq!(how(), Ok(How::Compressed));
    server.set(&compressed, b"junk");
    assert_eq!(how(), Ok(How::Whole));
    server.behave(&compressed, Manner::Endless);
    assert_eq!(how(), Ok(How::Whole));
    server.set(&names::file(&wanted.sha256), b"junk");
    assert_eq!(how().unwrap_err().kind(), Kind::Damaged);
    server.set("github.lkb", &second.files["github.lkb"]);
    assert_eq!(how(), Ok(How::Whole));
    server.remove("github.lkb");
    server.remove("files/");
    server.behave(&patch, Manner::Status(500));
    assert_eq!(how().unwrap_err().kind(), Kind::Answer);
}

#[test]
fn a_subject_beyond_the_limit_is_not_even_asked_for() {
    let server = Server::start();
    let mut wanted = Made::new(1, None, b"one").subject("github.lkb");
    wanted.size = 1 << 40;
    let error = run(open(&server.location()).subject(&wanted, None)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(server.requests().is_empty());
}

#[test]
fn a_pull_replaces_a_release_whole_and_nothing_else() {
    let source = tempfile::tempdir().unwrap();
    let location = Location::Folder(source.path().to_owned());
    let first = Made::new(1, None, &noise(50_000, 1));
    publish(&first, &location);
    let parent = tempfile::tempdir().unwrap();
    let into = parent.path().join("bundle");
    run(pull(&location, &into, &options())).unwrap();
    let second = next(&first);
    publish(&second, &location);
    let pulled = run(pull(&location, &into, &options())).unwrap();
    let subjects = [("github.lkb", How::Patch), ("places.lkm", How::Held)];
    assert_eq!(
        pulled.subjects,
        subjects.map(|(name, how)| (name.to_owned(), how))
    );
    assert!(pulled.transferred < 500);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);

    let mine = tempfile::tempdir().unwrap();
    fs::write(mine.path().join("thesis.txt"), "precious").unwrap();
    let error = run(pull(&location, mine.path(), &options())).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(mine.path().join("thesis.txt").exists());

    fs::remove_file(
        source
            .path()
            .join(names::file(&second.subject("github.lkb").sha256)),
    )
    .unwrap();
    let empty = parent.path().join("other");
    let error = run(pull(&location, &empty, &options())).unwrap_err();
    assert_eq!(error.kind(), Kind::Missing, "{error}");
    assert!(!empty.exists());
}

#[test]
fn a_trust_root_may_gain_signatures_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let made = Made::new(1, None, b"one");
    let root = |payload: &[u8]| crate::testing::envelope(payload);
    let name = names::trust(4);
    publish(&made.clone().with(&name, &root(b"four")), &location);
    let mut signed_twice: serde_json::Value = serde_json::from_slice(&root(b"four")).unwrap();
    signed_twice["signatures"] = serde_json::json!([{}, {}]);
    let signed_twice = signed_twice.to_string().into_bytes();
    publish(&made.clone().with(&name, &signed_twice), &location);
    let other = made.with(&name, &root(b"other")).folder();
    let error = run(push(other.path(), &location, &options())).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(fs::read(folder.path().join(&name)).unwrap(), signed_twice);
}

#[test]
fn trust_roots_are_pulled_also_where_the_earliest_are_gone() {
    let made = Made::new(1, None, b"one");
    let digest = made.digest;
    let payload = format!(r#"{{"statement":"{digest}","pointer_version":1,"trust_version":7}}"#);
    let pointer = crate::testing::envelope(payload.as_bytes());
    let made = made.with(names::POINTER, &pointer);
    let made = made
        .with(&names::trust(6), b"six")
        .with(&names::trust(7), b"seven");
    let source = made.folder();
    let target = tempfile::tempdir().unwrap();
    let into = target.path().join("release");
    let from = Location::Folder(source.path().to_owned());
    run(pull(&from, &into, &options())).unwrap();
    for version in [6, 7] {
        assert!(into.join(names::trust(version)).exists());
    }
}

#[test]
fn a_push_repairs_a_file_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let made = Made::new(1, None, &noise(1000, 1));
    publish(&made, &location);
    let subject = made.subject("github.lkb");
    let damaged = folder.path().join(names::file(&subject.sha256));
    fs::write(&damaged, noise(1000, 2)).unwrap();
    let error = run(open(&location).subject(&subject, None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    publish(&made, &location);
    run(open(&location).subject(&subject, None)).unwrap();
}
