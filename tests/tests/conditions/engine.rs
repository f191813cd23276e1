//! A condition as the engine runs it.

use latchkey_engine::{
    condition::{
        Arena, Attribute, Defaults, Environment, Kind, Program, Shape, check, parse,
        shape::Schedules,
    },
    decision::{Collect, NoTrace},
    id::FormulaId,
};

use super::call::{self, Call, Scene};

/// Every attribute that a condition of this test may name, each always there, so that a condition
/// may also read what a call lacks.
pub(crate) fn environment() -> Environment {
    let text = || Shape::required(Kind::Text);
    let number = || Shape::required(Kind::Number);
    let file = Shape::object([("p", text()), ("k", number()), ("d", text())]);
    let arguments = Shape::object([
        ("b", Shape::required(Kind::Bool)),
        ("a-b", Shape::required(Kind::Bool)),
        ("n", number()),
        ("m", number()),
        ("t", text()),
        ("u", text()),
        ("l", Shape::list(text())),
        ("ns", Shape::list(number())),
        ("o", Shape::object([("x", number()), ("y", text())])),
        ("fs", Shape::list(file)),
    ]);
    let schedules: Schedules = call::schedules()
        .into_iter()
        .map(|it| (it.name.clone(), it))
        .collect();
    Environment::new(Some(arguments.into())).with_schedules(schedules.into())
}

/// A condition, compiled.
pub(crate) struct Compiled {
    attributes: Vec<Attribute>,
    program: Program,
    formula: FormulaId,
}

/// Compiles a condition.
pub(crate) fn compiled(text: &str, environment: &Environment) -> Compiled {
    let expr = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let typed = check(&expr, environment).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let mut arena = Arena::default();
    let added = arena.add(&typed);
    let lowered = arena.finish();
    let formula = lowered.formula(added).unwrap();
    let program = Program::compile(&lowered.attributes, &lowered.formulas).unwrap();
    Compiled {
        attributes: lowered.attributes,
        program,
        formula,
    }
}

impl Compiled {
    /// What the condition comes to; `None` is undetermined.
    pub(crate) fn value(&self, call: &Call) -> Option<bool> {
        let scene = Scene::new(&self.attributes, call);
        let holds = |undetermined: bool| {
            let defaults = Defaults {
                undetermined,
                unknown: undetermined,
            };
            let mut trace = Collect::default();
            let holds = self
                .program
                .holds(self.formula, &scene, defaults, &mut trace);
            let plain = self
                .program
                .holds(self.formula, &scene, defaults, &mut NoTrace);
            assert_eq!(holds, plain);
            (holds, trace.undetermined.is_empty())
        };
        let (grant, certain) = holds(false);
        let (refuse, also) = holds(true);
        assert_eq!((certain, also), (grant == refuse, grant == refuse));
        (grant == refuse).then_some(grant)
    }
}
