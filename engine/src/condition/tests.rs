//! Evaluation against a naive reading of the same conditions, on random worlds.

use std::collections::BTreeMap;

use super::*;
use crate::{
    condition::shape::Schedules,
    decision::{Collect, NoTrace},
    slot::Slot,
};

mod naive;
mod reference;

use naive::{Data, kleene, member};

/// The slots of a world, for the attributes of a program.
struct Scene<'a> {
    attributes: &'a [Attribute],
    slots: Vec<(Slot<'a>, Option<Vec<Slot<'a>>>)>,
}

impl<'a> Scene<'a> {
    fn new(attributes: &'a [Attribute], world: &'a Data) -> Self {
        let slots = attributes
            .iter()
            .map(|attribute| {
                let mut path = attribute.path.split(|segment| *segment == Segment::Each);
                let root = member(world, attribute.root.as_str());
                let found = walk(root, path.next().unwrap());
                let rest = path.next();
                match found {
                    Some(Data::List(items)) => {
                        let item = |item| scalar(walk(Some(item), rest.unwrap_or(&[])));
                        (Slot::Opaque, Some(items.iter().map(item).collect()))
                    }
                    other => (scalar(other), None),
                }
            })
            .collect();
        Self { attributes, slots }
    }
}

fn walk<'a>(from: Option<&'a Data>, path: &[Segment]) -> Option<&'a Data> {
    path.iter().fold(from, |at, segment| match segment {
        Segment::Field(name) => member(at?, name),
        Segment::Each => None,
    })
}

fn scalar(data: Option<&Data>) -> Slot<'_> {
    match data {
        None => Slot::Absent,
        Some(Data::Unknown) => Slot::Unknown,
        Some(Data::Bool(value)) => Slot::Bool(*value),
        Some(Data::Number(value)) => Slot::Number(*value),
        Some(Data::Text(value)) => Slot::Text(value),
        Some(Data::Time(value)) => Slot::Time(*value),
        Some(Data::Address(value)) => Slot::Address(*value),
        Some(Data::Opaque | Data::List(_) | Data::Object(_)) => Slot::Opaque,
    }
}

impl Facts for Scene<'_> {
    fn slot(&self, attribute: AttributeId) -> Slot<'_> {
        match &self.slots[attribute.index()] {
            (_, Some(column)) => Slot::List(column),
            (slot, None) => *slot,
        }
    }

    fn member(&self, attribute: AttributeId, text: &str) -> Option<bool> {
        if self.attributes[attribute.index()].root != Root::Principal {
            return None;
        }
        let column = self.slots[attribute.index()].1.as_ref()?;
        Some(column.contains(&Slot::Text(text)))
    }
}

/// A small generator: the same run everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// Tests, each with what guards it when its attribute may be absent.
const TESTS: &[(&str, &str)] = &[
    ("args.b", "has(args.b)"),
    ("args.b == false", "has(args.b)"),
    ("args[\"a-b\"]", "\"a-b\" in args"),
    ("args.n < 2", ""),
    ("2 <= args.n", ""),
    ("args.n > 1.5", ""),
    ("args.n != 2", ""),
    ("args.n in [2, 1, 2]", ""),
    ("args.n in [1]", ""),
    ("args.u == \"\"", ""),
    ("args.u != \"é\"", ""),
    ("args.u in [\"b\", \"aé\"]", ""),
    ("args.t == \"a\"", "has(args.t)"),
    ("args.t.startsWith(\"a\")", "has(args.t)"),
    ("args.t.endsWith(\"é\")", "has(args.t)"),
    ("args.t.contains(\"b\")", "has(args.t)"),
    ("args.t.matches(\"^a.*$\")", "has(args.t)"),
    ("size(args.t) == 2", "has(args.t)"),
    ("size(args.t) > 1", "has(args.t)"),
    ("args.t == args.u", "has(args.t)"),
    ("args.u != args.t", "has(args.t)"),
    ("size(args.l) >= 1", "has(args.l)"),
    ("\"a\" in args.l", "has(args.l)"),
    ("args.l.exists(e, e == \"a\")", "has(args.l)"),
    (
        "args.l.all(e, e in [\"a\", \"b\"] || !(e == \"aé\"))",
        "has(args.l)",
    ),
    ("args.o.x <= 1", "has(args.o)"),
    ("args.o.y == \"a\"", "has(args.o.y)"),
    ("args.fs.all(e, e.p == \"a\")", ""),
    ("args.fs.exists(e, has(e.k) && e.k < 2)", ""),
    (
        "args.fs.all(e, !has(e.k) || !(e.k < 2 && e.p == \"a\"))",
        "",
    ),
    (
        "args.fs.exists(e, e.k > 1 || e.p.startsWith(\"a\"))",
        "false",
    ),
    ("args.fs.all(e, \"k\" in e)", ""),
    ("args.fs.exists(e, true)", ""),
    ("schedule.ends", ""),
    ("!schedule[\"every-other\"]", ""),
    ("has(args.b)", ""),
    ("has(args.o.y)", ""),
    ("\"y\" in args.o", ""),
    ("\"a-b\" in args", ""),
    ("principal.team == args.u", "has(principal.team)"),
    (
        "principal.team == scope.team",
        "has(principal.team) && has(scope.team)",
    ),
    ("\"g\" in principal.groups", ""),
    ("request.time < timestamp(\"2026-12-01T10:00:00Z\")", ""),
    (
        "cidr(\"10.0.0.0/8\").containsIP(request.ip)",
        "has(request.ip)",
    ),
    ("true", ""),
    ("false", ""),
];

