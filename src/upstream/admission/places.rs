//! Places that are taken and given back, whose number can change while they are.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Semaphore;

/// The most places that there can be: with as many again that are too many, they can be counted.
pub(crate) const MAX: NonZeroUsize = match NonZeroUsize::new(Semaphore::MAX_PERMITS / 2) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// First come, first served.
#[derive(Debug)]
pub(crate) struct Places {
    free: Semaphore,
    /// Places too many since the number was made smaller: that many are not given back when they
    /// come back.
    surplus: AtomicUsize,
}

/// A place that goes back if it is not kept.
pub(crate) struct Taken<'a>(&'a Places);

impl Places {
    /// All free.
    pub(crate) fn new(number: NonZeroUsize) -> Self {
        Self {
            free: Semaphore::new(number.min(MAX).get()),
            surplus: AtomicUsize::new(0),
        }
    }

    /// A place, if one is free and nobody waits for it.
    pub(crate) fn try_take(&self) -> Option<Taken<'_>> {
        self.free.try_acquire().ok()?.forget();
        Some(Taken(self))
    }

    /// Waits for a place. None only if places were closed, which they never are.
    pub(crate) async fn take(&self) -> Option<Taken<'_>> {
        self.free.acquire().await.ok()?.forget();
        Some(Taken(self))
    }

    /// Gives a kept place back: to the first who waits, if there are not too many.
    pub(crate) fn give_back(&self) {
        if self.is_surplus() && self.take_surplus(1) == 1 {
            return;
        }
        self.free.add_permits(1);
        self.settle();
    }

    /// Makes places, at once.
    pub(crate) fn grow(&self, by: usize) {
        let still_there = self.take_surplus(by);
        self.free.add_permits(by - still_there);
    }

    /// Takes places away: free ones at once, others as they come back.
    pub(crate) fn shrink(&self, by: usize) {
        self.surplus.fetch_add(by, Ordering::SeqCst);
        self.settle();
    }

    fn is_surplus(&self) -> bool {
        self.surplus.load(Ordering::SeqCst) > 0
    }

    /// Takes free places away while there are too many. Called after a place became free and after
    /// there were too many, so that the later of the two finds the other.
    fn settle(&self) {
        fence(Ordering::SeqCst);
        while self.is_surplus() && self.free.available_permits() > 0 {
            let surplus = self.take_surplus(usize::MAX);
            let gone = self.free.forget_permits(surplus);
            self.surplus.fetch_add(surplus - gone, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
    }

    /// Takes as much of the surplus as there is, up to `most`.
    fn take_surplus(&self, most: usize) -> usize {
        let taken = self
            .surplus
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |surplus| {
                (surplus > 0).then(|| surplus.saturating_sub(most))
            });
        taken.map_or(0, |surplus| surplus.min(most))
    }
}

impl Taken<'_> {
    /// From now on it goes back by [`Places::give_back`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
