//! What the tables of a bundle must say to each other, proved once so that nothing later asks.

use std::collections::BTreeSet;

use super::Section;
use crate::{
    condition::{Formula, is_canonical, is_condition},
    id::{FormulaId, ScopeId},
    index::{
        Access, Effect, Index, Principals, Risk, Rule, ScopeSource, Subject, Surface,
        bindings::MAX_ROLE_SETS,
    },
    name::{is_label, is_surface},
    policy::{facts, obligations},
    strings::Strings,
};

/// What is wrong with an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) section: Section,
    pub(super) what: &'static str,
}

/// Proves every rule that [`Index`] documents.
pub(super) fn check(index: &Index) -> Result<(), Flaw> {
    let check = Check {
        index,
        permissions: index.surfaces.iter().map(Surface::permission_count).sum(),
    };
    for section in Section::ALL {
        check.prove(*section).map_err(|what| Flaw {
            section: *section,
            what,
        })?;
    }
    Ok(())
}

type Outcome = Result<(), &'static str>;

struct Check<'a> {
    index: &'a Index,
    /// How many permissions there are.
    permissions: usize,
}

impl Check<'_> {
    fn prove(&self, section: Section) -> Outcome {
        match section {
            Section::Project => self.project(),
            Section::Scopes => self.scopes(),
            Section::Issuers => self.issuers(),
            Section::Groups => self.groups(),
            Section::Tags => self.tags(),
            Section::Principals => self.principals(),
            Section::Servers => self.servers(),
            Section::Surfaces => self.surfaces(),
            Section::Schemas => self.schemas(),
            Section::Attributes => self.attributes(),
            Section::Formulas => self.formulas(),
            Section::Roles => self.roles(),
            Section::RoleSets => self.role_sets(),
            Section::Bindings => self.bindings(),
            Section::Rules => self.rules(),
        }
    }

    fn project(&self) -> Outcome {
        ensure(is_label(&self.index.project), "an illegal name")
    }

    fn scopes(&self) -> Outcome {
        ensure(
            self.index.scopes.is_well_formed(),
            "scope names must be legal, sorted and distinct",
        )
    }

    fn issuers(&self) -> Outcome {
        let issuers = &self.index.issuers;
        names(issuers.iter().map(|it| it.name.as_str()))?;
        let mut urls: Vec<&str> = issuers.iter().map(|it| it.url.as_str()).collect();
        urls.sort_unstable();
        ensure(sorted(&urls), "two issuers with one URL")?;
        for issuer in issuers {
            ensure(!issuer.url.is_empty(), "an issuer without a URL")?;
            ensure(sorted(&issuer.audiences), "audiences must be sorted")?;
            ensure(sorted(&issuer.algorithms), "algorithms must be sorted")?;
            ensure(
                sorted(&issuer.organizations),
                "organizations must be sorted",
            )?;
            for scope in &issuer.organizations {
                self.scope(*scope)?;
                ensure(
                    self.index.scopes.organization(*scope) == Some(*scope),
                    "an issuer speaks for organizations only",
                )?;
            }
        }
        Ok(())
    }

    fn groups(&self) -> Outcome {
        names(self.index.groups.iter().map(|it| it.name.as_str()))?;
        let issuers = self.index.groups.iter().filter_map(|it| it.claim.as_ref());
        for (issuer, _) in issuers {
            within(issuer.index(), self.index.issuers.len())?;
        }
        Ok(())
    }

    fn tags(&self) -> Outcome {
        labels(&self.index.tags)
    }

    fn principals(&self) -> Outcome {
        let index = self.index;
        let principals: &Principals = &index.principals;
        let count = principals.names.len();
        labels(&principals.names)?;
        let lengths = [principals.types.len(), principals.scopes.len()];
        ensure(lengths == [count; 2], UNEQUAL)?;
        let last = principals.scopes.iter().max();
        last.map_or(Ok(()), |last| self.scope(*last))?;
        ensure(sorted(&principals.suspended), UNSORTED)?;
        ensure(sorted(&principals.tags), UNSORTED)?;
        ensure(sorted(&principals.groups), UNSORTED)?;
        for principal in &principals.suspended {
            within(principal.index(), count)?;
        }
        for (principal, tag) in &principals.tags {
            within(principal.index(), count)?;
            within(tag.index(), index.tags.len())?;
        }
        for (principal, group) in &principals.groups {
            within(principal.index(), count)?;
            within(group.index(), index.groups.len())?;
        }
        self.identities(principals)
    }

    fn identities(&self, principals: &Principals) -> Outcome {
        let (identities, subjects) = (&principals.identities, &principals.identity_subjects);
        ensure(identities.len() == subjects.len(), UNEQUAL)?;
        let mut start = 0;
        for own in identities.chunk_by(|a, b| a.0 == b.0) {
            let end = start + own.len();
            ensure(subjects.is_rising(start..end), UNSORTED)?;
            // The lowest is the only one that can be.
            ensure(
                !subjects.get(start).is_empty(),
                "an identity without a subject",
            )?;
            start = end;
        }
        ensure(identities.is_sorted_by(|a, b| a.0 <= b.0), UNSORTED)?;
        let issuers = identities.last().map_or(0, |(last, _)| last.index() + 1);
        ensure(issuers <= self.index.issuers.len(), MISSING)?;
        let last = identities.iter().map(|(_, principal)| *principal).max();
        last.map_or(Ok(()), |last| within(last.index(), principals.names.len()))
    }

    fn servers(&self) -> Outcome {
        let servers = &self.index.servers;
        names(servers.iter().map(|it| it.name.as_str()))?;
        servers.iter().try_for_each(|it| self.scope(it.scope))
    }

    fn surfaces(&self) -> Outcome {
        let surfaces = &self.index.surfaces;
        let keys = || surfaces.iter().map(|it| (it.server, it.name.as_str()));
        ensure(keys().zip(keys().skip(1)).all(|(a, b)| a < b), UNSORTED)?;
        let mut permissions = 0_u32;
        for surface in surfaces {
            self.surface(surface)?;
            permissions = u32::try_from(surface.permission_count())
                .ok()
                .and_then(|count| permissions.checked_add(count))
                .ok_or("too many permissions")?;
        }
        Ok(())
    }

    fn surface(&self, surface: &Surface) -> Outcome {
        within(surface.server.index(), self.index.servers.len())?;
        ensure(is_surface(&surface.name), "an illegal name")?;
        let public = surface.access == Access::Public;
        let destructive = surface.risk == Risk::Destructive;
        ensure(!(public && destructive), "a public surface is destructive")?;
        if let Some(operations) = &surface.operations {
            ensure(
                !operations.argument.is_empty(),
                "an argument without a name",
            )?;
            ensure(!operations.values.is_empty(), "no operation")?;
            ensure(sorted_by(&operations.values, |(name, _)| name), UNSORTED)?;
            let highest = operations.values.iter().map(|(_, risk)| *risk).max();
            ensure(
                highest == Some(surface.risk),
                "a surface's risk is the highest of its operations'",
            )?;
        }
        self.scope_source(&surface.scope)?;
        ensure(sorted_by(&surface.arguments, |it| &it.argument), UNSORTED)?;
        for fact in &surface.arguments {
            ensure(!fact.argument.is_empty(), "an argument without a name")?;
            ensure(sorted(&fact.only), UNSORTED)?;
        }
        if let Some(schema) = surface.schema {
            within(schema.index(), self.index.schemas.len())?;
        }
        ensure(sorted(&surface.obligations), UNSORTED)?;
        ensure(sorted(&surface.audit), UNSORTED)
    }

    fn scope_source(&self, source: &ScopeSource) -> Outcome {
        let named =
            |argument: &[String]| ensure(!argument.is_empty(), "an argument without a name");
        match source {
            ScopeSource::Server | ScopeSource::Principal | ScopeSource::Unscoped => Ok(()),
            ScopeSource::Force { argument, .. } => named(argument),
            ScopeSource::Map {
                argument,
                exact,
                prefixes,
            } => {
                named(argument)?;
                let exact_rise = exact.texts().is_rising(0..exact.texts().len());
                ensure(exact_rise, UNSORTED)?;
                let longest_first = |prefix| (std::cmp::Reverse(str::len(prefix)), prefix);
                let keys = prefixes.texts().iter().map(longest_first);
                ensure(keys.is_sorted_by(|a, b| a < b), UNSORTED)?;
                let mut scopes = exact.scopes().iter().chain(prefixes.scopes());
                scopes.try_for_each(|scope| self.scope(*scope))
            }
        }
    }

    fn schemas(&self) -> Outcome {
        ensure(sorted(&self.index.schemas), UNSORTED)
    }

    fn attributes(&self) -> Outcome {
        let attributes = &self.index.attributes;
        ensure(sorted(attributes), UNSORTED)?;
        ensure(
            attributes
                .iter()
                .all(|attribute| facts::Source::of(attribute).is_some()),
            "an attribute that does not exist",
        )
    }

    fn formulas(&self) -> Outcome {
        let formulas = &self.index.formulas;
        is_canonical(&self.index.attributes, formulas)?;
        // Equal parts are one node here, but evaluation walks a tree: a few dozen nodes could make
        // it take for ever.
        let mut sizes: Vec<usize> = Vec::with_capacity(formulas.len());
        for formula in formulas {
            let size = |part: &FormulaId| sizes.get(part.index()).copied().unwrap_or(0);
            let below: usize = match formula {
                Formula::All(parts) | Formula::Any(parts) => parts.iter().map(size).sum(),
                Formula::Every(_, body) | Formula::Some(_, body) => size(body),
                Formula::Constant(_) | Formula::Literal { .. } => 0,
            };
            ensure(below < MAX_CONDITION, "a formula larger than any condition")?;
            sizes.push(below + 1);
        }
        Ok(())
    }

    fn roles(&self) -> Outcome {
        let roles = &self.index.roles;
        labels(&roles.names)?;
        ensure(roles.permissions.len() == roles.names.len(), UNEQUAL)?;
        ensure(!roles.permissions.has_empty(), "no permission")?;
        ensure(roles.permissions.each_rises(), UNSORTED)?;
        // The last of a list is its highest.
        let last = roles.permissions.iter().filter_map(<[_]>::last).max();
        last.map_or(Ok(()), |last| within(last.index(), self.permissions))
    }

    fn permissions(&self, permissions: &[crate::id::PermissionId]) -> Outcome {
        ensure(!permissions.is_empty(), "no permission")?;
        ensure(sorted(permissions), UNSORTED)?;
        let last = permissions.last().map_or(0, |last| last.index());
        within(last, self.permissions)
    }

    fn role_sets(&self) -> Outcome {
        let sets = &self.index.role_sets;
        ensure(
            self.index.role_set_count() <= MAX_ROLE_SETS as usize,
            "too many sets of roles",
        )?;
        ensure(
            sets.iter().all(|set| set.len() > 1),
            "a set of less than two roles",
        )?;
        ensure(sets.each_rises(), UNSORTED)?;
        let rising = sets.iter().zip(sets.iter().skip(1)).all(|(a, b)| a < b);
        ensure(rising, UNSORTED)?;
        let last = sets.items().iter().max();
        last.map_or(Ok(()), |last| {
            within(last.index(), self.index.roles.names.len())
        })
    }

    /// What they say of each other, and their ids, are proved where they are read.
    fn bindings(&self) -> Outcome {
        let bindings = &self.index.bindings;
        ensure(bindings.names.are_labels(), "an illegal name")?;
        ensure(bindings.bounds == self.index.bounds(), MISSING)?;
        self.conditions(bindings.conditions.values().iter().copied())
    }

    fn rules(&self) -> Outcome {
        names(self.index.rules.iter().map(|it| it.name.as_str()))?;
        for rule in &self.index.rules {
            self.rule(rule)?;
        }
        self.conditions(self.index.rules.iter().filter_map(|rule| rule.condition))?;
        let starts = self.index.permission_starts();
        let built = obligations::Table::build(self.index, &starts);
        built.map(|_| ()).map_err(|error| error.what)
    }

    fn rule(&self, rule: &Rule) -> Outcome {
        if let Effect::Require(obligations) = &rule.effect {
            ensure(!obligations.is_empty(), "a rule that requires nothing")?;
            ensure(sorted(obligations), UNSORTED)?;
        }
        for subjects in [&rule.who, &rule.except] {
            ensure(sorted(subjects), UNSORTED)?;
            self.subjects(subjects)?;
        }
        self.permissions(&rule.permissions)?;
        self.scope(rule.scope)
    }

    fn subjects(&self, subjects: &[Subject]) -> Outcome {
        subjects.iter().try_for_each(|subject| match subject {
            Subject::Principal(it) => within(it.index(), self.index.principals.names.len()),
            Subject::Group(it) => within(it.index(), self.index.groups.len()),
            Subject::Tag(it) => within(it.index(), self.index.tags.len()),
            Subject::Type(_) | Subject::Everyone => Ok(()),
        })
    }

    fn scope(&self, scope: ScopeId) -> Outcome {
        within(scope.index(), self.index.scopes.nodes().len())
    }

    /// Proves that each of these formulas can be a condition by itself; every one once.
    fn conditions(&self, conditions: impl Iterator<Item = FormulaId>) -> Outcome {
        let (attributes, formulas) = (&self.index.attributes, &self.index.formulas);
        let conditions: BTreeSet<FormulaId> = conditions.collect();
        conditions.into_iter().try_for_each(|condition| {
            within(condition.index(), formulas.len())?;
            ensure(
                is_condition(attributes, formulas, condition),
                "a condition that reads elements outside their list",
            )
        })
    }
}

