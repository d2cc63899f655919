//! The handles, by subject.
//!
//! Whatever can be counted has its series from the start, so that an alert sees the step from 0
//! to 1. Two kinds wait for their first value: the large product of `requests_total`, and facts
//! that would be wrong as 0 (a peer that was not probed yet, a certificate that is not in use).

use super::cells::{Maker, each, series};
use super::labels::{
    Certificate, Direction, HoldEnd, Listener, PlanKind, Refusal, SpanEnd, StatusClass, Upstream,
    access_text, arrival_text,
};
use super::summed::{Counts, Holders, Times, Value, times_width};
use super::table::{self, SECONDS, Spec};
use crate::http::respond::REASONS;
use crate::shard::plan::Arrival;
use crate::shard::route::{Access, Operation};
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};
use std::sync::Arc;

/// Both arrivals, in the order of their index.
pub(super) const ARRIVALS: [Arrival; 2] = [Arrival::Client, Arrival::Peer];

/// Both kinds of access, in the order of their index.
pub(super) const ACCESSES: [Access; 2] = [Access::Read, Access::Write];

/// The labels of a metric without labels.
const NONE: [&str; 0] = [];

/// Requests. What each of them touches is kept by thread.
pub(super) struct Traffic {
    pub(super) requests: Arc<Counts<REQUEST_SERIES>>,
    pub(super) seconds: Arc<Times<SECONDS_NUMBERS>>,
    pub(super) rejects: Vec<IntCounter>,
    pub(super) fallbacks: IntCounter,
    pub(super) retries: Vec<IntCounter>,
    pub(super) in_flight: Holding,
    pub(super) transfers: Holding,
    pub(super) transfers_limit: IntGauge,
    pub(super) downstream_bytes: Arc<Counts<4>>,
    pub(super) upstream_bytes: Arc<Counts<4>>,
}

/// Who holds what, by the label's value.
pub(super) type Holding = Arc<[Holders]>;

impl Traffic {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let rejects = make.int_counter(table::REJECTS)?;
        let retries = make.int_counter(table::RETRIES)?;
        let arrivals = || ARRIVALS.iter().map(|arrival| arrival_text(*arrival));
        let upstreams = || Upstream::ALL.iter().map(|upstream| upstream.as_str());
        let directions = || Direction::ALL.iter().map(|direction| direction.as_str());
        Ok(Self {
            requests: requests(make)?,
            seconds: seconds(make)?,
            rejects: each(&REASONS, |reason| series(&rejects, [reason]))?,
            fallbacks: series(&make.int_counter(table::FALLBACKS)?, NONE)?,
            retries: each(Upstream::ALL, |up| series(&retries, [up.as_str()]))?,
            in_flight: holding(make, table::IN_FLIGHT, arrivals())?,
            transfers: holding(make, table::TRANSFERS, arrivals())?,
            transfers_limit: series(&make.int_gauge(table::TRANSFERS_LIMIT)?, NONE)?,
            downstream_bytes: pairs(make, table::DOWNSTREAM_BYTES, arrivals(), directions())?,
            upstream_bytes: pairs(make, table::UPSTREAM_BYTES, upstreams(), directions())?,
        })
    }

    /// Requests that ended.
    pub(super) fn ended(&self) -> u64 {
        let plans = PlanKind::ALL.iter().copied();
        let count = |plan| ARRIVALS.map(|arrival| self.seconds.count(seconds_index(arrival, plan)));
        plans.flat_map(count).sum()
    }
}

const REQUEST_SERIES: usize =
    ARRIVALS.len() * Operation::ALL.len() * PlanKind::ALL.len() * StatusClass::ALL.len();
const SECONDS_NUMBERS: usize = ARRIVALS.len() * PlanKind::ALL.len() * times_width(&SECONDS);

/// Place of a request in `requests_total`.
pub(super) fn request_index(
    arrival: Arrival,
    operation: Operation,
    plan: PlanKind,
    class: StatusClass,
) -> usize {
    let operation = arrival as usize * Operation::ALL.len() + operation as usize;
    let plan = operation * PlanKind::ALL.len() + plan as usize;
    plan * StatusClass::ALL.len() + class as usize
}