/// A condition, guarded where its attributes may be absent in some percent of cases.
fn condition(random: &mut Random, depth: usize, guarded: usize) -> String {
    if depth == 0 || random.chance(20) {
        let (test, guard) = TESTS[random.below(TESTS.len())];
        return if guard.is_empty() || !random.chance(guarded) {
            test.to_owned()
        } else if random.chance(50) {
            format!("({guard} && {test})")
        } else {
            format!("(!({guard}) || {test})")
        };
    }
    match random.below(5) {
        0 => format!("!({})", condition(random, depth - 1, guarded)),
        1 | 2 => join(random, depth, guarded, " && "),
        _ => join(random, depth, guarded, " || "),
    }
}

fn join(random: &mut Random, depth: usize, guarded: usize, operator: &str) -> String {
    let count = 2 + random.below(2);
    let parts: Vec<String> = (0..count)
        .map(|_| condition(random, depth - 1, guarded))
        .collect();
    format!("({})", parts.join(operator))
}

/// A surface with an argument of every kind. Where `lax`, everything counts as present.
fn environment(lax: bool) -> Environment {
    let optional = |shape: Shape| Shape {
        required: lax,
        ..shape
    };
    let text = || Shape::required(Kind::Text);
    let file = Shape::object([
        ("p", text()),
        ("k", optional(Shape::required(Kind::Number))),
    ]);
    let inner = Shape::object([
        ("x", Shape::required(Kind::Number)),
        ("y", optional(text())),
    ]);
    let arguments = Shape::object([
        ("b", optional(Shape::required(Kind::Bool))),
        ("a-b", optional(Shape::required(Kind::Bool))),
        ("n", Shape::required(Kind::Number)),
        ("t", optional(text())),
        ("u", text()),
        ("l", optional(Shape::list(text()))),
        ("o", optional(inner)),
        ("fs", Shape::list(file)),
    ]);
    let mut environment = Environment::new(Some(arguments.into()));
    if lax {
        environment.all_present();
    }
    environment.with_schedules(schedules(lax).into())
}

/// The second at which the schedules of these tests begin.
const START: i64 = 1_796_119_199;

/// One schedule that is known for all calls of these tests, and if `lax` one that is not.
fn schedules(lax: bool) -> Schedules {
    let schedule = |name: &str, seconds: i64| {
        let schedule = Schedule {
            name: name.to_owned(),
            not_before: Time(START),
            expires: Time(START + seconds),
            windows: vec![(Time(START + 1), Time(START + 2))],
        };
        (name.to_owned(), schedule)
    };
    let ends = lax.then(|| schedule("ends", 2));
    ends.into_iter()
        .chain([schedule("every-other", 9)])
        .collect()
}

/// A world; where it is `valid`, one that the schema accepts.
fn world(random: &mut Random, valid: bool) -> Data {
    let mut object = |members: &[(&str, bool, Kind)]| {
        let mut fields = BTreeMap::new();
        for (name, required, kind) in members {
            let there = if valid && *required { 100 } else { 70 };
            if random.chance(there) {
                let odd = !valid && random.chance(20);
                fields.insert(
                    (*name).to_owned(),
                    if odd {
                        wrong(random)
                    } else {
                        data(random, *kind)
                    },
                );
            }
        }
        Data::Object(fields)
    };
    let mut args = object(&[
        ("b", false, Kind::Bool),
        ("a-b", false, Kind::Bool),
        ("n", true, Kind::Number),
        ("t", false, Kind::Text),
        ("u", true, Kind::Text),
    ]);
    let inner = object(&[("x", true, Kind::Number), ("y", false, Kind::Text)]);
    let files: Vec<Data> = (0..2)
        .map(|_| object(&[("p", true, Kind::Text), ("k", false, Kind::Number)]))
        .collect();
    let principal = object(&[("team", false, Kind::Text), ("groups", true, Kind::List)]);
    let scope = object(&[("team", false, Kind::Text)]);
    let request = object(&[("time", true, Kind::Time), ("ip", false, Kind::Address)]);
    if let Data::Object(fields) = &mut args {
        if random.chance(70) {
            fields.insert("o".to_owned(), inner);
        }
        if random.chance(70) {
            let mut list = data(random, Kind::List);
            if let (Data::List(items), false) = (&mut list, valid) {
                items.extend((0..random.below(2)).map(|_| wrong(random)));
            }
            fields.insert("l".to_owned(), list);
        }
        if valid || random.chance(80) {
            let count = random.below(3);
            fields.insert(
                "fs".to_owned(),
                Data::List(files.into_iter().take(count).collect()),
            );
        }
    }
    let roots = [
        ("args", args),
        ("principal", principal),
        ("scope", scope),
        ("request", request),
    ];
    Data::Object(roots.map(|(name, data)| (name.to_owned(), data)).into())
}

