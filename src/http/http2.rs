//! Watches over a connection that speaks HTTP/2: its frames, and the time that a header block takes.

use std::future::Future;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::frames::{Abuse, Frames};

/// What the connection was closed for, if it was; told to the one who began it.
pub(super) type Verdict = Arc<OnceLock<Abuse>>;

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Http2 {
    frames: Frames,
    began: Instant,
    /// How long a header block may take from its first frame to its last.
    patience: Duration,
    block_ends: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
}

impl Http2 {
    pub(super) fn new(header_bytes: usize, patience: Duration, verdict: Verdict) -> Self {
        Self {
            frames: Frames::new(header_bytes),
            began: Instant::now(),
            patience,
            block_ends: None,
            verdict,
        }
    }

    /// The client has sent these bytes.
    pub(super) fn received(&mut self, bytes: &[u8]) -> IoResult<()> {
        let followed = self.frames.follow(bytes, self.began.elapsed());
        if let Err(abuse) = followed {
            return Err(self.close(abuse));
        }
        if !self.frames.in_header_block() {
            self.block_ends = None;
        } else if self.block_ends.is_none() {
            self.block_ends = Some(Box::pin(sleep(self.patience)));
        }
        Ok(())
    }

    /// So much was written to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.frames.wrote(bytes);
    }

    /// Nothing comes from the client: ready once it has owed the rest of a header block for too
    /// long. No stream waits for it yet, so nobody else would.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let Some(ends) = &mut self.block_ends else {
            return Poll::Pending;
        };
        ends.as_mut()
            .poll(cx)
            .map(|()| Err(self.close(Abuse::SlowHeaderBlock)))
    }

    fn close(&self, abuse: Abuse) -> Error {
        // The first one counts.
        let _ = self.verdict.set(abuse);
        Error::from(ErrorKind::ConnectionAborted)
    }
}
