//! Whether what is denied at once has a name in the release: a name that nothing has denies nothing,
//! and whoever types it in a hurry must not believe otherwise.

use latchkey_engine::policy::Policy;
use latchkey_gate::supply::Pointer;

use super::{
    super::{Failure, Terminal, read},
    Args,
};
use crate::{diag::suggest, pack};

/// What a list of names is about.
#[derive(Clone, Copy)]
enum Kind {
    Principal,
    Surface,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Surface => "surface",
        }
    }

    fn has(self, policy: &Policy, name: &str) -> bool {
        match self {
            Self::Principal => policy.principal(name).is_some(),
            Self::Surface => policy.surface_by_name(name).is_some(),
        }
    }

    fn known(self, policy: &Policy) -> Vec<String> {
        let index = policy.index();
        match self {
            Self::Principal => index.principals.names.iter().map(str::to_owned).collect(),
            Self::Surface => {
                let name = |it: &latchkey_engine::index::Surface| {
                    let server = policy.server_entry(it.server)?;
                    Some(format!("{}/{}", server.name, it.name))
                };
                index.surfaces.iter().filter_map(name).collect()
            }
        }
    }

    /// What to do about a name that nothing is like.
    fn instead(self) -> &'static str {
        match self {
            Self::Principal => {
                "only principals of the policy are suspended by name; deny another caller's token \
                 with `--deny-token ID`"
            }
            Self::Surface => {
                "write SERVER/NAME; `latchkey show --resolved` lists everything that there is"
            }
        }
    }
}

/// Refuses new names that the release does not have, and warns of those that a flag or the pointer
/// before lets through.
pub(super) fn check(
    args: &Args,
    pointer: &Pointer,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let urgent = &pointer.urgent_deny;
    if urgent.suspended.is_empty() && urgent.denied.is_empty() {
        return Ok(());
    }
    let path = args.folder.join(pack::ALL);
    let policy = Policy::open(&read(&path)?).map_err(|error| {
        Failure::unverified(format!("`{}` is no bundle: {}", path.display(), error.what))
            .help("build it again with this version of latchkey")
    })?;
    for (kind, given, all) in [
        (Kind::Principal, &args.suspend, &urgent.suspended),
        (Kind::Surface, &args.surfaces, &urgent.denied),
    ] {
        let mut unknown = all.iter().filter(|name| !kind.has(&policy, name));
        let refused = unknown.clone().find(|name| given.contains(name));
        if let Some(name) = refused.filter(|_| !args.deny_unknown) {
            return Err(failure(kind, &policy, name, pointer.version));
        }
        unknown.try_for_each(|name| {
            writeln!(
                terminal.err,
                "warning: version {} has no {} `{name}`: only a release that has it denies by it",
                pointer.version,
                kind.noun(),
            )
        })?;
    }
    Ok(())
}

fn failure(kind: Kind, policy: &Policy, name: &str, version: u64) -> Failure {
    let known = kind.known(policy);
    let near = suggest::closest(name, known.iter().map(String::as_str));
    let near = near.map(|best| format!("did you mean `{best}`?"));
    Failure::usage(format!(
        "version {version} of the policy has no {} `{name}`, so it would deny nothing",
        kind.noun()
    ))
    .help(format!(
        "{}; to deny a name that only an older release has, add `--deny-unknown`",
        near.as_deref().unwrap_or_else(|| kind.instead())
    ))
}
