//! Requests to one member, in slots of five seconds: each thread counts its own of the slot that goes on, and adds
//! them to the past when another begins, or when somebody looks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observe::lanes::Lanes;

/// How long a slot is, in seconds.
const SLOT: u64 = 5;
/// Slots of the curve: five minutes.
const CURVE: u64 = 60;
/// Slots of the last minute, without the one that is not over yet.
const MINUTE: u64 = 12;
/// Rings are longer than what is read, so that the slot that is begun next is not one of these.
const COUNTS: usize = 64;
const LATENCIES: usize = 16;
/// Latencies are told apart in steps of a quarter of each power of two, from 64 microseconds on.
const STEPS_BITS: u32 = 2;
const UNIT_BITS: u32 = 6;
/// Up to more than four minutes.
const BUCKETS: usize = 88;

/// How long the curve is, in seconds.
pub(crate) const CURVE_SECONDS: u64 = CURVE * SLOT;

/// What came of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Whether it failed by no fault of its client's.
    pub(crate) failed: bool,
    /// Body bytes, both ways.
    pub(crate) bytes: u64,
    /// Until the head of the answer, where one came.
    pub(crate) latency: Option<Duration>,
}

/// What one member did lately.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Of each thread the slot that it counts in. Locked before `past`, where both are.
    threads: Lanes<Mutex<Slot>>,
    past: Mutex<Past>,
}

/// The same, to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrafficShown {
    pub(crate) requests_per_second: f64,
    pub(crate) errors_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// Requests and errors of each slot of five seconds, oldest first.
    pub(crate) curve: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    bytes: u64,
}

/// One slot.
struct Slot {
    /// Which one since the start this is, from 1 on; 0: none yet.
    turn: u64,
    counts: Counts,
    latencies: [u32; BUCKETS],
}

/// All slots that can be shown, each with its turn.
struct Past {
    counts: Box<[(u64, Counts); COUNTS]>,
    latencies: Box<[(u64, [u32; BUCKETS]); LATENCIES]>,
}

impl Traffic {
    /// Counts a request that ended at this time since the start.
    pub(super) fn count(&self, now: Duration, sample: &Sample) {
        let turn = turn_of(now);
        let mut slot = locked(self.threads.mine().lane);
        if slot.turn != turn {
            locked(&self.past).add(&slot);
            *slot = Slot {
                turn,
                ..Slot::default()
            };
        }
        slot.counts.add(&Counts {
            requests: 1,
            errors: sample.failed.into(),
            bytes: sample.bytes,
        });
        if let Some(latency) = sample.latency {
            slot.latencies[bucket_of(latency)] += 1;
        }
    }

    /// The last minute and the curve, as seen at this time since the start.
    pub(crate) fn shown(&self, now: Duration) -> TrafficShown {
        for thread in self.threads.each() {
            let mut slot = locked(thread);
            locked(&self.past).add(&slot);
            *slot = Slot::default();
        }
        let past = locked(&self.past);
        let turn = turn_of(now);
        let curve: Vec<(u64, u64)> = (0..CURVE)
            .rev()
            .map(|ago| past.counts_at(turn, ago))
            .map(|at| (at.requests, at.errors))
            .collect();
        let mut minute = Counts::default();
        (0..=MINUTE).for_each(|ago| minute.add(&past.counts_at(turn, ago)));
        let begun = now.as_secs_f64() % SLOT as f64;
        let seconds = (begun + (MINUTE * SLOT) as f64).min(now.as_secs_f64().max(1.0));
        let latencies = past.latencies_of_the_minute(turn);
        TrafficShown {
            requests_per_second: minute.requests as f64 / seconds,
            errors_per_second: minute.errors as f64 / seconds,
            bytes_per_second: minute.bytes as f64 / seconds,
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            curve,
        }
    }
}

impl Past {
    /// Adds what a thread has counted. A thread that has slept for longer than is shown adds nothing.
    fn add(&mut self, slot: &Slot) {
        let turn = slot.turn;
        let (of, counts) = &mut self.counts[turn as usize % COUNTS];
        if *of < turn {
            (*of, *counts) = (turn, Counts::default());
        }
        if *of == turn {
            counts.add(&slot.counts);
        }
        let (of, latencies) = &mut self.latencies[turn as usize % LATENCIES];
        if *of < turn {
            (*of, *latencies) = (turn, [0; BUCKETS]);
        }
        if *of == turn {
            for (total, bucket) in latencies.iter_mut().zip(&slot.latencies) {
                *total += bucket;
            }
        }
    }

    fn counts_at(&self, turn: u64, ago: u64) -> Counts {
        let turn = turn.saturating_sub(ago);
        let (of, counts) = self.counts[turn as usize % COUNTS];
        if turn > 0 && of == turn {
            counts
        } else {
            Counts::default()
        }
    }

    fn latencies_of_the_minute(&self, turn: u64) -> [u64; BUCKETS] {
        let mut sum = [0; BUCKETS];
        for turn in turn.saturating_sub(MINUTE).max(1)..=turn {
            let (of, latencies) = &self.latencies[turn as usize % LATENCIES];
            if *of == turn {
                for (total, bucket) in sum.iter_mut().zip(latencies) {
                    *total += u64::from(*bucket);
                }
            }
        }
        sum
    }
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.errors += more.errors;
        self.bytes += more.bytes;
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            turn: 0,
            counts: Counts::default(),
            latencies: [0; BUCKETS],
        }
    }
}

