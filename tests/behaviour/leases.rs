//! Members that hold leases on a store: who joins, leaves, dies and comes back, and whether writes go on.

use shardlet::run::Drained;
use shardlet::shard::Repository;

use crate::cluster::replica::Seen;
use crate::cluster::{Cluster, Plan, Request, Step, eventually};
use crate::moves::{held_write, put};

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

pub fn plan(members: usize) -> Plan {
    Plan::of(members)
        .leased()
        .eager_probes()
        .set("writes", "hold: 20s")
        .set(
            "timeouts",
            "connect: 10s, request_header: 10s, idle: 10s, drain_delay: 0s, drain: 10s",
        )
}

async fn fleet(members: usize) -> Cluster {
    fleet_of(plan(members)).await
}

pub async fn fleet_of(plan: Plan) -> Cluster {
    let cluster = Cluster::start(plan).await;
    let members = cluster.plan().size();
    until_members(&cluster, 0..members, members).await;
    cluster
}

/// Waits until these members know so many.
pub async fn until_members(
    cluster: &Cluster,
    at: impl Iterator<Item = usize> + Clone,
    count: usize,
) {
    eventually("the members to know each other", async || {
        at.clone().all(|index| {
            let generation = cluster.at(index).generation();
            generation.view.members().owners().len() == count && cluster.at(index).takes_writes()
        })
    })
    .await;
}

/// Whose a repository is by the first member's view.
fn owner(cluster: &Cluster, repository: &str) -> String {
    let view = &cluster.at(0).generation().view;
    let owner = view.owner(&Repository::parse(repository).unwrap());
    view.members().get(owner).id.to_string()
}

/// One repository of each member, by its id.
fn repositories(cluster: &Cluster, viewer: usize) -> Vec<String> {
    let count = cluster.plan().size();
    (0..count)
        .map(|owner| cluster.repository_by(viewer, owner))
        .collect()
}

#[tokio::test]
async fn members_without_a_list_find_each_other_and_share_the_repositories() {
    let cluster = fleet(3).await;
    for (owner, repository) in repositories(&cluster, 0).iter().enumerate() {
        for at in 0..3 {
            let answer = cluster.at(at).ask(put(repository)).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let written_by = answer.field("x-replica");
            assert_eq!(written_by, Some(cluster.plan().id(owner).as_str()));
        }
    }
}

