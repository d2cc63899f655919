//! Clients that speak TLS, in HTTP/2 and HTTP/1.1.

use bytes::Bytes;

use crate::cluster::frames::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, block, frame,
};
use crate::cluster::h2_client::H2Client;
use crate::cluster::message::sha256;
use crate::cluster::{Cluster, Gate, Plan, Program, Request, Step, within};

const MIB: usize = 1024 * 1024;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What is left behind is found by those that come after it.
const ROUNDS: usize = 4;

async fn over_tls() -> Cluster {
    Cluster::start(Plan::of(3).client_tls()).await
}

fn reason(body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap();
    document["errors"][0]["detail"]["reason"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// RFC 9113 §3.2: as the client chooses in its handshake.
#[tokio::test]
async fn both_protocols_are_spoken_over_tls() {
    let cluster = over_tls().await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/blobs/uploads/");
    for sidecar in [0, 1] {
        let mut client = cluster.at(sidecar).h2().await;
        let answer = client
            .ask(H2Client::request("POST", &target))
            .await
            .unwrap();
        assert_eq!(answer.status, 202);
        let location = answer.headers["location"].to_str().unwrap();
        assert!(
            location.starts_with("https://registry.example/v2/"),
            "{location}"
        );
        assert!(!answer.headers.contains_key("connection"));

        let answer = cluster
            .at(sidecar)
            .ask(Request::new("POST", &target).body(""))
            .await;
        let location = answer.field("location").unwrap();
        assert!(
            location.starts_with("https://registry.example:5000/v2/"),
            "{location}"
        );
    }
    for seen in cluster.replica(1).requests() {
        assert_eq!(seen.head.one("x-forwarded-proto"), Some("https"));
        assert!(
            seen.head
                .one("host")
                .unwrap()
                .starts_with("registry.example")
        );
    }
}

#[tokio::test]
async fn an_upload_larger_than_every_window_goes_through() {
    let cluster = over_tls().await;
    let repository = cluster.repository_of(1);
    let blob = Bytes::from(vec![b'z'; 32 * MIB]);
    let digest = format!("sha256:{}", sha256(&blob));
    let mut client = cluster.at(0).h2().await;
    let start = H2Client::request("POST", &format!("/v2/{repository}/blobs/uploads/"));
    let answer = client.ask(start).await.unwrap();
    let location = answer.headers["location"].to_str().unwrap();
    let session = location.strip_prefix("https://registry.example").unwrap();

    // Without Content-Length: it goes on in chunks.
    let put = H2Client::request("PUT", &format!("{session}&digest={digest}"));
    assert_eq!(client.upload(put, blob.clone()).await.unwrap().status, 201);
    let seen = cluster.replica(1).requests().pop().unwrap();
    assert_eq!(seen.head.one("transfer-encoding"), Some("chunked"));

    let get = H2Client::request("GET", &format!("/v2/{repository}/blobs/{digest}"));
    let answer = client.ask(get).await.unwrap();
    assert_eq!((answer.status, answer.reset), (200, None));
    assert!(answer.body == blob);
}

#[tokio::test]
async fn a_body_that_ends_with_an_empty_frame_leaves_nothing_behind() {
    let cluster = over_tls().await;
    let target = watched(&cluster, [Step::ReadBody, Step::say(OK)]);
    for sidecar in [0, 1] {
        let mut client = cluster.at(sidecar).h2().await;
        for body in ["", "abc"].repeat(ROUNDS) {
            let patch = H2Client::request("PATCH", &target);
            let answer = client.upload(patch, body.into()).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
            // With this length the framework does not wait for the end.
            let none = H2Client::request("PATCH", &target).header("content-length", 0);
            let answer = client.upload(none, "".into()).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    only_whole_requests(&cluster, &target, 8 * ROUNDS);
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_body_leaves_nothing_behind() {
    let cluster = over_tls().await;
    let target = watched(&cluster, [Step::say(OK), Step::ReadBody]);
    for sidecar in [0, 1] {
        let mut client = cluster.at(sidecar).h2().await;
        for rest in [Some(""), Some("def"), None].repeat(ROUNDS) {
            let patch = H2Client::request("PATCH", &target);
            let (response, mut stream) = client.begin(patch, false).await.unwrap();
            stream.send_data("abc".into(), false).unwrap();
            let answer = H2Client::answer(response).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
            match rest {
                Some(rest) => stream.send_data(rest.into(), true).unwrap(),
                None => stream.send_reset(h2::Reason::CANCEL),
            }
        }
    }
    only_whole_requests(&cluster, &target, 6 * ROUNDS);
}

/// RFC 9110 §6.6.2: nobody waits for what does not come.
#[tokio::test]
async fn trailers_of_a_request_end_here_and_are_not_announced() {
    let cluster = over_tls().await;
    let target = watched(&cluster, [Step::ReadBody, Step::say(OK)]);
    for sidecar in [0, 1] {
        let mut client = cluster.at(sidecar).h2().await;
        let patch = H2Client::request("PATCH", &target).header("trailer", "x-sum");
        let (response, mut stream) = client.begin(patch, false).await.unwrap();
        stream.send_data("abc".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        stream.send_trailers(trailers).unwrap();
        assert_eq!(H2Client::answer(response).await.unwrap().status, 200);
        let seen = cluster.replica(1).requests().pop().unwrap();
        let body = seen.body.unwrap();
        assert_eq!((body.length, body.whole), (3, true));
        assert_eq!(
            (seen.head.one("trailer"), body.trailers),
            (None, Vec::new())
        );
    }
    only_whole_requests(&cluster, &target, 2);
}

/// A target whose owner, the second member, has a replica that goes so.
fn watched(cluster: &Cluster, steps: [Step; 2]) -> String {
    cluster.replica(1).steps(steps);
    format!("/v2/{}/blobs/uploads/id", cluster.repository_of(1))
}

/// So many requests have reached the owner's replica, and nothing that it would take for another;
/// nor has such a thing reached the owner on its way.
fn only_whole_requests(cluster: &Cluster, target: &str, count: usize) {
    let seen = cluster.replica(1).requests();
    for one in &seen {
        assert_eq!((&one.method[..], &one.target[..]), ("PATCH", target));
    }
    assert_eq!(seen.len(), count);
    let log = cluster.at(1).log.text();
    assert!(!log.contains(r#""ended":"request_line""#), "{log}");
}

#[tokio::test]
async fn our_own_answers_reach_http2_clients() {
    let cluster = over_tls().await;
    let mut client = cluster.at(0).h2().await;
    let cases = [
        ("GET", "/v2/team%2Fapp/tags/list", 400, "route"),
        ("GET", "/v2//team/tags/list", 400, "route"),
        ("TRACE", "/v2/", 405, "method_not_allowed"),
        ("GET", "/metrics", 403, "private"),
    ];
    for (method, target, status, why) in cases {
        let answer = client.ask(H2Client::request(method, target)).await.unwrap();
        assert_eq!(
            (answer.status, reason(&answer.body)),
            (status, why.into()),
            "{target}"
        );
    }
    let head = client
        .ask(H2Client::request("HEAD", "/v2/Team/app/tags/list"))
        .await
        .unwrap();
    assert_eq!((head.status, head.body.len()), (400, 0));

    let connect = http::Request::builder()
        .method("CONNECT")
        .uri("registry.example:443");
    let answer = client.ask(connect).await.unwrap();
    assert_eq!(
        (answer.status, reason(&answer.body)),
        (405, "method_not_allowed".into())
    );
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn an_upload_that_is_refused_is_told_why() {
    let mut cluster = over_tls().await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let mut client = cluster.at(0).h2().await;
    let patch = H2Client::request("PATCH", &format!("/v2/{repository}/blobs/uploads/id"));
    let (response, mut stream) = client.begin(patch, false).await.unwrap();
    stream
        .send_data(Bytes::from(vec![b'x'; 60_000]), false)
        .unwrap();
    let answer = H2Client::answer(response).await.unwrap();
    assert_eq!(
        (answer.status, reason(&answer.body)),
        (503, "upstream_refused".into())
    );
    let next = client.ask(H2Client::request("GET", "/v2/")).await.unwrap();
    assert_eq!(next.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_client_has_as_many_streams_as_configured() {
    let cluster = Cluster::start(Plan::of(1).client_tls().set("limits", "h2_streams: 3")).await;
    let mut client = cluster.at(0).h2().await;
    client.ask(H2Client::request("GET", "/v2/")).await.unwrap();
    assert_eq!(client.max_streams(), 3);
}

#[tokio::test]
async fn a_client_that_resets_streams_without_end_loses_its_connection() {
    let cluster = over_tls().await;
    let repository = cluster.repository_of(0);
    cluster.replica(0).steps([Step::Stall]);
    let mut client = cluster.at(0).h2().await;
    let target = format!("/v2/{repository}/tags/list");
    within("the connection to be closed", async {
        loop {
            // More at a time than the server looks at between two turns.
            for _ in 0..64 {
                let request = H2Client::request("GET", &target);
                let Ok((_, mut stream)) = client.begin(request, true).await else {
                    return;
                };
                stream.send_reset(h2::Reason::CANCEL);
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The goodbye may be overtaken by the end of the connection.
    if let Some(reason) = client.ended().await.err().and_then(|error| error.reason()) {
        assert_eq!(reason, h2::Reason::ENHANCE_YOUR_CALM);
    }
    cluster.replica(0).does(Program::Registry);
    let answer = cluster
        .at(0)
        .h2()
        .await
        .ask(H2Client::request("GET", "/v2/"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "others are served");
}

/// RFC 9113 §6.5.2.
#[tokio::test]
async fn a_header_list_beyond_the_limit_is_refused() {
    let cluster =
        Cluster::start(Plan::of(1).client_tls().set("limits", "header_bytes: 4KiB")).await;
    let mut client = cluster.at(0).h2().await;
    let request = H2Client::request("GET", "/v2/").header("x-large", "a".repeat(8192));
    // The library answers for us, without a body.
    assert_eq!(client.ask(request).await.unwrap().status, 431);
    assert_eq!(cluster.replica(0).requests().len(), 0);
}

/// RFC 9113 §6.8.
#[tokio::test]
async fn an_idle_connection_is_told_goodbye() {
    let plan = Plan::of(1).client_tls().set("timeouts", "keepalive: 1s");
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/manifests/latest", cluster.repository_of(0));
    let gate = Gate::shut();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let steps = [Step::ReadBody, Step::Wait(gate.clone()), Step::say(answer)];
    cluster.replica(0).steps(steps);
    let mut busy = cluster.at(0).h2().await;
    let request = H2Client::request("GET", &target);
    let (response, _) = busy.begin(request, true).await.unwrap();
    cluster.replica(0).until_requests(1).await;

    // One without a request, and one whose only request is done.
    let mut silent = cluster.at(0).h2_bytes().await;
    silent.send(beginning()).await;
    let mut idle = cluster.at(0).h2_bytes().await;
    let headers = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block("GET", "/v2/Bad"),
    );
    idle.send([beginning(), headers].concat()).await;
    for (mut connection, last) in [(silent, 0), (idle, 1)] {
        let said = connection.until_closed().await;
        // A client may send again what comes behind the last stream.
        let goodbye = frame(GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0]);
        assert!(said.ends_with(&goodbye), "{said:?}");
    }
    // A request under way keeps its connection, however long it takes.
    gate.open();
    let answer = H2Client::answer(response).await.unwrap();
    assert_eq!((answer.status, answer.reset), (200, None));
    busy.ended().await.unwrap();
}

fn beginning() -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}
