//! Names to things: from syntax to the model, with every wrong reference reported.
//!
//! A name that does not exist is an error with the closest name that does. What is needed for a
//! policy to mean something is checked here; what is merely unwise is a lint's business.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use hashbrown::HashMap;
use latchkey_engine::condition;

use crate::{
    diag::{Code, Diagnostic, Sink, codes, suggest::Guesses},
    model::{ByName, Model, Role, Scope},
    source::{FileId, SourceMap, Span, Spanned},
    syntax::{self, Entry, Names, ScopePath},
    text::Text,
};

mod bindings;
mod callers;
mod conditions;
mod counting;
mod facts;
mod issuers;
mod matrices;
mod passage;
mod places;
mod roles;
pub(crate) use roles::flatten as inherit;
mod rules;
mod schedules;
mod schemas;
pub(crate) use schemas::locked_is_enforceable;
mod selectors;
mod servers;
mod shapes;
mod who;

/// Resolves a project; `None` means that an error was reported, here or before.
pub fn resolve(
    name: &str,
    syntax: &syntax::Project,
    sources: &SourceMap,
    sink: &mut Sink,
) -> Option<Model> {
    let model = as_far_as_it_goes(name, syntax, sources, sink);
    is_sound(syntax, sink).then_some(model)
}

/// The same, and who calls and what is bound, most of a large project, is no longer there as it was
/// written: each binding goes as soon as it is resolved.
pub(crate) fn resolve_and_let_go(
    name: &str,
    syntax: &mut syntax::Project,
    sources: &SourceMap,
    sink: &mut Sink,
) -> Option<Model> {
    let bindings = std::mem::take(&mut syntax.bindings).into_entries();
    let model = with_bindings(bindings.into_iter(), name, syntax, sources, sink);
    syntax.principals = Names::default();
    syntax.groups = Names::default();
    is_sound(syntax, sink).then_some(model)
}

/// Whether no error was found and nothing is missing.
pub(crate) fn is_sound(syntax: &syntax::Project, sink: &Sink) -> bool {
    syntax.is_complete() && !sink.has_errors()
}

/// Resolves a project; what has an error is left out.
pub(crate) fn as_far_as_it_goes(
    name: &str,
    syntax: &syntax::Project,
    sources: &SourceMap,
    sink: &mut Sink,
) -> Model {
    with_bindings(
        syntax.bindings.values().map(|it| &**it),
        name,
        syntax,
        sources,
        sink,
    )
}

/// The same with these bindings, which are asked for one after the other.
fn with_bindings(
    bindings: impl Iterator<Item: Borrow<Entry<syntax::Binding>>>,
    name: &str,
    syntax: &syntax::Project,
    sources: &SourceMap,
    sink: &mut Sink,
) -> Model {
    let mut resolver = Resolver::new(syntax, sources, sink);
    let organizations = resolver.organizations();
    let issuers = resolver.issuers();
    let groups = resolver.groups();
    let principals = resolver.principals(&issuers);
    let schedules = resolver.schedules();
    let servers = resolver.servers();
    let mut roles = resolver.roles(&servers);
    resolver.role_cycles(&roles);
    inherit(&mut roles);
    let mut model = Model {
        project: name.to_owned(),
        organizations,
        issuers,
        groups,
        principals,
        worked_out: schedules::worked_out(&schedules),
        schedules,
        servers,
        roles,
        bindings: ByName::new(),
        rules: ByName::new(),
        matrices: ByName::new(),
    };
    model.bindings = resolver.bindings(bindings, &model);
    model.rules = resolver.rules(&model);
    model.matrices = resolver.matrices(&model);
    resolver.obligations(&model);
    resolver.shared_counts(&model);
    if !resolver.unsure {
        resolver.unscoped(&model);
    }
    model
}

