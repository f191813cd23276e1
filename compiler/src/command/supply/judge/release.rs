//! The release statement.

use latchkey_gate::supply::{
    Digest, ENGINE, FORMAT, Floor, Release, Statement, TrustRoot, dsse::Kind,
};

use super::super::line::Line;
use super::super::signers;
use super::super::source::Found;
use super::{Judgement, Question, read};

/// Judges statement and signatures.
pub(super) fn judge(
    found: &Found,
    question: &Question<'_>,
    channel: &str,
    judgement: &mut Judgement,
) {
    let envelope = match read("statement", Kind::Statement, &found.envelope) {
        Ok(envelope) => envelope,
        Err(line) => return judgement.lines.push(line),
    };
    let digest = Digest::of(&envelope.payload);
    let trust = judgement.trust.clone();
    let statement = match Statement::parse(&envelope.payload) {
        Ok(statement) => statement,
        Err(error) => {
            let line = Line::failed("statement", error.to_string());
            return judgement.lines.push(line);
        }
    };
    let files = statement.subjects.len();
    let said = format!("{digest}, canonical, lists {files} files");
    judgement.lines.push(Line::ok("statement", said));
    if let Some(role) = trust.channels().get(channel) {
        let bundles = Some((found.sigstore.as_slice(), question.keyless));
        let now = question.floor.now(question.now);
        let (who, line) = signers::count("signatures", &trust, role, &envelope, bundles, now);
        judgement.signers = who;
        judgement.lines.push(line);
    }
    let floor = at_epoch(&question.floor, trust.epoch());
    let release = &statement.release;
    judgement.lines.extend([
        same("project", &release.project, trust.project()),
        same("channel", &release.channel, channel),
        revocation(&trust, digest),
        epoch(&trust, release),
        version(&trust, question, judgement, &floor, release, channel),
        equivocation(&floor, release, digest),
        pointed(judgement, digest),
        chain(&floor, release, digest, question.strict_chain),
        engine(release),
        format(release),
        end(release, question),
        origin(release),
        tests(release),
    ]);
    judgement.statement = Some((statement, digest));
}

/// A floor counts within its epoch only.
fn at_epoch(floor: &Floor, epoch: u64) -> Floor {
    if floor.epoch >= epoch {
        return floor.clone();
    }
    Floor {
        version: 0,
        statement: None,
        ..floor.clone()
    }
}

fn same(check: &str, found: &str, wanted: &str) -> Line {
    if found == wanted {
        return Line::ok(check, found);
    }
    Line::failed(check, format!("{found:?}, where {wanted:?} is followed"))
}

fn revocation(trust: &TrustRoot, digest: Digest) -> Line {
    if trust.revokes(&digest) {
        return Line::failed("revocation", "the trust root revokes this statement");
    }
    let others = trust.revoked().len();
    Line::ok(
        "revocation",
        format!("not among the {others} that are revoked"),
    )
}

fn epoch(trust: &TrustRoot, release: &Release) -> Line {
    let said = format!(
        "{}, and the trust root's is {}",
        release.epoch,
        trust.epoch()
    );
    Line::of("epoch", release.epoch == trust.epoch(), said)
}

fn version(
    trust: &TrustRoot,
    question: &Question<'_>,
    judgement: &Judgement,
    floor: &Floor,
    release: &Release,
    channel: &str,
) -> Line {
    let pointed = judgement.pointer.as_ref().map_or(0, |it| it.min_version);
    let rooted = trust.min_version(channel);
    let least = [rooted, pointed, question.min_version, floor.version];
    let least = least.into_iter().max().unwrap_or(0);
    let said = format!(
        "{}; at least {least} is asked for (trust root {rooted}, pointer {pointed}, operator {}, \
         accepted before {})",
        release.version, question.min_version, floor.version
    );
    Line::of("version", release.version >= least, said)
}

fn equivocation(floor: &Floor, release: &Release, digest: Digest) -> Line {
    match floor.statement.filter(|_| floor.version == release.version) {
        None => Line::skipped(
            "equivocation",
            "no other content was seen under this version",
        ),
        Some(accepted) => Line::of(
            "equivocation",
            accepted == digest,
            format!("accepted under this version before: {accepted}"),
        ),
    }
}

fn pointed(judgement: &Judgement, digest: Digest) -> Line {
    match &judgement.pointer {
        None => Line::skipped("pointed", "there is no pointer to follow"),
        Some(pointer) => Line::of(
            "pointed",
            pointer.statement == digest,
            format!("the pointer names {}", pointer.statement),
        ),
    }
}

fn chain(floor: &Floor, release: &Release, digest: Digest, strict: bool) -> Line {
    let previous = release
        .previous
        .map_or_else(|| "none".to_owned(), |it| it.to_string());
    match floor.statement {
        None => Line::skipped("chain", format!("names as previous: {previous}")),
        Some(accepted) if accepted == digest => Line::ok("chain", "it is the release in force"),
        Some(accepted) if release.previous == Some(accepted) => {
            Line::ok("chain", "it follows the release accepted before")
        }
        Some(accepted) => {
            let said = format!("names as previous: {previous}; accepted before: {accepted}");
            Line::of("chain", !strict, said)
        }
    }
}

fn engine(release: &Release) -> Line {
    // Whether it suffices is decided by the gate.
    let said = format!("needs {} and this is {ENGINE}", release.engine.min);
    Line::ok("engine", said)
}

fn format(release: &Release) -> Line {
    let said = format!("{}, and this version reads {FORMAT}", release.engine.format);
    Line::of("format", release.engine.format == FORMAT, said)
}

fn end(release: &Release, question: &Question<'_>) -> Line {
    let now = question
        .floor
        .now(question.now)
        .max(release.issued_at.unwrap_or(question.now));
    match release.not_after {
        None => Line::skipped("end", "it states no end"),
        Some(end) if now < end => Line::ok("end", format!("in force until {end}")),
        Some(end) => Line::failed("end", format!("it ended at {end}")),
    }
}

fn origin(release: &Release) -> Line {
    match &release.source {
        None => Line::skipped("source", "built outside of a commit: nobody can rebuild it"),
        Some(source) => Line::ok(
            "source",
            format!(
                "commit {}, input {}; `latchkey rebuild` proves it",
                source.commit, source.tree_sha256
            ),
        ),
    }
}

fn tests(release: &Release) -> Line {
    match release.tests {
        None => Line::skipped("tests", "the statement names no test result"),
        Some(digest) => Line::ok(
            "tests",
            format!("result {digest}; `latchkey rebuild` proves it"),
        ),
    }
}
