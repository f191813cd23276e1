//! The rules of acceptance: whether an offered release may take the place of what runs.

use std::fmt;

use latchkey_engine::time::Time;

use super::dsse::{Envelope, Kind};
use super::statement::{self, ENGINE, FORMAT};
use super::{
    Digest, Floor, Keyless, NoKeyless, Pointer, Refused, Role, Statement, Subject, TrustRoot,
};

/// A release that someone offers, but for its files.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The bytes of the DSSE envelope.
    pub envelope: &'a [u8],
    /// Sigstore bundles over the same payload.
    pub sigstore: &'a [Vec<u8>],
    /// Who verifies those.
    pub keyless: &'a dyn Keyless,
    /// The channel that is followed; `None` means the only one of the trust root.
    pub channel: Option<&'a str>,
    /// The pointer that was heeded; a channel with a freshness role takes nothing new without it.
    pub pointer: Option<&'a Pointer>,
    /// Whether a release must name the one before it that was accepted here.
    pub strict_chain: bool,
    /// A version that the operator takes nothing below.
    pub min_version: u64,
}

impl<'a> Offer<'a> {
    /// An offer with an envelope alone.
    pub fn new(envelope: &'a [u8]) -> Self {
        Self {
            envelope,
            sigstore: &[],
            keyless: &NoKeyless,
            channel: None,
            pointer: None,
            strict_chain: false,
            min_version: 0,
        }
    }
}

/// Which files of a release must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required<'a> {
    /// The file of this name: what one sidecar needs.
    File(&'a str),
    /// Every file that the statement lists.
    All,
}

/// A release that may be put in force once its files are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was signed.
    pub statement: Statement,
    /// The digest of the statement, its name in audit and in `previous`.
    pub digest: Digest,
    /// The names of the trusted keys and identities that signed it.
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
    /// The trust root ends soon.
    TrustEnds {
        /// When.
        expires: Time,
    },
}

/// How long before its end a trust root is warned of, in seconds: 60 days.
const TRUST_WARNING: i64 = 60 * 24 * 60 * 60;

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
            Self::TrustEnds { expires } => write!(
                f,
                "the trust root ends at {expires} and accepts nothing new from then on; publish the \
                 next one with `latchkey trust rotate`"
            ),
        }
    }
}

/// A pointer that is signed, fresh and not older than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heeded {
    /// What it says.
    pub pointer: Pointer,
    /// The floor to persist before it is followed.
    pub floor: Floor,
}

/// Decides whether a freshness pointer may be followed at `now`; its denials apply at once.
///
/// The order is TUF's: signatures, then its version against the stored one, then its end against
/// the time that was fixed at the start; only what passes all of it is to be persisted.
pub fn heed(
    trust: &TrustRoot,
    floor: &Floor,
    channel: Option<&str>,
    envelope: &[u8],
    now: Time,
) -> Result<Heeded, Refused> {
    let channel = followed(trust, channel)?;
    check_floor(trust, floor, channel)?;
    let floor = floor.at_epoch(trust.epoch());
    let time = floor.now(now);
    let roles = &trust.roles().freshness;
    let role = roles.get(channel).ok_or(Refused::PointerUntrusted)?;
    let of = Kind::Pointer;
    let envelope = Envelope::read(of, envelope).map_err(|error| Refused::Envelope { of, error })?;
    count(trust, role, of, &envelope, None, time)?;
    let pointer = Pointer::parse(&envelope.payload).map_err(Refused::Pointer)?;
    check_target(trust, channel, &pointer.project, &pointer.channel)?;
    check_pointer(trust, &floor, &pointer, Digest::of(&envelope.payload))?;
    if time >= pointer.expires {
        let expires = pointer.expires;
        return Err(Refused::Stale { expires });
    }
    let floor = Floor {
        project: trust.project().to_owned(),
        channel: channel.to_owned(),
        trust_version: trust.version(),
        pointer_version: pointer.pointer_version,
        pointer: Some(Digest::of(&envelope.payload)),
        trusted_time: floor.trusted_time.max(Some(pointer.issued_at)),
        ..floor
    };
    Ok(Heeded { pointer, floor })
}

/// Decides whether an offered release may be put in force at `now`.
pub fn accept(
    trust: &TrustRoot,
    floor: &Floor,
    offer: &Offer<'_>,
    now: Time,
) -> Result<Accepted, Refused> {
    let channel = followed(trust, offer.channel)?;
    check_floor(trust, floor, channel)?;
    let floor = &floor.at_epoch(trust.epoch());
    let Standing {
        statement,
        digest,
        signers,
    } = stands(trust, floor, offer, now)?;
    check_engine(&statement)?;
    let change = check_version(floor, &statement, digest)?;
    if change == Change::New {
        check_fresh(trust, channel, offer.pointer, digest, floor.now(now))?;
    }
    let mut warnings = Vec::new();
    check_chain(floor, &statement, change, offer, &mut warnings)?;
    let trusted_time = floor.trusted_time.max(statement.release.issued_at);
    let floor = Floor {
        project: trust.project().to_owned(),
        channel: channel.to_owned(),
        trust_version: trust.version(),
        epoch: statement.release.epoch,
        version: statement.release.version,
        statement: Some(digest),
        trusted_time,
        ..floor.clone()
    };
    check_time(trust, &statement, &floor, now, &mut warnings)?;
    Ok(Accepted {
        statement,
        digest,
        signers,
        change,
        warnings,
        floor,
    })
}

