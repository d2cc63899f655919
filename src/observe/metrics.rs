//! What this member tells Prometheus.
//!
//! Names, labels and help are data in [`table`]; this file turns them into handles that the rest
//! of the crate calls by intent (`metrics.retry(Upstream::Peer)`). Each server has a registry of
//! its own, so that several members can run in one process.

mod cells;
mod groups;
mod labels;
mod members;
mod process;
mod summed;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use labels::{
    Certificate, Direction, HoldEnd, Library, Listener, PlanKind, Refusal, SpanEnd, StatusClass,
    Upstream, WaitFor, arrival_text,
};
pub(crate) use members::MemberMetrics;
pub(crate) use process::library_warned;
#[cfg(test)]
pub(crate) use process::library_warnings;
pub(crate) use summed::Held;

use crate::http::respond::{Failure, REASONS};
use crate::observe::recent::Recent;
use crate::shard::plan::Arrival;
use crate::shard::route::{Access, Operation};
use crate::shard::view::View;
use cells::{Maker, series};
use groups::{
    Own, Replica, STORE_RESULTS, Sockets, Traffic, pair_index, request_index, seconds_index,
};
use members::Cluster;
use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The metrics of one member.
pub(crate) struct Metrics {
    registry: Registry,
    started: Instant,
    traffic: Traffic,
    sockets: Sockets,
    replica: Replica,
    cluster: Arc<Cluster>,
    own: Own,
    process: process::Process,
    /// What happened lately, for people.
    pub(crate) recent: Recent,
}

/// How a request ended, for the counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestEnd {
    /// Which listener it came in by.
    pub arrival: Arrival,
    /// What it asked for.
    pub operation: Operation,
    /// What was done with it.
    pub plan: PlanKind,
    /// Status that the downstream saw; 499 if it was gone.
    pub status: u16,
    /// From the request head to the end.
    pub total: Duration,
    /// Request body bytes read from downstream.
    pub received: u64,
    /// Response body bytes written to downstream.
    pub sent: u64,
}

/// Sums over all labels since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Requests that ended.
    pub ended: u64,
    /// Failures that were answered or ended a response.
    pub rejected: u64,
    /// Reads served by another replica than the owner's.
    pub fallbacks: u64,
    /// Second attempts.
    pub retries: u64,
}

/// Counts a connection as open as long as it lives.
#[must_use = "the gauge falls again when this is dropped"]
pub(crate) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The connections of one listener that one worker thread serves.
pub(crate) struct WorkerConnections {
    open: IntGauge,
    accepted: IntCounter,
}

impl WorkerConnections {
    /// How many are open.
    pub(crate) fn open(&self) -> i64 {
        self.open.get()
    }

    /// One is given to it; hold the result until it closes.
    pub(crate) fn begin(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }
}

