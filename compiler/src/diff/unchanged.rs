//! Whether two policies are sure to answer a caller's calls of a permission alike.

use latchkey_gate::gate::Gate;

use super::{
    same::{self, Lines},
    world::{Known, Side},
};

/// Two policies, ready to be asked what did not change.
#[derive(Debug)]
pub(crate) struct Unchanged<'a> {
    old: Side<'a>,
    new: Side<'a>,
    lines: [Lines; 2],
}

impl<'a> Unchanged<'a> {
    pub(crate) fn new(old: &'a Gate, new: &'a Gate) -> Self {
        let (old, new) = (Side::new(old), Side::new(new));
        let lines = [Lines::new(&old), Lines::new(&new)];
        Self { old, new, lines }
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
        let [old_lines, new_lines] = &self.lines;
        let difference = same::permission(sides, [old_lines, new_lines], surface, operation);
        let names = sides.iter().any(|side| side.reads_names());
        let alike = |known: &[Known; 2]| same::callers(sides, known) && !difference.concerns(known);
        if callers.is_empty() {
            return alike(&[Known::Anonymous, Known::Anonymous]);
        }
        callers
            .iter()
            .all(|(issuer, subject)| alike(&sides.map(|side| side.known(issuer, subject, names))))
    }
}
