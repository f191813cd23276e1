//! What can be found wrong before serving: files that are missing or unreadable, folders that
//! cannot be written. Nothing is bound, made or changed.

use std::{
    fs::{self, File},
    path::Path,
};

use latchkey_carrier::Location;
use latchkey_gate::supply::TrustRoot;

use crate::config::Config;

/// What keeps a sidecar from serving with these settings; each says what, where, and what to do.
#[must_use]
pub fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if let Location::Folder(folder) = &config.bundle.source
        && !folder.is_dir()
    {
        faults.push(format!(
            "[bundle] source: {}: there is no such folder: build a release into it with `latchkey \
             build --out`, or correct the path",
            folder.display()
        ));
    }
    if let Some(variable) = &config.bundle.token_env
        && std::env::var_os(variable).is_none()
    {
        faults.push(format!(
            "[bundle] token_env: the variable {variable} is not set: set it for this process"
        ));
    }
    trust(config, &mut faults);
    let files = [
        ("[bundle] token_file", config.bundle.token_file.as_deref()),
        (
            "[overlay] file",
            config.overlay.as_ref().map(|it| it.file.as_path()),
        ),
        (
            "[decision] token_file",
            config
                .decision
                .as_ref()
                .and_then(|it| it.token_file.as_deref()),
        ),
        (
            "[telemetry] token_file",
            config
                .telemetry
                .as_ref()
                .and_then(|it| it.token_file.as_deref()),
        ),
    ];
    for (key, path) in files {
        faults.extend(path.and_then(|path| unreadable(key, path)));
    }
    let audit = &config.audit.file;
    if audit.as_os_str() != "-" {
        faults.extend(unwritable("[audit] file", audit.parent()));
    }
    faults.extend(unwritable(
        "[state] directory",
        Some(&config.state.directory),
    ));
    faults
}

fn trust(config: &Config, faults: &mut Vec<String>) {
    let Some(trust) = &config.trust else { return };
    match fs::read_to_string(&trust.file) {
        Err(error) => faults.push(format!(
            "[trust] file: {}: {error}: put the trust file there that `latchkey keygen` or \
             `latchkey trust` wrote",
            trust.file.display()
        )),
        Ok(text) => {
            if let Err(error) = TrustRoot::parse(text.as_bytes()) {
                faults.push(format!(
                    "[trust] file: {}: {error}: install the file that `latchkey keygen` or \
                     `latchkey trust` wrote",
                    trust.file.display()
                ));
            }
        }
    }
    let root = trust.sigstore_root.as_deref();
    faults.extend(root.and_then(|root| unreadable("[trust] sigstore_root", root)));
}

fn unreadable(key: &str, path: &Path) -> Option<String> {
    let error = File::open(path).err()?;
    Some(format!(
        "{key}: {}: {error}: put a file there that this user may read, or correct the path",
        path.display()
    ))
}

/// Why files cannot be made in a folder that exists, or that would be made.
fn unwritable(key: &str, folder: Option<&Path>) -> Option<String> {
    let mut folder = folder?;
    while !folder.as_os_str().is_empty() && !folder.exists() {
        folder = folder.parent()?;
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let advice = "name a folder that this user may write to";
    if !folder.is_dir() {
        return Some(format!(
            "{key}: {} is no folder: {advice}",
            folder.display()
        ));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
        .err()
        .map(|error| format!("{key}: {}: {error}: {advice}", folder.display()))
}
