//! Organizations, issuers, groups and principals.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use latchkey_engine::{
    index::{Algorithm, PrincipalType},
    time::{Dates, Time},
};

use super::{Resolver, places};
use crate::{
    diag::{Diagnostic, codes},
    model::{ByName, Group, Issuer, Organization, Period, Principal, Scope},
    source::{Span, Spanned},
    syntax::{
        self, issuer::Subjects, principal::Identity, scalar::Label, scalar::Millis,
        scalar::Timestamp,
    },
    text::Text,
};

/// The tolerated difference of clocks when an issuer does not say one, in seconds.
const DEFAULT_SKEW: u32 = 30;

impl Resolver<'_> {
    pub(super) fn organizations(&mut self) -> ByName<Organization> {
        let mut organizations = ByName::new();
        let mut ids: BTreeMap<String, Span> = BTreeMap::new();
        for (name, entry) in self.syntax.organizations.iter() {
            if name == "platform" {
                let message = "`platform` is the scope above all organizations";
                self.report(
                    Diagnostic::new(&codes::RESERVED_NAME, entry.name.span, message)
                        .help("give the organization another name"),
                );
            }
            let teams = entry.teams.values().filter_map(|team| team.id.as_ref());
            for id in entry.id.iter().chain(teams) {
                if let Some(first) = ids.insert(id.value.to_string(), id.span) {
                    let message = format!("the id `{}` is taken", id.value);
                    self.report(
                        Diagnostic::new(&codes::DUPLICATE_ID, id.span, message)
                            .also(first, "first used here")
                            .help("an id is for life and for one; make a new UUID"),
                    );
                }
            }
            let teams = entry
                .teams
                .iter()
                .map(|(team, entry)| (team.clone(), entry.name.span));
            let organization = Organization {
                span: entry.name.span,
                id: entry.id.as_ref().map(|id| id.value.to_string()),
                teams: teams.collect(),
            };
            organizations.insert(name.clone(), organization);
        }
        organizations
    }

    pub(super) fn issuers(&mut self) -> ByName<Issuer> {
        let mut issuers = ByName::new();
        let mut urls: BTreeMap<&str, Span> = BTreeMap::new();
        for (name, entry) in self.syntax.issuers.iter() {
            if let Some(first) = urls.insert(&entry.issuer.value, entry.issuer.span) {
                let message = format!("another issuer already signs as `{}`", entry.issuer.value);
                self.report(
                    Diagnostic::new(&codes::DUPLICATE_ISSUER, entry.issuer.span, message)
                        .also(first, "first used here")
                        .help("a token names its issuer by this value alone; merge the two"),
                );
            }
            for organization in entry.organizations.iter() {
                let named = spanned(organization);
                self.known(places::ORGANIZATION, &named, &self.syntax.organizations);
            }
            if let Some(issuer) = self.issuer(name, entry) {
                issuers.insert(name.clone(), issuer);
            }
        }
        issuers
    }

    fn issuer(&mut self, name: &str, entry: &syntax::Entry<syntax::Issuer>) -> Option<Issuer> {
        let settings = self.issuer_settings(entry)?;
        let keys = self.pinned_keys(name, entry, &settings)?;
        let algorithms: BTreeSet<Algorithm> = match &entry.algorithms {
            None => BTreeSet::from([Algorithm::EdDsa]),
            Some(list) => list.iter().map(|each| algorithm(each.value)).collect(),
        };
        let claims = entry.claims.as_ref();
        Some(Issuer {
            span: entry.name.span,
            url: entry.issuer.clone(),
            audiences: entry
                .audiences
                .iter()
                .flat_map(|list| list.iter())
                .map(|each| each.to_string())
                .collect(),
            algorithms,
            keys,
            organizations: entry
                .organizations
                .iter()
                .map(|each| each.text().clone())
                .collect(),
            undeclared: entry
                .subjects
                .is_some_and(|each| each.value == Subjects::Any),
            undeclared_type: entry.kind.as_ref().map(|kind| principal_type(kind.value)),
            groups_claim: claims
                .and_then(|claims| claims.groups.as_ref())
                .map(|it| it.to_string()),
            clock_skew: self.seconds(entry.clock_skew.as_ref(), DEFAULT_SKEW),
            max_lifetime: self.seconds(entry.max_lifetime.as_ref(), 0),
            settings,
        })
    }

    /// A duration in whole seconds.
    pub(super) fn seconds(&mut self, duration: Option<&Spanned<Millis>>, default: u32) -> u32 {
        let Some(duration) = duration else {
            return default;
        };
        let seconds = u32::try_from(duration.value.0 / 1000).ok();
        let whole = seconds.filter(|_| duration.value.0.is_multiple_of(1000));
        whole.unwrap_or_else(|| {
            let message = "tokens count in whole seconds";
            self.report(
                Diagnostic::new(&codes::BAD_VALUE, duration.span, message)
                    .help("write a whole number of seconds, such as `30s`, below 136 years"),
            );
            default
        })
    }

    pub(super) fn groups(&mut self) -> ByName<Group> {
        let syntax = self.syntax;
        let mut groups = ByName::new();
        let mut values: BTreeMap<(&str, &str), Span> = BTreeMap::new();
        for (name, entry) in self.entries(&syntax.groups) {
            let mut members = Vec::new();
            for member in entry.members.iter().flat_map(|list| list.iter()) {
                let member = spanned(member);
                if self.known(places::PRINCIPAL, &member, &syntax.principals) {
                    members.push(member.value);
                }
            }
            let claim = entry.from.as_ref().and_then(|from| {
                let issuer = spanned(&from.issuer);
                let key = (from.issuer.value.as_str(), from.value.value.as_str());
                if let Some(first) = values.insert(key, from.value.span) {
                    let message = format!("`{}` already makes another group", from.value.value);
                    self.report(
                        Diagnostic::new(&codes::DUPLICATE_CLAIM, from.value.span, message)
                            .also(first, "first used here")
                            .help("bind the one group twice, or map another claim value"),
                    );
                }
                self.group_issuer(&issuer)
                    .then(|| (issuer.value, from.value.value.clone()))
            });
            let within = entry.within.as_ref().and_then(|within| self.scope(within));
            let span = entry.name.span;
            groups.insert(
                name.clone(),
                Group {
                    span,
                    members: members.into_iter().collect(),
                    claim,
                    within,
                },
            );
        }
        groups
    }

    /// Whether an issuer exists and lists groups in its tokens.
    fn group_issuer(&mut self, name: &Spanned<Text>) -> bool {
        let syntax = self.syntax;
        if !self.known(places::ISSUER, name, &syntax.issuers) {
            return false;
        }
        let Some(issuer) = syntax.issuers.get(&name.value) else {
            return false;
        };
        if issuer
            .claims
            .as_ref()
            .is_some_and(|claims| claims.groups.is_some())
        {
            return true;
        }
        let message = format!("no claim of the issuer `{}` lists groups", name.value);
        self.report(
            Diagnostic::new(&codes::NO_GROUP_CLAIM, name.span, message)
                .also(
                    issuer.name.span,
                    "this issuer has no `claims: {groups: ...}`",
                )
                .help("say at the issuer which claim lists groups: `claims: {groups: groups}`"),
        );
        false
    }

    pub(super) fn principals(&mut self, issuers: &ByName<Issuer>) -> ByName<Principal> {
        let syntax = self.syntax;
        let mut principals = Vec::new();
        if self.only.is_none() {
            principals.reserve_exact(syntax.principals.len());
        }
        let mut identities: HashMap<(Text, Text), Span> = HashMap::new();
        for (name, entry) in self.entries(&syntax.principals) {
            if name == "everyone" {
                let message = "`everyone` is every caller, and no principal's name";
                self.report(
                    Diagnostic::new(&codes::RESERVED_NAME, entry.name.span, message)
                        .help("give the principal another name"),
                );
            }
            let scope = self.scope(&entry.within);
            let dates = self.period(entry.not_before.as_ref(), entry.expires.as_ref());
            let mut own = Vec::new();
            for identity in entry.all_identities() {
                let issuer = spanned(&identity.issuer);
                if !self.known(places::ISSUER, &issuer, &syntax.issuers) {
                    continue;
                }
                self.identity_in_reach(identity, scope.as_deref(), entry.within.span, issuers);
                let key = (issuer.value, identity.subject.value.clone());
                if let Some(first) = identities.insert(key.clone(), identity.subject.span) {
                    self.duplicate_identity(identity, first);
                }
                own.push(key);
            }
            let owner = entry.owner.as_ref().map(spanned);
            if let Some(owner) = &owner {
                self.known(places::PRINCIPAL, owner, &syntax.principals);
            }
            let Some(scope) = scope else { continue };
            let tags = entry.tags.iter().flat_map(|tags| tags.iter());
            let principal = Principal {
                span: entry.name.span,
                kind: principal_type(entry.kind.value),
                scope,
                identities: own.into_iter().collect(),
                tags: tags.map(|tag| tag.text().clone()).collect(),
                owner,
                suspended: entry.suspended.is_some_and(|flag| flag.value),
                dates,
            };
            principals.push((name.clone(), principal));
        }
        principals.into_iter().collect()
    }

    fn duplicate_identity(&mut self, identity: &Identity, first: Span) {
        let message = format!(
            "the subject `{}` of `{}` is already a principal",
            identity.subject.value, identity.issuer.value
        );
        self.report(
            Diagnostic::new(&codes::DUPLICATE_IDENTITY, identity.subject.span, message)
                .also(first, "first declared here")
                .help("a token must name one principal; remove one of the identities"),
        );
    }

    /// An issuer may only vouch for principals of its organizations.
    fn identity_in_reach(
        &mut self,
        identity: &Identity,
        scope: Option<&Scope>,
        within: Span,
        issuers: &ByName<Issuer>,
    ) {
        let (Some(scope), Some(issuer)) = (scope, issuers.get(identity.issuer.as_str())) else {
            return;
        };
        // Who belongs to the platform is abroad nowhere, so only an issuer for all may say it.
        let inside = match scope.organization() {
            Some(organization) => issuer.organizations.contains(organization),
            None => self
                .syntax
                .organizations
                .keys()
                .all(|it| issuer.organizations.contains(it)),
        };
        if inside || self.holed(issuer.span) {
            return;
        }
        let message = format!(
            "the issuer `{}` may not speak for a principal in `{scope}`",
            identity.issuer.value
        );
        let organizations: Vec<_> = issuer.organizations.iter().map(Text::as_str).collect();
        self.report(
            Diagnostic::new(&codes::FOREIGN_IDENTITY, identity.issuer.span, message)
                .also(within, "the principal belongs here")
                .help(format!(
                    "it speaks for {}; name another issuer, or extend its `organizations`",
                    organizations.join(", ")
                )),
        );
    }

    /// A period; reports one that ends before it begins.
    pub(super) fn period(
        &mut self,
        not_before: Option<&Spanned<Timestamp>>,
        expires: Option<&Spanned<Timestamp>>,
    ) -> Period {
        let time = |at: &Spanned<Timestamp>| Time(at.value.0);
        if let (Some(start), Some(end)) = (not_before, expires)
            && start.value >= end.value
        {
            let message = "this ends before it begins, so it never holds";
            self.report(
                Diagnostic::new(&codes::DATES_REVERSED, end.span, message)
                    .also(start.span, "it begins here")
                    .help("periods are half-open: `expires` must lie after `notBefore`"),
            );
        }
        Period {
            dates: Dates {
                not_before: not_before.map(time),
                expires: expires.map(time),
            },
            not_before: not_before.map(|at| at.span),
            expires: expires.map(|at| at.span),
        }
    }
}

/// A name as plain text.
pub(super) fn spanned(name: &Spanned<Label>) -> Spanned<Text> {
    Spanned::new(name.value.text().clone(), name.span)
}

/// A type as the engine knows it.
pub(super) fn principal_type(kind: syntax::PrincipalType) -> PrincipalType {
    match kind {
        syntax::PrincipalType::Human => PrincipalType::Human,
        syntax::PrincipalType::Service => PrincipalType::Service,
        syntax::PrincipalType::Agent => PrincipalType::Agent,
    }
}

fn algorithm(algorithm: syntax::issuer::Algorithm) -> Algorithm {
    match algorithm {
        syntax::issuer::Algorithm::EdDsa => Algorithm::EdDsa,
        syntax::issuer::Algorithm::Es256 => Algorithm::Es256,
        syntax::issuer::Algorithm::Rs256 => Algorithm::Rs256,
        syntax::issuer::Algorithm::Es384 => Algorithm::Es384,
        syntax::issuer::Algorithm::Ps256 => Algorithm::Ps256,
    }
}
