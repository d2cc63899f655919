//! Connections that end in the middle: nobody may take a part for the whole.

use std::time::Duration;

use crate::cluster::h2_client::H2Client;
use crate::cluster::{Cluster, End, Plan, Request, Step};

/// Answers that break off, and what of them had come.
const BROKEN: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n8\r\n wor",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
];

fn target(cluster: &Cluster) -> String {
    format!("/v2/{}/manifests/latest", cluster.repository_of(1))
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_for_the_client() {
    let cluster = Cluster::of_three().await;
    for broken in BROKEN {
        for end in [Step::Close, Step::Reset] {
            cluster.replica(1).steps([Step::say(broken), end]);
            for sidecar in [0, 1] {
                let mut connection = cluster.at(sidecar).connect().await;
                let answer = connection.ask(&Request::get(&target(&cluster))).await;
                // Where nothing had gone out yet, an error is better than a cut.
                if answer.status == 200 {
                    assert_eq!(answer.end, End::Cut, "{broken:?}: {answer:?}");
                    assert!("hello world".starts_with(&answer.text()), "{answer:?}");
                    assert_eq!(connection.until_closed().await, b"");
                } else {
                    assert_eq!(answer.refused().0, 502, "{broken:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_came_of_a_short_answer_goes_out_before_the_cut() {
    let cluster = Cluster::of_three().await;
    let mut number = 0;
    for status in [200, 416] {
        for length in [5, 14, 100, 1000] {
            // Both in one piece with its end, and some time before it.
            for pause in [Duration::ZERO, Duration::from_millis(2)] {
                let came = "x".repeat(length);
                let head = format!("HTTP/1.1 {status} Range\r\nContent-Length: 2048\r\n\r\n");
                let steps = [Step::say(head + &came), Step::Pause(pause), Step::Close];
                cluster.replica(1).steps(steps);
                for sidecar in [0, 1].repeat(7) {
                    number += 1;
                    let id = format!("short-{number}");
                    let get = Request::get(&target(&cluster)).field("X-Request-Id", &id);
                    let mut connection = cluster.at(sidecar).connect().await;
                    let answer = connection.ask(&get).await;
                    assert_eq!((answer.status, answer.end), (status, End::Cut), "{id}");
                    assert_eq!(answer.text(), came, "{id} through {sidecar}");
                    let line = cluster.at(sidecar).log.of_request(&id).await;
                    assert_eq!(line["ended"], "upstream_reset");
                    assert_eq!(
                        (&line["status"], &line["sent_bytes"]),
                        (&status.into(), &length.into())
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_the_stream_of_an_http2_client() {
    let cluster = Cluster::start(Plan::of(3).client_tls()).await;
    for broken in BROKEN {
        cluster.replica(1).steps([Step::say(broken), Step::Close]);
        for sidecar in [0, 1] {
            let mut client = cluster.at(sidecar).h2().await;
            let answer = client
                .ask(H2Client::request("GET", &target(&cluster)))
                .await;
            match answer {
                Ok(answer) => assert!(
                    answer.reset.is_some() || answer.status == 502,
                    "{broken:?}: {answer:?}"
                ),
                // The reset may overtake the head.
                Err(error) => assert!(error.is_reset(), "{broken:?}: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let cluster = Cluster::of_three().await;
    cluster
        .replica(1)
        .steps([Step::say("HTTP/1.1 200 OK\r\n\r\nhello"), Step::Close]);
    for sidecar in [0, 1] {
        let answer = cluster.at(sidecar).get(&target(&cluster)).await;
        assert_eq!((answer.text(), answer.end), ("hello".into(), End::Whole));
    }
}

#[tokio::test]
async fn garbage_instead_of_an_answer_is_a_bad_gateway() {
    let cluster = Cluster::of_three().await;
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 999999 No\r\n\r\n",
        "\r\n\r\n\r\n",
        "\0\0\0\0",
    ] {
        cluster
            .replica(1)
            .steps([Step::ReadBody, Step::say(garbage), Step::Close]);
        for sidecar in [0, 1] {
            let answer = cluster
                .at(sidecar)
                .ask(Request::new("PUT", &target(&cluster)).body("x"))
                .await;
            assert_eq!(answer.refused().0, 502, "{garbage:?}");
        }
    }
}

/// RFC 9112 §7.1.
#[tokio::test]
async fn an_answer_whose_body_is_wrong_from_its_beginning_is_a_bad_gateway() {
    let cluster = Cluster::start(Plan::of(3).client_tls()).await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "hello",
        "-1\r\n",
        "\r\n",
        "5\r\nhello!",
        "0\r\nno field\r\n\r\n",
    ] {
        let answer = [head, body].concat();
        let steps = [Step::ReadBody, Step::say(answer), Step::Stall];
        cluster.replica(1).steps(steps);
        for sidecar in [0, 1] {
            let put = Request::new("PUT", &target(&cluster)).body("x");
            let answer = cluster.at(sidecar).ask(put).await;
            assert_eq!(answer.refused().0, 502, "{body:?}");
            let mut client = cluster.at(sidecar).h2().await;
            let put = H2Client::request("PUT", &target(&cluster));
            let answer = client.upload(put, "x".into()).await.unwrap();
            assert_eq!((answer.status, answer.reset), (502, None), "{body:?}");
        }
    }
    // Each was sent once.
    assert_eq!(cluster.replica(1).requests().len(), 20);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_at_the_replica() {
    let cluster = Cluster::of_three().await;
    let get = Request::get(&target(&cluster)).bytes();
    let put = Request::new("PUT", &target(&cluster))
        .body(vec![b'x'; 1000])
        .bytes();
    let half = &put[..put.len() - 500];
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    let cases: [(&[u8], &[Step]); 4] = [
        (&get, &[Step::Stall]),
        (&put, &[Step::ReadBody, Step::Stall]),
        (half, &[Step::ReadBody]),
        (&get, &[Step::say(endless), Step::Fill(1_000_000_000_000)]),
    ];
    for (number, (sent, steps)) in cases.iter().enumerate() {
        for sidecar in [0, 1] {
            cluster.replica(1).steps(*steps);
            let before = cluster.replica(1).requests().len();
            let mut connection = cluster.at(sidecar).connect().await;
            connection.send(sent).await;
            cluster.replica(1).until_requests(before + 1).await;
            let seen = cluster.replica(1).requests().pop().unwrap();
            drop(connection);
            let what = format!("the replica to lose its client, case {number} at {sidecar}");
            cluster
                .replica(1)
                .until(&what, |record| record.closed.contains(&seen.connection))
                .await;
        }
    }
    let seen = cluster.replica(1).requests();
    let cut = seen
        .iter()
        .filter(|request| request.body.as_ref().is_some_and(|body| !body.whole));
    assert_eq!(cut.count(), 2, "half a body must not look whole");
}

#[tokio::test]
async fn a_client_that_ends_its_side_has_gone_away() {
    let cluster = Cluster::of_three().await;
    cluster.replica(1).steps([Step::ReadBody, Step::Stall]);
    let requests = [
        Request::get(&target(&cluster)),
        Request::new("PUT", &target(&cluster)).body("x"),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        for sidecar in [0, 1] {
            let before = cluster.replica(1).requests().len();
            let id = format!("half-closed-{number}-{sidecar}");
            let mut connection = cluster.at(sidecar).connect().await;
            let bytes = request.clone().field("X-Request-Id", &id).bytes();
            connection.send(bytes).await;
            cluster.replica(1).until_requests(before + 1).await;
            let seen = cluster.replica(1).requests().pop().unwrap();
            connection.finish().await;
            let closed =
                |record: &crate::cluster::replica::Record| record.closed.contains(&seen.connection);
            cluster
                .replica(1)
                .until("the replica to lose its client", closed)
                .await;
            assert_eq!(connection.until_closed().await, b"");
            let line = cluster.at(sidecar).log.of_request(&id).await;
            assert_eq!(line["ended"], "client_gone");
        }
    }
    // One that asks and ends its side in one breath is no other.
    let mut connection = cluster.at(1).connect().await;
    connection
        .send(Request::get(&target(&cluster)).bytes())
        .await;
    connection.finish().await;
    assert_eq!(connection.until_closed().await, b"");
}

#[tokio::test]
async fn an_http2_client_that_resets_its_stream_ends_the_request_at_the_replica() {
    let cluster = Cluster::start(Plan::of(3).client_tls()).await;
    cluster.replica(1).steps([Step::Stall]);
    for sidecar in [0, 1] {
        let before = cluster.replica(1).requests().len();
        let mut client = cluster.at(sidecar).h2().await;
        let request = H2Client::request("GET", &target(&cluster));
        let (response, mut stream) = client.begin(request, true).await.unwrap();
        cluster.replica(1).until_requests(before + 1).await;
        let seen = cluster.replica(1).requests().pop().unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        let closed =
            |record: &crate::cluster::replica::Record| record.closed.contains(&seen.connection);
        cluster
            .replica(1)
            .until("the replica to lose its client", closed)
            .await;
    }
}
