use super::*;
use crate::{
    condition::{Schedule, parse, shape::Schedules},
    time::Time,
};

fn environment() -> Environment {
    let file = Shape::object([
        ("path", Shape::required(Kind::Text)),
        ("size", Shape::optional(Kind::Number)),
    ]);
    let currency = Shape {
        values: vec!["EUR".to_owned(), "USD".to_owned()],
        ..Shape::required(Kind::Text)
    };
    let inner = Shape::object([
        ("id", Shape::required(Kind::Number)),
        ("note", Shape::optional(Kind::Text)),
    ]);
    let office = Schedule {
        name: "office".to_owned(),
        not_before: Time(0),
        expires: Time(9),
        windows: vec![(Time(1), Time(2))],
    };
    let environment = Environment::new(Some(
        Shape::object([
            ("owner", Shape::required(Kind::Text)),
            ("env", Shape::optional(Kind::Text)),
            ("amount", Shape::required(Kind::Number)),
            ("limit", Shape::optional(Kind::Number)),
            ("force", Shape::optional(Kind::Bool)),
            ("dry-run", Shape::optional(Kind::Bool)),
            ("currency", currency),
            ("files", Shape::list(file)),
            (
                "labels",
                Shape {
                    required: false,
                    ..Shape::list(Shape::required(Kind::Text))
                },
            ),
            ("any", Shape::required(Kind::Any)),
            ("anys", Shape::list(Shape::required(Kind::Any))),
            (
                "body",
                Shape {
                    required: false,
                    ..inner
                },
            ),
        ])
        .into(),
    ));
    environment.with_schedules(Schedules::from([("office".to_owned(), office)]).into())
}

fn checked(text: &str) -> Result<Typed, Vec<Problem>> {
    let expr = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    check(&expr, &environment())
}