fn requests(make: &Maker<'_>) -> Result<Arc<Counts<REQUEST_SERIES>>> {
    let requests: Arc<Counts<REQUEST_SERIES>> = Arc::default();
    let counted = requests.clone();
    make.summed(table::REQUESTS, move |take| {
        for arrival in ARRIVALS {
            for operation in Operation::ALL.iter().copied() {
                for plan in PlanKind::ALL.iter().copied() {
                    for class in StatusClass::ALL.iter().copied() {
                        let total = counted.total(request_index(arrival, operation, plan, class));
                        let labels = [
                            arrival_text(arrival),
                            operation.as_str(),
                            plan.as_str(),
                            class.as_str(),
                        ];
                        // The one product too large to show what never happens.
                        if total > 0 {
                            take(&labels, Value::Counter(total));
                        }
                    }
                }
            }
        }
    })?;
    Ok(requests)
}

/// Place of a request in `request_duration_seconds`.
pub(super) fn seconds_index(arrival: Arrival, plan: PlanKind) -> usize {
    arrival as usize * PlanKind::ALL.len() + plan as usize
}

fn seconds(make: &Maker<'_>) -> Result<Arc<Times<SECONDS_NUMBERS>>> {
    let seconds = Arc::new(Times::new(&SECONDS));
    let observed = seconds.clone();
    make.summed(table::REQUEST_SECONDS, move |take| {
        for arrival in ARRIVALS {
            for plan in PlanKind::ALL.iter().copied() {
                let labels = [arrival_text(arrival), plan.as_str()];
                take(&labels, observed.value(seconds_index(arrival, plan)));
            }
        }
    })?;
    Ok(seconds)
}

/// A gauge for each value of its one label.
fn holding(
    make: &Maker<'_>,
    spec: Spec,
    values: impl Iterator<Item = &'static str>,
) -> Result<Holding> {
    let values: Vec<_> = values.collect();
    let holding: Holding = values.iter().map(|_| Holders::default()).collect();
    let held = holding.clone();
    make.summed(spec, move |take| {
        for (value, holders) in values.iter().zip(&*held) {
            take(&[value], Value::Gauge(holders.held()));
        }
    })?;
    Ok(holding)
}

/// A counter for each pair of values of its two labels, of two values each; by [`pair_index`].
fn pairs(
    make: &Maker<'_>,
    spec: Spec,
    first: impl Iterator<Item = &'static str>,
    second: impl Iterator<Item = &'static str> + Clone + Send + Sync + 'static,
) -> Result<Arc<Counts<4>>> {
    let first: Vec<_> = first.collect();
    let counts: Arc<Counts<4>> = Arc::default();
    let counted = counts.clone();
    make.summed(spec, move |take| {
        for (at, first) in first.iter().enumerate() {
            for (and, second) in second.clone().enumerate() {
                let total = counted.total(pair_index(at, and));
                take(&[first, second], Value::Counter(total));
            }
        }
    })?;
    Ok(counts)
}

/// Place in a product of two labels of two values.
pub(super) fn pair_index(first: usize, second: usize) -> usize {
    2 * first + second
}

/// Connections.
pub(super) struct Sockets {
    pub(super) open: Holding,
    pub(super) accepted: Vec<IntCounter>,
    pub(super) worker_open: IntGaugeVec,
    pub(super) worker_accepted: IntCounterVec,
    pub(super) refused: Vec<Vec<IntCounter>>,
    pub(super) upstream: Arc<Counts<4>>,
}

impl Sockets {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let accepted = make.int_counter(table::CONNECTIONS)?;
        let refused = make.int_counter(table::CONNECTIONS_REFUSED)?;
        let listeners = Listener::ALL.iter().map(|listener| listener.as_str());
        let upstreams = Upstream::ALL.iter().map(|upstream| upstream.as_str());
        let reused = ["no", "yes"].into_iter();
        Ok(Self {
            open: holding(make, table::CONNECTIONS_OPEN, listeners)?,
            accepted: each(Listener::ALL, |l| series(&accepted, [l.as_str()]))?,
            worker_open: make.int_gauge(table::WORKER_CONNECTIONS_OPEN)?,
            worker_accepted: make.int_counter(table::WORKER_CONNECTIONS)?,
            refused: each(Listener::ALL, |l| {
                each(Refusal::ALL, |why| {
                    series(&refused, [l.as_str(), why.as_str()])
                })
            })?,
            upstream: pairs(make, table::UPSTREAM_CONNECTIONS, upstreams, reused)?,
        })
    }
}

