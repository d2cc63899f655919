//! Repositories that move to another owner, or to another replica: nobody writes while there is doubt.

use std::time::{Duration, Instant};

use crate::cluster::link::{Before, Flow, Way};
use crate::cluster::{Cluster, End, Plan, eventually};
use crate::moves::{held_write, pinned_to, put, serves};

fn peers_agree(cluster: &Cluster) -> bool {
    (0..cluster.plan().size()).all(|at| {
        let member = cluster.at(at);
        member.takes_writes() && member.warnings().is_empty()
    })
}

/// The new owner would be a second writer, as long as the old one is at work.
#[tokio::test]
async fn a_repository_that_moves_is_not_written_before_its_old_owner_is_done() {
    let mut cluster = Cluster::start(
        Plan::of(2)
            .eager_probes()
            .set("cluster", &pinned_to("zot-1")),
    )
    .await;
    let (mut slow, gate) = held_write(&cluster, 0, "moved/app").await;

    for at in [0, 1] {
        let reloaded = cluster
            .reload(at, |plan| plan.set("cluster", &pinned_to("zot-2")))
            .await;
        assert!(reloaded.taken, "{:?}", reloaded.problems);
    }
    eventually("the new owner to have asked", async || {
        cluster.at(1).takes_writes()
    })
    .await;
    for at in [0, 1] {
        let answer = cluster.at(at).ask(put("moved/app")).await;
        assert_eq!(answer.refused(), (503, "views_differ".into()));
        assert_eq!(cluster.at(at).ask(put(&other(&cluster))).await.status, 201);
    }
    assert!(
        cluster
            .replica(1)
            .requests()
            .iter()
            .all(|seen| !seen.target.contains("moved/"))
    );

    gate.open();
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.end), (201, End::Whole));
    eventually("the new owner to write", async || {
        cluster.at(1).ask(put("moved/app")).await.status == 201
    })
    .await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
}

/// Of the second member, by every view of these tests.
fn other(cluster: &Cluster) -> String {
    cluster.repository_of(1)
}

#[tokio::test]
async fn a_member_that_was_taken_off_the_list_is_waited_for_until_it_is_silent() {
    let plan = Plan::of(3).eager_probes().certificate_of(2, &["zot-3"]);
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    let moved = cluster.repository_of(2);
    assert_eq!(cluster.at(2).ask(put(&moved)).await.status, 201);
    for at in [0, 1] {
        let reloaded = cluster.reload(at, |plan| plan.without(2)).await;
        assert!(reloaded.taken, "{:?}", reloaded.problems);
    }
    // It is turned away by its peers now, so it cannot know what they write.
    eventually("the former member to write no more", async || {
        cluster.at(2).ask(put(&moved)).await.status == 503
    })
    .await;
    let before = (
        cluster.replica(0).requests().len(),
        cluster.replica(1).requests().len(),
    );
    for at in [0, 1] {
        let refused = cluster.at(at).ask(put(&moved)).await;
        assert_eq!(refused.refused(), (503, "views_differ".into()));
    }
    let after = (
        cluster.replica(0).requests().len(),
        cluster.replica(1).requests().len(),
    );
    assert_eq!(before, after);
    let steady = cluster.repository_by(2, 0);
    assert_eq!(cluster.at(1).ask(put(&steady)).await.status, 201);

    cluster.stop(2).await;
    eventually("the others to write what it owned", async || {
        cluster.at(0).ask(put(&moved)).await.status == 201
    })
    .await;
}

