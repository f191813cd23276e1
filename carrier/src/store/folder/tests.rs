use std::os::unix::fs::symlink;
use std::thread;
use std::time::Instant as Clock;

use super::*;
use crate::testing::run;

/// A folder whose rescan alone would come too late for the test.
fn folder(root: &Path) -> Folder {
    let options = Options {
        rescan: Duration::from_mins(1),
        ..Options::default()
    };
    Folder::new(root, &options)
}

/// Waits for a change that happens meanwhile.
fn sees(folder: &Folder, change: impl FnOnce() + Send + 'static) {
    let start = Clock::now();
    let changing = thread::spawn(|| {
        thread::sleep(Duration::from_millis(300));
        change();
    });
    let changed = run(folder.changed(Some(Duration::from_secs(20))));
    assert_eq!(changed, Ok(true));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    changing.join().unwrap();
    assert_eq!(run(folder.changed(None)), Ok(false));
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.lkb"), b"12345").unwrap();
    let folder = folder(root.path());
    assert_eq!(folder.get("a.lkb", 5), Ok(Some(b"12345".to_vec())));
    assert_eq!(folder.get("a.lkb", 4).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(folder.get("b.lkb", 4), Ok(None));
    assert_eq!(folder.get("files/b", 4), Ok(None));
    fs::create_dir(root.path().join("dir.lkb")).unwrap();
    assert_eq!(folder.get("dir.lkb", 4).unwrap_err().kind(), Kind::Storage);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("a.lkb");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    assert_eq!(
        folder(root.path()).get("a.lkb", 5).unwrap_err().kind(),
        Kind::Storage
    );
}

#[test]
fn a_folder_that_is_not_there_is_said_so() {
    let root = tempfile::tempdir().unwrap();
    let folder = folder(&root.path().join("none"));
    assert_eq!(folder.get("a.lkb", 5).unwrap_err().kind(), Kind::Missing);
}

#[test]
fn a_written_file_is_noticed_at_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = folder(root.path());
    assert_eq!(run(folder.changed(None)), Ok(true));
    assert_eq!(run(folder.changed(None)), Ok(false));
    let path = root.path().join("release.dsse.json");
    sees(&folder, move || write_whole(&path, b"one").unwrap());
    assert_eq!(
        folder.get("release.dsse.json", 10),
        Ok(Some(b"one".to_vec()))
    );
    // What was watched is watched on.
    assert!(lock(&folder.watch).events.is_some());
}

#[test]
fn the_swap_of_a_kubernetes_volume_is_noticed_at_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (version, text) in [("..2026_1", "one"), ("..2026_2", "two")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("release.dsse.json"), text).unwrap();
    }
    symlink("..2026_1", at("..data")).unwrap();
    symlink("..data/release.dsse.json", at("release.dsse.json")).unwrap();
    let folder = folder(root.path());
    assert_eq!(run(folder.changed(None)), Ok(true));
    let (new, data) = (at("..data_tmp"), at("..data"));
    sees(&folder, move || {
        symlink("..2026_2", &new).unwrap();
        fs::rename(new, data).unwrap();
    });
    assert_eq!(
        folder.get("release.dsse.json", 10),
        Ok(Some(b"two".to_vec()))
    );
}

#[test]
fn a_folder_that_appears_or_is_replaced_is_noticed_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("bundle");
    let folder = folder(&root);
    assert_eq!(run(folder.changed(None)), Ok(true));
    for text in ["one", "two", "three"] {
        let (root, aside) = (root.clone(), parent.path().join(format!("aside-{text}")));
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("release.dsse.json"), text).unwrap();
        sees(&folder, move || {
            let _ = fs::rename(&root, root.with_extension("old"));
            let _ = fs::remove_dir_all(root.with_extension("old"));
            fs::rename(aside, root).unwrap();
        });
        let got = folder.get("release.dsse.json", 10).unwrap();
        assert_eq!(got.as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn a_log_that_grows_in_the_folder_or_beside_it_wakes_nobody() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("bundle");
    fs::create_dir(&root).unwrap();
    let mut logs =
        [parent.path().join("beside"), root.join("inside")].map(|path| File::create(path).unwrap());
    run(async {
        let mut events = Events::of(&root).unwrap();
        let mut woken = async |wait| timeout(wait, events.next()).await.is_ok();
        for log in &mut logs {
            log.write_all(b"one more line").unwrap();
        }
        assert!(!woken(Duration::from_millis(200)).await);
        drop(logs);
        assert!(woken(Duration::from_secs(5)).await);
        assert!(!woken(Duration::from_millis(50)).await);
    });
}

#[test]
fn without_events_the_rescan_finds_the_change() {
    let root = tempfile::tempdir().unwrap();
    let options = Options {
        rescan: Duration::from_millis(100),
        ..Options::default()
    };
    // What is written to the end, and told of, is in another folder.
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let path = elsewhere.path().to_owned();
    symlink(&path, root.path().join("release.dsse.json")).unwrap();
    let folder = Folder::new(root.path(), &options);
    assert_eq!(run(folder.changed(None)), Ok(true));
    sees(&folder, move || fs::write(path, b"one").unwrap());
}
