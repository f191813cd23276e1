use latchkey_gate::supply::Digest;

use super::*;

fn package(bytes: &str) -> Package {
    Package {
        offered: Offered {
            envelope: bytes.as_bytes().to_vec(),
            sigstore: vec![b"one".to_vec(), b"two".to_vec()],
            signed: true,
        },
        slice: bytes.as_bytes().to_vec(),
        places: Some(b"places".to_vec()),
    }
}

fn floor(version: u64) -> Floor {
    Floor {
        project: "acme".to_owned(),
        channel: "main".to_owned(),
        version,
        statement: Some(Digest::of(&version.to_be_bytes())),
        ..Floor::default()
    }
}

#[test]
fn what_the_floor_names_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path(), "s");
    assert!(state.release().unwrap().is_none());
    for version in 1..4 {
        let with = With::Release(package(&version.to_string()));
        state.advance(floor(version), with).unwrap();
        let again = State::open(folder.path(), "s");
        assert_eq!(again.floor(), &floor(version));
        let kept = again.release().unwrap().unwrap();
        assert_eq!(kept.offered, package(&version.to_string()).offered);
        assert_eq!(kept.slice, version.to_string().as_bytes());
        assert_eq!(kept.places.as_deref(), Some(&b"places"[..]));
    }
    let kept = fs::read_dir(folder.path().join("last-good")).unwrap();
    assert_eq!(kept.count(), 1);
}

/// Every prefix of the steps that a save takes leaves a floor whose files are there.
#[test]
fn killed_between_files_and_floor_the_old_ones_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path(), "s");
    state
        .advance(floor(1), With::Release(package("1")))
        .unwrap();
    let last_good = folder.path().join("last-good");
    let digest = floor(2).statement.unwrap();
    // Killed while the files were written, and after they were renamed.
    fs::create_dir_all(last_good.join(format!("{digest}.new"))).unwrap();
    for _ in 0..2 {
        let found = State::open(folder.path(), "s");
        assert_eq!(found.floor().version, 1);
        assert_eq!(found.release().unwrap().unwrap().slice, b"1");
        write_release(&last_good, &digest, &package("2"), "s.lkb").unwrap();
    }
    let mut next = State::open(folder.path(), "s");
    next.advance(floor(2), With::Release(package("2"))).unwrap();
    assert_eq!(next.release().unwrap().unwrap().slice, b"2");
    assert_eq!(fs::read_dir(last_good).unwrap().count(), 1);
}

#[test]
fn a_full_disk_keeps_the_old_floor_with_its_files_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path(), "s");
    state
        .advance(floor(1), With::Release(package("1")))
        .unwrap();
    let blocked = folder.path().join("floor.new");
    std::os::unix::fs::symlink("/dev/full", &blocked).unwrap();
    let error = state.advance(floor(2), With::Release(package("2")));
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(!state.is_persisted());
    assert_eq!(state.floor().version, 2, "in memory it never goes back");
    let found = State::open(folder.path(), "s");
    assert_eq!(found.release().unwrap().unwrap().slice, b"1");
    fs::remove_file(blocked).unwrap();
    state.retry().unwrap();
    assert!(state.is_persisted());
    let found = State::open(folder.path(), "s");
    assert_eq!(found.floor().version, 2);
    assert_eq!(found.release().unwrap().unwrap().slice, b"2");
}

#[test]
fn a_floor_that_is_not_known_is_told_from_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let check = |required, fresh| {
        let checked = State::open(folder.path(), "s").check(required, fresh);
        checked.map_err(|error| error.word())
    };
    assert_eq!(check(false, false), Ok(()));
    assert_eq!(check(true, true), Err("state_lost"));
    init(folder.path()).unwrap();
    assert_eq!(check(true, false), Ok(()));
    assert!(init(folder.path()).is_err());
    fs::write(folder.path().join("floor.json"), "{").unwrap();
    assert_eq!(check(false, true), Ok(()));
    assert_eq!(check(false, false), Err("state_damaged"));
    assert_eq!(check(true, true), Err("state_damaged"));
}
