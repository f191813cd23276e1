//! The operations that calls state.

use latchkey_gate::call::Stated;
use serde_json::Value;

/// Whether a call states an operation.
pub(crate) fn operation_is(call: &Stated, operation: &str) -> bool {
    let arguments: Value = serde_json::from_str(call.arguments.as_ref().unwrap().get()).unwrap();
    match &arguments["action"] {
        Value::Array(all) => all.iter().any(|it| it == operation),
        one => one == operation,
    }
}
