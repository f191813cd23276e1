//! Reading a release from wherever it is.

use std::path::PathBuf;
use std::time::Duration;

use latchkey_gate::supply::{Digest, Subject};

use crate::error::{CarrierError, Kind};
use crate::location::Location;
use crate::store::Store;
use crate::{names, patch, peek};

/// Reads a release from a location.
#[derive(Debug)]
pub struct Carrier {
    location: Location,
    options: Options,
    store: Store,
}

/// The limits of transfers, and the credentials.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest that one file may take.
    pub timeout: Duration,
    /// The time within which at least 16 KiB, or the end, must come.
    pub stall: Duration,
    /// The largest subject that is fetched, in bytes.
    pub largest: u64,
    /// How often a folder is looked at where the system reports no changes.
    pub rescan: Duration,
    /// Where the bearer token for a web server or registry is.
    pub token: Option<Token>,
    /// Docker's `config.json` with the credentials for a registry; `None` means docker's own rules:
    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub docker_config: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(2),
            stall: Duration::from_secs(15),
            largest: 1 << 30,
            rescan: Duration::from_secs(1),
            token: None,
            docker_config: None,
        }
    }
}

/// Where a bearer token is; it is read again for each request, so it may be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A file that holds it.
    File(PathBuf),
    /// An environment variable that holds it.
    Env(String),
}

/// A subject that was fetched; its size and digest are the signed ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How they came.
    pub how: How,
    /// How many bytes were transferred for it.
    pub transferred: u64,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("bytes", &self.bytes.len())
            .field("how", &self.how)
            .field("transferred", &self.transferred)
            .finish()
    }
}

/// How a subject came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The caller had it already.
    Held,
    /// As a patch on what the caller had.
    Patch,
    /// Compressed.
    Compressed,
    /// As it is.
    Whole,
}

/// What a location offers; nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The freshness pointer, where there is one.
    pub pointer: Option<Vec<u8>>,
    /// The envelope of the statement that the pointer names, or of the one in force.
    pub envelope: Vec<u8>,
    /// The Sigstore bundles over the same statement.
    pub sigstore: Vec<Vec<u8>>,
}

impl Carrier {
    /// Opens a location; nothing is read yet.
    pub fn open(location: &Location, options: Options) -> Result<Self, CarrierError> {
        Ok(Self {
            store: Store::open(location, &options)?,
            location: location.clone(),
            options,
        })
    }

    /// The location.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The bytes of a file of at most `largest` bytes; `None` when there is none.
    pub async fn get(&self, name: &str, largest: u64) -> Result<Option<Vec<u8>>, CarrierError> {
        if !names::is_legal(name) {
            return Err(self.error(Kind::Unusable, format!("{name:?} cannot be a file's name")));
        }
        self.store.get(name, largest).await
    }

