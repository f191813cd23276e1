//! The rules of acceptance: whether an offered release may take the place of what runs.

use std::fmt;

use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::statement::{self, ENGINE, FORMAT};
use super::{Digest, Refused, Statement, Subject, TrustRoot, dsse, instant, read_json};

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
    if trust.revokes(&digest) {
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

/// The channel that is followed.
fn followed<'t>(trust: &'t TrustRoot, chosen: Option<&'t str>) -> Result<&'t str, Refused> {
    if let Some(channel) = chosen {
        return Ok(channel);
    }
    let mut channels = trust.release.keys();
    match (channels.next(), channels.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Refused::no_channel("")),
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
