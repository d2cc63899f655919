//! The network between members, or between a member and its replica, is late, slow, silent or torn.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cluster::link::{Before, Flow, Link, Way};
use crate::cluster::message::{Framing, sha256};
use crate::cluster::{Cluster, Connection, End, Gate, Plan, Request, Step};

const IDLE: Duration = Duration::from_secs(1);
const MEBIBYTE: usize = 1 << 20;
/// More than what the other side has to read before anything of it comes through.
const HALF: usize = MEBIBYTE / 2;
/// What comes through of one half: the rest may wait in the members' write buffers for the other.
const SURELY: usize = HALF / 2;

/// Two members, of which the second is reached through a link and owns the repository.
async fn linked(timeouts: &str) -> (Cluster, String) {
    // Each thread has connections of its own to a peer.
    let plan = Plan::of(2).set("threads", "1").set("timeouts", timeouts);
    let plan = plan.link(Before::Peers(1)).link(Before::Replica(1));
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    (cluster, target)
}

fn peers(cluster: &Cluster) -> &Link {
    cluster.link(Before::Peers(1))
}

/// An answer of which one half is on its way to the client while the other half waits at the replica.
async fn half_an_answer(cluster: &Cluster, target: &str) -> (Connection, Gate) {
    let gate = Gate::shut();
    let (half, length) = (vec![b'x'; HALF], 2 * HALF);
    cluster.replica(1).steps([
        Step::say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        )),
        Step::Say(half.clone()),
        Step::Wait(gate.clone()),
        Step::Say(half),
    ]);
    let mut connection = cluster.at(0).connect().await;
    connection.send(Request::get(target).bytes()).await;
    let (head, _) = connection.answer_head().await;
    assert_eq!(head.framing(), Some(Framing::Length(length as u64)));
    connection.exactly(SURELY).await;
    (connection, gate)
}

/// Sees the connection end before the other half has come.
async fn is_cut(mut connection: Connection) {
    assert!(connection.until_closed().await.len() <= HALF - SURELY);
}

#[tokio::test]
async fn a_link_that_stalls_in_an_answer_cuts_it_after_the_idle_limit() {
    let (cluster, target) = linked("idle: 1s").await;
    let (connection, gate) = half_an_answer(&cluster, &target).await;
    peers(&cluster).flows(Way::Back, Flow::Still);
    let began = Instant::now();
    gate.open();
    is_cut(connection).await;
    assert!(began.elapsed() >= IDLE);
    // Meanwhile, and afterwards, the other members' repositories are served.
    let other = format!("/v2/{}/tags/list", cluster.repository_of(0));
    assert_eq!(cluster.at(0).get(&other).await.status, 200);
}

#[tokio::test]
async fn a_link_that_breaks_in_an_answer_cuts_it_at_once() {
    let (cluster, target) = linked("idle: 1h").await;
    let (connection, _gate) = half_an_answer(&cluster, &target).await;
    peers(&cluster).tears();
    is_cut(connection).await;

    let (connection, _gate) = half_an_answer(&cluster, &target).await;
    peers(&cluster).flows(Way::Back, Flow::Ended);
    is_cut(connection).await;
}

#[tokio::test]
async fn a_link_that_breaks_in_an_upload_leaves_half_a_body_that_nobody_takes_for_whole() {
    let (cluster, target) = linked("idle: 1h").await;
    for breaks in [Link::tears, |link: &Link| {
        link.flows(Way::There, Flow::Ended);
    }] {
        peers(&cluster).flows(Way::There, Flow::Free);
        let before = cluster.replica(1).requests().len();
        let carried = peers(&cluster).carried(Way::There);
        let put = Request::new("PUT", &target).body(vec![b'x'; MEBIBYTE]);
        let bytes = put.bytes();
        let mut connection = cluster.at(0).connect().await;
        connection.send(&bytes[..bytes.len() - HALF]).await;
        let enough = carried + (HALF / 2) as u64;
        peers(&cluster).until_carried(Way::There, enough).await;
        cluster.replica(1).until_requests(before + 1).await;
        breaks(peers(&cluster));
        assert_eq!(connection.answer().await.refused().0, 502);
        let what = "the replica to see the cut";
        let record = cluster.replica(1).until(what, |record| {
            record
                .requests
                .last()
                .is_some_and(|last| last.body.is_some())
        });
        let seen = record.await.requests;
        assert_eq!(seen.len(), before + 1, "it was not sent again");
        assert!(!seen[before].body.as_ref().unwrap().whole);
    }
}

#[tokio::test]
async fn a_late_link_costs_time_only() {
    const LATE: Duration = Duration::from_millis(50);
    let (cluster, target) = linked("idle: 10s").await;
    for way in [Way::There, Way::Back] {
        peers(&cluster).flows(way, Flow::Late(LATE));
    }
    let began = Instant::now();
    let put = Request::new("PUT", &target).body("late");
    assert_eq!(cluster.at(0).ask(put).await.status, 201);
    assert_eq!(cluster.at(0).get(&target).await.text(), "late");
    assert!(began.elapsed() >= 4 * LATE);
}