#[track_caller]
fn refuses(text: &str, kind: ProblemKind, at: &str, message: &str) {
    let found = checked(text).expect_err(text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    assert_eq!(found[0].kind, kind, "{text}: {found:?}");
    assert_eq!(
        text.get(found[0].span.start..found[0].span.end),
        Some(at),
        "{text}"
    );
    assert!(
        found[0].message.contains(message),
        "{text}: {}",
        found[0].message
    );
    assert!(!found[0].help.is_empty(), "{text}");
}

#[test]
fn well_typed_conditions_pass() {
    for text in [
        "args.owner == \"acme\" && \"acme\" != args.owner",
        "args.amount <= 100 && 5 < args.amount && args.amount in [1, 2.5]",
        "has(args.env) && args.env.matches(\"^prod-.*$\")",
        "!has(args.env) || !(args.env == \"prod\")",
        "!(!has(args.env) || args.env == \"prod\")",
        "\"dry-run\" in args && args[\"dry-run\"] == false",
        "!(\"dry-run\" in args) || args[\"dry-run\"]",
        "(has(args.env) && args.amount > 1) && args.env == \"x\"",
        "has(args.env) && (args.amount > 1 || args.env == \"x\")",
        "has(args.body.note) && args.body.id == 1 && args.body.note == \"x\"",
        "has(args.body) && args.body.id == 1",
        "has(args.labels) && \"x\" in args.labels && size(args.labels) < 3",
        "\"note\" in args.body && args.body.note == \"x\"",
        "(has(args.env) || has(args.force)) && true",
        "(has(args.env) && args.amount == 1 || has(args.env)) && args.env == \"x\"",
        "args.files.all(f, f.path.startsWith(\"docs/\") && (!has(f.size) || f.size < 10))",
        "args.files.exists(f, \"size\" in f && f.size == 1)",
        "has(args.labels) && args.labels.all(l, l in [\"a\", \"b\"])",
        "has(args.any) && size(args.anys) == 0",
        "\"on-call\" in principal.groups && !(\"ci\" in subject.tags)",
        "has(principal.team) && has(scope.team) && principal.team == scope.team",
        "has(principal.type) && principal.type == \"agent\"",
        "request.time < timestamp(\"2026-12-01T10:00:00Z\")",
        "has(request.ip) && cidr(\"10.0.0.0/8\").containsIP(request.ip)",
        "args.currency != \"EUR\"",
    ] {
        if let Err(problems) = checked(text) {
            panic!("{text}: {problems:?}");
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn presence_must_dominate() {
    for (text, fixed) in [
        (
            "args.env == \"prod\"",
            "has(args.env) && args.env == \"prod\"",
        ),
        (
            "!(args.env == \"prod\")",
            "has(args.env) && !(args.env == \"prod\")",
        ),
        ("!args.force", "has(args.force) && !args.force"),
        (
            "args.amount > 1 || !(args.amount == 1 && args.limit < 5)",
            "args.amount > 1 || has(args.limit) && !(args.amount == 1 && args.limit < 5)",
        ),
        (
            "args[\"dry-run\"]",
            "\"dry-run\" in args && args[\"dry-run\"]",
        ),
        (
            "\"x\" in args.labels",
            "has(args.labels) && \"x\" in args.labels",
        ),
        (
            "args.labels.all(l, l == \"x\")",
            "has(args.labels) && args.labels.all(l, l == \"x\")",
        ),
        (
            "args.body.note == \"x\"",
            "has(args.body.note) && args.body.note == \"x\"",
        ),
        (
            "args.body.id == 1",
            "has(args.body.id) && args.body.id == 1",
        ),
        (
            "args.env == \"x\" && has(args.env)",
            "has(args.env) && args.env == \"x\" && has(args.env)",
        ),
        (
            "has(args.env) || args.env == \"x\"",
            "has(args.env) || has(args.env) && args.env == \"x\"",
        ),
        (
            "!has(args.env) && args.env == \"x\"",
            "!has(args.env) && has(args.env) && args.env == \"x\"",
        ),
        (
            "args.files.all(f, f.size < 3)",
            "args.files.all(f, has(f.size) && f.size < 3)",
        ),
        (
            "args.files.all(f, !(f.size < 3))",
            "args.files.all(f, has(f.size) && !(f.size < 3))",
        ),
        ("size(args.env) < 3", "has(args.env) && size(args.env) < 3"),
        (
            "principal.team == args.owner",
            "has(principal.team) && principal.team == args.owner",
        ),
        (
            "cidr(\"10.0.0.0/8\").containsIP(request.ip)",
            "has(request.ip) && cidr(\"10.0.0.0/8\").containsIP(request.ip)",
        ),
        (
            "(has(args.env) || args.amount > 1) && args.env == \"x\"",
            "(has(args.env) || args.amount > 1) && has(args.env) && args.env == \"x\"",
        ),
    ] {
        let found = checked(text).expect_err(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].kind, ProblemKind::MayBeAbsent, "{text}");
        let (span, insert) = found[0].fix.clone().unwrap();
        let mut edited = text.to_owned();
        edited.replace_range(span.start..span.end, &insert);
        assert_eq!(edited, fixed);
        assert!(checked(&edited).is_ok(), "{edited}: {:?}", checked(&edited));
    }
    // Beneath a negated quantifier, a prefix would make the whole true.
    let found = checked("!args.files.all(f, f.size < 3)").unwrap_err();
    assert_eq!(found[0].fix, None);
    assert!(
        found[0].help.contains("!has(f.size) ||"),
        "{}",
        found[0].help
    );
    // Two reads of one attribute are two places.
    let found = checked("args.env == \"a\" || args.env == \"b\"").unwrap_err();
    assert_eq!(found.len(), 2);
}

#[test]
fn misspelt_attributes_are_told_what_there_is() {
    for (text, at, known) in [
        ("args.ownr == \"x\"", "ownr", "owner"),
        ("has(args.enw)", "enw", "env"),
        ("\"dryrun\" in args", "\"dryrun\"", "dry-run"),
        ("principal.teem == \"x\"", "teem", "team"),
        ("request.ipp == \"x\"", "ipp", "ip"),
        ("scope.name == \"x\"", "name", "team"),
        ("args.files.all(f, f.paht == \"x\")", "paht", "path"),
        ("has(args.body) && args.body.idd == 1", "idd", "id"),
    ] {
        refuses(text, ProblemKind::UnknownAttribute, at, "has no");
        let found = checked(text).unwrap_err();
        assert!(
            found[0].known.iter().any(|name| name == known),
            "{text}: {found:?}"
        );
    }
    refuses(
        "schedule.ofice",
        ProblemKind::UnknownSchedule,
        "ofice",
        "no schedule",
    );
    refuses(
        "!schedule[\"on-cal\"]",
        ProblemKind::UnknownSchedule,
        "\"on-cal\"",
        "no schedule",
    );
    assert_eq!(checked("schedule.ofice").unwrap_err()[0].known, ["office"]);
    let expr = parse("args.x == 1").unwrap();
    let found = check(&expr, &Environment::new(None)).unwrap_err();
    assert_eq!(found[0].kind, ProblemKind::UnknownAttribute);
    assert!(found[0].message.contains("no schema"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn tests_must_fit_types() {
    use ProblemKind::{Impossible, OutsideElement, Type, Untyped};
    refuses(
        "args.amount == \"1\"",
        Type,
        "\"1\"",
        "is a number, and this is a text",
    );
    refuses(
        "args.owner == 1",
        Type,
        "1",
        "is a text, and this is a number",
    );
    refuses(
        "args.owner < \"x\"",
        Type,
        "args.owner < \"x\"",
        "only numbers and times",
    );
    refuses("args.owner", Type, "args.owner", "only a boolean");
    refuses(
        "args.amount.startsWith(\"1\")",
        Type,
        "args.amount",
        "asked of a text",
    );
    refuses("\"x\" in args.owner", Type, "args.owner", "takes a list");
    refuses("1 in principal.groups", Type, "1", "are texts");
    refuses(
        "has(principal.tags)",
        Type,
        "principal.tags",
        "always there",
    );
    refuses(
        "size(principal.tags) > 1",
        Type,
        "principal.tags",
        "takes a text or a list",
    );
    refuses(
        "principal.tags.exists(t, t == \"x\")",
        Type,
        "principal.tags",
        "asked of a list",
    );
    refuses(
        "principal.tags == \"x\"",
        Type,
        "principal.tags",
        "a set of names",
    );
    refuses("args.files == \"x\"", Type, "args.files", "is a list");
    refuses(
        "args.files.path == \"x\"",
        Type,
        "path",
        "is a list and has no member",
    );
    refuses(
        "args.owner.x == 1",
        Type,
        "x",
        "is a text and has no member",
    );
    refuses(
        "args.owner.all(e, true)",
        Type,
        "args.owner",
        "asked of a list",
    );
    refuses(
        "size(args.amount) > 1",
        Type,
        "args.amount",
        "takes a text or a list",
    );
    refuses("size(args.owner) > 1.5", Type, "1.5", "whole number");
    refuses("size(args.owner) > -1", Type, "-1", "whole number");
    refuses(
        "args.owner == args.amount",
        Type,
        "args.amount",
        "only two texts",
    );
    refuses(
        "args.owner < args.currency",
        Type,
        "args.owner < args.currency",
        "put in order",
    );
    refuses(
        "args.owner == args.owner",
        Type,
        "args.owner == args.owner",
        "with itself",
    );
    refuses("args.owner in [\"x\", 1]", Type, "1", "this is a number");
    refuses(
        "has(args.force) && args.force in [true]",
        Type,
        "args.force",
        "takes a text",
    );
    refuses(
        "request.time == \"2026-12-01T10:00:00Z\"",
        Type,
        "\"2026-12-01T10:00:00Z\"",
        "is a time",
    );
    refuses(
        "cidr(\"10.0.0.0/8\").containsIP(args.owner)",
        Type,
        "args.owner",
        "takes an address",
    );
    refuses(
        "has(request.ip) && request.ip == \"10.0.0.1\"",
        Type,
        "request.ip",
        "an address",
    );
    refuses("args == 1", Type, "args", "is an object");
    refuses("args.any == 1", Untyped, "args.any", "no single type");
    refuses("args.any.x == 1", Untyped, "x", "no single type");
    refuses("1 in args.anys", Untyped, "args.anys", "the elements of");
    refuses("args.currency == \"GBP\"", Impossible, "\"GBP\"", "never");
    refuses(
        "args.currency in [\"EUR\", \"eur\"]",
        Impossible,
        "\"eur\"",
        "never",
    );
    refuses(
        "has(principal.type) && principal.type == \"bot\"",
        Impossible,
        "\"bot\"",
        "never",
    );
    refuses(
        "args.files.all(f, args.amount > 1)",
        OutsideElement,
        "args.amount",
        "no part of the elements of `args.files`",
    );
    refuses(
        "args.files.all(f, schedule.office)",
        OutsideElement,
        "schedule.office",
        "no part of the elements of `args.files`",
    );
    refuses(
        "args.files.all(f, f.path == args.owner)",
        OutsideElement,
        "f.path == args.owner",
        "of an element",
    );
    refuses(
        "args.files.all(f, f.path == f.path)",
        OutsideElement,
        "f.path == f.path",
        "",
    );
}

#[test]
fn literals_of_another_type_are_fixed_where_that_is_plain() {
    for (text, fix) in [
        ("args.amount == \"100\"", "100"),
        ("args.owner == 100", "\"100\""),
        ("has(args.force) && args.force == \"true\"", "true"),
        (
            "request.time < \"2026-12-01T10:00:00Z\"",
            "timestamp(\"2026-12-01T10:00:00Z\")",
        ),
    ] {
        let found = checked(text).expect_err(text);
        assert_eq!(
            found[0].fix.as_ref().map(|fix| fix.1.as_str()),
            Some(fix),
            "{text}"
        );
    }
    assert_eq!(checked("args.amount == \"x\"").unwrap_err()[0].fix, None);
}

#[test]
fn all_surfaces_must_agree() {
    let one = |kind| Environment::new(Some(Shape::object([("x", Shape::required(kind))]).into()));
    let list = Environment::new(Some(
        Shape::object([("x", Shape::list(Shape::required(Kind::Text)))]).into(),
    ));
    let object = Environment::new(Some(
        Shape::object([("x", Shape::object([("y", Shape::optional(Kind::Text))]))]).into(),
    ));
    let expr = parse("args.x == 1").unwrap();
    let same = [one(Kind::Number), one(Kind::Number)];
    assert!(check_everywhere(&expr, &same).is_ok());
    let found = check_everywhere(&expr, &[one(Kind::Number), one(Kind::Text)]).unwrap_err();
    assert_eq!((found[0].0, found[0].1.kind), (1, ProblemKind::Type));
    let expr = parse("\"y\" in args.x").unwrap();
    let found = check_everywhere(&expr, &[list, object]).unwrap_err();
    assert_eq!((found[0].0, found[0].1.kind), (1, ProblemKind::Ambiguous));
    assert!(check_everywhere(&expr, &[]).is_err());
}

#[test]
fn every_problem_is_told() {
    let found = checked("args.ownr == \"x\" && args.amount == \"y\" || args.env == \"z\"");
    let kinds: Vec<ProblemKind> = found.unwrap_err().iter().map(|found| found.kind).collect();
    assert_eq!(
        kinds,
        [
            ProblemKind::UnknownAttribute,
            ProblemKind::Type,
            ProblemKind::MayBeAbsent
        ]
    );
}
