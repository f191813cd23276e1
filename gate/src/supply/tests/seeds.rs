//! The seeds of the fuzz target `supply`, and small accidents to each, through the same functions.

use super::super::dsse;
use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/supply");

/// One key in every role.
fn one_key_everywhere() -> TrustRoot {
    trust_with(|file| {
        let role = json!({"threshold": 1, "members": ["ci"]});
        file["roles"]["root"] = role.clone();
        file["roles"]["freshness"] = json!({"main": role});
    })
    .expect("sound")
}

/// What the fuzz target does with its input.
fn replay(trust: &TrustRoot, bytes: &[u8]) {
    let floor = Floor::default();
    let _ = accept(trust, &floor, &Offer::new(bytes), Time(NOW));
    if let Ok(statement) = Statement::parse(bytes) {
        assert_eq!(statement.encode().as_deref(), Ok(bytes));
    }
    if let Ok(pointer) = Pointer::parse(bytes) {
        assert_eq!(pointer.encode().as_deref(), Ok(bytes));
    }
    if let Ok(root) = TrustRoot::parse(bytes) {
        assert_eq!(TrustRoot::parse(root.to_json().as_bytes()), Ok(root));
    }
    let sign = |kind| dsse::sign(kind, bytes, &[key(1)]).into_bytes();
    let _ = accept(
        trust,
        &floor,
        &Offer::new(&sign(Kind::Statement)),
        Time(NOW),
    );
    let _ = heed(trust, &floor, None, &sign(Kind::Pointer), Time(NOW));
    let _ = rotate(trust, &sign(Kind::Trust), Time(NOW));
}

#[test]
fn the_fuzz_target_holds_on_its_seeds() {
    let trust = one_key_everywhere();
    let files: Vec<_> = std::fs::read_dir(FOLDER).expect("seeds").collect();
    assert!(files.len() >= 4);
    for file in files {
        let bytes = std::fs::read(file.expect("seed").path()).expect("seed");
        replay(&trust, &bytes);
        for at in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            replay(&trust, &changed);
            replay(&trust, &bytes[..at]);
        }
    }
}

/// `LATCHKEY_BLESS=1` writes the seeds anew.
#[test]
fn the_fuzz_seeds_are_of_this_format() {
    let statement = statement().encode().expect("sound");
    let pointer = Pointer {
        project: "acme".to_owned(),
        channel: "main".to_owned(),
        trust_version: 1,
        epoch: 1,
        version: 7,
        statement: Digest::of(&statement),
        pointer_version: 3,
        issued_at: Time(NOW - 50),
        expires: Time(NOW + 500),
        min_version: 2,
        spread_seconds: 30,
        urgent_deny: UrgentDeny {
            revoked_tokens: vec!["jti-1".to_owned()],
            suspended: vec!["mallory".to_owned()],
            denied: vec!["github/delete_repo".to_owned()],
        },
    };
    let mut next = one_key_everywhere().to_json();
    next = next.replacen("\"version\": 1", "\"version\": 2", 1);
    let seeds = [
        ("statement", statement.clone()),
        ("pointer", pointer.encode().expect("sound")),
        ("trust", next.into_bytes()),
        (
            "envelope",
            dsse::sign(Kind::Statement, &statement, &[key(1)]).into_bytes(),
        ),
    ];
    for (name, bytes) in seeds {
        let path = format!("{FOLDER}/{name}");
        if std::env::var_os("LATCHKEY_BLESS").is_some() {
            std::fs::write(&path, &bytes).expect("written");
        }
        let stored = std::fs::read(&path).expect("seed");
        assert!(stored == bytes, "{path} is stale: LATCHKEY_BLESS=1");
    }
    // Each of them gets as far as it can in its own way.
    let trust = one_key_everywhere();
    assert!(TrustRoot::parse(&stored_seed("trust")).is_ok());
    let sign = |kind, name: &str| dsse::sign(kind, &stored_seed(name), &[key(1)]).into_bytes();
    assert!(
        heed(
            &trust,
            &Floor::default(),
            None,
            &sign(Kind::Pointer, "pointer"),
            Time(NOW)
        )
        .is_ok()
    );
    assert!(rotate(&trust, &sign(Kind::Trust, "trust"), Time(NOW)).is_ok());
}

fn stored_seed(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}")).expect("seed")
}
