//! What the rules of ownership may cost at most: at 1,000 members with 512 differing views a probe's
//! answer takes no longer than a millisecond, and a write's check no longer than a microsecond where
//! nothing is in doubt (`cargo bench --bench ownership` has the figures). A build that is ten times
//! beyond has begun to compute anew what has not changed.

// A test that meets what it does not expect has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fleet;

use std::time::{Duration, Instant};

use fleet::{Fleet, VIEWS};

/// A build without optimisation is so many times slower, and still far from squares of a thousand.
const SLOWER: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
const ANSWER: Duration = Duration::from_millis(10);
const CHECK: Duration = Duration::from_micros(10);
const TRIES: usize = 20;

/// The best of several tries: others use this machine too.
fn best(mut tried: impl FnMut() -> Duration) -> Duration {
    (0..TRIES).map(|_| tried()).min().unwrap()
}

fn time_of(action: impl FnOnce()) -> Duration {
    let began = Instant::now();
    action();
    began.elapsed()
}

#[test]
fn a_large_fleet_in_dispute_costs_no_more_than_it_may() {
    let mut fleet = Fleet::new(VIEWS);
    let answer = fleet.answer(7);
    let unchanged = best(|| time_of(|| fleet.take(7, &answer)));
    let mut number = VIEWS;
    let new = best(|| {
        number += 1;
        let answer = fleet::answer_with_view(7, number);
        time_of(|| fleet.take(7, &answer))
    });
    let asker = fleet.asker(true, false);
    let made = best(|| time_of(|| drop(fleet.report(&asker))));
    for (what, time) in [("unchanged", unchanged), ("new", new), ("made", made)] {
        assert!(time < ANSWER * SLOWER, "an answer, {what}: {time:?}");
    }
}

#[test]
fn a_write_that_nobody_disputes_costs_no_more_than_it_may() {
    const WRITES: u32 = 1000;
    let fleet = Fleet::new(1);
    let snapshot = fleet.snapshot();
    let all = best(|| time_of(|| (0..WRITES).for_each(|_| fleet.write(&snapshot))));
    assert!(all / WRITES < CHECK * SLOWER, "a write: {:?}", all / WRITES);
}
