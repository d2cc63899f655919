//! Slow is fine, silent is not: limits are on idleness, never on the whole.

use std::time::{Duration, Instant};

use crate::cluster::h2_client::H2Client;
use crate::cluster::message::sha256;
use crate::cluster::replica::Record;
use crate::cluster::{Cluster, End, Plan, Request, Step, within};

/// The shortest idle limit there is.
const IDLE: Duration = Duration::from_secs(1);
/// Well within it.
const PAUSE: Duration = Duration::from_millis(250);
/// Enough pauses to take longer than it.
const PAUSES: usize = 6;

async fn impatient() -> (Cluster, String) {
    let cluster = Cluster::start(Plan::of(2).set("timeouts", "idle: 1s")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    (cluster, target)
}

#[tokio::test]
async fn a_slow_answer_takes_its_time() {
    let (cluster, target) = impatient().await;
    let mut steps = vec![Step::say(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {PAUSES}\r\n\r\n"
    ))];
    for _ in 0..PAUSES {
        steps.extend([Step::Pause(PAUSE), Step::say("x")]);
    }
    cluster.replica(0).steps(steps);
    let began = Instant::now();
    let answer = cluster.at(0).get(&target).await;
    assert_eq!(
        (answer.text(), answer.end),
        ("x".repeat(PAUSES), End::Whole)
    );
    assert!(began.elapsed() > IDLE);
}

#[tokio::test]
async fn a_slow_upload_takes_its_time() {
    let (cluster, target) = impatient().await;
    let body = vec![b'x'; PAUSES];
    let began = Instant::now();
    for request in [
        Request::new("PUT", &target).body(body.clone()),
        Request::new("PUT", &target).chunked(&body, 1, ""),
    ] {
        let mut connection = cluster.at(0).connect().await;
        connection.send(request.head_bytes()).await;
        let bytes = request.bytes();
        let rest = &bytes[request.head_bytes().len()..];
        for piece in rest.chunks(rest.len().div_ceil(PAUSES)) {
            tokio::time::sleep(PAUSE).await;
            connection.send(piece).await;
        }
        assert_eq!(connection.answer().await.status, 201);
    }
    assert!(began.elapsed() > 2 * IDLE);
    let seen = cluster.replica(0).requests();
    assert!(
        seen.iter()
            .all(|seen| seen.body.as_ref().unwrap().sha256 == sha256(&body))
    );
}

