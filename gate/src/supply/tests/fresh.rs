//! The freshness pointer, and what a channel that has one demands.

use super::*;

/// The usual trust root with a freshness role for its channel, signed by key 5.
fn trust() -> TrustRoot {
    trust_with(|file| {
        let spki = keys::public_text(&key(5).verifying_key());
        file["keys"]["clock"] = json!({"algorithm": "ed25519", "spki": spki});
        file["roles"]["freshness"] = json!({"main": {"threshold": 1, "members": ["clock"]}});
    })
    .expect("sound")
}

fn pointer() -> Pointer {
    Pointer {
        project: "acme".to_owned(),
        channel: "main".to_owned(),
        trust_version: 1,
        epoch: 1,
        version: 7,
        statement: Digest::of(&statement().encode().expect("sound")),
        pointer_version: 3,
        issued_at: Time(NOW - 50),
        expires: Time(NOW + 500),
        min_version: 0,
        spread_seconds: 0,
        urgent_deny: UrgentDeny::default(),
    }
}

fn follow(floor: &Floor, change: impl FnOnce(&mut Pointer)) -> Result<Heeded, Refused> {
    let mut pointer = pointer();
    change(&mut pointer);
    let envelope = dsse::sign(Kind::Pointer, &pointer.encode().expect("sound"), &[key(5)]);
    heed(&trust(), floor, None, envelope.as_bytes(), Time(NOW))
}

fn judged(floor: &Floor, change: impl FnOnce(&mut Pointer)) -> &'static str {
    match follow(floor, change) {
        Ok(_) => "heeded",
        Err(refused) => {
            assert!(refused.to_string().len() > 20, "{refused} says what to do");
            refused.word()
        }
    }
}

/// The floor of a sidecar that follows the usual pointer and has accepted what it names.
fn followed() -> Floor {
    let heeded = follow(&Floor::default(), |_| ()).expect("heeded");
    let envelope = sealed(&statement());
    let offer = Offer {
        pointer: Some(&heeded.pointer),
        ..Offer::new(&envelope)
    };
    let accepted = accept(&trust(), &heeded.floor, &offer, Time(NOW)).expect("accepted");
    assert_eq!(accepted.floor.pointer_version, 3);
    accepted.floor
}

#[test]
fn a_pointer_only_goes_forward() {
    let floor = followed();
    assert_eq!(judged(&floor, |_| ()), "heeded");
    assert_eq!(judged(&floor, |it| it.pointer_version = 4), "heeded");
    assert_eq!(
        judged(&floor, |it| it.pointer_version = 2),
        "pointer_rollback"
    );
    assert_eq!(
        judged(&floor, |it| it.expires = Time(NOW + 501)),
        "pointer_equivocation"
    );
    assert_eq!(
        judged(&floor, |it| {
            it.pointer_version = 4;
            it.version = 6;
        }),
        "rollback"
    );
    assert_eq!(
        judged(&floor, |it| {
            it.pointer_version = 4;
            it.statement = Digest([9; 32]);
        }),
        "equivocation"
    );
    assert_eq!(judged(&floor, |it| it.epoch = 2), "epoch_unknown");
    assert_eq!(judged(&floor, |it| it.epoch = 0), "pointer_rollback");
    assert_eq!(judged(&floor, |it| it.trust_version = 2), "trust_behind");
    assert_eq!(
        judged(&floor, |it| it.project = "evil".into()),
        "wrong_project"
    );
    assert_eq!(
        judged(&floor, |it| it.channel = "beta".into()),
        "wrong_channel"
    );
}

#[test]
fn a_pointer_ends_and_its_time_is_remembered() {
    assert_eq!(
        judged(&Floor::default(), |it| it.expires = Time(NOW)),
        "stale"
    );
    let ahead = follow(&Floor::default(), |it| it.issued_at = Time(NOW + 400)).expect("heeded");
    assert_eq!(ahead.floor.trusted_time, Some(Time(NOW + 400)));
    // A clock that is set back does not revive a pointer.
    assert_eq!(
        judged(&ahead.floor, |it| {
            it.pointer_version = 4;
            it.expires = Time(NOW + 300);
        }),
        "stale"
    );
}