/// Resolves the entries of some files anew and puts them into the model in place of those of the
/// names that each gave before. No entry of another file is looked at again: only what is found in
/// these files, each by itself, is reported.
pub(crate) fn again(
    files: &BTreeMap<FileId, BTreeSet<Text>>,
    model: &mut Model,
    syntax: &syntax::Project,
    sources: &SourceMap,
    sink: &mut Sink,
) {
    let mut resolver = Resolver::new(syntax, sources, sink);
    for (file, before) in files {
        let of_file = (*file, before);
        resolver.only = Some(*file);
        let groups = resolver.groups();
        exchange(&mut model.groups, of_file, groups, |it| it.span);
        let principals = resolver.principals(&model.issuers);
        exchange(&mut model.principals, of_file, principals, |it| it.span);
        let roles = resolver.roles(&model.servers);
        let roles = inherited(roles, &model.roles);
        exchange(&mut model.roles, of_file, roles, |it| it.span);
        let bindings = resolver.entries(&syntax.bindings);
        let bindings = resolver.bindings(bindings.map(|(_, it)| it), model);
        exchange(&mut model.bindings, of_file, bindings, |it| it.span);
        let rules = resolver.rules(model);
        exchange(&mut model.rules, of_file, rules, |it| it.span);
        let matrices = resolver.matrices(model);
        exchange(&mut model.matrices, of_file, matrices, |it| it.span);
    }
}

/// Puts the entries of a file in place of those that it gave before under some names. What keeps
/// its name keeps its place: among very many others it takes a while to make room.
fn exchange<T>(
    entries: &mut ByName<T>,
    (file, before): (FileId, &BTreeSet<Text>),
    new: ByName<T>,
    span: impl Fn(&T) -> Span,
) {
    for name in before.iter().filter(|it| !new.contains_key(it.as_str())) {
        let old = entries.get(name.as_str());
        if old.is_some_and(|it| span(it).file == file) {
            entries.remove(name.as_str());
        }
    }
    entries.extend(new);
}

/// Some roles with what they inherit, also from others that have all of theirs.
fn inherited(mut roles: ByName<Role>, others: &ByName<Role>) -> ByName<Role> {
    let own: BTreeSet<Text> = roles.keys().cloned().collect();
    let parents = roles.values().flat_map(|it| &it.inherits);
    let parents: Vec<(Text, Role)> = parents
        .filter_map(|it| others.get_key_value(&it.value))
        .map(|(name, role)| {
            let whole = Role {
                own: role.permissions.clone(),
                inherits: Vec::new(),
                ..role.clone()
            };
            (name.clone(), whole)
        })
        .collect();
    for (name, role) in parents {
        if !own.contains(&name) {
            roles.insert(name, role);
        }
    }
    inherit(&mut roles);
    roles.retain(|name, _| own.contains(name.as_str()));
    roles
}

/// What resolving needs.
struct Resolver<'a> {
    syntax: &'a syntax::Project,
    sources: &'a SourceMap,
    sink: &'a mut Sink,
    /// Whether something is written that is not in the model, such as a grant of a role that does
    /// not exist: what follows from something being absent is not told then.
    unsure: bool,
    /// The names of surfaces whose schema was refused: nothing is known of their arguments.
    flawed: BTreeSet<Span>,
    /// The file whose entries alone are looked at.
    only: Option<FileId>,
    guesses: Guesses<'a>,
    /// What the latest condition of these words means.
    meanings: HashMap<Text, Arc<condition::Typed>>,
    /// The scopes that were asked for and exist.
    scopes: HashMap<ScopePath, Arc<Scope>>,
    /// Every tag of a principal, once one was asked for.
    tags: Option<Rc<BTreeSet<&'a str>>>,
}

