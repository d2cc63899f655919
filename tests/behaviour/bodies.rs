//! Bodies come out as they went in, and connections stay in step.

use crate::cluster::message::sha256;
use crate::cluster::{Cluster, Connection, End, Gate, Plan, Program, Request, Step, eventually};

const MIB: usize = 1024 * 1024;

/// Bytes that differ from place to place, also from one buffer's length to the next.
fn content(length: usize) -> Vec<u8> {
    const PERIOD: u32 = 65_537;
    let block: Vec<u8> = (0..PERIOD)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    block.into_iter().cycle().take(length).collect()
}

/// Pushes a blob as clients do, following `Location`, and gives its path.
async fn push(
    connection: &mut Connection,
    repository: &str,
    blob: &[u8],
    chunks: Option<usize>,
) -> String {
    let start = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")).body("");
    let session = location(connection, &start, 202).await;
    let patch = Request::new("PATCH", &session);
    let patch = match chunks {
        Some(size) => patch.chunked(blob, size, ""),
        None => patch.body(blob),
    };
    let session = location(connection, &patch, 202).await;
    let digest = format!("sha256:{}", sha256(blob));
    let put = Request::new("PUT", &format!("{session}&digest={digest}")).body("");
    location(connection, &put, 201).await
}

async fn location(connection: &mut Connection, request: &Request, status: u16) -> String {
    let answer = connection.ask(request).await;
    assert_eq!(
        (answer.status, answer.end),
        (status, End::Whole),
        "{answer:?}"
    );
    let location = answer.field("location").unwrap();
    location
        .strip_prefix("http://registry.example:5000")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn bodies_of_every_size_and_framing_arrive_intact_both_ways() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let sizes = [0, 1, 4096, 65_535, 65_536, 65_537, MIB + 1];
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        for size in sizes {
            for chunks in [None, Some(1 + size / 3)] {
                let blob = content(size);
                let path = push(&mut connection, &repository, &blob, chunks).await;
                let answer = connection.ask(&Request::get(&path)).await;
                assert_eq!((answer.status, answer.end), (200, End::Whole));
                assert!(answer.body == blob, "{size} bytes, {chunks:?}");
            }
        }
    }
    assert_eq!(cluster.requests_elsewhere(1), 0);
}

#[tokio::test]
async fn a_large_blob_passes_through_a_hop() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let blob = content(64 * MIB);
    let mut connection = cluster.at(0).connect().await;
    let path = push(&mut connection, &repository, &blob, None).await;
    connection.send(Request::get(&path).bytes()).await;
    let (answer, body) = connection.digested_answer().await;
    assert_eq!((answer.status, body.length), (200, blob.len() as u64));
    assert_eq!(body.sha256, sha256(&blob));
    let patch = cluster
        .replica(1)
        .requests()
        .into_iter()
        .find(|seen| seen.method == "PATCH")
        .unwrap();
    assert_eq!(patch.body.unwrap().sha256, sha256(&blob));
}

