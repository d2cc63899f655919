//! Registered metrics with their label values resolved once, so that a request costs an index and
//! an atomic add instead of hashing label strings.

use super::table::{Kind, SECONDS, Spec};
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec,
    Opts, Registry, Result,
};
use std::sync::OnceLock;

/// A counter with a large but fixed number of series, each made when it is first used: a series
/// that never happens is not exported.
pub(super) struct Cells {
    vec: IntCounterVec,
    cells: Box<[OnceLock<IntCounter>]>,
}

impl Cells {
    /// Room for `len` series.
    pub(super) fn new(vec: IntCounterVec, len: usize) -> Self {
        Self {
            vec,
            cells: (0..len).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The series at `index`, whose label values are `values`.
    ///
    /// `None` only if the index or the number of labels is wrong, which the tests rule out.
    pub(super) fn at<const N: usize>(
        &self,
        index: usize,
        values: impl FnOnce() -> [&'static str; N],
    ) -> Option<&IntCounter> {
        let cell = self.cells.get(index)?;
        if let Some(metric) = cell.get() {
            return Some(metric);
        }
        let metric = self.vec.get_metric_with_label_values(&values()).ok()?;
        Some(cell.get_or_init(|| metric))
    }
}

/// Makes metrics by their row of the table and registers them.
pub(super) struct Maker<'r>(pub(super) &'r Registry);

impl Maker<'_> {
    pub(super) fn int_counter(&self, spec: Spec) -> Result<IntCounterVec> {
        debug_assert_eq!(spec.kind, Kind::Counter);
        self.keep(IntCounterVec::new(opts(spec), spec.labels)?)
    }

    pub(super) fn counter(&self, spec: Spec) -> Result<CounterVec> {
        debug_assert_eq!(spec.kind, Kind::Counter);
        self.keep(CounterVec::new(opts(spec), spec.labels)?)
    }

    pub(super) fn int_gauge(&self, spec: Spec) -> Result<IntGaugeVec> {
        debug_assert_eq!(spec.kind, Kind::Gauge);
        self.keep(IntGaugeVec::new(opts(spec), spec.labels)?)
    }

    pub(super) fn gauge(&self, spec: Spec) -> Result<GaugeVec> {
        debug_assert_eq!(spec.kind, Kind::Gauge);
        self.keep(GaugeVec::new(opts(spec), spec.labels)?)
    }

    pub(super) fn histogram(&self, spec: Spec) -> Result<HistogramVec> {
        self.histogram_of(spec, &SECONDS)
    }

    pub(super) fn histogram_of(&self, spec: Spec, bounds: &[f64]) -> Result<HistogramVec> {
        debug_assert_eq!(spec.kind, Kind::Histogram);
        let opts = HistogramOpts::new(spec.name, spec.help).buckets(bounds.to_vec());
        self.keep(HistogramVec::new(opts, spec.labels)?)
    }

    fn keep<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

fn opts(spec: Spec) -> Opts {
    Opts::new(spec.name, spec.help)
}

/// One series of a metric.
pub(super) fn series<B: MetricVecBuilder, const N: usize>(
    vec: &MetricVec<B>,
    values: [&str; N],
) -> Result<B::M> {
    vec.get_metric_with_label_values(&values)
}

/// One result for each value of a label.
pub(super) fn each<L: Copy, M>(all: &[L], make: impl FnMut(L) -> Result<M>) -> Result<Vec<M>> {
    all.iter().copied().map(make).collect()
}
