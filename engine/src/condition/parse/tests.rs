use super::*;

/// The problems of a text as `kind | the text they are at | fix`, one a line.
fn problems(text: &str) -> Vec<(ProblemKind, String, Option<String>, String)> {
    match parse(text) {
        Ok(expr) => panic!("{text} parses as {expr}"),
        Err(problems) => problems
            .into_iter()
            .map(|problem| {
                assert!(
                    !problem.message.is_empty() && !problem.help.is_empty(),
                    "{text}"
                );
                let at = text
                    .get(problem.span.start..problem.span.end)
                    .unwrap()
                    .to_owned();
                let fix = problem.fix.map(|(_, fix)| fix);
                (problem.kind, at, fix, problem.help)
            })
            .collect(),
    }
}

/// One problem: its kind, what it is at, its fix, and a word of its help.
#[track_caller]
fn refuses(text: &str, kind: ProblemKind, at: &str, fix: Option<&str>, help: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    let (found_kind, found_at, found_fix, found_help) = &found[0];
    assert_eq!(*found_kind, kind, "{text}: {found:?}");
    assert_eq!(found_at, at, "{text}");
    assert_eq!(found_fix.as_deref(), fix, "{text}");
    assert!(found_help.contains(help), "{text}: {found_help}");
}

/// An expression without its spans.
fn unplaced(expr: &Expr) -> String {
    let spans = regex::Regex::new(r"Span \{ start: [0-9]+, end: [0-9]+ \}").unwrap();
    spans.replace_all(&format!("{expr:?}"), "_").into_owned()
}

