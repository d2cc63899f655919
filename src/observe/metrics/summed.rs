//! Numbers that every request touches: kept by each thread for itself ([`Lanes`]), added up when they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use crate::observe::lanes::{Lane, Lanes, Mine};

/// Counters, by index. One that is out of range counts nowhere, which the tests rule out.
pub(super) struct Counts<const N: usize>(Lanes<Numbers<N>>);

/// Histograms of times, by index: of each its buckets, one for what is beyond them, and the sum of seconds.
pub(super) struct Times<const N: usize> {
    bounds: &'static [f64],
    numbers: Lanes<Numbers<N>>,
}

/// How many things there are at the moment: as many as hold it.
#[derive(Default)]
pub(super) struct Holders(Lanes<()>);

/// Counts itself as long as it lives: a request in flight, a connection, a place in the queue.
#[derive(Debug)]
#[must_use = "the gauge falls again when this is dropped"]
pub(crate) struct Held {
    /// Being there is all it does: how often the lane is held is how many there are.
    _lane: Arc<Lane<()>>,
}

/// Whole numbers, or the bits of fractions.
struct Numbers<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Numbers<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Mine<'_, Numbers<N>> {
    fn add(&self, at: usize, more: u64) {
        let Some(number) = self.lane.0.get(at) else {
            return;
        };
        if self.alone {
            // Nobody else writes here, so that no other processor has to be asked.
            number.store(number.load(Relaxed).wrapping_add(more), Relaxed);
        } else {
            number.fetch_add(more, Relaxed);
        }
    }

    fn add_fraction(&self, at: usize, more: f64) {
        let Some(number) = self.lane.0.get(at) else {
            return;
        };
        let sum = |bits| (f64::from_bits(bits) + more).to_bits();
        if self.alone {
            number.store(sum(number.load(Relaxed)), Relaxed);
        } else {
            let _ = number.fetch_update(Relaxed, Relaxed, |bits| Some(sum(bits)));
        }
    }
}

impl<const N: usize> Lanes<Numbers<N>> {
    /// What each thread has at this place.
    fn at(&self, at: usize) -> impl Iterator<Item = u64> {
        let number = move |lane: &Arc<Lane<Numbers<N>>>| Some(lane.0.get(at)?.load(Relaxed));
        self.each().filter_map(number)
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(Lanes::default())
    }
}

impl<const N: usize> Counts<N> {
    pub(super) fn add(&self, at: usize, more: u64) {
        self.0.mine().add(at, more);
    }

    /// Several, by index.
    pub(super) fn add_each<const M: usize>(&self, more: [(usize, u64); M]) {
        let mine = self.0.mine();
        for (at, more) in more {
            mine.add(at, more);
        }
    }

    pub(super) fn total(&self, at: usize) -> u64 {
        self.0.at(at).sum()
    }
}

impl<const N: usize> Times<N> {
    /// As many histograms as there is room for.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            numbers: Lanes::default(),
        }
    }

    pub(super) fn observe(&self, at: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        let first = at * times_width(self.bounds);
        let mine = self.numbers.mine();
        mine.add(first + bucket.unwrap_or(self.bounds.len()), 1);
        mine.add_fraction(first + self.bounds.len() + 1, seconds);
    }

    /// How many times there were.
    pub(super) fn count(&self, at: usize) -> u64 {
        let first = at * times_width(self.bounds);
        let buckets = first..=first + self.bounds.len();
        buckets.flat_map(|bucket| self.numbers.at(bucket)).sum()
    }

    pub(super) fn value(&self, at: usize) -> Value {
        let first = at * times_width(self.bounds);
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bucket, bound) in (first..).zip(self.bounds) {
            count += self.numbers.at(bucket).sum::<u64>();
            buckets.push((*bound, count));
        }
        let beyond = first + self.bounds.len();
        count += self.numbers.at(beyond).sum::<u64>();
        let sums = self.numbers.at(beyond + 1).map(f64::from_bits);
        // Not `sum`: of nothing that is -0.
        let sum = sums.fold(0.0, |sum, more| sum + more);
        Value::Histogram {
            buckets,
            count,
            sum,
        }
    }
}

/// Numbers that one histogram takes.
pub(super) const fn times_width(bounds: &[f64]) -> usize {
    bounds.len() + 2
}

impl Holders {
    pub(super) fn hold(&self) -> Held {
        Held {
            _lane: Arc::clone(self.0.mine().lane),
        }
    }

    pub(super) fn held(&self) -> u64 {
        // The lane itself is one of those that hold it.
        let held = self.0.each().map(|lane| Arc::strong_count(lane) - 1);
        held.sum::<usize>() as u64
    }
}

/// One sample, when it is asked for.
pub(super) enum Value {
    Counter(u64),
    Gauge(u64),
    Histogram {
        /// Upper bounds, and how many are not above each.
        buckets: Vec<(f64, u64)>,
        count: u64,
        sum: f64,
    },
}

/// A metric whose series are read when it is asked for.
pub(super) struct Summed<R> {
    pub(super) desc: Desc,
    pub(super) kind: MetricType,
    pub(super) read: R,
}

/// Takes one series: its label values, in the order of the table, and what there is under them.
pub(super) type Take<'t> = dyn FnMut(&[&str], Value) + 't;

impl<R: Fn(&mut Take<'_>) + Send + Sync> Collector for Summed<R> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metrics = Vec::new();
        (self.read)(&mut |labels, value| {
            metrics.push(value.metric(pairs(&self.desc.variable_labels, labels)));
        });
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        vec![family]
    }
}

/// In the order of their names, as the library has them.
fn pairs(names: &[String], values: &[&str]) -> Vec<LabelPair> {
    let pair = |(name, value): (&String, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut pairs: Vec<LabelPair> = names.iter().zip(values).map(pair).collect();
    pairs.sort_by(|one, other| one.name().cmp(other.name()));
    pairs
}

impl Value {
    fn metric(self, labels: Vec<LabelPair>) -> Metric {
        let mut metric = Metric::from_label(labels);
        match self {
            Self::Counter(value) => {
                let mut counter = proto::Counter::default();
                counter.set_value(value as f64);
                metric.set_counter(counter);
            }
            Self::Gauge(value) => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value as f64);
                metric.set_gauge(gauge);
            }
            Self::Histogram {
                buckets,
                count,
                sum,
            } => {
                let bucket = |(bound, count)| {
                    let mut bucket = proto::Bucket::default();
                    bucket.set_upper_bound(bound);
                    bucket.set_cumulative_count(count);
                    bucket
                };
                let mut histogram = proto::Histogram::default();
                histogram.set_bucket(buckets.into_iter().map(bucket).collect());
                histogram.set_sample_count(count);
                histogram.set_sample_sum(sum);
                metric.set_histogram(histogram);
            }
        }
        metric
    }
}
