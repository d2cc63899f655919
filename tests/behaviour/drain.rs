//! A member that says that it is going, and goes.

use shardlet::run::Drained;
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Connection, End, Plan, Request, Step, eventually};
use crate::moves::{held_write, pinned_to, put};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn leaves_slowly() -> Plan {
    Plan::of(3)
        .eager_probes()
        .set("timeouts", "idle: 10s, drain: 10s, drain_delay: 1h")
}

/// What the second member says of the first: 1 or 0.
fn first_is_up(cluster: &Cluster) -> f64 {
    cluster.at(1).metric("shardlet_peer_up{member=\"zot-1\"}")
}

#[tokio::test]
async fn a_member_says_first_that_it_is_going_and_goes_on_as_before() {
    let mut cluster = Cluster::start(leaves_slowly()).await;
    let repository = cluster.repository_of(0);
    let read = Request::get(&format!("/v2/{repository}/tags/list"));
    let leaving = cluster.take(0);
    let clients = leaving.addresses().clients;
    let state = leaving.server.state().clone();
    let drain = tokio::spawn(leaving.server.drain());
    eventually("the peers to know", async || {
        [1, 2].iter().all(|at| {
            let draining = "shardlet_peer_draining{member=\"zot-1\"}";
            cluster.at(*at).metric(draining) > 0.0
        })
    })
    .await;
    assert!(state.is_draining() && !drain.is_finished());

    // Reads that others can serve are kept away from it, writes are its own to the end.
    let answer = cluster.at(1).ask(read.clone()).await;
    assert_eq!(
        (answer.status, answer.field("x-replica")),
        (200, Some("zot-2"))
    );
    assert_eq!(cluster.at(1).ask(put(&repository)).await.status, 201);
    assert_eq!(cluster.replica(0).requests().last().unwrap().method, "PUT");

    // Clients that still come are served, and sent away one by one.
    let mut client = crate::cluster::Connection::open(clients).await;
    let answer = client.ask(&read).await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(client.until_closed().await, b"");
    drain.abort();
}

#[tokio::test]
async fn peers_are_told_to_the_end_and_send_nothing_more() {
    let mut cluster = Cluster::start(Plan::of(2).eager_probes()).await;
    let repository = cluster.repository_of(0);
    let (mut upload, gate) = held_write(&cluster, 0, &repository).await;
    let mut through_peer = cluster.at(1).connect().await;
    through_peer.send(put(&repository).bytes()).await;
    cluster.replica(0).until_requests(2).await;
    eventually("the peer to be up", async || first_is_up(&cluster) > 0.0).await;

    let closing = cluster.take(0);
    let clients = closing.addresses().clients;
    let drain = tokio::spawn(closing.server.close());
    eventually("the client listener to be closed", async || {
        TcpStream::connect(clients).await.is_err()
    })
    .await;
    eventually("its peer to know", async || first_is_up(&cluster) < 1.0).await;
    let refused = cluster.at(1).ask(put(&repository)).await;
    // By the closing member itself, or by ours that has heard of it.
    let (status, reason) = refused.refused();
    let told = ["draining", "owner_down"].contains(&reason.as_str());
    assert!(status == 503 && told, "{status} {reason}");
    let read = cluster
        .at(1)
        .get(&format!("/v2/{repository}/tags/list"))
        .await;
    assert_eq!((read.status, read.field("x-replica")), (200, Some("zot-2")));
    assert_eq!(cluster.replica(0).requests().len(), 2);
    assert!(!drain.is_finished());

    gate.open();
    for connection in [&mut upload, &mut through_peer] {
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.end), (201, End::Whole));
    }
    assert_eq!(drain.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_dead_replica_is_told_to_the_peers_at_once() {
    // Probes of peers are an hour apart: only the news can bring it.
    let cluster = Cluster::start(
        Plan::of(2)
            .set("probes", "interval: 1h, timeout: 5s, rise: 1, fall: 1")
            .set_at(
                0,
                "probes",
                "interval: 100ms, timeout: 5s, rise: 1, fall: 1",
            ),
    )
    .await;
    eventually("the peer to be up", async || first_is_up(&cluster) > 0.0).await;
    cluster.replica(0).answers_probes(503);
    eventually("the peer's replica to be down", async || {
        first_is_up(&cluster) < 1.0
    })
    .await;
    cluster.replica(0).answers_probes(200);
    eventually("the peer's replica to be back", async || {
        first_is_up(&cluster) > 0.0
    })
    .await;
}

#[tokio::test]
async fn reads_of_ones_own_repositories_come_from_a_peers_replica_while_ones_own_is_down() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(0);
    let read = Request::get(&format!("/v2/{repository}/tags/list"));
    cluster.replica(0).stop().await;
    for _ in 0..3 {
        let answer = cluster.at(0).ask(read.clone()).await;
        assert_eq!(
            (answer.status, answer.field("x-replica")),
            (200, Some("zot-2"))
        );
    }
    let refused = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(refused.refused(), (503, "upstream_refused".into()));
    let seen = cluster.replica(1).requests();
    assert!(seen.iter().all(|seen| seen.method == "GET"));

    // It may break off in the middle, too.
    cluster.replica(0).start_again();
    cluster.replica(0).steps([Step::Reset]);
    let answer = cluster.at(0).ask(read.clone()).await;
    assert_eq!(
        (answer.status, answer.field("x-replica")),
        (200, Some("zot-2"))
    );
    cluster.replica(0).steps([Step::say(OK)]);
    assert_eq!(cluster.at(0).ask(read).await.text(), "ok");
}

#[tokio::test]
async fn a_member_that_closes_takes_no_other_configuration() {
    let mut cluster = Cluster::start(Plan::of(2).set("commands", "")).await;
    let repository = cluster.repository_of(0);
    let (mut writing, gate) = held_write(&cluster, 0, &repository).await;
    let leaving = cluster.take(0);
    let (clients, admin) = (leaving.addresses().clients, leaving.addresses().admin);
    let socket = leaving.server.status().commands.socket.unwrap();
    let view = *leaving.generation().view.fingerprint();
    let state = leaving.server.state().clone();
    cluster.configure(0, |plan| plan.set("cluster", &pinned_to("zot-2")));
    let closing = tokio::spawn(leaving.server.close());
    eventually("new connections to be refused", async || {
        TcpStream::connect(clients).await.is_err()
    })
    .await;
    let command = Request::new("POST", "/api/v1/reload");
    let mut stranger = Connection::open(admin).await;
    assert_eq!(stranger.ask(&command).await.status, 403);
    let mut operator = Connection::open_socket(&socket).await;
    let answer = operator.ask(&command).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("closing"), "{answer:?}");
    assert_eq!(*state.generation().view.fingerprint(), view);

    gate.open();
    assert_eq!(writing.answer().await.status, 201);
    assert_eq!(closing.await.unwrap(), Drained::Completely);
}
