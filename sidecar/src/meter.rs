//! Watches one connection: how far its caller has come, and whether it is too slow.
//!
//! A watch-dog looks at each connection a few times in a timeout, so that requests themselves set
//! no timers.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    config::ListenConfig,
    listen::{Frames, Streams},
    socket::Channel,
};

/// A connection whose traffic is counted.
#[derive(Debug)]
pub struct Metered {
    stream: Channel,
    meter: Arc<Meter>,
    /// What was read of it already.
    first: Bytes,
    frames: Option<Frames>,
}

/// What is known of one connection.
#[derive(Debug, Default)]
pub struct Meter {
    bytes_in: AtomicU64,
    /// `bytes_in` when the last request had been answered.
    settled: AtomicU64,
    /// Requests in flight.
    busy: AtomicU32,
    blocked: AtomicBool,
    /// Set on HTTP/2.
    streams: OnceLock<Arc<Streams>>,
}

/// What a caller is too slow at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// It began a request and does not end the head.
    Head,
    /// It does not read its answer.
    Reading,
    /// It keeps an idle connection for too long.
    Idle,
    /// It takes back too many of its requests.
    Resetting,
}

impl Metered {
    /// Counts the traffic of a connection, of which `first` has been read already.
    #[must_use]
    pub fn new(stream: Channel, first: Bytes, meter: Arc<Meter>) -> Self {
        Self {
            frames: meter.streams().map(|_| Frames::default()),
            stream,
            meter,
            first,
        }
    }
}

impl Meter {
    /// A meter for an HTTP/2 connection.
    #[must_use]
    pub fn of_streams(streams: Arc<Streams>) -> Self {
        Self {
            streams: OnceLock::from(streams),
            ..Self::default()
        }
    }

    /// The requests of an HTTP/2 connection.
    #[must_use]
    pub fn streams(&self) -> Option<&Arc<Streams>> {
        self.streams.get()
    }

    /// A request's head is complete.
    pub fn begin(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    /// Its answer has ended.
    pub fn end(&self) {
        if self.settled.load(Relaxed) != u64::MAX {
            self.settled.store(self.bytes_in.load(Relaxed), Relaxed);
        }
        self.busy.fetch_sub(1, Relaxed);
    }

    /// The rest of this connection is no request: a body was left unread.
    pub fn leave_unread(&self) {
        self.settled.store(u64::MAX, Relaxed);
    }

    /// Whether the caller has begun a request whose head is not complete.
    #[must_use]
    pub fn has_partial_head(&self) -> bool {
        match self.streams() {
            Some(streams) => streams.has_partial_head(),
            None => !self.is_busy() && self.bytes_in.load(Relaxed) > self.settled.load(Relaxed),
        }
    }

    /// Whether a request is in flight.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }
}

/// How long each state of a connection has lasted, in looks of the watch-dog.
#[derive(Debug)]
pub struct WatchDog {
    head: u32,
    reading: u32,
    idle: u32,
    most: [u32; 3],
    write_timeout: Duration,
}

impl WatchDog {
    /// How often it looks: often enough that no timeout is exceeded by more than a quarter.
    #[must_use]
    pub fn period(config: &ListenConfig) -> Duration {
        let shortest = [
            config.head_timeout,
            config.write_timeout,
            config.idle_timeout,
        ]
        .into_iter()
        .map(|span| span.0)
        .min()
        .unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// A watch-dog for one connection.
    #[must_use]
    pub fn new(config: &ListenConfig) -> Self {
        let period = Self::period(config);
        let looks = |timeout: Duration| {
            u32::try_from(timeout.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX)
        };
        Self {
            head: 0,
            reading: 0,
            idle: 0,
            most: [
                looks(config.head_timeout.0),
                looks(config.write_timeout.0),
                looks(config.idle_timeout.0),
            ],
            write_timeout: config.write_timeout.0,
        }
    }

    /// Looks once.
    pub fn look(&mut self, meter: &Meter) -> Option<Slow> {
        let count = |state: bool, looks: &mut u32| *looks = if state { *looks + 1 } else { 0 };
        let partial = meter.has_partial_head();
        count(partial, &mut self.head);
        count(meter.blocked.load(Relaxed), &mut self.reading);
        count(!partial && !meter.is_busy(), &mut self.idle);
        let [head, reading, idle] = self.most;
        let streams = meter.streams();
        if self.head > head {
            Some(Slow::Head)
        } else if streams.is_some_and(|streams| streams.resets_too_much()) {
            Some(Slow::Resetting)
        } else if self.reading > reading
            || streams.is_some_and(|streams| streams.has_waited(self.write_timeout))
        {
            Some(Slow::Reading)
        } else if self.idle > idle {
            Some(Slow::Idle)
        } else {
            None
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = if self.first.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))
        } else {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(self.first.get(..count).unwrap_or_default());
            self.first.advance(count);
            Ok(())
        };
        let new = buffer.filled().get(before..).unwrap_or_default();
        self.meter.bytes_in.fetch_add(new.len() as u64, Relaxed);
        let Self { frames, meter, .. } = &mut *self;
        if let (Some(frames), Some(streams)) = (frames, meter.streams()) {
            streams.set(frames.take(new));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.meter.blocked.store(written.is_pending(), Relaxed);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.meter.blocked.store(written.is_pending(), Relaxed);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Under TLS what was written may wait here.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.meter.blocked.store(flushed.is_pending(), Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
