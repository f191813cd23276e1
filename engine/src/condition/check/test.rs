//! Tests: whether each fits the type of what it reads.

use super::{
    super::{
        Attribute, Comparison, Root, Segment, Test, Value,
        expr::{Expr, ExprKind, Literal, Member, Operand, Operator, Path, TextTest, Variable},
        problem::{Problem, ProblemKind, Span},
        shape::{Kind, Shape},
    },
    Checker, Node, Outcome, Present,
};

impl Checker<'_> {
    pub(super) fn test(&mut self, expr: &Expr, present: &Present) -> Outcome {
        let span = expr.span;
        let node = match &expr.kind {
            ExprKind::Has(path) => return self.has(path),
            ExprKind::Within(value, path) => return self.within(span, value, path, present),
            ExprKind::Truth(path) => self.truth(span, path, present),
            ExprKind::Compare(left, operator, right) => {
                self.compare(span, left, *operator, right, present)
            }
            ExprKind::OneOf(path, values) => self.one_of(span, path, values, present),
            ExprKind::Text(path, function, text) => self.text(span, path, *function, text, present),
            ExprKind::Contains(cidr, path) => {
                let needed = "`containsIP` takes an address";
                let attribute = self.typed(span, path, Kind::Address, needed, present);
                attribute
                    .map(|attribute| Node::Test(Test::Network(self.id(attribute), cidr.network())))
            }
            ExprKind::Schedule(name) => self.schedule(span, name),
            // Connectives are not tests; the caller takes them apart.
            ExprKind::Constant(_)
            | ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Quantifier { .. } => None,
        };
        Outcome::plain(node)
    }

    fn has(&mut self, path: &Path) -> Outcome {
        let Some((attribute, shape)) = self.resolve(path) else {
            return Outcome::plain(None);
        };
        if shape.kind == Kind::Names {
            return Outcome::plain(self.problem(
                ProblemKind::Type,
                path.span,
                format!("`{path}` is always there"),
                format!("write `\"...\" in {path}`"),
            ));
        }
        if attribute.path.last() == Some(&Segment::Each) || attribute.path.is_empty() {
            return Outcome::plain(self.problem(
                ProblemKind::Type,
                path.span,
                format!("`{path}` is always there"),
                format!("ask for one of its members: `has({path}.name)`"),
            ));
        }
        self.presence(attribute)
    }

    /// A test of presence, and what it establishes.
    fn presence(&mut self, attribute: Attribute) -> Outcome {
        let mut when_true = Present::new();
        for length in 1..=attribute.path.len() {
            when_true.insert(Attribute {
                root: attribute.root,
                path: attribute.path.iter().take(length).cloned().collect(),
            });
        }
        Outcome {
            node: Some(Node::Test(Test::Present(self.id(attribute)))),
            when_true,
            when_false: Present::new(),
        }
    }

    /// `"x" in y`: presence of an object's member, or membership of a list.
    fn within(&mut self, span: Span, value: &Literal, path: &Path, present: &Present) -> Outcome {
        let Some((_, shape)) = self.resolve(path) else {
            return Outcome::plain(None);
        };
        if let (Kind::Object, Value::Text(name)) = (shape.kind, &value.value) {
            let mut member = path.clone();
            member.members.push(Member {
                name: name.clone(),
                span: value.span,
            });
            return self.has(&member);
        }
        Outcome::plain(self.element_of(span, value, path, present))
    }

    fn element_of(
        &mut self,
        span: Span,
        value: &Literal,
        path: &Path,
        present: &Present,
    ) -> Option<Node> {
        let (attribute, shape) = self.read(span, path, present)?;
        let kind = match shape.kind {
            Kind::Names => Kind::Text,
            Kind::List => match shape.items.as_deref() {
                Some(items) if items.kind != Kind::Any => {
                    self.possible(value, items)?;
                    items.kind
                }
                _ => return self.untyped(path.span, &format!("the elements of `{path}`")),
            },
            kind => {
                return self.mistyped(path, kind, "`in` takes a list or an object");
            }
        };
        if kind != Kind::of(&value.value) {
            return self.problem(
                ProblemKind::Type,
                value.span,
                format!(
                    "the elements of `{path}` are {}, and this is {}",
                    kind.plural(),
                    Kind::of(&value.value).describe()
                ),
                "look for a value of the elements' type",
            );
        }
        let test = Test::Member(self.id(attribute), value.value.clone());
        Some(Node::Test(test))
    }

    fn schedule(&mut self, span: Span, name: &Member) -> Option<Node> {
        if let Some(element) = &self.element {
            let message = format!(
                "a schedule is no part of the elements of `{}`",
                element.list
            );
            return self.problem(
                ProblemKind::OutsideElement,
                span,
                message,
                "test the schedule beside the quantifier, joined with `&&` or `||`",
            );
        }
        let schedules = self.environment.schedules();
        let Some(schedule) = schedules.get(&name.name) else {
            let problem = Problem::new(
                ProblemKind::UnknownSchedule,
                name.span,
                format!("there is no schedule `{}`", name.name),
                "declare it under `schedules`, or correct the name",
            );
            let known = schedules.keys().cloned();
            self.problems.push(problem.with_known(known));
            return None;
        };
        let now = Attribute {
            root: Root::Request,
            path: vec![Segment::Field("time".to_owned())],
        };
        Some(Node::Test(Test::During(self.id(now), schedule.clone())))
    }

    fn truth(&mut self, span: Span, path: &Path, present: &Present) -> Option<Node> {
        let attribute = self.typed(
            span,
            path,
            Kind::Bool,
            "only a boolean is a condition by itself",
            present,
        )?;
        Some(Node::Test(Test::True(self.id(attribute))))
    }

    fn compare(
        &mut self,
        span: Span,
        left: &Operand,
        operator: Operator,
        right: &Operand,
        present: &Present,
    ) -> Option<Node> {
        let (comparison, negated) = match operator {
            Operator::NotEqual => (Comparison::Equal, true),
            Operator::Is(comparison) => (comparison, false),
        };
        let test = match (left, right) {
            (Operand::Path(path), Operand::Literal(literal)) => {
                self.with_literal(span, path, comparison, literal, present)
            }
            (Operand::Literal(literal), Operand::Path(path)) => {
                self.with_literal(span, path, comparison.flipped(), literal, present)
            }
            (Operand::Size(path, _), Operand::Literal(literal)) => {
                self.size(span, path, comparison, literal, present)
            }
            (Operand::Literal(literal), Operand::Size(path, _)) => {
                self.size(span, path, comparison.flipped(), literal, present)
            }
            (Operand::Path(left), Operand::Path(right)) => {
                self.same(span, left, comparison, right, present)
            }
            // The parser refuses these with their places.
            _ => None,
        }?;
        let test = Node::Test(test);
        Some(if negated {
            Node::Not(Box::new(test))
        } else {
            test
        })
    }

    fn with_literal(
        &mut self,
        span: Span,
        path: &Path,
        comparison: Comparison,
        literal: &Literal,
        present: &Present,
    ) -> Option<Test> {
        let (attribute, shape) = self.read(span, path, present)?;
        self.same_type(path, shape, literal)?;
        if comparison != Comparison::Equal && !matches!(shape.kind, Kind::Number | Kind::Time) {
            return self.problem(
                ProblemKind::Type,
                span,
                format!(
                    "only numbers and times are ordered, and `{path}` is {}",
                    shape.kind.describe()
                ),
                "compare with `==` or `!=`, or test with `in`, `startsWith` or `matches`",
            );
        }
        self.possible(literal, shape)?;
        let id = self.id(attribute);
        Some(Test::Compare(id, comparison, literal.value.clone()))
    }

    fn same_type(&mut self, path: &Path, shape: &Shape, literal: &Literal) -> Option<()> {
        let kind = Kind::of(&literal.value);
        match shape.kind {
            same if same == kind => Some(()),
            Kind::Any => self.untyped(path.span, &format!("`{path}`")),
            other @ (Kind::List | Kind::Object | Kind::Names | Kind::Address) => {
                self.mistyped(path, other, "a value is compared with a literal")
            }
            other => {
                let help = super::usable(other, path);
                let problem = Problem::new(
                    ProblemKind::Type,
                    literal.span,
                    format!(
                        "`{path}` is {}, and this is {}",
                        other.describe(),
                        kind.describe()
                    ),
                    help,
                );
                let fixed = converted(other, &literal.value);
                self.problems.push(match fixed {
                    Some(text) => problem.with_fix(literal.span, text),
                    None => problem,
                });
                None
            }
        }
    }

    /// Whether the schema lets an attribute have a value.
    fn possible(&mut self, literal: &Literal, shape: &Shape) -> Option<()> {
        let Value::Text(text) = &literal.value else {
            return Some(());
        };
        if shape.values.is_empty() || shape.values.contains(text) {
            return Some(());
        }
        let problem = Problem::new(
            ProblemKind::Impossible,
            literal.span,
            format!("it can never be {literal}"),
            format!("it can be {}", shape.values.join(", ")),
        );
        let known = shape.values.iter().cloned();
        self.problems.push(problem.with_known(known));
        None
    }

    fn size(
        &mut self,
        span: Span,
        path: &Path,
        comparison: Comparison,
        literal: &Literal,
        present: &Present,
    ) -> Option<Test> {
        let (attribute, shape) = self.read(span, path, present)?;
        match shape.kind {
            Kind::Text | Kind::List => {}
            Kind::Any => return self.untyped(path.span, &format!("`{path}`")),
            kind => return self.mistyped(path, kind, "`size` takes a text or a list"),
        }
        let size = match &literal.value {
            Value::Number(number) if number.is_integer() => {
                u64::try_from(number.billionths() / 1_000_000_000).ok()
            }
            _ => None,
        };
        let Some(size) = size else {
            return self.problem(
                ProblemKind::Type,
                literal.span,
                "a size is a whole number, 0 or more",
                "compare with such a number",
            );
        };
        Some(Test::Size(self.id(attribute), comparison, size))
    }

    /// Two attributes: equality of texts.
    fn same(
        &mut self,
        span: Span,
        left: &Path,
        comparison: Comparison,
        right: &Path,
        present: &Present,
    ) -> Option<Test> {
        let elements = [left, right]
            .into_iter()
            .find(|path| matches!(path.variable, Variable::Element(_)));
        if let Some(path) = elements {
            return self.problem(
                ProblemKind::OutsideElement,
                span,
                format!("`{path}`, of an element, is compared with another attribute"),
                "compare elements with literals",
            );
        }
        let first = self.read(span, left, present);
        let second = self.read(span, right, present);
        let ((first, first_shape), (second, second_shape)) = first.zip(second)?;
        if comparison != Comparison::Equal {
            return self.problem(
                ProblemKind::Type,
                span,
                "two attributes are put in order",
                "compare one of them with a literal; two texts can be compared with `==` or `!=`",
            );
        }
        for (path, shape) in [(left, first_shape), (right, second_shape)] {
            match shape.kind {
                Kind::Text => {}
                Kind::Any => return self.untyped(path.span, &format!("`{path}`")),
                kind => {
                    return self.mistyped(path, kind, "only two texts are compared");
                }
            }
        }
        if first == second {
            return self.problem(
                ProblemKind::Type,
                span,
                format!("`{left}` is compared with itself"),
                "compare two attributes, or one with a literal",
            );
        }
        Some(Test::Same(self.id(first), self.id(second)))
    }

    fn one_of(
        &mut self,
        span: Span,
        path: &Path,
        values: &[Literal],
        present: &Present,
    ) -> Option<Node> {
        let (attribute, shape) = self.read(span, path, present)?;
        if shape.kind == Kind::Bool {
            return self.mistyped(path, shape.kind, "`in [...]` takes a text, number or time");
        }
        let mut all = Some(());
        for value in values {
            let fits = self
                .same_type(path, shape, value)
                .and_then(|()| self.possible(value, shape));
            all = all.and(fits);
        }
        all?;
        let values = values.iter().map(|value| value.value.clone()).collect();
        Some(Node::Test(Test::In(self.id(attribute), values)))
    }

    fn text(
        &mut self,
        span: Span,
        path: &Path,
        function: TextTest,
        text: &Literal,
        present: &Present,
    ) -> Option<Node> {
        let needed = format!("`{}` is asked of a text", function.as_str());
        let attribute = self.typed(span, path, Kind::Text, &needed, present)?;
        let Value::Text(text) = &text.value else {
            return None;
        };
        let (id, text) = (self.id(attribute), text.clone());
        Some(Node::Test(match function {
            TextTest::StartsWith => Test::StartsWith(id, text),
            TextTest::EndsWith => Test::EndsWith(id, text),
            TextTest::Contains => Test::Contains(id, text),
            TextTest::Matches => Test::Matches(id, text),
        }))
    }

    /// An attribute of exactly this type.
    fn typed(
        &mut self,
        span: Span,
        path: &Path,
        kind: Kind,
        needed: &str,
        present: &Present,
    ) -> Option<Attribute> {
        let (attribute, shape) = self.read(span, path, present)?;
        match shape.kind {
            same if same == kind => Some(attribute),
            Kind::Any => self.untyped(path.span, &format!("`{path}`")),
            other => self.mistyped(path, other, needed),
        }
    }
}

/// A literal in the other type, where the author plainly meant that.
fn converted(kind: Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Number, Value::Text(text)) => {
            crate::decimal::Decimal::parse(text).map(|number| number.to_string())
        }
        (Kind::Bool, Value::Text(text)) if text == "true" || text == "false" => Some(text.clone()),
        (Kind::Text, Value::Number(number)) => Some(format!("\"{number}\"")),
        (Kind::Text, Value::Bool(value)) => Some(format!("\"{value}\"")),
        (Kind::Time, Value::Text(text)) if text.contains('T') && !text.contains('.') => {
            crate::time::Time::parse(text).map(|time| format!("timestamp(\"{time}\")"))
        }
        _ => None,
    }
}

impl Kind {
    const fn plural(self) -> &'static str {
        match self {
            Self::Any => "of no single type",
            Self::Bool => "booleans",
            Self::Number => "numbers",
            Self::Text | Self::Names => "texts",
            Self::Time => "times",
            Self::Address => "addresses",
            Self::List => "lists",
            Self::Object => "objects",
        }
    }
}

impl Comparison {
    /// The comparison with its sides exchanged.
    const fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}
