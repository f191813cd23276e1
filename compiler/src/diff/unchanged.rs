//! Whether two policies are sure to answer a caller's calls of a permission alike.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use latchkey_gate::gate::Gate;

use super::{
    same::{self, Difference, Lines},
    world::{Known, Side},
};

/// Two policies, ready to be asked what did not change.
#[derive(Debug)]
pub(crate) struct Unchanged<'a> {
    old: Side<'a>,
    new: Side<'a>,
    lines: Lines,
    /// Where they differ, by surface and operation: found once.
    differences: RefCell<HashMap<Permission, Rc<Difference<'a>>>>,
}

/// A surface and an operation.
type Permission = (String, Option<String>);

impl<'a> Unchanged<'a> {
    pub(crate) fn new(old: &'a Gate, new: &'a Gate) -> Self {
        let (old, new) = (Side::new(old), Side::new(new));
        Self {
            lines: Lines::new([&old, &new]),
            old,
            new,
            differences: RefCell::default(),
        }
    }

    fn difference(&self, surface: &str, operation: Option<&str>) -> Rc<Difference<'a>> {
        let mut known = self.differences.borrow_mut();
        let key = (surface.to_owned(), operation.map(str::to_owned));
        let found = known.entry(key).or_insert_with(|| {
            let sides = [&self.old, &self.new];
            Rc::new(same::permission(sides, &self.lines, surface, operation))
        });
        Rc::clone(found)
    }

    /// Whether both say the same of a permission to all of these callers, each an issuer and a
    /// subject; none is an anonymous one. `false` where it takes a closer look.
    pub(crate) fn holds(
        &self,
        surface: &str,
        operation: Option<&str>,
        callers: &[(String, String)],
    ) -> bool {
        let sides = [&self.old, &self.new];
        let difference = self.difference(surface, operation);
        let names = sides.iter().any(|side| side.reads_names());
        let alike = |known: [&Known; 2]| same::callers(sides, known) && !difference.concerns(known);
        if callers.is_empty() {
            return alike([&Known::Anonymous, &Known::Anonymous]);
        }
        callers.iter().all(|(issuer, subject)| {
            let known = sides.map(|side| side.known(issuer, subject, names));
            alike(known.each_ref())
        })
    }
}
