//! The corpora of the fuzz targets `parse` and `check`, replayed by the same functions.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{fs, path::Path};

#[path = "fuzzed/project.rs"]
mod project;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let seeds = fs::read_dir(folder.join(target)).expect("the corpus");
    let seeds: Vec<_> = seeds
        .map(|it| fs::read(it.expect("a seed").path()).expect("a seed"))
        .collect();
    assert!(seeds.len() >= 20, "{target}: {}", seeds.len());
    for seed in &seeds {
        run(seed);
        // Cut off in the middle, and with a byte that is wrong.
        let half = seed.get(..seed.len() / 2).unwrap_or_default();
        run(half);
        let mut wrong = seed.clone();
        if let Some(byte) = wrong.get_mut(seed.len() / 3) {
            *byte ^= 0x55;
        }
        run(&wrong);
    }
}

#[test]
fn the_corpus_of_parse_is_replayed() {
    replay("parse", project::parse);
}

#[test]
fn the_corpus_of_check_is_replayed() {
    replay("check", project::check);
}