/// The local replica and its queue.
pub(super) struct Replica {
    pub(super) up: IntGauge,
    pub(super) in_flight: Holding,
    pub(super) limit: IntGauge,
    pub(super) depth: Holding,
}

impl Replica {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let accesses = || ACCESSES.iter().map(|access| access_text(*access));
        Ok(Self {
            up: series(&make.int_gauge(table::REPLICA_UP)?, NONE)?,
            in_flight: holding(make, table::REPLICA_IN_FLIGHT, accesses())?,
            limit: series(&make.int_gauge(table::REPLICA_LIMIT)?, NONE)?,
            depth: holding(make, table::QUEUE_DEPTH, accesses())?,
        })
    }
}

/// This member's own affairs.
pub(super) struct Own {
    pub(super) tls_reloads: Vec<Vec<IntCounter>>,
    pub(super) tls_expiry: IntGaugeVec,
    pub(super) draining: IntGauge,
    pub(super) config_reloads: Vec<IntCounter>,
    pub(super) config_last_ok: IntGauge,
    pub(super) config_loaded: Gauge,
    pub(super) log_dropped: IntCounter,
    pub(super) spans: Vec<IntCounter>,
    pub(super) uptime: Gauge,
    pub(super) writes_ready: IntGauge,
    pub(super) view_epoch: IntGauge,
    pub(super) store_calls: Vec<IntCounter>,
    pub(super) held: Arc<Holders>,
    pub(super) hold: Vec<Histogram>,
    pub(super) hold_plans: IntCounter,
}

/// What may come of a call to the store of leases: the first, or one of its troubles.
pub(super) const STORE_RESULTS: [&str; 7] = [
    "ok",
    "slow",
    "unreachable",
    "failing",
    "contended",
    "refused",
    "odd",
];

impl Own {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let reloads = make.int_counter(table::TLS_RELOADS)?;
        let config_reloads = make.int_counter(table::CONFIG_RELOADS)?;
        let hold = make.histogram(table::HOLD_SECONDS)?;
        let store_calls = make.int_counter(table::STORE_CALLS)?;
        let spans = make.int_counter(table::SPANS)?;
        let held: Arc<Holders> = Arc::default();
        let holders = held.clone();
        make.summed(table::HELD, move |take| {
            take(&[], Value::Gauge(holders.held()))
        })?;
        series(
            &make.int_gauge(table::BUILD_INFO)?,
            [env!("CARGO_PKG_VERSION")],
        )?
        .set(1);
        Ok(Self {
            tls_reloads: each(Certificate::ALL, |c| {
                each(&["error", "ok"], |result| {
                    series(&reloads, [c.as_str(), result])
                })
            })?,
            writes_ready: series(&make.int_gauge(table::WRITES_READY)?, NONE)?,
            held,
            hold: each(HoldEnd::ALL, |end| series(&hold, [end.as_str()]))?,
            view_epoch: series(&make.int_gauge(table::VIEW_EPOCH)?, NONE)?,
            store_calls: each(&STORE_RESULTS, |result| series(&store_calls, [result]))?,
            hold_plans: series(&make.int_counter(table::HOLD_PLANS)?, NONE)?,
            tls_expiry: make.int_gauge(table::TLS_EXPIRY)?,
            draining: series(&make.int_gauge(table::DRAINING)?, NONE)?,
            config_reloads: each(&["refused", "taken"], |result| {
                series(&config_reloads, [result])
            })?,
            config_last_ok: series(&make.int_gauge(table::CONFIG_LAST_OK)?, NONE)?,
            config_loaded: series(&make.gauge(table::CONFIG_LOADED)?, NONE)?,
            log_dropped: series(&make.int_counter(table::LOG_DROPPED)?, NONE)?,
            spans: each(SpanEnd::ALL, |end| series(&spans, [end.as_str()]))?,
            uptime: series(&make.gauge(table::UPTIME)?, NONE)?,
        })
    }
}