#[tokio::test]
async fn a_write_may_take_its_time_in_storage() {
    let cluster = Cluster::start(Plan::of(2).set("timeouts", "idle: 1s, commit: 30s")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    for sidecar in [0, 1] {
        let created = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        cluster
            .replica(0)
            .steps([Step::ReadBody, Step::Pause(3 * IDLE), Step::say(created)]);
        let answer = cluster
            .at(sidecar)
            .ask(Request::new("PUT", &target).body("x"))
            .await;
        assert_eq!(answer.status, 201, "through member {sidecar}");
    }
}

#[tokio::test]
async fn an_upload_that_stops_is_given_up() {
    let (cluster, target) = impatient().await;
    let mut connection = cluster.at(0).connect().await;
    let bytes = Request::new("PUT", &target).body(vec![b'x'; 1000]).bytes();
    connection.send(&bytes[..bytes.len() - 1]).await;
    assert_eq!(
        connection.answer().await.refused(),
        (408, "body_timeout".into())
    );
    assert_eq!(connection.until_closed().await, b"");
    let record = cluster
        .replica(0)
        .until("the replica to see the cut", |record| {
            record.requests.iter().any(|seen| seen.body.is_some())
        });
    assert!(!record.await.requests[0].body.as_ref().unwrap().whole);
}

#[tokio::test]
async fn an_http2_upload_that_stops_is_not_the_replicas_fault() {
    let timeouts = "idle: 1s, commit: 2s";
    let plan = Plan::of(1).client_tls().set("timeouts", timeouts);
    let cluster =
        Cluster::start(plan.set("circuit", "failures: 1, open: 1h, open_limit: 1h")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let mut client = cluster.at(0).h2().await;
    let put = H2Client::request("PUT", &target);
    let (response, mut stream) = client.begin(put, false).await.unwrap();
    let some = bytes::Bytes::from_static(b"some of it");
    stream.send_data(some, false).unwrap();
    let answer = H2Client::answer(response).await.unwrap();
    assert_eq!(answer.status, 408);
    let refused: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(refused["errors"][0]["detail"]["reason"], "body_timeout");
    let record = cluster.replica(0).until("the cut", |record| {
        record.requests.iter().any(|seen| seen.body.is_some())
    });
    assert!(!record.await.requests[0].body.as_ref().unwrap().whole);
    // One failure would have opened its circuit.
    let next = client.ask(H2Client::request("GET", "/v2/")).await.unwrap();
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn an_upload_that_drips_is_given_up() {
    let plan = Plan::of(2).set("timeouts", "idle: 1s");
    let cluster = Cluster::start(plan.set("limits", "upload_rate: 1kB")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    for (number, request) in [
        Request::new("PUT", &target).body(vec![b'x'; 1000]),
        Request::new("PUT", &target).chunked(&[b'x'; 1000], 1, ""),
    ]
    .iter()
    .enumerate()
    {
        let mut connection = cluster.at(0).connect().await;
        connection.send(request.head_bytes()).await;
        let body = request.bytes().split_off(request.head_bytes().len());
        for byte in body {
            connection.send([byte]).await;
            let pause = tokio::time::timeout(PAUSE / 5, connection.speaks());
            if pause.await.is_ok() {
                break;
            }
        }
        let refused = connection.answer().await.refused();
        assert_eq!(refused, (408, "body_too_slow".into()));
        assert_eq!(connection.until_closed().await, b"");
        let cut = |record: &Record| {
            let seen = record.requests.get(number);
            seen.is_some_and(|seen| seen.body.is_some())
        };
        let record = cluster.replica(0).until("the cut", cut).await;
        assert!(!record.requests[number].body.as_ref().unwrap().whole);
    }
}

#[tokio::test]
async fn a_client_that_reads_by_drops_is_given_up() {
    const ENDLESS: u64 = 1 << 40;
    let plan = Plan::of(2).set("timeouts", "idle: 2s");
    let cluster = Cluster::start(plan.set("limits", "download_rate: 1GiB")).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n");
    cluster
        .replica(0)
        .steps([Step::say(head), Step::Fill(ENDLESS)]);
    let mut connection = cluster.at(0).connect().await;
    let request = Request::get(&target).field("X-Request-Id", "drops");
    connection.send(request.bytes()).await;
    // Fast enough never to be silent, by far too slow for the limit.
    within("the end", async {
        let mut read = 0;
        while let Some(bytes) = connection.some().await {
            read += bytes.len();
            if read > 256 * 1024 {
                read = 0;
                tokio::time::sleep(PAUSE / 25).await;
            }
        }
    })
    .await;
    let line = cluster.at(0).log.of_request("drops").await;
    assert_eq!(
        (&line["status"], &line["ended"]),
        (&499.into(), &"client_too_slow".into())
    );
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up() {
    const ENDLESS: u64 = 1 << 40;
    let (cluster, target) = impatient().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n");
    cluster
        .replica(0)
        .steps([Step::say(head), Step::Fill(ENDLESS)]);
    let mut connection = cluster.at(0).connect().await;
    connection
        .send(
            Request::get(&target)
                .field("X-Request-Id", "stalled")
                .bytes(),
        )
        .await;
    connection.answer_head().await;
    let seen = cluster.replica(0).requests().remove(0).connection;
    cluster
        .replica(0)
        .until("the replica to be let go", |record| {
            record.closed.contains(&seen)
        })
        .await;
    let line = cluster.at(0).log.of_request("stalled").await;
    assert_eq!(
        (&line["status"], &line["ended"]),
        (&499.into(), &"client_stalled".into())
    );
}
