mod fresh;
mod roots;
mod seeds;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::dsse::{DsseError, Kind};
use super::*;

const NOW: i64 = 1_800_000_000;
const SLICE: &[u8] = b"the slice";
const PLACES: &[u8] = b"the places";

type Mutation = Box<dyn FnOnce(&mut Value)>;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn trust() -> TrustRoot {
    TrustRoot::of_one_key("acme", "main", "ci", key(1).verifying_key())
}

/// The usual trust file with some members changed.
fn trust_with(change: impl FnOnce(&mut Value)) -> Result<TrustRoot, TrustError> {
    let mut file: Value = serde_json::from_str(&trust().to_json()).expect("json");
    change(&mut file);
    TrustRoot::parse(file.to_string().as_bytes())
}

fn statement() -> Statement {
    Statement {
        subjects: vec![
            Subject::of("github.lkb", SLICE),
            Subject::of("places.lkm", PLACES),
        ],
        release: Release {
            issued_at: Some(Time(NOW - 100)),
            not_after: Some(Time(NOW + 1000)),
            source: Some(Source {
                commit: "a".repeat(40),
                tree_sha256: Digest([1; 32]),
            }),
            tests: Some(Digest([2; 32])),
            ..Release::new("acme", "main", 7)
        },
    }
}

fn release(change: impl FnOnce(&mut Release)) -> Statement {
    let mut statement = statement();
    change(&mut statement.release);
    statement
}

fn sealed(statement: &Statement) -> Vec<u8> {
    let payload = statement.encode().expect("sound");
    dsse::sign(Kind::Statement, &payload, &[key(1)]).into_bytes()
}

/// A floor after version 7 of the usual release.
fn floor() -> Floor {
    take(&trust(), &Floor::default(), &statement())
        .expect("accepted")
        .floor
}

fn take(trust: &TrustRoot, floor: &Floor, statement: &Statement) -> Result<Accepted, Refused> {
    offer(trust, floor, &sealed(statement), |_| ())
}

fn offer(
    trust: &TrustRoot,
    floor: &Floor,
    envelope: &[u8],
    change: impl FnOnce(&mut Offer<'_>),
) -> Result<Accepted, Refused> {
    let mut offer = Offer {
        channel: Some("main"),
        ..Offer::new(envelope)
    };
    change(&mut offer);
    accept(trust, floor, &offer, Time(NOW))
}

fn word(result: Result<Accepted, Refused>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(refused) => {
            assert!(refused.to_string().len() > 20, "{refused} says what to do");
            refused.word()
        }
    }
}

#[test]
fn a_first_release_is_accepted_and_sets_the_floor() {
    let accepted = take(&trust(), &Floor::default(), &statement()).expect("accepted");
    assert_eq!(accepted.statement, statement());
    assert_eq!(accepted.signers, ["ci"]);
    assert_eq!((accepted.change, accepted.warnings.len()), (Change::New, 0));
    let floor = accepted.floor;
    assert_eq!((floor.epoch, floor.version, floor.trust_version), (1, 7, 1));
    assert_eq!(floor.statement, Some(accepted.digest));
    assert_eq!(floor.trusted_time, Some(Time(NOW - 100)));
    assert_eq!(Floor::parse(floor.to_json().as_bytes()), Ok(floor.clone()));
    assert!(Floor::parse(b"").is_err() && Floor::parse(b"{}").is_err());
    let empty = Floor::default();
    assert_eq!(Floor::parse(empty.to_json().as_bytes()), Ok(empty));
}

#[test]
fn a_bad_or_foreign_signature_is_refused() {
    let payload = statement().encode().expect("sound");
    let judge = |envelope: &[u8]| word(offer(&trust(), &floor(), envelope, |_| ()));
    assert_eq!(
        judge(dsse::sign(Kind::Statement, &payload, &[key(2)]).as_bytes()),
        "bad_signature"
    );
    assert_eq!(
        judge(dsse::sign(Kind::Statement, &payload, &[]).as_bytes()),
        "bad_signature"
    );
    assert_eq!(judge(&payload), "bad_envelope");
    assert_eq!(judge(b""), "bad_envelope");
    let other = release(|release| release.version = 8)
        .encode()
        .expect("sound");
    let mut swapped: Value = serde_json::from_slice(&sealed(&statement())).expect("json");
    swapped["payload"] = STANDARD.encode(other).into();
    assert_eq!(judge(swapped.to_string().as_bytes()), "bad_signature");
    let typed = sealed(&statement());
    let typed = String::from_utf8(typed)
        .expect("text")
        .replace("in-toto+json", "in-toto");
    assert_eq!(judge(typed.as_bytes()), "bad_envelope");
}

