//! Spans of requests, for a collector that the operator names.

use std::net::Ipv4Addr;

use crate::cluster::collector::{Collector, Span};
use crate::cluster::{Cluster, Plan, Request, eventually, reserve};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const DROPPED: &str = "shardlet_trace_spans_total{result=\"dropped\"}";
const EXPORTED: &str = "shardlet_trace_spans_total{result=\"exported\"}";

fn traced(method: &str, target: &str, flags: &str) -> Request {
    Request::new(method, target).field("traceparent", &format!("00-{TRACE}-{CALLER}-{flags}"))
}

/// Of the last request that the replica got.
fn told_to_replica(cluster: &Cluster, index: usize) -> String {
    let seen = cluster.replica(index).requests();
    let last = seen.last().unwrap();
    last.head.one("traceparent").unwrap().to_owned()
}

fn of<'s>(spans: &'s [Span], member: &str) -> &'s Span {
    spans.iter().find(|span| span.member == member).unwrap()
}

#[tokio::test]
async fn a_request_is_one_trace_over_both_members() {
    let collector = Collector::start().await;
    let plan = Plan::of(2)
        .set("trusted_proxies", "127.0.0.0/8")
        .set("telemetry", &collector.telemetry(0.0));
    let cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/blobs/uploads/?_state=S3CRET");
    let push = traced("POST", &target, "01")
        .field("X-Request-Id", "traced-1")
        .field("Authorization", "Bearer S3CRET");
    let answer = cluster.at(0).ask(push).await;
    let spans = collector.until(2).await;

    let (arrival, owner) = (of(&spans, "zot-1"), of(&spans, "zot-2"));
    assert_eq!((&*arrival.trace, &*owner.trace), (TRACE, TRACE));
    assert_eq!(arrival.parent.as_deref(), Some(CALLER));
    assert_eq!(owner.parent.as_deref(), Some(&*arrival.id));
    let told = format!("00-{TRACE}-{}-01", owner.id);
    assert_eq!(
        told_to_replica(&cluster, 1),
        told,
        "the replica's span is its child"
    );
    for (span, expected) in [
        (arrival, ["client", "forward", "zot-2"]),
        (owner, ["peer", "local", "replica"]),
    ] {
        let told = ["arrival", "plan", "upstream"]
            .map(|key| span.attribute(&format!("shardlet.{key}")).unwrap());
        assert_eq!(told, expected);
        for (key, expected) in [
            ("http.request.method", "POST"),
            ("http.response.status_code", &answer.status.to_string()),
            ("shardlet.operation", "upload_start"),
            ("shardlet.repository", &repository),
            ("shardlet.owner", "zot-2"),
            ("shardlet.request_id", "traced-1"),
        ] {
            assert_eq!(span.attribute(key).as_deref(), Some(expected), "{key}");
        }
        let waited: f64 = span
            .attribute("shardlet.replica_ms")
            .unwrap()
            .parse()
            .unwrap();
        assert!(waited > 0.0, "{}", span.text());
        assert!(!span.text().contains("S3CRET"), "{}", span.text());
    }
    for sidecar in [0, 1] {
        eventually("the metric", async || {
            cluster.at(sidecar).metric(EXPORTED) == 1.0
        })
        .await;
        assert_eq!(cluster.at(sidecar).metric(DROPPED), 0.0);
    }
}

#[tokio::test]
async fn who_is_not_trusted_does_not_decide_what_is_traced() {
    let collector = Collector::start().await;
    let plan = Plan::of(2)
        .set("telemetry", &collector.telemetry(0.0))
        .set_at(1, "telemetry", &collector.telemetry(1.0));
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
    cluster.at(0).ask(traced("GET", &target, "01")).await;
    let told = told_to_replica(&cluster, 1);
    assert_eq!(
        told,
        format!("00-{TRACE}-{CALLER}-00"),
        "the owner believes the arrival member"
    );
    // Chance takes all of them here, whatever they say.
    cluster.at(1).ask(traced("GET", &target, "00")).await;
    cluster.at(1).get(&target).await;
    let spans = collector.until(2).await;
    assert_eq!(spans[0].parent.as_deref(), Some(CALLER));
    assert_eq!(spans[1].parent, None);
    assert_eq!(
        told_to_replica(&cluster, 1),
        format!("00-{}-{}-01", spans[1].trace, spans[1].id)
    );
    assert_eq!(spans.len(), 2, "{spans:?}");
}

/// A member without a collector decides nothing, so it may not have its peers believe a client either.
#[tokio::test]
async fn a_member_that_does_not_trace_passes_no_clients_word_to_a_peer() {
    let collector = Collector::start().await;
    for (trusted, flags) in [("192.0.2.0/24", "00"), ("127.0.0.0/8", "01")] {
        let plan = Plan::of(2).set("trusted_proxies", trusted).set_at(
            1,
            "telemetry",
            &collector.telemetry(0.0),
        );
        let cluster = Cluster::start(plan).await;
        let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
        cluster.at(0).ask(traced("GET", &target, "01")).await;
        let told = told_to_replica(&cluster, 1);
        assert!(told.starts_with(&format!("00-{TRACE}-")), "{told}");
        assert!(told.ends_with(&format!("-{flags}")), "{told}, {trusted}");
        let expected = usize::from(flags == "01");
        assert_eq!(collector.until(expected).await.len(), expected);
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    // Nobody listens there.
    let (_held, nowhere) = reserve(Ipv4Addr::LOCALHOST.into());
    let telemetry = format!("traces: {{ endpoint: 'http://{nowhere}', sample: 1 }}");
    let cluster = Cluster::start(Plan::of(2).set("telemetry", &telemetry)).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    for _ in 0..3 {
        let put = Request::new("PUT", &target).body("manifest");
        assert_eq!(cluster.at(0).ask(put).await.status, 201);
    }
    for sidecar in [0, 1] {
        eventually("the spans to be given up", async || {
            cluster.at(sidecar).metric(DROPPED) == 3.0
        })
        .await;
        assert_eq!(cluster.at(sidecar).metric(EXPORTED), 0.0);
    }
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end() {
    let collector = Collector::start().await;
    let plan = Plan::of(1).set("telemetry", &collector.telemetry(1.0));
    let mut cluster = Cluster::start(plan).await;
    cluster.at(0).get("/v2/").await;
    cluster.take(0).server.close().await;
    assert_eq!(collector.until(1).await.len(), 1);
}
