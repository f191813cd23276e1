use super::*;

fn answer(message: &str) -> Answer<'_> {
    Answer {
        status: 200,
        session: None,
        message: Some(message.as_bytes()),
    }
}

fn sent(survey: &Survey) -> (String, Ask) {
    let ask = survey.ask().unwrap();
    let message: Json = serde_json::from_str(&ask.body).unwrap();
    (message["method"].as_str().unwrap().to_owned(), ask)
}

fn header<'a>(ask: &'a Ask, name: &str) -> Option<&'a str> {
    let found = ask.headers.iter().find(|(it, _)| *it == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn a_modern_server_is_asked_without_a_session() {
    let mut survey = Survey::new("t", Limits::DEFAULT);
    let (method, ask) = sent(&survey);
    assert_eq!((method.as_str(), ask.probes), ("server/discover", true));
    assert_eq!(header(&ask, "mcp-method"), Some("server/discover"));
    let discovered = r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],
        "capabilities":{"tools":{}}}}"#;
    survey.answer(answer(discovered)).unwrap();
    let (method, ask) = sent(&survey);
    assert_eq!(method, "tools/list");
    assert_eq!(header(&ask, "mcp-protocol-version"), Some("2026-07-28"));
    assert!(ask.body.contains("io.modelcontextprotocol/protocolVersion"));
    let page = r#"{"id":2,"result":{"tools":[{"name":"a"}],"nextCursor":"2"}}"#;
    survey.answer(answer(page)).unwrap();
    assert!(sent(&survey).1.body.contains(r#""cursor":"2""#));
    survey
        .answer(answer(r#"{"id":3,"result":{"tools":[{"name":"b"}]}}"#))
        .unwrap();
    assert_eq!(survey.ask(), None);
    assert_eq!(survey.farewell(), None);
    let found = survey.finish();
    assert_eq!(found.revision, "2026-07-28");
    let names: Vec<_> = found.lists[&ListKind::Tools].keys().collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_legacy_server_is_asked_in_a_session() {
    let mut survey = Survey::new("t", Limits::DEFAULT);
    let refused = Answer {
        status: 400,
        ..answer(r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"no"},"id":null}"#)
    };
    survey.answer(refused).unwrap();
    let (method, ask) = sent(&survey);
    assert_eq!(method, "initialize");
    assert_eq!(header(&ask, "mcp-protocol-version"), None);
    let begun = r#"{"id":2,"result":{"protocolVersion":"2025-06-18",
        "capabilities":{"resources":{}}}}"#;
    let begun = Answer {
        session: Some("s-1"),
        ..answer(begun)
    };
    survey.answer(begun).unwrap();
    let (method, ask) = sent(&survey);
    assert_eq!(
        (method.as_str(), ask.id),
        ("notifications/initialized", None)
    );
    assert_eq!(header(&ask, "mcp-session-id"), Some("s-1"));
    let accepted = Answer {
        status: 202,
        ..Answer::default()
    };
    survey.answer(accepted).unwrap();
    assert_eq!(sent(&survey).0, "resources/list");
    survey
        .answer(answer(r#"{"id":4,"result":{"resources":[]}}"#))
        .unwrap();
    assert_eq!(sent(&survey).0, "resources/templates/list");
    let none = r#"{"id":5,"error":{"code":-32601,"message":"Method not found"}}"#;
    survey.answer(answer(none)).unwrap();
    assert_eq!(survey.ask(), None);
    let farewell = survey.farewell().unwrap();
    assert_eq!(
        (farewell.method, header(&farewell, "mcp-session-id")),
        ("DELETE", Some("s-1"))
    );
    let again = Survey::again("t", Limits::DEFAULT, &survey.finish().revision);
    assert_eq!(sent(&again).0, "initialize");
}

#[test]
fn a_hostile_server_is_given_up() {
    let listing = || {
        let mut survey = Survey::new(
            "t",
            Limits {
                entries: 2,
                pages: 3,
                answer: 100,
                bytes: 500,
            },
        );
        let discovered = r#"{"id":1,"result":{"supportedVersions":["2026-07-28"],
            "capabilities":{"tools":{}}}}"#;
        survey.answer(answer(discovered)).unwrap();
        survey
    };
    let fails = |pages: &[&str]| {
        let mut survey = listing();
        let mut answers = pages.iter().map(|page| survey.answer(answer(page)));
        answers.find_map(Result::err)
    };
    let endless = r#"{"result":{"tools":[],"nextCursor":"x"}}"#;
    assert_eq!(fails(&[endless; 4]), Some(SurveyError::TooMuch));
    let many = r#"{"result":{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}]}}"#;
    assert_eq!(fails(&[many]), Some(SurveyError::TooMuch));
    let twice = r#"{"result":{"tools":[{"name":"a"},{"name":"a"}]}}"#;
    let error = SurveyError::Twice(ListKind::Tools, "a".to_owned());
    assert_eq!(fails(&[twice]), Some(error));
    let ambiguous = r#"{"result":{"tools":[],"tools":[]}}"#;
    assert!(matches!(
        fails(&[ambiguous]),
        Some(SurveyError::Malformed(..))
    ));
    let large = format!(r#"{{"result":{{"tools":[],"x":"{}"}}}}"#, "x".repeat(500));
    assert_eq!(fails(&[&large]), Some(SurveyError::TooMuch));
    let mut survey = listing();
    let unknown = Answer {
        status: 401,
        ..Answer::default()
    };
    assert_eq!(survey.answer(unknown), Err(SurveyError::Unauthorized(401)));
}

#[test]
fn a_session_id_cannot_smuggle_a_header() {
    let mut survey = Survey::new("t", Limits::DEFAULT);
    survey
        .answer(Answer {
            status: 404,
            ..Answer::default()
        })
        .unwrap();
    let begun = Answer {
        session: Some("a\r\nx: y"),
        ..answer(r#"{"result":{"protocolVersion":"2025-11-25","capabilities":{}}}"#)
    };
    assert!(survey.answer(begun).is_err());
}

#[test]
fn events_are_found_wherever_the_stream_is_cut() {
    let stream = b": hello\r\nid: 1\r\ndata: \r\n\r\nevent: message\ndata: {\"a\":\ndata:1}\n\n\
        data: 2\r\rid: 3\n\n";
    let whole = Events::default().push(stream);
    assert_eq!(whole, [b"{\"a\":\n1}".to_vec(), b"2".to_vec()]);
    for cut in 0..stream.len() {
        let (first, second) = stream.split_at(cut);
        let mut events = Events::default();
        let mut pieces = events.push(first);
        pieces.extend(events.push(second));
        assert_eq!(pieces, whole, "cut at {cut}");
    }
}

#[test]
fn a_client_that_declares_nothing_answers_pings_only() {
    assert!(
        reply(br#"{"id":1,"method":"ping"}"#)
            .unwrap()
            .contains(r#""result":{}"#)
    );
    assert!(
        reply(br#"{"id":1,"method":"roots/list"}"#)
            .unwrap()
            .contains("-32601")
    );
    assert_eq!(reply(br#"{"method":"notifications/message"}"#), None);
    assert_eq!(reply(br#"{"id":1,"result":{}}"#), None);
    assert!(answers(br#"{"id":7,"result":{}}"#, 7) && !answers(br#"{"id":8}"#, 7));
    assert!(!answers(br#"{"id":7,"method":"ping"}"#, 7));
}
