//! Writes on their hop to an owner that is about to be none any more, or says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde_json::json;
use shardlet::shard::Access;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::cluster::h2_client::H2Client;
use crate::cluster::link::{Before, Flow, Way};
use crate::cluster::message::{Framing, read_body, read_head, sha256};
use crate::cluster::{Answer, Cluster, Connection, Plan, Request, Step, eventually, within};
use crate::hold::{FOR_EVER, send_held, until_held};
use crate::hold_clients::as_owner;
use crate::leases::{fleet_of, plan, until_members};
use crate::moves::{held_write, put};

/// So much of a body is sent first.
const PART: usize = 64 * 1024;
/// The size of [`large_body`].
const LARGE: usize = 8 * 1024 * 1024;
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

/// More than is kept to be sent again, and more than sockets take at once.
pub fn large_body() -> Vec<u8> {
    // Copied, since leases run out while a debug build computes so many bytes.
    let period: Vec<u8> = (0..7 * 256).map(|at: u32| (at / 7) as u8).collect();
    let mut body = period.repeat(LARGE.div_ceil(period.len()));
    body.truncate(LARGE);
    body
}

pub fn large(repository: &str) -> Request {
    Request::new("PUT", &format!("/v2/{repository}/manifests/large")).body(large_body())
}

/// Large pushes under way, with a length and in chunks, over HTTP/1 and HTTP/2. Each gives its status.
pub async fn large_pushes(cluster: &Cluster, at: usize, repository: &str) -> Vec<JoinHandle<u16>> {
    let body = large_body();
    let target = |path: &str| format!("/v2/{repository}/{path}");
    let mut pushes = Vec::new();
    let patch = Request::new("PATCH", &target("blobs/uploads/id"));
    let asks_first = large(repository).field("Expect", "100-continue");
    for request in [
        large(repository),
        patch.chunked(&body, 100_000, ""),
        Request::new("POST", &target("blobs/uploads/")).body(body.clone()),
        asks_first,
    ] {
        let mut connection = cluster.at(at).connect().await;
        pushes.push(tokio::spawn(async move {
            connection.ask_while_sending(&request).await.status
        }));
    }
    let with_length = H2Client::request("PUT", &target("manifests/large"))
        .header("content-length", body.len().to_string());
    for request in [
        with_length,
        H2Client::request("PATCH", &target("blobs/uploads/id")),
    ] {
        let mut client = cluster.at(at).h2().await;
        let body = Bytes::from(body.clone());
        pushes.push(tokio::spawn(async move {
            client.upload(request, body).await.unwrap().status
        }));
    }
    pushes
}

/// How often the large body has come to a replica as a whole.
pub fn arrived(cluster: &Cluster, at: usize) -> usize {
    let sum = sha256(&large_body());
    let seen = cluster.replica(at).requests();
    let bodies = seen.iter().filter_map(|seen| seen.body.as_ref());
    bodies
        .filter(|body| body.whole && body.sha256 == sum)
        .count()
}

#[tokio::test]
async fn large_pushes_through_others_go_to_the_next_owner_when_theirs_leaves() {
    let mut cluster = fleet_of(plan(3).client_tls()).await;
    let repository = cluster.repository_by(0, 1);
    let (mut last, gate) = held_write(&cluster, 1, &repository).await;
    for at in [0, 2] {
        cluster
            .replica(at)
            .steps([Step::ReadBody, Step::say(CREATED)]);
    }
    // It admits no more, and the others' view is the same until its last write is done.
    let left = tokio::spawn(cluster.take(1).server.leave());
    let mut small = send_held(&cluster, 0, &put(&repository)).await;
    let pushes = large_pushes(&cluster, 0, &repository).await;
    until_held(&cluster, 0, 1 + pushes.len() as u64).await;

    gate.open();
    assert_eq!(last.answer().await.status, 201);
    assert_eq!(small.answer().await.status, 201);
    let count = pushes.len();
    for push in pushes {
        assert_eq!(push.await.unwrap(), 201);
    }
    assert_eq!(arrived(&cluster, 0) + arrived(&cluster, 2), count);
    assert_eq!(cluster.replica(1).requests().len(), 1);
    left.await.unwrap();
    until_members(&cluster, [0, 2].into_iter(), 2).await;
}

