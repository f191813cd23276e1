//! `latchkey check --fix`: edits of the files themselves.

use std::{fs, path::Path};

use super::{Args, dirty};
use crate::{
    cli::Global,
    command::{Failure, folder},
    fix::{self, Fixed},
    source::{Folder, Tree as _},
};

/// Fixes what can be fixed, and says so in one line. Either every file is written, or none that
/// somebody else changed meanwhile.
pub(super) fn run(args: &Args, global: &Global) -> Result<String, Failure> {
    let folder = folder(global)?;
    let fixed = fix::fix(&folder, args.today(), args.guesses);
    for (path, (before, _)) in &fixed.files {
        untouched(&folder, path, before, &global.directory)?;
    }
    if !args.allow_dirty {
        dirty::refuse(&global.directory, &fixed.files)?;
    }
    for (path, (_, after)) in &fixed.files {
        replace(&global.directory.join(path), after)?;
    }
    Ok(summary(&fixed))
}

fn summary(fixed: &Fixed) -> String {
    let counted = |count: usize, noun: &str| {
        let plural = match (count, noun) {
            (1, _) => "",
            (_, "fix") => "es",
            _ => "s",
        };
        format!("{count} {noun}{plural}")
    };
    let made = counted(fixed.applied, "fix");
    let files = counted(fixed.files.len(), "file");
    let left = match fixed.left_out {
        0 => String::new(),
        count => format!(
            "; {} overlap others and were left out",
            counted(count, "fix")
        ),
    };
    format!("applied {made} in {files}{left}")
}

/// Refuses to write over what was not read, and through links.
fn untouched(folder: &Folder, path: &str, before: &[u8], root: &Path) -> Result<(), Failure> {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).map_err(|it| Failure::file("read", &full, &it))?;
    if !meta.is_file() {
        let what = format!("`{}` is a symbolic link", full.display());
        return Err(Failure::usage(what).help("correct the file that it leads to by hand"));
    }
    let now = folder
        .read(path)
        .map_err(|it| Failure::file("read", &full, &it))?;
    if now != before {
        let what = format!("`{}` changed while it was being fixed", full.display());
        return Err(Failure::usage(what).help("nothing was written; run this again"));
    }
    Ok(())
}

/// Puts a new file in the place of the old one, so that nobody ever reads half of it.
fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.latchkey-{}", std::process::id()));
    let done = fs::write(&draft, text)
        .and_then(|()| fs::set_permissions(&draft, fs::metadata(path)?.permissions()))
        .and_then(|()| fs::rename(&draft, path));
    done.map_err(|error| {
        // What is left of the draft is in nobody's way: hidden files are not read.
        let _ = fs::remove_file(&draft);
        Failure::file("write", path, &error)
    })
}
