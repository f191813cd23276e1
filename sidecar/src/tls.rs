//! What both sides of TLS share: the files of keys and certificates, and how their faults are told.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::files::Stamp;

/// Why certificates and keys cannot be used: says what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    /// A fault of no file in particular.
    pub(crate) fn general(what: &dyn fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// A fault of one file.
    pub(crate) fn of(path: &Path, what: &dyn fmt::Display) -> Self {
        Self(format!("{}: {what}", path.display()))
    }
}

/// Tells when files have changed and then stood still between two looks.
#[derive(Debug)]
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

/// The state of the files when they were read, and when they were looked at last.
#[derive(Debug)]
struct Seen {
    read: Vec<Stamp>,
    last: Vec<Stamp>,
}

impl Watch {
    /// Files that are about to be read.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let stamps = stamps(&paths);
        Self {
            paths,
            seen: Mutex::new(Seen {
                read: stamps.clone(),
                last: stamps,
            }),
        }
    }

    /// Whether they are to be read again.
    pub(crate) fn has_changed(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = stamps(&self.paths);
        let settled = found == seen.last;
        seen.last.clone_from(&found);
        if found == seen.read || !settled {
            return false;
        }
        seen.read = found;
        true
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

/// The largest file of certificates or keys, in bytes.
const LARGEST: u64 = 4 << 20;

/// The cryptography of every handshake.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a PEM file; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = read.map_err(|error| TlsError::of(path, &error))?;
    if found.is_empty() {
        let what = "holds no certificate: write it in PEM (`-----BEGIN CERTIFICATE-----`)";
        return Err(TlsError::of(path, &what));
    }
    Ok(found)
}

/// The private key of a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let what = "holds no private key: write it in PEM (`-----BEGIN PRIVATE KEY-----`), \
                    not encrypted";
        TlsError::of(path, &what)
    })
}

/// How servers are verified, by the authorities of a file or those of the system, and what is shown to
/// them.
pub(crate) fn client(
    ca: Option<&Path>,
    shown: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None => of_the_system()?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::general(&error))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = shown else {
        return Ok(builder.with_no_client_auth());
    };
    let built = builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?);
    built.map_err(|error| {
        let what = format!("does not go with {}: {error}", key.display());
        TlsError::of(certificate, &what)
    })
}

fn of_the_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let what = "this system has no certificate authorities: name a file with `ca`";
        return Err(TlsError::general(&what));
    }
    Ok(store)
}

/// The authorities of a PEM file, each of which must be usable.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = store.add(certificate);
        added.map_err(|error| TlsError::of(path, &error))?;
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = crate::files::read(path, LARGEST);
    let bytes = read.map_err(|error| TlsError::of(path, &error))?;
    bytes.ok_or_else(|| TlsError::of(path, &"there is no such file"))
}
