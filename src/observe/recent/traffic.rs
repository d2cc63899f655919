//! Requests to one member, in slots of five seconds. Atomics in a ring: no lock, no allocation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

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

/// What one member did lately. A count may be lost when two requests begin a slot at once.
#[derive(Debug)]
pub(crate) struct Traffic {
    counts: Box<[Counts; COUNTS]>,
    latencies: Box<[Latencies; LATENCIES]>,
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

#[derive(Debug, Default)]
struct Counts {
    /// Which slot since the start this is, from 1 on; 0: none yet.
    turn: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Latencies {
    turn: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Traffic {
    fn default() -> Self {
        let latencies = || Latencies {
            turn: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        };
        Self {
            counts: Box::new(std::array::from_fn(|_| Counts::default())),
            latencies: Box::new(std::array::from_fn(|_| latencies())),
        }
    }
}

impl Traffic {
    /// Counts a request that ended at this time since the start.
    pub(super) fn count(&self, now: Duration, sample: &Sample) {
        let turn = turn_of(now);
        let counts = &self.counts[turn as usize % COUNTS];
        if counts.turn.load(Relaxed) != turn && counts.turn.swap(turn, Relaxed) != turn {
            counts.requests.store(0, Relaxed);
            counts.errors.store(0, Relaxed);
            counts.bytes.store(0, Relaxed);
        }
        counts.requests.fetch_add(1, Relaxed);
        counts.errors.fetch_add(u64::from(sample.failed), Relaxed);
        counts.bytes.fetch_add(sample.bytes, Relaxed);
        let Some(latency) = sample.latency else {
            return;
        };
        let latencies = &self.latencies[turn as usize % LATENCIES];
        if latencies.turn.load(Relaxed) != turn && latencies.turn.swap(turn, Relaxed) != turn {
            latencies
                .buckets
                .iter()
                .for_each(|bucket| bucket.store(0, Relaxed));
        }
        latencies.buckets[bucket_of(latency)].fetch_add(1, Relaxed);
    }

    /// The last minute and the curve, as seen at this time since the start.
    pub(crate) fn shown(&self, now: Duration) -> TrafficShown {
        let turn = turn_of(now);
        let curve: Vec<(u64, u64)> = (0..CURVE)
            .rev()
            .map(|ago| self.counts_at(turn, ago).map_or((0, 0), |at| (at.0, at.1)))
            .collect();
        let minute = (0..=MINUTE).filter_map(|ago| self.counts_at(turn, ago));
        let (requests, errors, bytes) = minute.fold((0, 0, 0), |sum, at| {
            (sum.0 + at.0, sum.1 + at.1, sum.2 + at.2)
        });
        let begun = now.as_secs_f64() % SLOT as f64;
        let seconds = (begun + (MINUTE * SLOT) as f64).min(now.as_secs_f64().max(1.0));
        let latencies = self.latencies_of_the_minute(turn);
        TrafficShown {
            requests_per_second: requests as f64 / seconds,
            errors_per_second: errors as f64 / seconds,
            bytes_per_second: bytes as f64 / seconds,
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            curve,
        }
    }

    fn counts_at(&self, turn: u64, ago: u64) -> Option<(u64, u64, u64)> {
        let turn = turn.checked_sub(ago)?;
        let at = &self.counts[turn as usize % COUNTS];
        (turn > 0 && at.turn.load(Relaxed) == turn).then(|| {
            (
                at.requests.load(Relaxed),
                at.errors.load(Relaxed),
                at.bytes.load(Relaxed),
            )
        })
    }

    fn latencies_of_the_minute(&self, turn: u64) -> [u64; BUCKETS] {
        let mut sum = [0; BUCKETS];
        let turns = (0..=MINUTE).filter_map(|ago| turn.checked_sub(ago));
        for turn in turns.filter(|turn| *turn > 0) {
            let at = &self.latencies[turn as usize % LATENCIES];
            if at.turn.load(Relaxed) == turn {
                for (total, bucket) in sum.iter_mut().zip(&at.buckets) {
                    *total += u64::from(bucket.load(Relaxed));
                }
            }
        }
        sum
    }
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
    fn many_threads_count_nearly_all() {
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
        let counted = traffic.shown(Duration::from_secs(7)).curve[59].0;
        assert!((39_000..=40_000).contains(&counted), "{counted}");
    }
}