/// It is turned away, and its handshake says that it lives.
#[tokio::test]
async fn a_member_off_the_list_that_still_calls_counts_as_alive_though_it_cannot_be_called() {
    const AFTERMATH: Duration = Duration::from_secs(2);
    let timeouts = "idle: 10s, aftermath: 2s, drain: 0s, drain_delay: 0s";
    let plan = Plan::of(3)
        .eager_probes()
        .certificate_of(2, &["zot-3"])
        .link(Before::Peers(0))
        .link(Before::Peers(1))
        .link(Before::Peers(2));
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    let moved = cluster.repository_of(2);
    let (_slow, _gate) = held_write(&cluster, 2, &moved).await;

    let link = cluster.link(Before::Peers(2));
    link.refuses().await;
    link.tears();
    for at in [0, 1] {
        let probes = "interval: 100ms, timeout: 1s, rise: 1, fall: 1";
        let change = |plan: Plan| {
            plan.without(2)
                .set("timeouts", timeouts)
                .set("probes", probes)
        };
        let reloaded = cluster.reload(at, change).await;
        assert!(reloaded.taken, "{:?}", reloaded.problems);
        // Connections from before were let in, and stay so.
        cluster.link(Before::Peers(at)).tears();
    }
    let began = Instant::now();
    eventually("twice that time to be over", async || {
        let (status, why) = cluster.at(0).ask(put(&moved)).await.refused();
        assert_eq!(status, 503, "{why} after {:?}", began.elapsed());
        began.elapsed() > 2 * AFTERMATH
    })
    .await;
    assert_eq!(cluster.requests_elsewhere(2), 0);

    cluster.stop(2).await;
    eventually("the others to write what it owned", async || {
        cluster.at(0).ask(put(&moved)).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn a_member_that_its_peers_do_not_list_writes_nothing() {
    let plan = Plan::of(3)
        .eager_probes()
        .certificate_of(2, &["zot-3"])
        .lists_at(0, &[0, 1])
        .lists_at(1, &[0, 1]);
    let cluster = Cluster::start(plan).await;
    let own = cluster.repository_by(2, 2);
    let answer = cluster.at(2).ask(put(&own)).await;
    assert_eq!(answer.refused(), (503, "views_differ".into()));
    assert_eq!(cluster.replica(2).requests().len(), 0);
    let told = cluster.at(2).warnings();
    assert!(
        told.contains("a view in which this member is none"),
        "{told}"
    );
    // The others agree with each other, and with it on what is theirs.
    let theirs = cluster.repository_by(2, 0);
    assert_eq!(cluster.at(1).ask(put(&theirs)).await.status, 201);
}

#[tokio::test]
async fn a_dead_member_can_be_taken_off_the_list() {
    let plan = Plan::of(3).eager_probes();
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    let moved = cluster.repository_of(2);
    cluster.stop(2).await;
    eventually("it to be seen down", async || {
        [0, 1].iter().all(|at| {
            let up = "shardlet_peer_up{member=\"zot-3\"}";
            cluster.at(*at).metric(up) < 1.0
        })
    })
    .await;
    for at in [0, 1] {
        let reloaded = cluster.reload(at, |plan| plan.without(2)).await;
        assert!(reloaded.taken, "{:?}", reloaded.problems);
    }
    eventually("the others to write what it owned", async || {
        cluster.at(0).ask(put(&moved)).await.status == 201
    })
    .await;
}

/// Two processes of a registry would have two locks.
#[tokio::test]
async fn another_replica_writes_nothing_before_the_one_before_it_is_done() {
    let cluster = Cluster::start(Plan::of(2)).await;
    let repository = cluster.repository_of(0);
    let (mut slow, gate) = held_write(&cluster, 0, &repository).await;

    let file = &cluster.at(0).file;
    let text = std::fs::read_to_string(file).unwrap();
    let [old, new] = [0, 1].map(|at| cluster.replica(at).address.to_string());
    std::fs::write(file, text.replace(&old, &new)).unwrap();
    assert!(cluster.at(0).server.reload().await.taken);
    eventually("the peer to have been told", async || {
        cluster.at(0).takes_writes()
    })
    .await;
    let refused = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(refused.refused(), (503, "reloading".into()));
    assert_eq!(
        serves(&cluster, 0, &repository).await.as_deref(),
        Some("zot-2")
    );

    gate.open();
    assert_eq!(slow.answer().await.status, 201);
    assert_eq!(cluster.at(0).ask(put(&repository)).await.status, 201);
    assert_eq!(cluster.replica(1).requests().last().unwrap().method, "PUT");
}

#[tokio::test]
async fn what_a_member_told_counts_when_its_address_changes() {
    let plan = Plan::of(2)
        .eager_probes()
        .set("cluster", &pinned_to("zot-2"));
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    let own = |plan: Plan| plan.set_at(0, "cluster", &pinned_to("zot-1"));
    assert!(cluster.reload(0, own).await.taken);
    eventually("the peer to have been asked", async || {
        cluster.at(0).takes_writes()
    })
    .await;
    let refused = cluster.at(0).ask(put("moved/app")).await;
    assert_eq!(refused.refused(), (503, "views_differ".into()));

    let file = &cluster.at(0).file;
    let text = std::fs::read_to_string(file).unwrap();
    let nobody = text.replace(
        &cluster.plan().peer_address(1).to_string(),
        &format!("{}:1", cluster.plan().ip()),
    );
    std::fs::write(file, nobody).unwrap();
    assert!(cluster.at(0).server.reload().await.taken);
    eventually("the new address to have been asked", async || {
        cluster.at(0).takes_writes()
    })
    .await;
    let refused = cluster.at(0).ask(put("moved/app")).await;
    assert_eq!(refused.refused(), (503, "views_differ".into()));
}

/// A cluster in which the first member has died under one view and is back with the one that the second has by now.
async fn back_from_the_dead(before: &str, after: &str) -> Cluster {
    let timeouts = "idle: 10s, aftermath: 1h, drain: 0s, drain_delay: 0s";
    let plan = Plan::of(2).eager_probes().set("cluster", before);
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    for at in [0, 1] {
        let reloaded = cluster.reload(at, |plan| plan.set("timeouts", timeouts));
        assert!(reloaded.await.taken);
    }
    cluster.stop(0).await;
    let reloaded = cluster.reload(1, |plan| plan.set("cluster", after)).await;
    assert!(reloaded.taken);
    cluster.restart(0).await;
    eventually("the new process to have told its view", async || {
        cluster
            .at(1)
            .metric("shardlet_peer_view_same{member=\"zot-1\"}")
            > 0.0
    })
    .await;
    cluster
}

/// Its replica has not died with it, and may still be at work.
#[tokio::test]
async fn what_a_member_that_died_was_writing_is_waited_for() {
    let cluster = back_from_the_dead(&pinned_to("zot-1"), &pinned_to("zot-2")).await;
    let refused = cluster.at(1).ask(put("moved/app")).await;
    assert_eq!(refused.refused(), (503, "views_differ".into()));
    let steady = cluster.repository_of(1);
    assert_eq!(cluster.at(0).ask(put(&steady)).await.status, 201);
}

/// Its new process agrees, and does not know what the old one was writing.
#[tokio::test]
async fn what_a_member_that_died_with_another_key_was_writing_is_waited_for() {
    let [before, after] = ["00", "0f"].map(|byte| format!("hash_key: {}", byte.repeat(16)));
    let cluster = back_from_the_dead(&before, &after).await;
    let repository = cluster.repository_of(1);
    let refused = cluster.at(1).ask(put(&repository)).await;
    assert_eq!(refused.refused(), (503, "views_differ".into()));
    assert_eq!(cluster.replica(1).requests().len(), 0);
}

/// It may be writing under whatever view it has.
#[tokio::test]
async fn a_peer_that_is_there_and_cannot_be_asked_counts_as_alive() {
    let plan = Plan::of(2)
        .eager_probes()
        .link(Before::Peers(1))
        .set("cluster", &pinned_to("zot-1"));
    let mut cluster = Cluster::start(plan).await;
    eventually("all to agree", async || peers_agree(&cluster)).await;
    let steady = cluster.repository_of(0);
    let link = cluster.link(Before::Peers(1));
    // Connections are taken, and end in the handshake.
    link.flows(Way::Back, Flow::Ended);
    link.tears();
    let reloaded = cluster
        .reload(0, |plan| {
            // Without, an unanswered question would be enough.
            plan.set("cluster", &pinned_to("zot-2")).set(
                "timeouts",
                "idle: 10s, aftermath: 30m, drain: 0s, drain_delay: 0s",
            )
        })
        .await;
    assert!(reloaded.taken);
    let refused = cluster.at(0).ask(put(&steady)).await;
    assert_eq!(refused.refused(), (503, "starting".into()));
    cluster.link(Before::Peers(1)).flows(Way::Back, Flow::Free);
    eventually("writes to be taken", async || {
        cluster.at(0).ask(put(&steady)).await.status == 201
    })
    .await;
}

/// Half an hour would have to pass otherwise: nobody is left who could tell.
#[tokio::test]
async fn a_fleet_that_starts_as_a_whole_goes_by_what_each_member_has_kept() {
    let key = "hash_key: 000102030405060708090a0b0c0d0e0f";
    let mut plan = Plan::of(3).eager_probes();
    for at in 0..3 {
        let own: &'static str = format!("{key}, state: state-{at}").leak();
        plan = plan.set_at(at, "cluster", own);
    }
    let mut cluster = Cluster::start(plan).await;
    let timeouts = "idle: 10s, aftermath: 30m, drain: 0s, drain_delay: 0s";
    for at in 0..3 {
        let reloaded = cluster.reload(at, |plan| plan.set("timeouts", timeouts));
        assert!(reloaded.await.taken);
    }
    let names: Vec<_> = (0..3).map(|owner| cluster.repository_of(owner)).collect();
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.restart_alone(at).await;
    }
    for name in &names {
        eventually("writes to be taken", async || {
            cluster.at(0).ask(put(name)).await.status == 201
        })
        .await;
    }

    // One has lost its folder, so nobody knows what it was writing.
    for at in 0..3 {
        cluster.stop(at).await;
    }
    std::fs::remove_dir_all(cluster.folder.path().join("state-1")).unwrap();
    for at in 0..3 {
        cluster.restart_alone(at).await;
    }
    eventually("all to have asked", async || {
        (0..3).all(|at| cluster.at(at).has_asked())
    })
    .await;
    for (owner, name) in names.iter().enumerate() {
        let refused = cluster.at(owner).ask(put(name)).await;
        assert_eq!(refused.refused(), (503, "starting".into()), "{name}");
    }
}
