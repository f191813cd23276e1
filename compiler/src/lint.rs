//! Lints: what is legal and unwise. One file for each, over the syntax and the model.
//!
//! They run on a project without errors, so none of them speaks of what is broken already; only
//! what looks like a secret is told in any case. A
//! finding is silenced by a level in `latchkey.toml`, or at its place by a comment
//! `# latchkey: allow(slug): why`.

use latchkey_engine::time::Time;
use latchkey_gate::gate::Gate;

use crate::{
    diag::{Diagnostic, Sink},
    model::Model,
    parallel,
    project::Project,
    source::SourceMap,
    syntax,
};

mod agent_holds_destructive;
mod agent_without_owner;
mod analysis;
mod binding_expired;
mod binding_expires_soon;
mod claim_value_of_nothing;
mod cleartext_upstream;
mod empty_project;
mod empty_server;
mod facts;
mod grant_to_suspended;
mod group_of_nobody;
mod inherited_already;
mod limit_never_binds;
mod matrix_without_denial;
mod needs_review;
mod not_pinned;
mod open_blocklist;
mod open_schema;
mod organization_without_id;
mod overlapping_paths;
mod plaintext_secret;
mod principal_expired;
mod principal_without_grant;
mod public_write;
mod redundant_binding;
mod risk_understated;
mod rule_expired;
mod rule_of_nobody;
mod rule_on_unreachable;
mod schedule_ends_soon;
mod schema_keyword;
mod scope_map_catch_all;
mod scope_map_incomplete;
mod shadowed_rule;
mod suppress;
mod tool_without_schema;
mod unfit_owner;
mod unlimited_token_lifetime;
mod unreachable_surface;
mod untested_server;
mod untested_surface;
mod unused_group;
mod unused_issuer;
mod unused_role;
mod unused_schedule;
mod wide;
mod wildcard_for_one;

use facts::Facts;

/// One lint: what it finds is added to the list.
type Lint = fn(&Facts<'_>, &mut Vec<Diagnostic>);

/// Every lint, in the order of the names; the sink orders what they find.
const LINTS: &[Lint] = &[
    agent_holds_destructive::check,
    agent_without_owner::check,
    binding_expired::check,
    binding_expires_soon::check,
    claim_value_of_nothing::check,
    cleartext_upstream::check,
    empty_project::check,
    empty_server::check,
    grant_to_suspended::check,
    group_of_nobody::check,
    inherited_already::check,
    limit_never_binds::check,
    matrix_without_denial::check,
    needs_review::check,
    not_pinned::check,
    open_blocklist::check,
    open_schema::check,
    organization_without_id::check,
    overlapping_paths::check,
    principal_expired::check,
    principal_without_grant::check,
    public_write::check,
    redundant_binding::check,
    risk_understated::check,
    rule_expired::check,
    rule_of_nobody::check,
    rule_on_unreachable::check,
    schedule_ends_soon::check,
    schema_keyword::check,
    scope_map_catch_all::check,
    scope_map_incomplete::check,
    shadowed_rule::check,
    tool_without_schema::check,
    unfit_owner::check,
    unlimited_token_lifetime::check,
    unreachable_surface::check,
    untested_server::check,
    untested_surface::check,
    unused_group::check,
    unused_issuer::check,
    unused_role::check,
    unused_schedule::check,
    wide::bindings,
    wide::selectors,
    wildcard_for_one::check,
];

/// How much is asked of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is seen by looking at it.
    Quick,
    /// Also what only follows from comparing it with itself without an entry.
    Thorough,
}

/// What the texts by themselves tell, whatever they mean.
#[derive(Debug)]
pub struct Texts {
    /// The comments that silence lints.
    suppressions: suppress::Suppressions,
    /// Comments that were meant to.
    malformed: Sink,
    /// What the lints of texts found.
    found: Vec<Diagnostic>,
}

impl Texts {
    /// Looks at every text.
    pub fn read(project: &Project, sources: &SourceMap) -> Self {
        let mut malformed = Sink::new();
        let suppressions = suppress::read(sources, &mut malformed);
        let mut found = Vec::new();
        plaintext_secret::check(project, sources, &mut found);
        Self {
            suppressions,
            malformed,
            found,
        }
    }
}

/// Runs every lint on a sound project and what it compiles to, as of `today`; without them there
/// is only what the texts tell.
pub fn run(
    written: (&Project, &syntax::Project),
    meant: Option<(&Model, &Gate)>,
    texts: (Texts, &SourceMap),
    sink: &mut Sink,
    when: (Time, Depth),
) {
    run_unless(written, meant, texts, sink, when, &|| false);
}

/// The same, unless it is told to stop: then it answers `false`, and the sink has not everything.
pub(crate) fn run_unless(
    (project, syntax): (&Project, &syntax::Project),
    meant: Option<(&Model, &Gate)>,
    (texts, sources): (Texts, &SourceMap),
    sink: &mut Sink,
    (today, depth): (Time, Depth),
    stop: &(dyn Fn() -> bool + Sync),
) -> bool {
    let Texts {
        mut suppressions,
        malformed,
        mut found,
    } = texts;
    sink.append(malformed);
    if let Some((model, gate)) = meant {
        let facts = Facts::new(project, syntax, model, today);
        let told = parallel::map_quietly(LINTS, |lint| {
            let mut found = Vec::new();
            (!stop()).then(|| lint(&facts, &mut found))?;
            Some(found)
        });
        let Some(told) = told.into_iter().collect::<Option<Vec<_>>>() else {
            return false;
        };
        found.extend(told.into_iter().flatten());
        if depth == Depth::Thorough {
            analysis::check(&facts, gate, &mut found);
        }
    }
    for finding in found {
        if suppressions.silence(&finding, sources) {
            sink.suppressed();
        } else {
            sink.push(finding);
        }
    }
    if meant.is_some() {
        suppressions.unused(depth, sources, sink);
    }
    true
}