#[test]
fn prints_what_it_reads() {
    for (text, printed) in [
        ("args.a=='x'", "args.a == \"x\""),
        (
            "has( args.a )&&args.a>=-2.50",
            "has(args.a) && args.a >= -2.5",
        ),
        ("!(args.a == 1 || args.b)", "!(args.a == 1 || args.b)"),
        ("a&&b||c", ""),
        ("(args.a && args.b) || args.c", "args.a && args.b || args.c"),
        (
            "args.a && (args.b || args.c)",
            "args.a && (args.b || args.c)",
        ),
        (
            "(args.a && args.b) && args.c",
            "(args.a && args.b) && args.c",
        ),
        ("!!args.a", "!!args.a"),
        ("\"dry-run\" in args", "\"dry-run\" in args"),
        ("args['dry-run']", "args[\"dry-run\"]"),
        ("args[\"plain\"]", "args.plain"),
        ("args[\"in\"].x", "args[\"in\"].x"),
        ("args.a.size() > 3", "size(args.a) > 3"),
        ("3 < size(args.a)", "3 < size(args.a)"),
        ("args.a in ['x', \"y\"]", "args.a in [\"x\", \"y\"]"),
        (
            "args.files.all(f, f.path.startsWith(\"docs/\"))",
            "args.files.all(f, f.path.startsWith(\"docs/\"))",
        ),
        (
            "cidr(\"10.0.0.0/8\").containsIP(request.ip)",
            "cidr(\"10.0.0.0/8\").containsIP(request.ip)",
        ),
        (
            "request.time < timestamp(\"2026-12-01T12:30:00+02:30\")",
            "request.time < timestamp(\"2026-12-01T10:00:00Z\")",
        ),
        (r#"args.a.matches(r"^\d+$")"#, r#"args.a.matches("^\\d+$")"#),
        (
            r#"args.a == "\n\x41\u00e9\101\U0001F600""#,
            "args.a == \"\\nAéA😀\"",
        ),
        ("args.a // why\n && args.b", "args.a && args.b"),
        ("schedule.office", "schedule.office"),
        (
            "!(schedule[ 'office-hours' ])",
            "!schedule[\"office-hours\"]",
        ),
        ("true", "true"),
        (
            "principal.team != scope.team",
            "principal.team != scope.team",
        ),
    ] {
        if printed.is_empty() {
            assert!(parse(text).is_err());
            continue;
        }
        let expr = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(expr.to_string(), printed);
        let again = parse(printed).unwrap();
        assert_eq!(unplaced(&again), unplaced(&expr));
    }
}

#[test]
fn spans_are_exact() {
    let text = "has(args.b) && !(args.b[\"c-d\"] == \"x\")";
    let expr = parse(text).unwrap();
    assert_eq!(expr.span, Span::new(0, text.len()));
    let crate::condition::expr::ExprKind::And(parts) = expr.kind else {
        panic!("no And");
    };
    let of = |span: Span| text.get(span.start..span.end).unwrap();
    assert_eq!(of(parts[0].span), "has(args.b)");
    assert_eq!(of(parts[1].span), "!(args.b[\"c-d\"] == \"x\")");
    let crate::condition::expr::ExprKind::Not(inner) = &parts[1].kind else {
        panic!("no Not");
    };
    assert_eq!(of(inner.span), "args.b[\"c-d\"] == \"x\"");
    let crate::condition::expr::ExprKind::Compare(
        crate::condition::expr::Operand::Path(path),
        _,
        crate::condition::expr::Operand::Literal(literal),
    ) = &inner.kind
    else {
        panic!("no comparison");
    };
    assert_eq!(of(path.span), "args.b[\"c-d\"]");
    assert_eq!(of(path.members[0].span), "b");
    assert_eq!(of(path.members[1].span), "\"c-d\"");
    assert_eq!(of(literal.span), "\"x\"");
}

#[test]
fn syntax_problems_have_places_and_help() {
    use ProblemKind::Syntax;
    refuses("", Syntax, "", None, "expected an attribute");
    refuses("args.a ==", Syntax, "", None, "expected an attribute");
    refuses("args.a = 1", Syntax, "=", Some("=="), "==");
    refuses("args.a & args.b", Syntax, "&", Some("&&"), "&&");
    refuses("args.a | args.b", Syntax, "|", Some("||"), "||");
    refuses("args.a and args.b", Syntax, "and", Some("&&"), "&&");
    refuses("args.a OR args.b", Syntax, "OR", Some("||"), "||");
    refuses("not args.a", Syntax, "not", Some("!"), "!");
    refuses("(args.a", Syntax, "", None, "expected `)`");
    refuses("args.a)", Syntax, ")", None, "an operator");
    refuses("args.", Syntax, "", None, "a name");
    refuses("args.5", Syntax, "5", None, "a name");
    refuses("args.a == \"x", Syntax, "\"x", None, "end it with \"");
    refuses("args.a == “x\"", Syntax, "“", Some("\""), "plain quotes");
    refuses("args.a == #", Syntax, "#", None, "operators of CEL");
    refuses("in args", Syntax, "in", None, "before `in`");
    refuses("has()", Syntax, "has()", None, "has(args.x)");
    refuses(
        "startsWith(args.a, \"x\")",
        Syntax,
        "startsWith(args.a, \"x\")",
        None,
        "args.x.starts",
    );
    refuses(
        "args.l.all(e)",
        Syntax,
        "args.l.all(e)",
        None,
        "args.list.all(e,",
    );
    refuses(
        "args.l.all(args, true)",
        Syntax,
        "args",
        None,
        "args.list.all(e,",
    );
    refuses(
        "size(args.a, args.b) > 1",
        Syntax,
        "size(args.a, args.b)",
        None,
        "size(args.x)",
    );
    refuses("args.a == .5", Syntax, ".", None, "an attribute, a literal");
}

#[test]
fn a_schedule_is_a_condition_by_itself_and_no_value() {
    use ProblemKind::Type;
    for text in [
        "schedule",
        "schedule.office == true",
        "has(schedule.office)",
        "\"office\" in schedule",
        "schedule.office.open",
        "schedule.office in [true]",
    ] {
        refuses(text, Type, "schedule", None, "write `schedule.NAME`");
    }
    let named = "args.l.all(schedule, schedule.x == 1)";
    refuses(
        named,
        ProblemKind::Syntax,
        "schedule",
        None,
        "args.list.all(e,",
    );
    refuses(
        "args.l.all(e, schedules.x)",
        ProblemKind::UnknownAttribute,
        "schedules",
        None,
        "named `schedule.NAME`",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_lies_outside_the_subset_is_told_what_to_write() {
    use ProblemKind::Unsupported;
    refuses("args.a + 1 > 2", Unsupported, "args.a + 1", None, "by hand");
    refuses(
        "args.a == \"x\" + args.b",
        Unsupported,
        "\"x\" + args.b",
        None,
        "by hand",
    );
    refuses(
        "args.a ? args.b : args.c",
        Unsupported,
        "args.a ? args.b : args.c",
        None,
        "(a && b)",
    );
    refuses(
        "{\"a\": 1} == args.a",
        Unsupported,
        "{",
        None,
        "each attribute",
    );
    refuses("args.a == null", Unsupported, "null", None, "has(args.x)");
    refuses(
        "-args.a < 1",
        Unsupported,
        "-args.a",
        None,
        "negative number",
    );
    refuses("1 < args.a < 3", Unsupported, "<", None, "joined with `&&`");
    refuses(
        "args.l.map(e, e) == 1",
        Unsupported,
        "map",
        None,
        "`all` or `exists`",
    );
    refuses(
        "args.l.filter(e, true)",
        Unsupported,
        "filter",
        None,
        "`all` or `exists`",
    );
    refuses(
        "args.l.exists_one(e, true)",
        Unsupported,
        "exists_one",
        None,
        "`all` or `exists`",
    );
    refuses(
        "args.a.startswith(\"x\")",
        Unsupported,
        "startswith",
        Some("startsWith"),
        "startsWith",
    );
    refuses(
        "args.a.starts_with(\"x\")",
        Unsupported,
        "starts_with",
        Some("startsWith"),
        "startsWith",
    );
    refuses(
        "args.a.lowerAscii() == \"x\"",
        Unsupported,
        "lowerAscii",
        None,
        "fold: ascii-lower",
    );
    refuses(
        "int(args.a) == 1",
        Unsupported,
        "int",
        None,
        "tool's schema",
    );
    refuses(
        "args.l[0] == \"x\"",
        Unsupported,
        "0",
        None,
        "`all` or `exists`",
    );
    refuses(
        "has(args[\"a-b\"])",
        Unsupported,
        "args[\"a-b\"]",
        Some("\"a-b\" in args"),
        "\"a-b\" in args",
    );
    refuses(
        "args.a in args.b",
        Unsupported,
        "args.a in args.b",
        None,
        "written out",
    );
    refuses("args.a == b\"x\"", Unsupported, "b", None, "write the text");
    refuses(
        "args.a == \"\"\"x\"\"\"",
        Unsupported,
        "\"\"\"",
        None,
        "one pair",
    );
    refuses(
        "args.a.startsWith(args.b)",
        Unsupported,
        "args.a.startsWith(args.b)",
        None,
        "args.x.starts",
    );
    refuses(
        "size(args.a) == args.b",
        Unsupported,
        "size(args.a) == args.b",
        None,
        "with a number",
    );
    refuses(
        "has(args.a) == true",
        Unsupported,
        "has(args.a)",
        None,
        "stands by itself",
    );
    refuses(
        "args.a.all(e, args.b.exists(f, f == 1))",
        Unsupported,
        "args.b.exists(f, f == 1)",
        None,
        "one list at a time",
    );
    let variable = problems("user.name == \"x\"");
    assert_eq!(variable[0].0, ProblemKind::UnknownAttribute);
    assert_eq!(variable[0].1, "user");
    assert!(variable[0].3.contains("`principal`"));
}

#[test]
fn literals_are_exact_or_refused() {
    use ProblemKind::{Literal, Type};
    refuses(
        "args.a == 9007199254740992",
        Literal,
        "9007199254740992",
        None,
        "9007199254740991",
    );
    refuses("args.a == 007", Literal, "007", None, "no leading zeros");
    refuses(
        "args.a == -0.0000000001",
        Literal,
        "-0.0000000001",
        None,
        "9 digits",
    );
    refuses(
        "args.a == 5u",
        Literal,
        "5u",
        Some("5"),
        "one type of number",
    );
    refuses("args.a == 0x10", Literal, "0x10", None, "decimal number");
    refuses("args.a == \"\\d\"", Literal, "\\d", None, "backslash");
    refuses("args.a == \"\\ud800\"", Literal, "\\ud800", None, "\\uHHHH");
    for time in ["2026-12-01", "2026-12-01T10:00:00.5Z", "soon"] {
        let text = format!("request.time < timestamp(\"{time}\")");
        refuses(&text, Literal, &format!("\"{time}\""), None, "RFC 3339");
    }
    for (block, fix) in [
        ("10.0.0.1/8", Some("\"10.0.0.0/8\"")),
        ("2001:db8::1/32", Some("\"2001:db8::/32\"")),
        ("10.0.0.0", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/08", None),
        ("10.0.0.0/+8", None),
        ("::/0", None),
        ("::ffff:10.0.0.0/104", None),
    ] {
        let text = format!("cidr(\"{block}\").containsIP(request.ip)");
        refuses(&text, Literal, &format!("\"{block}\""), fix, "");
    }
    refuses("1 == 1", Type, "1 == 1", None, "an attribute");
    refuses("\"x\"", Type, "\"x\"", None, "args.x ==");
    refuses("args.a in []", Type, "[]", None, "`false`");
    refuses("has(args)", Type, "args", None, "has(args.x)");
    refuses("args.l.all(e, has(e))", Type, "e", None, "has(args.x)");
}

#[test]
fn patterns_are_anchored() {
    let text = "args.a.matches(\"acme/.*\")";
    refuses(
        text,
        ProblemKind::Unanchored,
        "\"acme/.*\"",
        Some("\"^acme/.*$\""),
        "whole text",
    );
    let text = "args.a.matches(\"^(\")";
    refuses(text, ProblemKind::Pattern, "\"^(\"", None, "RE2");
}

#[test]
fn every_problem_is_told_in_order() {
    let found = problems("args.a + 1 == 2 && args.b == null || user.x");
    let at: Vec<&str> = found.iter().map(|problem| problem.1.as_str()).collect();
    assert_eq!(at, ["args.a + 1", "null", "user"]);
}

#[test]
fn size_is_bounded() {
    let long = format!("args.a == \"{}\"", "x".repeat(MAX_LENGTH));
    assert_eq!(parse(&long).unwrap_err()[0].kind, ProblemKind::TooLarge);
    for (open, close) in [("(", ")"), ("!", ""), ("[", "]"), ("has(", ")"), ("-", "")] {
        let deep = |depth: usize| format!("{}args.a{}", open.repeat(depth), close.repeat(depth));
        let found = parse(&deep(MAX_DEPTH + 1)).unwrap_err();
        assert!(
            found
                .iter()
                .any(|problem| problem.kind == ProblemKind::TooLarge),
            "{open}"
        );
        let at_most = parse(&deep(MAX_DEPTH));
        let too_large = |problems: Vec<Problem>| {
            problems
                .iter()
                .any(|problem| problem.kind == ProblemKind::TooLarge)
        };
        assert!(!at_most.is_err_and(too_large), "{open}");
    }
    let path = format!("args{}", ".a".repeat(2000));
    assert_eq!(parse(&path).unwrap_err()[0].kind, ProblemKind::TooLarge);
    let chain = vec!["args.a"; 400].join(" && ");
    assert!(parse(&chain).is_ok());
}

mod random {
    use proptest::prelude::*;

    use super::parse;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_run_of_words_makes_it_panic(words in words()) {
            let text = words.join(" ");
            if let Ok(expr) = parse(&text) {
                let printed = expr.to_string();
                let again = parse(&printed);
                prop_assert!(again.is_ok(), "{printed}: {again:?}");
                prop_assert_eq!(super::unplaced(&again.unwrap()), super::unplaced(&expr));
            }
        }
    }

    fn words() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(WORDS), 0..24)
    }

    const WORDS: &[&str] = &[
        "args",
        ".",
        "a",
        "(",
        ")",
        "[",
        "]",
        "\"x\"",
        "1",
        "-",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "in",
        "has",
        "size",
        ",",
        "all",
        "e",
        "true",
        "matches",
        "'^a$'",
        "?",
        ":",
        "{",
        "+",
        "request",
        "cidr",
        "containsIP",
        "timestamp",
        "principal.name",
        "args.b",
    ];
}
