//! From CEL's grammar to the subset that conditions allow.

use super::{
    Root, Value,
    expr::{
        Expr, ExprKind, Literal, Member, Operand, Operator, Path, SCHEDULE, TextTest, Variable,
    },
    parse::{Raw, RawKind},
    pattern,
    problem::{Problem, ProblemKind, Span},
};
mod literal;

/// Takes an expression as a condition, and adds what is wrong with it; `None` when something is.
pub(super) fn condition(raw: Raw, problems: &mut Vec<Problem>) -> Option<Expr> {
    let mut subset = Subset {
        problems,
        element: None,
    };
    subset.condition(raw)
}

struct Subset<'a> {
    problems: &'a mut Vec<Problem>,
    /// The variable of the enclosing quantifier.
    element: Option<String>,
}

impl Subset<'_> {
    fn condition(&mut self, raw: Raw) -> Option<Expr> {
        let span = raw.span;
        let kind = match raw.kind {
            RawKind::Bool(value) => ExprKind::Constant(value),
            RawKind::Not(inner) => ExprKind::Not(Box::new(self.condition(*inner)?)),
            RawKind::And(parts) => ExprKind::And(self.conditions(parts)?),
            RawKind::Or(parts) => ExprKind::Or(self.conditions(parts)?),
            RawKind::Compare(left, operator, right) => {
                let left = self.operand(*left);
                let right = self.operand(*right);
                self.compare(span, left?, operator, right?)?
            }
            RawKind::In(item, list) => self.within(*item, *list)?,
            RawKind::Call {
                target,
                name,
                name_span,
                arguments,
            } => {
                let call = Call {
                    span,
                    name,
                    name_span,
                };
                self.call(&call, target.map(|target| *target), arguments)?
            }
            RawKind::Member(of, name) if self.is_schedule(&of) => ExprKind::Schedule(name),
            RawKind::Index(of, name) if self.is_schedule(&of) => {
                ExprKind::Schedule(self.index(*name)?)
            }
            kind @ (RawKind::Name(_) | RawKind::Member(..) | RawKind::Index(..)) => {
                ExprKind::Truth(self.path(Raw { span, kind })?)
            }
            RawKind::Number(_) | RawKind::Text(_) | RawKind::List(_) => {
                return self.problem(
                    ProblemKind::Type,
                    span,
                    "a value by itself is no condition",
                    "compare it with an attribute: `args.x == ...`",
                );
            }
            RawKind::Broken => return None,
        };
        Some(Expr { span, kind })
    }

    /// All conditions, also when one has a problem, so that all problems are told.
    fn conditions(&mut self, parts: Vec<Raw>) -> Option<Vec<Expr>> {
        let parts: Vec<Option<Expr>> = parts.into_iter().map(|part| self.condition(part)).collect();
        parts.into_iter().collect()
    }

    fn compare(
        &mut self,
        span: Span,
        left: Operand,
        operator: Operator,
        right: Operand,
    ) -> Option<ExprKind> {
        match (&left, &right) {
            (Operand::Literal(_), Operand::Literal(_)) => self.problem(
                ProblemKind::Type,
                span,
                "two literals are compared",
                "compare an attribute with a literal, or write `true` or `false`",
            ),
            (Operand::Size(..), Operand::Path(_) | Operand::Size(..))
            | (Operand::Path(_), Operand::Size(..)) => self.problem(
                ProblemKind::Unsupported,
                span,
                "a size is compared with an attribute",
                "compare `size(x)` with a number",
            ),
            _ => Some(ExprKind::Compare(left, operator, right)),
        }
    }

    fn operand(&mut self, raw: Raw) -> Option<Operand> {
        match raw.kind {
            RawKind::Name(_) | RawKind::Member(..) | RawKind::Index(..) => {
                Some(Operand::Path(self.path(raw)?))
            }
            RawKind::Call {
                target,
                name,
                arguments,
                ..
            } if name == "size" => {
                let mut all: Vec<Raw> = target.map(|target| *target).into_iter().collect();
                all.extend(arguments);
                match <[Raw; 1]>::try_from(all) {
                    Ok([list]) => Some(Operand::Size(self.path(list)?, raw.span)),
                    Err(_) => self.problem(
                        ProblemKind::Syntax,
                        raw.span,
                        "`size` takes one attribute",
                        "write `size(args.x)`",
                    ),
                }
            }
            _ => self.literal(raw).map(Operand::Literal),
        }
    }

    fn within(&mut self, item: Raw, list: Raw) -> Option<ExprKind> {
        let RawKind::List(items) = list.kind else {
            let item_span = item.span;
            if matches!(
                item.kind,
                RawKind::Name(_) | RawKind::Member(..) | RawKind::Index(..)
            ) {
                return self.problem(
                    ProblemKind::Unsupported,
                    item_span.to(list.span),
                    "an attribute is looked up in another attribute",
                    "one side of `in` is written out: `args.x in [\"a\", \"b\"]` or \
                     `\"a\" in args.x`",
                );
            }
            let item = self.literal(item);
            let list = self.path(list);
            return Some(ExprKind::Within(item?, list?));
        };
        if items.is_empty() {
            return self.problem(
                ProblemKind::Type,
                list.span,
                "nothing is in an empty list",
                "write the values, or `false`",
            );
        }
        let path = self.path(item);
        let items: Vec<Option<Literal>> =
            items.into_iter().map(|item| self.literal(item)).collect();
        let items: Option<Vec<Literal>> = items.into_iter().collect();
        Some(ExprKind::OneOf(path?, items?))
    }

    fn call(&mut self, call: &Call, target: Option<Raw>, arguments: Vec<Raw>) -> Option<ExprKind> {
        let function = match call.name.as_str() {
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "contains" => TextTest::Contains,
            "matches" => TextTest::Matches,
            "has" if target.is_none() => return self.has(call, arguments),
            "all" | "exists" => return self.quantifier(call, target, arguments),
            "containsIP" => return self.contains(call, target, arguments),
            _ => return self.unknown_function(&call.name, call.name_span),
        };
        let name = function.as_str();
        let help = format!("write `args.x.{name}(\"...\")`");
        let Some(target) = target else {
            return self.problem(
                ProblemKind::Syntax,
                call.span,
                format!("`{name}` is asked of an attribute"),
                help,
            );
        };
        let path = self.path(target);
        let (text, span) = self.text_argument(call.span, arguments, &help)?;
        if function == TextTest::Matches {
            self.pattern(&text, span)?;
        }
        let value = Value::Text(text);
        Some(ExprKind::Text(path?, function, Literal { span, value }))
    }

    /// Checks a pattern; its literal stands at `span`.
    fn pattern(&mut self, text: &str, span: Span) -> Option<()> {
        let Err(error) = pattern::compile(text) else {
            return Some(());
        };
        let kind = if error.unanchored {
            ProblemKind::Unanchored
        } else {
            ProblemKind::Pattern
        };
        let mut problem = Problem::new(kind, span, error.message, error.help);
        if let Some(anchored) = error.anchored {
            let fixed = super::expr::Quoted(&anchored).to_string();
            problem = problem.with_fix(span, fixed);
        }
        self.problems.push(problem);
        None
    }

    fn has(&mut self, call: &Call, arguments: Vec<Raw>) -> Option<ExprKind> {
        let Ok([argument]) = <[Raw; 1]>::try_from(arguments) else {
            return self.problem(
                ProblemKind::Syntax,
                call.span,
                "`has` takes one attribute",
                "write `has(args.x)`",
            );
        };
        let by_index = matches!(argument.kind, RawKind::Index(..));
        let path = self.path(argument)?;
        let Some((last, before)) = path.members.split_last() else {
            return self.problem(
                ProblemKind::Type,
                path.span,
                format!("`{path}` is always there"),
                "ask for one of its members: `has(args.x)`",
            );
        };
        if !by_index {
            return Some(ExprKind::Has(path));
        }
        let parent = Path {
            members: before.to_vec(),
            ..path.clone()
        };
        let presence = format!("{} in {parent}", super::expr::Quoted(&last.name));
        let problem = Problem::new(
            ProblemKind::Unsupported,
            path.span,
            "CEL's `has` takes no index",
            format!("write `{presence}`"),
        );
        self.problems.push(problem.with_fix(call.span, presence));
        None
    }

    fn quantifier(
        &mut self,
        call: &Call,
        target: Option<Raw>,
        arguments: Vec<Raw>,
    ) -> Option<ExprKind> {
        let help = format!("write `args.list.{}(e, e.name == \"x\")`", call.name);
        let (Some(target), Ok([variable, body])) = (target, <[Raw; 2]>::try_from(arguments)) else {
            return self.problem(
                ProblemKind::Syntax,
                call.span,
                format!("`{}` takes one variable and one condition", call.name),
                help,
            );
        };
        if self.element.is_some() {
            return self.problem(
                ProblemKind::Unsupported,
                call.span,
                "one quantifier within another is not supported",
                "test the elements of one list at a time",
            );
        }
        let list = self.path(target);
        let name = match variable.kind {
            RawKind::Name(name) if Root::from_word(&name).is_none() && name != SCHEDULE => name,
            _ => {
                return self.problem(
                    ProblemKind::Syntax,
                    variable.span,
                    "the variable must be a new name",
                    help,
                );
            }
        };
        self.element = Some(name.clone());
        let body = self.condition(body);
        self.element = None;
        Some(ExprKind::Quantifier {
            every: call.name == "all",
            list: list?,
            variable: name,
            body: Box::new(body?),
        })
    }

    fn contains(
        &mut self,
        call: &Call,
        target: Option<Raw>,
        arguments: Vec<Raw>,
    ) -> Option<ExprKind> {
        const HELP: &str = "write `cidr(\"10.0.0.0/8\").containsIP(request.ip)`";
        let block = match target {
            Some(Raw {
                kind:
                    RawKind::Call {
                        target: None,
                        name,
                        arguments,
                        ..
                    },
                span,
            }) if name == "cidr" => {
                let (text, span) = self.text_argument(span, arguments, HELP)?;
                self.cidr(&text, span)
            }
            _ => {
                return self.problem(
                    ProblemKind::Syntax,
                    call.span,
                    "`containsIP` is asked of an address block",
                    HELP,
                );
            }
        };
        let Ok([address]) = <[Raw; 1]>::try_from(arguments) else {
            return self.problem(
                ProblemKind::Syntax,
                call.span,
                "`containsIP` takes one address",
                HELP,
            );
        };
        let address = self.path(address);
        Some(ExprKind::Contains(block?, address?))
    }

    fn path(&mut self, raw: Raw) -> Option<Path> {
        let span = raw.span;
        let mut members = Vec::new();
        let mut rest = raw;
        let variable = loop {
            match rest.kind {
                RawKind::Member(target, member) => {
                    members.push(member);
                    rest = *target;
                }
                RawKind::Index(target, index) => {
                    members.push(self.index(*index)?);
                    rest = *target;
                }
                RawKind::Name(name) => break self.variable(name, rest.span)?,
                RawKind::Broken => return None,
                _ => {
                    return self.problem(
                        ProblemKind::Unsupported,
                        rest.span,
                        "only an attribute can be tested here",
                        "start from `args`, `principal`, `subject`, `scope` or `request`",
                    );
                }
            }
        };
        members.reverse();
        Some(Path {
            span,
            variable,
            members,
        })
    }

    /// Whether this names the schedules.
    fn is_schedule(&self, raw: &Raw) -> bool {
        matches!(&raw.kind, RawKind::Name(name) if name == SCHEDULE)
            && self.element.as_deref() != Some(SCHEDULE)
    }

    fn index(&mut self, index: Raw) -> Option<Member> {
        match index.kind {
            RawKind::Text(name) => Some(Member {
                name,
                span: index.span,
            }),
            RawKind::Broken => None,
            _ => self.problem(
                ProblemKind::Unsupported,
                index.span,
                "an element cannot be read by its position",
                "name a member as `args[\"a-b\"]`; test elements with `all` or `exists`",
            ),
        }
    }

    fn variable(&mut self, name: String, span: Span) -> Option<Variable> {
        if self.element.as_deref() == Some(name.as_str()) {
            return Some(Variable::Element(name));
        }
        if let Some(root) = Root::from_word(&name) {
            return Some(Variable::Root(root));
        }
        if name == SCHEDULE {
            return self.problem(
                ProblemKind::Type,
                span,
                "a schedule is a condition by itself",
                "write `schedule.NAME`, or `!schedule.NAME`, and nothing else about it",
            );
        }
        let roots = ["principal", "subject", "args", "scope", "request"];
        let known = roots
            .into_iter()
            .map(str::to_owned)
            .chain(self.element.clone());
        let help = match name.as_str() {
            "now" => "the time of the request is `request.time`",
            "resource" | "context" | "input" | "params" | "arguments" => {
                "the arguments of the call are `args`"
            }
            "user" | "caller" | "actor" | "agent" | "identity" => {
                "the caller is `principal`, and whom it acts for `subject`"
            }
            "schedules" => "a schedule is named `schedule.NAME`",
            _ => {
                "conditions read `args`, `principal`, `subject`, `scope`, `request` and `schedule`"
            }
        };
        let message = format!("there is no variable `{name}`");
        let problem = Problem::new(ProblemKind::UnknownAttribute, span, message, help);
        self.problems.push(problem.with_known(known));
        None
    }

    fn unknown_function<T>(&mut self, name: &str, span: Span) -> Option<T> {
        let near = FUNCTIONS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(&name.replace('_', "")));
        let help = match name {
            _ if near.is_some() => format!("write `{}`", near.copied().unwrap_or_default()),
            "map" | "filter" | "exists_one" | "existsOne" => {
                "ask `all` or `exists` of the list".to_owned()
            }
            "size" => "compare the size with a number: `size(args.x) <= 10`".to_owned(),
            "hasPrefix" | "beginsWith" => "write `startsWith`".to_owned(),
            "hasSuffix" => "write `endsWith`".to_owned(),
            "any" | "some" => "write `exists`".to_owned(),
            "every" => "write `all`".to_owned(),
            "lowerAscii" | "upperAscii" | "toLowerCase" | "toUpperCase" | "lower" | "upper" => {
                "declare `fold: ascii-lower` on the argument, and compare with lower case"
                    .to_owned()
            }
            "ip" | "isIP" | "cidr" | "isCIDR" | "containsCIDR" => {
                "write `cidr(\"10.0.0.0/8\").containsIP(request.ip)`".to_owned()
            }
            _ => conversion(name)
                .unwrap_or(
                    "the functions are has, startsWith, endsWith, contains, matches, size, all, \
                     exists, timestamp and cidr(...).containsIP",
                )
                .to_owned(),
        };
        let known = FUNCTIONS.iter().map(|known| (*known).to_owned());
        let problem = Problem::new(
            ProblemKind::Unsupported,
            span,
            format!("`{name}` is not supported"),
            help,
        )
        .with_known(known);
        let problem = match near {
            Some(near) if *near != name => problem.with_fix(span, *near),
            _ => problem,
        };
        self.problems.push(problem);
        None
    }

    fn problem<T>(
        &mut self,
        kind: ProblemKind,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.problems.push(Problem::new(kind, span, message, help));
        None
    }
}

/// A call without its target and arguments.
struct Call {
    span: Span,
    name: String,
    name_span: Span,
}

const FUNCTIONS: &[&str] = &[
    "has",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "size",
    "all",
    "exists",
    "timestamp",
    "cidr",
    "containsIP",
];

/// What to write instead of CEL's functions that make values.
fn conversion(name: &str) -> Option<&'static str> {
    match name {
        "int" | "uint" | "double" | "string" | "bool" | "bytes" | "dyn" | "type" => {
            Some("attributes have the type of the tool's schema; compare with a literal of it")
        }
        "duration" | "date" | "time" | "now" => Some(
            "compare `request.time` with timestamp(\"2026-12-01T10:00:00Z\"), or name what \
                 recurs with `schedule.NAME`",
        ),
        _ => None,
    }
}
