//! How many connections there may be.

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::{Cluster, Plan, Request, eventually};

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