/// Every byte of a signed payload and of its signature counts.
#[test]
fn any_flipped_bit_is_refused() {
    let envelope: Value = serde_json::from_slice(&sealed(&statement())).expect("json");
    let payload = STANDARD
        .decode(envelope["payload"].as_str().expect("text"))
        .expect("base64");
    let sig = envelope["signatures"][0]["sig"].as_str().expect("text");
    let signature = STANDARD.decode(sig).expect("base64");
    for at in 0..payload.len() + signature.len() {
        let mut both = [payload.clone(), signature.clone()].concat();
        both[at] ^= 1 << (at % 8);
        let (payload, signature) = both.split_at(payload.len());
        let mut flipped = envelope.clone();
        flipped["payload"] = STANDARD.encode(payload).into();
        flipped["signatures"][0]["sig"] = STANDARD.encode(signature).into();
        let envelope = flipped.to_string();
        let judged = word(offer(
            &trust(),
            &Floor::default(),
            envelope.as_bytes(),
            |_| (),
        ));
        assert_eq!(judged, "bad_signature", "byte {at}");
    }
}

#[test]
fn the_threshold_counts_distinct_keys() {
    let trust = trust_with(|file| {
        let spki = keys::public_text(&key(2).verifying_key());
        file["keys"]["alice"] = json!({"algorithm": "ed25519", "spki": spki});
        file["roles"]["release"]["main"] = json!({"threshold": 2, "members": ["ci", "alice"]});
    })
    .expect("sound");
    let payload = statement().encode().expect("sound");
    let judge = |keys: &[SigningKey]| {
        let envelope = dsse::sign(Kind::Statement, &payload, keys);
        offer(&trust, &Floor::default(), envelope.as_bytes(), |_| ())
    };
    assert_eq!(word(judge(&[key(1)])), "bad_signature");
    assert_eq!(word(judge(&[key(1), key(1), key(3)])), "bad_signature");
    let both = judge(&[key(3), key(2), key(1)]).expect("two of two");
    assert_eq!(both.signers, ["alice", "ci"]);
    let one = key(1).verifying_key();
    let envelope = dsse::sign(Kind::Statement, &payload, &[key(1)]);
    let envelope = dsse::Envelope::read(Kind::Statement, envelope.as_bytes()).expect("read");
    assert_eq!(envelope.signers(&[("a", one), ("b", one)]), ["a"]);
}

#[test]
fn an_envelope_is_read_as_the_protocol_says() {
    let mut envelope: Value = serde_json::from_slice(&sealed(&statement())).expect("json");
    let good = envelope["signatures"][0].clone();
    let url = |text: &Value| {
        let bytes = STANDARD
            .decode(text.as_str().expect("text"))
            .expect("base64");
        Value::from(URL_SAFE_NO_PAD.encode(bytes))
    };
    let keys = [("ci", key(1).verifying_key())];
    let read = |envelope: &[u8]| {
        dsse::Envelope::read(Kind::Statement, envelope).map(|envelope| envelope.signers(&keys))
    };
    let check = |envelope: &Value| read(envelope.to_string().as_bytes());
    envelope["payload"] = url(&envelope["payload"]);
    let sig = url(&good["sig"]);
    envelope["signatures"] = json!([{"sig": "!"}, {}, 7, {"sig": "AAAA"}, {"sig": sig}]);
    assert_eq!(check(&envelope), Ok(vec!["ci".to_owned()]));
    envelope["signatures"] = json!(vec![good; 65]);
    assert_eq!(check(&envelope), Err(DsseError::TooManySignatures));
    envelope["signatures"] = json!({});
    assert_eq!(check(&envelope), Err(DsseError::Shape));
    let text = String::from_utf8(sealed(&statement())).expect("text");
    let twice = text.replacen('{', r#"{"payload":"","#, 1);
    let error = read(twice.as_bytes()).expect_err("duplicate");
    assert!(matches!(error, DsseError::Json(_)));
    let large = vec![b' '; dsse::MAX_ENVELOPE + 1];
    assert_eq!(read(&large), Err(DsseError::TooLarge));
}

#[test]
fn another_project_or_channel_is_refused() {
    let judge = |statement: &Statement| word(take(&trust(), &Floor::default(), statement));
    assert_eq!(
        judge(&release(|it| it.project = "evil".to_owned())),
        "wrong_project"
    );
    assert_eq!(
        judge(&release(|it| it.channel = "staging".to_owned())),
        "wrong_channel"
    );
    let envelope = sealed(&statement());
    let follow = |trust: &TrustRoot, channel: Option<&'static str>| {
        word(offer(trust, &Floor::default(), &envelope, |offer| {
            offer.channel = channel;
        }))
    };
    assert_eq!(follow(&trust(), None), "accepted");
    assert_eq!(follow(&trust(), Some("staging")), "no_channel");
    let two = trust_with(|file| {
        file["roles"]["release"]["staging"] = file["roles"]["release"]["main"].clone();
    });
    assert_eq!(follow(&two.expect("sound"), None), "no_channel");
    let mut other = floor();
    other.channel = "staging".to_owned();
    assert_eq!(word(take(&trust(), &other, &statement())), "other_floor");
}

