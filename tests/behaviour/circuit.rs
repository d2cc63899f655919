//! A party that fails again and again is left alone for a while.

use std::time::Duration;

use crate::cluster::link::{Before, Flow, Way};
use crate::cluster::{Cluster, Gate, Plan, Request, Step, eventually};
use crate::moves::put;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn open(cluster: &Cluster, at: usize, member: &str) -> bool {
    let series = format!("shardlet_circuit_open{{member=\"{member}\"}}");
    cluster.at(at).metric(&series) > 0.0
}

/// Probes of `tests/cluster` are an hour apart, so that only requests tell.
fn opens_soon() -> Plan {
    Plan::of(2).set("circuit", "failures: 3, open: 100ms, open_limit: 100ms")
}

#[tokio::test]
async fn a_peer_that_fails_again_and_again_is_left_alone_and_tried_again() {
    let plan = Plan::of(2).set("circuit", "failures: 3, open: 1h, open_limit: 1h");
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    for _ in 0..3 {
        assert!(!open(&cluster, 0, "zot-2"));
        let answer = cluster.at(0).ask(put(&repository)).await;
        assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    }
    assert!(open(&cluster, 0, "zot-2"));
    let answer = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(answer.refused(), (503, "owner_down".into()));
    let target = format!("/v2/{repository}/tags/list");
    let read = cluster.at(0).get(&target).await;
    assert_eq!((read.status, read.field("x-replica")), (200, Some("zot-1")));

    // It says itself that it is back, so nobody waits for the hour to pass.
    cluster.restart(1).await;
    eventually("the circuit to close", async || {
        cluster.at(0).ask(put(&repository)).await.status == 201 && !open(&cluster, 0, "zot-2")
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_was_out_of_reach_for_too_short_a_time_for_a_verdict_is_tried_at_once() {
    let plan = Plan::of(2)
        .link(Before::Peers(0))
        .link(Before::Peers(1))
        .set("circuit", "failures: 3, open: 1h, open_limit: 1h")
        .set("probes", "interval: 100ms, timeout: 1s, rise: 1, fall: 100");
    let cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    // It cannot say itself that it is back.
    cluster.link(Before::Peers(0)).refuses().await;
    cluster.link(Before::Peers(0)).tears();
    let link = cluster.link(Before::Peers(1));
    let up = "shardlet_peer_up{member=\"zot-2\"}";
    eventually("a first verdict", async || cluster.at(0).metric(up) > 0.0).await;
    link.flows(Way::Back, Flow::Ended);
    link.tears();
    eventually("the circuit to open", async || {
        cluster.at(0).ask(put(&repository)).await;
        open(&cluster, 0, "zot-2")
    })
    .await;
    // Nobody but probes dials now, and the second one does when the first has failed.
    let two_probes = link.connections() + 2;
    eventually("probes to fail", async || link.connections() >= two_probes).await;
    link.flows(Way::Back, Flow::Free);
    eventually("the circuit to close", async || {
        cluster.at(0).ask(put(&repository)).await.status == 201
    })
    .await;
    assert!(cluster.at(0).metric(up) > 0.0, "it was never judged down");
}

#[tokio::test]
async fn one_request_at_a_time_tries_an_open_circuit() {
    let cluster = Cluster::start(opens_soon()).await;
    let repository = cluster.repository_of(0);
    cluster.replica(0).steps([Step::ReadBody, Step::Reset]);
    for _ in 0..3 {
        assert_eq!(cluster.at(0).ask(put(&repository)).await.status, 502);
    }
    assert!(open(&cluster, 0, "zot-1"));
    let gate = Gate::shut();
    cluster
        .replica(0)
        .steps([Step::ReadBody, Step::Wait(gate.clone()), Step::say(OK)]);
    let mut trial = cluster.at(0).connect().await;
    let mut trials = 0;
    eventually("a trial to be let through", async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        trials += 1;
        let target = format!("/v2/{repository}/manifests/trial-{trials}");
        trial = cluster.at(0).connect().await;
        trial
            .send(Request::new("PUT", &target).body("x").bytes())
            .await;
        let waits = tokio::time::timeout(Duration::from_millis(50), trial.speaks());
        let seen = || cluster.replica(0).requests();
        waits.await.is_err() && seen().iter().any(|seen| seen.target == target)
    })
    .await;
    let second = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(second.refused(), (503, "replica_down".into()));
    gate.open();
    assert_eq!(trial.answer().await.status, 200);
    assert!(!open(&cluster, 0, "zot-1"));
    assert_eq!(cluster.at(0).ask(put(&repository)).await.status, 200);
}

#[tokio::test]
async fn what_the_registry_answers_opens_no_circuit() {
    let cluster = Cluster::start(opens_soon()).await;
    for status in [
        "500 Internal Server Error",
        "503 Unavailable",
        "404 Not Found",
        "429 Slow",
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        for at in [0, 1] {
            cluster
                .replica(at)
                .steps([Step::ReadBody, Step::say(answer.clone())]);
            let repository = cluster.repository_of(at);
            for _ in 0..4 {
                let code = cluster.at(0).ask(put(&repository)).await.status;
                assert!(status.starts_with(&code.to_string()));
            }
        }
    }
    assert!(!open(&cluster, 0, "zot-1") && !open(&cluster, 0, "zot-2"));
}

#[tokio::test]
async fn a_client_that_leaves_opens_no_circuit() {
    let cluster = Cluster::start(opens_soon()).await;
    let repository = cluster.repository_of(0);
    cluster.replica(0).steps([Step::Stall]);
    for count in 1..=4 {
        let mut client = cluster.at(0).connect().await;
        client
            .send(Request::get(&format!("/v2/{repository}/tags/list")).bytes())
            .await;
        cluster.replica(0).until_requests(count).await;
        drop(client);
        cluster
            .replica(0)
            .until("the request to be given up", |record| {
                record.closed.len() >= count
            })
            .await;
    }
    assert!(!open(&cluster, 0, "zot-1"));
}
