//! One direction of a tunnel.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink},
    time::timeout,
};

use super::{Ended, frames::Frames};

/// How much is read at once.
const BLOCK: usize = 8 << 10;

/// Passes on what comes.
pub(super) struct Pump<R, W> {
    from: R,
    to: W,
    frames: Frames,
    /// A piece may have passed in part only.
    writing: bool,
}

/// Which end of a pump has failed.
pub(super) enum Side {
    Source,
    Sink,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Source => Self::Sink,
            Self::Sink => Self::Source,
        }
    }

    /// Seen from the caller's side: the sink is the server.
    pub(super) fn ended(&self) -> Ended {
        match self {
            Self::Source => Ended::Closed,
            Self::Sink => Ended::Broken,
        }
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pump<R, W> {
    pub(super) fn new(from: R, to: W) -> Self {
        Self {
            from,
            to,
            frames: Frames::default(),
            writing: false,
        }
    }

    /// Passes on what comes, to its end.
    pub(super) async fn run(&mut self, passed: &AtomicU64, slowest: Duration) -> Result<(), Side> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = self.from.read(&mut block).await.map_err(|_| Side::Source)?;
            let Some(piece) = block.get(..count).filter(|it| !it.is_empty()) else {
                let _ = self.to.shutdown().await;
                return Ok(());
            };
            self.writing = true;
            let writing = async {
                self.to.write_all(piece).await?;
                self.to.flush().await
            };
            match timeout(slowest, writing).await {
                Ok(Ok(())) => passed.fetch_add(count as u64, Relaxed),
                Ok(Err(_)) | Err(_) => return Err(Side::Sink),
            };
            self.writing = false;
            self.frames.pass(piece);
        }
    }

    /// Ends the direction with a last frame, unless another is on its way.
    pub(super) async fn leave(&mut self, frame: &[u8]) {
        if !self.writing && self.frames.is_between() {
            let _ = self.to.write_all(frame).await;
        }
        let _ = self.to.shutdown().await;
    }

    /// Reads what still comes, to its end, for nobody.
    pub(super) async fn forget(&mut self) {
        let _ = copy(&mut self.from, &mut sink()).await;
    }
}
