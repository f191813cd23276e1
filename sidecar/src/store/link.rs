//! The connection: commands go out in order, answers come back in order. Where one is late the
//! connection is given up, all that waits on it is lost, and until a new one has answered nothing
//! waits at all.

use std::{
    collections::VecDeque,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    Ask, Value,
    places::Register,
    resp::{self, command},
};
use crate::{
    config::{StoreAddress, StoreConfig},
    metrics::StoreMetrics,
};

/// Keeps one connection open.
#[derive(Debug)]
pub(super) struct Link {
    address: StoreAddress,
    user: Option<String>,
    password_file: Option<PathBuf>,
    config: StoreConfig,
    patience: Duration,
    lease: Duration,
    metrics: StoreMetrics,
    register: Arc<Register>,
}

/// Why a connection ended.
type Ended = &'static str;

type Stream = Pin<Box<dyn Both>>;

trait Both: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Both for T {}

/// How long until a lost store is tried again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Link {
    pub(super) fn new(
        config: &StoreConfig,
        metrics: StoreMetrics,
        register: Arc<Register>,
    ) -> Result<Self, String> {
        config
            .client()
            .map_err(|error| format!("[store] {error}"))?;
        Ok(Self {
            address: config.address()?,
            user: config.user.clone(),
            password_file: config.password_file.clone(),
            config: config.clone(),
            patience: config.timeout.0,
            lease: config.lease.0,
            metrics,
            register,
        })
    }

    /// Connects, serves, and begins again; ends with the sidecar.
    pub(super) async fn run(self, mut asks: mpsc::Receiver<Ask>) {
        let mut pause = PAUSE.0;
        loop {
            let ended = match self.connect().await {
                Ok(stream) => {
                    pause = PAUSE.0;
                    self.metrics.set_connected(true);
                    tracing::info!(target: "store", "connected");
                    let ended = Session::new(stream, &self).serve(&mut asks).await;
                    self.metrics.set_connected(false);
                    ended
                }
                Err(why) => why,
            };
            // What waited for it is lost: dropping a command tells who asked.
            while asks.try_recv().is_ok() {}
            if asks.is_closed() && asks.is_empty() {
                return;
            }
            tracing::warn!(target: "store", why = ended, "no connection");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// A connection that has answered: only then is it used.
    async fn connect(&self) -> Result<Stream, Ended> {
        // Opening may need a name to be looked up, and a handshake.
        let patience = self.patience.max(Duration::from_millis(500));
        let opened = timeout(patience, self.open()).await;
        let mut stream = opened
            .map_err(|_| "it does not take connections")?
            .map_err(|error| {
                tracing::debug!(target: "store", %error, "no connection");
                "it cannot be reached, or its certificate is not good"
            })?;
        let mut hello = self.login()?;
        let mut answers = usize::from(!hello.is_empty());
        if let StoreAddress::Tcp { database, .. } = &self.address {
            hello.extend(command(&["SELECT", &database.to_string()]));
            answers += 1;
        }
        hello.extend(command(&["PING"]));
        answers += 1;
        let greeted = timeout(patience, greet(&mut stream, &hello, answers)).await;
        greeted.map_err(|_| "it does not answer")??;
        Ok(stream)
    }

    async fn open(&self) -> std::io::Result<Stream> {
        Ok(match &self.address {
            StoreAddress::Tcp {
                host, port, tls, ..
            } => {
                let bare = host.trim_matches(['[', ']']);
                let stream = TcpStream::connect((bare, *port)).await?;
                stream.set_nodelay(true)?;
                if !*tls {
                    return Ok(Box::pin(stream));
                }
                // Read for each connection, so that the files can be changed.
                let config = self.config.client().map_err(std::io::Error::other)?;
                let config = config.ok_or(std::io::ErrorKind::InvalidInput)?;
                let name = ServerName::try_from(bare.to_owned());
                let name = name.map_err(std::io::Error::other)?;
                let connector = TlsConnector::from(Arc::new(config));
                Box::pin(connector.connect(name, stream).await?)
            }
            StoreAddress::Unix(path) => Box::pin(UnixStream::connect(path).await?),
        })
    }

    /// The password is read for each connection, so that it can be changed.
    fn login(&self) -> Result<Vec<u8>, Ended> {
        let Some(file) = &self.password_file else {
            return Ok(Vec::new());
        };
        let password = std::fs::read_to_string(file);
        let password = password.map_err(|_| "the password file cannot be read")?;
        let password = password.trim_end_matches(['\r', '\n']);
        Ok(match &self.user {
            Some(user) => command(&["AUTH", user, password]),
            None => command(&["AUTH", password]),
        })
    }
}

async fn greet(stream: &mut Stream, hello: &[u8], answers: usize) -> Result<(), Ended> {
    let broken = "it closed the connection";
    stream.write_all(hello).await.map_err(|_| broken)?;
    // Under TLS what was written may wait for this.
    stream.flush().await.map_err(|_| broken)?;
    let mut bytes = BytesMut::new();
    for _ in 0..answers {
        let answer = loop {
            if let Some(answer) = resp::take(&mut bytes).map_err(|_| "it is no Redis")? {
                break answer;
            }
            if stream.read_buf(&mut bytes).await.map_err(|_| broken)? == 0 {
                return Err(broken);
            }
        };
        if matches!(answer, Value::Error(_)) {
            return Err("it refuses the login or the database");
        }
    }
    Ok(())
}

/// One connection in use.
struct Session<'l> {
    stream: Stream,
    link: &'l Link,
    waiting: VecDeque<(Instant, Option<oneshot::Sender<Value>>)>,
    read: BytesMut,
    renewed: Instant,
}

