//! What is weak in a trust root.

use std::io::{self, Write};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{Role, TrustRoot};

/// How long before its end a trust root is warned of, in seconds: 60 days.
const SOON: i64 = 60 * 24 * 60 * 60;

/// One weakness: a stable word, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weakness {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// Tells people.
pub(super) fn tell(trust: &TrustRoot, now: Time, out: &mut dyn Write) -> io::Result<()> {
    for weakness in find(trust, now) {
        writeln!(out, "warning: {}", weakness.message)?;
    }
    Ok(())
}

/// Everything that is weak at a time.
pub(super) fn find(trust: &TrustRoot, now: Time) -> Vec<Weakness> {
    let mut found = Vec::new();
    let mut add = |code, message: String| found.push(Weakness { code, message });
    match &trust.roles().root {
        None => add(
            "no_root_role",
            "there is no root role, so a key can be replaced only by hand on every sidecar; name \
             root keys and keep them offline"
                .to_owned(),
        ),
        Some(role) if role.threshold == 1 => add(
            "root_threshold",
            format!("{} alone may change whom sidecars believe", any_of(role)),
        ),
        Some(_) => {}
    }
    match trust.expires() {
        None => add(
            "no_expiry",
            "it has no end, so a sidecar that is held back keeps believing it; give `--expires`"
                .to_owned(),
        ),
        Some(end) if now >= end => add("expired", format!("it ended at {end}; rotate it")),
        Some(end) if now.0 >= end.0 - SOON => {
            add("ends_soon", format!("it ends at {end}; rotate it"));
        }
        Some(_) => {}
    }
    for (channel, role) in trust.channels() {
        if role.threshold == 1 {
            let who = any_of(role);
            add(
                "release_threshold",
                format!("{who} alone may release any policy on {channel}"),
            );
        }
        match trust.roles().freshness.get(channel) {
            None => add(
                "no_freshness",
                format!(
                    "{channel} has no freshness role, so a release that is held back goes unseen \
                     and nothing can be denied without a release"
                ),
            ),
            Some(online) => {
                let both = online.members.iter().find(|it| powerful(trust, it));
                if let Some(name) = both {
                    add(
                        "online_key",
                        format!(
                            "{name} signs pointers every hour and may release or change the root \
                             too; give freshness a key of its own"
                        ),
                    );
                }
            }
        }
    }
    for name in trust.keys().keys().chain(trust.identities().keys()) {
        if roles_of(trust, name).is_empty() {
            add("unused_key", format!("{name} has no role; remove it"));
        }
    }
    found
}

/// The roles that a key or identity is in.
pub(super) fn roles_of(trust: &TrustRoot, name: &str) -> Vec<String> {
    let holds = |role: &Role| role.members.iter().any(|it| it == name);
    let roles = trust.roles();
    let root = roles.root.iter().filter(|it| holds(it));
    let root = root.map(|_| "root".to_owned());
    let named = |kind: &'static str| {
        let all = match kind {
            "release" => &roles.release,
            _ => &roles.freshness,
        };
        let all = all.iter().filter(|(_, role)| holds(role));
        all.map(move |(channel, _)| format!("{kind}:{channel}"))
    };
    root.chain(named("release"))
        .chain(named("freshness"))
        .collect()
}

fn powerful(trust: &TrustRoot, name: &str) -> bool {
    roles_of(trust, name)
        .iter()
        .any(|it| !it.starts_with("freshness"))
}

fn any_of(role: &Role) -> String {
    match role.members.as_slice() {
        [only] => only.clone(),
        several => format!("each of {}", several.join(", ")),
    }
}
