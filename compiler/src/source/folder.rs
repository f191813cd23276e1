//! A project folder on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{MAX_FILE_BYTES, Tree};

/// A folder as a [`Tree`]; hidden folders are not listed, symbolic links to folders, and links that
/// leave the folder, are listed and not followed.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The size and the last change of every file, by path: what tells that one was written.
    pub(crate) fn stamps(&self) -> BTreeMap<String, (u64, Option<SystemTime>)> {
        let paths = self.paths().unwrap_or_default().into_iter();
        let stamp = |path: String| {
            let about = fs::metadata(self.root.join(&path)).ok()?;
            Some((path, (about.len(), about.modified().ok())))
        };
        paths.filter_map(stamp).collect()
    }
}

impl Tree for Folder {
    fn paths(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![(self.root.clone(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                // A folder that cannot be listed is a path of its own, and reading it says why.
                Err(_) if !prefix.is_empty() => {
                    found.push(prefix);
                    continue;
                }
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                // A name that is not Unicode cannot match a glob, and its path has no spelling.
                let Some(name) = name.to_str() else {
                    continue;
                };
                let (path, hidden) = (format!("{prefix}{name}"), name.starts_with('.'));
                match kind(&entry)? {
                    // What tools keep to themselves, such as `.git` and `.github`.
                    Kind::Folder | Kind::LinkToFolder if hidden => {}
                    Kind::Folder => folders.push((entry.path(), format!("{path}/"))),
                    // A path of its own as well, and reading it says why.
                    Kind::LinkToFolder => found.push(format!("{path}/")),
                    Kind::File => found.push(path),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let full = self.root.join(path.trim_end_matches('/'));
        let mut about = fs::symlink_metadata(&full)?;
        if about.is_symlink() {
            inside(&self.root, &full)?;
            about = fs::metadata(&full)?;
            if about.is_dir() {
                return Err(io::Error::other(
                    "it is a symbolic link to a folder; put the files themselves there, or let \
                     `include` name the folders that are read",
                ));
            }
        }
        // Asked before it is opened: opening a pipe would wait for somebody to write.
        if !about.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        steady(fs::File::open(&full)?, || {})
    }
}

enum Kind {
    File,
    Folder,
    LinkToFolder,
}

fn kind(entry: &fs::DirEntry) -> io::Result<Kind> {
    let own = entry.file_type()?;
    let leads_to_folder = || fs::metadata(entry.path()).is_ok_and(|it| it.is_dir());
    Ok(if own.is_dir() {
        Kind::Folder
    } else if own.is_symlink() && leads_to_folder() {
        Kind::LinkToFolder
    } else {
        Kind::File
    })
}

/// The bytes of a file, up to one past the largest that is read; an error where they changed
/// meanwhile, for half of the old and half of the new is nobody's policy.
fn steady(mut file: fs::File, meanwhile: impl FnOnce()) -> io::Result<Vec<u8>> {
    let state = |file: &fs::File| {
        let facts = file.metadata()?;
        io::Result::Ok((facts.len(), facts.modified().ok()))
    };
    let before = state(&file)?;
    let limit = MAX_FILE_BYTES as u64 + 1;
    // One more, so that the end is seen without growing.
    let size = before.0.saturating_add(1).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.by_ref().take(limit).read_to_end(&mut bytes)?;
    meanwhile();
    if state(&file)? != before || bytes.len() as u64 != before.0.min(limit) {
        return Err(io::Error::other("it changed while it was read; try again"));
    }
    Ok(bytes)
}

fn inside(root: &Path, full: &Path) -> io::Result<()> {
    if full.canonicalize()?.starts_with(root.canonicalize()?) {
        return Ok(());
    }
    Err(io::Error::other(
        "it is a symbolic link that leaves the project",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("inner")).unwrap();
        root
    }

    #[test]
    fn the_walk_is_sorted_and_skips_hidden_folders() {
        let root = temporary("walk");
        fs::create_dir(root.join(".tool")).unwrap();
        for path in [
            "b.yaml",
            "a.yaml",
            "inner/c.yaml",
            ".d.yaml",
            ".tool/e.yaml",
        ] {
            fs::write(root.join(path), "").unwrap();
        }
        let paths = Folder::new(&root).paths().unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(paths, [".d.yaml", "a.yaml", "b.yaml", "inner/c.yaml"]);
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let root = temporary("steady");
        let path = root.join("a.yaml");
        fs::write(&path, "roles: {}\n").unwrap();
        let read = steady(fs::File::open(&path).unwrap(), || {});
        assert_eq!(read.unwrap(), b"roles: {}\n");
        let during = || fs::write(&path, "roles: {}\nrules: {}\n").unwrap();
        let read = steady(fs::File::open(&path).unwrap(), during);
        fs::remove_dir_all(&root).unwrap();
        assert!(read.unwrap_err().to_string().contains("changed"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_listed_and_cannot_be_read() {
        let root = temporary("folder-link");
        fs::write(root.join("inner/a.yaml"), "").unwrap();
        for link in ["shared", ".tool"] {
            std::os::unix::fs::symlink(root.join("inner"), root.join(link)).unwrap();
        }
        let folder = Folder::new(&root);
        let (paths, read) = (folder.paths().unwrap(), folder.read("shared/"));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(paths, ["inner/a.yaml", "shared/"]);
        let said = read.unwrap_err().to_string();
        assert!(said.contains("a symbolic link to a folder"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_project_is_refused_and_one_within_is_read() {
        let root = temporary("links");
        fs::write(root.join("a.yaml"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("a.yaml"), root.join("inner/in.yaml")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.join("out.yaml")).unwrap();
        let folder = Folder::new(&root);
        let inner = folder.read("inner/in.yaml");
        let outer = folder.read("out.yaml");
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(inner.unwrap(), b"x");
        assert!(
            outer
                .unwrap_err()
                .to_string()
                .contains("leaves the project")
        );
    }
}
