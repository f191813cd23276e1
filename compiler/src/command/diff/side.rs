//! One side of a comparison: whatever it is written as, it ends as an opened bundle.

use std::path::Path;

use latchkey_engine::time::Time;
use latchkey_gate::gate::Gate;

use super::{
    super::{Failure, Sound, Terminal, read, sound},
    revision,
};
use crate::{
    cli::Global,
    matrix, pack, project,
    source::{Folder, Tree},
};

/// Opens a side; `None` when it is a project with errors, which were printed.
pub(super) fn open(
    side: Option<&str>,
    at: Time,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Gate>, Failure> {
    let Some(name) = side else {
        return compiled(
            &Folder::new(global.directory.clone()),
            "the project",
            at,
            global,
            terminal,
        );
    };
    let path = Path::new(name);
    if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new("."));
        return bundle(path, folder).map(Some);
    }
    if path.join(project::FILE).is_file() {
        return compiled(&Folder::new(path.to_owned()), name, at, global, terminal);
    }
    if path.join(pack::ALL).is_file() {
        return bundle(&path.join(pack::ALL), path).map(Some);
    }
    if path.is_dir() {
        return Err(
            Failure::usage(format!("`{name}` holds no project and no bundles")).help(format!(
                "a project has `{}`, a folder of bundles `{}`",
                project::FILE,
                pack::ALL
            )),
        );
    }
    let tree = revision::read(&global.directory, name)?;
    compiled(&tree, name, at, global, terminal)
}

fn bundle(file: &Path, folder: &Path) -> Result<Gate, Failure> {
    let places = folder.join(pack::PLACES);
    let places = if places.is_file() {
        Some(read(&places)?)
    } else {
        None
    };
    Gate::open(&read(file)?, places.as_deref()).map_err(|error| {
        Failure::unverified(format!("`{}` cannot be opened: {error}", file.display()))
            .help("build it again with this version of latchkey")
    })
}

fn compiled(
    tree: &dyn Tree,
    name: &str,
    at: Time,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Gate>, Failure> {
    let Ok(Sound { model, sources }) = sound(crate::check(tree, at), global, terminal)? else {
        writeln!(
            terminal.err,
            "error: {name} has errors, so it cannot be compared"
        )?;
        return Ok(None);
    };
    let internal = |error: pack::PackError| Failure::internal(error.to_string());
    let whole = pack::whole(&model).map_err(internal)?;
    let places = pack::places(&model, &sources).map_err(internal)?;
    matrix::open(&whole, &places).map_err(internal).map(Some)
}
