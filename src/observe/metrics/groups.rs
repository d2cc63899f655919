//! The handles, by subject.
//!
//! Whatever can be counted has its series from the start, so that an alert sees the step from 0
//! to 1. Two kinds wait for their first value: the large product of `requests_total`, and facts
//! that would be wrong as 0 (a peer that was not probed yet, a certificate that is not in use).

use super::cells::{Cells, Maker, each, series};
use super::labels::{
    Certificate, Direction, HoldEnd, Listener, PlanKind, Refusal, SpanEnd, StatusClass, Upstream,
    access_text, arrival_text,
};
use super::table;
use crate::http::respond::REASONS;
use crate::shard::plan::Arrival;
use crate::shard::route::{Access, Operation};
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, IntGaugeVec, Result};

/// Both arrivals, in the order of their index.
pub(super) const ARRIVALS: [Arrival; 2] = [Arrival::Client, Arrival::Peer];

/// Both kinds of access, in the order of their index.
pub(super) const ACCESSES: [Access; 2] = [Access::Read, Access::Write];

/// The labels of a metric without labels.
const NONE: [&str; 0] = [];

/// Requests.
pub(super) struct Traffic {
    pub(super) requests: Cells,
    pub(super) seconds: Vec<Vec<Histogram>>,
    pub(super) rejects: Vec<IntCounter>,
    pub(super) fallbacks: IntCounter,
    pub(super) retries: Vec<IntCounter>,
    pub(super) in_flight: Vec<IntGauge>,
    pub(super) transfers: Vec<IntGauge>,
    pub(super) transfers_limit: IntGauge,
    pub(super) downstream_bytes: Vec<Vec<IntCounter>>,
    pub(super) upstream_bytes: Vec<Vec<IntCounter>>,
}

impl Traffic {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let seconds = make.histogram(table::REQUEST_SECONDS)?;
        let rejects = make.int_counter(table::REJECTS)?;
        let retries = make.int_counter(table::RETRIES)?;
        let in_flight = make.int_gauge(table::IN_FLIGHT)?;
        let transfers = make.int_gauge(table::TRANSFERS)?;
        let downstream = make.int_counter(table::DOWNSTREAM_BYTES)?;
        let upstream = make.int_counter(table::UPSTREAM_BYTES)?;
        Ok(Self {
            requests: Cells::new(make.int_counter(table::REQUESTS)?, REQUEST_SERIES),
            seconds: each(&ARRIVALS, |a| {
                each(PlanKind::ALL, |plan| {
                    series(&seconds, [arrival_text(a), plan.as_str()])
                })
            })?,
            rejects: each(&REASONS, |reason| series(&rejects, [reason]))?,
            fallbacks: series(&make.int_counter(table::FALLBACKS)?, NONE)?,
            retries: each(Upstream::ALL, |up| series(&retries, [up.as_str()]))?,
            in_flight: each(&ARRIVALS, |a| series(&in_flight, [arrival_text(a)]))?,
            transfers: each(&ARRIVALS, |a| series(&transfers, [arrival_text(a)]))?,
            transfers_limit: series(&make.int_gauge(table::TRANSFERS_LIMIT)?, NONE)?,
            downstream_bytes: each(&ARRIVALS, |a| {
                each(Direction::ALL, |d| {
                    series(&downstream, [arrival_text(a), d.as_str()])
                })
            })?,
            upstream_bytes: each(Upstream::ALL, |up| {
                each(Direction::ALL, |d| {
                    series(&upstream, [up.as_str(), d.as_str()])
                })
            })?,
        })
    }
}

const REQUEST_SERIES: usize =
    ARRIVALS.len() * Operation::ALL.len() * PlanKind::ALL.len() * StatusClass::ALL.len();

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

/// Connections.
pub(super) struct Sockets {
    pub(super) open: Vec<IntGauge>,
    pub(super) accepted: Vec<IntCounter>,
    pub(super) refused: Vec<Vec<IntCounter>>,
    pub(super) upstream: Vec<Vec<IntCounter>>,
}

impl Sockets {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let open = make.int_gauge(table::CONNECTIONS_OPEN)?;
        let accepted = make.int_counter(table::CONNECTIONS)?;
        let refused = make.int_counter(table::CONNECTIONS_REFUSED)?;
        let upstream = make.int_counter(table::UPSTREAM_CONNECTIONS)?;
        Ok(Self {
            open: each(Listener::ALL, |l| series(&open, [l.as_str()]))?,
            accepted: each(Listener::ALL, |l| series(&accepted, [l.as_str()]))?,
            refused: each(Listener::ALL, |l| {
                each(Refusal::ALL, |why| {
                    series(&refused, [l.as_str(), why.as_str()])
                })
            })?,
            upstream: each(Upstream::ALL, |up| {
                each(&["no", "yes"], |reused| {
                    series(&upstream, [up.as_str(), reused])
                })
            })?,
        })
    }
}

/// The local replica and its queue.
pub(super) struct Replica {
    pub(super) up: IntGauge,
    pub(super) in_flight: Vec<IntGauge>,
    pub(super) limit: IntGauge,
    pub(super) depth: Vec<IntGauge>,
}

impl Replica {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let in_flight = make.int_gauge(table::REPLICA_IN_FLIGHT)?;
        let depth = make.int_gauge(table::QUEUE_DEPTH)?;
        Ok(Self {
            up: series(&make.int_gauge(table::REPLICA_UP)?, NONE)?,
            in_flight: each(&ACCESSES, |a| series(&in_flight, [access_text(a)]))?,
            limit: series(&make.int_gauge(table::REPLICA_LIMIT)?, NONE)?,
            depth: each(&ACCESSES, |a| series(&depth, [access_text(a)]))?,
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
    pub(super) held: IntGauge,
    pub(super) hold: Vec<Histogram>,
    pub(super) hold_plans: IntCounter,
}

impl Own {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let reloads = make.int_counter(table::TLS_RELOADS)?;
        let config_reloads = make.int_counter(table::CONFIG_RELOADS)?;
        let hold = make.histogram(table::HOLD_SECONDS)?;
        let spans = make.int_counter(table::SPANS)?;
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
            held: series(&make.int_gauge(table::HELD)?, NONE)?,
            hold: each(HoldEnd::ALL, |end| series(&hold, [end.as_str()]))?,
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
