//! The same condition and call for the crate `cel`.

use std::collections::HashMap;

use cel::{Context, Value as Cel};
use serde_json::Value;

use super::{
    call::{Call, START},
    naive,
};

/// A condition that the crate compiled.
pub(crate) struct Program(cel::Program);

impl Program {
    /// Compiles a condition.
    pub(crate) fn compile(text: &str) -> Self {
        let program = cel::Program::compile(text);
        Self(program.unwrap_or_else(|problems| panic!("{text}: {problems}")))
    }

    /// What it comes to; `None` is an error of evaluation.
    pub(crate) fn value(&self, call: &Call) -> Option<bool> {
        let mut context = Context::default();
        for (name, value) in call.roots.as_object().unwrap() {
            context.add_variable_from_value(name.clone(), value_of(value));
        }
        let schedules = ["always", "at-times"].map(|name| {
            let on = naive::is_on(name, call.time - START).unwrap();
            (name.to_owned(), Cel::Bool(on))
        });
        context.add_variable_from_value("schedule", HashMap::from(schedules));
        match self.0.execute(&context) {
            Ok(Cel::Bool(value)) => Some(value),
            Ok(other) => panic!("no boolean: {other:?}"),
            Err(_) => None,
        }
    }
}

fn value_of(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Cel::Float(number.as_f64().unwrap()), Cel::Int),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(value_of).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| (name.clone(), value_of(value)));
            members.collect::<HashMap<String, Cel>>().into()
        }
    }
}
