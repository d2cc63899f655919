//! How many connections there may be.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use tokio::task::JoinSet;

use crate::cluster::h2_client::H2Client;
use crate::cluster::{Cluster, Connection, PATIENCE, Plan, Request, eventually};

#[tokio::test]
async fn connections_beyond_the_cap_are_told_so() {
    let cluster = Cluster::start(Plan::of(1).set("limits", "connections: 2")).await;
    let mut first = cluster.at(0).connect().await;
    let mut second = cluster.at(0).connect().await;
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.ask(&Request::get("/v2/")).await.status, 200);
    }
    let mut third = cluster.at(0).connect().await;
    assert_eq!(
        third.answer().await.refused(),
        (503, "connections_full".into())
    );
    assert_eq!(third.until_closed().await, b"");
    let refused = "shardlet_connections_refused_total{listener=\"clients\",reason=\"full\"}";
    assert!(cluster.at(0).metric(refused) >= 1.0);

    drop(first);
    eventually("the place to be free again", async || {
        let mut next = cluster.at(0).connect().await;
        next.ask(&Request::get("/v2/")).await.status == 200
    })
    .await;
    assert_eq!(second.ask(&Request::get("/v2/")).await.status, 200);
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let limits = "connections: 10, connections_per_address: 1";
    let cluster = Cluster::start(Plan::of(1).set("limits", limits)).await;
    let greedy = IpAddr::V4(Ipv4Addr::new(127, 250, 0, 1));
    let modest = IpAddr::V4(Ipv4Addr::new(127, 250, 0, 2));
    let mut first = cluster.at(0).connect_from(greedy).await;
    assert_eq!(first.ask(&Request::get("/v2/")).await.status, 200);
    let mut second = cluster.at(0).connect_from(greedy).await;
    assert_eq!(
        second.answer().await.refused(),
        (503, "connections_full".into())
    );
    let mut other = cluster.at(0).connect_from(modest).await;
    assert_eq!(other.ask(&Request::get("/v2/")).await.status, 200);
}

#[tokio::test]
async fn changed_limits_are_for_new_connections() {
    // On one thread, since each has connections of its own to the replica.
    let plan = Plan::of(1).client_tls().set("threads", "1");
    let mut cluster = Cluster::start(plan).await;
    let long = Request::get(&format!("/v2/?{}", "a".repeat(1000)));
    let mut open = cluster.at(0).connect().await;
    assert_eq!(open.ask(&long).await.status, 200);
    let upstream_connections = cluster.replica(0).record().connections;

    let set = "request_line: 600B, h2_streams: 7";
    assert!(
        cluster
            .reload(0, |plan| plan.set("limits", set))
            .await
            .taken
    );
    assert_eq!(open.ask(&long).await.status, 200, "it was open before");
    let refused = cluster.at(0).connect().await.ask(&long).await.refused();
    assert_eq!(refused, (414, "uri_too_long".into()));
    let mut http2 = cluster.at(0).h2().await;
    let answer = http2.ask(H2Client::request("GET", "/v2/")).await;
    assert_eq!((answer.unwrap().status, http2.max_streams()), (200, 7));
    // The proxy behind the listener is the same, with its connections to the replica.
    let now = cluster.replica(0).record().connections;
    assert_eq!(now, upstream_connections);

    let set = "connections: 1";
    assert!(
        cluster
            .reload(0, |plan| plan.set("limits", set))
            .await
            .taken
    );
    let mut beyond = Connection::open(cluster.at(0).addresses().clients).await;
    assert_eq!(beyond.until_closed().await, b"", "there are enough");
    assert_eq!(open.ask(&long).await.status, 200);
}

/// How a member's workers share the connections of its clients: a series with a value for each.
fn shares(cluster: &Cluster, name: &str) -> Vec<f64> {
    let of = |worker: usize| {
        let series = format!("{name}{{listener=\"clients\",worker=\"{worker}\"}}");
        cluster.at(0).metric(&series)
    };
    (0..WORKERS).map(of).collect()
}

const WORKERS: usize = 4;
/// Connections that come in each way.
const EACH: usize = 64;

#[tokio::test]
async fn no_worker_has_more_than_its_share() {
    let cluster = Cluster::start(Plan::of(1).set("threads", "4")).await;
    let (open, all) = (
        "shardlet_worker_connections_open",
        "shardlet_worker_connections_total",
    );
    let request = Request::get("/v2/");
    let mut burst = JoinSet::new();
    for _ in 0..EACH {
        burst.spawn(Connection::open(cluster.at(0).addresses().clients));
    }
    let mut kept = burst.join_all().await;
    for connection in &mut kept {
        assert_eq!(connection.ask(&request).await.status, 200);
    }
    assert_eq!(shares(&cluster, open), [16.0; WORKERS], "all at once");
    for _ in 0..EACH {
        let mut connection = cluster.at(0).connect().await;
        assert_eq!(connection.ask(&request).await.status, 200);
        kept.push(connection);
    }
    assert_eq!(shares(&cluster, open), [32.0; WORKERS], "one by one");
    for _ in 0..EACH {
        assert_eq!(cluster.at(0).ask(request.clone()).await.status, 200);
        eventually("the connection to be closed", async || {
            shares(&cluster, open) == [32.0; WORKERS]
        })
        .await;
    }
    let in_sequence = shares(&cluster, all);
    assert_eq!(in_sequence, [48.0; WORKERS], "each after the one before");
}

/// Everything but requests is in the runtime of this test, whose only thread this is.
#[tokio::test]
async fn what_else_a_member_does_keeps_no_request_waiting() {
    let cluster = Cluster::start(Plan::of(1)).await;
    let mut blocking = std::net::TcpStream::connect(cluster.at(0).addresses().clients).unwrap();
    blocking.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /v2/NAME/tags/list HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    blocking.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    blocking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
