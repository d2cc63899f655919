//! Every metric's name, type, labels and meaning. Nothing is exported that is not listed here.
//!
//! Labels are bounded by the configuration: listeners, members, certificates and our own enums.
//! A repository, digest, tag, client or address is never a label: those are in the access log.

/// One metric as it is exported and documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Full name, with the unit as its suffix.
    pub name: &'static str,
    /// Prometheus type.
    pub kind: Kind,
    /// Label names, in the order in which the code gives their values.
    pub labels: &'static [&'static str],
    /// One sentence for operators.
    pub help: &'static str,
}

/// Prometheus metric types that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Durations in seconds, in [`SECONDS`] or [`COARSE_SECONDS`] buckets.
    Histogram,
}

#[cfg(test)]
impl Kind {
    /// As in a `# TYPE` line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Upper bounds of all duration histograms, in seconds: from a cached manifest to a large layer.
pub(crate) const SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];

/// Bounds of what there is a histogram of for each member and operation.
pub(crate) const COARSE_SECONDS: [f64; 10] =
    [0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}
const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Spec {
    Spec {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}
const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Spec {
    Spec {
        name,
        kind: Kind::Histogram,
        labels,
        help,
    }
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $id: Spec = $kind($name, &$labels, $help);)*
        /// All metrics, in the order of the documentation.
        #[cfg(test)]
        pub(crate) const TABLE: &[Spec] = &[$($id),*];
    };
}