/// What a finding with one of these codes says is wrong by what is written, whatever else may be
/// written in a part that could not be read. A name that does not exist is one: see `may_hold`.
const STANDS: &[&Code] = &[
    &codes::BAD_SCHEMA,
    &codes::BAD_VALUE,
    &codes::CONDITION_LITERAL,
    &codes::CONDITION_PATTERN,
    &codes::CONDITION_SYNTAX,
    &codes::CONDITION_TOO_LARGE,
    &codes::CONDITION_UNANCHORED,
    &codes::CONDITION_UNSUPPORTED,
    &codes::DATES_REVERSED,
    &codes::DESTRUCTIVE_SELECTOR,
    &codes::DUPLICATE_CLAIM,
    &codes::DUPLICATE_ID,
    &codes::DUPLICATE_IDENTITY,
    &codes::DUPLICATE_ISSUER,
    &codes::GROUP_OUTSIDE,
    &codes::NEVER_FOLDED,
    &codes::RESERVED_NAME,
    &codes::ROLE_CYCLE,
    &codes::SAME_PATTERN,
    &codes::SCOPE_OUTSIDE_SERVER,
    &codes::TYPE_GETS_DESTRUCTIVE,
    &codes::UNKNOWN_GROUP,
    &codes::UNKNOWN_ISSUER,
    &codes::UNKNOWN_OPERATION,
    &codes::UNKNOWN_OUTCOME,
    &codes::UNKNOWN_PRINCIPAL,
    &codes::UNKNOWN_ROLE,
    &codes::UNKNOWN_RULE,
    &codes::UNKNOWN_SCHEDULE,
    &codes::UNKNOWN_SCOPE,
    &codes::UNKNOWN_SERVER,
    &codes::UNKNOWN_SURFACE,
    &codes::UNKNOWN_TAG,
    &codes::UNKNOWN_ZONE,
];

/// What a finding with one of these codes says is of a surface's risk alone, which a refused
/// schema leaves as it is.
const OF_RISK: &[&Code] = &[&codes::DESTRUCTIVE_IN_ALLOW, &codes::NOT_DESTRUCTIVE];

impl<'a> Resolver<'a> {
    fn new(syntax: &'a syntax::Project, sources: &'a SourceMap, sink: &'a mut Sink) -> Self {
        Self {
            syntax,
            sources,
            sink,
            unsure: !syntax.is_complete(),
            flawed: BTreeSet::new(),
            only: None,
            guesses: Guesses::default(),
            meanings: HashMap::new(),
            scopes: HashMap::new(),
            tags: None,
        }
    }

