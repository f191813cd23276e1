//! The corpora of the fuzz targets `parse`, `check` and `import`, replayed by the same functions.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{fs, path::Path};

#[path = "fuzzed/import.rs"]
mod import;
#[path = "fuzzed/project.rs"]
mod project;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let seeds = fs::read_dir(folder.join(target)).expect("the corpus");
    let seeds: Vec<_> = seeds
        .map(|it| fs::read(it.expect("a seed").path()).expect("a seed"))
        .collect();
    assert!(seeds.len() >= 20, "{target}: {}", seeds.len());
    // A fixed sequence, so that a failure is the same on every machine.
    let mut state = 7_u64;
    let mut below = |most: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("a small number") % most.max(1)
    };
    let rounds = std::env::var("LATCHKEY_ROUNDS").ok();
    let rounds = rounds.and_then(|it| it.parse().ok()).unwrap_or(4);
    for (at, seed) in seeds.iter().enumerate() {
        run(seed);
        for _ in 0..rounds {
            let mut text = seed.clone();
            for _ in 0..=below(3) {
                let (from, to) = (below(text.len()), below(text.len()));
                let part = from.min(to)..(from.max(to)).min(from.min(to) + 40);
                match below(4) {
                    0 => text.truncate(to),
                    1 => drop(text.drain(part)),
                    2 => text.extend_from_within(part),
                    _ => {
                        let other = seeds.get((at + to) % seeds.len()).expect("a seed");
                        let piece = other.get(part.clone()).unwrap_or(b"[\"").to_vec();
                        text.splice(part, piece);
                    }
                }
            }
            run(&text);
        }
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

#[test]
fn the_corpus_of_import_is_replayed() {
    replay("import", import::import);
}
