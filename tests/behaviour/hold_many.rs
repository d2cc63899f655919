//! What many held requests cost those that are not held: when they are planned anew, and how they end.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Connection, Plan, eventually};
use crate::hold::{FOR_EVER, ended, in_dispute, reload_one, send_held, until_held};
use crate::hold_clients::forwarded;
use crate::moves::put;

/// Longer than a held request goes without a look, however many wait.
const SOME_LOOKS: Duration = Duration::from_secs(2);

/// How often held requests of a member were planned anew.
fn plans(cluster: &Cluster, at: usize) -> u64 {
    cluster.at(at).metric("shardlet_hold_plans_total") as u64
}

async fn some_looks() {
    let began = Instant::now();
    eventually("time to have passed", async || began.elapsed() > SOME_LOOKS).await;
}

async fn until_down(cluster: &Cluster, at: usize, id: &str) {
    eventually(&format!("{id} to be down"), async || {
        let series = format!("shardlet_peer_up{{member=\"{id}\"}}");
        cluster.at(at).metric(&series) == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_held_write_is_planned_anew_when_its_owner_changes_and_at_no_other_time() {
    let plan = Plan::of(3).eager_probes().set("writes", FOR_EVER);
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    until_down(&cluster, 0, "zot-2").await;
    let mut waiting = [
        send_held(&cluster, 0, &put(&repository)).await,
        send_held(&cluster, 0, &put(&repository)).await,
    ];
    // Another member is not waited for, nor is time.
    cluster.stop(2).await;
    until_down(&cluster, 0, "zot-3").await;
    some_looks().await;
    assert_eq!(plans(&cluster, 0), 0);

    cluster.restart_alone(1).await;
    for connection in &mut waiting {
        assert_eq!(connection.answer().await.status, 201);
    }
    assert!(plans(&cluster, 0) >= 2);
}

#[tokio::test]
async fn a_write_in_dispute_is_judged_anew_when_the_views_change_and_at_no_other_time() {
    let mut cluster = Cluster::start(in_dispute(FOR_EVER)).await;
    reload_one(&mut cluster).await;
    // One is to write, the other to forward.
    let mut waiting = [
        send_held(&cluster, 0, &put("moved/app")).await,
        send_held(&cluster, 1, &put("moved/app")).await,
    ];
    let before = [0, 1].map(|at| plans(&cluster, at));
    some_looks().await;
    assert_eq!([0, 1].map(|at| plans(&cluster, at)), before);

    assert!(cluster.reload(1, |plan| plan).await.taken);
    for connection in &mut waiting {
        assert_eq!(connection.answer().await.status, 201);
    }
}

/// Each has megabytes under way, perhaps, that are read away behind the answer.
#[tokio::test]
async fn writes_whose_time_is_over_in_one_moment_are_refused_one_after_the_other() {
    const WRITES: u32 = 100;
    let cluster = Cluster::start(Plan::of(2).insecure().set("writes", FOR_EVER)).await;
    let request = forwarded(&cluster, &cluster.repository_of(1));
    cluster.replica(1).stop().await;
    let end = Instant::now() + Duration::from_secs(3);
    let (mut waiting, mut told) = (Vec::new(), Duration::ZERO);
    for _ in 0..WRITES {
        let mut peer = Connection::open(cluster.plan().peer_address(1)).await;
        let left = end.saturating_duration_since(Instant::now());
        told += left;
        let left = left.as_millis().to_string();
        peer.send(request.clone().field("X-Shardlet-Hold", &left).bytes())
            .await;
        waiting.push(peer);
    }
    until_held(&cluster, 1, u64::from(WRITES)).await;
    for peer in &mut waiting {
        let answer = peer.answer().await;
        assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    }
    assert_eq!(ended(&cluster, 1, "timed_out"), u64::from(WRITES));
    let held = cluster
        .at(1)
        .metric("shardlet_hold_seconds_sum{ended=\"timed_out\"}");
    // A millisecond more for each than for the one before; half of that is for what is not in step.
    let in_turn = Duration::from_millis(1) * (WRITES * (WRITES - 1) / 2);
    let late = held - told.as_secs_f64();
    assert!(late > in_turn.as_secs_f64() / 2.0, "{late} s later in all");
}
