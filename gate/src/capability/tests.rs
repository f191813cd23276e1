use super::*;

fn keys(seeds: &[u8]) -> CapabilityKeys {
    let seeds: Vec<[u8; 32]> = seeds.iter().map(|seed| [*seed; 32]).collect();
    CapabilityKeys::new(&seeds).unwrap()
}

fn capability() -> Capability {
    Capability {
        server: "acme/github".to_owned(),
        origin: Origin {
            issuer: "https://idp.example".to_owned(),
            subject: "u-alice".to_owned(),
            actors: vec![
                Actor {
                    issuer: None,
                    subject: "bot".to_owned(),
                },
                Actor {
                    issuer: Some("https://other.example".to_owned()),
                    subject: "agent".to_owned(),
                },
            ],
            groups: vec!["staff".to_owned()],
        },
        permissions: vec!["tools:github/get_issue:call".to_owned()],
        id: "c-1".to_owned(),
        issued_at: 1000,
        expires_at: 1090,
        parents: vec!["t-1".to_owned()],
        depth: 1,
        single_use: true,
        request: Some("hash".to_owned()),
        memory: "process".to_owned(),
    }
}

#[test]
fn what_is_minted_is_read_back() {
    let token = keys(&[1]).mint(&capability()).unwrap();
    assert!(is_capability(&token));
    let opened = keys(&[1]).open(&token, "acme/github", 1010).unwrap();
    assert_eq!(opened.capability, capability());
    assert_eq!(opened.key, keys(&[1]).signing_id());
    assert_eq!(opened.claims.issuer, "https://idp.example");
    assert_eq!(opened.claims.actors, capability().origin.actors);
    assert_eq!(opened.claims.permissions, Some(capability().permissions));
    assert_eq!(opened.claims.token_id.as_deref(), Some("c-1"));
}

#[test]
fn a_token_that_says_no_depth_has_as_many_exchanges_as_parents() {
    let mut payload = capability().to_json();
    let own = payload["latchkey"].as_object_mut().unwrap();
    assert_eq!(own.remove("depth"), Some(json!(1)));
    own.insert("parents".to_owned(), json!(["t-1", "c-1"]));
    let read = read::capability(&URL_SAFE_NO_PAD.encode(payload.to_string()));
    assert_eq!(read.unwrap().depth, 2);
}

#[test]
fn other_servers_keys_and_times_are_refused() {
    let token = keys(&[1]).mint(&capability()).unwrap();
    let open = |keys: &CapabilityKeys, server, now| keys.open(&token, server, now).err();
    let ours = keys(&[1]);
    assert_eq!(
        open(&ours, "acme/payments", 1010),
        Some(CapabilityError::Audience)
    );
    assert_eq!(
        open(&keys(&[2]), "acme/github", 1010),
        Some(CapabilityError::Signature)
    );
    assert_eq!(
        open(&ours, "acme/github", 1095),
        Some(CapabilityError::Expired)
    );
    assert_eq!(
        open(&ours, "acme/github", 994),
        Some(CapabilityError::NotYetValid)
    );
    // A key that was replaced still verifies for as long as it is listed.
    assert_eq!(open(&keys(&[2, 1]), "acme/github", 1010), None);
}

#[test]
fn every_changed_byte_is_refused() {
    let token = keys(&[1]).mint(&capability()).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let opened = keys(&[1]).open(&changed, "acme/github", 1010);
        assert!(opened.is_err(), "byte {at}");
    }
}

#[test]
fn tokens_of_others_are_not_taken_for_one() {
    for token in [
        "",
        "a.b.c",
        "eyJhbGciOiJFZERTQSIsImtpZCI6InRlc3QiLCJ0eXAiOiJhdCtqd3QifQ.e30.AA",
    ] {
        assert!(!is_capability(token), "{token}");
        assert!(keys(&[1]).open(token, "acme/github", 1010).is_err());
    }
}

#[test]
fn who_an_access_token_speaks_of() {
    let payload = URL_SAFE_NO_PAD.encode(
        r#"{"iss":"https://idp","sub":"u","groups":["a"],"act":{"sub":"bot","act":{"sub":"x"}}}"#,
    );
    let token = format!("h.{payload}.s");
    let origin = Origin::of(&token, "https://idp", Some("groups")).unwrap();
    assert_eq!(
        (origin.subject.as_str(), origin.groups),
        ("u", vec!["a".to_owned()])
    );
    assert_eq!(origin.actors.len(), 2);
    assert!(
        Origin::of(&token, "https://idp", None)
            .unwrap()
            .groups
            .is_empty()
    );
    assert_eq!(Origin::of(&token, "https://other", None), None);
}