#[test]
fn versions_never_go_down() {
    let judge = |version| {
        word(take(
            &trust(),
            &floor(),
            &release(|it| it.version = version),
        ))
    };
    assert_eq!(judge(6), "rollback");
    assert_eq!(judge(8), "accepted");
    let lowest = trust_with(|file| file["min_version"] = json!({"main": 8})).expect("sound");
    assert_eq!(
        word(take(&lowest, &Floor::default(), &statement())),
        "rollback"
    );
    let refused = take(&trust(), &floor(), &release(|it| it.version = 6)).expect_err("older");
    assert_eq!(
        refused,
        Refused::Rollback {
            offered: 6,
            floor: 7
        }
    );
}

#[test]
fn an_epoch_is_begun_by_the_trust_root_alone() {
    let next = trust_with(|file| {
        file["epoch"] = 2.into();
        file["version"] = 2.into();
    })
    .expect("sound");
    let restarted = release(|it| {
        it.epoch = 2;
        it.version = 1;
    });
    assert_eq!(word(take(&trust(), &floor(), &restarted)), "epoch_unknown");
    assert_eq!(
        word(take(&next, &floor(), &release(|it| it.version = 9))),
        "rollback"
    );
    let accepted = take(&next, &floor(), &restarted).expect("a new epoch");
    assert_eq!((accepted.floor.epoch, accepted.floor.version), (2, 1));
    assert_eq!(accepted.warnings, []);
    assert_eq!(
        word(take(&trust(), &accepted.floor, &statement())),
        "trust_rollback"
    );
}

#[test]
fn the_same_version_is_a_no_op_or_an_equivocation() {
    let same = take(&trust(), &floor(), &statement()).expect("the same");
    assert_eq!(same.change, Change::Same);
    assert_eq!(same.floor, floor());
    let other = release(|it| it.not_after = Some(Time(NOW + 1001)));
    assert_eq!(word(take(&trust(), &floor(), &other)), "equivocation");
}

#[test]
fn a_broken_chain_is_a_warning_or_a_refusal() {
    let floor = floor();
    let unchained = release(|it| it.version = 8);
    let chained = release(|it| {
        it.version = 8;
        it.previous = floor.statement;
    });
    assert_eq!(take(&trust(), &floor, &chained).expect("next").warnings, []);
    let accepted = take(&trust(), &floor, &unchained).expect("next");
    assert_eq!(accepted.warnings, [Warning::BrokenChain]);
    let strict = |statement: &Statement| {
        word(offer(&trust(), &floor, &sealed(statement), |offer| {
            offer.strict_chain = true;
        }))
    };
    assert_eq!(strict(&unchained), "broken_chain");
    assert_eq!(strict(&chained), "accepted");
}