#[tokio::test]
async fn writes_that_wait_for_a_busy_replica_go_to_the_next_owner_when_their_member_leaves() {
    let busy = "max_in_flight: 1, queue: { limit: 10, timeout: 60s }";
    let mut cluster = fleet_of(plan(3).set_at(1, "registry", busy)).await;
    let repository = cluster.repository_by(0, 1);
    let (mut last, gate) = held_write(&cluster, 1, &repository).await;
    let mut waiting = Vec::new();
    for (at, request) in [
        (0, put(&repository)),
        (0, large(&repository)),
        (1, put(&repository)),
        (1, large(&repository)),
    ] {
        let mut connection = cluster.at(at).connect().await;
        waiting.push(tokio::spawn(async move {
            connection.ask_while_sending(&request).await
        }));
    }
    until_queued(&cluster, waiting.len()).await;
    let owner = cluster.at(1).generation();
    let left = tokio::spawn(cluster.take(1).server.leave());
    eventually("them to leave the queue", async || {
        owner.replica().places.waiting(Access::Write) == 0
    })
    .await;
    until_held(&cluster, 0, 2).await;
    assert_eq!(cluster.replica(1).requests().len(), 1);

    gate.open();
    assert_eq!(last.answer().await.status, 201);
    for waited in waiting {
        let answer = waited.await.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_ne!(answer.field("x-replica"), Some("zot-2"));
    }
    assert_eq!(cluster.replica(1).requests().len(), 1);
    left.await.unwrap();
}

/// Waits until so many writes wait for the second member's replica.
async fn until_queued(cluster: &Cluster, count: usize) {
    let owner = cluster.at(1).generation();
    eventually("writes to wait for their places", async || {
        owner.replica().places.waiting(Access::Write) == count
    })
    .await;
}

/// The second member's replica works on one write of a repository, and another large one waits for its place.
/// Both came through the first member.
async fn busy_owner(cluster: &Cluster, repository: &str) -> [Connection; 2] {
    cluster.replica(1).steps([Step::ReadBody, Step::Stall]);
    let mut works = cluster.at(0).connect().await;
    let before = cluster.replica(1).requests().len();
    works.send(put(repository).bytes()).await;
    cluster.replica(1).until_requests(before + 1).await;
    let mut waits = cluster.at(0).connect().await;
    // No more than the sockets take: nobody reads it.
    waits.send(&large(repository).bytes()[..PART]).await;
    until_queued(cluster, 1).await;
    [works, waits]
}

#[tokio::test]
async fn writes_at_a_member_that_went_silent_end_when_it_is_out_of_the_view() {
    let plan = plan(3)
        .link(Before::Peers(1))
        .set("writes", FOR_EVER)
        .set("timeouts", "connect: 10s, idle: 60s, drain_delay: 0s")
        // Two of them for writes.
        .set_at(1, "registry", "max_in_flight: 3");
    let mut cluster = fleet_of(plan).await;
    let repository = cluster.repository_by(0, 1);
    // Some of its body is at the replica, and the rest is still to come.
    cluster.replica(1).keep_bytes();
    let mut comes = cluster.at(0).connect().await;
    comes.send(&large(&repository).bytes()[..PART]).await;
    eventually("some of the body to arrive", async || {
        cluster.replica(1).bytes().len() > PART / 2
    })
    .await;
    let [mut works, mut waits] = busy_owner(&cluster, &repository).await;
    let link = cluster.link(Before::Peers(1));
    link.flows(Way::There, Flow::Still);
    link.flows(Way::Back, Flow::Still);
    cluster.stop(1).await;

    // Its replica may have written it, and nobody will tell.
    let answer = works.answer().await;
    let refused = answer.refused();
    assert_eq!(refused, (504, "upstream_timeout".to_owned()), "{answer:?}");
    // It cannot have been written, but some of its body is gone.
    let answer = comes.answer().await;
    assert_eq!(
        answer.refused(),
        (503, "owner_down".to_owned()),
        "{answer:?}"
    );
    // Nothing of its body was sent.
    waits.send(&large(&repository).bytes()[PART..]).await;
    let answer = waits.answer().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // While its owner died, a place there was free: its head may have reached that replica, and no more.
    let arrived = [0, 1, 2].map(|at| arrived(&cluster, at));
    assert_eq!((arrived[0] + arrived[2], arrived[1]), (1, 0));
}

