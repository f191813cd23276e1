//! The freshness pointer.

use latchkey_engine::time::Time;
use latchkey_gate::supply::{self, Digest, Floor, Pointer, Refused, TrustRoot, dsse::Kind};

use super::super::line::Line;
use super::super::signers;
use super::super::source::Found;
use super::{Judgement, Question, check_of, read};

/// Judges the pointer, and answers the floor that a sidecar has after it.
pub(super) fn judge(
    found: &Found,
    question: &Question<'_>,
    channel: &str,
    judgement: &mut Judgement,
) -> Floor {
    let floor = question.floor.clone();
    let wanted = judgement.trust.roles().freshness.contains_key(channel);
    let Some(envelope) = &found.pointer else {
        if wanted {
            judgement.refuse(Refused::PointerMissing);
        } else {
            let why = "the channel has no freshness role: a release that is held back goes unseen";
            judgement.lines.push(Line::skipped("pointer", why));
        }
        return floor;
    };
    let now = floor.now(question.now);
    let lines = lines(&judgement.trust, &floor, channel, envelope, now);
    judgement.lines.extend(lines);
    match supply::heed(
        &judgement.trust,
        &floor,
        Some(channel),
        envelope,
        question.now,
    ) {
        Ok(heeded) => {
            judgement.pointer = Some(heeded.pointer);
            heeded.floor
        }
        Err(refused) => {
            // What it says of the release is wrong with the pointer, whatever the release says.
            let check = check_of(&refused);
            let own = check.starts_with("pointer") || check == "floor";
            judgement.refuse_at(if own { check } else { "pointer" }, refused);
            floor
        }
    }
}

fn lines(trust: &TrustRoot, floor: &Floor, channel: &str, envelope: &[u8], now: Time) -> Vec<Line> {
    let envelope = match read("pointer", Kind::Pointer, envelope) {
        Ok(envelope) => envelope,
        Err(line) => return vec![line],
    };
    let mut lines = Vec::new();
    let pointer = Pointer::parse(&envelope.payload);
    match &pointer {
        Ok(pointer) => lines.push(Line::ok("pointer", describe(pointer))),
        Err(error) => lines.push(Line::failed("pointer", error.to_string())),
    }
    if let Some(role) = trust.roles().freshness.get(channel) {
        let (_, line) = signers::count("pointer signatures", trust, role, &envelope, None, now);
        lines.push(line);
    }
    if let Ok(pointer) = &pointer {
        lines.push(version(
            trust,
            floor,
            pointer,
            Digest::of(&envelope.payload),
        ));
        let until = format!(
            "signed at {}, ends at {}",
            pointer.issued_at, pointer.expires
        );
        lines.push(Line::of("pointer end", now < pointer.expires, until));
    }
    lines
}

fn describe(pointer: &Pointer) -> String {
    let mut said = format!(
        "names version {} of {}/{}, statement {}",
        pointer.version, pointer.project, pointer.channel, pointer.statement
    );
    if pointer.min_version > 0 {
        said = format!("{said}; nothing below version {}", pointer.min_version);
    }
    let denied = &pointer.urgent_deny;
    if !denied.is_empty() {
        said = format!(
            "{said}; denies at once {} tokens, {} principals, {} surfaces",
            denied.revoked_tokens.len(),
            denied.suspended.len(),
            denied.denied.len()
        );
    }
    said
}

fn version(trust: &TrustRoot, floor: &Floor, pointer: &Pointer, digest: Digest) -> Line {
    let (stated, wanted) = (pointer.epoch, trust.epoch());
    if stated != wanted {
        let said = format!("of epoch {stated}, and the trust root's is {wanted}");
        return Line::failed("pointer version", said);
    }
    let (offered, followed) = (pointer.pointer_version, floor.pointer_version);
    if floor.epoch < pointer.epoch || followed == 0 {
        return Line::ok(
            "pointer version",
            format!("{offered}; none was followed before"),
        );
    }
    let other = offered == followed && floor.pointer.is_some_and(|before| before != digest);
    let said = format!("{offered}; {followed} was followed before");
    if other {
        return Line::failed("pointer version", format!("{said}, with another content"));
    }
    Line::of("pointer version", offered >= followed, said)
}