metrics! {
    // Requests.
    REQUESTS = counter "shardlet_requests_total" ["arrival", "operation", "plan", "code"],
        "Requests that ended, by listener, registry operation, plan and status class.";
    REQUEST_SECONDS = histogram "shardlet_request_duration_seconds" ["arrival", "plan"],
        "Time from the request head to the end of the response.";
    WAIT_SECONDS = histogram "shardlet_request_wait_seconds" ["member", "operation", "for"],
        "Time that requests waited, if they did, for a place in the queue, their owner (hold), a connection, the client's body, or the replica; by the member that was asked. A peer's replica is its sidecar too.";
    REJECTS = counter "shardlet_rejects_total" ["reason"],
        "Requests that were answered or given up here instead of being served.";
    FALLBACKS = counter "shardlet_fallbacks_total" [],
        "Reads served by another replica than the owner's, because that one is down.";
    RETRIES = counter "shardlet_retries_total" ["upstream"],
        "Second attempts: reads sent again or elsewhere, and requests whose connection failed before they were sent.";
    IN_FLIGHT = gauge "shardlet_requests_in_flight" ["arrival"],
        "Requests that have begun and not ended.";

    TRANSFERS = gauge "shardlet_transfers" ["arrival"],
        "Answers that are being passed on, from their head on, and writes that are being sent.";
    TRANSFERS_LIMIT = gauge "shardlet_transfers_limit" [],
        "Of them, how many there may be for clients.";

    // Bytes and connections.
    DOWNSTREAM_BYTES = counter "shardlet_downstream_bytes_total" ["arrival", "direction"],
        "Body bytes received from and sent to clients and peers.";
    UPSTREAM_BYTES = counter "shardlet_upstream_bytes_total" ["upstream", "direction"],
        "Body bytes received from and sent to the local replica and peers.";
    CONNECTIONS_OPEN = gauge "shardlet_connections_open" ["listener"],
        "Downstream connections that are open.";
    CONNECTIONS = counter "shardlet_connections_total" ["listener"],
        "Downstream connections that were accepted.";
    WORKER_CONNECTIONS_OPEN = gauge "shardlet_worker_connections_open" ["listener", "worker"],
        "Of the open downstream connections, those that this worker thread serves.";
    WORKER_CONNECTIONS = counter "shardlet_worker_connections_total" ["listener", "worker"],
        "Of the accepted downstream connections, those that were given to this worker thread.";
    CONNECTIONS_REFUSED = counter "shardlet_connections_refused_total" ["listener", "reason"],
        "Downstream connections that were closed before their first request.";
    UPSTREAM_CONNECTIONS = counter "shardlet_upstream_connections_total" ["upstream", "reused"],
        "Upstream connections that were used for a request, new or from the pool.";

    // The local replica and its queue.
    REPLICA_UP = gauge "shardlet_replica_up" [],
        "1 if the local replica answers its probes, else 0.";
    REPLICA_IN_FLIGHT = gauge "shardlet_replica_in_flight" ["access"],
        "Requests that the local replica is working on.";
    REPLICA_LIMIT = gauge "shardlet_replica_in_flight_limit" [],
        "Requests that the local replica may work on at once; reads and writes may take three quarters of it each.";
    QUEUE_DEPTH = gauge "shardlet_queue_depth" ["access"],
        "Requests that wait for the local replica.";

    // Who may write.
    WRITES_READY = gauge "shardlet_writes_ready" [],
        "1 if this member knows what others may be writing; 0 while every write to its repositories waits.";
    VIEW_EPOCH = gauge "shardlet_view_epoch" [],
        "Number of the view in force, where members hold leases; else 0.";
    STORE_CALLS = counter "shardlet_store_calls_total" ["result"],
        "Calls to the store of leases, by what came of them.";
    HELD = gauge "shardlet_requests_held" [],
        "Requests that wait for their owner.";
    HOLD_SECONDS = histogram "shardlet_hold_seconds" ["ended"],
        "Time that requests waited for their owner, by how that ended.";
    HOLD_PLANS = counter "shardlet_hold_plans_total" [],
        "Times that a waiting request was planned anew, because what it waited for had changed.";

    // Members and the view.
    PEER_UP = gauge "shardlet_peer_up" ["member"],
        "1 if the peer answers its probes, else 0.";
    PEER_VIEW_SAME = gauge "shardlet_peer_view_same" ["member"],
        "1 if the peer's last answer carried our view's fingerprint, 0 if it carried another.";
    PEER_DRAINING = gauge "shardlet_peer_draining" ["member"],
        "1 if the peer's last answer said that it drains, else 0.";
    PEER_IN_FLIGHT = gauge "shardlet_peer_in_flight" ["member"],
        "Requests that the peer is working on for this member.";
    PEER_QUEUE_DEPTH = gauge "shardlet_peer_queue_depth" ["member"],
        "Requests that wait for a place at the peer.";
    CIRCUIT_OPEN = gauge "shardlet_circuit_open" ["member"],
        "1 if the circuit to the member is open or half-open, 0 if it is closed; the local member's is that of its replica.";
    CIRCUIT_OPENED = counter "shardlet_circuit_opened_total" ["member"],
        "Times that the circuit opened.";
    RESOLVE_ERRORS = counter "shardlet_resolve_errors_total" ["member"],
        "Failed look-ups of a peer's host name.";
    VIEW_INFO = gauge "shardlet_view_info" ["placement"],
        "Always 1; the label tells the placement of the view in force.";
    VIEW_FINGERPRINT = gauge "shardlet_view_fingerprint" [],
        "The first 48 bits of the view's fingerprint as a number; must be the same on all members.";
    VIEW_MEMBERS = gauge "shardlet_view_members" [],
        "Members in the view.";
    VIEW_SHARE = gauge "shardlet_view_share_ratio" [],
        "Share of all repositories that this member is expected to own, 0 to 1.";

    // Certificates.
    TLS_RELOADS = counter "shardlet_tls_reloads_total" ["certificate", "result"],
        "Attempts to take a changed certificate into use.";
    TLS_EXPIRY = gauge "shardlet_tls_certificate_expiry_timestamp_seconds" ["certificate"],
        "Unix time at which the certificate in use expires.";

    // The configuration.
    CONFIG_RELOADS = counter "shardlet_config_reloads_total" ["result"],
        "Attempts to take a new configuration; one that is refused changes nothing.";
    CONFIG_LAST_OK = gauge "shardlet_config_last_reload_ok" [],
        "1 if the last new configuration was taken, or none was tried; 0 if it was refused.";
    CONFIG_LOADED = gauge "shardlet_config_loaded_timestamp_seconds" [],
        "Unix time at which the configuration in force was taken.";

    // The process.
    DRAINING = gauge "shardlet_draining" [],
        "1 while this member takes no new work, else 0.";
    LOG_DROPPED = counter "shardlet_access_log_dropped_lines_total" [],
        "Access log lines that were dropped because the output is too slow.";
    SPANS = counter "shardlet_trace_spans_total" ["result"],
        "Spans of sampled requests that the collector took, and that were dropped because it does not, or too slowly.";
    LIBRARY_WARNINGS = counter "shardlet_library_warnings_total" ["library"],
        "Warnings and errors of libraries about what others send; not logged, since anybody could fill the log with them.";
    BUILD_INFO = gauge "shardlet_build_info" ["version"],
        "Always 1; the label tells the version.";
    UPTIME = gauge "shardlet_uptime_seconds" [],
        "Time since this member started.";
    PROCESS_CPU = counter "process_cpu_seconds_total" [],
        "User and system CPU time of the process.";
    PROCESS_MEMORY = gauge "process_resident_memory_bytes" [],
        "Resident memory of the process.";
    PROCESS_FDS = gauge "process_open_fds" [],
        "Open file descriptors of the process.";
    PROCESS_MAX_FDS = gauge "process_max_fds" [],
        "File descriptors that the process may open.";
    PROCESS_THREADS = gauge "process_threads" [],
        "Threads of the process.";
}

/// The table in Markdown, as it stands in the documentation.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut out = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for spec in TABLE {
        let labels: Vec<_> = spec
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let labels = if labels.is_empty() {
            "–".to_owned()
        } else {
            labels.join(", ")
        };
        let (name, kind, help) = (spec.name, spec.kind.as_str(), spec.help);
        out.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    out
}
