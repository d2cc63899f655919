//! Durations by the million in little memory: log-linear buckets, each at most 1/128 wide of what it holds.

use std::time::Duration;

/// Buckets between a power of two and the next, as a power of two.
const PRECISION: u32 = 7;
const PARTS: usize = 1 << PRECISION;
const BUCKETS: usize = (64 - PRECISION as usize + 1) * PARTS;

#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The smallest duration that at least this share of all do not exceed, in microseconds.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are far below 2^52"
    )]
    pub(crate) fn micros_at(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(bucket) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    let top = 63 - (value | 1).leading_zeros();
    let shift = top.saturating_sub(PRECISION);
    let part = usize::try_from(value >> shift).unwrap_or(0);
    part + shift as usize * PARTS
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < 2 * PARTS {
        return bucket as u64;
    }
    let shift = bucket / PARTS - 1;
    let part = (bucket - shift * PARTS) as u64;
    ((part + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_close_above_each_of_its_values() {
        for value in (0..64).flat_map(|bit| [0, 1, 77].map(|more| (1_u64 << bit) + more)) {
            let end = upper(bucket(value));
            assert!(
                end >= value && end - value <= value / 128,
                "{value} is in the bucket that ends with {end}"
            );
        }
        assert_eq!(upper(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut histogram = Histogram::new();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = histogram.micros_at(share);
            assert!(
                (micros..micros * 1.008).contains(&found),
                "{share}: {found}"
            );
        }
        assert_eq!(histogram.total(), 1000);
    }

    #[test]
    fn of_nothing_every_percentile_is_nothing() {
        assert_eq!(Histogram::new().micros_at(0.99), 0.0);
    }
}
