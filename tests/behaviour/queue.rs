//! A replica that has enough to do.

use shardlet::shard::Access;

use crate::cluster::{Cluster, Gate, Plan, Request, Step, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn busy(queue: &str) -> (Cluster, String, Gate) {
    let cluster =
        Cluster::start(Plan::of(2).set("registry", &format!("max_in_flight: 1, queue: {queue}")))
            .await;
    let gate = Gate::shut();
    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::Wait(gate.clone()), Step::say(OK)]);
    let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
    (cluster, target, gate)
}

fn waiting(cluster: &Cluster) -> usize {
    let generation = cluster.at(1).generation();
    let places = &generation.replica().places;
    places.waiting(Access::Read) + places.waiting(Access::Write)
}

#[tokio::test]
async fn requests_wait_for_a_busy_replica_and_beyond_the_queue_are_refused() {
    let (cluster, target, gate) = busy("{ limit: 1, timeout: 10s }").await;
    let (mut first, mut second) = (cluster.at(1).connect().await, cluster.at(0).connect().await);
    let mut third = cluster.at(0).connect().await;
    first.send(Request::get(&target).bytes()).await;
    cluster.replica(1).until_requests(1).await;
    second.send(Request::get(&target).bytes()).await;
    eventually("the second to wait", async || waiting(&cluster) == 1).await;
    // Reads and writes have a queue each.
    third
        .send(Request::new("PUT", &target).body("x").bytes())
        .await;
    eventually("the third to wait", async || waiting(&cluster) == 2).await;

    for sidecar in [1, 0] {
        for request in [
            Request::get(&target),
            Request::new("PUT", &target).body("x"),
        ] {
            let answer = cluster.at(sidecar).ask(request).await;
            assert_eq!(answer.refused(), (429, "queue_full".into()));
        }
    }
    assert_eq!(cluster.replica(1).requests().len(), 1);

    gate.open();
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(second.answer().await.status, 200);
    assert_eq!(third.answer().await.status, 200);
    assert_eq!(cluster.replica(1).requests().len(), 3);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_configured() {
    let (cluster, target, gate) = busy("{ limit: 5, timeout: 200ms }").await;
    let mut first = cluster.at(1).connect().await;
    first.send(Request::get(&target).bytes()).await;
    cluster.replica(1).until_requests(1).await;
    let answer = cluster.at(0).get(&target).await;
    assert_eq!(answer.refused(), (429, "queue_timeout".into()));
    assert_eq!(waiting(&cluster), 0);
    gate.open();
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_gives_its_place_back() {
    let (cluster, target, gate) = busy("{ limit: 1, timeout: 60s }").await;
    let mut first = cluster.at(1).connect().await;
    first.send(Request::get(&target).bytes()).await;
    cluster.replica(1).until_requests(1).await;
    for sidecar in [1, 0] {
        let mut second = cluster.at(sidecar).connect().await;
        second.send(Request::get(&target).bytes()).await;
        eventually("the second to wait", async || waiting(&cluster) == 1).await;
        drop(second);
        eventually("its place to be free", async || waiting(&cluster) == 0).await;
    }
    gate.open();
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(cluster.replica(1).requests().len(), 1);
}