/// A release that trusted members have signed and nothing has revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What was signed.
    pub statement: Statement,
    /// Its digest.
    pub digest: Digest,
    /// Who signed.
    pub signers: Vec<String>,
}

/// Whether a release may be in force under a trust root at all, whatever came before it: what is
/// asked of a running release when the trust root or the pointer changes.
pub fn stands(
    trust: &TrustRoot,
    floor: &Floor,
    offer: &Offer<'_>,
    now: Time,
) -> Result<Standing, Refused> {
    let channel = followed(trust, offer.channel)?;
    let role = trust.channels().get(channel);
    let role = role.ok_or_else(|| Refused::no_channel(channel))?;
    let of = Kind::Statement;
    let envelope =
        Envelope::read(of, offer.envelope).map_err(|error| Refused::Envelope { of, error })?;
    let signers = count(trust, role, of, &envelope, Some(offer), floor.now(now))?;
    let statement = Statement::parse(&envelope.payload).map_err(Refused::Statement)?;
    let digest = Digest::of(&envelope.payload);
    let release = &statement.release;
    check_target(trust, channel, &release.project, &release.channel)?;
    if trust.revokes(&digest) {
        return Err(Refused::Revoked { digest });
    }
    let (offered, trusted) = (release.epoch, trust.epoch());
    if offered > trusted {
        return Err(Refused::EpochUnknown { offered, trusted });
    }
    let pointed = offer.pointer.map_or(0, |pointer| pointer.min_version);
    let least = trust
        .min_version(channel)
        .max(pointed)
        .max(offer.min_version);
    if offered < trusted || release.version < least {
        let (offered, floor) = (release.version, least);
        return Err(Refused::Rollback { offered, floor });
    }
    Ok(Standing {
        statement,
        digest,
        signers,
    })
}

impl Accepted {
    /// Proves that every file that came is listed and is what was signed, and that what is required
    /// came. The files are described from the very buffers that will be used.
    pub fn check_files(&self, files: &[Subject], required: Required<'_>) -> Result<(), Refused> {
        for file in files {
            let name = || file.name.clone();
            match self.statement.subject(&file.name) {
                Some(signed) if signed == file => {}
                Some(_) => return Err(Refused::FileMismatch { name: name() }),
                None => return Err(Refused::FileUnlisted { name: name() }),
            }
        }
        let missing = |name: &str| !files.iter().any(|file| file.name == name);
        let absent = match required {
            Required::File(name) => missing(name).then_some(name),
            Required::All => {
                let mut names = self.statement.subjects.iter().map(|it| it.name.as_str());
                names.find(|name| missing(name))
            }
        };
        absent.map_or(Ok(()), |name| {
            Err(Refused::FileMissing {
                name: name.to_owned(),
            })
        })
    }
}

/// The channel that is followed.
fn followed<'t>(trust: &'t TrustRoot, chosen: Option<&'t str>) -> Result<&'t str, Refused> {
    if let Some(channel) = chosen {
        return Ok(channel);
    }
    let mut channels = trust.channels().keys();
    match (channels.next(), channels.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Refused::no_channel("")),
    }
}

fn check_floor(trust: &TrustRoot, floor: &Floor, channel: &str) -> Result<(), Refused> {
    if *floor == Floor::default() {
        return Ok(());
    }
    if floor.project != trust.project() || floor.channel != channel {
        let floor = format!("{}/{}", floor.project, floor.channel);
        return Err(Refused::OtherFloor { floor });
    }
    if trust.version() < floor.trust_version {
        let (floor, offered) = (floor.trust_version, trust.version());
        return Err(Refused::TrustRollback { floor, offered });
    }
    Ok(())
}

/// Counts the distinct members of a role that have signed.
fn count(
    trust: &TrustRoot,
    role: &Role,
    of: Kind,
    envelope: &Envelope,
    keyless: Option<&Offer<'_>>,
    now: Time,
) -> Result<Vec<String>, Refused> {
    let members = trust.members(role, now);
    let mut signers = envelope.signers(&members.keys);
    // What is told when too few have signed: why the last identity did not count.
    let mut hint = None;
    if let Some(offer) = keyless {
        for (name, identity) in members.identities {
            let signed = offer.sigstore.iter().any(|bundle| {
                let payload = offer.keyless.verify(bundle, identity);
                match payload {
                    Ok(payload) => payload == envelope.payload,
                    Err(error) => {
                        hint = Some(format!("{name}: {error}"));
                        false
                    }
                }
            });
            if signed {
                signers.push(name.to_owned());
            }
        }
    }
    // A threshold of nothing would let anyone in.
    let (valid, threshold) = (signers.len(), members.threshold.max(1));
    if valid < threshold {
        return Err(Refused::Threshold {
            of,
            valid,
            threshold,
            hint,
        });
    }
    signers.sort_unstable();
    Ok(signers)
}

