mod members;
mod summed;

use super::table::{TABLE, markdown};
use super::*;
use crate::observe::waits::Waits;
use crate::shard::{HashKey, Member, Members, Pins, Placement, Weight};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn view() -> View {
    view_of(&["zot-1", "zot-2", "zot-3"], Placement::Rendezvous)
}

/// A view of the first of these members.
fn view_of(ids: &[&str], placement: Placement) -> View {
    let member = |id: &&str| Member {
        id: id.parse().unwrap(),
        address: format!("{id}:5443").parse().unwrap(),
        weight: Weight::default(),
    };
    let list = ids.iter().map(member).collect();
    let members = Members::new(list, &ids[0].parse().unwrap()).unwrap();
    let pins = Pins::new(Vec::new()).unwrap();
    View::new(members, placement, &HashKey::from([7; 16]), pins)
}

/// Metrics with at least one series under every name.
fn used_metrics() -> Metrics {
    let view = view();
    let metrics = Metrics::new().unwrap();
    metrics.request_ends(&end(Arrival::Client, PlanKind::Local, 200));
    let members = metrics.members(&view);
    for (peer, _) in view.members().peers() {
        members.peer_up(peer, true);
        members.peer_view_same(peer, false);
        members.peer_draining(peer, false);
    }
    let waits = Waits {
        replica: Duration::from_millis(2),
        ..Waits::default()
    };
    let local = view.members().local();
    members.waited(local, Operation::ManifestGet, &waits);
    metrics.tls_expiry(Certificate::Member, 1_900_000_000);
    let worker = metrics.worker_connections(Listener::Clients, 0).unwrap();
    drop(worker.begin());
    metrics
}

fn end(arrival: Arrival, plan: PlanKind, status: u16) -> RequestEnd {
    RequestEnd {
        arrival,
        operation: Operation::ManifestGet,
        plan,
        status,
        total: Duration::from_millis(3),
        received: 10,
        sent: 2000,
    }
}

fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.render();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}"))
        .parse()
        .unwrap()
}

#[test]
fn names_types_labels_and_help_are_pinned() {
    insta::assert_snapshot!(markdown());
}

#[test]
fn everything_in_the_table_is_exported_and_nothing_else() {
    let text = used_metrics().render();
    let exported: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(str::to_owned)
        .collect();
    let listed: BTreeSet<_> = TABLE
        .iter()
        .map(|spec| format!("{} {}", spec.name, spec.kind.as_str()))
        .collect();
    assert_eq!(exported, listed);
}

#[test]
fn the_documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let wanted = format!(
        "# Metrics\n\nServed on the admin listener under `/metrics`. Labels are bounded by the \
         configuration; repositories, digests and clients are in the access log instead.\n\n{}",
        markdown()
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page, wanted, "run the tests once with UPDATE_DOCS=1");
}

