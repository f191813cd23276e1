//! Reading a release from wherever it lies.

use std::path::{Path, PathBuf};

use latchkey_carrier::{Carrier, CarrierError, Kind as Fault, Location, Options, Token, names};
use latchkey_gate::supply::{Digest, Subject};
use tokio::runtime::{Builder, Runtime};

use super::super::{Exit, Failure};
use crate::pack;

/// How a place outside of this machine is reached.
#[derive(Debug, Clone, Default, clap::Args)]
pub(in crate::command) struct Remote {
    /// The bearer token for a web server or registry
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// The limits and credentials of transfers.
    pub(in crate::command) fn options(&self) -> Options {
        Options {
            token: self.token_file.clone().map(Token::File),
            ..Options::default()
        }
    }
}

/// A place that releases are read from.
#[derive(Debug)]
pub(in crate::command) struct Source {
    runtime: Runtime,
    carrier: Carrier,
}

/// What is offered there; nothing of it is verified.
#[derive(Debug, Clone)]
pub(in crate::command) struct Found {
    /// The freshness pointer, where there is one.
    pub(in crate::command) pointer: Option<Vec<u8>>,
    /// The envelope of the statement that the pointer names, or of the one in force.
    pub(in crate::command) envelope: Vec<u8>,
    /// The Sigstore bundles over the same statement.
    pub(in crate::command) sigstore: Vec<Vec<u8>>,
}

impl Source {
    /// Opens a place; nothing is read yet.
    pub(in crate::command) fn open(location: &str, remote: &Remote) -> Result<Self, Failure> {
        let location: Location = location.parse().map_err(|it| failure(&it))?;
        let runtime = runtime()?;
        // Whatever the carrier starts belongs to the runtime.
        let carrier = {
            let _inside = runtime.enter();
            Carrier::open(&location, remote.options()).map_err(|it| failure(&it))?
        };
        Ok(Self { runtime, carrier })
    }

    /// The folder, when it is one on this machine.
    pub(in crate::command) fn folder(&self) -> Option<&Path> {
        match self.carrier.location() {
            Location::Folder(folder) => Some(folder),
            Location::Http(_) | Location::Oci(_) => None,
        }
    }

    /// The release that is offered: the one that the pointer names, or the one in force.
    pub(in crate::command) fn release(&self) -> Result<Found, Failure> {
        match self.runtime.block_on(self.carrier.release()) {
            Ok(Some(found)) => Ok(Found {
                pointer: found.pointer,
                envelope: found.envelope,
                sigstore: found.sigstore,
            }),
            Ok(None) => Err(self.nothing()),
            // The pointer names a release that is not here; what is here does not match it.
            Err(error) if error.kind() == Fault::Missing => Ok(Found {
                pointer: self.get(names::POINTER)?,
                ..self.current()?
            }),
            Err(error) => Err(failure(&error)),
        }
    }

    /// The release in force, whatever a pointer names.
    pub(in crate::command) fn current(&self) -> Result<Found, Failure> {
        let envelope = self.get(names::RELEASE)?.ok_or_else(|| self.nothing())?;
        let mut sigstore = Vec::new();
        for n in 1..=names::MOST_SIGSTORE {
            let Some(bundle) = self.get(&names::sigstore(n))? else {
                break;
            };
            sigstore.push(bundle);
        }
        Ok(Found {
            pointer: None,
            envelope,
            sigstore,
        })
    }

    /// A statement by its digest, in its envelope.
    pub(in crate::command) fn statement(
        &self,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.get(&names::statement(digest))
    }

    /// A version of the trust root, in its envelope.
    pub(in crate::command) fn trust(&self, version: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.get(&names::trust(version))
    }

    /// A file of the release; the error says why it is not there whole.
    pub(in crate::command) fn subject(&self, subject: &Subject) -> Result<Vec<u8>, String> {
        let fetched = self.runtime.block_on(self.carrier.subject(subject, None));
        match fetched {
            Ok(fetched) => Ok(fetched.bytes),
            Err(error) => Err(error.to_string()),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let got = self.carrier.get(name, names::LARGEST_ENVELOPE);
        self.runtime.block_on(got).map_err(|it| failure(&it))
    }

    fn nothing(&self) -> Failure {
        let unsigned = self.folder().map(|folder| folder.join(pack::UNSIGNED));
        if unsigned.is_some_and(|path| path.exists()) {
            return Failure::unverified("the release is not signed").help(
                "sign it: `latchkey sign DIR --key FILE`; a sidecar takes it in development only",
            );
        }
        Failure::usage(format!("`{}` holds no release", self.carrier.location()))
            .help("give the folder that `latchkey build` wrote, or where it was pushed to")
    }
}

/// The one thread that transfers run on.
pub(in crate::command) fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::usage(format!("transfers cannot be made: {error}")))
}

/// A transfer that failed: not done, unless what came was not what was signed.
pub(in crate::command) fn failure(error: &CarrierError) -> Failure {
    let mut failure = Failure::usage(error.to_string());
    if matches!(error.kind(), Fault::Damaged | Fault::Conflict) {
        failure.exit = Exit::Unverified;
    }
    failure
}
