//! The certificate that callers see, and the ones that they show.
//!
//! The files are looked at from time to time. New ones are put in force once they are whole, good
//! and unchanged between two looks; until then what was good last stays.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use latchkey_engine::time::Time;
use latchkey_gate::certificate::{ClientCertificate, SpiffeId};
use latchkey_gate::supply::Digest;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::CertificateDer,
        server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::{
    answer::now,
    config::{ClientAuth, TlsConfig},
    tls::{self, TlsError, Watch},
};

/// The certificate in force, and the files that it came from.
#[derive(Debug)]
pub struct Certificates {
    files: TlsConfig,
    protocols: Vec<Vec<u8>>,
    loaded: ArcSwap<Loaded>,
    error: ArcSwapOption<TlsError>,
    watch: Watch,
}

/// A certificate that handshakes are made with.
#[derive(Debug)]
pub struct Loaded {
    config: Arc<ServerConfig>,
    /// The first instant at which it is no longer valid.
    pub not_after: Time,
    /// Counts the certificates that this process has put in force.
    pub generation: u64,
}

impl Certificates {
    /// Reads the files; on an error nothing can be served.
    pub fn open(files: &TlsConfig, http2: bool) -> Result<Self, TlsError> {
        let mut protocols = vec![b"http/1.1".to_vec()];
        if http2 {
            protocols.insert(0, b"h2".to_vec());
        }
        let paths = [
            Some(&files.certificate),
            Some(&files.key),
            files.client_ca.as_ref(),
        ];
        let watch = Watch::new(paths.into_iter().flatten().cloned().collect());
        let loaded = Loaded::read(files, &protocols, 1)?;
        Ok(Self {
            files: files.clone(),
            protocols,
            loaded: ArcSwap::from_pointee(loaded),
            error: ArcSwapOption::empty(),
            watch,
        })
    }

    /// What handshakes are made with.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// Why files that have changed are not in force.
    pub fn error(&self) -> Option<Arc<TlsError>> {
        self.error.load_full()
    }

    /// Whether connections of this generation should end: who may connect may have changed.
    pub fn is_superseded(&self, generation: u64) -> bool {
        self.files.client_ca.is_some() && self.loaded.load().generation != generation
    }

    /// Looks at the files. Call from time to time.
    pub fn look(&self) {
        if !self.watch.has_changed() {
            return;
        }
        let generation = self.loaded.load().generation + 1;
        match Loaded::read(&self.files, &self.protocols, generation) {
            Ok(loaded) => {
                tracing::info!(target: "listen", not_after = %loaded.not_after, "new certificate");
                self.loaded.store(Arc::new(loaded));
                self.error.store(None);
            }
            Err(error) => {
                tracing::error!(
                    target: "listen", %error, "new certificate refused: the one before stays"
                );
                self.error.store(Some(Arc::new(error)));
            }
        }
    }
}

impl Loaded {
    /// Begins handshakes.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    fn read(files: &TlsConfig, protocols: &[Vec<u8>], generation: u64) -> Result<Self, TlsError> {
        let chain = tls::certificates(&files.certificate)?;
        let key = tls::private_key(&files.key)?;
        let of_chain = |what: &dyn std::fmt::Display| TlsError::of(&files.certificate, what);
        let leaf = chain
            .first()
            .ok_or_else(|| of_chain(&"holds no certificate"))?;
        let not_after = end_of(leaf).ok_or_else(|| of_chain(&"the leaf cannot be read"))?;
        if not_after <= now() {
            return Err(of_chain(&format!("it ended at {not_after}: renew it")));
        }
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| of_chain(&error))?;
        let builder = match verifier(files)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let built = builder.with_single_cert(chain, key);
        let mut config = built.map_err(|error| {
            of_chain(&format!(
                "does not go with {}: {error}",
                files.key.display()
            ))
        })?;
        config.alpn_protocols = protocols.to_vec();
        if files.client_ca.is_some() {
            // Who resumes a session is not verified again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            not_after,
            generation,
        })
    }
}

/// Reads what a verified client certificate names. The connection is refused on an error: what
/// cannot be read in full must not be taken for a certificate that names less.
pub fn client_certificate(leaf: &CertificateDer<'_>) -> Result<ClientCertificate, String> {
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let certificate = certificate.tbs_certificate;
    let names = certificate.get::<SubjectAltName>();
    let names = names.map_err(|error| error.to_string())?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    let dns = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    });
    Ok(ClientCertificate {
        fingerprint: Digest::of(leaf).0,
        spiffe_id: SpiffeId::of_uris(uris).map_err(|fault| fault.to_string())?,
        dns_names: dns.collect(),
        not_after: time(certificate.validity.not_after),
    })
}

fn verifier(files: &TlsConfig) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = &files.client_ca else {
        return Ok(None);
    };
    let authorities = Arc::new(tls::authorities(path)?);
    let builder = WebPkiClientVerifier::builder_with_provider(authorities, tls::provider());
    let builder = match files.client_certificate {
        Some(ClientAuth::Optional) => builder.allow_unauthenticated(),
        Some(ClientAuth::Required) | None => builder,
    };
    let built = builder.build();
    built.map(Some).map_err(|error| TlsError::of(path, &error))
}

fn end_of(leaf: &CertificateDer<'_>) -> Option<Time> {
    let certificate = Certificate::from_der(leaf).ok()?;
    Some(time(certificate.tbs_certificate.validity.not_after))
}

fn time(time: x509_cert::time::Time) -> Time {
    // X.509 names the last second of validity.
    let last = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Time(last.saturating_add(1))
}
