//! Whether a sidecar would take a release, check by check.
//!
//! The verdict is that of the functions that a sidecar calls (`rotate`, `heed`, `accept`,
//! `check_files`, `Gate::open`). The lines are derived beside it, so that one refusal does not hide
//! the next, and a refusal that no line has found is put on the line that it is about.

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    self, Digest, Floor, Keyless, Offer, Pointer, Refused, Required, Statement, Subject, TrustRoot,
    Warning,
    dsse::{Envelope, Kind},
};

use super::super::Failure;
use super::line::{Line, Outcome};
use super::source::{Found, Source};
use crate::pack;

mod agree;
mod files;
mod pointer;
mod release;
mod trust;

/// What a sidecar knows before it looks at a release.
#[derive(Debug)]
pub(in crate::command) struct Question<'a> {
    /// The trust root that it was given.
    pub(in crate::command) trust: TrustRoot,
    /// What it remembers.
    pub(in crate::command) floor: Floor,
    /// The channel that it follows; the only one by default.
    pub(in crate::command) channel: Option<&'a str>,
    /// A version that it takes nothing below.
    pub(in crate::command) min_version: u64,
    /// Whether a release must name the one accepted before.
    pub(in crate::command) strict_chain: bool,
    /// Who verifies identities.
    pub(in crate::command) keyless: &'a dyn Keyless,
    /// The server that it stands before; all of them by default.
    pub(in crate::command) server: Option<&'a str>,
    /// The time.
    pub(in crate::command) now: Time,
}

/// What came of every check.
#[derive(Debug)]
pub(in crate::command) struct Judgement {
    /// The checks, in the order in which a sidecar makes them.
    pub(in crate::command) lines: Vec<Line>,
    /// The trust root that counts: the given one, or a later one that follows it.
    pub(in crate::command) trust: TrustRoot,
    /// The pointer, if it may be followed.
    pub(in crate::command) pointer: Option<Pointer>,
    /// The statement and its digest, if it can be read.
    pub(in crate::command) statement: Option<(Statement, Digest)>,
    /// Who signed it.
    pub(in crate::command) signers: Vec<String>,
    /// Why a sidecar would refuse; the first reason that it would give.
    pub(in crate::command) refused: Option<Refused>,
    /// What it would warn of.
    pub(in crate::command) warnings: Vec<Warning>,
}

impl Judgement {
    /// Whether a sidecar would take the release.
    pub(in crate::command) fn accepted(&self) -> bool {
        self.refused.is_none() && self.failed().next().is_none()
    }

    /// The checks that do not hold.
    pub(in crate::command) fn failed(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|it| it.outcome == Outcome::Failed)
    }

    fn refuse(&mut self, refused: Refused) {
        let check = match check_of(&refused) {
            // An older epoch is refused as a rollback, whatever the version.
            "version" if self.failed().any(|it| it.check == "epoch") => "epoch",
            check => check,
        };
        self.refuse_at(check, refused);
    }

    fn refuse_at(&mut self, check: &str, refused: Refused) {
        blame(&mut self.lines, check, &refused);
        self.refused.get_or_insert(refused);
    }
}

/// Makes every check on what was found at a source.
pub(in crate::command) fn judge(
    source: &Source,
    found: &Found,
    question: &Question<'_>,
) -> Result<Judgement, Failure> {
    let (trust, lines) = trust::walk(source, &question.trust, &question.floor, question.now)?;
    let mut judgement = Judgement {
        lines,
        trust,
        pointer: None,
        statement: None,
        signers: Vec::new(),
        refused: None,
        warnings: Vec::new(),
    };
    let Some(channel) = channel(question.channel, &judgement.trust) else {
        let channel = question.channel.unwrap_or_default().to_owned();
        judgement.refuse(Refused::NoChannel { channel });
        return Ok(judgement);
    };
    let floor = pointer::judge(found, question, &channel, &mut judgement);
    release::judge(found, question, &channel, &mut judgement);
    let files = match &judgement.statement {
        Some((statement, _)) => {
            let (files, lines) = files::judge(source, statement, question.server)?;
            judgement.lines.extend(lines);
            files
        }
        None => pack::Files::new(),
    };
    verdict(found, question, &floor, &files, &mut judgement);
    Ok(judgement)
}

/// The given trust root, and those at a source that follow it, the newest last.
pub(in crate::command) fn roots(
    source: &Source,
    given: &TrustRoot,
    now: Time,
) -> Result<Vec<TrustRoot>, Failure> {
    trust::roots(source, given, now).map(|(roots, _)| roots)
}

