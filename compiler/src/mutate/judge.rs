//! What becomes of one mutant: killed by a row, no different at all, or alive.

use std::collections::BTreeMap;

use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::{
    call::{self, Answer, Stated},
    gate::Gate,
};

use super::{Mutant, MutateError};
use crate::{
    diff::{self, Finding},
    matrix,
    model::{Matrix, Model},
    pack::{self, PackError},
    parallel,
    text::Text,
};

/// The original, opened, with what judges its mutants.
pub(crate) struct Bench<'m> {
    model: &'m Model,
    /// The model without its matrices, which every mutant begins as.
    bare: Model,
    servers: BTreeMap<&'m str, Original<'m>>,
    at: Time,
}

/// One server as it is.
struct Original<'m> {
    slice: Vec<u8>,
    gate: Gate,
    matrices: Vec<(&'m str, &'m Matrix)>,
}

/// What became of a mutant.
pub(super) enum Verdict {
    /// No call tells it from the original, or it is no policy.
    Equivalent,
    /// Some row no longer holds.
    Killed,
    /// Nothing noticed it.
    Survived(Box<Lives>),
}

/// A difference that no row shows.
pub(crate) struct Lives {
    /// What the mutant does, in the words of `diff`.
    pub(crate) effect: String,
    /// A call that shows it, and the changed slice of its server.
    pub(crate) witness: Option<(Stated, Vec<u8>)>,
}

/// Opens a slice as the sidecar does, without places.
pub(super) fn open(slice: &[u8]) -> Result<Gate, PackError> {
    Gate::open(slice, None).map_err(|error| PackError(error.to_string()))
}

impl<'m> Bench<'m> {
    /// Opens every server of the original.
    pub(crate) fn new(model: &'m Model, at: Time) -> Result<Self, MutateError> {
        let names: Vec<&str> = model.servers.keys().map(Text::as_str).collect();
        let opened = parallel::map_quietly(&names, |name| {
            let slice = pack::slice(model, name)?;
            let gate = open(&slice)?;
            let matrices = model.matrices.iter().filter(|(_, it)| it.server == *name);
            let matrices = matrices.map(|(name, it)| (name.as_str(), it)).collect();
            Ok(Original {
                slice,
                gate,
                matrices,
            })
        });
        let mut servers = BTreeMap::new();
        for (name, original) in names.into_iter().zip(opened) {
            servers.insert(name, original.map_err(MutateError::Pack)?);
        }
        let mut bare = model.clone();
        bare.matrices.clear();
        Ok(Self {
            model,
            bare,
            servers,
            at,
        })
    }

    /// The original.
    pub(crate) fn model(&self) -> &'m Model {
        self.model
    }

    /// A server as it is.
    pub(crate) fn gate(&self, server: &str) -> Option<&Gate> {
        self.servers.get(server).map(|it| &it.gate)
    }

    /// The servers that a mutant changes, with their slices; none where it is no policy.
    fn changed(&self, mutant: &Mutant) -> Vec<(&Original<'m>, Vec<u8>, Gate)> {
        let mut model = self.bare.clone();
        (mutant.edit)(&mut model);
        let mut changed = Vec::new();
        for (name, original) in &self.servers {
            if mutant
                .servers
                .as_ref()
                .is_some_and(|only| !only.contains(*name))
            {
                continue;
            }
            let Ok(slice) = pack::slice(&model, name) else {
                return Vec::new();
            };
            if slice == original.slice {
                continue;
            }
            let Ok(gate) = open(&slice) else {
                return Vec::new();
            };
            changed.push((original, slice, gate));
        }
        changed
    }

    /// Tries one mutant.
    pub(super) fn judge(&self, mutant: &Mutant) -> Result<Verdict, MutateError> {
        let changed = self.changed(mutant);
        for (original, _, gate) in &changed {
            for (name, matrix) in &original.matrices {
                let run = matrix::run_matrix(name, matrix, gate);
                // A row that cannot even be asked any more has noticed.
                if run.is_err() || run?.counts().1 > 0 {
                    return Ok(Verdict::Killed);
                }
            }
        }
        Ok(match differ_among(changed, self.at) {
            None => Verdict::Equivalent,
            Some(lives) => Verdict::Survived(Box::new(lives)),
        })
    }

    /// Whether any row of any matrix gets another answer under a mutant, expected or not.
    pub(crate) fn shows(&self, mutant: &Mutant) -> bool {
        let overlay = Overlay::default();
        self.changed(mutant).iter().any(|(original, _, gate)| {
            original.matrices.iter().any(|(_, matrix)| {
                matrix.cells.iter().any(|cell| {
                    let (caller, call) =
                        (matrix.callers.get(cell.caller), matrix.calls.get(cell.call));
                    let Some(caller) = caller else { return false };
                    let span = cell.expected.span;
                    let Ok(stated) = matrix::stated(matrix, caller, call, span) else {
                        return false;
                    };
                    let before = call::answer(&original.gate, &overlay, &stated);
                    let after = call::answer(gate, &overlay, &stated);
                    !same(before.ok().as_ref(), after.ok().as_ref())
                })
            })
        })
    }

    /// What a mutant changes, if any call can show it.
    pub(crate) fn difference(&self, mutant: &Mutant) -> Option<Lives> {
        differ_among(self.changed(mutant), self.at)
    }
}

/// Whether rows could not tell two answers apart.
fn same(before: Option<&Answer>, after: Option<&Answer>) -> bool {
    let essence = |it: &Answer| {
        let bindings = it.granted_by.clone();
        (it.reason, it.rule.clone(), bindings, it.obligations.clone())
    };
    before.map(essence) == after.map(essence)
}

fn differ_among(changed: Vec<(&Original<'_>, Vec<u8>, Gate)>, at: Time) -> Option<Lives> {
    let mut cannot_tell = None;
    for (original, slice, gate) in changed {
        let at = original
            .matrices
            .first()
            .map_or(at, |(_, matrix)| matrix.at);
        match differ(&original.gate, &gate, at) {
            Ok(None) => {}
            Ok(Some((effect, witness))) => {
                let witness = Some((witness, slice));
                return Some(Lives { effect, witness });
            }
            Err(why) => cannot_tell = Some(why),
        }
    }
    let effect = cannot_tell?;
    Some(Lives {
        effect,
        witness: None,
    })
}

/// The worst difference of two slices of a server, in words and as a call; or why none was found
/// and there may be one.
fn differ(old: &Gate, new: &Gate, at: Time) -> Result<Option<(String, Stated)>, String> {
    let report = diff::compare(old, new, at);
    let undecided = report.undecided.into_iter().next();
    let worst = report
        .findings
        .into_iter()
        .min_by_key(|finding| finding.change);
    match (worst, undecided) {
        (Some(finding), _) => Ok(Some((sentence(&finding), finding.witness))),
        (None, Some(undecided)) => Err(undecided.why),
        (None, None) => Ok(None),
    }
}

fn sentence(finding: &Finding) -> String {
    let operation = finding.operation.as_ref().map(|it| format!(":{it}"));
    let region = match finding.region.as_str() {
        "" => String::new(),
        region => format!(" where {region}"),
    };
    format!(
        "{}: {} on {}{} in {}{region}",
        finding.change.word(),
        finding
            .subjects
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
        finding.surface,
        operation.unwrap_or_default(),
        finding.scope,
    )
}
