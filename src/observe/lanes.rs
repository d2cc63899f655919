//! One value for each thread, so that no two threads write to the same memory on every request. Who reads goes
//! over all of them.
//!
//! A thread has a number of its own as long as it lives, and with it a lane in each [`Lanes`]. Threads beyond the
//! number of lanes share the last one.

use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// Lanes with an owner, at most: as many as there are bits to say which are taken.
const MOST: usize = 64;

/// Which numbers living threads have.
static TAKEN: Mutex<u64> = Mutex::new(0);

thread_local! {
    static NUMBER: Number = Number::take();
}

/// A value for each thread, made when its thread first asks for it.
pub(crate) struct Lanes<T> {
    lanes: Box<[OnceLock<Arc<Lane<T>>>]>,
}

/// One thread's value, alone in its cache lines (processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Lane<T>(T);

/// The calling thread's lane.
pub(crate) struct Mine<'l, T> {
    pub(crate) lane: &'l Arc<Lane<T>>,
    /// No other thread has this lane.
    pub(crate) alone: bool,
    /// It must not go to another thread.
    stays: PhantomData<Rc<()>>,
}

impl<T: Default> Lanes<T> {
    pub(crate) fn mine(&self) -> Mine<'_, T> {
        let shared = self.lanes.len() - 1;
        // A thread that ends has given its number back.
        let number = NUMBER.try_with(|number| number.0).unwrap_or(shared);
        let lane = &self.lanes[number.min(shared)];
        Mine {
            lane: lane.get_or_init(Arc::default),
            alone: number < shared,
            stays: PhantomData,
        }
    }

    /// Those that have been used.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Arc<Lane<T>>> {
        self.lanes.iter().filter_map(OnceLock::get)
    }
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        let lanes = (0..=owned()).map(|_| OnceLock::new());
        Self {
            lanes: lanes.collect(),
        }
    }
}

impl<T> Deref for Lane<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Enough for the threads that serve requests and as many others.
fn owned() -> usize {
    static OWNED: OnceLock<usize> = OnceLock::new();
    *OWNED.get_or_init(|| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (2 * threads + 2).min(MOST)
    })
}

/// A thread's number; [`owned`] or more if there is none left.
struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.trailing_ones() as usize;
        if number < owned() {
            *taken |= 1 << number;
        }
        Self(number)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if self.0 < owned() {
            // The next thread of this number sees all that this one has written.
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) &= !(1 << self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    #[test]
    fn threads_that_live_at_once_have_lanes_of_their_own_or_share_one() {
        let lanes: Lanes<u8> = Lanes::default();
        let threads = 2 * MOST;
        let all_there = Barrier::new(threads);
        let found: Vec<(usize, bool)> = thread::scope(|scope| {
            let look = || {
                let mine = lanes.mine();
                let found = (Arc::as_ptr(mine.lane) as usize, mine.alone);
                all_there.wait();
                // It stays the same.
                assert_eq!(Arc::as_ptr(lanes.mine().lane) as usize, found.0);
                found
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
            let found = threads.into_iter().map(|thread| thread.join().unwrap());
            found.collect()
        });
        let owned: Vec<usize> = found.iter().filter(|one| one.1).map(|one| one.0).collect();
        let others: BTreeSet<usize> = found.iter().filter(|one| !one.1).map(|one| one.0).collect();
        assert_eq!(owned.iter().collect::<BTreeSet<_>>().len(), owned.len());
        assert_eq!(others.len(), 1, "all others share one");
        assert!(
            owned
                .iter()
                .all(|lane| !others.contains(lane) && lane % 128 == 0)
        );
        assert_eq!(lanes.each().count(), owned.len() + 1);
    }

    #[test]
    fn a_number_is_given_back() {
        let lanes: Lanes<u8> = Lanes::default();
        for _ in 0..10 * MOST {
            thread::scope(|scope| scope.spawn(|| lanes.mine().alone).join().unwrap());
        }
        assert!(lanes.each().count() <= owned() + 1);
    }
}
