//! Rows for what no matrix shows yet: that what was taken away is denied now.

use std::collections::BTreeMap;

use latchkey_engine::time::Time;

use super::{NotNow, Plan, Project, matrices};
use crate::{
    model::Model,
    mutate::{self, Edit},
    resolve,
    source::Span,
};

/// Adds a row for each grant of the plan that no row would notice if it came back. Answers all
/// edited files, and how many rows are new; those that no file has a place for are left out.
pub(super) fn add(
    project: Project<'_>,
    plan: &Plan,
    mut files: BTreeMap<String, String>,
    today: Time,
) -> Result<(BTreeMap<String, String>, usize), NotNow> {
    let narrowed = matrices::read(project.tree, &files, today)?;
    let rows = mutate::rows(
        (&narrowed.model, &narrowed.sources),
        today,
        given_back(project, plan),
    );
    let rows = rows.map_err(|_| NotNow("the narrowed project cannot be tested".to_owned()))?;
    let placed = rows.iter().filter(|row| row.file().is_some()).count();
    files.extend(mutate::apply(&rows, &narrowed.sources));
    Ok((files, placed))
}

/// For each grant that goes, what brings it back.
fn given_back(project: Project<'_>, plan: &Plan) -> Vec<(Span, Edit)> {
    let model = project.model;
    let mut edits: Vec<(Span, Edit)> = Vec::new();
    for name in &plan.bindings {
        let Some(binding) = model.bindings.get(name.as_str()) else {
            continue;
        };
        let (name, entry) = (name.clone(), binding.clone());
        let edit = move |model: &mut Model| {
            model.bindings.insert(name.as_str().into(), entry.clone());
        };
        edits.push((binding.span, Box::new(edit)));
    }
    for (name, role) in &plan.roles {
        let binding = model.bindings.get(name.as_str());
        let given = binding.and_then(|it| it.roles.iter().find(|it| it.value == *role));
        let (Some(binding), Some(role)) = (binding, given.cloned()) else {
            continue;
        };
        let name = name.clone();
        let edit = move |model: &mut Model| {
            if let Some(binding) = model.bindings.get_mut(name.as_str()) {
                binding.roles.push(role.clone());
            }
        };
        edits.push((binding.span, Box::new(edit)));
    }
    for ((name, _), permissions) in &plan.permissions {
        let Some(role) = model.roles.get(name.as_str()) else {
            continue;
        };
        for permission in permissions {
            let (name, permission, span) = (name.clone(), permission.clone(), role.span);
            let edit = move |model: &mut Model| {
                if let Some(role) = model.roles.get_mut(name.as_str()) {
                    role.own_mut().insert(permission.clone(), span);
                }
                resolve::inherit(&mut model.roles);
            };
            edits.push((span, Box::new(edit)));
        }
    }
    edits
}