#[tokio::test]
async fn a_chunked_answer_keeps_its_end() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::say(answer)]);
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        for _ in 0..2 {
            let answer = connection
                .ask(&Request::get(&format!("/v2/{repository}/tags/list")))
                .await;
            assert_eq!(
                (answer.text(), answer.end),
                ("hello world".into(), End::Whole)
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_replica() {
    // What the sockets of three hops hold at most, with the kernel's own buffers.
    const HELD: u64 = 64 * MIB as u64;
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let length = 8 * HELD;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    cluster
        .replica(1)
        .steps([Step::say(head), Step::Fill(length)]);
    let mut connection = cluster.at(0).connect().await;
    connection
        .send(Request::get(&format!("/v2/{repository}/blobs/sha256:00")).bytes())
        .await;
    connection.answer_head().await;

    let mut before = 0;
    let mut still = 0;
    eventually("the replica to be held back", async || {
        let written = cluster.replica(1).record().written;
        still = if written == before { still + 1 } else { 0 };
        before = written;
        still == 50
    })
    .await;
    assert!(
        before < HELD,
        "{before} bytes were taken for a client that reads none"
    );
}

#[tokio::test]
async fn an_upload_waits_for_100_continue_and_keeps_the_connection() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        for _ in 0..2 {
            let manifest = Request::new("PUT", &format!("/v2/{repository}/manifests/latest"))
                .field("Expect", "100-continue")
                .body("the manifest");
            connection.send(manifest.head_bytes()).await;
            let interim = connection.next_head().await;
            assert!(interim.start.starts_with("HTTP/1.1 100 "), "{interim:?}");
            connection.send("the manifest").await;
            let answer = connection.answer().await;
            assert_eq!((answer.status, answer.interim), (201, vec![]));
        }
        let answer = connection
            .ask(&Request::get(&format!("/v2/{repository}/manifests/latest")))
            .await;
        assert_eq!((answer.status, answer.text()), (200, "the manifest".into()));
    }
}

#[tokio::test]
async fn an_upload_that_asks_first_may_be_refused_by_the_registry() {
    let cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    let refusal =
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic\r\n\r\n";
    cluster.replica(1).steps([Step::say(refusal), Step::Close]);
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        let put = Request::new("PUT", &target)
            .field("Expect", "100-continue")
            .body("the manifest");
        connection.send(put.head_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.interim), (401, vec![]));
    }
}

#[tokio::test]
async fn a_chunked_body_with_trailers_keeps_the_connection() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        for _ in 0..2 {
            let put = Request::new("PUT", &format!("/v2/{repository}/manifests/latest"))
                .field("Trailer", "X-Checksum")
                .chunked(b"the manifest", 5, "X-Checksum: 1\r\n");
            assert_eq!(connection.ask(&put).await.status, 201);
            let seen = cluster.replica(1).requests().pop().unwrap().body.unwrap();
            assert_eq!((seen.sha256, seen.whole), (sha256(b"the manifest"), true));
            assert_eq!(seen.trailers, [("X-Checksum".into(), "1".into())]);
        }
    }
}