#[tokio::test]
async fn what_a_dead_member_owned_is_written_by_others_while_clients_wait() {
    let mut cluster = fleet(3).await;
    let [_, lost, _] = &repositories(&cluster, 0)[..] else {
        unreachable!()
    };
    cluster.stop(1).await;
    let answer = cluster.at(0).ask(put(lost)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_ne!(answer.field("x-replica"), Some("zot-2"));
    until_members(&cluster, [0, 2].into_iter(), 2).await;

    cluster.restart_alone(1).await;
    until_members(&cluster, 0..3, 3).await;
    let answer = cluster.at(0).ask(put(lost)).await;
    assert_eq!(answer.field("x-replica"), Some("zot-2"));
}

#[tokio::test]
async fn a_restart_in_good_order_keeps_the_place_of_a_member() {
    let mut cluster = fleet(3).await;
    let before = epoch(&cluster);
    let owned = repositories(&cluster, 0)[1].clone();
    cluster.take(1).server.drain().await;
    cluster.restart_alone(1).await;
    assert_is_back(&cluster, &owned, before).await;
}

#[tokio::test]
async fn a_restart_keeps_its_place_though_requests_wait_for_longer_than_its_drain() {
    let times = "connect: 10s, idle: 10s, drain_delay: 0s, drain: 2s";
    let mut cluster = Cluster::start(plan(3).set("timeouts", times)).await;
    until_members(&cluster, 0..3, 3).await;
    let before = epoch(&cluster);
    let owned = repositories(&cluster, 0)[1].clone();
    cluster.replica(1).stop().await;
    eventually("its replica to be down", async || {
        cluster.at(1).metric("shardlet_replica_up") == 0.0
    })
    .await;
    let mut waiting = cluster.at(1).connect().await;
    waiting.send(put(&owned).bytes()).await;
    assert!(waiting.is_silent().await);
    let drained = cluster.take(1).server.drain().await;
    assert_eq!(drained, Drained::Cut { requests: 1 });
    cluster.replica(1).start_again();
    cluster.restart_alone(1).await;
    assert_is_back(&cluster, &owned, before).await;
}

/// The epoch of the view in force.
fn epoch(cluster: &Cluster) -> u64 {
    cluster.at(0).server.status().leases.unwrap().epoch
}

/// The second member writes again what it owned before, and nobody has taken over anything.
async fn assert_is_back(cluster: &Cluster, owned: &str, before: u64) {
    let answer = cluster.at(0).ask(put(owned)).await;
    let by = answer.field("x-replica");
    assert_eq!((answer.status, by), (201, Some("zot-2")), "{answer:?}");
    assert_eq!(epoch(cluster), before);
}

#[tokio::test]
async fn who_leaves_first_finishes_what_its_replica_works_on() {
    let mut cluster = fleet(2).await;
    let repository = cluster.repository_by(0, 0);
    let (mut connection, gate) = held_write(&cluster, 0, &repository).await;
    let left = tokio::spawn(cluster.take(0).server.leave());
    eventually("the other member to know that one drains", async || {
        cluster
            .at(1)
            .metric("shardlet_peer_draining{member=\"zot-1\"}")
            == 1.0
    })
    .await;
    // It waits for as long as the first is not done.
    let mut waiting = cluster.at(1).connect().await;
    waiting.send(put(&repository).bytes()).await;
    assert!(waiting.is_silent().await && !left.is_finished());
    gate.open();
    assert_eq!(connection.answer().await.status, 201);
    let answer = waiting.answer().await;
    assert_eq!(
        (answer.status, answer.field("x-replica")),
        (201, Some("zot-2"))
    );
    left.await.unwrap();
    until_members(&cluster, [1].into_iter(), 1).await;
}

/// The third member ends. A repository that it takes from the first one when it is back.
async fn taken_by_third(cluster: &mut Cluster) -> String {
    let all = cluster.at(0).generation().view.clone();
    cluster.stop(2).await;
    until_members(cluster, [0, 1].into_iter(), 2).await;
    let moves = |name: &String| {
        let by_all = all.owner(&Repository::parse(name).unwrap());
        all.members().get(by_all).id.as_str() == "zot-3" && owner(cluster, name) == "zot-1"
    };
    let mut names = (0..).map(|at| format!("moving/app-{at}"));
    names.find(moves).unwrap()
}

#[tokio::test]
async fn a_write_waits_though_its_new_owner_does_not_let_it_wait() {
    let plan = plan(3).set_at(2, "writes", "hold: 0s");
    let mut cluster = fleet_of(plan).await;
    let repository = taken_by_third(&mut cluster).await;
    let (mut works, gate) = held_write(&cluster, 0, &repository).await;
    cluster.restart_alone(2).await;
    eventually("the third to be the owner", async || {
        let view = cluster.at(1).generation().view.clone();
        view.members().owners().len() == 3
    })
    .await;
    let mut waits = cluster.at(1).connect().await;
    waits.send(put(&repository).bytes()).await;
    eventually("the third to refuse it", async || {
        let refused = "shardlet_rejects_total{reason=\"handover\"}";
        cluster.at(2).metric(refused) >= 1.0
    })
    .await;
    gate.open();
    assert_eq!(works.answer().await.status, 201);
    let answer = waits.answer().await;
    assert_eq!(
        (answer.status, answer.field("x-replica")),
        (201, Some("zot-3")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_upload_that_takes_longer_than_a_handover_is_cut_before_its_last_byte() {
    let mut cluster = fleet(3).await;
    let repository = taken_by_third(&mut cluster).await;
    cluster
        .replica(0)
        .steps([Step::ReadBody, Step::say(CREATED)]);
    let mut connection = cluster.at(0).connect().await;
    let target = format!("/v2/{repository}/manifests/latest");
    let whole = Request::new("PUT", &target).body("12345678").bytes();
    connection.send(&whole[..whole.len() - 1]).await;
    cluster.replica(0).until_requests(1).await;

    cluster.restart_alone(2).await;
    let answer = connection.answer().await;
    assert_eq!(answer.refused(), (503, "handover".to_owned()), "{answer:?}");
    until_members(&cluster, 0..3, 3).await;
    let is_whole = |seen: &Seen| seen.body.as_ref().is_some_and(|body| body.length == 8);
    assert!(!cluster.replica(0).requests().iter().any(is_whole));
    let answer = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(
        (answer.status, answer.field("x-replica")),
        (201, Some("zot-3"))
    );
}

#[tokio::test]
async fn bodies_of_all_sizes_and_framings_arrive_whole() {
    let cluster = fleet(1).await;
    let repository = cluster.repository_by(0, 0);
    let target = format!("/v2/{repository}/blobs/uploads/1");
    cluster
        .replica(0)
        .steps([Step::ReadBody, Step::say(CREATED)]);
    for size in [0, 1, 2, 8 * 1024, 8 * 1024 + 1, 64 * 1024, 3 * 1024 * 1024] {
        let body = vec![b'x'; size];
        for request in [
            Request::new("PATCH", &target).body(body.clone()),
            Request::new("PATCH", &target).chunked(&body, 10_000, ""),
        ] {
            let answer = cluster.at(0).ask(request).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let seen = cluster.replica(0).requests().pop().unwrap();
            let arrived = seen.body.map_or(0, |body| body.length);
            assert_eq!(arrived, size as u64);
        }
    }
}

/// The members of a plan whose writes are refused at once where they would wait.
fn hasty(members: usize) -> Plan {
    plan(members).listed().set("writes", "hold: 0s")
}

/// What a write to each of these gets, through each member.
async fn statuses(cluster: &Cluster, repositories: &[String]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for repository in repositories {
        for at in 0..cluster.plan().size() {
            statuses.push(cluster.at(at).ask(put(repository)).await.status);
        }
    }
    statuses
}

/// Starts one member after the other by another plan. While two work by lists and one by a lease, or the
/// other way round, nobody writes.
async fn change_over(cluster: &mut Cluster, repositories: &[String], change: fn(Plan) -> Plan) {
    for index in 0..cluster.plan().size() {
        cluster.take(index).server.drain().await;
        cluster.configure(index, change);
        cluster.restart_alone(index).await;
        let is_last = index + 1 == cluster.plan().size();
        let expected = if is_last { 201 } else { 503 };
        eventually("all writes to be answered alike", async || {
            let statuses = statuses(cluster, repositories).await;
            statuses.iter().all(|status| *status == expected)
        })
        .await;
    }
}

#[tokio::test]
async fn members_that_are_listed_too_see_each_other_up() {
    let cluster = Cluster::start(plan(3).leased_and_listed()).await;
    until_members(&cluster, 0..3, 3).await;
    // By the list they were members already, and by the first view of the store they were not.
    eventually("each to see the others up", async || {
        (0..3).all(|at| {
            let others = (0..3).filter(|other| *other != at);
            let ids = others.map(|other| cluster.plan().id(other));
            ids.into_iter().all(|id| {
                let series = format!("shardlet_peer_up{{member=\"{id}\"}}");
                cluster.at(at).metric(&series) == 1.0
            })
        })
    })
    .await;
}

#[tokio::test]
async fn lists_give_way_to_leases_and_come_back_without_a_second_writer() {
    let mut cluster = Cluster::start(hasty(3)).await;
    let repositories: Vec<String> = (0..3).map(|at| cluster.repository_of(at)).collect();
    change_over(&mut cluster, &repositories, Plan::leased_and_listed).await;
    until_members(&cluster, 0..3, 3).await;
    for (index, repository) in repositories.iter().enumerate() {
        assert_eq!(owner(&cluster, repository), cluster.plan().id(index));
    }
    change_over(&mut cluster, &repositories, Plan::listed).await;
}

#[tokio::test]
async fn pins_go_into_the_view_without_a_restart_once_all_files_have_them() {
    let mut cluster = fleet(3).await;
    let repository = "pinned/app";
    let before = owner(&cluster, repository);
    let to = if before == "zot-2" { "zot-1" } else { "zot-2" };
    let pinned = format!(
        "hash_key: 000102030405060708090a0b0c0d0e0f, pins: [{{ prefix: pinned, member: {to} }}]"
    );
    let waits_for = |cluster: &Cluster| {
        let leases = cluster.at(0).server.status().leases;
        leases.and_then(|leases| leases.policy_waits_for)
    };
    for at in 0..2 {
        let reloaded = cluster
            .reload(at, |plan| plan.set("cluster", &pinned))
            .await;
        assert!(reloaded.taken, "{reloaded:?}");
        assert!(!reloaded.needs_restart.contains(&"cluster.pins".to_owned()));
    }
    eventually("the last file to be waited for", async || {
        waits_for(&cluster).as_deref() == Some("zot-3")
    })
    .await;
    assert_eq!(owner(&cluster, repository), before);

    cluster.reload(2, |plan| plan.set("cluster", &pinned)).await;
    eventually("the pin to be in the view", async || {
        owner(&cluster, repository) == to && waits_for(&cluster).is_none()
    })
    .await;
    let answer = cluster.at(0).ask(put(repository)).await;
    assert_eq!((answer.status, answer.field("x-replica")), (201, Some(to)));
    let history = cluster.at(0).server.status().leases.unwrap().history;
    assert!(history[0].policy, "{history:?}");
}

#[tokio::test]
async fn a_status_tells_of_every_lease_and_of_the_last_views() {
    let mut cluster = fleet(3).await;
    let lease = |cluster: &Cluster, at: usize| {
        let status = cluster.at(0).server.status();
        status.view.members[at].lease.clone().unwrap_or_default()
    };
    for at in 0..3 {
        eventually("each member to tell of its lease", async || {
            let lease = lease(&cluster, at);
            lease.told_by == "member" && lease.left_ms.is_some_and(|left| left > 0)
        })
        .await;
        assert_eq!(lease(&cluster, at).state, "live");
    }
    let before = lease(&cluster, 1).incarnation;
    assert!(before > 0);
    cluster.stop(1).await;
    eventually("a dead member's lease to be watched", async || {
        let lease = lease(&cluster, 1);
        lease.told_by == "store" && lease.falls_in_ms.is_some()
    })
    .await;
    until_members(&cluster, [0, 2].into_iter(), 2).await;
    let history = |cluster: &Cluster| cluster.at(0).server.status().leases.unwrap().history;
    let last = history(&cluster).remove(0);
    assert_eq!((last.fenced, last.members), (vec!["zot-2".to_owned()], 2));

    cluster.restart_alone(1).await;
    until_members(&cluster, 0..3, 3).await;
    let last = history(&cluster).remove(0);
    assert_eq!((last.came, last.members), (vec!["zot-2".to_owned()], 3));
    eventually("it to tell of its next incarnation", async || {
        lease(&cluster, 1).incarnation > before
    })
    .await;
}
