//! What is written down about a request, and what never is.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::h2_client::H2Client;
use crate::cluster::{Cluster, Plan, Request, Step};

fn request(method: &str, target: &str, id: &str) -> Request {
    Request::new(method, target).field("X-Request-Id", id)
}

/// Milliseconds in the queue, held, to connect, for the client and for the replica.
fn waits(line: &Value) -> [f64; 5] {
    [
        "queue_ms",
        "hold_ms",
        "connect_ms",
        "client_ms",
        "replica_ms",
    ]
    .map(|key| line[key].as_f64().unwrap())
}

#[tokio::test]
async fn every_request_has_its_line_on_every_member_it_passes() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/manifests/latest");
    let put = request("PUT", &target, "push-1")
        .field("User-Agent", "skopeo/1.9")
        .body("manifest");
    assert_eq!(cluster.at(0).ask(put).await.status, 201);

    let line = cluster.at(0).log.of_request("push-1").await;
    assert_eq!(line["arrival"], "client");
    assert_eq!(line["method"], "PUT");
    assert_eq!(line["path"], *target);
    assert_eq!(line["repository"], *repository);
    assert_eq!(line["operation"], "manifest_put");
    assert_eq!(line["owner"], "zot-2");
    assert_eq!(line["plan"], "forward");
    assert_eq!(line["upstream"], "zot-2");
    assert_eq!(line["status"], 201);
    assert_eq!(line["received_bytes"], 8);
    assert_eq!(line["sent_bytes"], 0);
    assert_eq!(line["user_agent"], "skopeo/1.9");
    let (total, waits) = (line["total_ms"].as_f64().unwrap(), waits(&line));
    assert!(
        total >= waits.iter().sum::<f64>() && waits[4] > 0.0,
        "{line}"
    );

    let line = cluster.at(1).log.of_request("push-1").await;
    assert_eq!(line["arrival"], "peer");
    assert_eq!(line["plan"], "local");
    assert_eq!(line["upstream"], "replica");
    assert_eq!(line["status"], 201);
}

/// Longer than anything else that happens here, by far.
const SLOW: Duration = Duration::from_millis(1200);
/// What a quick replica and a hop take at most, on a busy machine too.
const QUICK_MS: f64 = 400.0;

#[tokio::test]
async fn a_slow_upload_is_the_clients_time_and_not_the_replicas() {
    let cluster = Cluster::start(Plan::of(2).client_tls()).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
    let put = request("PUT", &target, "slow-1").body("manifest");
    let mut connection = cluster.at(0).connect().await;
    let (head, bytes) = (put.head_bytes(), put.bytes());
    connection.send(&head).await;
    connection.send(&bytes[head.len()..head.len() + 2]).await;
    tokio::time::sleep(SLOW).await;
    connection.send(&bytes[head.len() + 2..]).await;
    assert_eq!(connection.answer().await.status, 201);

    let mut client = cluster.at(0).h2().await;
    let put = H2Client::request("PUT", &target).header("x-request-id", "slow-2");
    let (response, mut stream) = client.begin(put, false).await.unwrap();
    stream.send_data("mani".into(), false).unwrap();
    tokio::time::sleep(SLOW).await;
    stream.send_data("fest".into(), true).unwrap();
    assert_eq!(H2Client::answer(response).await.unwrap().status, 201);

    for id in ["slow-1", "slow-2"] {
        for sidecar in [0, 1] {
            let line = cluster.at(sidecar).log.of_request(id).await;
            let [queue, hold, _, client, replica] = waits(&line);
            assert_eq!((queue, hold), (0.0, 0.0), "{line}");
            let least = SLOW.as_secs_f64() * 1000.0;
            assert!(
                client >= least - QUICK_MS && client <= least + QUICK_MS,
                "{line}"
            );
            assert!(replica < QUICK_MS, "{line}");
        }
    }
    let series = |what| {
        format!(
            "shardlet_request_wait_seconds_sum{{for=\"{what}\",member=\"zot-2\",operation=\"manifest_put\"}}"
        )
    };
    for sidecar in [0, 1] {
        let member = cluster.at(sidecar);
        let least = SLOW.as_secs_f64() - QUICK_MS / 1000.0;
        assert!(member.metric(&series("client")) >= 2.0 * least);
        assert!(member.metric(&series("replica")) < 2.0 * QUICK_MS / 1000.0);
    }
}

