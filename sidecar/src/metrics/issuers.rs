//! What operators watch of the keys that are with their issuers.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics of issuers' keys. Labels are names of the bundle and words of this program.
#[derive(Debug, Default)]
pub struct IssuerMetrics {
    fetches: Family<FetchLabels, Counter>,
    keys: Family<IssuerLabels, Gauge>,
    vouched: Family<IssuerLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    issuer: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

impl IssuerMetrics {
    /// Counts a fetch.
    pub fn fetched(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        let labels = FetchLabels { issuer, outcome };
        self.fetches.get_or_create(&labels).inc();
    }

    /// Shows how many keys are in use.
    pub fn usable(&self, issuer: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.keys.get_or_create(&labels(issuer)).set(count);
    }

    /// Shows when the issuer vouched for its keys last, in seconds since 1970.
    pub fn vouched(&self, issuer: &str, at: i64) {
        self.vouched.get_or_create(&labels(issuer)).set(at);
    }

    /// Shows an issuer no more.
    pub fn forget(&self, issuer: &str) {
        self.keys.remove(&labels(issuer));
        self.vouched.remove(&labels(issuer));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "latchkey_issuer_key_fetches",
            "Fetches of an issuer's keys, by outcome",
            self.fetches.clone(),
        );
        registry.register(
            "latchkey_issuer_keys",
            "Usable keys of an issuer whose keys are fetched; with 0 its tokens are refused",
            self.keys.clone(),
        );
        registry.register(
            "latchkey_issuer_keys_vouched_seconds",
            "When an issuer vouched for its keys last, in seconds since 1970",
            self.vouched.clone(),
        );
    }
}

fn labels(issuer: &str) -> IssuerLabels {
    let issuer = issuer.to_owned();
    IssuerLabels { issuer }
}