/// RFC 9110 §7.6.1: what `Connection` names is for us, whether it stands before the body or behind it. RFC 9112
/// §7.1.2: everything else goes on.
#[tokio::test]
async fn trailers_go_on_unless_they_are_for_one_connection() {
    let cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    let all = [("X-Sum".to_owned(), "1".to_owned())];
    for (connection, passed) in [("keep-alive", &all[..]), ("X-Sum", &[]), ("x-other", &[])] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: {connection}\r\n\
             Trailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
        );
        let replica = cluster.replica(1);
        replica.steps([Step::ReadBody, Step::say(answer)]);
        for sidecar in [0, 1] {
            let mut client = cluster.at(sidecar).connect().await;
            for _ in 0..2 {
                let put = Request::new("PUT", &target)
                    .field("Connection", connection)
                    .field("Trailer", "X-Sum")
                    .chunked(b"body", 3, "X-Sum: 1\r\n");
                client.send(put.bytes()).await;
                let (answer, body) = client.digested_answer().await;
                let seen = replica.requests().pop().unwrap();
                for (head, body) in [(answer.head, body), (seen.head, seen.body.unwrap())] {
                    assert!(body.whole && body.length > 0, "{head:?}: {body:?}");
                    assert_eq!(body.trailers, passed, "{connection}: {head:?}");
                    assert_eq!(head.all("trailer").len(), passed.len(), "{head:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let cluster = Cluster::of_three().await;
    let (here, there) = (cluster.repository_of(0), cluster.repository_of(1));
    let requests = [
        Request::get("/v2/").field("X-Request-Id", "first"),
        Request::new("PUT", &format!("/v2/{there}/manifests/a"))
            .field("X-Request-Id", "second")
            .body("one"),
        Request::new("PUT", &format!("/v2/{here}/manifests/b"))
            .field("X-Request-Id", "third")
            .chunked(b"two", 1, ""),
        Request::get("/v2/Not/allowed/tags/list").field("X-Request-Id", "fourth"),
        Request::get(&format!("/v2/{there}/manifests/a")).field("X-Request-Id", "fifth"),
    ];
    let mut connection = cluster.at(0).connect().await;
    let all: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
    connection.send(all).await;
    for (id, status) in [
        ("first", 200),
        ("second", 201),
        ("third", 201),
        ("fourth", 400),
        ("fifth", 200),
    ] {
        let answer = connection.answer().await;
        assert_eq!(
            (answer.field("x-request-id"), answer.status),
            (Some(id), status)
        );
    }
}

#[tokio::test]
async fn a_connection_carries_as_many_requests_as_configured() {
    let cluster = Cluster::start(Plan::of(1).set("limits", "requests_per_connection: 2")).await;
    let mut connection = cluster.at(0).connect().await;
    let first = connection.ask(&Request::get("/v2/")).await;
    assert_ne!(first.field("connection"), Some("close"));
    let last = connection.ask(&Request::get("/v2/")).await;
    assert_eq!(last.field("connection"), Some("close"));
    assert_eq!(connection.until_closed().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let cluster = Cluster::start(Plan::of(1).set("timeouts", "keepalive: 1s")).await;
    let mut connection = cluster.at(0).connect().await;
    assert_eq!(connection.ask(&Request::get("/v2/")).await.status, 200);
    assert_eq!(connection.until_closed().await, b"");
}

#[tokio::test]
async fn a_client_reads_why_its_upload_is_refused_while_it_still_sends() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let upload = |target: &str| Request::new("PATCH", target).body(vec![b'x'; 8 * MIB]);
    let target = format!("/v2/{repository}/blobs/uploads/id");

    // Refused here.
    let mut connection = cluster.at(0).connect().await;
    let answer = connection
        .ask_while_sending(&upload("/v2/Team/app/blobs/uploads/id"))
        .await;
    assert_eq!(answer.refused(), (400, "route".into()));

    // Refused by the registry, which reads on, or which does not care for the rest.
    let gate = Gate::shut();
    for (last, rest) in [
        ("", Step::ReadBody),
        // It takes no other request on that connection, even when it was sent the whole of this one.
        ("Connection: close\r\n", Step::Wait(gate.clone())),
    ] {
        let not_found = format!("HTTP/1.1 404 Not Found\r\n{last}Content-Length: 7\r\n\r\nUNKNOWN");
        cluster.replica(1).steps([Step::say(not_found), rest]);
        for sidecar in [0, 1] {
            let mut connection = cluster.at(sidecar).connect().await;
            let answer = connection.ask_while_sending(&upload(&target)).await;
            assert_eq!((answer.status, answer.text()), (404, "UNKNOWN".into()));
        }
    }
}

/// What had been moved by the kernel counts as read.
#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_takes_nothing_of_the_next_request() {
    const PART: usize = 2 << 20;
    let cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/blobs/uploads/1", cluster.repository_of(0));
    let gate = Gate::shut();
    cluster.replica(0).steps([
        Step::Wait(gate.clone()),
        Step::say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let request = Request::new("PATCH", &target).body(vec![b'x'; 2 * PART]);
    let bytes = request.bytes();
    let mut connection = cluster.at(0).connect().await;
    let (first, rest) = bytes.split_at(bytes.len() - PART);
    connection.send(first).await;
    cluster.replica(0).until_requests(1).await;
    gate.open();
    assert_eq!(connection.answer().await.status, 202);
    cluster.replica(0).does(Program::Registry);
    connection.send(rest).await;
    let tags = format!("/v2/{}/tags/list", cluster.repository_of(0));
    assert_eq!(connection.ask(&Request::get(&tags)).await.status, 200);
    assert_eq!(cluster.replica(0).requests().len(), 2);
}
