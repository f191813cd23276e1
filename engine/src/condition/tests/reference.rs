//! `docs/reference/conditions.md`: each of its examples does what the page says.

use super::{super::*, Scene, naive::Data};
use crate::decision::NoTrace;

const PAGE: &str = include_str!("../../../../docs/reference/conditions.md");

/// The lines of the code blocks of a language, each with the heading that it stands under.
fn examples(language: &str) -> Vec<(&'static str, &'static str)> {
    let (mut examples, mut heading, mut inside, mut before) = (Vec::new(), "", false, "");
    for line in PAGE.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside && fence == language;
        } else if inside {
            examples.push((before, line));
        } else if line.starts_with('#') {
            heading = line;
            before = line;
        } else if line.starts_with("These ") {
            before = line;
        }
    }
    assert!(!heading.is_empty());
    examples
}

fn environment() -> Environment {
    let text = || Shape::required(Kind::Text);
    let file = Shape::object([("path", text()), ("size", Shape::optional(Kind::Number))]);
    let labels = Shape {
        required: false,
        ..Shape::list(text())
    };
    let options = Shape {
        required: false,
        ..Shape::object([("mode", text()), ("note", Shape::optional(Kind::Text))])
    };
    let env = Shape {
        values: vec!["dev".to_owned(), "prod".to_owned()],
        ..Shape::optional(Kind::Text)
    };
    let environment = Environment::new(Some(
        Shape::object([
            ("repo", text()),
            ("branch", text()),
            ("amount", Shape::required(Kind::Number)),
            ("files", Shape::list(file)),
            ("env", env),
            ("labels", labels),
            ("dry-run", Shape::optional(Kind::Bool)),
            ("limit", Shape::optional(Kind::Number)),
            ("options", options),
        ])
        .into(),
    ));
    environment.with_schedules(schedules().into())
}

/// The windows of the page's schedules on the day of its call.
fn schedules() -> shape::Schedules {
    let time = |text: &str| Time::parse(text).unwrap();
    let schedule = |name: &str, windows: &[(&str, &str)]| {
        let windows = windows.iter().map(|(from, to)| (time(from), time(to)));
        let schedule = Schedule {
            name: name.to_owned(),
            not_before: time("2026-01-01"),
            expires: time("2028-01-01"),
            windows: windows.collect(),
        };
        (name.to_owned(), schedule)
    };
    let office = [("2026-12-01T08:00:00Z", "2026-12-01T16:30:00Z")];
    let nights = [
        ("2026-11-30T21:00:00Z", "2026-12-01T05:00:00Z"),
        ("2026-12-01T21:00:00Z", "2026-12-02T05:00:00Z"),
    ];
    [
        schedule("office-hours", &office),
        schedule("nights", &nights),
    ]
    .into()
}

fn object<const N: usize>(members: [(&str, Data); N]) -> Data {
    Data::Object(members.map(|(name, data)| (name.to_owned(), data)).into())
}

fn text(text: &str) -> Data {
    Data::Text(text.to_owned())
}

fn number(number: i64) -> Data {
    Data::Number(Decimal::from_integer(number).unwrap())
}

/// The call of the page.
fn call() -> Data {
    let file = object([("path", text("docs/a.md")), ("size", number(10))]);
    let other = object([("path", text("docs/b.md"))]);
    let args = object([
        ("repo", text("ledger")),
        ("branch", text("release/2")),
        ("amount", number(100)),
        ("files", Data::List(vec![file, other])),
        ("labels", Data::List(vec![text("security"), text("ui")])),
        ("dry-run", Data::Bool(true)),
        ("options", object([("mode", text("fast"))])),
    ]);
    let principal = object([
        ("name", text("triage-bot")),
        ("type", text("agent")),
        ("organization", text("acme")),
        ("team", text("payments")),
        ("tags", Data::List(vec![text("ci")])),
        ("groups", Data::List(Vec::new())),
    ]);
    let subject = object([
        ("name", text("alice")),
        ("type", text("human")),
        ("organization", text("acme")),
        ("tags", Data::List(Vec::new())),
        ("groups", Data::List(vec![text("on-call")])),
    ]);
    let scope = object([("organization", text("acme")), ("team", text("payments"))]);
    let request = object([
        (
            "time",
            Data::Time(Time::parse("2026-12-01T10:00:00Z").unwrap()),
        ),
        ("ip", Data::Address("10.1.2.3".parse().unwrap())),
    ]);
    object([
        ("args", args),
        ("principal", principal),
        ("subject", subject),
        ("scope", scope),
        ("request", request),
    ])
}

#[test]
fn conditions_hold_as_the_page_says() {
    let (call, environment) = (call(), environment());
    let examples = examples("cel");
    assert!(examples.len() > 30, "{}", examples.len());
    for (heading, line) in examples {
        let expr = parse(line).unwrap_or_else(|problems| panic!("{line}: {problems:?}"));
        let typed = check(&expr, &environment);
        let typed = typed.unwrap_or_else(|problems| panic!("{line}: {problems:?}"));
        let (lowered, program, formula) = super::program(&typed);
        let scene = Scene::new(&lowered.attributes, &call);
        for defaults in [Defaults::GRANT, Defaults::REFUSE] {
            let holds = program.holds(formula, &scene, defaults, &mut NoTrace);
            assert_eq!(holds, heading != "These do not:", "{line}");
        }
    }
}

#[test]
fn errors_are_what_the_page_says() {
    let environment = environment();
    let examples = examples("cel-errors");
    assert!(examples.len() > 15, "{}", examples.len());
    for (_, line) in examples {
        let (condition, kind) = line.split_once(" // ").unwrap();
        let problems = match parse(condition) {
            Ok(expr) => check(&expr, &environment).expect_err(condition),
            Err(problems) => problems,
        };
        let kinds: Vec<String> = problems
            .iter()
            .map(|problem| format!("{:?}", problem.kind))
            .collect();
        assert_eq!(kinds, [kind.trim()], "{condition}");
    }
}

#[test]
fn the_page_states_the_bounds() {
    let bounds = format!(
        "at most {} bytes long and nested at most {} deep",
        parse::MAX_LENGTH,
        parse::MAX_DEPTH
    );
    assert!(PAGE.contains(&bounds));
}
