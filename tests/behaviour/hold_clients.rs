//! Clients whose requests are held: what they may leave behind, and what they may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardlet::run::Drained;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::cluster::h2_client::{H2Client, send_all};
use crate::cluster::message::sha256;
use crate::cluster::{Cluster, Connection, Gate, Plan, Request, Step, eventually, within};
use crate::hold::{FOR_EVER, ended, held, send_held, until_held};
use crate::moves::put;

const MIB: usize = 1024 * 1024;
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

/// Of two members, the owner of the repository is gone.
async fn without_the_owner(plan: Plan) -> (Cluster, String) {
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    (cluster, repository)
}

fn upload(repository: &str) -> Request {
    Request::new("PATCH", &format!("/v2/{repository}/blobs/uploads/id"))
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back_at_once() {
    let (mut cluster, repository) = without_the_owner(Plan::of(2).set("writes", FOR_EVER)).await;
    let announced = upload(&repository).field("Content-Length", "67108864");
    let waits_for_us = announced.clone().field("Expect", "100-continue");
    let on_its_way =
        |request: &Request, body: &[u8]| [request.head_bytes(), body.to_vec()].concat();
    let leaving = [
        upload(&repository).body("").bytes(),
        Request::new("DELETE", &format!("/v2/{repository}/manifests/latest")).bytes(),
        put(&repository).bytes(),
        on_its_way(&announced, &[b'x'; 10_000]),
        on_its_way(&waits_for_us, b""),
    ];
    for (count, bytes) in (1..).zip(leaving) {
        let mut client = cluster.at(0).connect().await;
        client.send(bytes).await;
        until_held(&cluster, 0, 1).await;
        drop(client);
        until_held(&cluster, 0, 0).await;
        assert_eq!(ended(&cluster, 0, "client_gone"), count);
    }
    let gone = |line: &serde_json::Value| line["ended"] == "client_gone" && line["status"] == 499;
    cluster.at(0).log.line("of a client that left", gone).await;

    cluster.restart(1).await;
    assert_eq!(cluster.at(0).ask(put(&repository)).await.status, 201);
    assert_eq!(cluster.replica(1).requests().len(), 1);
}

#[tokio::test]
async fn beyond_the_limit_a_write_is_refused_at_once() {
    let plan = Plan::of(2).set("writes", "hold: 5m, limit: 2");
    let (mut cluster, repository) = without_the_owner(plan).await;
    let mut first = send_held(&cluster, 0, &put(&repository)).await;
    let second = send_held(&cluster, 0, &put(&repository)).await;
    let answer = cluster.at(0).ask(put(&repository)).await;
    assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    assert_eq!((held(&cluster, 0), ended(&cluster, 0, "full")), (2, 1));

    drop(second);
    until_held(&cluster, 0, 1).await;
    let mut third = send_held(&cluster, 0, &put(&repository)).await;
    cluster.restart(1).await;
    for connection in [&mut first, &mut third] {
        assert_eq!(connection.answer().await.status, 201);
    }
    assert_eq!(cluster.replica(1).requests().len(), 2);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue_by_the_registry_alone() {
    let (mut cluster, repository) = without_the_owner(Plan::of(2).set("writes", FOR_EVER)).await;
    let request = put(&repository).field("Expect", "100-continue");
    let mut client = cluster.at(0).connect().await;
    client.send(request.head_bytes()).await;
    until_held(&cluster, 0, 1).await;

    let gate = Gate::shut();
    let steps = [Step::Wait(gate.clone()), Step::ReadBody, Step::say(CREATED)];
    cluster.replica(1).steps(steps);
    cluster.restart(1).await;
    cluster.replica(1).until_requests(1).await;
    assert!(
        client.is_silent().await,
        "nobody has asked for the body yet"
    );
    gate.open();
    let interim = client.next_head().await;
    assert!(interim.start.starts_with("HTTP/1.1 100 "), "{interim:?}");
    client.send("x").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.interim), (201, vec![]));
}

#[tokio::test]
async fn nothing_of_a_body_is_read_while_its_request_is_held() {
    // What the sockets of one connection hold at most.
    const IN_SOCKETS: usize = 16 * MIB;
    let (mut cluster, repository) = without_the_owner(Plan::of(2).set("writes", FOR_EVER)).await;
    let blob: Arc<[u8]> = (0..64 * MIB).map(|at| (at / 4096) as u8).collect();
    let head = upload(&repository).field("Content-Length", &blob.len().to_string());
    let stream = TcpStream::connect(cluster.at(0).addresses().clients).await;
    let (mut answers, mut out) = stream.unwrap().into_split();
    out.write_all(&head.head_bytes()).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let (body, count) = (blob.clone(), sent.clone());
    let sending = tokio::spawn(async move {
        while count.load(Ordering::Relaxed) < body.len() {
            let rest = &body[count.load(Ordering::Relaxed)..];
            let wrote = out.write(&rest[..rest.len().min(64 * 1024)]).await.unwrap();
            count.fetch_add(wrote, Ordering::Relaxed);
        }
        out
    });
    until_held(&cluster, 0, 1).await;
    let (mut before, mut still) = (0, 0);
    eventually("the client to be stopped", async || {
        let now = sent.load(Ordering::Relaxed);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        still == 100
    })
    .await;
    assert!(
        0 < before && before < IN_SOCKETS,
        "{before} bytes were taken"
    );

    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::say(CREATED)]);
    cluster.restart(1).await;
    let mut answer = [0; 12];
    within("an answer", answers.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    let seen = cluster.replica(1).requests().pop().unwrap().body.unwrap();
    assert_eq!((seen.whole, seen.sha256), (true, sha256(&blob)));
    sending.await.unwrap();
}

