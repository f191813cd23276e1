use std::sync::Arc;

use super::*;
use crate::admit::{SlotFact, Who};

fn chain(count: usize) -> Vec<String> {
    let mut hash = String::new();
    (0..count)
        .map(|at| {
            let id = format!("event-{at}");
            let exchanged = Exchanged {
                event_id: &id,
                ..Exchanged::default()
            };
            let line = Event::lifecycle("bundle_loaded", &exchanged).seal(&hash);
            hash = line.hash;
            line.text
        })
        .collect()
}

fn verify(lines: &[String]) -> Result<usize, ChainError> {
    verify_chain(lines.iter().map(String::as_str))
}

#[test]
fn an_untouched_chain_holds() {
    assert_eq!(verify(&chain(5)), Ok(5));
    assert_eq!(verify(&chain(5)[2..]), Ok(3));
    assert_eq!(verify(&[]), Ok(0));
}

#[test]
fn every_kind_of_tampering_is_seen() {
    let mut changed = chain(3);
    changed[1] = changed[1].replace("event-1", "event-9");
    assert_eq!(verify(&changed).unwrap_err().line, 2);

    let mut removed = chain(3);
    removed.remove(1);
    assert_eq!(verify(&removed).unwrap_err().line, 2);

    let mut swapped = chain(3);
    swapped.swap(1, 2);
    assert_eq!(verify(&swapped).unwrap_err().line, 2);

    let mut cut = chain(2);
    cut[1].pop();
    assert_eq!(verify(&cut).unwrap_err().line, 2);

    let mut doubled = chain(2);
    let again = doubled[1].clone();
    doubled.push(again);
    assert_eq!(verify(&doubled).unwrap_err().line, 3);
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let event = Event::lifecycle("bundle_loaded", &Exchanged::default());
    let line = event.seal("");
    assert!(!line.text.contains('\n'));
    assert_eq!(serde_json::from_str::<Event>(&line.text).unwrap(), event);
}

#[test]
fn digests_are_hmac_with_keys_of_any_length() {
    use aws_lc_rs::hmac;
    for length in [0, 1, 32, 63, 64, 65, 200] {
        let bytes: Vec<u8> = (0..).take(length).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        for text in ["", "null", &"long ".repeat(100)] {
            let expected = hmac::sign(&key, text.as_bytes());
            let digest = DigestKey::new(&bytes).digest(text);
            assert_eq!(digest, hex(expected.as_ref()), "{length}");
        }
    }
}

/// Facts with one of everything, in texts that need escapes and texts that need none.
fn facts(text: &str, reason: Reason) -> Facts {
    let some = || Some(text.to_owned());
    let many = || vec![text.to_owned(), "b".to_owned()];
    let slot = |attribute: &str, value| SlotFact {
        attribute: attribute.into(),
        value,
    };
    Facts {
        server: text.to_owned(),
        method: "tools/call".to_owned(),
        protocol: some(),
        surface: some(),
        risk: Some("destructive"),
        operation: some(),
        scopes: many(),
        permissions: many(),
        who: Arc::new(Who {
            callers: many(),
            principal_type: "agent",
            organization: some(),
            team: some(),
            groups: many(),
            issuer: some(),
            token_id: some(),
            token_hash: some(),
        }),
        address: "2001:db8::1".parse().ok(),
        failed: vec![Reason::NoPermission, Reason::TokenScope],
        detail: some(),
        rule: some(),
        granted_by: many(),
        matched: many(),
        missed: vec![
            ("z".to_owned(), "scope"),
            (text.to_owned(), "dates"),
            ("z".to_owned(), "condition"),
        ],
        undetermined: many(),
        slots: vec![
            slot("args.z", SlotValue::Absent),
            slot("args.a", SlotValue::Value("\"x\"".to_owned())),
            slot("args.m", SlotValue::Digest(text.to_owned())),
        ],
        traceparent: None,
        activation: some(),
        ..Facts::blank(reason)
    }
}

const OUTCOMES: [EventOutcome; 6] = [
    EventOutcome::Success,
    EventOutcome::Denied,
    EventOutcome::ClientError,
    EventOutcome::UpstreamError,
    EventOutcome::Timeout,
    EventOutcome::Internal,
];

#[test]
fn a_draft_is_the_event_byte_for_byte() {
    let key = DigestKey::new(b"key");
    let texts = [
        "plain",
        "",
        "quo\"te \\ \u{1} \n \u{7f} \u{fc}\u{2028}",
        "{",
        "[",
    ];
    for text in texts {
        for (outcome, number) in OUTCOMES.into_iter().zip([0, 1, 10, 999, 12_345, u64::MAX]) {
            let exchanged = Exchanged {
                event_id: text,
                event_time: text,
                status: u16::try_from(number).unwrap_or(u16::MAX),
                outcome,
                latency_us: number,
                upstream_latency_us: number / 3,
                bytes_in: number / 5,
                bytes_out: number / 7,
                source_commit: Some(text).filter(|text| !text.is_empty()),
                digest_key: Some(&key),
                ..Exchanged::default()
            };
            let refused = Facts {
                address: "192.0.2.10".parse().ok(),
                ..Facts::blank(Reason::NoPermission)
            };
            for facts in [facts(text, Reason::Ok), refused] {
                let event = Event::request(&facts, &exchanged);
                let draft = Draft::request(&facts, &exchanged);
                let ended = draft.ended(&Ending::of(&facts, &exchanged));
                assert_eq!(ended.seal("p"), event.seal("p"));
            }
        }
    }
}

#[test]
fn an_end_changes_what_an_intent_left_open_and_nothing_else() {
    let exchanged = Exchanged {
        bytes_in: 77,
        ..Exchanged::default()
    };
    let facts = Facts {
        detail: None,
        ..facts("te\"xt", Reason::Ok)
    };
    let draft = Draft::request(&facts, &exchanged);
    let mut intent = String::new();
    draft.write_intent(&mut intent, "cut \"off\"");
    let mut event: Event = serde_json::from_str(&intent).unwrap();
    assert_eq!(event.detail.as_deref(), Some("cut \"off\""));
    assert_eq!(event.outcome, EventOutcome::Internal);
    for detail in [None, Some("the \"end\"")] {
        let ended = draft.ended(&Ending {
            outcome: EventOutcome::Success,
            status: 200,
            latency_us: 123_456,
            upstream_latency_us: 9,
            bytes_in: 1_234,
            bytes_out: 10_000,
            detail,
        });
        event.outcome = EventOutcome::Success;
        event.status = 200;
        event.latency_us = 123_456;
        event.bytes_in = 1_234;
        event.upstream_latency_us = 9;
        event.bytes_out = 10_000;
        event.detail = detail.map(str::to_owned);
        assert_eq!(ended.seal(""), event.seal(""));
    }
}
