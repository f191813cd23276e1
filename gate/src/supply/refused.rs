//! Why a release is not put in force.

use std::fmt;

use latchkey_engine::time::Time;

use super::dsse::{DsseError, Kind};
use super::statement::{ENGINE, FORMAT};
use super::{Digest, PointerError, StatementError, TrustError};

/// Why a release is not put in force; what ran before keeps running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No readable envelope.
    Envelope {
        /// What it should hold.
        of: Kind,
        /// What is wrong.
        error: DsseError,
    },
    /// Too few trusted members have signed.
    Threshold {
        /// What.
        of: Kind,
        /// Distinct trusted members with a valid signature.
        valid: usize,
        /// How many the role needs.
        threshold: usize,
        /// Why an identity that was offered did not count.
        hint: Option<String>,
    },
    /// The signed bytes are not a trust root.
    Trust(TrustError),
    /// A trust root without a root role cannot be followed by another.
    NoRootRole {
        /// Its version.
        version: u64,
    },
    /// Not the next version of the trust root in use.
    TrustChain {
        /// The version that would be next.
        expected: u64,
        /// The version that was offered, or one of another project or an older epoch.
        found: u64,
    },
    /// The trust root in use has ended, so nothing new is accepted by it.
    TrustExpired {
        /// When.
        expires: Time,
    },
    /// The pointer goes with a later trust root than the one in use.
    TrustBehind {
        /// The version that the pointer goes with.
        needs: u64,
        /// The version in use.
        has: u64,
    },
    /// The signed bytes are not a freshness pointer.
    Pointer(PointerError),
    /// A pointer on a channel without a freshness role.
    PointerUntrusted,
    /// No pointer on a channel with a freshness role.
    PointerMissing,
    /// A pointer older than the one heeded last.
    PointerRollback {
        /// The version offered.
        offered: u64,
        /// The version heeded last.
        floor: u64,
    },
    /// The version of the pointer heeded last with another content.
    PointerEquivocation {
        /// The version.
        version: u64,
    },
    /// The pointer names another release.
    NotPointed {
        /// The statement that it names.
        pointed: Digest,
        /// The statement that was offered.
        offered: Digest,
    },
    /// The pointer is past its end: the source is cut off, or is held back.
    Stale {
        /// Its end.
        expires: Time,
    },
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
            Self::Threshold { .. } => "bad_signature",
            Self::Envelope { .. } => "bad_envelope",
            Self::Trust(_) => "bad_trust",
            Self::NoRootRole { .. } => "no_root_role",
            Self::TrustChain { .. } => "trust_chain",
            Self::TrustExpired { .. } => "trust_expired",
            Self::TrustBehind { .. } => "trust_behind",
            Self::Pointer(_) => "bad_pointer",
            Self::PointerUntrusted => "pointer_untrusted",
            Self::PointerMissing => "pointer_missing",
            Self::PointerRollback { .. } => "pointer_rollback",
            Self::PointerEquivocation { .. } => "pointer_equivocation",
            Self::NotPointed { .. } => "not_pointed",
            Self::Stale { .. } => "stale",
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

    fn describe_threshold(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Threshold {
            of,
            valid,
            threshold,
            hint,
        } = self
        else {
            return Ok(());
        };
        write!(
            f,
            "{}: {valid} of the {threshold} signatures that the trust root asks for are valid; sign \
             with the keys that it names",
            of.noun()
        )?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }

    fn describe_trust(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootRole { version } => write!(
                f,
                "trust root {version} has no root role, so no signature can change it; install the \
                 new one by hand"
            ),
            Self::TrustRollback { floor, offered } => write!(
                f,
                "trust root {offered} is older than {floor}, which was in use; install the newer one"
            ),
            Self::TrustChain { expected, found } => write!(
                f,
                "trust root {found} does not follow the one in use; version {expected} of the same \
                 project, at its epoch or a later one, would"
            ),
            Self::TrustExpired { expires } => write!(
                f,
                "the trust root ended at {expires}; publish the next one with `latchkey trust rotate`"
            ),
            Self::TrustBehind { needs, has } => write!(
                f,
                "the pointer goes with trust root {needs} and this is {has}; publish the trust \
                 roots between, or install the newest"
            ),
            _ => Ok(()),
        }
    }

    fn describe_pointer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PointerUntrusted => f.write_str(
                "there is a freshness pointer, and the trust root has no freshness role for the \
                 channel; add the role, or remove the pointer",
            ),
            Self::PointerMissing => f.write_str(
                "the channel has a freshness role and there is no pointer; publish one with \
                 `latchkey release`",
            ),
            Self::PointerRollback { offered, floor } => write!(
                f,
                "pointer {offered} is older than {floor}, which was followed; publish a newer one, \
                 and look for who replays the old one"
            ),
            Self::PointerEquivocation { version } => write!(
                f,
                "pointer {version} is not the one that was followed under this number; treat the \
                 freshness key as stolen until this is explained"
            ),
            Self::NotPointed { pointed, offered } => write!(
                f,
                "the pointer names release {pointed} and {offered} is offered; publish the release \
                 before its pointer"
            ),
            Self::Stale { expires } => write!(
                f,
                "the freshness pointer ended at {expires}; renew it with `latchkey release`, and \
                 check that the source is not cut off"
            ),
            _ => Ok(()),
        }
    }

    fn describe_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing { name } => write!(
                f,
                "{name} is missing; copy the whole output of `latchkey build`"
            ),
            Self::FileMismatch { name } => write!(
                f,
                "{name} is not the file that was signed; copy the output of one `latchkey build`"
            ),
            Self::FileUnlisted { name } => {
                write!(f, "{name} is not part of the release; remove it")
            }
            _ => Ok(()),
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
            Self::Envelope { of, error } => write!(f, "{}: {error}", of.noun()),
            Self::Statement(error) => write!(f, "{error}"),
            Self::Trust(error) => write!(f, "{error}"),
            Self::Pointer(error) => write!(f, "{error}"),
            Self::Threshold { .. } => self.describe_threshold(f),
            Self::NoRootRole { .. }
            | Self::TrustRollback { .. }
            | Self::TrustChain { .. }
            | Self::TrustExpired { .. }
            | Self::TrustBehind { .. } => self.describe_trust(f),
            Self::PointerUntrusted
            | Self::PointerMissing
            | Self::PointerRollback { .. }
            | Self::PointerEquivocation { .. }
            | Self::NotPointed { .. }
            | Self::Stale { .. } => self.describe_pointer(f),
            Self::NoChannel { channel } => describe_no_channel(f, channel),
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
            Self::FileMissing { .. } | Self::FileMismatch { .. } | Self::FileUnlisted { .. } => {
                self.describe_file(f)
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