    /// The entries of a section that are looked at.
    fn entries<T>(
        &self,
        section: &'a Names<T>,
    ) -> impl Iterator<Item = (&'a Text, &'a Entry<T>)> + use<'a, T> {
        let all = self.only.is_none().then(|| section.iter());
        let names = self.only.map(|file| self.syntax.names_of(file));
        let own = names.into_iter().flatten();
        let own = own.filter_map(|name| section.get_key_value(name));
        let only = self.only;
        let here = move |file: FileId| only.is_none_or(|it| it == file);
        let found = all.into_iter().flatten().chain(own);
        let found = found.map(|(name, entry)| (name, &**entry));
        found.filter(move |(_, entry)| here(entry.name.span.file))
    }

    /// Adds a finding, unless it may only be due to something that could not be read.
    fn report(&mut self, diagnostic: Diagnostic) {
        let labels = || diagnostic.labels.iter().map(|it| it.span);
        let holed = || {
            let primary = diagnostic.primary().is_some_and(|it| self.syntax.holed(it));
            let of_risk = OF_RISK.contains(&diagnostic.code);
            let flawed = |name: Span| !of_risk && self.flawed.contains(&name);
            primary || labels().any(|it| flawed(it) || self.syntax.is_holed(it))
        };
        let stands = STANDS.contains(&diagnostic.code) || !holed();
        if stands && !labels().any(|it| self.syntax.stands_in(it)) {
            self.sink.push(diagnostic);
        }
    }

    /// Whether the entry with this name was read only in part, or has a part that is wrong.
    fn holed(&self, name: Span) -> bool {
        self.flawed.contains(&name) || self.syntax.is_holed(name)
    }

    /// Whether a section has a name; reports it when it has not, and could not have.
    fn known<T>(
        &mut self,
        (code, section, noun): Kind,
        name: &Spanned<Text>,
        known: &'a Names<T>,
    ) -> bool {
        if known.get(&name.value).is_some() {
            return true;
        }
        self.unsure = true;
        if !self.syntax.may_declare(section, &name.value) {
            let names = known.keys().map(Text::as_str);
            let best = self.guesses.closest(section, &name.value, names);
            let help = format!("declare it under `{section}`, or correct the name");
            let message = format!("there is no {noun} `{}`", name.value);
            self.report(guessed(code, name, message, best, help));
        }
        false
    }

    /// The scope that a path names; reports an unknown organization or team.
    fn scope(&mut self, path: &Spanned<ScopePath>) -> Option<Arc<Scope>> {
        if let Some(known) = self.scopes.get(&path.value) {
            return Some(Arc::clone(known));
        }
        let scope = Arc::new(self.new_scope(path)?);
        self.scopes.insert(path.value.clone(), Arc::clone(&scope));
        Some(scope)
    }

    fn new_scope(&mut self, path: &Spanned<ScopePath>) -> Option<Scope> {
        let Some((organization, team)) = path.value.parts() else {
            return Some(Scope::Platform);
        };
        let name = Spanned::new(Text::from(organization), path.span);
        let syntax = self.syntax;
        if !self.known(places::ORGANIZATION, &name, &syntax.organizations) {
            return None;
        }
        let Some(team) = team else {
            return Some(Scope::Organization(name.value));
        };
        let teams = &syntax.organizations.get(organization)?.teams;
        if teams.contains_key(team) {
            return Some(Scope::Team(name.value, team.into()));
        }
        self.unsure = true;
        if self.syntax.may_hold(team) {
            return None;
        }
        let message = format!("the organization `{organization}` has no team `{team}`");
        let paths: Vec<String> = teams
            .keys()
            .map(|team| format!("{organization}/{team}"))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let help = format!("declare the team under `organizations.{organization}.teams`");
        let name = Spanned::new(path.value.to_string().into(), path.span);
        self.report(unknown(
            places::ORGANIZATION.0,
            &name,
            message,
            &paths,
            help,
        ));
        None
    }
}

/// A kind of named thing: the code for an unknown one, its section, its noun.
type Kind = (&'static Code, &'static str, &'static str);

/// A finding about a name that does not exist.
fn unknown(
    code: &'static Code,
    name: &Spanned<Text>,
    message: String,
    known: &[&str],
    help: String,
) -> Diagnostic {
    let best = crate::diag::suggest::closest(&name.value, known.iter().copied());
    guessed(code, name, message, best, help)
}

/// The same with the name that was evidently meant.
fn guessed(
    code: &'static Code,
    name: &Spanned<Text>,
    message: String,
    best: Option<&str>,
    help: String,
) -> Diagnostic {
    let found = Diagnostic::new(code, name.span, message).help(help);
    let quoted = name.span.end.saturating_sub(name.span.start) as usize != name.value.len();
    match best {
        // The span of a quoted name has the quotes: replace them with quotes.
        Some(best) if quoted => found.help(format!("did you mean `{best}`?")).fix(
            format!("replace `{}` with `{best}`", name.value),
            crate::diag::Applicability::Maybe,
            name.span,
            format!("\"{best}\""),
        ),
        Some(best) => found.perhaps(&name.value, name.span, best),
        None => found,
    }
}

/// The span of a name inside a scalar such as `group:name`: its last bytes, without a quote.
fn tail(sources: &SourceMap, span: Span, name: &str) -> Span {
    let text = sources.text(span);
    match text.rfind(name) {
        Some(at) => {
            let start = span.start as usize + at;
            Span::new(span.file, start..start + name.len())
        }
        None => span,
    }
}

/// The span of a surface's name inside a scalar such as `name:operation`.
fn tail_of(scalar: &Spanned<syntax::SurfaceRef>, name: &str) -> Span {
    let Span { file, start, end } = scalar.span;
    let quotes = (end - start) as usize != scalar.value.to_string().len();
    let start = start as usize + usize::from(quotes);
    Span::new(file, start..start + name.len())
}