#[tokio::test]
async fn a_large_write_whose_owner_dies_before_it_takes_the_body_waits_for_it() {
    let plan = Plan::of(2)
        .set("writes", FOR_EVER)
        .set_at(1, "registry", "max_in_flight: 1");
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    let [mut works, mut waits] = busy_owner(&cluster, &repository).await;
    cluster.stop(1).await;
    assert_eq!(
        works.answer().await.refused(),
        (502, "upstream_reset".into())
    );
    until_held(&cluster, 0, 1).await;

    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::say(CREATED)]);
    cluster.restart(1).await;
    waits.send(&large(&repository).bytes()[PART..]).await;
    assert_eq!(waits.answer().await.status, 201);
    // Its head may have come before too, as above.
    assert_eq!(arrived(&cluster, 1), 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_is_taken_gives_its_places_back() {
    let plan = Plan::of(2).set_at(1, "registry", "max_in_flight: 1");
    let cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    let [works, waits] = busy_owner(&cluster, &repository).await;
    drop(waits);
    let owner = cluster.at(1).generation();
    eventually("its place in the queue to be free", async || {
        owner.replica().places.waiting(Access::Write) == 0
    })
    .await;
    drop(works);
    assert_eq!(cluster.replica(1).requests().len(), 1);
}

#[tokio::test]
async fn only_large_writes_wait_for_their_owners_invitation() {
    let cluster = Cluster::start(Plan::of(2).link(Before::Peers(1))).await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/manifests/latest");
    let small = || Request::new("PUT", &target).body(vec![b'x'; 16 * 1024]);
    let read = || Request::get(&format!("/v2/{repository}/tags/list"));
    let mut clients: Vec<Connection> = Vec::new();
    for request in [small(), read(), large(&repository)] {
        let mut connection = cluster.at(0).connect().await;
        assert!(connection.ask_while_sending(&request).await.status < 300);
        clients.push(connection);
    }
    let link = cluster.link(Before::Peers(1));
    link.flows(Way::Back, Flow::Still);
    for (count, connection) in clients[..2].iter_mut().enumerate() {
        let request = if count == 0 { small() } else { read() };
        connection.send(request.bytes()).await;
        let whole = |seen: &crate::cluster::replica::Record| {
            let new = seen.requests.get(3 + count);
            new.is_some_and(|seen| count > 0 || seen.body.as_ref().is_some_and(|body| body.whole))
        };
        cluster.replica(1).until("a whole request", whole).await;
    }
    let sent = link.carried(Way::There);
    clients[2].send(&large(&repository).bytes()[..PART]).await;
    cluster.replica(1).until_requests(6).await;
    assert!(link.carried(Way::There) - sent < 4096, "the head alone");

    link.flows(Way::Back, Flow::Free);
    clients[2].send(&large(&repository).bytes()[PART..]).await;
    for connection in &mut clients {
        assert!(connection.answer().await.status < 300);
    }
    assert_eq!(arrived(&cluster, 1), 2);
}

/// Answers as a member of an earlier release in place of the second one, and from the first question on that it
/// is asked while `is_new` as one of this. Gives the size of each body that has come.
fn earlier_release(
    cluster: &Cluster,
    is_new: Arc<AtomicBool>,
) -> tokio::sync::mpsc::UnboundedReceiver<u64> {
    let owner = as_owner(cluster);
    let view = cluster.at(0).generation().view.fingerprint().to_string();
    let (told, bodies) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = owner.accept().await {
            tokio::spawn(serve_as_earlier(
                stream,
                view.clone(),
                is_new.clone(),
                told.clone(),
            ));
        }
    });
    bodies
}

async fn serve_as_earlier(
    stream: TcpStream,
    view: String,
    is_new: Arc<AtomicBool>,
    told: tokio::sync::mpsc::UnboundedSender<u64>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(head)) = read_head(&mut reader).await {
        let answer = if head.start.contains("/-/shardlet/state") {
            let mut state = json!({ "member": "zot-2", "replica_up": true, "draining": false,
                "view": view, "start": "ab", "up_ms": 7, "replica": "10.0.0.1:5001", "vouches": true });
            if is_new.load(Ordering::Relaxed) {
                state["invites"] = json!(true);
            }
            let text = state.to_string();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            )
        } else {
            let asks = head.one("x-shardlet-invite").is_some();
            assert_eq!(asks, is_new.load(Ordering::Relaxed));
            let _ = told.send(0);
            let body = read_body(
                &mut reader,
                head.framing().unwrap_or(Framing::Length(0)),
                false,
            )
            .await;
            assert!(body.whole);
            let _ = told.send(body.length);
            CREATED.to_owned()
        };
        writer.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn an_owner_of_an_earlier_release_is_sent_the_body_unasked() {
    let plan = Plan::of(2)
        .insecure()
        .eager_probes()
        .set("writes", FOR_EVER);
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let is_new = Arc::new(AtomicBool::new(true));
    let mut bodies = earlier_release(&cluster, is_new.clone());
    let size = large_body().len() as u64;
    let mut client = cluster.at(0).connect().await;
    let request = large(&repository);
    let asking = tokio::spawn(async move {
        let answer: Answer = client.ask_while_sending(&request).await;
        answer.status
    });
    // It was restarted as another release, which is told with its next answer.
    let mut told = async || within("what the owner was sent", bodies.recv()).await;
    assert_eq!(told().await, Some(0));
    is_new.store(false, Ordering::Relaxed);
    assert_eq!(told().await, Some(size));
    assert_eq!(asking.await.unwrap(), 201);
    // From now on it is not asked.
    let mut client = cluster.at(0).connect().await;
    let answer = client.ask_while_sending(&large(&repository)).await;
    assert_eq!(answer.status, 201);
    assert_eq!((told().await, told().await), (Some(0), Some(size)));
}