#[tokio::test]
async fn a_slow_link_carries_more_than_fits_into_the_idle_limit() {
    let (cluster, target) = linked("idle: 1s").await;
    let body = vec![b'x'; MEBIBYTE];
    for way in [Way::There, Way::Back] {
        peers(&cluster).flows(way, Flow::Rate(600 * 1024));
    }
    let began = Instant::now();
    let put = Request::new("PUT", &target).body(body.clone());
    assert_eq!(cluster.at(0).ask(put).await.status, 201);
    assert!(began.elapsed() > IDLE);
    let seen = cluster.replica(1).requests().pop().unwrap();
    assert_eq!(seen.body.unwrap().sha256, sha256(&body));
    let began = Instant::now();
    let answer = cluster.at(0).get(&target).await;
    assert_eq!(
        (answer.end, sha256(&answer.body)),
        (End::Whole, sha256(&body))
    );
    assert!(began.elapsed() > IDLE);
}

#[tokio::test]
async fn a_pooled_connection_into_a_silent_link_costs_the_limit_and_a_write_is_never_sent_again() {
    let (cluster, target) = linked("connect: 2s, idle: 1s, commit: 1s").await;
    let put = || Request::new("PUT", &target).body("x");
    assert_eq!(cluster.at(0).ask(put()).await.status, 201);
    for way in [Way::There, Way::Back] {
        peers(&cluster).flows(way, Flow::Still);
    }
    let answer = cluster.at(0).ask(put()).await;
    assert_eq!(answer.refused(), (504, "upstream_timeout".into()));
    // It went into the pooled connection. That is given up, and the next one is not even shaken hands on.
    let answer = cluster.at(0).ask(put()).await;
    assert_eq!(answer.refused().0, 503);
    for way in [Way::There, Way::Back] {
        peers(&cluster).flows(way, Flow::Free);
    }
    peers(&cluster).tears();
    assert!(cluster.replica(1).requests().len() <= 2);
}

#[tokio::test]
async fn a_link_that_takes_no_connection_costs_the_connect_timeout() {
    let (cluster, target) = linked("connect: 1s, idle: 10s").await;
    let write = || Request::new("PUT", &target).body("x");
    let replica = cluster.link(Before::Replica(1));
    peers(&cluster).swallows().await;
    peers(&cluster).tears();
    let answer = cluster.at(0).ask(write()).await;
    assert_eq!(answer.refused().0, 503);
    let fallback = cluster.at(0).get(&target).await;
    assert_eq!(fallback.field("x-replica"), Some("zot-1"));
    peers(&cluster).opens().await;

    replica.swallows().await;
    replica.tears();
    let answer = cluster.at(1).ask(write()).await;
    assert_eq!(answer.refused(), (503, "upstream_connect_timeout".into()));
    replica.refuses().await;
    let answer = cluster.at(1).ask(write()).await;
    assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    assert_eq!(cluster.replica(1).requests().len(), 0);
    replica.opens().await;
    assert_eq!(cluster.at(1).ask(write()).await.status, 201);
}

/// So many reads at once, once the first has made a connection for all of them.
async fn many_reads(cluster: &Cluster, target: &str) -> JoinSet<u16> {
    let put = Request::new("PUT", target).body("x");
    assert_eq!(cluster.at(0).ask(put).await.status, 201);
    assert_eq!(cluster.at(0).get(target).await.status, 200);
    let before = cluster.replica(1).requests().len();
    peers(cluster).flows(Way::Back, Flow::Still);
    let mut reads = JoinSet::new();
    for _ in 0..READS {
        let mut connection = cluster.at(0).connect().await;
        let request = Request::get(target);
        reads.spawn(async move { connection.ask(&request).await.status });
    }
    cluster.replica(1).until_requests(before + READS).await;
    reads
}

const READS: usize = 20;

#[tokio::test]
async fn reads_at_the_same_time_share_a_connection_to_their_owner() {
    let (cluster, target) = linked("idle: 10s").await;
    let before = peers(&cluster).connections();
    let reads = many_reads(&cluster, &target).await;
    peers(&cluster).flows(Way::Back, Flow::Free);
    assert_eq!(reads.join_all().await, [200; READS]);
    // One for the write, one for the reads.
    assert_eq!(peers(&cluster).connections(), before + 2);
}

#[tokio::test]
async fn a_shared_connection_that_breaks_costs_no_read() {
    let (cluster, target) = linked("idle: 10s").await;
    let reads = many_reads(&cluster, &target).await;
    peers(&cluster).tears();
    peers(&cluster).flows(Way::Back, Flow::Free);
    assert_eq!(reads.join_all().await, [200; READS]);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_no_other_on_the_shared_connection() {
    let (cluster, target) = linked("idle: 10s").await;
    let body = vec![b'x'; 8 * MEBIBYTE];
    let put = Request::new("PUT", &target).body(body.clone());
    assert_eq!(cluster.at(0).ask(put).await.status, 201);
    let mut lazy = Vec::new();
    for _ in 0..3 {
        let mut connection = cluster.at(0).connect().await;
        connection.send(Request::get(&target).bytes()).await;
        connection.answer_head().await;
        lazy.push(connection);
    }
    let tags = format!("{}/tags/list", target.trim_end_matches("/manifests/latest"));
    for _ in 0..READS {
        assert_eq!(cluster.at(0).get(&tags).await.status, 200);
    }
    for mut connection in lazy {
        assert!(connection.exactly(body.len()).await == body);
    }
}