#[test]
fn promtool_finds_nothing() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = promtool else {
        assert!(
            std::env::var_os("CI").is_none(),
            "promtool (Debian: prometheus) is missing"
        );
        eprintln!("SKIPPED: promtool (Debian: prometheus) is missing");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(used_metrics().render().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn every_request_is_counted_once_under_its_own_labels() {
    let metrics = Metrics::new().unwrap();
    let arrivals = [Arrival::Client, Arrival::Peer];
    for arrival in arrivals {
        for operation in Operation::ALL.iter().copied() {
            for plan in PlanKind::ALL.iter().copied() {
                for status in [101, 200, 307, 404, 503] {
                    metrics.request_ends(&RequestEnd {
                        operation,
                        ..end(arrival, plan, status)
                    });
                }
            }
        }
    }
    let text = metrics.render();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("shardlet_requests_total{"))
        .collect();
    assert_eq!(
        lines.len(),
        arrivals.len() * Operation::ALL.len() * PlanKind::ALL.len() * 5
    );
    assert!(lines.iter().all(|line| line.ends_with(" 1")), "{text}");
}

#[test]
fn a_request_shows_in_its_counters() {
    let metrics = Metrics::new().unwrap();
    let held = metrics.request_begins(Arrival::Client);
    assert_eq!(metrics.in_flight(), 1);
    metrics.request_ends(&end(Arrival::Client, PlanKind::Fallback, 200));
    drop(held);
    assert_eq!(metrics.in_flight(), 0);
    assert_eq!(value(&metrics, "shardlet_fallbacks_total"), 1.0);
    let bytes = r#"shardlet_downstream_bytes_total{arrival="client",direction="sent"}"#;
    assert_eq!(value(&metrics, bytes), 2000.0);
    let seconds = r#"shardlet_request_duration_seconds_count{arrival="client",plan="fallback"}"#;
    assert_eq!(value(&metrics, seconds), 1.0);
}

#[test]
fn each_certificate_and_result_has_its_own_series() {
    let metrics = Metrics::new().unwrap();
    metrics.tls_reload(Certificate::Member, true);
    let ok = r#"shardlet_tls_reloads_total{certificate="member",result="ok"}"#;
    let error = r#"shardlet_tls_reloads_total{certificate="member",result="error"}"#;
    assert_eq!((value(&metrics, ok), value(&metrics, error)), (1.0, 0.0));
    metrics.upstream_connection(Upstream::Peer, true);
    let reused = r#"shardlet_upstream_connections_total{reused="yes",upstream="peer"}"#;
    assert_eq!(value(&metrics, reused), 1.0);
}

#[test]
fn rejects_are_counted_by_reason_from_zero() {
    let metrics = Metrics::new().unwrap();
    let series = r#"shardlet_rejects_total{reason="queue_full"}"#;
    assert_eq!(value(&metrics, series), 0.0);
    metrics.reject(&Failure::QueueFull);
    assert_eq!(value(&metrics, series), 1.0);
}

#[test]
fn the_configuration_shows_whether_it_was_taken() {
    let metrics = Metrics::new().unwrap();
    let reloads = |result| format!("shardlet_config_reloads_total{{result=\"{result}\"}}");
    let told = || {
        let counts = ["taken", "refused"].map(|result| value(&metrics, &reloads(result)));
        (counts, value(&metrics, "shardlet_config_last_reload_ok"))
    };
    let loaded = || value(&metrics, "shardlet_config_loaded_timestamp_seconds");
    assert_eq!(told(), ([0.0, 0.0], 1.0));
    let start = loaded();
    assert!(start > 1.7e9);
    metrics.config_reload(false);
    assert_eq!((told(), loaded()), (([0.0, 1.0], 0.0), start));
    metrics.config_reload(true);
    assert_eq!(told(), ([1.0, 1.0], 1.0));
    assert!(loaded() > start);
}

#[test]
fn reads_and_writes_at_the_replica_are_told_apart() {
    let metrics = Metrics::new().unwrap();
    let series = |name, access| value(&metrics, &format!("{name}{{access=\"{access}\"}}"));
    let _held = (
        metrics.replica_works(Access::Write),
        metrics.queued(Access::Read),
    );
    let (works, waits) = ("shardlet_replica_in_flight", "shardlet_queue_depth");
    assert_eq!((series(works, "read"), series(works, "write")), (0.0, 1.0));
    assert_eq!((series(waits, "read"), series(waits, "write")), (1.0, 0.0));
}

#[test]
fn two_members_in_one_process_do_not_share_counters() {
    let (one, two) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.limits(1, 1);
    two.limits(2, 2);
    one.reject(&Failure::ConnectionsFull);
    assert_eq!(
        value(&two, r#"shardlet_rejects_total{reason="connections_full"}"#),
        0.0
    );
    assert_eq!(value(&two, "shardlet_replica_in_flight_limit"), 2.0);
}

#[test]
fn the_process_reports_itself() {
    let metrics = Metrics::new().unwrap();
    assert!(value(&metrics, "process_resident_memory_bytes") > 1e6);
    assert!(value(&metrics, "process_open_fds") >= 3.0);
}