#[test]
fn a_pointer_is_signed_by_its_own_role_and_kind() {
    let payload = pointer().encode().expect("sound");
    let judge = |envelope: String| {
        let judged = heed(
            &trust(),
            &Floor::default(),
            None,
            envelope.as_bytes(),
            Time(NOW),
        );
        judged.expect_err("refused").word()
    };
    // The release key points at nothing, and a pointer is no statement.
    assert_eq!(
        judge(dsse::sign(Kind::Pointer, &payload, &[key(1)])),
        "bad_signature"
    );
    assert_eq!(
        judge(dsse::sign(Kind::Statement, &payload, &[key(5)])),
        "bad_envelope"
    );
    assert_eq!(
        judge(dsse::sign(Kind::Pointer, b"{}", &[key(5)])),
        "bad_pointer"
    );
    let good = dsse::sign(Kind::Pointer, &payload, &[key(5)]);
    let unfollowed = super::trust();
    let refused = heed(
        &unfollowed,
        &Floor::default(),
        None,
        good.as_bytes(),
        Time(NOW),
    );
    assert_eq!(refused.expect_err("no role").word(), "pointer_untrusted");
}

#[test]
fn a_followed_channel_takes_only_what_is_pointed_at() {
    let trust = trust();
    let heeded = follow(&Floor::default(), |_| ()).expect("heeded");
    let judge = |floor: &Floor, statement: &Statement, pointer: Option<&Pointer>, now: i64| {
        let envelope = sealed(statement);
        let offer = Offer {
            pointer,
            ..Offer::new(&envelope)
        };
        word(accept(&trust, floor, &offer, Time(now)))
    };
    let first = Floor::default();
    assert_eq!(judge(&first, &statement(), None, NOW), "pointer_missing");
    let pointed = Some(&heeded.pointer);
    assert_eq!(judge(&first, &statement(), pointed, NOW), "accepted");
    let other = release(|it| it.version = 8);
    assert_eq!(judge(&first, &other, pointed, NOW), "not_pointed");
    assert_eq!(judge(&first, &statement(), pointed, NOW + 500), "stale");
    // What was pointed at once may start again without a pointer: the source may be away.
    assert_eq!(
        judge(&followed(), &statement(), None, NOW + 600),
        "accepted"
    );
}

#[test]
fn a_pointer_lifts_the_least_version() {
    let floor = followed();
    let heeded = follow(&floor, |it| {
        it.pointer_version = 4;
        it.version = 9;
        it.min_version = 8;
    })
    .expect("heeded");
    let envelope = sealed(&statement());
    let offer = Offer {
        pointer: Some(&heeded.pointer),
        ..Offer::new(&envelope)
    };
    let stood = stands(&trust(), &heeded.floor, &offer, Time(NOW));
    assert_eq!(stood.expect_err("below the least").word(), "rollback");
}

#[test]
fn a_pointer_has_one_spelling() {
    let bytes = pointer().encode().expect("sound");
    assert_eq!(Pointer::parse(&bytes), Ok(pointer()));
    let value: Value = serde_json::from_slice(&bytes).expect("json");
    let pretty = serde_json::to_vec_pretty(&value).expect("json");
    assert!(Pointer::parse(&pretty).is_err());
    let mutations: [fn(&mut Value); 10] = [
        |it| it["extra"] = 1.into(),
        |it| it["urgent_deny"] = json!({"grant": ["x"]}),
        |it| it["urgent_deny"] = json!({"denied": ["b", "a"]}),
        |it| it["urgent_deny"] = json!({"suspended": ["a", "a"]}),
        |it| it["urgent_deny"] = json!({}),
        |it| it["pointer_version"] = 0.into(),
        |it| it["min_version"] = 8.into(),
        |it| it["expires"] = it["issued_at"].clone(),
        |it| it["spread_seconds"] = (MAX_SPREAD + 1).into(),
        |it| it["project"] = "".into(),
    ];
    for (at, mutate) in mutations.into_iter().enumerate() {
        let mut value = value.clone();
        mutate(&mut value);
        let bytes = serde_json_canonicalizer::to_vec(&value).expect("canonical");
        assert!(Pointer::parse(&bytes).is_err(), "mutation {at}");
    }
}
