//! Which writes an generation has admitted and not seen the end of.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Generation;

/// Counts the writes of one generation.
#[derive(Debug, Default)]
pub(super) struct Writes {
    under_way: AtomicUsize,
    retired: AtomicBool,
    /// Until when unseen writes may go on, in milliseconds of [`now`].
    aftermath: AtomicU64,
}

/// One write that an generation has admitted.
pub struct WriteGuard {
    generation: Arc<Generation>,
    sent: bool,
    answered: bool,
}

/// Counts a write in, unless the generation is over.
///
/// The order is what matters: counted first, looked second. Whoever retires the generation and looks at
/// the count afterwards either finds this write or has stopped it.
pub(super) fn begin(generation: &Arc<Generation>) -> Option<WriteGuard> {
    generation.writes.under_way.fetch_add(1, Ordering::SeqCst);
    // Made before the look, so that it is counted out whatever comes.
    let guard = WriteGuard {
        generation: generation.clone(),
        sent: false,
        answered: false,
    };
    let over = generation.writes.retired.load(Ordering::SeqCst);
    (!over).then_some(guard)
}

impl Writes {
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(super) fn are_over(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(super) fn are_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0 || now() < self.aftermath.load(Ordering::SeqCst)
    }
}

impl WriteGuard {
    /// The replica has been sent it, or part of it.
    pub fn is_sent(&mut self) {
        self.sent = true;
    }

    /// The replica has answered: it works on it no longer.
    pub fn is_answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        let writes = &self.generation.writes;
        if self.sent && !self.answered {
            // Registries finish storage calls for a client that is gone.
            let aftermath = u64::try_from(self.generation.timeouts.aftermath.as_millis());
            let until = now().saturating_add(aftermath.unwrap_or(u64::MAX));
            writes.aftermath.fetch_max(until, Ordering::SeqCst);
        }
        writes.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Milliseconds since this process first asked.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