fn check_target(
    trust: &TrustRoot,
    channel: &str,
    found_project: &str,
    found_channel: &str,
) -> Result<(), Refused> {
    if found_project != trust.project() {
        let found = found_project.to_owned();
        return Err(Refused::WrongProject { found });
    }
    if found_channel != channel {
        let found = found_channel.to_owned();
        return Err(Refused::WrongChannel { found });
    }
    Ok(())
}

/// The pointer's own versions, and the one that it points at.
fn check_pointer(
    trust: &TrustRoot,
    floor: &Floor,
    pointer: &Pointer,
    digest: Digest,
) -> Result<(), Refused> {
    if pointer.trust_version > trust.version() {
        let (needs, has) = (pointer.trust_version, trust.version());
        return Err(Refused::TrustBehind { needs, has });
    }
    if pointer.epoch > trust.epoch() {
        let (offered, trusted) = (pointer.epoch, trust.epoch());
        return Err(Refused::EpochUnknown { offered, trusted });
    }
    let (offered, stored) = (pointer.pointer_version, floor.pointer_version);
    if pointer.epoch < trust.epoch() || offered < stored {
        let floor = stored;
        return Err(Refused::PointerRollback { offered, floor });
    }
    if offered == stored && floor.pointer.is_some_and(|before| before != digest) {
        return Err(Refused::PointerEquivocation { version: offered });
    }
    if pointer.version < floor.version {
        let (offered, floor) = (pointer.version, floor.version);
        return Err(Refused::Rollback { offered, floor });
    }
    match floor.statement {
        Some(accepted) if pointer.version == floor.version && accepted != pointer.statement => {
            Err(Refused::Equivocation {
                version: pointer.version,
                accepted,
                offered: pointer.statement,
            })
        }
        _ => Ok(()),
    }
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

fn check_version(floor: &Floor, statement: &Statement, digest: Digest) -> Result<Change, Refused> {
    let version = statement.release.version;
    if version < floor.version {
        return Err(Refused::Rollback {
            offered: version,
            floor: floor.version,
        });
    }
    match floor.statement.filter(|_| floor.version == version) {
        Some(accepted) if accepted == digest => Ok(Change::Same),
        Some(accepted) => Err(Refused::Equivocation {
            version,
            accepted,
            offered: digest,
        }),
        None => Ok(Change::New),
    }
}

/// Something new is taken from a trust root that has not ended, and from a channel with a freshness
/// role only when a fresh pointer names it.
fn check_fresh(
    trust: &TrustRoot,
    channel: &str,
    pointer: Option<&Pointer>,
    digest: Digest,
    now: Time,
) -> Result<(), Refused> {
    if let Some(expires) = trust.expires().filter(|expires| now >= *expires) {
        return Err(Refused::TrustExpired { expires });
    }
    if !trust.roles().freshness.contains_key(channel) {
        return Ok(());
    }
    let pointer = pointer.ok_or(Refused::PointerMissing)?;
    if now >= pointer.expires {
        let expires = pointer.expires;
        return Err(Refused::Stale { expires });
    }
    if pointer.statement != digest {
        let (pointed, offered) = (pointer.statement, digest);
        return Err(Refused::NotPointed { pointed, offered });
    }
    Ok(())
}

fn check_chain(
    floor: &Floor,
    statement: &Statement,
    change: Change,
    offer: &Offer<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), Refused> {
    let first = floor.statement.is_none();
    if change == Change::Same || first || statement.release.previous == floor.statement {
        return Ok(());
    }
    if offer.strict_chain {
        return Err(Refused::BrokenChain);
    }
    warnings.push(Warning::BrokenChain);
    Ok(())
}

/// Judges ends by the clock, or by the latest trusted time where the clock is behind it.
fn check_time(
    trust: &TrustRoot,
    statement: &Statement,
    floor: &Floor,
    clock: Time,
    warnings: &mut Vec<Warning>,
) -> Result<(), Refused> {
    let now = floor.now(clock);
    if now > clock {
        warnings.push(Warning::ClockBehind { trusted: now });
    }
    if let Some(expires) = trust.expires()
        && now.0 >= expires.0.saturating_sub(TRUST_WARNING)
    {
        warnings.push(Warning::TrustEnds { expires });
    }
    match statement.release.not_after {
        Some(not_after) if now >= not_after => Err(Refused::Expired { not_after }),
        _ => Ok(()),
    }
}
