//! The rules of acceptance: whether an offered release may take the place of what runs.

use std::fmt;

use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::dsse::{self, DsseError};
use super::statement::{self, ENGINE, FORMAT};
use super::{Digest, Statement, StatementError, Subject, TrustRoot, instant, read_json};

/// A release that someone offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The bytes of the DSSE envelope.
    pub envelope: &'a [u8],
    /// The channel that is followed; `None` means the only one of the trust root.
    pub channel: Option<&'a str>,
    /// The files that came with it, described from the very buffers that will be used.
    pub files: &'a [Subject],
    /// Which files must be there.
    pub required: Required<'a>,
    /// Whether a release must name the one before it that was accepted here.
    pub strict_chain: bool,
}

/// Which files of a release must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required<'a> {
    /// The file of this name: what one sidecar needs.
    File(&'a str),
    /// Every file that the statement lists.
    All,
}

/// A release that may be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was signed.
    pub statement: Statement,
    /// The digest of the statement, its name in audit and in `previous`.
    pub digest: Digest,
    /// The names of the trusted keys that signed it.
    pub signers: Vec<String>,
    /// What it is to the one accepted before.
    pub change: Change,
    /// What an operator must be told.
    pub warnings: Vec<Warning>,
    /// The floor to persist before the release is put in force.
    pub floor: Floor,
}

/// What an accepted release is to the one accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another release: the first, or a higher one.
    New,
    /// The very same.
    Same,
}

/// Something that does not keep a release out but must not go unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The clock is behind a time that trusted keys have vouched for; that time was used.
    ClockBehind {
        /// The time that was used.
        trusted: Time,
    },
    /// `previous` is not the statement that was accepted last: a release was skipped, or history
    /// was rewritten.
    BrokenChain,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockBehind { trusted } => {
                write!(
                    f,
                    "the clock is behind {trusted}, which was used instead; set the clock"
                )
            }
            Self::BrokenChain => f.write_str(
                "the release does not follow the one accepted last; a release was skipped, or \
                 history was rewritten",
            ),
        }
    }
}

/// What a sidecar remembers, so that no one can take it back to an older release.
///
/// The default is the state of a sidecar that has accepted nothing yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The project; empty before the first release.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The version of the trust root.
    pub trust_version: u64,
    /// The epoch of the release accepted last.
    pub epoch: u64,
    /// Its version.
    pub version: u64,
    /// The digest of its statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// The latest time that an accepted statement has vouched for.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub trusted_time: Option<Time>,
}

impl Floor {
    /// Reads a stored floor; a damaged one is an error and not an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FloorError> {
        read_json(bytes).map_err(FloorError)
    }

    /// The text to store.
    pub fn to_json(&self) -> String {
        // Text and numbers in a plain record: there is nothing in a floor that cannot be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Why a stored floor cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorError(pub String);

impl fmt::Display for FloorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the stored version floor is damaged ({}); restore it, or remove it knowing that an \
             older release could then be accepted",
            self.0
        )
    }
}

impl std::error::Error for FloorError {}

