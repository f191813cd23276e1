//! How trust goes from one root to the next, and what that does to releases.

use super::*;

/// The next root: the usual one with some members changed.
fn next(change: impl FnOnce(&mut Value)) -> TrustRoot {
    trust_with(|file| {
        file["version"] = 2.into();
        change(file);
    })
    .expect("sound")
}

/// Key 2 takes the place of key 1 in every role.
fn handed_over() -> TrustRoot {
    next(|file| {
        let spki = keys::public_text(&key(2).verifying_key());
        file["keys"]["ci"]["spki"] = spki.into();
    })
}

fn offered(current: &TrustRoot, next: &TrustRoot, signers: &[SigningKey]) -> &'static str {
    let envelope = dsse::sign(Kind::Trust, next.to_json().as_bytes(), signers);
    match rotate(current, envelope.as_bytes(), Time(NOW)) {
        Ok(root) => {
            assert_eq!(root, *next);
            "rotated"
        }
        Err(refused) => {
            assert!(refused.to_string().len() > 20, "{refused} says what to do");
            refused.word()
        }
    }
}

#[test]
fn a_root_is_signed_by_the_old_and_the_new() {
    let new = handed_over();
    assert_eq!(offered(&trust(), &new, &[key(1), key(2)]), "rotated");
    assert_eq!(offered(&trust(), &new, &[key(1)]), "bad_signature");
    assert_eq!(offered(&trust(), &new, &[key(2)]), "bad_signature");
    assert_eq!(offered(&trust(), &new, &[]), "bad_signature");
}

#[test]
fn roots_follow_one_by_one() {
    let one = &[key(1)];
    assert_eq!(offered(&trust(), &next(|_| ()), one), "rotated");
    assert_eq!(offered(&next(|_| ()), &next(|_| ()), one), "trust_chain");
    let third = next(|file| file["version"] = 3.into());
    assert_eq!(offered(&trust(), &third, one), "trust_chain");
    assert_eq!(offered(&third, &next(|_| ()), one), "trust_chain");
    let foreign = next(|file| file["project"] = "evil".into());
    assert_eq!(offered(&trust(), &foreign, one), "trust_chain");
    let back = next(|file| file["epoch"] = 0.into());
    assert_eq!(offered(&trust(), &back, one), "trust_chain");
}

#[test]
fn a_root_without_a_root_role_is_the_last() {
    let rootless = |version: u64| {
        trust_with(|file| {
            file["version"] = version.into();
            file["roles"]
                .as_object_mut()
                .expect("object")
                .remove("root");
        })
        .expect("sound")
    };
    assert_eq!(
        offered(&rootless(1), &next(|_| ()), &[key(1)]),
        "no_root_role"
    );
    assert_eq!(offered(&trust(), &rootless(2), &[key(1)]), "no_root_role");
}

#[test]
fn a_statement_is_no_root() {
    let payload = statement().encode().expect("sound");
    let judge = |envelope: String| {
        let refused = rotate(&trust(), envelope.as_bytes(), Time(NOW));
        refused.expect_err("refused").word()
    };
    assert_eq!(
        judge(dsse::sign(Kind::Statement, &payload, &[key(1)])),
        "bad_envelope"
    );
    assert_eq!(
        judge(dsse::sign(Kind::Trust, &payload, &[key(1)])),
        "bad_trust"
    );
}

#[test]
fn what_ran_stands_or_falls_with_the_root() {
    let envelope = sealed(&statement());
    let judge = |trust: &TrustRoot| {
        let stood = stands(trust, &floor(), &Offer::new(&envelope), Time(NOW));
        stood.map_or_else(|refused| refused.word(), |_| "stands")
    };
    assert_eq!(judge(&next(|_| ())), "stands");
    assert_eq!(judge(&handed_over()), "bad_signature");
    assert_eq!(judge(&next(|file| file["epoch"] = 2.into())), "rollback");
    assert_eq!(
        judge(&next(|file| file["min_version"] = json!({"main": 8}))),
        "rollback"
    );
    let digest = Digest::of(&statement().encode().expect("sound"));
    let revoked = next(|file| file["revoked"] = json!([digest.to_string()]));
    assert_eq!(judge(&revoked), "revoked");
}

/// A thief of the release key has released version 2^53 - 1, which no honest release can follow.
#[test]
fn an_epoch_recovers_from_a_fast_forward() {
    let huge = release(|it| it.version = (1 << 53) - 1);
    let burnt = take(&trust(), &Floor::default(), &huge)
        .expect("accepted")
        .floor;
    assert_eq!(
        word(take(&trust(), &burnt, &release(|it| it.version = 8))),
        "rollback"
    );
    let recovered = next(|file| file["epoch"] = 2.into());
    let honest = release(|it| {
        it.epoch = 2;
        it.version = 1;
    });
    let accepted = take(&recovered, &burnt, &honest).expect("accepted");
    assert_eq!((accepted.floor.epoch, accepted.floor.version), (2, 1));
    assert_eq!(word(take(&recovered, &burnt, &huge)), "rollback");
}

/// A thief has vouched for a far time, after which everything honest has ended.
#[test]
fn an_epoch_recovers_from_a_time_far_ahead() {
    let far = release(|it| {
        it.version = 8;
        it.issued_at = Some(Time(NOW + 1_000_000));
        it.not_after = None;
    });
    let burnt = take(&trust(), &floor(), &far).expect("accepted").floor;
    assert_eq!(
        word(take(&trust(), &burnt, &release(|it| it.version = 9))),
        "expired"
    );
    let recovered = next(|file| file["epoch"] = 2.into());
    let honest = release(|it| it.epoch = 2);
    let accepted = take(&recovered, &burnt, &honest).expect("accepted");
    assert_eq!(accepted.floor.trusted_time, Some(Time(NOW - 100)));
}

