use super::*;
use crate::{condition::Network, time::Time};

fn attribute(path: &[&str]) -> Attribute {
    let segment = |name: &&str| match *name {
        "*" => Segment::Each,
        name => Segment::Field(name.to_owned()),
    };
    Attribute {
        root: Root::Args,
        path: path.iter().map(segment).collect(),
    }
}

fn literal(test: Test) -> Formula {
    Formula::Literal {
        test,
        negated: false,
    }
}

fn present(id: u32) -> Formula {
    literal(Test::Present(AttributeId(id)))
}

fn ids(ids: &[u32]) -> Vec<FormulaId> {
    ids.iter().copied().map(FormulaId).collect()
}

/// Attributes `a`, `b`, the list `l`, its elements and their `x`.
fn attributes() -> Vec<Attribute> {
    vec![
        attribute(&["a"]),
        attribute(&["b"]),
        attribute(&["l"]),
        attribute(&["l", "*"]),
        attribute(&["l", "*", "x"]),
    ]
}

/// Formulas that read them all: 0 to 3 are literals on `a`, `b`, the element and its `x`; 4 is an
/// All of both element literals, 5 its quantifier.
fn formulas() -> Vec<Formula> {
    vec![
        present(0),
        present(1),
        present(3),
        present(4),
        Formula::All(ids(&[2, 3])),
        Formula::Every(AttributeId(2), FormulaId(4)),
    ]
}

#[test]
fn the_canonical_form_is_accepted() {
    assert_eq!(is_canonical(&attributes(), &formulas()), Ok(()));
    assert_eq!(is_canonical(&[], &[]), Ok(()));
    assert_eq!(is_canonical(&[], &[Formula::Constant(true)]), Ok(()));
    let roots: Vec<bool> = (0..7)
        .map(|id| is_condition(&attributes(), &formulas(), FormulaId(id)))
        .collect();
    assert_eq!(roots, [true, true, false, false, false, true, false]);
}

#[test]
fn formulas_in_any_other_form_are_refused() {
    let a = AttributeId(0);
    let number = |number| Value::Number(crate::decimal::Decimal::from_integer(number).unwrap());
    let name = |name: &str| Value::Text(name.to_owned());
    let compare = |comparison, value| literal(Test::Compare(a, comparison, value));
    for (formula, what) in [
        (Formula::All(ids(&[0])), "parts"),
        (Formula::All(ids(&[])), "parts"),
        (Formula::Any(ids(&[1, 0])), "parts"),
        (Formula::Any(ids(&[0, 0])), "parts"),
        (Formula::Any(ids(&[0, 6])), "before"),
        (Formula::Any(ids(&[0, 99])), "before"),
        (Formula::Any(ids(&[0, 2])), "mixes"),
        (Formula::All(ids(&[3, 4])), "All within"),
        (
            Formula::Every(AttributeId(2), FormulaId(0)),
            "something else",
        ),
        (
            Formula::Every(AttributeId(0), FormulaId(2)),
            "something else",
        ),
        (
            Formula::Some(AttributeId(3), FormulaId(2)),
            "something else",
        ),
        (
            Formula::Some(AttributeId(2), FormulaId(5)),
            "something else",
        ),
        (Formula::Some(AttributeId(9), FormulaId(2)), "out of range"),
        (present(9), "out of range"),
        (literal(Test::In(a, vec![number(1)])), "list of values"),
        (
            literal(Test::In(a, vec![number(2), number(1)])),
            "list of values",
        ),
        (
            literal(Test::In(a, vec![number(1), name("x")])),
            "list of values",
        ),
        (
            literal(Test::In(a, vec![Value::Bool(false), Value::Bool(true)])),
            "booleans",
        ),
        (compare(Comparison::Equal, Value::Bool(true)), "boolean"),
        (compare(Comparison::Less, name("x")), "not ordered"),
        (literal(Test::Same(AttributeId(1), a)), "not in order"),
        (literal(Test::Same(a, a)), "not in order"),
        (literal(Test::Same(a, AttributeId(3))), "another attribute"),
        (
            literal(Test::Network(a, Network { first: 2, last: 1 })),
            "empty address block",
        ),
        (
            Formula::Literal {
                test: Test::Size(a, Comparison::Less, 1),
                negated: true,
            },
            "negated ordering",
        ),
    ] {
        let mut formulas = formulas();
        formulas.push(formula.clone());
        let error = is_canonical(&attributes(), &formulas).expect_err(what);
        assert!(error.contains(what), "{formula:?}: {error}");
    }
}

#[test]
fn attributes_in_any_other_form_are_refused() {
    for (change, what) in [
        (attribute(&[]), "malformed"),
        (attribute(&["*"]), "malformed"),
        (attribute(&["z", "*", "*"]), "malformed"),
        (attribute(&["z"]), "no formula reads"),
        (attribute(&["a"]), "sorted"),
    ] {
        let mut attributes = attributes();
        attributes.push(change.clone());
        if what == "malformed" {
            attributes.sort_unstable();
        }
        let error = is_canonical(&attributes, &formulas()).expect_err(what);
        assert!(error.contains(what), "{change:?}: {error}");
    }
    for (root, name) in [
        (Root::Principal, "age"),
        (Root::Request, "tags"),
        (Root::Scope, "name"),
    ] {
        let path = vec![Segment::Field(name.to_owned())];
        let error = is_canonical(&[Attribute { root, path }], &[present(0)]).unwrap_err();
        assert!(error.contains("no call has"));
    }
}

#[test]
fn a_schedule_is_asked_of_the_time_and_in_one_form() {
    let of = |root, name: &str| Attribute {
        root,
        path: vec![Segment::Field(name.to_owned())],
    };
    let schedule = |expires| Schedule {
        name: "office".to_owned(),
        not_before: Time(0),
        expires: Time(expires),
        windows: Vec::new(),
    };
    let asked = |attribute: Attribute, expires| {
        let test = Test::During(AttributeId(0), schedule(expires));
        is_canonical(&[attribute], &[literal(test)])
    };
    assert_eq!(asked(of(Root::Request, "time"), 1), Ok(()));
    for (attribute, expires, what) in [
        (of(Root::Request, "ip"), 1, "than the time"),
        (of(Root::Args, "time"), 1, "than the time"),
        (of(Root::Request, "time"), 0, "one form"),
    ] {
        let error = asked(attribute, expires).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let tests = [1, 2].map(|end| literal(Test::During(AttributeId(0), schedule(end))));
    let error = is_canonical(&[of(Root::Request, "time")], &tests).unwrap_err();
    assert!(error.contains("of one name"), "{error}");
}

#[test]
fn elements_need_their_list_and_height_is_bounded() {
    let alone = [attribute(&["l", "*"])];
    assert!(
        is_canonical(&alone, &[present(0)])
            .unwrap_err()
            .contains("of a list that is not")
    );
    let mut formulas = vec![present(0), present(1)];
    for at in 0..100 {
        let parts = ids(&[0, at + 1]);
        formulas.push(if at % 2 == 0 {
            Formula::All(parts)
        } else {
            Formula::Any(parts)
        });
    }
    let error = is_canonical(&attributes()[..2], &formulas).unwrap_err();
    assert!(error.contains("too deeply"), "{error}");
}
