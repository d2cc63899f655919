//! Metrics made by their row of the table, and registered.

use super::summed::{Summed, Take};
use super::table::{Kind, SECONDS, Spec};
use prometheus::core::{Collector, Describer, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricType;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    Result,
};

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
        debug_assert_eq!(spec.kind, Kind::Histogram);
        let opts = HistogramOpts::new(spec.name, spec.help).buckets(SECONDS.to_vec());
        self.keep(HistogramVec::new(opts, spec.labels)?)
    }

    /// A metric that is kept elsewhere: it is told when it is asked for.
    pub(super) fn summed(
        &self,
        spec: Spec,
        read: impl Fn(&mut Take<'_>) + Send + Sync + 'static,
    ) -> Result<()> {
        let desc = opts(spec).variable_labels(
            spec.labels
                .iter()
                .map(|label| (*label).to_owned())
                .collect(),
        );
        self.0.register(Box::new(Summed {
            desc: desc.describe()?,
            kind: match spec.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            },
            read,
        }))
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
