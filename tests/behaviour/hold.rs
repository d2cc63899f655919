//! Writes that wait for their owner instead of being refused.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::cluster::h2_client::H2Client;
use crate::cluster::link::{Before, Flow, Way};
use crate::cluster::message::sha256;
use crate::cluster::{Answer, Cluster, Connection, Gate, Plan, Request, Step, eventually};
use crate::handover::{arrived, large_pushes};
use crate::hold_clients::{as_peer, forwarded};
use crate::moves::{pinned_to, put};

/// The longest that can be configured: whatever ends sooner did not wait for its end.
pub const FOR_EVER: &str = "hold: 5m";
/// Gives other things time to happen first, such as a connection attempt again and again.
const SOME_TIME: &str = "hold: 3s";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Waits until so many requests wait at a member.
pub async fn until_held(cluster: &Cluster, at: usize, count: u64) {
    eventually(&format!("{count} to be held at member {at}"), async || {
        held(cluster, at) == count
    })
    .await;
}

pub fn held(cluster: &Cluster, at: usize) -> u64 {
    cluster.at(at).metric("shardlet_requests_held") as u64
}

/// How many waits of a member have ended so.
pub fn ended(cluster: &Cluster, at: usize, how: &str) -> u64 {
    let series = format!("shardlet_hold_seconds_count{{ended=\"{how}\"}}");
    cluster.at(at).metric(&series) as u64
}

fn all_ended(cluster: &Cluster, at: usize) -> u64 {
    let ways = ["released", "timed_out", "client_gone", "full"];
    ways.iter().map(|how| ended(cluster, at, how)).sum()
}

/// Sends a request and waits until it is held.
pub async fn send_held(cluster: &Cluster, at: usize, request: &Request) -> Connection {
    let before = held(cluster, at);
    let mut connection = cluster.at(at).connect().await;
    connection.send(request.bytes()).await;
    until_held(cluster, at, before + 1).await;
    connection
}

fn post(repository: &str) -> Request {
    Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")).body("")
}

fn read(repository: &str) -> Request {
    Request::get(&format!("/v2/{repository}/tags/list"))
}

fn served_by(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-replica"))
}

#[tokio::test]
async fn a_write_waits_for_its_owners_restart_and_is_carried_out_once() {
    let mut cluster = Cluster::start(Plan::of(3).set("writes", FOR_EVER)).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let mut waiting = [
        send_held(&cluster, 0, &put(&repository)).await,
        send_held(&cluster, 0, &post(&repository)).await,
    ];
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);

    cluster.restart(1).await;
    assert_eq!(waiting[0].answer().await.status, 201);
    assert_eq!(waiting[1].answer().await.status, 202);
    assert_eq!(cluster.replica(1).requests().len(), 2);
    assert_eq!(cluster.requests_elsewhere(1), 0);
    assert_eq!((held(&cluster, 0), ended(&cluster, 0, "released")), (0, 2));
    assert_eq!(all_ended(&cluster, 0), 2);
    // Its connection is as good as before.
    assert_eq!(waiting[0].ask(&put(&repository)).await.status, 201);
}

#[tokio::test]
async fn a_write_whose_owner_dies_in_the_handshake_waits() {
    // One name alone: to try the other would be of no use.
    let plan = Plan::of(2)
        .link(Before::Peers(1))
        .certificate_of(1, &["zot-2"])
        .set("writes", FOR_EVER);
    let cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    assert_eq!(cluster.at(1).ask(put(&repository)).await.status, 201);
    let link = cluster.link(Before::Peers(1));
    let before = link.connections();
    link.flows(Way::There, Flow::Still);
    let mut waiting = cluster.at(0).connect().await;
    waiting.send(put(&repository).bytes()).await;
    eventually("a handshake to have begun", async || {
        link.connections() > before
    })
    .await;
    link.refuses().await;
    link.tears();
    until_held(&cluster, 0, 1).await;

    link.flows(Way::There, Flow::Free);
    link.opens().await;
    assert_eq!(waiting.answer().await.status, 201);
    assert_eq!(cluster.replica(1).requests().len(), 2);
}

#[tokio::test]
async fn a_write_waits_for_its_own_members_replica() {
    for plan in [Plan::of(2), Plan::of(2).eager_probes()] {
        let cluster = Cluster::start(plan.set("writes", FOR_EVER)).await;
        let repository = cluster.repository_of(0);
        cluster.replica(0).stop().await;
        let mut waiting = send_held(&cluster, 0, &put(&repository)).await;
        cluster.replica(0).start_again();
        assert_eq!(waiting.answer().await.status, 201);
        assert_eq!(cluster.replica(0).requests().len(), 1);
        assert_eq!(cluster.requests_elsewhere(0), 0);
        assert_eq!((held(&cluster, 0), ended(&cluster, 0, "released")), (0, 1));
    }
}

