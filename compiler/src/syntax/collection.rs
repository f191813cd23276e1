//! Lists and maps of entries.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::diag::{Applicability, Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::mend::{self, Place};
use crate::syntax::node::{Node, Pair, Style, Value};
use crate::syntax::scalar::{Label, Scalar, refused};
use crate::syntax::shape::{Reader, Shape, expect_map, wrong_type};
use crate::text::{Lookup, Text};

/// A named entry.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Its name, where the key stands.
    pub name: Spanned<Text>,
    /// All of it, from its name to its end.
    pub whole: Span,
    /// What it says.
    pub value: T,
}

impl<T> Deref for Entry<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A map from names of kind `K` to entries, sorted by name; absent is empty. Copies share the
/// entries.
#[derive(Debug)]
pub struct Names<T, K = Label> {
    /// Sorted by name, none twice.
    entries: Vec<Arc<Entry<T>>>,
    lookup: Lookup,
    kind: PhantomData<K>,
}

impl<T, K> Clone for Names<T, K> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            ..Self::default()
        }
    }
}

impl<T, K> Default for Names<T, K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            lookup: Lookup::default(),
            kind: PhantomData,
        }
    }
}

impl<T, K> Names<T, K> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Entry<T>>> {
        self.entries.get(self.find(name)?)
    }

    /// The same with its name.
    pub fn get_key_value(&self, name: &str) -> Option<(&Text, &Arc<Entry<T>>)> {
        self.get(name).map(|entry| (&entry.name.value, entry))
    }

    /// Whether there is an entry with this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Every entry with its name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Arc<Entry<T>>)> + Clone {
        self.entries.iter().map(|entry| (&entry.name.value, entry))
    }

    /// Every name, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Text> + Clone {
        self.entries.iter().map(|entry| &entry.name.value)
    }

    /// Every entry, in the order of the names.
    pub fn values(&self) -> std::slice::Iter<'_, Arc<Entry<T>>> {
        self.entries.iter()
    }

    pub(crate) fn into_entries(self) -> Vec<Arc<Entry<T>>> {
        self.entries
    }

    /// Adds an entry, unless its name is taken: then it comes back with the one that has it.
    pub(crate) fn insert(&mut self, entry: Arc<Entry<T>>) -> Option<[Arc<Entry<T>>; 2]> {
        let by_name = |it: &Arc<Entry<T>>| it.name.value.cmp(&entry.name.value);
        match self.entries.binary_search_by(by_name) {
            Ok(at) => Some([Arc::clone(self.entries.get(at)?), entry]),
            Err(at) => {
                self.entries.insert(at, entry);
                self.lookup = Lookup::default();
                None
            }
        }
    }

    /// Adds many at once. Of those that have the same name the first stays; each other one comes
    /// back with it.
    pub(crate) fn extend(&mut self, more: Vec<Arc<Entry<T>>>) -> Vec<[Arc<Entry<T>>; 2]> {
        let mut repeated = Vec::new();
        self.lookup = Lookup::default();
        self.entries.extend(more);
        let rising = |[one, other]: &[Arc<Entry<T>>; 2]| one.name.value < other.name.value;
        if !self.entries.array_windows().all(rising) {
            self.entries
                .sort_by(|one, other| one.name.value.cmp(&other.name.value));
            self.entries.dedup_by(|later, first| {
                let same = later.name.value == first.name.value;
                if same {
                    repeated.push([Arc::clone(first), Arc::clone(later)]);
                }
                same
            });
        }
        self.entries.shrink_to_fit();
        repeated
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.entries.remove(at);
            self.lookup = Lookup::default();
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.lookup.find(name, &self.entries, |it| &it.name.value)
    }
}

impl<T: Shape, K: Scalar> Shape for Names<T, K> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let pairs = expect_map(node, "from name to entry", cx)?;
        let mut entries = Vec::with_capacity(pairs.len());
        let mut sound = true;
        for pair in pairs {
            if cx.left_out(&pair.value) {
                continue;
            }
            match read_entry::<T, K>(pair, cx) {
                Some(entry) => entries.push(Arc::new(entry)),
                None => sound = false,
            }
        }
        let mut names = Self::default();
        names.extend(entries);
        sound.then_some(names)
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": K::schema(),
            "additionalProperties": T::schema(),
        })
    }
}

