use proptest::prelude::*;

use super::*;

fn fault(source: &[u8]) -> (JsonFault, usize) {
    let error = parse(source).expect_err("must be refused");
    (error.what, error.at)
}

#[test]
fn a_document_keeps_order_decodes_keys_and_knows_spans() {
    let source = br#" {"b": [1, {"x": null}], "\u0061": "h\u00e9\ud83d\ude00", "c": -0.5e1} "#;
    let document = parse(source).expect("valid");
    let object = document.root().as_object().expect("object");
    let keys: Vec<_> = object.members().map(|member| member.key).collect();
    assert_eq!(keys, ["b", "a", "c"]);
    assert_eq!((object.len(), object.is_empty()), (3, false));
    assert_eq!(
        document.root().get("a").and_then(|a| a.as_text()),
        Some("h\u{e9}\u{1f600}")
    );
    let list = object.get("b").and_then(|b| b.as_array()).expect("array");
    assert_eq!(list.len(), 2);
    let raw: Vec<_> = list.values().map(|value| value.raw()).collect();
    assert_eq!(raw, ["1", r#"{"x": null}"#]);
    assert!(
        list.values()
            .nth(1)
            .and_then(|v| v.get("x"))
            .is_some_and(|x| x.is_null())
    );
    assert_eq!(object.get("c").and_then(|c| c.as_number()), Some("-0.5e1"));
    assert_eq!(
        source.get(object.get("c").expect("c").span()),
        Some(&b"-0.5e1"[..])
    );
}

/// The rows of the wire corpus that this layer decides.
#[test]
fn the_wire_corpus_is_refused_with_its_reason() {
    let deep = [b"[".repeat(50_000), b"]".repeat(50_000)].concat();
    let rows: &[(&[u8], JsonFault)] = &[
        (br#"{"name":"a","name":"b"}"#, JsonFault::DuplicateKey),
        (
            br#"{"params":{"arguments":{"a":{"k":1,"k":1}}}}"#,
            JsonFault::DuplicateKey,
        ),
        (br#"{"n\u0061me":"a","name":"b"}"#, JsonFault::DuplicateKey),
        (br#"{"name\u0000":"a"}"#, JsonFault::NulCharacter),
        (br#"{"name":"a\u0000"}"#, JsonFault::NulCharacter),
        (b"\xef\xbb\xbf{}", JsonFault::ByteOrderMark),
        (b"\xff\xfe{\0}\0", JsonFault::NotUtf8),
        (b"{\0}\0", JsonFault::UnexpectedByte),
        (b"{\"a\":\"\xff\"}", JsonFault::NotUtf8),
        (b"\"\xed\xa0\x80\"", JsonFault::NotUtf8),
        (br#"{"a":"\ud800"}"#, JsonFault::LoneSurrogate),
        (br#"{"a":"\udc00"}"#, JsonFault::LoneSurrogate),
        (br#"{"a":"\ud800\u0041"}"#, JsonFault::LoneSurrogate),
        (&deep, JsonFault::TooDeep),
        (b"{\"a\":1e999}", JsonFault::NumberRange),
        (b"{\"a\":-1e308e}", JsonFault::BadNumber),
        (b"{\"a\":9e308}", JsonFault::NumberRange),
        (b"{\"a\":1e-999}", JsonFault::NumberRange),
        (b"{\"a\":1e99999999999999999999}", JsonFault::NumberRange),
        (b"{\"a\":NaN}", JsonFault::UnexpectedByte),
        (b"{\"a\":Infinity}", JsonFault::UnexpectedByte),
        (b"{\"a\":-Infinity}", JsonFault::BadNumber),
        (b"{\"a\":01}", JsonFault::BadNumber),
        (b"{\"a\":+1}", JsonFault::UnexpectedByte),
        (b"{\"a\":1.}", JsonFault::BadNumber),
        (b"{\"a\":.5}", JsonFault::UnexpectedByte),
        (b"{\"a\":0x10}", JsonFault::BadNumber),
        (b"{\"a\":1_000}", JsonFault::BadNumber),
        (b"{} {}", JsonFault::TrailingBytes),
        (b"{}\0", JsonFault::TrailingBytes),
        (b"{}//", JsonFault::TrailingBytes),
        (b"{'a':1}", JsonFault::UnexpectedByte),
        (b"{\"a\":1,}", JsonFault::UnexpectedByte),
        (b"[1,]", JsonFault::UnexpectedByte),
        (b"/* */{}", JsonFault::UnexpectedByte),
        (b"{\"a\":\"\n\"}", JsonFault::ControlCharacter),
        (b"{\"a\":\"\0\"}", JsonFault::ControlCharacter),
        (br#"{"a":"\x41"}"#, JsonFault::BadEscape),
        (br#"{"a":"\u00g0"}"#, JsonFault::BadEscape),
        (b"\xc2\xa0{}", JsonFault::UnexpectedByte),
        (b"", JsonFault::UnexpectedEnd),
        (b"{\"a\"", JsonFault::UnexpectedEnd),
        (b"{\"a\":tru", JsonFault::UnexpectedByte),
        (b"\"a", JsonFault::UnexpectedEnd),
    ];
    for (source, expected) in rows {
        let shown = String::from_utf8_lossy(source.get(..40.min(source.len())).unwrap_or_default());
        let found = parse(source).map(|_| ()).map_err(|error| error.what);
        assert_eq!(found, Err(*expected), "{shown}");
    }
}

#[test]
fn a_refusal_names_the_offending_byte() {
    assert_eq!(
        fault(br#"{"name":"a","name":"b"}"#),
        (JsonFault::DuplicateKey, 12)
    );
    assert_eq!(fault(br#"["ok", "\ud800"]"#), (JsonFault::LoneSurrogate, 8));
    assert_eq!(fault(b"[1, 1e999]"), (JsonFault::NumberRange, 4));
    let error = parse(b"{} x").expect_err("trailing");
    assert_eq!(
        error.to_string(),
        "something after the end of the JSON value at byte 3"
    );
}

#[test]
fn duplicates_are_found_in_large_objects_too() {
    let members: Vec<String> = (0..1000)
        .map(|n| format!(r#""key{n}":{{"a":[1]}}"#))
        .collect();
    let unique = format!("{{{}}}", members.join(","));
    assert!(parse(unique.as_bytes()).is_ok());
    let twice = format!("{{{},\"\\u006bey7\":0}}", members.join(","));
    let (what, at) = fault(twice.as_bytes());
    assert_eq!(what, JsonFault::DuplicateKey);
    assert_eq!(twice.get(at..at + 5), Some("\"\\u00"));
}

#[test]
fn depth_and_size_have_caps() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(parse(nested(64).as_bytes()).is_ok());
    assert_eq!(fault(nested(65).as_bytes()), (JsonFault::TooDeep, 64));
    let limits = Limits {
        nodes: 3,
        ..Limits::REQUEST
    };
    assert!(parse_with(b"[1,2,3]", limits).is_ok());
    let over = parse_with(b"[1,2,3,4]", limits)
        .map(|_| ())
        .map_err(|error| error.what);
    assert_eq!(over, Err(JsonFault::TooManyValues));
    let limits = Limits {
        bytes: 4,
        ..Limits::REQUEST
    };
    assert_eq!(
        parse_with(b"[1,2]", limits).expect_err("long").what,
        JsonFault::TooLarge
    );
    let digits = format!("1{}", "0".repeat(64));
    assert_eq!(fault(digits.as_bytes()).0, JsonFault::NumberRange);
}

#[test]
fn case_variants_of_known_keys_are_refused() {
    let names = ["jsonrpc", "method", "params", "tasks"];
    for key in ["Method", "JSONRPC", "param\u{17f}", "tas\u{212a}s"] {
        let source = serde_json::json!({ key: 1, "method": 2 }).to_string();
        let document = parse(source.as_bytes()).expect("valid");
        let object = document.root().as_object().expect("object");
        let error = object.refuse_case_variants(&names).expect_err(key);
        assert_eq!(error.what, JsonFault::CaseVariant);
        assert!(
            source
                .get(error.at + 1..)
                .is_some_and(|rest| rest.starts_with(key))
        );
    }
    let document = parse(br#"{"method":1,"methods":2,"_meta":3}"#).expect("valid");
    assert!(
        document
            .root()
            .as_object()
            .expect("object")
            .refuse_case_variants(&names)
            .is_ok()
    );
}

#[test]
fn schema_values_are_exact_or_refused() {
    let value = |source: &'static str| {
        let document = parse(source.as_bytes()).expect(source);
        to_value(document.root()).map_err(|error| error.what)
    };
    assert_eq!(
        value("9007199254740993"),
        Ok(serde_json::json!(9_007_199_254_740_993_i64))
    );
    assert_eq!(
        value("18446744073709551615"),
        Ok(serde_json::json!(u64::MAX))
    );
    assert_eq!(value("0.1"), Ok(serde_json::json!(0.1)));
    assert_eq!(
        value("0.30000000000000004"),
        Ok(serde_json::json!(0.300_000_000_000_000_04))
    );
    assert_eq!(value("1.50e2"), Ok(serde_json::json!(150.0)));
    assert_eq!(value("-0"), Ok(serde_json::json!(-0.0)));
    assert_eq!(value("100000000000000000000"), Ok(serde_json::json!(1e20)));
    let lossy = [
        "100.00000000000000001",
        "18446744073709551617",
        "0.1000000000000000000001",
        "4.9406564584124654e-308",
    ];
    for lossy in lossy {
        assert_eq!(value(lossy), Err(JsonFault::NumberPrecision), "{lossy}");
    }
}

#[test]
fn forced_members_are_spliced_and_the_rest_keeps_its_bytes() {
    let source = r#"{ "a" : 1,"b":{"owner" :"x" , "n":1.0} }"#;
    let document = parse(source.as_bytes()).expect("valid");
    let inner = document
        .root()
        .get("b")
        .and_then(|b| b.as_object())
        .expect("object");
    let edits = inner.set([
        ("owner", r#""acme""#.to_owned()),
        ("team", r#""pay""#.to_owned()),
    ]);
    let out = splice(source, edits).expect("disjoint");
    assert_eq!(
        out,
        r#"{ "a" : 1,"b":{"team":"pay","owner" :"acme" , "n":1.0} }"#
    );
    let empty = parse(b"{}").expect("valid");
    let edits = empty.root().as_object().expect("object");
    let edits = edits.set([("x", "1".to_owned()), ("y", "2".to_owned())]);
    assert_eq!(splice("{}", edits).as_deref(), Some(r#"{"x":1,"y":2}"#));
    let overlap = |at| Edit {
        at,
        text: String::new(),
    };
    assert_eq!(splice("abcd", vec![overlap(0..2), overlap(1..3)]), None);
    assert_eq!(splice("abcd", vec![overlap(3..9)]), None);
}

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(|text| serde_json::Value::from(text.replace('\0', "0"))),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        let key = "[a-c\"\\\\\n\u{e9}]{0,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key, inner, 0..20)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What a JSON library writes is read, with the meaning it had.
    #[test]
    fn whatever_serde_writes_is_read_the_same(value in arbitrary_json()) {
        for source in [value.to_string(), serde_json::to_string_pretty(&value).expect("json")] {
            let document = parse(source.as_bytes());
            // Doubles near the ends of their range are outside the number limits.
            if let Err(error) = &document {
                prop_assert_eq!(error.what, JsonFault::NumberRange);
                continue;
            }
            let reread: serde_json::Value = serde_json::from_str(&source).expect("json");
            match to_value(document.expect("parsed").root()) {
                Ok(copied) => prop_assert_eq!(copied, reread),
                Err(error) => prop_assert_eq!(error.what, JsonFault::NumberPrecision),
            }
        }
    }

    /// Whatever damaged text is accepted, serde_json accepts too, with the same meaning.
    #[test]
    fn acceptance_implies_serde_accepts_the_same(
        value in arbitrary_json(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        soup in "[\\[\\]{}\",:0-9eE.+\\-tfnu\\\\ a-d]{0,12}",
    ) {
        let mut bytes = value.to_string().into_bytes();
        for (place, byte) in cuts {
            let place = place.index(bytes.len().max(1));
            if let Some(target) = bytes.get_mut(place) {
                *target = byte;
            }
        }
        for source in [bytes.as_slice(), soup.as_bytes()] {
            if let Ok(document) = parse(source) {
                let reread: serde_json::Value = serde_json::from_slice(source).expect("accepted");
                if let Ok(copied) = to_value(document.root()) {
                    prop_assert_eq!(copied, reread);
                }
            }
        }
    }
}