#[tokio::test]
async fn a_write_waits_for_as_long_as_configured_and_was_sent_to_nobody() {
    let mut cluster = Cluster::start(Plan::of(3).set("writes", SOME_TIME)).await;
    let (peers, own) = (cluster.repository_of(1), cluster.repository_of(0));
    cluster.stop(1).await;
    cluster.replica(0).stop().await;
    let began = Instant::now();
    let member = cluster.at(0);
    let answers = tokio::join!(
        member.ask(put(&peers)),
        member.ask(post(&peers)),
        member.ask(put(&own)),
        member.ask(post(&own)),
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    }
    assert_eq!(ended(&cluster, 0, "timed_out"), 4);
    assert_eq!((held(&cluster, 0), all_ended(&cluster, 0)), (0, 4));
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn reads_that_may_not_fall_back_wait_too() {
    let plan = Plan::of(2)
        .set("writes", FOR_EVER)
        .set("reads", "owner_down: reject");
    let mut cluster = Cluster::start(plan).await;
    let (peers, own) = (cluster.repository_of(1), cluster.repository_of(0));
    cluster.stop(1).await;
    let mut through_peer = send_held(&cluster, 0, &read(&peers)).await;
    cluster.restart(1).await;
    assert_eq!(
        served_by(&through_peer.answer().await),
        (200, Some("zot-2"))
    );

    cluster.replica(0).stop().await;
    let mut at_home = send_held(&cluster, 0, &read(&own)).await;
    cluster.replica(0).start_again();
    assert_eq!(served_by(&at_home.answer().await), (200, Some("zot-1")));
}

#[tokio::test]
async fn reads_that_may_fall_back_do_not_wait() {
    let mut cluster = Cluster::start(Plan::of(3).set("writes", FOR_EVER)).await;
    let (peers, own) = (cluster.repository_of(1), cluster.repository_of(0));
    // Its sidecar is there and says that its replica is not.
    cluster.replica(1).stop().await;
    let answer = cluster.at(0).ask(read(&peers)).await;
    assert_eq!(served_by(&answer), (200, Some("zot-1")));
    cluster.stop(1).await;
    let answer = cluster.at(0).ask(read(&peers)).await;
    assert_eq!(served_by(&answer), (200, Some("zot-1")));

    cluster.replica(1).start_again();
    cluster.restart(1).await;
    cluster.replica(0).stop().await;
    let answer = cluster.at(0).ask(read(&own)).await;
    assert_eq!(served_by(&answer), (200, Some("zot-2")));
    assert_eq!((held(&cluster, 0), all_ended(&cluster, 0)), (0, 0));
}

#[tokio::test]
async fn reads_that_write_wait_like_writes() {
    let plan = Plan::of(2)
        .set("writes", FOR_EVER)
        .set("registry", "reads_write: true");
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let manifest = Request::get(&format!("/v2/{repository}/manifests/latest"));
    let mut waiting = send_held(&cluster, 0, &manifest).await;
    let answer = cluster.at(0).ask(read(&repository)).await;
    assert_eq!(served_by(&answer), (200, Some("zot-1")), "others fall back");

    cluster.replica(1).steps([Step::say(OK)]);
    cluster.restart(1).await;
    assert_eq!(waiting.answer().await.text(), "ok");
    assert_eq!(cluster.replica(1).requests().len(), 1);
}

pub fn in_dispute(hold: &str) -> Plan {
    Plan::of(2)
        .eager_probes()
        .set("writes", hold)
        .set("cluster", &pinned_to("zot-1"))
}

/// Only the first member has the new list.
pub async fn reload_one(cluster: &mut Cluster) {
    let moved = |plan: Plan| plan.set("cluster", &pinned_to("zot-2"));
    assert!(cluster.reload(0, moved).await.taken);
    for at in [0, 1] {
        let same = format!("shardlet_peer_view_same{{member=\"zot-{}\"}}", 2 - at);
        let told = "the dispute to be known to both";
        eventually(told, async || {
            let metrics = cluster.at(at).metrics();
            metrics.contains(&format!("{same} 0"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_write_in_dispute_waits_for_the_reload_that_ends_it_and_goes_to_the_new_owner() {
    let mut cluster = Cluster::start(in_dispute(FOR_EVER)).await;
    reload_one(&mut cluster).await;
    let mut waiting = [
        send_held(&cluster, 0, &put("moved/app")).await,
        send_held(&cluster, 1, &put("moved/app")).await,
    ];
    let steady = cluster.repository_of(0);
    assert_eq!(cluster.at(1).ask(put(&steady)).await.status, 201);
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 1);

    assert!(cluster.reload(1, |plan| plan).await.taken);
    for connection in &mut waiting {
        assert_eq!(connection.answer().await.status, 201);
    }
    assert_eq!(cluster.replica(1).requests().len(), 2);
    assert_eq!(cluster.requests_elsewhere(1), 1);
}

/// The owner of `moved/app` has another list, and the first member has not heard of it before it is turned
/// away for the first time.
async fn with_an_owner_that_has_moved() -> Cluster {
    let plan = in_dispute(FOR_EVER)
        .client_tls()
        .set("probes", "interval: 1h, timeout: 60s, fall: 100")
        .link(Before::Peers(0));
    let mut cluster = Cluster::start(plan.set("cluster", &pinned_to("zot-2"))).await;
    let link = cluster.link(Before::Peers(0));
    link.flows(Way::There, Flow::Still);
    let moved = |plan: Plan| plan.set("cluster", &pinned_to("zot-1"));
    assert!(cluster.reload(1, moved).await.taken);
    cluster
}

#[tokio::test]
async fn a_large_write_that_its_owner_turns_away_waits_with_its_body_untouched() {
    let mut cluster = with_an_owner_that_has_moved().await;
    cluster.replica(0).steps([Step::ReadBody, Step::say(OK)]);
    let pushes = large_pushes(&cluster, 0, "moved/app").await;
    let count = pushes.len();
    until_held(&cluster, 0, count as u64).await;

    let link = cluster.link(Before::Peers(0));
    link.flows(Way::There, Flow::Free);
    assert!(cluster.reload(0, |plan| plan).await.taken);
    for push in pushes {
        assert_eq!(push.await.unwrap(), 200);
    }
    assert_eq!(arrived(&cluster, 0), count);
    assert_eq!(cluster.requests_elsewhere(0), 0);
}

#[tokio::test]
async fn a_write_that_its_owner_turns_away_waits_and_is_sent_again_whole() {
    let mut cluster = with_an_owner_that_has_moved().await;
    // The owner was sent some of these bodies, or all; of the first one for certain.
    let body: Vec<u8> = (0..16 * 1024).map(|at| at as u8).collect();
    let target = "/v2/moved/app/manifests/latest";
    let empty_put = || Request::new("PUT", target);
    let whole = empty_put().body(body.clone());
    let chunked = empty_put().chunked(&body, 5000, "");
    let mut sent = Vec::new();
    for (request, first) in [(&whole, usize::MAX), (&whole, 2000), (&chunked, 8000)] {
        let bytes = request.bytes();
        let (now, later) = bytes.split_at(first.min(bytes.len()));
        let before = held(&cluster, 0);
        let mut connection = cluster.at(0).connect().await;
        connection.send(now).await;
        until_held(&cluster, 0, before + 1).await;
        connection.send(later).await;
        sent.push(connection);
    }
    let waits_for_us = put("moved/app").field("Expect", "100-continue");
    let mut asks_first = cluster.at(0).connect().await;
    asks_first.send(waits_for_us.head_bytes()).await;
    until_held(&cluster, 0, 4).await;
    let mut empty = send_held(&cluster, 0, &post("moved/app")).await;
    let mut client = cluster.at(0).h2().await;
    let request = H2Client::request("PUT", target);
    let (answer, mut stream) = client.begin(request, false).await.unwrap();
    let data = |part: &[u8]| Bytes::copy_from_slice(part);
    stream.send_data(data(&body[..100]), false).unwrap();
    until_held(&cluster, 0, 6).await;
    stream.send_data(data(&body[100..]), true).unwrap();
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);

    let link = cluster.link(Before::Peers(0));
    link.flows(Way::There, Flow::Free);
    assert!(cluster.reload(0, |plan| plan).await.taken);
    assert_eq!(empty.answer().await.status, 202);
    let interim = asks_first.next_head().await;
    assert!(interim.start.starts_with("HTTP/1.1 100 "), "{interim:?}");
    asks_first.send("x").await;
    assert_eq!(asks_first.answer().await.status, 201);
    for mut connection in sent {
        assert_eq!(connection.answer().await.status, 201);
        // Its connection is as good as before.
        assert_eq!(connection.ask(&post("moved/app")).await.status, 202);
    }
    assert_eq!(H2Client::answer(answer).await.unwrap().status, 201);
    let seen = cluster.replica(0).requests();
    let arrived = |sum: &str| {
        let bodies = seen.iter().filter_map(|seen| seen.body.as_ref());
        bodies
            .filter(|body| body.whole && body.sha256 == sum)
            .count()
    };
    assert_eq!(arrived(&sha256(&body)), 4);
    assert_eq!(seen.len(), 2 + 4 + 3);
    assert_eq!(cluster.requests_elsewhere(0), 0);
}

#[tokio::test]
async fn a_dispute_that_is_older_than_the_hold_is_refused_at_once() {
    let mut cluster = Cluster::start(in_dispute("hold: 1s")).await;
    reload_one(&mut cluster).await;
    for at in [0, 1] {
        // It has outlasted this one, at the latest.
        let first = cluster.at(at).ask(put("moved/app")).await;
        assert_eq!(first.refused(), (503, "views_differ".into()));
        let before = all_ended(&cluster, at);
        let next = cluster.at(at).ask(put("moved/app")).await;
        assert_eq!(next.refused(), (503, "views_differ".into()));
        assert_eq!(all_ended(&cluster, at), before, "it did not wait");
    }
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn how_long_a_request_was_held_is_in_the_log_and_what_waits_in_the_status() {
    let plan = Plan::of(2).set("writes", "hold: 5m, limit: 7");
    let mut cluster = Cluster::start(plan).await;
    let (repository, own) = (cluster.repository_of(1), cluster.repository_of(0));
    assert_eq!(cluster.at(0).ask(put(&own)).await.status, 201);
    cluster.stop(1).await;
    let request = put(&repository).field("X-Request-Id", "held-one");
    let began = Instant::now();
    let mut waiting = send_held(&cluster, 0, &request).await;
    let seen = Instant::now();

    let mut operator = Connection::open(cluster.at(0).addresses().admin).await;
    let answer = operator.ask(&Request::get("/api/v1/status")).await;
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = serde_json::json!(
        { "ready": true, "held": 1, "held_limit": 7, "hold_seconds": 300.0 }
    );
    assert_eq!(status["writes"], expected);

    cluster.restart(1).await;
    let least = seen.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(waiting.answer().await.status, 201);
    let most = began.elapsed().as_secs_f64() * 1000.0;
    let line = cluster.at(0).log.of_request("held-one").await;
    let told = line["hold_ms"].as_f64().unwrap();
    assert!(told <= most, "{told} of {most}");
    // The restart has let it go before the last of the members knew all others.
    assert!(told > 0.0 && least > 0.0, "{line}");
    let is_quick = |line: &serde_json::Value| line["hold_ms"] == 0.0 && line["status"] == 201;
    cluster
        .at(0)
        .log
        .line("one that was not held", is_quick)
        .await;
}

/// What a peer has sent before it knew cannot be sent again.
#[tokio::test]
async fn an_owner_that_closes_serves_what_peers_send_until_they_know() {
    let mut cluster = Cluster::start(Plan::of(2).link(Before::Peers(1))).await;
    let repository = cluster.repository_of(0);
    let gate = Gate::shut();
    let steps = [Step::Wait(gate.clone()), Step::say(OK)];
    cluster.replica(0).steps(steps);
    let mut in_flight = cluster.at(0).connect().await;
    in_flight.send(read(&repository).bytes()).await;
    cluster.replica(0).until_requests(1).await;

    // One of them does not hear of it.
    let link = cluster.link(Before::Peers(1));
    link.flows(Way::There, Flow::Still);
    let write = forwarded(&cluster, &repository);
    let mut peer = as_peer(&cluster, 0).await;
    let closing = cluster.take(0);
    let clients = closing.addresses().clients;
    let drain = tokio::spawn(closing.server.close());
    cluster.replica(0).steps([Step::ReadBody, Step::say(OK)]);
    eventually("the client listener to be closed", async || {
        TcpStream::connect(clients).await.is_err()
    })
    .await;
    let answer = peer.ask(&write).await;
    assert_eq!((answer.status, answer.text()), (200, "ok".into()));

    // Beyond its patience it takes no more, and says so.
    eventually("it to take nothing more", async || {
        let answer = as_peer(&cluster, 0).await.ask(&write).await;
        answer.status != 200 && answer.refused() == (503, "draining".into())
    })
    .await;
    assert!(!drain.is_finished(), "what is in flight is waited for");
    gate.open();
    assert_eq!(in_flight.answer().await.text(), "ok");
    drain.await.unwrap();
}
