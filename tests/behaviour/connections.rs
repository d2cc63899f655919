//! How many connections there may be.

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::h2_client::H2Client;
use crate::cluster::{Cluster, Connection, Plan, Request, eventually};

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
    let mut cluster = Cluster::start(Plan::of(1).client_tls()).await;
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