#[tokio::test]
async fn a_replica_that_takes_little_is_not_the_clients_fault() {
    let cluster = Cluster::start(Plan::of(1)).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let created = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    let steps = [Step::Pause(SLOW), Step::ReadBody, Step::say(created)];
    cluster.replica(0).steps(steps);
    // More than all buffers on the way hold.
    let body = vec![b'x'; 64 << 20];
    let put = request("PUT", &target, "reluctant").body(body);
    assert_eq!(cluster.at(0).ask(put).await.status, 201);
    let line = cluster.at(0).log.of_request("reluctant").await;
    let [.., client, replica] = waits(&line);
    assert!(replica >= SLOW.as_secs_f64() * 1000.0 * 0.9, "{line}");
    assert!(client < replica, "{line}");
}

#[tokio::test]
async fn a_request_that_went_wrong_says_why() {
    let mut cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/manifests/latest");
    cluster
        .at(0)
        .ask(request("GET", "/v2/Team/app/tags/list", "bad-path"))
        .await;
    let line = cluster.at(0).log.of_request("bad-path").await;
    assert_eq!(
        (&line["plan"], &line["status"]),
        (&"reject".into(), &400.into())
    );

    cluster.replica(1).steps([
        Step::say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        Step::Close,
    ]);
    cluster.at(0).ask(request("GET", &target, "cut-1")).await;
    for sidecar in [0, 1] {
        let line = cluster.at(sidecar).log.of_request("cut-1").await;
        assert_eq!(
            (&line["status"], &line["ended"]),
            (&200.into(), &"upstream_reset".into()),
            "{line}"
        );
    }

    cluster.replica(1).steps([Step::Stall]);
    let mut connection = cluster.at(0).connect().await;
    connection
        .send(request("GET", &target, "gone-1").bytes())
        .await;
    cluster.replica(1).until_requests(2).await;
    drop(connection);
    let line = cluster.at(0).log.of_request("gone-1").await;
    assert_eq!(
        (&line["status"], &line["ended"]),
        (&499.into(), &"client_gone".into())
    );

    cluster.stop(1).await;
    cluster
        .at(0)
        .ask(request("GET", &target, "fallback-1"))
        .await;
    let line = cluster.at(0).log.of_request("fallback-1").await;
    assert_eq!(
        (&line["plan"], &line["upstream"]),
        (&"fallback".into(), &"replica".into())
    );
}

#[tokio::test]
async fn what_is_refused_before_it_is_a_request_has_a_line_too() {
    let cluster = Cluster::start(Plan::of(1)).await;
    let mut connection = cluster.at(0).connect().await;
    connection
        .send("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;
    let answer = connection.answer().await;
    let line = cluster
        .at(0)
        .log
        .of_request(answer.field("x-request-id").unwrap())
        .await;
    assert_eq!(
        (&line["status"], &line["ended"]),
        (&400.into(), &"host_repeated".into())
    );
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn secrets_are_never_written_down() {
    let cluster = Cluster::start(Plan::of(3)).await;
    let repository = cluster.repository_of(1);
    let session = format!("/v2/{repository}/blobs/uploads/id?_state=S3CRET-state&digest=sha256:0");
    let secret = |method: &str, target: &str, id: &str| {
        request(method, target, id)
            .field("Authorization", "Bearer S3CRET-token")
            .field("Cookie", "session=S3CRET-cookie")
            .body("S3CRET-body")
    };
    for (number, target) in [
        &*session,
        "/zot/auth/callback/oidc?code=S3CRET-code&state=S3CRET-oidc",
    ]
    .into_iter()
    .enumerate()
    {
        for sidecar in 0..3 {
            let id = format!("secret-{number}-{sidecar}");
            cluster.at(sidecar).ask(secret("PUT", target, &id)).await;
            cluster.at(sidecar).log.of_request(&id).await;
        }
    }
    for index in 0..3 {
        let member = cluster.at(index);
        assert!(
            !member.log.text().contains("S3CRET"),
            "{}",
            member.log.text()
        );
        assert!(!member.metrics().contains("S3CRET"));
    }
    let seen = cluster.replica(1).requests();
    assert!(
        seen.iter()
            .all(|seen| seen.head.one("authorization") == Some("Bearer S3CRET-token"))
    );
}