#[test]
fn what_this_version_cannot_run_is_refused() {
    let judge = |min: &str, format| {
        let engine = EngineNeed {
            min: min.to_owned(),
            format,
        };
        word(take(&trust(), &floor(), &release(|it| it.engine = engine)))
    };
    assert_eq!(judge("999.0.0", FORMAT), "engine_too_old");
    assert_eq!(judge("0.999.0", FORMAT), "engine_too_old");
    assert_eq!(judge("0.0.1", FORMAT + 1), "unknown_format");
    assert!(statement::triple(ENGINE).is_some());
}

#[test]
fn a_revoked_release_is_refused_also_when_it_runs() {
    let digest = Digest::of(&statement().encode().expect("sound"));
    let trust = trust_with(|file| file["revoked"] = json!([digest])).expect("sound");
    for floor in [Floor::default(), floor()] {
        assert_eq!(word(take(&trust, &floor, &statement())), "revoked");
    }
}

#[test]
fn a_release_ends_at_its_not_after() {
    let judge = |end: Option<i64>| {
        word(take(
            &trust(),
            &Floor::default(),
            &release(|it| it.not_after = end.map(Time)),
        ))
    };
    assert_eq!(judge(Some(NOW)), "expired");
    assert_eq!(judge(Some(NOW + 1)), "accepted");
    assert_eq!(judge(None), "accepted");
    let later = release(|it| it.not_after = Some(Time(NOW - 1)));
    assert_eq!(word(take(&trust(), &floor(), &later)), "equivocation");
}

#[test]
fn a_clock_that_is_behind_does_not_revive_a_release() {
    let ahead = release(|it| {
        it.issued_at = Some(Time(NOW + 500));
        it.version = 8;
    });
    let accepted = take(&trust(), &floor(), &ahead).expect("accepted");
    let trusted = Time(NOW + 500);
    assert!(
        accepted
            .warnings
            .contains(&Warning::ClockBehind { trusted })
    );
    assert_eq!(accepted.floor.trusted_time, Some(trusted));
    let old = release(|it| {
        it.version = 9;
        it.not_after = Some(Time(NOW + 400));
    });
    assert_eq!(word(take(&trust(), &accepted.floor, &old)), "expired");
}

#[test]
fn files_are_the_signed_ones() {
    let envelope = sealed(&statement());
    let judge = |files: &[Subject], required: Required<'static>| {
        let accepted = offer(&trust(), &Floor::default(), &envelope, |_| ());
        word(accepted.and_then(|accepted| {
            accepted.check_files(files, required)?;
            Ok(accepted)
        }))
    };
    let slice = || Subject::of("github.lkb", SLICE);
    let places = || Subject::of("places.lkm", PLACES);
    let one = Required::File("github.lkb");
    assert_eq!(judge(&[slice()], one), "accepted");
    assert_eq!(judge(&[slice()], Required::All), "file_missing");
    assert_eq!(judge(&[slice(), places()], Required::All), "accepted");
    assert_eq!(judge(&[places()], one), "file_missing");
    assert_eq!(
        judge(&[Subject::of("github.lkb", b"other")], one),
        "file_mismatch"
    );
    assert_eq!(
        judge(&[slice(), Subject::of("places.lkm", b"x")], one),
        "file_mismatch"
    );
    assert_eq!(
        judge(&[slice(), Subject::of("extra", b"x")], one),
        "file_unlisted"
    );
    assert_eq!(
        judge(&[slice()], Required::File("gitlab.lkb")),
        "file_missing"
    );
}

