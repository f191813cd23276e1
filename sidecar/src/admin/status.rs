//! What `/status` says.

use std::collections::BTreeMap;

use latchkey_engine::time::Time;
use serde::Serialize;

use crate::{
    identity::keys::KeyStatus,
    listen::tls::Certificates,
    metrics::StoreMetrics,
    run::Shared,
    supply::{Active, PointerStatus, Status, TrustStatus},
};

/// What `/status` says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// `ready`, or why calls are refused.
    state: &'static str,
    server: &'a str,
    sidecar_id: &'a str,
    sidecar_version: &'static str,
    bundle: Option<BundleReport>,
    source: SourceReport<'a>,
    pointer: Option<PointerReport>,
    /// Whether the channel follows a freshness pointer and has none that is fresh.
    stale: bool,
    trust: Option<TrustReport>,
    floor_persisted: bool,
    urgent_denials: usize,
    /// Surfaces whose definition is not the reviewed one, and in which parts.
    changed_definitions: BTreeMap<String, String>,
    /// The issuers whose keys are fetched.
    issuers: Vec<IssuerReport>,
    clock_behind_seconds: i64,
    warnings: &'a [String],
    last_error: Option<&'a str>,
    last_error_word: Option<&'static str>,
    last_error_since: Option<String>,
    overlay_error: Option<&'a str>,
    /// Names in the overlay file that the bundle does not know.
    overlay_unknown: &'a [String],
    /// The certificate that callers see.
    certificate: Option<CertificateReport>,
    /// The store that sidecars share; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreReport>,
    /// Where spans go, and what became of them; absent without a collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    traces: Option<TracesReport<'a>>,
    /// Where other enforcement points ask; absent where they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_point: Option<DecisionReport>,
}

#[derive(Debug, Serialize)]
struct StoreReport {
    connected: bool,
    /// How often it was needed and did not answer in time.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct TracesReport<'a> {
    endpoint: &'a str,
    exported: u64,
    dropped: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct DecisionReport {
    address: Option<String>,
    lines: Option<String>,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    not_after: String,
    generation: u64,
    /// Why newer files are not in force.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct BundleReport {
    project: String,
    channel: String,
    epoch: u64,
    version: u64,
    digest: String,
    statement: String,
    signed: bool,
    signers: Vec<String>,
    not_after: Option<String>,
    commit: Option<String>,
    age_seconds: u64,
    source: &'static str,
    generation: u64,
}

#[derive(Debug, Serialize)]
struct SourceReport<'a> {
    location: String,
    channel: Option<&'a str>,
    last_success: Option<String>,
    next_poll: Option<String>,
}

#[derive(Debug, Serialize)]
struct PointerReport {
    version: u64,
    issued_at: String,
    expires: String,
}

#[derive(Debug, Serialize)]
struct IssuerReport {
    name: String,
    /// The URL of the keys; absent when the issuer's metadata names it.
    jwks_uri: Option<String>,
    /// How many keys are in use; with 0 its tokens are refused.
    keys: usize,
    vouched_at: Option<String>,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct TrustReport {
    version: u64,
    epoch: u64,
    expires: Option<String>,
}

fn changed_definitions(shared: &Shared) -> BTreeMap<String, String> {
    let changed = shared.pins.sightings.changed().into_iter();
    changed
        .map(|(name, difference)| (name, difference.as_str().to_owned()))
        .collect()
}

/// The text of the report.
pub(super) fn report(shared: &Shared, state: &'static str) -> Option<String> {
    let status: &Status = &shared.status.load();
    let overlay_error = shared.overlay_error.load();
    let clock = crate::answer::now();
    let error = status.bundle_error.as_ref();
    let config = &shared.config.bundle;
    let report = Report {
        state,
        server: &config.server,
        sidecar_id: shared.audit.sidecar(),
        sidecar_version: env!("CARGO_PKG_VERSION"),
        bundle: shared.active().map(|active| bundle(&active)),
        source: SourceReport {
            location: config.source.to_string(),
            channel: config.channel.as_deref(),
            last_success: status.last_success.as_ref().map(Time::to_string),
            next_poll: status.next_poll.as_ref().map(Time::to_string),
        },
        pointer: status.pointer.map(pointer),
        stale: shared.freshness.is_stale(clock),
        trust: status.trust.map(trust),
        floor_persisted: status.floor_persisted,
        urgent_denials: shared.overlays.count(),
        changed_definitions: changed_definitions(shared),
        issuers: shared
            .issuer_keys
            .statuses()
            .into_iter()
            .map(issuer)
            .collect(),
        clock_behind_seconds: shared.freshness.clock_behind(clock),
        warnings: &status.warnings,
        last_error: error.map(|error| error.text.as_str()),
        last_error_word: error.map(|error| error.word),
        last_error_since: error.map(|error| error.since.to_string()),
        overlay_error: overlay_error.as_ref().map(|error| error.as_str()),
        overlay_unknown: &shared.overlay_unknown.load(),
        store: shared.store.as_ref().map(|_| store(&shared.metrics.store)),
        traces: traces(shared),
        decision_point: shared.config.decision.as_ref().map(|it| DecisionReport {
            address: it.address.as_ref().map(ToString::to_string),
            lines: it.lines.as_ref().map(|path| path.display().to_string()),
        }),
        certificate: shared.certificates.as_ref().map(certificate),
    };
    let text = serde_json::to_string_pretty(&report).ok()?;
    Some(text + "\n")
}

fn store(metrics: &StoreMetrics) -> StoreReport {
    StoreReport {
        connected: metrics.is_connected(),
        lost: metrics.lost(),
    }
}

fn traces(shared: &Shared) -> Option<TracesReport<'_>> {
    let endpoint = shared.config.telemetry.as_ref()?.endpoint.as_deref()?;
    let count = |outcome| shared.metrics.telemetry.count(outcome);
    Some(TracesReport {
        endpoint,
        exported: count("exported"),
        dropped: count("dropped"),
        failed: count("failed"),
    })
}

fn issuer(status: KeyStatus) -> IssuerReport {
    IssuerReport {
        name: status.name,
        jwks_uri: status.uri,
        keys: status.keys,
        vouched_at: status.vouched_at.as_ref().map(Time::to_string),
        last_error: status.last_error,
    }
}

fn bundle(active: &Active) -> BundleReport {
    let release = &active.release;
    BundleReport {
        project: release.project.clone(),
        channel: release.channel.clone(),
        epoch: release.epoch,
        version: release.version,
        digest: active.gate.digest().to_owned(),
        statement: release.statement.to_string(),
        signed: !release.signers.is_empty(),
        signers: release.signers.clone(),
        not_after: release.not_after.as_ref().map(Time::to_string),
        commit: release.commit.clone(),
        age_seconds: active.since.elapsed().as_secs(),
        source: active.origin.as_str(),
        generation: active.generation,
    }
}

fn certificate(certificates: &Certificates) -> CertificateReport {
    let loaded = certificates.loaded();
    CertificateReport {
        not_after: loaded.not_after.to_string(),
        generation: loaded.generation,
        error: certificates.error().map(|error| error.to_string()),
    }
}

fn pointer(pointer: PointerStatus) -> PointerReport {
    PointerReport {
        version: pointer.version,
        issued_at: pointer.issued_at.to_string(),
        expires: pointer.expires.to_string(),
    }
}

fn trust(trust: TrustStatus) -> TrustReport {
    TrustReport {
        version: trust.version,
        epoch: trust.epoch,
        expires: trust.expires.as_ref().map(Time::to_string),
    }
}
