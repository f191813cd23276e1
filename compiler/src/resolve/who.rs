//! Whom a binding or rule speaks of.

use std::{collections::BTreeSet, rc::Rc};

use super::{Resolver, callers::principal_type, places, tail, unknown};
use crate::text::Text;
use crate::{diag::codes, model::Who, source::Spanned, syntax};

impl<'a> Resolver<'a> {
    /// Resolves the subjects; reports each that does not exist.
    pub(super) fn who(&mut self, subjects: &[Spanned<syntax::Who>]) -> Vec<Spanned<Who>> {
        let mut resolved = Vec::with_capacity(subjects.len());
        for subject in subjects {
            if let Some(who) = self.subject(subject) {
                resolved.push(Spanned::new(who, subject.span));
            }
        }
        resolved
    }

    fn subject(&mut self, subject: &Spanned<syntax::Who>) -> Option<Who> {
        let syntax = self.syntax;
        let named =
            |name: &Text| Spanned::new(name.clone(), tail(self.sources, subject.span, name));
        match &subject.value {
            syntax::Who::Everyone => Some(Who::Everyone),
            syntax::Who::Type(kind) => Some(Who::Type(principal_type(*kind))),
            syntax::Who::Principal(name) => {
                let known = syntax.principals.contains_key(name)
                    || self.known(places::PRINCIPAL, &named(name), &syntax.principals);
                known.then(|| Who::Principal(name.clone()))
            }
            syntax::Who::Group(name) => {
                let known = syntax.groups.contains_key(name)
                    || self.known(places::GROUP, &named(name), &syntax.groups);
                known.then(|| Who::Group(name.clone()))
            }
            syntax::Who::Tag(name) => {
                let tags = self.tags();
                if tags.contains(name.as_str()) {
                    return Some(Who::Tag(name.clone()));
                }
                self.unsure = true;
                if !syntax.may_hold(name) {
                    let message = format!("no principal has the tag `{name}`");
                    let help = "give a principal the tag, or correct it".to_owned();
                    let tags: Vec<&str> = tags.iter().copied().collect();
                    let place = named(name);
                    self.report(unknown(&codes::UNKNOWN_TAG, &place, message, &tags, help));
                }
                None
            }
        }
    }

    /// Every tag of a principal; those of principals that are wrong in other ways count as well.
    fn tags(&mut self) -> Rc<BTreeSet<&'a str>> {
        let tags = self.tags.get_or_insert_with(|| {
            let principals = self.syntax.principals.values();
            let lists = principals.flat_map(|it| it.tags.iter());
            let tags = lists.flat_map(|list| list.iter());
            Rc::new(tags.map(|tag| tag.value.as_str()).collect())
        });
        Rc::clone(tags)
    }
}