#[test]
fn a_statement_has_one_spelling() {
    let bytes = statement().encode().expect("sound");
    assert_eq!(Statement::parse(&bytes), Ok(statement()));
    let minimal = release(|it| {
        it.previous = None;
        it.issued_at = None;
        it.not_after = None;
        it.source = None;
        it.tests = None;
    });
    let encoded = minimal.encode().expect("sound");
    assert_eq!(Statement::parse(&encoded), Ok(minimal));
    let text = String::from_utf8(bytes.clone()).expect("text");
    assert!(
        text.starts_with(r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"channel""#)
    );
    let value: Value = serde_json::from_slice(&bytes).expect("json");
    let pretty = serde_json::to_vec_pretty(&value).expect("json");
    assert!(Statement::parse(&pretty).is_err());
    let mutations: [fn(&mut Value); 14] = [
        |it| it["_type"] = "x".into(),
        |it| it["predicateType"] = "x".into(),
        |it| it["extra"] = 1.into(),
        |it| it["predicate"]["extra"] = 1.into(),
        |it| it["predicate"]["source"]["extra"] = 1.into(),
        |it| it["predicate"]["previous"] = Value::Null,
        |it| it["predicate"]["version"] = 0.into(),
        |it| it["predicate"]["version"] = (1_u64 << 53).into(),
        |it| it["predicate"]["not_after"] = "2027-01-01".into(),
        |it| it["predicate"]["sizes"]["other"] = 1.into(),
        |it| it["predicate"]["source"]["commit"] = "main".into(),
        |it| it["predicate"]["engine"]["min"] = "1".into(),
        |it| it["subject"][0]["name"] = "../x".into(),
        |it| it["subject"].as_array_mut().expect("list").reverse(),
    ];
    for (at, mutate) in mutations.into_iter().enumerate() {
        let mut value = value.clone();
        mutate(&mut value);
        let bytes = serde_json_canonicalizer::to_vec(&value).expect("canonical");
        assert!(Statement::parse(&bytes).is_err(), "mutation {at}");
        let envelope = dsse::sign(Kind::Statement, &bytes, &[key(1)]);
        let judged = word(offer(&trust(), &floor(), envelope.as_bytes(), |_| ()));
        assert_eq!(judged, "bad_statement", "mutation {at}");
    }
    let mut late = statement();
    late.release.issued_at = late.release.not_after;
    assert!(late.encode().is_err());
}

#[test]
fn trust_files_that_cannot_mean_what_they_say_are_refused() {
    assert_eq!(TrustRoot::parse(trust().to_json().as_bytes()), Ok(trust()));
    let weak = STANDARD.encode(
        [
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            &[0; 32][..],
        ]
        .concat(),
    );
    let rows: [(&str, Mutation); 15] = [
        ("unknown field", Box::new(|it| it["extra"] = 1.into())),
        ("version", Box::new(|it| it["version"] = 0.into())),
        (
            "missing field `epoch`",
            Box::new(|it| {
                it.as_object_mut().expect("object").remove("epoch");
            }),
        ),
        (
            "threshold",
            Box::new(|it| it["roles"]["release"]["main"]["threshold"] = 0.into()),
        ),
        (
            "threshold",
            Box::new(|it| it["roles"]["release"]["main"]["threshold"] = 2.into()),
        ),
        (
            "threshold",
            Box::new(|it| it["roles"]["release"]["main"]["members"] = json!([])),
        ),
        (
            "not among",
            Box::new(|it| it["roles"]["release"]["main"]["members"] = json!(["x"])),
        ),
        (
            "twice",
            Box::new(|it| {
                it["roles"]["release"]["main"] = json!({"threshold": 2, "members": ["ci", "ci"]});
            }),
        ),
        (
            "same key",
            Box::new(|it| it["keys"]["twin"] = it["keys"]["ci"].clone()),
        ),
        (
            "algorithm",
            Box::new(|it| it["keys"]["ci"]["algorithm"] = "rsa".into()),
        ),
        (
            "public key",
            Box::new(|it| it["keys"]["ci"]["spki"] = "AAAA".into()),
        ),
        (
            "weak",
            Box::new(move |it| it["keys"]["ci"]["spki"] = weak.into()),
        ),
        (
            "no channel",
            Box::new(|it| it["roles"]["release"] = json!({})),
        ),
        (
            "min_version",
            Box::new(|it| it["min_version"] = json!({"x": 1})),
        ),
        ("hexadecimal", Box::new(|it| it["revoked"] = json!(["AB"]))),
    ];
    for (expected, change) in rows {
        let error = trust_with(change).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} says {expected}");
    }
    let twice = trust().to_json().replacen('{', r#"{"version":9,"#, 1);
    assert!(TrustRoot::parse(twice.as_bytes()).is_err());
    assert!(TrustRoot::parse(&vec![b' '; MAX_TRUST + 1]).is_err());
}

#[test]
fn a_digest_has_one_spelling() {
    let digest = Digest::of(b"");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for bad in [
        "AB".repeat(32),
        "0g".repeat(32),
        "00".repeat(31),
        "0".repeat(65),
    ] {
        assert_eq!(bad.parse::<Digest>(), Err(NoDigest), "{bad}");
    }
}