fn data(random: &mut Random, kind: Kind) -> Data {
    match kind {
        Kind::Bool => Data::Bool(random.chance(50)),
        Kind::Number => Data::Number(Decimal::parse(random.of(&["1", "1.5", "2", "3"])).unwrap()),
        Kind::Time => Data::Time(Time(START + i64::try_from(random.below(3)).unwrap())),
        Kind::Address => Data::Address(
            random
                .of(&["10.1.2.3", "11.0.0.0", "2001:db8::1"])
                .parse()
                .unwrap(),
        ),
        Kind::List => {
            let count = random.below(3);
            Data::List((0..count).map(|_| data(random, Kind::Text)).collect())
        }
        _ => Data::Text(random.of(&["", "a", "aé", "b", "g"]).to_owned()),
    }
}

fn wrong(random: &mut Random) -> Data {
    match random.below(4) {
        0 => Data::Bool(true),
        1 => Data::Text("a".to_owned()),
        2 => Data::Number(Decimal::from_integer(1).unwrap()),
        _ => Data::Opaque,
    }
}

/// Hides some members of a call's arguments, as discovery does.
fn hide(random: &mut Random, world: &Data) -> Data {
    let mut hidden = world.clone();
    let Data::Object(roots) = &mut hidden else {
        panic!("no object")
    };
    if random.chance(30) {
        roots.insert("args".to_owned(), Data::Unknown);
        return hidden;
    }
    let hideable: [(&str, &[&str]); 3] = [
        ("args", &["b", "a-b", "n", "t", "u", "l", "o", "fs"]),
        ("scope", &["team"]),
        ("request", &["ip"]),
    ];
    for (root, names) in hideable {
        let Some(Data::Object(fields)) = roots.get_mut(root) else {
            panic!("no object")
        };
        for name in names {
            if random.chance(40) {
                fields.insert((*name).to_owned(), Data::Unknown);
            }
        }
    }
    hidden
}

fn typed(text: &str, environment: &Environment) -> (Expr, Option<Typed>) {
    let expr = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let typed = check(&expr, environment).ok();
    (expr, typed)
}

/// One condition alone, as a program.
fn program(typed: &Typed) -> (Lowered, Program, FormulaId) {
    let mut arena = Arena::default();
    let added = arena.add(typed);
    let lowered = arena.finish();
    let formula = lowered.formula(added).unwrap();
    let program = Program::compile(&lowered.attributes, &lowered.formulas).unwrap();
    assert!(is_condition(
        &lowered.attributes,
        &lowered.formulas,
        formula
    ));
    (lowered, program, formula)
}

#[test]
fn evaluation_is_kleene_logic_collapsed_at_the_root() {
    let environment = environment(true);
    let mut random = Random(0x5eed);
    let worlds: Vec<Data> = (0..400).map(|at| world(&mut random, at % 3 == 0)).collect();
    let mut counts = [0; 3];
    for _ in 0..4000 {
        let text = condition(&mut random, 3, 30);
        let (expr, typed) = typed(&text, &environment);
        let (lowered, program, formula) = program(&typed.expect(&text));
        for _ in 0..30 {
            let world = &worlds[random.below(worlds.len())];
            let scene = Scene::new(&lowered.attributes, world);
            let naive = kleene(&expr, world, None);
            counts[naive.map_or(2, usize::from)] += 1;
            for undetermined in [false, true] {
                let defaults = Defaults {
                    undetermined,
                    unknown: !undetermined,
                };
                let mut trace = Collect::default();
                let holds = program.holds(formula, &scene, defaults, &mut trace);
                assert_eq!(holds, naive.unwrap_or(undetermined), "{text}\n{world:?}");
                assert_eq!(
                    trace.undetermined.is_empty(),
                    naive.is_some(),
                    "{text}\n{world:?}"
                );
                assert_eq!(
                    holds,
                    program.holds(formula, &scene, defaults, &mut NoTrace)
                );
            }
        }
    }
    println!("120000 pairs, both defaults: false, true, undetermined {counts:?}");
    assert!(counts.iter().all(|count| *count > 10_000), "{counts:?}");
}

