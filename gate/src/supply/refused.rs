//! Why a release is not put in force.

use std::fmt;

use latchkey_engine::time::Time;

use super::dsse::DsseError;
use super::statement::{ENGINE, FORMAT};
use super::{Digest, StatementError};

/// Why a release is not put in force; what ran before keeps running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No readable envelope, or too few valid signatures.
    Envelope(DsseError),
    /// The signed bytes are not a release statement that this version reads.
    Statement(StatementError),
    /// The trust root has no such channel, or several and none was chosen.
    NoChannel {
        /// The channel asked for; empty when none was.
        channel: String,
    },
    /// A trust root older than the one seen before.
    TrustRollback {
        /// The version seen before.
        floor: u64,
        /// The version offered.
        offered: u64,
    },
    /// The stored floor is of another project or channel.
    OtherFloor {
        /// Its `project/channel`.
        floor: String,
    },
    /// A release of another project.
    WrongProject {
        /// The project that it is of.
        found: String,
    },
    /// A release on another channel.
    WrongChannel {
        /// The channel that it is on.
        found: String,
    },
    /// The trust root revokes this statement.
    Revoked {
        /// The digest of the statement.
        digest: Digest,
    },
    /// It needs a newer engine.
    EngineTooOld {
        /// The lowest version that will do.
        needs: String,
    },
    /// It is in a bundle format that this version does not read.
    UnknownFormat {
        /// The format's major version.
        format: u32,
    },
    /// An epoch that the trust root has not begun.
    EpochUnknown {
        /// The epoch of the release.
        offered: u64,
        /// The epoch of the trust root.
        trusted: u64,
    },
    /// An older epoch, or a version below the floor or the trust root's minimum.
    Rollback {
        /// The version offered.
        offered: u64,
        /// The lowest that would be taken.
        floor: u64,
    },
    /// The version of the accepted release with another content: the signer speaks with two
    /// tongues, or a key is stolen.
    Equivocation {
        /// The version.
        version: u64,
        /// The statement accepted before.
        accepted: Digest,
        /// The statement offered.
        offered: Digest,
    },
    /// It does not follow the release accepted last, and the caller insists.
    BrokenChain,
    /// Past its `not_after`.
    Expired {
        /// The first instant at which it was no longer in force.
        not_after: Time,
    },
    /// A required file did not come with it.
    FileMissing {
        /// The name of the file.
        name: String,
    },
    /// A file is not the one that was signed.
    FileMismatch {
        /// The name of the file.
        name: String,
    },
    /// A file came with it that the statement does not list.
    FileUnlisted {
        /// The name of the file.
        name: String,
    },
}

impl Refused {
    /// The stable word for logs, metrics and reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Envelope(DsseError::Threshold { .. }) => "bad_signature",
            Self::Envelope(_) => "bad_envelope",
            Self::Statement(_) => "bad_statement",
            Self::NoChannel { .. } => "no_channel",
            Self::TrustRollback { .. } => "trust_rollback",
            Self::OtherFloor { .. } => "other_floor",
            Self::WrongProject { .. } => "wrong_project",
            Self::WrongChannel { .. } => "wrong_channel",
            Self::Revoked { .. } => "revoked",
            Self::EngineTooOld { .. } => "engine_too_old",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::EpochUnknown { .. } => "epoch_unknown",
            Self::Rollback { .. } => "rollback",
            Self::Equivocation { .. } => "equivocation",
            Self::BrokenChain => "broken_chain",
            Self::Expired { .. } => "expired",
            Self::FileMissing { .. } => "file_missing",
            Self::FileMismatch { .. } => "file_mismatch",
            Self::FileUnlisted { .. } => "file_unlisted",
        }
    }

    pub(super) fn no_channel(channel: &str) -> Self {
        Self::NoChannel {
            channel: channel.to_owned(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(error) => write!(f, "{error}"),
            Self::Statement(error) => write!(f, "{error}"),
            Self::NoChannel { channel } => describe_no_channel(f, channel),
            Self::TrustRollback { floor, offered } => write!(
                f,
                "trust root {offered} is older than {floor}, which was in use; install the newer one"
            ),
            Self::OtherFloor { floor } => write!(
                f,
                "the stored version floor is of {floor}; give this sidecar a state directory of \
                 its own"
            ),
            Self::WrongProject { found } => write!(
                f,
                "the release is of project {found:?}; correct the bundle source or the trust root"
            ),
            Self::WrongChannel { found } => write!(
                f,
                "the release is on channel {found:?}; correct the bundle source or the channel"
            ),
            Self::Revoked { digest } => {
                write!(
                    f,
                    "the trust root revokes release {digest}; publish a newer one"
                )
            }
            Self::EngineTooOld { needs } => {
                write!(
                    f,
                    "the release needs engine {needs} and this is {ENGINE}; upgrade first"
                )
            }
            Self::UnknownFormat { format } => write!(
                f,
                "the release is in bundle format {format} and this version reads {FORMAT}; install \
                 the version of Latchkey that goes with it"
            ),
            Self::EpochUnknown { offered, trusted } => write!(
                f,
                "the release is of epoch {offered} and the trust root of {trusted}; update the \
                 trust root"
            ),
            Self::Rollback { offered, floor } => write!(
                f,
                "version {offered} is below {floor}; to go back, release the old content under a \
                 higher version"
            ),
            Self::Equivocation {
                version,
                accepted,
                offered,
            } => write!(
                f,
                "version {version} was accepted as {accepted} and is now offered as {offered}; \
                 treat the signing keys as stolen until this is explained"
            ),
            Self::BrokenChain => f.write_str(
                "the release does not name the one accepted last as its previous; publish the \
                 releases between, or do not ask for a strict chain",
            ),
            Self::Expired { not_after } => {
                write!(f, "the release ended at {not_after}; publish a new one")
            }
            Self::FileMissing { name } => {
                write!(
                    f,
                    "{name} is missing; copy the whole output of `latchkey build`"
                )
            }
            Self::FileMismatch { name } => write!(
                f,
                "{name} is not the file that was signed; copy the output of one `latchkey build`"
            ),
            Self::FileUnlisted { name } => {
                write!(f, "{name} is not part of the release; remove it")
            }
        }
    }
}

impl std::error::Error for Refused {}

fn describe_no_channel(f: &mut fmt::Formatter<'_>, channel: &str) -> fmt::Result {
    if channel.is_empty() {
        return f.write_str("the trust root has several channels; say which one to follow");
    }
    write!(
        f,
        "the trust root has no channel {channel:?}; correct the channel or update the trust root"
    )
}
