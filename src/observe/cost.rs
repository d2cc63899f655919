//! What every request costs in this room, for `benches/observe.rs`: the calls that its way makes, and no others.

use std::time::{Duration, Instant, SystemTime};

use super::access_log::{AccessLog, AccessRecord};
use super::metrics::{Direction, MemberMetrics, Metrics, PlanKind, RequestEnd, Upstream};
use super::recent::Sample;
use super::telemetry::{Format, LineWriter};
use super::waits::Waits;
use crate::http::request_id::{RequestId, TraceParent};
use crate::shard::Repository;
use crate::shard::plan::Arrival;
use crate::shard::route::{Access, Operation};
use crate::shard::view::View;

/// A member that serves one small request again and again.
pub struct Costs {
    metrics: Metrics,
    members: MemberMetrics,
    local: crate::shard::MemberIndex,
    log: AccessLog,
    _writer: LineWriter,
    request_id: RequestId,
    trace: TraceParent,
    repository: &'static str,
    client: &'static str,
    waits: Waits,
}

impl Costs {
    /// The local member of this view. Its log is written to nowhere.
    #[must_use]
    pub fn new(view: &View) -> Option<Self> {
        let metrics = Metrics::new().ok()?;
        let writer = LineWriter::start(std::io::sink()).ok()?;
        let dropped = metrics.log_dropped();
        Some(Self {
            members: metrics.members(view),
            local: view.members().local(),
            log: AccessLog::new(writer.sender(), Format::Json, "registry-0", dropped),
            _writer: writer,
            request_id: RequestId::make(),
            trace: TraceParent::make(),
            repository: "library/my-app",
            client: "192.0.2.7:40112",
            waits: Waits {
                replica: Duration::from_micros(412),
                ..Waits::default()
            },
            metrics,
        })
    }

    /// Its line in the access log.
    pub fn line(&self) {
        self.log.write(&AccessRecord {
            time: SystemTime::now(),
            request_id: &self.request_id,
            trace: Some(&self.trace),
            arrival: Arrival::Client,
            client: Some(self.client),
            method: "GET",
            target: b"/v2/library/my-app/manifests/latest",
            repository: Repository::parse(self.repository).ok(),
            operation: Operation::ManifestGet,
            owner: Some("registry-0"),
            plan: PlanKind::Local,
            upstream: Some("replica"),
            status: 200,
            received_bytes: 0,
            sent_bytes: 647,
            total: Duration::from_micros(481),
            waits: self.waits,
            retries: 0,
            failure: None,
            http: "HTTP/1.1",
            tls: None,
            user_agent: Some(b"containers/5.30.1 (github.com/containers/image)"),
        });
    }

    /// Its counters, gauges and histograms.
    pub fn counts(&self) {
        let metrics = &self.metrics;
        let _held = (
            metrics.request_begins(Arrival::Client),
            metrics.replica_works(Access::Read),
            metrics.transfer_begins(Arrival::Client),
        );
        metrics.upstream_connection(Upstream::Replica, true);
        self.ends();
        self.members
            .waited(self.local, Operation::ManifestGet, &self.waits);
        metrics.upstream_bytes(Upstream::Replica, Direction::Sent, 0);
        metrics.upstream_bytes(Upstream::Replica, Direction::Received, 647);
    }

    /// What is counted in one go when it ends.
    pub fn ends(&self) {
        self.metrics.request_ends(&RequestEnd {
            arrival: Arrival::Client,
            operation: Operation::ManifestGet,
            plan: PlanKind::Local,
            status: 200,
            total: Duration::from_micros(481),
            received: 0,
            sent: 647,
        });
    }

    /// What the page shows of it.
    pub fn recent(&self) {
        let sample = Sample {
            failed: false,
            bytes: 647,
            latency: Some(self.waits.replica),
        };
        let traffic = self.members.traffic(self.local);
        let recent = &self.metrics.recent;
        recent.request_ended(Instant::now(), traffic, Some(self.repository), &sample);
    }
}
