//! Limits that count calls: one amount for each pool of callers.

use serde_json::{Value as Json, json};

use latchkey_engine::index::{Obligation, Pool, Reach};

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::node::{Node, Value};
use crate::syntax::scalar::{Count, Rate, Scalar};
use crate::syntax::shape::{Reader, Shape, listed, wrong_type};
use crate::text::Text;

/// One amount by itself, which is of each caller, or an amount for each pool.
#[derive(Clone, Debug)]
pub struct Limit<T> {
    /// Where the whole stands.
    pub span: Span,
    /// The amounts, in the order of the pools.
    pub amounts: Vec<(Word, Spanned<T>)>,
}

/// How a pool is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Word {
    /// Each caller.
    Caller,
    /// The callers of each team together.
    Team,
    /// The callers of each organization together.
    Organization,
    /// All from one network address.
    Source,
    /// All calls of one surface.
    Surface,
    /// All calls of the server.
    Server,
}

/// What a limit stands on, which says how far it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A server: callers count over all that it serves.
    Server,
    /// A surface or a rule: callers count surface by surface.
    Surface,
}

impl Word {
    const ALL: [Self; 6] = [
        Self::Caller,
        Self::Team,
        Self::Organization,
        Self::Source,
        Self::Surface,
        Self::Server,
    ];

    /// The spelling in YAML.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Team => "team",
            Self::Organization => "organization",
            Self::Source => "source",
            Self::Surface => "surface",
            Self::Server => "server",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::Caller => "Of each caller.",
            Self::Team => "Of the callers of each team together.",
            Self::Organization => "Of the callers of each organization together.",
            Self::Source => "From each network address.",
            Self::Surface => "Of each surface, by everyone.",
            Self::Server => "Of the whole server, by everyone.",
        }
    }

    fn counted(self, holder: Holder) -> (Pool, Reach) {
        let reach = match holder {
            Holder::Server => Reach::Server,
            Holder::Surface => Reach::Surface,
        };
        match self {
            Self::Caller => (Pool::Caller, reach),
            Self::Team => (Pool::Team, reach),
            Self::Organization => (Pool::Organization, reach),
            Self::Source => (Pool::Source, reach),
            Self::Surface => (Pool::Everyone, Reach::Surface),
            Self::Server => (Pool::Everyone, Reach::Server),
        }
    }
}

impl Limit<Rate> {
    /// The obligations that say the same, each with its place.
    pub fn obligations(&self, holder: Holder) -> impl Iterator<Item = (Span, Obligation)> {
        self.amounts.iter().map(move |(word, rate)| {
            let (pool, reach) = word.counted(holder);
            let obligation = Obligation::Rate {
                pool,
                reach,
                count: rate.count,
                seconds: rate.per.seconds(),
            };
            (rate.span, obligation)
        })
    }
}

impl Limit<Count> {
    /// The obligations that say the same, each with its place.
    pub fn obligations(&self, holder: Holder) -> impl Iterator<Item = (Span, Obligation)> {
        self.amounts.iter().map(move |(word, count)| {
            let (pool, reach) = word.counted(holder);
            let count_of = count.0;
            let obligation = Obligation::Concurrency {
                pool,
                reach,
                count: count_of,
            };
            (count.span, obligation)
        })
    }
}

/// All that a rate and a bound on concurrency ask for.
pub fn obligations(
    rate: Option<&Limit<Rate>>,
    concurrency: Option<&Limit<Count>>,
    holder: Holder,
) -> Vec<(Span, Obligation)> {
    let rate = rate.into_iter().flat_map(|it| it.obligations(holder));
    let concurrency = concurrency
        .into_iter()
        .flat_map(|it| it.obligations(holder));
    rate.chain(concurrency).collect()
}

impl<T> Limit<T> {
    /// Reports the pool `server` where only one surface is limited.
    pub fn check_surface(&self, cx: &mut Reader<'_>) -> bool {
        let server = self.amounts.iter().find(|(word, _)| *word == Word::Server);
        if let Some((_, amount)) = server {
            let message = "`server` has no place in the limits of one surface";
            cx.sink.push(
                Diagnostic::new(&codes::CONFLICTING_KEYS, amount.span, message)
                    .help("write `surface`, or put the limit under the server's `limits`"),
            );
        }
        server.is_none()
    }
}

impl<T: Scalar> Shape for Limit<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            if matches!(node.value, Value::List(_)) {
                return wrong_type(node, &format!("{} or a map of pools", T::WANTED), cx);
            }
            let amount = Spanned::<T>::read(node, cx)?;
            return Some(Self {
                span: node.span,
                amounts: vec![(Word::Caller, amount)],
            });
        };
        let mut amounts = Vec::new();
        let mut sound = true;
        for pair in pairs {
            let word = Word::ALL.iter().find(|it| it.text() == pair.key.value);
            let amount = Spanned::<T>::read(&pair.value, cx);
            match (word, amount) {
                (Some(word), Some(amount)) => amounts.push((*word, amount)),
                (None, _) => {
                    unknown(&pair.key, cx);
                    sound = false;
                }
                (_, None) => sound = false,
            }
        }
        if pairs.is_empty() {
            cx.sink.push(
                Diagnostic::new(&codes::MISSING_KEY, node.blame, "this limit names no pool")
                    .help("write an amount by itself for each caller, or name the pools"),
            );
            sound = false;
        }
        amounts.sort_by_key(|(word, _)| *word);
        sound.then_some(Self {
            span: node.span,
            amounts,
        })
    }

    fn schema() -> Json {
        let pools = Word::ALL.iter().map(|word| {
            let mut amount = T::schema();
            if let Some(map) = amount.as_object_mut() {
                map.insert("description".to_owned(), json!(word.doc()));
            }
            (word.text().to_owned(), amount)
        });
        let pools: serde_json::Map<_, _> = pools.collect();
        json!({ "anyOf": [
            T::schema(),
            {
                "type": "object",
                "properties": pools,
                "additionalProperties": false,
                "minProperties": 1,
            },
        ]})
    }
}

fn unknown(key: &Spanned<Text>, cx: &mut Reader<'_>) {
    let known = Word::ALL.map(Word::text);
    let message = format!("there is no pool `{}`", key.value);
    cx.sink.push(
        Diagnostic::new(&codes::UNKNOWN_KEY, key.span, message)
            .help(format!("the pools are {}", listed(&known)))
            .did_you_mean(&key.value, key.span, known),
    );
}
