//! Work over all repositories, on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Always so many pieces: sums of floating numbers must not depend on the number of cores.
const PIECES: u32 = 64;

/// How many pieces are worked on at a time.
pub fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What `work` makes of each piece of `0..count`, in order.
pub fn pieces<T: Send>(count: u32, work: impl Fn(Range<u32>) -> T + Sync) -> Vec<T> {
    let next = AtomicU32::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= PIECES {
                return done;
            }
            let bound = |n: u32| (u64::from(count) * u64::from(n) / u64::from(PIECES)) as u32;
            done.push((piece, work(bound(piece)..bound(piece + 1))));
        }
    };
    let mut all: Vec<(u32, T)> = thread::scope(|scope| {
        let running: Vec<_> = (0..workers()).map(|_| scope.spawn(worker)).collect();
        running
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    all.sort_by_key(|(piece, _)| *piece);
    all.into_iter().map(|(_, made)| made).collect()
}
