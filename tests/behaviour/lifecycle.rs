//! Starting with names that do not resolve, and ending with requests in flight.

use shardlet::run::Drained;
use shardlet::shard::MemberId;
use tokio::net::TcpStream;

use crate::cluster::h2_client::H2Client;
use crate::cluster::{Cluster, End, Gate, Plan, Request, Step, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nothing_new() {
    let mut cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let gate = Gate::shut();
    cluster
        .replica(0)
        .steps([Step::ReadBody, Step::Wait(gate.clone()), Step::say(OK)]);
    let address = cluster.at(0).addresses().clients;
    let mut idle = cluster.at(0).connect().await;
    idle.ask(&Request::get("/metrics")).await;
    let upload = Request::new("PUT", &target).body(vec![b'x'; 100_000]);
    let bytes = upload.bytes();
    let (sent, rest) = bytes.split_at(50_000);
    let mut sending = cluster.at(0).connect().await;
    sending.send(sent).await;
    let mut through_peer = cluster.at(1).connect().await;
    through_peer.send(Request::get(&target).bytes()).await;
    cluster.replica(0).until_requests(2).await;

    let member = cluster.take(0);
    let state = member.server.state().clone();
    let drain = tokio::spawn(member.server.drain());
    eventually("new connections to be refused", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    assert_eq!(idle.until_closed().await, b"");
    assert!(state.is_draining() && !drain.is_finished());

    gate.open();
    sending.send(rest).await;
    for connection in [&mut sending, &mut through_peer] {
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.end), (200, End::Whole));
    }
    assert_eq!(drain.await.unwrap(), Drained::Completely);
    assert_eq!(sending.until_closed().await, b"");
}

#[tokio::test]
async fn a_drain_says_goodbye_to_http2_clients() {
    let mut cluster = Cluster::start(Plan::of(1).client_tls()).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let gate = Gate::shut();
    cluster
        .replica(0)
        .steps([Step::ReadBody, Step::Wait(gate.clone()), Step::say(OK)]);
    let mut busy = cluster.at(0).h2().await;
    let idle = cluster.at(0).h2().await;
    let (response, _) = busy
        .begin(H2Client::request("GET", &target), true)
        .await
        .unwrap();
    cluster.replica(0).until_requests(1).await;

    let drain = tokio::spawn(cluster.take(0).server.close());
    idle.ended().await.unwrap();
    gate.open();
    let answer = H2Client::answer(response).await.unwrap();
    assert_eq!((answer.status, answer.reset), (200, None));
    busy.ended().await.unwrap();
    assert_eq!(drain.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_drain_has_a_limit() {
    let mut cluster = Cluster::start(Plan::of(1).set("timeouts", "drain: 200ms")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    cluster.replica(0).steps([Step::Stall]);
    let mut stuck = cluster.at(0).connect().await;
    stuck.send(Request::get(&target).bytes()).await;
    cluster.replica(0).until_requests(1).await;
    let drained = cluster.take(0).server.close().await;
    assert_eq!(drained, Drained::Cut { requests: 1 });
}

#[tokio::test]
async fn a_name_that_does_not_resolve_costs_its_own_repositories_only() {
    let cluster = Cluster::start(Plan::of(3).host_of(1, "zot-2.invalid")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    let put = || Request::new("PUT", &target).body("x");
    let answer = cluster.at(0).ask(put()).await;
    assert_eq!(answer.refused(), (503, "unresolved".into()));
    let read = cluster
        .at(0)
        .get(&format!("/v2/{}/tags/list", cluster.repository_of(1)))
        .await;
    assert_eq!((read.status, read.field("x-replica")), (200, Some("zot-1")));
    let other = format!("/v2/{}/tags/list", cluster.repository_of(2));
    assert_eq!(cluster.at(0).get(&other).await.status, 200);

    // As the look-up in the background does once the name is there.
    let generation = cluster.at(0).generation();
    let id: MemberId = "zot-2".parse().unwrap();
    let index = generation.view.members().find(&id).unwrap();
    let upstream = generation.upstreams.member(index);
    upstream.use_address(cluster.plan().peer_address(1));
    assert_eq!(cluster.at(0).ask(put()).await.status, 201);
}

#[tokio::test]
async fn a_name_is_resolved_in_the_background() {
    let localhost = tokio::net::lookup_host(("localhost", 0))
        .await
        .unwrap()
        .next()
        .unwrap()
        .ip();
    let plan = Plan::of(2)
        .host_of(1, "localhost")
        .listening_at(1, localhost)
        .certificate_of(1, &["zot-2", "localhost"]);
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    eventually("the name to be resolved", async || {
        cluster
            .at(0)
            .ask(Request::new("PUT", &target).body("x"))
            .await
            .status
            == 201
    })
    .await;
}