    /// Whether the release has changed since this was asked last; true the first time.
    ///
    /// With `wait`, an unchanged release is answered when that time is over and a change as soon as
    /// it is seen: at once for a folder on Linux or a server that holds the request (`Prefer: wait`),
    /// within [`Options::rescan`] for other folders, at the next call elsewhere. An error comes at
    /// once, so a caller backs off on errors only.
    pub async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        self.store.changed(wait).await
    }

    /// The release that is offered: the statement that the pointer names, else the one in force.
    pub async fn release(&self) -> Result<Option<Found>, CarrierError> {
        let pointer = self.get(names::POINTER, names::LARGEST_POINTER).await?;
        // A pointer that cannot be read is handed on, to be refused with its reason.
        let named = pointer.as_deref().and_then(peek::pointer);
        let named = named.map(|pointer| pointer.statement);
        let found = self.statement(named).await?;
        if found.is_none() && pointer.is_some() {
            return Err(self.lacks(names::RELEASE));
        }
        Ok(found.map(|found| Found { pointer, ..found }))
    }

    /// The statement of this digest, or the one in force, with the Sigstore bundles over it; for
    /// those who follow a pointer only once it is verified.
    pub async fn statement(&self, named: Option<Digest>) -> Result<Option<Found>, CarrierError> {
        let current = self.get(names::RELEASE, names::LARGEST_ENVELOPE).await?;
        let in_force = current.as_deref().and_then(peek::digest);
        let envelope = match (named, current) {
            (Some(named), _) if in_force != Some(named) => {
                let older = names::statement(&named);
                let envelope = self.get(&older, names::LARGEST_ENVELOPE).await?;
                envelope.ok_or_else(|| self.lacks(&older))?
            }
            (_, Some(current)) => current,
            (_, None) => return Ok(None),
        };
        let digest = peek::digest(&envelope);
        let sigstore = self.sigstore(digest, digest == in_force).await?;
        Ok(Some(Found {
            pointer: None,
            envelope,
            sigstore,
        }))
    }

    /// A version of the trust root, in its envelope.
    pub async fn trust(&self, version: u64) -> Result<Option<Vec<u8>>, CarrierError> {
        self.get(&names::trust(version), names::LARGEST_ENVELOPE)
            .await
    }

    /// A subject of a release, by the cheapest way there is: as a patch on what the caller has,
    /// compressed, by its digest, by its name.
    ///
    /// A form that is damaged is passed over for the next one.
    pub async fn subject(
        &self,
        subject: &Subject,
        have: Option<&[u8]>,
    ) -> Result<Fetched, CarrierError> {
        if subject.size > self.options.largest {
            let what = format!(
                "{} has {} bytes by its statement, and at most {} are fetched; raise the limit if \
                 that is right",
                subject.name, subject.size, self.options.largest
            );
            return Err(self.error(Kind::TooLarge, what));
        }
        let mut fault = None;
        if let Some(have) = have {
            let from = Digest::of(have);
            if from == subject.sha256 && have.len() as u64 == subject.size {
                return Ok(fetched(have.to_vec(), How::Held, 0));
            }
            if let Some(got) = self.patched(subject, &from, have, &mut fault).await? {
                return Ok(got);
            }
        }
        let nothing = Digest::of(b"");
        if let Some(got) = self.patched(subject, &nothing, b"", &mut fault).await? {
            return Ok(got);
        }
        for name in [names::file(&subject.sha256), subject.name.clone()] {
            if let Some(got) = self.whole(subject, &name, &mut fault).await? {
                return Ok(got);
            }
        }
        Err(fault.unwrap_or_else(|| self.lacks(&subject.name)))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn error(&self, kind: Kind, what: impl std::fmt::Display) -> CarrierError {
        CarrierError::new(kind, &self.location, what)
    }

    pub(crate) fn lacks(&self, name: &str) -> CarrierError {
        self.error(
            Kind::Missing,
            format!("there is no {name}; push the release again"),
        )
    }

    /// The Sigstore bundles over a statement: by its digest, else those that lie beside it.
    ///
    /// In the middle of a push the latter may still be of the statement before.
    pub(crate) async fn sigstore(
        &self,
        digest: Option<Digest>,
        in_force: bool,
    ) -> Result<Vec<Vec<u8>>, CarrierError> {
        let mut bundles = Vec::new();
        let Some(digest) = digest else {
            return Ok(bundles);
        };
        for n in 1..=names::MOST_SIGSTORE {
            let name = names::statement_sigstore(&digest, n);
            let Some(bundle) = self.get(&name, names::LARGEST_ENVELOPE).await? else {
                break;
            };
            bundles.push(bundle);
        }
        if bundles.is_empty() && in_force {
            for n in 1..=names::MOST_SIGSTORE {
                let name = names::sigstore(n);
                let Some(bundle) = self.get(&name, names::LARGEST_ENVELOPE).await? else {
                    break;
                };
                if peek::sigstore_digest(&bundle) == Some(digest) {
                    bundles.push(bundle);
                }
            }
        }
        Ok(bundles)
    }

    async fn patched(
        &self,
        subject: &Subject,
        from: &Digest,
        have: &[u8],
        fault: &mut Option<CarrierError>,
    ) -> Result<Option<Fetched>, CarrierError> {
        let name = names::patch(from, &subject.sha256);
        let got = self.get(&name, patch::largest(subject.size)).await;
        let Some(patch) = passable(got, fault)? else {
            return Ok(None);
        };
        let how = if have.is_empty() {
            How::Compressed
        } else {
            How::Patch
        };
        match patch::apply(have, &patch, subject) {
            Ok(bytes) => Ok(Some(fetched(bytes, how, patch.len()))),
            Err(error) => {
                *fault = Some(self.error(Kind::Damaged, format!("{name}: {error}")));
                Ok(None)
            }
        }
    }

    async fn whole(
        &self,
        subject: &Subject,
        name: &str,
        fault: &mut Option<CarrierError>,
    ) -> Result<Option<Fetched>, CarrierError> {
        let got = self.get(name, subject.size).await;
        let Some(bytes) = passable(got, fault)? else {
            return Ok(None);
        };
        if bytes.len() as u64 == subject.size && Digest::of(&bytes) == subject.sha256 {
            let transferred = bytes.len();
            return Ok(Some(fetched(bytes, How::Whole, transferred)));
        }
        let what = format!(
            "{name} is not the {} that its statement names; push the release again",
            subject.name
        );
        *fault = Some(self.error(Kind::Damaged, what));
        Ok(None)
    }
}

fn fetched(bytes: Vec<u8>, how: How, transferred: usize) -> Fetched {
    Fetched {
        bytes,
        how,
        transferred: transferred as u64,
    }
}

/// Notes a fault that only this form of a subject has, and lets the others through.
fn passable(
    got: Result<Option<Vec<u8>>, CarrierError>,
    fault: &mut Option<CarrierError>,
) -> Result<Option<Vec<u8>>, CarrierError> {
    match got {
        Err(error) if matches!(error.kind(), Kind::TooLarge | Kind::Damaged) => {
            *fault = Some(error);
            Ok(None)
        }
        other => other,
    }
}