#[test]
fn a_checked_condition_is_total_on_valid_calls() {
    let environment = environment(false);
    let mut random = Random(0x70741);
    let worlds: Vec<Data> = (0..400).map(|_| world(&mut random, true)).collect();
    let mut passed = 0;
    for _ in 0..4000 {
        let text = condition(&mut random, 2, 97);
        let (expr, Some(_)) = typed(&text, &environment) else {
            continue;
        };
        passed += 1;
        for _ in 0..30 {
            let world = &worlds[random.below(worlds.len())];
            assert!(kleene(&expr, world, None).is_some(), "{text}\n{world:?}");
        }
    }
    println!("{passed} of 4000 conditions pass, 30 valid calls each");
    assert!(passed > 1000, "{passed}");
}

#[test]
fn discovery_never_hides_what_can_hold() {
    let environment = environment(true);
    let mut random = Random(0xd15c);
    let mut certain = 0;
    for _ in 0..4000 {
        let text = condition(&mut random, 3, 50);
        let (expr, typed) = typed(&text, &environment);
        let (lowered, program, formula) = program(&typed.expect(&text));
        for _ in 0..10 {
            let world = world(&mut random, true);
            let hidden = hide(&mut random, &world);
            let scene = Scene::new(&lowered.attributes, &hidden);
            let naive = kleene(&expr, &world, None);
            let may = program.holds(formula, &scene, Defaults::GRANT, &mut NoTrace);
            let must = program.holds(formula, &scene, Defaults::REFUSE, &mut NoTrace);
            assert!(may || naive != Some(true), "{text}\n{world:?}\n{hidden:?}");
            assert!(
                !must || naive != Some(false),
                "{text}\n{world:?}\n{hidden:?}"
            );
            certain += usize::from(!may) + usize::from(must);
        }
    }
    println!("40000 pairs, {certain} settled without the hidden part");
    assert!(certain > 4000, "{certain}");
}

#[test]
fn the_arena_depends_on_the_set_alone() {
    let environment = environment(true);
    let mut random = Random(0xa7e4a);
    for _ in 0..300 {
        let conditions: Vec<Typed> = (0..6)
            .map(|_| condition(&mut random, 3, 50))
            .map(|text| typed(&text, &environment).1.expect(&text))
            .collect();
        let mut order: Vec<usize> = (0..conditions.len()).collect();
        let build = |order: &[usize]| {
            let mut arena = Arena::default();
            let mut added: Vec<(usize, FormulaId)> = order
                .iter()
                .map(|at| (*at, arena.add(&conditions[*at])))
                .collect();
            added.sort_unstable_by_key(|(at, _)| *at);
            let lowered = arena.finish();
            let ids: Vec<FormulaId> = added
                .iter()
                .map(|(_, id)| lowered.formula(*id).unwrap())
                .collect();
            (lowered.attributes, lowered.formulas, ids)
        };
        let first = build(&order);
        assert_eq!(is_canonical(&first.0, &first.1), Ok(()));
        for _ in 0..4 {
            let (a, b) = (random.below(order.len()), random.below(order.len()));
            order.swap(a, b);
            order.push(a);
            assert_eq!(build(&order), first_with(&first, &order));
            order.pop();
        }
        refuses_any_other_order(&mut random, &first.0, &first.1);
    }
}

type Built = (Vec<Attribute>, Vec<Formula>, Vec<FormulaId>);

/// What `order`, whose last condition is there twice, must build.
fn first_with(first: &Built, order: &[usize]) -> Built {
    let mut positions = order.to_vec();
    positions.sort_unstable();
    let ids = positions.iter().map(|at| first.2[*at]).collect();
    (first.0.clone(), first.1.clone(), ids)
}

fn refuses_any_other_order(random: &mut Random, attributes: &[Attribute], formulas: &[Formula]) {
    if formulas.len() > 1 {
        let (a, b) = (random.below(formulas.len()), random.below(formulas.len()));
        let mut swapped = formulas.to_vec();
        swapped.swap(a, b);
        assert_eq!(is_canonical(attributes, &swapped).is_ok(), a == b);
        let mut doubled = formulas.to_vec();
        doubled.insert(a, formulas[a].clone());
        assert!(is_canonical(attributes, &doubled).is_err());
    }
    let mut more = attributes.to_vec();
    more.push(Attribute {
        root: Root::Request,
        path: vec![Segment::Field("zone".to_owned())],
    });
    assert!(is_canonical(&more, formulas).is_err());
}