impl Default for Past {
    fn default() -> Self {
        Self {
            counts: Box::new([(0, Counts::default()); COUNTS]),
            latencies: Box::new([(0, [0; BUCKETS]); LATENCIES]),
        }
    }
}

/// Waits for nobody but one who looks, and for threads without a lane of their own.
fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn turn_of(now: Duration) -> u64 {
    now.as_secs() / SLOT + 1
}

fn bucket_of(latency: Duration) -> usize {
    let units = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX) >> UNIT_BITS;
    let steps = 1 << STEPS_BITS;
    if units < steps {
        return units as usize;
    }
    let power = 63 - units.leading_zeros();
    let step = (units >> (power - STEPS_BITS)) & (steps - 1);
    let bucket = u64::from(power - STEPS_BITS + 1) * steps + step;
    (bucket as usize).min(BUCKETS - 1)
}

/// The least latency of a bucket.
fn floor_of(bucket: usize) -> Duration {
    let (bucket, steps) = (bucket as u64, 1 << STEPS_BITS);
    let units = if bucket < steps {
        bucket
    } else {
        (steps + bucket % steps) << (bucket / steps - 1)
    };
    Duration::from_micros(units << UNIT_BITS)
}

/// Half-way through the bucket that holds it.
fn quantile(buckets: &[u64; BUCKETS], part: f64) -> Option<Duration> {
    let total: u64 = buckets.iter().sum();
    let rank = ((total as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    let holds = buckets.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    holds.map(|bucket| (floor_of(bucket) + floor_of(bucket + 1)) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(failed: bool, bytes: u64, millis: u64) -> Sample {
        Sample {
            failed,
            bytes,
            latency: Some(Duration::from_millis(millis)),
        }
    }

    #[test]
    fn a_minute_and_five_are_shown() {
        let traffic = Traffic::default();
        // 10 a second for ten minutes, one of them failed.
        for second in 0..600 {
            for nth in 0..10 {
                let at = Duration::from_secs(second);
                traffic.count(at, &sample(nth == 0, 1000, if nth == 9 { 400 } else { 20 }));
            }
        }
        let shown = traffic.shown(Duration::from_secs(600));
        let near = |is: f64, wanted: f64| (is - wanted).abs() < wanted * 0.01;
        assert!(near(shown.requests_per_second, 10.0), "{shown:?}");
        assert!(near(shown.errors_per_second, 1.0), "{shown:?}");
        assert!(near(shown.bytes_per_second, 10_000.0), "{shown:?}");
        let millis = |of: Option<Duration>| of.unwrap().as_secs_f64() * 1000.0;
        assert!((16.0..24.0).contains(&millis(shown.p50)), "{shown:?}");
        assert!((340.0..480.0).contains(&millis(shown.p99)), "{shown:?}");
        assert_eq!(shown.curve.len(), 60);
        assert_eq!(shown.curve[0], (50, 5));
        // The slot that has just begun.
        assert_eq!(shown.curve[59], (0, 0));
    }

    #[test]
    fn what_is_old_is_forgotten_and_a_young_process_is_not_diluted() {
        let traffic = Traffic::default();
        for _ in 0..20 {
            traffic.count(Duration::from_secs(1), &sample(false, 0, 5));
        }
        let young = traffic.shown(Duration::from_secs(2));
        assert!((young.requests_per_second - 10.0).abs() < 0.1, "{young:?}");
        let old = traffic.shown(Duration::from_secs(1_000));
        assert_eq!((old.requests_per_second, old.p50), (0.0, None));
        assert!(old.curve.iter().all(|slot| *slot == (0, 0)));
        // The ring comes round to the same place.
        let later = Duration::from_secs(1 + COUNTS as u64 * SLOT);
        traffic.count(later, &sample(false, 0, 5));
        assert_eq!(traffic.shown(later).curve[59], (1, 0));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_latency(micros in 0_u64..300_000_000) {
            let latency = Duration::from_micros(micros);
            let bucket = bucket_of(latency);
            prop_assert!(floor_of(bucket) <= latency);
            prop_assert!(bucket == BUCKETS - 1 || latency < floor_of(bucket + 1));
        }
    }

    #[test]
    fn many_threads_count_all() {
        let traffic = Traffic::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        traffic.count(Duration::from_secs(7), &sample(false, 1, 1));
                    }
                });
            }
        });
        let look = || traffic.shown(Duration::from_secs(7)).curve[59];
        assert_eq!([look(), look()], [(40_000, 0); 2]);
    }

    #[test]
    fn what_a_thread_has_not_added_yet_is_shown_where_it_belongs() {
        let traffic = Traffic::default();
        let count = |second| traffic.count(Duration::from_secs(second), &sample(true, 1, 5));
        // One that has slept since, and one that goes on.
        std::thread::scope(|scope| scope.spawn(|| count(3)).join().unwrap());
        (4..=602).for_each(count);
        let shown = traffic.shown(Duration::from_secs(602));
        assert!(
            shown.curve[..59].iter().all(|slot| *slot == (5, 5)),
            "{shown:?}"
        );
        assert_eq!(shown.curve[59], (3, 3));
    }
}
