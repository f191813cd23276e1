//! What attributes there are, of which types: what a condition is checked against.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use super::{Root, Schedule};

/// The type of an attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No single type, so only presence can be tested.
    #[default]
    Any,
    /// A boolean.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A point in time.
    Time,
    /// A network address.
    Address,
    /// A list of [`Shape::items`].
    List,
    /// An object of [`Shape::fields`].
    Object,
    /// A set of names that only `"x" in ..` reads: tags and groups.
    Names,
}

/// What is known of an attribute before there is a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its type.
    pub kind: Kind,
    /// Whether it is always present when its parent is.
    pub required: bool,
    /// Of an object: its members.
    pub fields: BTreeMap<String, Shape>,
    /// Of a list: its elements. `None` is elements without a type.
    pub items: Option<Box<Shape>>,
    /// Of an object: whether it can have no other members.
    pub closed: bool,
    /// Of a text: all values that it can have, after its fold. Empty is any.
    pub values: Vec<String>,
}

/// All that a condition may read on one surface: its arguments, and the attributes that every
/// call has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    roots: BTreeMap<Root, Arc<Shape>>,
    schedules: Arc<Schedules>,
}

/// Schedules by name.
pub type Schedules = BTreeMap<String, Schedule>;

impl Shape {
    /// A shape that is always present.
    #[must_use]
    pub fn required(kind: Kind) -> Self {
        Self {
            kind,
            required: true,
            ..Self::default()
        }
    }

    /// A shape that may be absent.
    #[must_use]
    pub fn optional(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// A closed object of these members, always present.
    #[must_use]
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        Self {
            fields: fields
                .into_iter()
                .map(|(name, shape)| (name.to_owned(), shape))
                .collect(),
            closed: true,
            ..Self::required(Kind::Object)
        }
    }

    /// A list of these elements, always present.
    #[must_use]
    pub fn list(items: Shape) -> Self {
        Self {
            items: Some(Box::new(items)),
            ..Self::required(Kind::List)
        }
    }
}

impl Environment {
    /// The attributes of a call of a surface whose arguments have this shape: an object, with the
    /// members `path`, `query` and `body` for a route. `None` is a surface without a schema, whose
    /// arguments no condition can read.
    #[must_use]
    pub fn new(arguments: Option<Arc<Shape>>) -> Self {
        // Every condition is checked on every surface it is for, so what is alike is shared.
        static ALIKE: LazyLock<BTreeMap<Root, Arc<Shape>>> = LazyLock::new(Environment::alike);
        let mut roots = ALIKE.clone();
        if let Some(arguments) = arguments {
            roots.insert(Root::Args, arguments);
        }
        Self {
            roots,
            schedules: Arc::default(),
        }
    }

    /// The attributes that every call has.
    fn alike() -> BTreeMap<Root, Arc<Shape>> {
        let text = || Shape::optional(Kind::Text);
        let names = || Shape::required(Kind::Names);
        let kind = Shape {
            values: ["agent", "human", "service"].map(str::to_owned).to_vec(),
            ..text()
        };
        let caller = Shape::object([
            ("name", text()),
            ("type", kind),
            ("organization", text()),
            ("team", text()),
            ("tags", names()),
            ("groups", names()),
        ]);
        let scope = Shape::object([("organization", text()), ("team", text())]);
        let request = Shape::object([
            ("time", Shape::required(Kind::Time)),
            ("ip", Shape::optional(Kind::Address)),
        ]);
        let caller = Arc::new(caller);
        BTreeMap::from([
            (Root::Principal, Arc::clone(&caller)),
            (Root::Subject, caller),
            (Root::Scope, Arc::new(scope)),
            (Root::Request, Arc::new(request)),
        ])
    }

    /// The same, with schedules that a condition may name.
    #[must_use]
    pub fn with_schedules(self, schedules: Arc<Schedules>) -> Self {
        Self { schedules, ..self }
    }

    /// The schedules that a condition may name.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Counts every attribute as present, so that conditions need not ask.
    #[cfg(test)]
    pub(super) fn all_present(&mut self) {
        let roots = self.roots.values_mut();
        for field in roots.flat_map(|root| Arc::make_mut(root).fields.values_mut()) {
            field.required = true;
        }
    }

    /// What a variable holds; `None` for the arguments of a surface without a schema.
    #[must_use]
    pub fn root(&self, root: Root) -> Option<&Shape> {
        self.roots.get(&root).map(Arc::as_ref)
    }
}
