//! Who signed, by name, and why the others do not count.

use latchkey_engine::time::Time;
use latchkey_gate::supply::{Keyless, Role, TrustRoot, dsse::Envelope};

use super::line::Line;

/// The signers of an envelope among the members of a role, and the line about them.
pub(in crate::command) fn count(
    check: &str,
    trust: &TrustRoot,
    role: &Role,
    envelope: &Envelope,
    identities: Option<(&[Vec<u8>], &dyn Keyless)>,
    now: Time,
) -> (Vec<String>, Line) {
    let mut signers = Vec::new();
    let mut missing = Vec::new();
    for name in &role.members {
        match member(trust, name, envelope, identities, now) {
            Ok(()) => signers.push(name.clone()),
            Err(why) => missing.push(format!("{name} ({why})")),
        }
    }
    signers.sort_unstable();
    let threshold = role.threshold.max(1);
    let holds = signers.len() >= threshold;
    let mut said = format!("{} of the {threshold} needed", signers.len());
    if !signers.is_empty() {
        said = format!("{said}: {}", signers.join(", "));
    }
    if !missing.is_empty() {
        said = format!("{said}; not by {}", missing.join(", "));
    }
    (signers, Line::of(check, holds, said))
}

fn member(
    trust: &TrustRoot,
    name: &str,
    envelope: &Envelope,
    identities: Option<(&[Vec<u8>], &dyn Keyless)>,
    now: Time,
) -> Result<(), String> {
    if let (Some(key), Some(entry)) = (trust.keys().get(name), trust.key_entries().get(name)) {
        if let Some(begin) = entry.not_before.filter(|begin| now < *begin) {
            return Err(format!("its key counts from {begin} on"));
        }
        if let Some(end) = entry.not_after.filter(|end| now >= *end) {
            return Err(format!("its key counted until {end}"));
        }
        let signed = !envelope.signers(&[(name, *key)]).is_empty();
        return signed
            .then_some(())
            .ok_or_else(|| "no valid signature".to_owned());
    }
    let Some(identity) = trust.identities().get(name) else {
        return Err("unknown".to_owned());
    };
    let Some((bundles, keyless)) = identities.filter(|(bundles, _)| !bundles.is_empty()) else {
        return Err("no Sigstore bundle".to_owned());
    };
    let mut why = String::new();
    for bundle in bundles {
        match keyless.verify(bundle, identity) {
            Ok(payload) if payload == envelope.payload => return Ok(()),
            Ok(_) => "it signed another statement".clone_into(&mut why),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}