impl Metrics {
    /// Registers everything. The configuration counts as taken now.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let started = Instant::now();
        let metrics = Self {
            started,
            recent: Recent::new(started),
            traffic: Traffic::register(&make)?,
            sockets: Sockets::register(&make)?,
            replica: Replica::register(&make)?,
            cluster: Arc::new(Cluster::register(&make)?),
            own: Own::register(&make)?,
            process: process::Process::register(&make)?,
            registry,
        };
        metrics.own.config_last_ok.set(1);
        metrics.config_loaded();
        Ok(metrics)
    }

    /// Shows this view and its members from now on: series of members that are gone go, those of
    /// members that stayed go on. What happens to members is told to the result.
    pub(crate) fn members(&self, view: &View) -> MemberMetrics {
        self.cluster.show(view)
    }

    /// `registry.max_in_flight` and `limits.transfers` are so many.
    pub(crate) fn limits(&self, max_in_flight: usize, transfers: usize) {
        let shown = |limit| i64::try_from(limit).unwrap_or(i64::MAX);
        self.replica.limit.set(shown(max_in_flight));
        self.traffic.transfers_limit.set(shown(transfers));
    }

    /// A new configuration was taken or refused.
    pub(crate) fn config_reload(&self, taken: bool) {
        self.own.config_reloads[usize::from(taken)].inc();
        self.own.config_last_ok.set(i64::from(taken));
        if taken {
            self.config_loaded();
        }
    }

    fn config_loaded(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.own
            .config_loaded
            .set(now.unwrap_or_default().as_secs_f64());
    }

    /// A request has begun; hold the result until it ends.
    pub(crate) fn request_begins(&self, arrival: Arrival) -> Held {
        self.traffic.in_flight[arrival as usize].hold()
    }

    /// A body begins to be passed on; hold the result until it ends.
    pub(crate) fn transfer_begins(&self, arrival: Arrival) -> Held {
        self.traffic.transfers[arrival as usize].hold()
    }

    /// A request has ended, whichever way.
    pub(crate) fn request_ends(&self, end: &RequestEnd) {
        let RequestEnd {
            arrival,
            operation,
            plan,
            status,
            total,
            received,
            sent,
        } = *end;
        let traffic = &self.traffic;
        let index = request_index(arrival, operation, plan, StatusClass::of(status));
        traffic.requests.add(index, 1);
        traffic.seconds.observe(seconds_index(arrival, plan), total);
        let index = |direction| pair_index(arrival as usize, direction as usize);
        traffic.downstream_bytes.add_each([
            (index(Direction::Received), received),
            (index(Direction::Sent), sent),
        ]);
        if matches!(plan, PlanKind::Fallback | PlanKind::PeerFallback) {
            traffic.fallbacks.inc();
        }
    }

    /// A failure was answered, or ended a response that had begun.
    pub(crate) fn reject(&self, failure: &Failure) {
        let reason = failure.reason();
        if let Some(index) = REASONS.iter().position(|known| *known == reason) {
            self.traffic.rejects[index].inc();
        }
    }

    /// A second attempt was made.
    pub(crate) fn retry(&self, upstream: Upstream) {
        self.traffic.retries[upstream as usize].inc();
    }

    /// Body bytes passed between us and an upstream.
    pub(crate) fn upstream_bytes(&self, upstream: Upstream, direction: Direction, bytes: u64) {
        let index = pair_index(upstream as usize, direction as usize);
        self.traffic.upstream_bytes.add(index, bytes);
    }

    /// A request got its upstream connection.
    pub(crate) fn upstream_connection(&self, upstream: Upstream, reused: bool) {
        let index = pair_index(upstream as usize, usize::from(reused));
        self.sockets.upstream.add(index, 1);
    }

    /// A connection was accepted; hold the result until it closes.
    pub(crate) fn connection_opens(&self, listener: Listener) -> Held {
        self.sockets.accepted[listener as usize].inc();
        self.sockets.open[listener as usize].hold()
    }

    /// What counts the connections of a listener that a worker thread serves.
    ///
    /// # Errors
    /// Labels that are not those of the table; a mistake of ours.
    pub(crate) fn worker_connections(
        &self,
        listener: Listener,
        worker: usize,
    ) -> prometheus::Result<WorkerConnections> {
        let labels = [listener.as_str(), &worker.to_string()];
        Ok(WorkerConnections {
            open: series(&self.sockets.worker_open, labels)?,
            accepted: series(&self.sockets.worker_accepted, labels)?,
        })
    }

    /// A connection was closed before its first request.
    pub(crate) fn connection_refused(&self, listener: Listener, why: Refusal) {
        self.sockets.refused[listener as usize][why as usize].inc();
    }

    /// Connections that are open on a listener.
    pub(crate) fn connections_open(&self, listener: Listener) -> u64 {
        self.sockets.open[listener as usize].held()
    }

    /// Requests that have begun and not ended, over both arrivals.
    pub(crate) fn in_flight(&self) -> u64 {
        let held = self.traffic.in_flight.iter().map(|arrival| arrival.held());
        held.sum()
    }

    /// Sums for the status page.
    pub(crate) fn totals(&self) -> Totals {
        let sum = |counters: &[IntCounter]| counters.iter().map(IntCounter::get).sum();
        let traffic = &self.traffic;
        Totals {
            ended: traffic.ended(),
            rejected: sum(&traffic.rejects),
            fallbacks: traffic.fallbacks.get(),
            retries: sum(&traffic.retries),
        }
    }

    /// The local replica's verdict changed.
    pub(crate) fn replica_up(&self, up: bool) {
        self.replica.up.set(i64::from(up));
    }

    /// The local replica works on a request; hold the result until it is done.
    pub(crate) fn replica_works(&self, access: Access) -> Held {
        self.replica.in_flight[access as usize].hold()
    }

    /// A request waits for the local replica; hold the result while it does.
    pub(crate) fn queued(&self, access: Access) -> Held {
        self.replica.depth[access as usize].hold()
    }

    /// A changed certificate was taken into use, or could not be.
    pub(crate) fn tls_reload(&self, certificate: Certificate, ok: bool) {
        self.own.tls_reloads[certificate as usize][usize::from(ok)].inc();
    }

    /// When the certificate in use expires, in seconds since 1970.
    pub(crate) fn tls_expiry(&self, certificate: Certificate, unix_seconds: i64) {
        if let Ok(expiry) = series(&self.own.tls_expiry, [certificate.as_str()]) {
            expiry.set(unix_seconds);
        }
    }

    /// Another view of the store is in force.
    pub(crate) fn view_epoch(&self, epoch: u64) {
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        self.own.view_epoch.set(epoch);
    }

    /// A call to the store of leases has ended so.
    pub(crate) fn store_called(&self, result: &str) {
        let at = STORE_RESULTS.iter().position(|known| *known == result);
        if let Some(calls) = at.and_then(|at| self.own.store_calls.get(at)) {
            calls.inc();
        }
    }

    /// Whether writes are taken, as far as it is known what others may be writing.
    pub(crate) fn writes_ready(&self, ready: bool) {
        self.own.writes_ready.set(i64::from(ready));
    }

    /// A request waits for its owner; hold the result while it does.
    pub(crate) fn request_held(&self) -> Held {
        self.own.held.hold()
    }

    /// A request has waited for its owner.
    pub(crate) fn hold_ends(&self, end: HoldEnd, time: Duration) {
        self.own.hold[end as usize].observe(time.as_secs_f64());
    }

    /// A request that waits is planned anew.
    pub(crate) fn held_planned(&self) {
        self.own.hold_plans.inc();
    }

    /// Requests that wait for their owner.
    pub(crate) fn held(&self) -> u64 {
        self.own.held.held()
    }

    /// Whether this member takes new work.
    pub(crate) fn draining(&self, draining: bool) {
        self.own.draining.set(i64::from(draining));
    }

    /// The counter that the access log counts its dropped lines in.
    pub(crate) fn log_dropped(&self) -> IntCounter {
        self.own.log_dropped.clone()
    }

    /// The counter of spans that ended so.
    pub(crate) fn spans(&self, end: SpanEnd) -> IntCounter {
        self.own.spans[end as usize].clone()
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub(crate) fn render(&self) -> String {
        self.own.uptime.set(self.started.elapsed().as_secs_f64());
        self.process.refresh();
        let mut text = String::new();
        // Writing to a string cannot fail; a half page is better than none.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }

    /// Time since this member started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
