use std::path::Path;

use super::*;
use crate::{Checked, check, source::Folder};
use latchkey_engine::time::Time;
use latchkey_gate::call;

fn policies() -> (Model, SourceMap) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let today = Time::parse("2026-12-01").unwrap();
    let Checked { model, sources, .. } = check(&Folder::new(folder), today);
    (model.unwrap(), sources)
}

#[test]
fn every_matrix_of_the_policies_holds() {
    let (model, sources) = policies();
    let run = run(&model, &sources).unwrap();
    assert_eq!(
        human(&run, &sources).lines().last(),
        human(&run, &sources).lines().next()
    );
    assert_eq!(run.counts().1, 0);
    assert!(run.cells.len() > 100);
}

#[test]
fn a_slice_answers_like_the_whole() {
    let (model, sources) = policies();
    let places = pack::places(&model, &sources).unwrap();
    let whole = open(&pack::whole(&model).unwrap(), &places).unwrap();
    let overlay = Overlay::default();
    let mut compared = 0;
    for matrix in model.matrices.values() {
        let slice = open(&pack::slice(&model, &matrix.server).unwrap(), &places).unwrap();
        // Every caller of every matrix, and not only its own, asks every call.
        let callers = model.matrices.values().flat_map(|matrix| &matrix.callers);
        for caller in callers {
            for call in &matrix.calls {
                let stated = stated(matrix, caller, Some(call), call.name.span).unwrap();
                let on_slice = call::answer(&slice, &overlay, &stated).unwrap();
                let on_whole = call::answer(&whole, &overlay, &stated).unwrap();
                assert_eq!(
                    on_slice, on_whole,
                    "{} calls {}",
                    caller.name.value, call.name.value
                );
                compared += 1;
            }
            let stated = stated(matrix, caller, None, caller.name.span).unwrap();
            let reach = |gate| reachable(gate, &overlay, &Asker::of(gate, &stated).unwrap());
            assert_eq!(reach(&slice), reach(&whole), "{}", caller.name.value);
        }
    }
    assert!(compared > 500, "{compared}");
}