#[tokio::test]
async fn writes_wait_over_http2_too() {
    let plan = Plan::of(2).client_tls().set("writes", FOR_EVER);
    let (mut cluster, repository) = without_the_owner(plan).await;
    let target = format!("/v2/{repository}/manifests/latest");
    let mut client = cluster.at(0).h2().await;
    let request = || H2Client::request("PUT", &target);
    let (held_answer, mut body) = client.begin(request(), false).await.unwrap();
    until_held(&cluster, 0, 1).await;
    let other = client.ask(H2Client::request("GET", "/v2/")).await.unwrap();
    assert_eq!(other.status, 200, "the connection goes on");

    // Who takes a stream back has left, whether it had a body to send or not.
    for ends in [true, false] {
        let gone = ended(&cluster, 0, "client_gone");
        let (answer, mut stream) = client.begin(request(), ends).await.unwrap();
        until_held(&cluster, 0, 2).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        until_held(&cluster, 0, 1).await;
        assert_eq!(ended(&cluster, 0, "client_gone"), gone + 1);
    }

    cluster.restart(1).await;
    within("the upload", send_all(&mut body, Bytes::from_static(b"x")))
        .await
        .unwrap();
    let answer = H2Client::answer(held_answer).await.unwrap();
    assert_eq!(answer.status, 201);
    let seen = cluster.replica(1).requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body.as_ref().unwrap().sha256, sha256(b"x"));
}

/// A connection to a member as its peer.
pub async fn as_peer(cluster: &Cluster, at: usize) -> Connection {
    let shown = cluster.authority.sign(&[cluster.plan().id(1 - at)]);
    let config = cluster.authority.client(Some(&shown), &["http/1.1"]);
    let peers = cluster.plan().peer_address(at);
    Connection::open_tls(peers, config).await.unwrap()
}

/// A write as a peer forwards it.
pub fn forwarded(cluster: &Cluster, repository: &str) -> Request {
    // All have the same.
    let view = cluster.at(1).generation().view.fingerprint().to_string();
    put(repository).field("X-Shardlet-View", &view)
}

#[tokio::test]
async fn a_forwarded_write_waits_at_its_owner_for_what_is_left_of_its_time() {
    let cluster = Cluster::start(Plan::of(2).set("writes", FOR_EVER)).await;
    let repository = cluster.repository_of(1);
    cluster.replica(1).stop().await;
    let refused = (503, "upstream_refused".to_owned());
    let request = forwarded(&cluster, &repository);
    let with_left = |left: &str| request.clone().field("X-Shardlet-Hold", left);
    // By a member that knows nothing of waiting, and by one that has waited itself.
    for request in [request.clone(), with_left("0")] {
        let answer = as_peer(&cluster, 1).await.ask(&request).await;
        assert_eq!(answer.refused(), refused);
    }
    assert_eq!(ended(&cluster, 1, "timed_out"), 0);
    let began = Instant::now();
    let answer = as_peer(&cluster, 1).await.ask(&with_left("400")).await;
    assert_eq!(answer.refused(), refused);
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(ended(&cluster, 1, "timed_out"), 1);
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn a_write_that_waits_at_its_owner_is_carried_out_though_that_closes() {
    let mut cluster = Cluster::start(Plan::of(2).set("writes", FOR_EVER)).await;
    let repository = cluster.repository_of(1);
    let request = forwarded(&cluster, &repository);
    cluster.replica(1).stop().await;
    let mut peer = as_peer(&cluster, 1).await;
    peer.send(request.clone().field("X-Shardlet-Hold", "60000").bytes())
        .await;
    until_held(&cluster, 1, 1).await;

    let drain = tokio::spawn(cluster.take(1).server.close());
    eventually("it to take nothing more", async || {
        let answer = as_peer(&cluster, 1).await.ask(&request).await;
        answer.refused() == (503, "draining".into())
    })
    .await;
    cluster.replica(1).start_again();
    assert_eq!(peer.answer().await.status, 201);
    assert_eq!(drain.await.unwrap(), Drained::Completely);
    assert_eq!(cluster.replica(1).requests().len(), 1);
}

#[tokio::test]
async fn a_member_that_has_held_a_write_tells_its_owner_what_is_left() {
    const HOLD: u128 = 60_000;
    let plan = Plan::of(2).insecure().set("writes", "hold: 60s");
    let (cluster, repository) = without_the_owner(plan).await;
    let mut client = send_held(&cluster, 0, &put(&repository)).await;
    let seen = Instant::now();
    eventually("some of its time to be over", async || {
        seen.elapsed() > Duration::from_millis(500)
    })
    .await;
    let waited = seen.elapsed().as_millis();

    let owner = as_owner(&cluster);
    let (mut stream, left) = hold_told(&owner).await;
    assert!(left <= HOLD - waited, "{left} ms after {waited} ms");
    assert!(left > 0);
    stream.write_all(CREATED.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.status, 201);
}

/// Listens in place of the owner.
pub fn as_owner(cluster: &Cluster) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(cluster.plan().peer_address(1)).unwrap();
    socket.listen(16).unwrap()
}

/// How long the next write that is forwarded may wait, in milliseconds.
async fn hold_told(owner: &TcpListener) -> (TcpStream, u128) {
    loop {
        let (mut stream, _) = within("a connection", owner.accept()).await.unwrap();
        let mut head = vec![0; 64 * 1024];
        let read = within("a head", stream.read(&mut head)).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
        // Questions after its state get no answer.
        if head.starts_with("put ") {
            let told = head.split("x-shardlet-hold: ").nth(1).unwrap();
            let told = told.split("\r\n").next().unwrap();
            return (stream, told.parse().unwrap());
        }
    }
}