#[test]
fn a_root_that_ended_accepts_nothing_new() {
    let ends = |at: i64| {
        let at = Time(at).to_string();
        trust_with(|file| file["expires"] = at.into()).expect("sound")
    };
    assert_eq!(
        word(take(&ends(NOW), &Floor::default(), &statement())),
        "trust_expired"
    );
    // What runs already may start again.
    assert_eq!(word(take(&ends(NOW), &floor(), &statement())), "accepted");
    let soon = Time(NOW + 30 * 86_400);
    let warned = take(&ends(soon.0), &Floor::default(), &statement()).expect("accepted");
    assert_eq!(warned.warnings, [Warning::TrustEnds { expires: soon }]);
}

#[test]
fn a_key_counts_between_its_dates() {
    let dated = |field: &str, at: i64| {
        let at = Time(at).to_string();
        let trust = trust_with(|file| file["keys"]["ci"][field] = at.into()).expect("sound");
        word(take(&trust, &Floor::default(), &statement()))
    };
    assert_eq!(dated("not_before", NOW), "accepted");
    assert_eq!(dated("not_before", NOW + 1), "bad_signature");
    assert_eq!(dated("not_after", NOW + 1), "accepted");
    assert_eq!(dated("not_after", NOW), "bad_signature");
}

/// Says of a bundle what its own text says: `<subject> <payload as text>`.
#[derive(Debug)]
struct Scripted;

impl Keyless for Scripted {
    fn verify(&self, bundle: &[u8], identity: &Identity) -> Result<Vec<u8>, KeylessError> {
        let signed = bundle.strip_prefix(identity.subject.as_bytes());
        signed
            .map(<[u8]>::to_vec)
            .ok_or_else(|| KeylessError("signed by another".to_owned()))
    }
}

#[test]
fn identities_count_beside_keys_and_only_over_the_same_bytes() {
    let trust = trust_with(|file| {
        file["identities"] = json!({"flow": {
            "kind": "sigstore", "issuer": "https://issuer.example", "subject": "flow@main",
            "trusted_root_sha256": Digest([4; 32]).to_string(),
        }});
        file["roles"]["release"]["main"] = json!({"threshold": 2, "members": ["ci", "flow"]});
    })
    .expect("sound");
    assert_eq!(
        TrustRoot::parse(trust.to_json().as_bytes()),
        Ok(trust.clone())
    );
    let payload = statement().encode().expect("sound");
    let envelope = sealed(&statement());
    let judge = |keyless: &dyn Keyless, bundles: &[Vec<u8>]| {
        let offer = Offer {
            sigstore: bundles,
            keyless,
            ..Offer::new(&envelope)
        };
        accept(&trust, &Floor::default(), &offer, Time(NOW))
    };
    let good = [b"flow@main".as_slice(), &payload].concat();
    let both = judge(&Scripted, &[b"junk".to_vec(), good.clone()]).expect("two of two");
    assert_eq!(both.signers, ["ci", "flow"]);
    assert_eq!(word(judge(&Scripted, &[])), "bad_signature");
    assert_eq!(
        word(judge(&Scripted, &[b"flow@main{}".to_vec()])),
        "bad_signature"
    );
    assert_eq!(
        word(judge(&Scripted, &[b"flow@fork".to_vec()])),
        "bad_signature"
    );
    let unable = judge(&NoKeyless, std::slice::from_ref(&good)).expect_err("no roots");
    assert!(unable.to_string().contains("trusted_root.json"), "{unable}");
}

#[test]
fn identities_and_roles_that_cannot_mean_what_they_say_are_refused() {
    let flow = json!({
        "kind": "sigstore", "issuer": "https://issuer.example", "subject": "flow@main",
        "trusted_root_sha256": Digest([4; 32]).to_string(),
    });
    let rows: [(&str, Mutation); 7] = [
        ("same identity", {
            let flow = flow.clone();
            Box::new(move |it| it["identities"] = json!({"a": flow, "b": flow}))
        }),
        ("of a key and of an identity", {
            let flow = flow.clone();
            Box::new(move |it| it["identities"] = json!({"ci": flow}))
        }),
        ("must not be empty", {
            let mut flow = flow.clone();
            flow["subject"] = "".into();
            Box::new(move |it| it["identities"] = json!({"a": flow}))
        }),
        ("unknown variant", {
            let mut flow = flow.clone();
            flow["kind"] = "pgp".into();
            Box::new(move |it| it["identities"] = json!({"a": flow}))
        }),
        ("identities may only release", {
            Box::new(move |it| {
                it["identities"] = json!({"a": flow});
                it["roles"]["root"] = json!({"threshold": 1, "members": ["a"]});
            })
        }),
        ("no release channel", {
            Box::new(|it| {
                it["roles"]["freshness"] = json!({"x": {"threshold": 1, "members": ["ci"]}});
            })
        }),
        ("later than not_before", {
            Box::new(|it| {
                it["keys"]["ci"]["not_before"] = "2027-01-01T00:00:00Z".into();
                it["keys"]["ci"]["not_after"] = "2026-01-01T00:00:00Z".into();
            })
        }),
    ];
    for (expected, change) in rows {
        let error = trust_with(change).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} says {expected}");
    }
}
