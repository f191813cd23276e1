//! New connections to tool servers, and whom they are made with under TLS.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use latchkey_gate::upstream::Place;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::{
    config::UpstreamConfig,
    socket::{Channel, Socket},
    tls::{self, TlsError, Watch},
};

/// Whom tool servers are verified by, and what the sidecar shows them. Shared by all workers.
#[derive(Debug)]
pub struct Trusted {
    ca: Option<PathBuf>,
    /// The certificate that is shown, and its key.
    shown: Option<(PathBuf, PathBuf)>,
    watch: Watch,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    config: Option<Arc<ClientConfig>>,
    /// Counts the configurations; 0 before the first.
    generation: u64,
}

impl Trusted {
    /// Reads the files that the settings name. The system's authorities are read when the first
    /// connection needs them: most sidecars have none that does.
    pub fn open(settings: &UpstreamConfig) -> Result<Self, TlsError> {
        let shown = settings.certificate.clone().zip(settings.key.clone());
        let files = [&settings.ca, &settings.certificate, &settings.key];
        let watch = Watch::new(files.into_iter().flatten().cloned().collect());
        let trusted = Self {
            ca: settings.ca.clone(),
            shown,
            watch,
            loaded: Mutex::default(),
        };
        if trusted.ca.is_some() || trusted.shown.is_some() {
            trusted.load()?;
        }
        Ok(trusted)
    }

    /// Looks at the files. Call from time to time.
    pub fn look(&self) {
        if !self.watch.has_changed() {
            return;
        }
        match self.load() {
            Ok(_) => tracing::info!(target: "upstream", "new authorities or certificate"),
            Err(error) => tracing::error!(
                target: "upstream", %error, "new file refused: the one before stays"
            ),
        }
    }

    /// What idle connections to a place are kept under: those that were made with other files are
    /// not found again.
    pub(super) fn label(&self, place: &Arc<str>) -> Arc<str> {
        if !place.starts_with("https:") {
            return Arc::clone(place);
        }
        format!("{place} {}", self.lock().generation).into()
    }

    fn connector(&self) -> Result<TlsConnector, TlsError> {
        let loaded = self.lock().config.clone();
        let config = match loaded {
            Some(config) => config,
            None => self.load()?,
        };
        Ok(TlsConnector::from(config))
    }

    fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let shown = self.shown.as_ref();
        let shown = shown.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let mut config = tls::client(self.ca.as_deref(), shown)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let mut loaded = self.lock();
        loaded.config = Some(Arc::clone(&config));
        loaded.generation += 1;
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, and under TLS verifies that the server is the one that the policy names.
pub(super) async fn connect(place: &Place, trusted: &Trusted) -> io::Result<Channel> {
    let (host, port, tls) = match place {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            return Ok(Channel::Plain(Socket::Unix(stream)));
        }
        Place::Tcp { host, port, tls } => (host, *port, *tls),
    };
    let bare = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((bare, port)).await?;
    // A delayed segment costs 40 ms; a failure to say so costs nothing else.
    let _ = stream.set_nodelay(true);
    if !tls {
        return Ok(Channel::Plain(Socket::Tcp(stream)));
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(other)?;
    let connector = trusted.connector().map_err(other)?;
    let stream = connector.connect(name, Socket::Tcp(stream)).await?;
    Ok(Channel::Tls(Box::new(stream.into())))
}

fn other(error: impl fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
