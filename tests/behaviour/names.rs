//! Names with several addresses.

use std::net::SocketAddr;

use shardlet::shard::Repository;
use tokio::net::{TcpListener, TcpSocket};

use crate::cluster::{Cluster, Plan, eventually, reserve};
use crate::moves::{held_write, put, serves};

/// Nobody listens at the first address, and nobody speaks at the second.
async fn dead_ends() -> (Vec<SocketAddr>, (TcpSocket, TcpListener)) {
    let loopback = std::net::Ipv4Addr::LOCALHOST;
    let (held, refuses) = reserve(loopback.into());
    let silent = TcpListener::bind((loopback, 0)).await.unwrap();
    let addresses = vec![refuses, silent.local_addr().unwrap()];
    (addresses, (held, silent))
}

/// Whose replica has taken a write of a repository through one member.
async fn writes(cluster: &Cluster, at: usize, repository: &str) -> Option<String> {
    let answer = cluster.at(at).ask(put(repository)).await;
    let replica = answer.field("x-replica").map(str::to_owned);
    replica.filter(|_| answer.status == 201)
}

#[tokio::test]
async fn of_several_addresses_the_one_that_answers_is_used() {
    let plan = Plan::of(2).registry_host_of(0, "registry.invalid").set(
        "probes",
        "interval: 100ms, timeout: 500ms, rise: 1, fall: 1",
    );
    let cluster = Cluster::start(plan).await;
    let (dead, _held) = dead_ends().await;
    let (own, other) = (cluster.repository_of(0), cluster.repository_of(1));
    assert_eq!(writes(&cluster, 0, &own).await, None);

    // As the look-up in the background does once the name is there.
    let with_dead_ends = |live| [dead.as_slice(), &[live]].concat();
    let generation = cluster.at(0).generation();
    let (replica, live) = (generation.upstreams.replica(), cluster.replica(0).address);
    let at_once = replica.take_addresses(with_dead_ends(live));
    assert_eq!(at_once, None, "whoever answers first");
    eventually("a write", async || {
        writes(&cluster, 0, &own).await.as_deref() == Some("zot-1")
    })
    .await;
    assert_eq!(replica.address(), Some(live));

    let owner = Repository::parse(&other).unwrap();
    let peer = generation.upstreams.member(generation.view.owner(&owner));
    let live = cluster.plan().peer_address(1);
    assert_eq!(peer.take_addresses(with_dead_ends(live)), None);
    peer.use_address(dead[0]);
    eventually("a forwarded write", async || {
        writes(&cluster, 0, &other).await.as_deref() == Some("zot-2")
    })
    .await;
    assert_eq!(peer.address(), Some(live));
}

#[tokio::test]
async fn a_replica_moves_to_another_address_of_its_name_as_any_replica_moves() {
    let cluster = Cluster::start(Plan::of(2).eager_probes()).await;
    let generation = cluster.at(0).generation();
    let replica = generation.upstreams.replica();
    let (here, there) = (cluster.replica(0).address, cluster.replica(1).address);
    assert_eq!(replica.take_addresses(vec![there, here]), None);

    let repository = cluster.repository_of(0);
    let other = cluster.repositories_of(0).nth(1).unwrap();
    let (mut connection, gate) = held_write(&cluster, 0, &repository).await;
    assert_eq!(replica.address(), Some(here), "it answers, so it is kept");
    cluster.replica(0).answers_probes(503);
    eventually("the other address", async || {
        replica.address() == Some(there)
    })
    .await;
    eventually("writes there", async || {
        writes(&cluster, 0, &other).await.as_deref() == Some("zot-2")
    })
    .await;
    let waits = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(waits.refused(), (503, "reloading".into()));
    assert_eq!(
        serves(&cluster, 0, &repository).await.as_deref(),
        Some("zot-2")
    );
    gate.open();
    assert_eq!(connection.answer().await.status, 201);
    eventually("the write that was waited for", async || {
        writes(&cluster, 0, &repository).await.as_deref() == Some("zot-2")
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_misses_probes_and_is_not_down_yet_stays_where_it_is() {
    let probes = "interval: 100ms, timeout: 500ms, rise: 1, fall: 100";
    let cluster = Cluster::start(Plan::of(2).set("probes", probes)).await;
    let replica = cluster.at(0).generation().upstreams.replica().clone();
    let (here, there) = (cluster.replica(0).address, cluster.replica(1).address);
    assert_eq!(replica.take_addresses(vec![there, here]), None);

    cluster.replica(0).answers_probes(503);
    let before = cluster.replica(0).record().probes;
    cluster
        .replica(0)
        .until("missed probes", |record| record.probes > before + 6)
        .await;
    assert_eq!(replica.address(), Some(here));
    let repository = cluster.repository_of(0);
    assert_eq!(
        writes(&cluster, 0, &repository).await.as_deref(),
        Some("zot-1")
    );
}
