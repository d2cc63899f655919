//! What many held or refused requests cost the others: when they are planned anew, and how they end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Connection, Plan, Request, eventually, within};
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
    const WRITES: u32 = 150;
    let cluster = Cluster::start(Plan::of(2).insecure().set("writes", FOR_EVER)).await;
    let request = forwarded(&cluster, &cluster.repository_of(1));
    cluster.replica(1).stop().await;
    let end = Instant::now() + Duration::from_secs(5);
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
        // Or it had been noticed already when the last of them came.
        let (status, reason) = answer.refused();
        assert_eq!(status, 503);
        assert!(
            ["upstream_refused", "replica_down"].contains(&&*reason),
            "{reason}"
        );
    }
    assert_eq!(ended(&cluster, 1, "timed_out"), u64::from(WRITES));
    let held = cluster
        .at(1)
        .metric("shardlet_hold_seconds_sum{ended=\"timed_out\"}");
    // A millisecond more for each than for the one before; most of that is for a busy machine, on which
    // they do not arrive in step.
    let in_turn = Duration::from_millis(1) * (WRITES * (WRITES - 1) / 2);
    let late = held - told.as_secs_f64();
    assert!(late > in_turn.as_secs_f64() / 8.0, "{late} s later in all");
}

/// However fast they send what nobody wants any more.
#[tokio::test]
async fn what_refused_uploads_still_send_is_read_away_a_piece_at_a_time() {
    const UPLOADS: usize = 16;
    const PIECE: usize = 64 * 1024;
    // A piece in each millisecond of two seconds, and what the sockets hold.
    const MOST: usize = 2000 * PIECE + UPLOADS * 16 * 1024 * 1024;
    let mut cluster = Cluster::start(Plan::of(2)).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let target = format!("/v2/{repository}/blobs/uploads/id");
    let upload = Request::new("PATCH", &target).field("Content-Length", "1099511627776");
    let mut sending = Vec::new();
    for _ in 0..UPLOADS {
        let head = upload.head_bytes();
        let stream = TcpStream::connect(cluster.at(0).addresses().clients).await;
        let (mut answers, mut out) = stream.unwrap().into_split();
        sending.push(tokio::spawn(async move {
            out.write_all(&head).await.unwrap();
            let mut sent = 0;
            // Until it is cut off.
            while let Ok(written) = out.write(&[0; PIECE]).await {
                sent += written;
            }
            let mut answer = [0; 12];
            answers.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 503");
            sent
        }));
    }
    let mut sent = 0;
    for upload in sending {
        sent += within("an upload to be cut off", upload).await.unwrap();
    }
    assert!(PIECE < sent && sent < MOST, "{sent} bytes were taken");
}
