//! From the trust root that was given to the newest that follows it.

use latchkey_engine::time::Time;
use latchkey_gate::supply::{Floor, TrustRoot, rotate};

use super::super::super::Failure;
use super::super::line::Line;
use super::super::source::Source;

/// Most versions that are walked at once.
const MOST: u64 = 1000;

/// The given root and those that follow it, and why the next one does not, if there is one.
pub(super) fn roots(
    source: &Source,
    given: &TrustRoot,
    now: Time,
) -> Result<(Vec<TrustRoot>, Option<String>), Failure> {
    let mut trust = given.clone();
    let mut roots = vec![given.clone()];
    for version in given.version() + 1..given.version() + MOST {
        let Some(envelope) = source.trust(version)? else {
            break;
        };
        match rotate(&trust, &envelope, now) {
            Ok(next) => trust = next,
            Err(refused) => {
                let fault = format!("version {version} is refused: {refused}");
                return Ok((roots, Some(fault)));
            }
        }
        roots.push(trust.clone());
    }
    Ok((roots, None))
}

/// The newest root, and the lines about it.
pub(super) fn walk(
    source: &Source,
    given: &TrustRoot,
    floor: &Floor,
    now: Time,
) -> Result<(TrustRoot, Vec<Line>), Failure> {
    let (mut roots, fault) = roots(source, given, now)?;
    let trust = roots.pop().unwrap_or_else(|| given.clone());
    let version = |trust: &TrustRoot| {
        format!(
            "version {} of {}, epoch {}",
            trust.version(),
            trust.project(),
            trust.epoch()
        )
    };
    let walked = match trust.version() - given.version() {
        0 => version(&trust),
        steps => format!(
            "{}, {steps} after the one given, each signed by the root roles of both",
            version(&trust)
        ),
    };
    let lines = vec![
        match fault {
            None => Line::ok("trust root", walked),
            Some(fault) => Line::failed("trust root", format!("{walked}; {fault}")),
        },
        end(&trust, now),
        remembered(&trust, floor),
    ];
    Ok((trust, lines))
}

fn end(trust: &TrustRoot, now: Time) -> Line {
    match trust.expires() {
        None => Line::skipped("trust end", "it states no end"),
        Some(end) if now < end => Line::ok("trust end", format!("in force until {end}")),
        Some(end) => Line::failed("trust end", format!("it ended at {end}")),
    }
}

fn remembered(trust: &TrustRoot, floor: &Floor) -> Line {
    if *floor == Floor::default() {
        return Line::skipped(
            "floor",
            "none was given: as for a sidecar that starts empty",
        );
    }
    let said = format!(
        "of {}/{}: trust root {}, epoch {}, version {}, pointer {}",
        floor.project,
        floor.channel,
        floor.trust_version,
        floor.epoch,
        floor.version,
        floor.pointer_version
    );
    Line::of("floor", trust.version() >= floor.trust_version, said)
}
