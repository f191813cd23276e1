//! The three ways of keeping files under names.

mod folder;
mod http;
mod oci;
mod transfer;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_gate::supply::Statement;

use crate::carrier::Options;
use crate::error::CarrierError;
use crate::location::Location;
use crate::peek::Peeked;

pub(crate) use folder::{Folder, storage, write_whole};

/// Files under names, somewhere.
#[derive(Debug)]
pub(crate) enum Store {
    /// In a folder.
    Folder(Box<Folder>),
    /// On a web server.
    Http(Box<http::Http>),
    /// In one manifest of a registry.
    Oci(Box<oci::Oci>),
}

impl Store {
    /// Opens a location.
    pub(crate) fn open(location: &Location, options: &Options) -> Result<Self, CarrierError> {
        match location {
            Location::Folder(path) => Ok(Self::Folder(Box::new(Folder::new(path, options)))),
            Location::Http(url) => Ok(Self::Http(Box::new(http::Http::new(url, options)?))),
            Location::Oci(it) => Ok(Self::Oci(Box::new(oci::Oci::new(it, options)?))),
        }
    }

    /// The bytes under a name.
    pub(crate) async fn get(
        &self,
        name: &str,
        largest: u64,
    ) -> Result<Option<Vec<u8>>, CarrierError> {
        match self {
            Self::Folder(folder) => folder.get(name, largest),
            Self::Http(http) => http.get(name, largest).await,
            Self::Oci(oci) => oci.get(name, largest).await,
        }
    }

    /// Whether something has changed since this was asked last.
    pub(crate) async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        match self {
            Self::Folder(folder) => folder.changed(wait).await,
            Self::Http(http) => http.changed(wait).await,
            Self::Oci(oci) => oci.changed(wait).await,
        }
    }

    /// Whether bytes, of this size where one is given, are under a name.
    pub(crate) async fn has(&self, name: &str, size: Option<u64>) -> Result<bool, CarrierError> {
        match self {
            Self::Folder(folder) => Ok(folder.has(name, size)),
            Self::Http(http) => http.has(name, size).await,
            Self::Oci(oci) => oci.has(name, size).await,
        }
    }

    /// Puts bytes under a name.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes),
            Self::Http(http) => http.put(name, bytes).await,
            Self::Oci(oci) => oci.put(name, bytes).await,
        }
    }

    /// Ends a push: a registry shows all of it at once, and keeps the files of the history.
    pub(crate) async fn finish(
        &self,
        statement: &Statement,
        history: &[Peeked],
    ) -> Result<(), CarrierError> {
        match self {
            Self::Folder(_) | Self::Http(_) => Ok(()),
            Self::Oci(oci) => oci.finish(statement, history).await,
        }
    }
}

/// What is behind these locks is replaced as a whole, so a panic elsewhere cannot have torn it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
