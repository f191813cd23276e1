//! Names: which attribute a path reads, and whether it is there.

use super::{
    super::{
        Attribute, Root, Segment,
        expr::{Member, Path, Variable},
        problem::{Problem, ProblemKind, Span},
        shape::{Kind, Shape},
    },
    Checker, Present, presence,
};

impl<'a> Checker<'a> {
    /// The attribute that a path names, and its shape; it may be absent.
    pub(super) fn resolve(&mut self, path: &Path) -> Option<(Attribute, &'a Shape)> {
        let (mut attribute, mut shape) = self.start(path)?;
        let mut parent = match &path.variable {
            Variable::Root(root) => root.as_str().to_owned(),
            Variable::Element(name) => name.clone(),
        };
        for member in &path.members {
            shape = self.member(&parent, shape, member)?;
            attribute.path.push(Segment::Field(member.name.clone()));
            parent = format!("{parent}.{}", member.name);
        }
        Some((attribute, shape))
    }

    /// The same, for a test that needs a value: presence must be established. `span` is the test.
    pub(super) fn read(
        &mut self,
        span: Span,
        path: &Path,
        present: &Present,
    ) -> Option<(Attribute, &'a Shape)> {
        let (attribute, shape) = self.resolve(path)?;
        if attribute.path.is_empty() {
            return self.problem(
                ProblemKind::Type,
                path.span,
                format!("`{path}` is an object"),
                format!("test one of its members: `{path}.name`"),
            );
        }
        if !self.is_present(path, present) {
            self.absent(span, path);
        }
        Some((attribute, shape))
    }

    /// Where a path starts. Within a quantifier, only the element.
    fn start(&mut self, path: &Path) -> Option<(Attribute, &'a Shape)> {
        let root = match (&path.variable, &self.element) {
            (Variable::Element(_), Some(element)) => {
                return Some((element.attribute.clone(), element.shape));
            }
            (Variable::Element(name), None) => {
                let message = format!("there is no variable `{name}`");
                return self.problem(ProblemKind::UnknownAttribute, path.span, message, "");
            }
            (Variable::Root(_), Some(element)) => {
                let message = format!("`{path}` is no part of the elements of `{}`", element.list);
                return self.problem(
                    ProblemKind::OutsideElement,
                    path.span,
                    message,
                    "test other attributes beside the quantifier, joined with `&&` or `||`",
                );
            }
            (Variable::Root(root), None) => *root,
        };
        let path_of_none = Attribute {
            root,
            path: Vec::new(),
        };
        match self.environment.root(root) {
            Some(shape) => Some((path_of_none, shape)),
            None => self.problem(
                ProblemKind::UnknownAttribute,
                path.span,
                "this surface has no schema, so no condition can read its arguments",
                "give the surface an `input` schema, or import its lock",
            ),
        }
    }

    fn member(&mut self, parent: &str, shape: &'a Shape, member: &Member) -> Option<&'a Shape> {
        let name = &member.name;
        match shape.kind {
            Kind::Object => {}
            Kind::Any => return self.untyped(member.span, &format!("`{parent}`")),
            Kind::List => {
                let message = format!("`{parent}` is a list and has no member `{name}`");
                let help = format!("ask its elements: `{parent}.exists(e, e.{name} == \"...\")`");
                return self.problem(ProblemKind::Type, member.span, message, help);
            }
            kind => {
                let message = format!(
                    "`{parent}` is {} and has no member `{name}`",
                    kind.describe()
                );
                return self.problem(
                    ProblemKind::Type,
                    member.span,
                    message,
                    "only objects have members",
                );
            }
        }
        let found = shape.fields.get(name);
        if found.is_none() {
            let help = if shape.fields.is_empty() {
                "it has no declared members".to_owned()
            } else {
                let known: Vec<&str> = shape.fields.keys().map(String::as_str).collect();
                format!("it has {}", known.join(", "))
            };
            let open = if shape.closed {
                ""
            } else {
                "; declare others in the surface's `input` schema"
            };
            let problem = Problem::new(
                ProblemKind::UnknownAttribute,
                member.span,
                format!("`{parent}` has no `{name}`"),
                format!("{help}{open}"),
            );
            let known = shape.fields.keys().cloned();
            self.problems.push(problem.with_known(known));
        }
        found
    }

    /// Whether an attribute that resolves is there: all of its path is required, or known.
    fn is_present(&self, path: &Path, present: &Present) -> bool {
        let (mut attribute, mut shape) = match (&path.variable, &self.element) {
            (Variable::Element(_), Some(element)) => (element.attribute.clone(), element.shape),
            (Variable::Root(root), _) => match self.environment.root(*root) {
                Some(shape) => (
                    Attribute {
                        root: *root,
                        path: Vec::new(),
                    },
                    shape,
                ),
                None => return false,
            },
            (Variable::Element(_), None) => return false,
        };
        let mut there = true;
        for member in &path.members {
            let Some(next) = shape.fields.get(&member.name) else {
                return false;
            };
            shape = next;
            attribute.path.push(Segment::Field(member.name.clone()));
            // What is known to be there makes its parents be there.
            there = (there && shape.required) || present.contains(&attribute);
        }
        there
    }

    /// Tells that an attribute may be absent, with the edit that settles it.
    fn absent(&mut self, span: Span, path: &Path) {
        let presence = presence(path);
        let absent = if presence.starts_with("has(") {
            format!("!{presence}")
        } else {
            format!("!({presence})")
        };
        let missing = match &path.variable {
            Variable::Root(Root::Args) => "a call may come without it",
            Variable::Root(Root::Principal | Root::Subject) => "not every caller has one",
            Variable::Root(Root::Scope) => "not every scope has one",
            Variable::Root(Root::Request) => "not every request has one",
            Variable::Element(_) => "an element may come without it",
        };
        let mut problem = Problem::new(
            ProblemKind::MayBeAbsent,
            path.span,
            format!("`{path}` may be absent: {missing}"),
            format!(
                "write `{presence} && ...` where the test must fail without it, or \
                 `{absent} || ...` where it must hold"
            ),
        );
        // Beneath a negation that cannot be left, no prefix makes the whole false.
        if !(self.negation.outside && self.element.is_some()) {
            let at = self.negation.start.unwrap_or(span.start);
            problem = problem.with_fix(Span::new(at, at), format!("{presence} && "));
        }
        self.problems.push(problem);
    }
}
