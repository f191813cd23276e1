//! The last check: that what passes is what the gate puts in force.
//!
//! Every slice is encoded and opened as the sidecar opens it. What the gate refuses becomes a
//! finding here, so that a project without errors always builds a bundle that opens.

use latchkey_gate::gate::{Gate, GateError};

use crate::{
    diag::{Diagnostic, Sink, codes},
    model::{Model, Server},
    pack,
};

/// Opens what the project compiles to, and reports what the gate refuses.
pub fn prove(model: &Model, sink: &mut Sink) -> Option<Gate> {
    let opened = pack::whole(model).map_err(|error| error.to_string());
    let opened = opened.and_then(|it| Gate::open(&it, None).map_err(|error| error.to_string()));
    let refused = match opened {
        Ok(gate) => return Some(gate),
        Err(refused) => refused,
    };
    let mut placed = false;
    for (name, server) in &model.servers {
        let slice = pack::slice(model, name).ok();
        let refusal = slice.and_then(|slice| Gate::open(&slice, None).err());
        if let Some(found) = refusal.and_then(|error| finding(&error, server)) {
            sink.push(found);
            placed = true;
        }
    }
    if !placed {
        sink.push(Diagnostic::global(
            &codes::NOT_ENFORCEABLE,
            format!("the bundle would not open: {refused}"),
        ));
    }
    None
}

fn finding(error: &GateError, server: &Server) -> Option<Diagnostic> {
    let GateError::Surface(name, what) = error else {
        return None;
    };
    let surface = server.surfaces.get(name.as_str())?;
    let message = format!("`{name}` cannot be enforced: {what}");
    Some(
        Diagnostic::new(&codes::SURFACE_NOT_ENFORCEABLE, surface.span, message)
            .help("correct the surface; a sidecar would refuse the whole bundle"),
    )
}