/// What a sidecar says of statement and files.
fn verdict(
    found: &Found,
    question: &Question<'_>,
    floor: &Floor,
    files: &pack::Files,
    judgement: &mut Judgement,
) {
    let pointer = judgement.pointer.clone();
    let offer = Offer {
        envelope: &found.envelope,
        sigstore: &found.sigstore,
        keyless: question.keyless,
        channel: question.channel,
        pointer: pointer.as_ref(),
        strict_chain: question.strict_chain,
        min_version: question.min_version,
    };
    let slice = question.server.map(pack::slice_name);
    let required = slice.as_deref().map_or(Required::All, Required::File);
    let described: Vec<_> = files
        .iter()
        .map(|(name, bytes)| Subject::of(name, bytes))
        .collect();
    let verdict = supply::accept(&judgement.trust, floor, &offer, question.now);
    let verdict = verdict.and_then(|accepted| {
        accepted.check_files(&described, required)?;
        Ok(accepted)
    });
    match verdict {
        Ok(accepted) => judgement.warnings = accepted.warnings,
        // The pointer is there and was refused: that is told already.
        Err(Refused::PointerMissing) if judgement.refused.is_some() => {}
        Err(refused) => judgement.refuse(refused),
    }
}

/// The channel that is followed.
fn channel(chosen: Option<&str>, trust: &TrustRoot) -> Option<String> {
    let mut channels = trust.channels().keys();
    match (chosen, channels.next(), channels.next()) {
        (Some(chosen), ..) => trust
            .channels()
            .contains_key(chosen)
            .then(|| chosen.to_owned()),
        (None, Some(only), None) => Some(only.clone()),
        (None, ..) => None,
    }
}

/// Puts a refusal on the line that it is about.
fn blame(lines: &mut Vec<Line>, check: &str, refused: &Refused) {
    let told = lines.iter().any(is_failed_file);
    match lines.iter_mut().find(|line| line.check == check) {
        // What was found there says more.
        Some(line) if line.outcome == Outcome::Failed => {}
        Some(line) => *line = Line::failed(check, refused.to_string()),
        // Each file has a line of its own.
        None if check == "files" && told => {}
        None => lines.push(Line::failed(check, refused.to_string())),
    }
}

fn is_failed_file(line: &Line) -> bool {
    line.outcome == Outcome::Failed && (line.check.starts_with("file ") || line.check == "unlisted")
}

/// The check that a refusal is about.
fn check_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::Envelope { of, .. } => match of {
            Kind::Statement => "statement",
            Kind::Pointer => "pointer",
            Kind::Trust => "trust root",
        },
        Refused::Threshold { of, .. } => match of {
            Kind::Statement => "signatures",
            Kind::Pointer => "pointer signatures",
            Kind::Trust => "trust root",
        },
        Refused::Trust(_) | Refused::NoRootRole { .. } | Refused::TrustChain { .. } => "trust root",
        Refused::TrustExpired { .. } => "trust end",
        Refused::TrustRollback { .. } | Refused::OtherFloor { .. } => "floor",
        Refused::Pointer(_) | Refused::PointerUntrusted | Refused::PointerMissing => "pointer",
        Refused::TrustBehind { .. }
        | Refused::PointerRollback { .. }
        | Refused::PointerEquivocation { .. } => "pointer version",
        Refused::NotPointed { .. } => "pointed",
        Refused::Stale { .. } => "pointer end",
        Refused::Statement(_) => "statement",
        Refused::NoChannel { .. } | Refused::WrongChannel { .. } => "channel",
        Refused::WrongProject { .. } => "project",
        Refused::Revoked { .. } => "revocation",
        Refused::EngineTooOld { .. } => "engine",
        Refused::UnknownFormat { .. } => "format",
        Refused::EpochUnknown { .. } => "epoch",
        Refused::Rollback { .. } => "version",
        Refused::Equivocation { .. } => "equivocation",
        Refused::BrokenChain => "chain",
        Refused::Expired { .. } => "end",
        Refused::FileMissing { .. }
        | Refused::FileMismatch { .. }
        | Refused::FileUnlisted { .. } => "files",
    }
}

/// Reads an envelope; the error is the line to show.
fn read(check: &str, kind: Kind, envelope: &[u8]) -> Result<Envelope, Line> {
    Envelope::read(kind, envelope).map_err(|error| Line::failed(check, error.to_string()))
}