/// Reads one entry with its name.
pub(crate) fn read_entry<T: Shape, K: Scalar>(
    pair: &Pair,
    cx: &mut Reader<'_>,
) -> Option<Entry<T>> {
    let named = K::parse(&pair.key);
    let sound = named.is_ok();
    if let Err(problem) = named {
        cx.sink.push(refused(problem, &pair.key, pair.key.span));
    }
    cx.named(pair, |cx| {
        let value = T::read(&pair.value, cx)?;
        sound.then(|| Entry {
            name: pair.key.clone(),
            whole: mend::whole(pair),
            value,
        })
    })
}

/// Names of which there is at least one: absent means any, so empty must not be mixed up with it.
#[derive(Clone, Debug)]
pub struct Listed<T, K = Label>(Names<T, K>);

impl<T, K> Deref for Listed<T, K> {
    type Target = Names<T, K>;

    fn deref(&self) -> &Names<T, K> {
        &self.0
    }
}

impl<T: Shape, K: Scalar> Shape for Listed<T, K> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        if matches!(&node.value, Value::Map(pairs) if pairs.is_empty()) {
            nothing_listed(node, cx);
            return None;
        }
        Names::read(node, cx).map(Self)
    }

    fn stand_in(_span: Span) -> Option<Self> {
        Some(Self(Names::default()))
    }

    fn schema() -> Json {
        let mut schema = Names::<T, K>::schema();
        if let Some(keywords) = schema.as_object_mut() {
            keywords.insert("minProperties".to_owned(), json!(1));
        }
        schema
    }
}

fn nothing_listed(node: &Node, cx: &mut Reader<'_>) {
    let key = cx.sources.text(node.blame).to_owned();
    cx.sink.push(
        Diagnostic::new(
            &codes::EMPTY_LIST,
            node.span,
            format!("`{key}` lists nothing"),
        )
        .help("list something, or remove the key: absent and empty must not be mixed up"),
    );
}

/// A list that says something: at least one item, and none twice.
#[derive(Clone, Debug)]
pub struct List<T>(Arc<[T]>);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Shape> Shape for List<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let items = read_items(node, cx)?;
        if items.is_empty() {
            nothing_listed(node, cx);
            return None;
        }
        Some(Self(items.into()))
    }

    fn stand_in(_span: Span) -> Option<Self> {
        Some(Self(Arc::default()))
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema(), "minItems": 1, "uniqueItems": true })
    }
}

/// A list in which empty is a statement, and absent says the same.
#[derive(Clone, Debug)]
pub struct Listing<T>(Arc<[T]>);

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Deref for Listing<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Shape> Shape for Listing<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        read_items(node, cx).map(|items| Self(items.into()))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema(), "uniqueItems": true })
    }
}

fn read_items<T: Shape>(node: &Node, cx: &mut Reader<'_>) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        return wrong_type(node, "a list", cx);
    };
    let mut sound = true;
    let mut read = Vec::with_capacity(items.len());
    let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if cx.left_out(item) {
            continue;
        }
        if let Some(text) = item.as_text()
            && let Some(first) = seen.insert(text, item)
        {
            let found = Diagnostic::new(
                &codes::REPEATED_ITEM,
                item.span,
                format!("`{text}` is already listed"),
            )
            .also(first.span, "first listed here")
            .help("remove one of them");
            let gap = items.get(at.wrapping_sub(1));
            let gap = gap.and_then(|before| removable(before, item, cx));
            cx.sink.push(match gap {
                Some(gap) => found.fix("remove the item", Applicability::Always, gap, ""),
                None => found,
            });
            cx.hole(Place::Item(item.span));
            sound = false;
        }
        match cx.part(Place::Item(item.span), |cx| T::read(item, cx)) {
            Some(value) => read.push(value),
            None => sound = false,
        }
    }
    sound.then_some(read)
}

/// From the end of one item to the end of the next, where nothing but the list's own marks lies
/// between them: without these bytes the list is the same without the second item.
fn removable(before: &Node, item: &Node, cx: &Reader<'_>) -> Option<Span> {
    let scalar = |node: &Node| match &node.value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::Text(_, style) => matches!(style, Style::Plain | Style::Single | Style::Double),
        Value::Broken | Value::List(_) | Value::Map(_) => false,
    };
    let between = before.span.end as usize..item.span.start as usize;
    let marks = cx.sources.text(Span::new(item.span.file, between.clone()));
    let plain = marks
        .chars()
        .all(|c| c.is_whitespace() || matches!(c, ',' | '-'));
    let whole = Span::new(item.span.file, between.start..item.span.end as usize);
    (scalar(before) && scalar(item) && plain && !marks.is_empty()).then_some(whole)
}
