//! What can be found wrong before serving: files that are missing or unreadable, folders that
//! cannot be written. Nothing is bound, made or changed.

use std::{
    fs::{self, File},
    path::Path,
};

use latchkey_carrier::Location;
use latchkey_gate::supply::{TrustRoot, keyless::SigstoreKeyless};

use crate::{
    config::{Config, TlsConfig},
    handles::Handles,
    handover,
    identity::development_keys,
    listen::{Address, tls::Certificates},
    tls,
    token_endpoint::Capabilities,
    upstream::Trusted,
};

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
            "[store] password_file",
            config
                .store
                .as_ref()
                .and_then(|it| it.password_file.as_deref()),
        ),
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
    keys(config, &mut faults);
    certificates(config, &mut faults);
    let audit = &config.audit.file;
    if audit.is_dir() {
        faults.push(format!(
            "[audit] file: {} is a folder: name a file in it",
            audit.display()
        ));
    } else if audit.as_os_str() != "-" {
        faults.extend(unwritable("[audit] file", audit.parent()));
    }
    listeners(config, &mut faults);
    faults.extend(unwritable(
        "[state] directory",
        Some(&config.state.directory),
    ));
    faults
}

/// The keys that the settings name; where they name none, the sidecar makes its own.
fn keys(config: &Config, faults: &mut Vec<String>) {
    if config.handles.key_file.is_some() {
        faults.extend(Handles::open(config).err());
    }
    if config.token.key_file.is_some() {
        faults.extend(Capabilities::open(config).err());
    }
    let issuer = config.identity.development_issuer.as_ref();
    faults.extend(issuer.and_then(|it| development_keys(it).err()));
}

/// The certificates, private keys and authorities that the settings name: readable, of the right
/// kind, and fit for one another.
fn certificates(config: &Config, faults: &mut Vec<String>) {
    let mut note = |section: &str, error: Option<String>| {
        faults.extend(error.map(|error| format!("{section} {error}")));
    };
    let seen = |tls: Option<&TlsConfig>| {
        let opened = tls.map(|tls| Certificates::open(tls, true));
        opened.and_then(|it| it.err().map(|error| error.to_string()))
    };
    note("[listen.tls]", seen(config.listen.tls.as_ref()));
    let point = config.decision.as_ref().and_then(|it| it.tls.as_ref());
    note("[decision.tls]", seen(point));
    let upstream = Trusted::open(&config.upstream).err();
    note("[upstream]", upstream.map(|error| error.to_string()));
    let store = config.store.as_ref().and_then(|it| it.client().err());
    note("[store]", store.map(|error| error.to_string()));
    let issuers = config.identity.ca_file.as_deref();
    let issuers = issuers.and_then(|path| tls::authorities(path).err());
    note("[identity] ca_file", issuers.map(|error| error.to_string()));
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
    faults.extend(root.and_then(sigstore_root));
}

/// Why Sigstore's roots cannot be used.
fn sigstore_root(path: &Path) -> Option<String> {
    let Ok(bytes) = fs::read(path) else {
        return unreadable("[trust] sigstore_root", path);
    };
    let error = SigstoreKeyless::new(&bytes).err()?;
    Some(format!(
        "[trust] sigstore_root: {}: {error}: put Sigstore's `trusted_root.json` there",
        path.display()
    ))
}

/// Addresses that cannot be bound on any machine: one that is named twice, and sockets in folders
/// that there are not.
fn listeners(config: &Config, faults: &mut Vec<String>) {
    let mut seen = Vec::new();
    for (address, _) in handover::labels(config) {
        let any = matches!(&address, Address::Tcp(address) if address.port() == 0);
        if seen.contains(&address) && !any {
            faults.push(format!(
                "{address} is named twice: give each listener an address of its own"
            ));
        }
        let folder = match &address {
            Address::Unix(path) => path.parent().filter(|it| !it.as_os_str().is_empty()),
            Address::Tcp(_) => None,
        };
        if let Some(folder) = folder.filter(|it| !it.is_dir()) {
            faults.push(format!(
                "{address}: there is no folder {}: make it, or correct the path",
                folder.display()
            ));
        }
        seen.push(address);
    }
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
