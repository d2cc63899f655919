//! How far a body has got, for those who look on while it moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counted up by whoever moves it. Times are in microseconds since it began.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    moved: AtomicU64,
    pending: AtomicU64,
    last: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// Bytes that were taken.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// For how long nothing was taken though there was something.
    pub(crate) fn pending(&self) -> Duration {
        Duration::from_micros(self.pending.load(Ordering::Relaxed))
    }

    /// When something was taken last.
    pub(crate) fn last(&self) -> Instant {
        self.began + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    /// So many bytes were taken.
    pub(crate) fn note(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.last
            .store(micros(self.began.elapsed()), Ordering::Relaxed);
    }

    /// For so long they were not.
    pub(crate) fn note_pending(&self, time: Duration) {
        self.pending.fetch_add(micros(time), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