/// The most nodes of one condition as a tree: more than its longest text can spell.
const MAX_CONDITION: usize = 1 << 13;

const MISSING: &str = "an id without an entry";
const UNSORTED: &str = "entries must be sorted and distinct";
const UNEQUAL: &str = "columns of different lengths";

fn ensure(holds: bool, what: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(what) }
}

fn within(at: usize, count: usize) -> Outcome {
    ensure(at < count, MISSING)
}

fn sorted<T: Ord>(entries: &[T]) -> bool {
    entries.windows(2).all(|pair| match pair {
        [a, b] => a < b,
        _ => true,
    })
}

fn sorted_by<'a, T, K: Ord>(entries: &'a [T], key: impl Fn(&'a T) -> K) -> bool {
    let keys = || entries.iter().map(&key);
    keys().zip(keys().skip(1)).all(|(a, b)| a < b)
}

/// Names of a table of their own.
fn labels(names: &Strings) -> Outcome {
    ensure(names.are_labels(), "an illegal name")?;
    ensure(
        names.is_rising(0..names.len()),
        "names must be sorted and distinct",
    )
}

fn names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Outcome {
    ensure(names.clone().all(is_label), "an illegal name")?;
    let rising = names.clone().zip(names.skip(1)).all(|(a, b)| a < b);
    ensure(rising, "names must be sorted and distinct")
}
