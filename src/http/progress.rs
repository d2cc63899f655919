//! How far a body has got, for those who look on while it moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::limit::Moment;

/// Counted up by whoever moves it.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Moment,
    moved: AtomicU64,
    /// In microseconds.
    pending: AtomicU64,
    /// In milliseconds since it began.
    last: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Moment::now(),
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

    /// For how long nothing has been taken.
    pub(crate) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last)
    }

    /// So many bytes were taken.
    pub(crate) fn note(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        let last = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(last, Ordering::Relaxed);
    }

    /// For so long they were not.
    pub(crate) fn note_pending(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.pending.fetch_add(time, Ordering::Relaxed);
    }
}