/// Decides whether an offered release may be put in force at `now` (seconds since 1970, UTC).
pub fn accept(
    trust: &TrustRoot,
    floor: &Floor,
    offer: &Offer<'_>,
    now: i64,
) -> Result<Accepted, Refused> {
    let channel = followed(trust, offer.channel)?;
    check_floor(trust, floor, channel)?;
    let role = trust
        .release
        .get(channel)
        .ok_or_else(|| Refused::no_channel(channel))?;
    let verified = dsse::verify(offer.envelope, &trust.members(role), role.threshold)
        .map_err(Refused::Envelope)?;
    let statement = Statement::parse(&verified.payload).map_err(Refused::Statement)?;
    let digest = Digest::of(&verified.payload);
    check_target(trust, channel, &statement)?;
    if trust.revoked.contains(&digest) {
        return Err(Refused::Revoked { digest });
    }
    check_engine(&statement)?;
    let change = check_version(trust, floor, channel, &statement, digest)?;
    let mut warnings = Vec::new();
    if change == Change::New && floor.statement.is_some() {
        let chained = statement.release.previous == floor.statement;
        // A new epoch is a new history.
        if !chained && statement.release.epoch == floor.epoch {
            if offer.strict_chain {
                return Err(Refused::BrokenChain);
            }
            warnings.push(Warning::BrokenChain);
        }
    }
    let trusted_time = floor.trusted_time.max(statement.release.issued_at);
    check_time(&statement, trusted_time, now, &mut warnings)?;
    check_files(&statement, offer)?;
    let floor = Floor {
        project: trust.project.clone(),
        channel: channel.to_owned(),
        trust_version: trust.version,
        epoch: statement.release.epoch,
        version: statement.release.version,
        statement: Some(digest),
        trusted_time,
    };
    Ok(Accepted {
        statement,
        digest,
        signers: verified.signers,
        change,
        warnings,
        floor,
    })
}

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

    fn no_channel(channel: &str) -> Self {
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
            Self::NoChannel { channel } if channel.is_empty() => {
                f.write_str("the trust root has several channels; say which one to follow")
            }
            Self::NoChannel { channel } => write!(
                f,
                "the trust root has no channel {channel:?}; correct the channel or update the \
                 trust root"
            ),
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

/// The channel that is followed.
fn followed<'t>(trust: &'t TrustRoot, chosen: Option<&'t str>) -> Result<&'t str, Refused> {
    match chosen {
        Some(channel) => Ok(channel),
        None => {
            let mut channels = trust.release.keys();
            match (channels.next(), channels.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(Refused::no_channel("")),
            }
        }
    }
}

fn check_floor(trust: &TrustRoot, floor: &Floor, channel: &str) -> Result<(), Refused> {
    if *floor == Floor::default() {
        return Ok(());
    }
    if floor.project != trust.project || floor.channel != channel {
        let floor = format!("{}/{}", floor.project, floor.channel);
        return Err(Refused::OtherFloor { floor });
    }
    if trust.version < floor.trust_version {
        let (floor, offered) = (floor.trust_version, trust.version);
        return Err(Refused::TrustRollback { floor, offered });
    }
    Ok(())
}

fn check_target(trust: &TrustRoot, channel: &str, statement: &Statement) -> Result<(), Refused> {
    let release = &statement.release;
    if release.project != trust.project {
        return Err(Refused::WrongProject {
            found: release.project.clone(),
        });
    }
    if release.channel != channel {
        return Err(Refused::WrongChannel {
            found: release.channel.clone(),
        });
    }
    Ok(())
}

fn check_engine(statement: &Statement) -> Result<(), Refused> {
    let need = &statement.release.engine;
    if need.format != FORMAT {
        return Err(Refused::UnknownFormat {
            format: need.format,
        });
    }
    // A version that cannot be read orders below every one that can, so it must be asked for first.
    let needed = statement::triple(&need.min);
    if needed.is_none() || needed > statement::triple(ENGINE) {
        return Err(Refused::EngineTooOld {
            needs: need.min.clone(),
        });
    }
    Ok(())
}

fn check_version(
    trust: &TrustRoot,
    floor: &Floor,
    channel: &str,
    statement: &Statement,
    digest: Digest,
) -> Result<Change, Refused> {
    let (epoch, version) = (statement.release.epoch, statement.release.version);
    if epoch > trust.epoch {
        return Err(Refused::EpochUnknown {
            offered: epoch,
            trusted: trust.epoch,
        });
    }
    // The trust root begins an epoch after a compromise: nothing of an older one is good any more.
    let same_epoch = floor.epoch == trust.epoch && floor.statement.is_some();
    let least = trust.min_version.get(channel).copied().unwrap_or(1);
    let least = least.max(if same_epoch { floor.version } else { 0 });
    let rollback = Err(Refused::Rollback {
        offered: version,
        floor: least,
    });
    if epoch < trust.epoch || epoch < floor.epoch || version < least {
        return rollback;
    }
    match floor
        .statement
        .filter(|_| same_epoch && floor.version == version)
    {
        Some(accepted) if accepted == digest => Ok(Change::Same),
        Some(accepted) => Err(Refused::Equivocation {
            version,
            accepted,
            offered: digest,
        }),
        None => Ok(Change::New),
    }
}

/// Judges `not_after` by the clock, or by the latest trusted time where the clock is behind it.
fn check_time(
    statement: &Statement,
    trusted: Option<Time>,
    now: i64,
    warnings: &mut Vec<Warning>,
) -> Result<(), Refused> {
    let clock = Time(now);
    let now = trusted.map_or(clock, |trusted| trusted.max(clock));
    if now > clock {
        warnings.push(Warning::ClockBehind { trusted: now });
    }
    match statement.release.not_after {
        Some(not_after) if now >= not_after => Err(Refused::Expired { not_after }),
        _ => Ok(()),
    }
}

/// Every file that came is listed and is what was signed, and what is required came.
fn check_files(statement: &Statement, offer: &Offer<'_>) -> Result<(), Refused> {
    for file in offer.files {
        let name = || file.name.clone();
        match statement.subject(&file.name) {
            Some(signed) if signed == file => {}
            Some(_) => return Err(Refused::FileMismatch { name: name() }),
            None => return Err(Refused::FileUnlisted { name: name() }),
        }
    }
    let missing = |name: &str| !offer.files.iter().any(|file| file.name == name);
    let absent = match offer.required {
        Required::File(name) => missing(name).then_some(name),
        Required::All => statement
            .subjects
            .iter()
            .map(|subject| subject.name.as_str())
            .find(|name| missing(name)),
    };
    absent.map_or(Ok(()), |name| {
        Err(Refused::FileMissing {
            name: name.to_owned(),
        })
    })
}