impl<'l> Session<'l> {
    fn new(stream: Stream, link: &'l Link) -> Self {
        let long_ago = Instant::now().checked_sub(link.lease);
        Self {
            stream,
            link,
            waiting: VecDeque::new(),
            read: BytesMut::new(),
            // A new connection may be to a store that has forgotten them.
            renewed: long_ago.unwrap_or_else(Instant::now),
        }
    }

    async fn serve(mut self, asks: &mut mpsc::Receiver<Ask>) -> Ended {
        let mut out = Vec::new();
        loop {
            self.renew(&mut out);
            if !out.is_empty() {
                let sending = async {
                    self.stream.write_all(&out).await?;
                    self.stream.flush().await
                };
                let sent = timeout(self.link.patience, sending).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return "it does not take commands";
                }
                out.clear();
            }
            let oldest = self.waiting.front().map(|(since, _)| *since);
            let next = oldest.map_or(self.renewed + self.link.lease / 3, |since| {
                since + self.link.patience
            });
            tokio::select! {
                ask = asks.recv() => {
                    let Some(ask) = ask else { return "the sidecar stops" };
                    self.put(ask, &mut out);
                    while let Ok(ask) = asks.try_recv() {
                        self.put(ask, &mut out);
                    }
                }
                read = self.stream.read_buf(&mut self.read) => match read {
                    Ok(1..) => if let Err(why) = self.answer() { return why },
                    _ => return "it closed the connection",
                },
                () = tokio::time::sleep_until(next.into()) => {
                    if oldest.is_some_and(|since| since.elapsed() >= self.link.patience) {
                        return "it does not answer in time";
                    }
                }
            }
        }
    }

    fn put(&mut self, ask: Ask, out: &mut Vec<u8>) {
        out.extend_from_slice(&ask.command);
        self.waiting.push_back((Instant::now(), ask.reply));
    }

    /// Hands out what has come.
    fn answer(&mut self) -> Result<(), Ended> {
        while let Some(value) = resp::take(&mut self.read).map_err(|_| "it is no Redis")? {
            let Some((_, reply)) = self.waiting.pop_front() else {
                return Err("it answers what nobody asked");
            };
            if let Value::Error(error) = &value {
                // A code, never an argument: `READONLY`, `OOM`, `LOADING`.
                let code = error.split(' ').next().unwrap_or_default();
                tracing::warn!(target: "store", code, "a command was refused");
            }
            if let Some(reply) = reply {
                // Who asked may have given up.
                let _ = reply.send(value);
            }
        }
        Ok(())
    }

    /// Says again which places this sidecar holds, well before they would be given to others.
    fn renew(&mut self, out: &mut Vec<u8>) {
        if self.renewed.elapsed() < self.link.lease / 3 {
            return;
        }
        self.renewed = Instant::now();
        for command in self.link.register.renewals(self.link.lease) {
            out.extend_from_slice(&command);
            self.waiting.push_back((Instant::now(), None));
        }
    }
}
