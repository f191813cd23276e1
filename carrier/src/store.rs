//! The three ways of keeping files under names.

mod folder;
mod http;
mod transfer;

use std::time::Duration;

use crate::carrier::Options;
use crate::error::{CarrierError, Kind};
use crate::location::Location;

pub(crate) use folder::{Folder, storage, write_whole};

/// Files under names, somewhere.
#[derive(Debug)]
pub(crate) enum Store {
    /// In a folder.
    Folder(Folder),
    /// On a web server.
    Http(Box<http::Http>),
}

impl Store {
    /// Opens a location.
    pub(crate) fn open(location: &Location, options: &Options) -> Result<Self, CarrierError> {
        match location {
            Location::Folder(path) => Ok(Self::Folder(Folder::new(path, options))),
            Location::Http(url) => Ok(Self::Http(Box::new(http::Http::new(url, options)?))),
            Location::Oci(_) => Err(CarrierError::new(
                Kind::Unusable,
                location,
                "this build cannot speak to registries; build it with the feature `oci`",
            )),
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
        }
    }

    /// Whether something has changed since this was asked last.
    pub(crate) async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        match self {
            Self::Folder(folder) => folder.changed(wait).await,
            Self::Http(http) => http.changed(wait).await,
        }
    }

    /// Whether bytes, of this size where one is given, are under a name.
    pub(crate) async fn has(&self, name: &str, size: Option<u64>) -> Result<bool, CarrierError> {
        match self {
            Self::Folder(folder) => Ok(folder.has(name, size)),
            Self::Http(http) => http.has(name, size).await,
        }
    }

    /// Puts bytes under a name.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes),
            Self::Http(http) => http.put(name, bytes).await,
        }
    }
}
