//! What is refused before it is a request, on every listener.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Connection, Plan, Request, within};

/// Something else than one well-formed request, the status it gets, and why.
const REFUSED: [(&str, u16, &str); 29] = [
    ("GET  /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    (" GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    (
        "\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "request_line",
    ),
    ("GET /v2/\r\nHost: a\r\n\r\n", 400, "request_line"),
    (
        "GET /v2/ x HTTP/1.1\r\nHost: a\r\n\r\n",
        505,
        "http_version",
    ),
    ("GET v2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400, "tls_hello"),
    ("GET /v2/ HTTP/1.1\nHost: a\n\n", 400, "bare_line_feed"),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        400,
        "bare_line_feed",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        400,
        "header_name",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        400,
        "header_name",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        400,
        "header_value",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        400,
        "folded_header",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "length_with_encoding",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        400,
        "content_length",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        400,
        "content_length",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        400,
        "content_length",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        400,
        "header_value",
    ),
    (
        "POST /v2/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    ("GET /v2/ HTTP/1.1\r\nX: b\r\n\r\n", 400, "host_missing"),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
        "host_repeated",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
        "host_invalid",
    ),
    (
        "GET http://b/v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "authority_differs",
    ),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        405,
        "method_not_allowed",
    ),
    (
        "TRACE /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        405,
        "method_not_allowed",
    ),
    (
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        400,
        "upgrade_refused",
    ),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version"),
    ("GET /v2/ HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http_version"),
];

/// A cluster whose three listeners all speak plain HTTP.
async fn plain(plan: Plan) -> (Cluster, [SocketAddr; 3]) {
    let cluster = Cluster::start(plan.insecure()).await;
    let addresses = cluster.at(0).addresses();
    (
        cluster,
        [addresses.clients, addresses.peers, addresses.admin],
    )
}

#[tokio::test]
async fn an_ambiguous_message_is_refused_on_every_listener() {
    let (cluster, listeners) = plain(Plan::of(1)).await;
    for address in listeners {
        for (message, status, reason) in REFUSED {
            let mut connection = Connection::open(address).await;
            // What stands behind it must not be answered.
            connection
                .send(format!("{message}GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            let answer = connection.answer().await;
            assert_eq!(
                answer.refused(),
                (status, reason.into()),
                "{message:?} at {address}"
            );
            assert_eq!(answer.field("connection"), Some("close"));
            assert_eq!(
                connection.until_closed().await,
                b"",
                "{message:?} at {address}"
            );
        }
    }
    assert_eq!(cluster.replica(0).requests().len(), 0);
}

/// Docker, containerd and Go's HTTP client know a plain answer to their handshake and say so: "server gave
/// HTTP response to HTTPS client".
#[tokio::test]
async fn a_tls_client_of_a_plain_listener_is_told_and_seen() {
    let cluster = Cluster::start(Plan::of(1)).await;
    let mut connection = cluster.at(0).connect().await;
    connection
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    let answer = connection.answer().await;
    assert_eq!(answer.refused(), (400, "tls_hello".into()));
    let id = answer.field("x-request-id").unwrap();
    let line = cluster.at(0).log.of_request(id).await;
    assert_eq!(
        (&line["ended"], &line["tls"]),
        (&"tls_hello".into(), &serde_json::Value::Null)
    );
    let message = "a TLS client spoke to the plain listener: set listen.clients.tls or use http://";
    assert_eq!(line["message"], message);
    let counted = cluster
        .at(0)
        .metric("shardlet_rejects_total{reason=\"tls_hello\"}");
    assert_eq!(counted, 1.0);
}

#[tokio::test]
async fn a_handshake_within_tls_is_just_no_request() {
    let cluster = Cluster::start(Plan::of(1).client_tls()).await;
    let mut connection = cluster.at(0).connect().await;
    connection
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    assert_eq!(
        connection.answer().await.refused(),
        (400, "request_line".into())
    );
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused_on_every_listener() {
    let limits = "request_line: 600B, header_bytes: 2KiB, header_count: 20";
    let (cluster, listeners) = plain(Plan::of(1).set("limits", limits)).await;
    let many = "X: 1\r\n".repeat(60);
    let long = "a".repeat(700);
    let large = format!("X: {}\r\n", "a".repeat(16_384));
    let heads = [
        (
            format!("GET /v2/{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
            "uri_too_long",
        ),
        (
            format!("GET /v2/{}", "a".repeat(100_000)),
            414,
            "uri_too_long",
        ),
        (
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            431,
            "headers_too_large",
        ),
        (
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\n{large}\r\n"),
            431,
            "headers_too_large",
        ),
        (
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(100_000)),
            431,
            "headers_too_large",
        ),
    ];
    for address in listeners {
        for (head, status, reason) in &heads {
            let mut connection = Connection::open(address).await;
            connection.send(head).await;
            assert_eq!(
                connection.answer().await.refused(),
                (*status, (*reason).into())
            );
        }
    }
    assert_eq!(cluster.replica(0).requests().len(), 0);
}

#[tokio::test]
async fn a_head_has_a_deadline_however_steadily_it_drips() {
    let (_cluster, listeners) = plain(Plan::of(1).set("timeouts", "request_header: 500ms")).await;
    let drip = async |began: Instant, mut connection: Connection| {
        let mut head = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.resize(1000, b'a');
        let mut connection = within("408 in the middle of a head", async {
            for byte in head {
                connection.send([byte]).await;
                let pause = tokio::time::timeout(Duration::from_millis(50), connection.speaks());
                if pause.await.is_ok() {
                    return connection;
                }
            }
            panic!("the whole head was taken");
        })
        .await;
        assert_eq!(
            connection.answer().await.refused(),
            (408, "header_timeout".into())
        );
        assert!(began.elapsed() >= Duration::from_millis(500));
    };
    let silent = async |mut connection: Connection| {
        assert_eq!(connection.until_closed().await, b"");
    };
    for address in listeners {
        let mut second = Connection::open(address).await;
        // A connection that has carried a request has the same deadline for the next.
        second
            .ask(&Request::get("/v2/").field("X-Shardlet-View", "0"))
            .await;
        let began = Instant::now();
        let first = Connection::open(address).await;
        tokio::join!(
            drip(began, first),
            drip(began, second),
            silent(Connection::open(address).await)
        );
    }
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let cluster = Cluster::start(
        Plan::of(1)
            .client_tls()
            .set("timeouts", "request_header: 300ms"),
    )
    .await;
    let addresses = cluster.at(0).addresses();
    for address in [addresses.clients, addresses.peers] {
        let mut silent = Connection::open(address).await;
        assert!(!silent.until_closed().await.starts_with(b"HTTP/"));
        let mut garbage = Connection::open(address).await;
        garbage.send("GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(!garbage.until_closed().await.starts_with(b"HTTP/"));
    }
}

#[tokio::test]
async fn an_offer_of_h2c_is_answered_in_http1() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let request = Request::get(&format!("/v2/{repository}/tags/list"))
        .field("Connection", "Upgrade, HTTP2-Settings")
        .field("Upgrade", "h2c")
        .field("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
    for sidecar in [0, 1] {
        let mut connection = cluster.at(sidecar).connect().await;
        for _ in 0..2 {
            let answer = connection.ask(&request).await;
            assert_eq!((answer.status, answer.interim), (200, vec![]));
        }
        let seen = cluster.replica(1).requests().pop().unwrap().head;
        assert_eq!(
            (seen.one("upgrade"), seen.one("http2-settings")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn an_absolute_target_goes_on_in_origin_form() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let request = Request::get(&format!(
        "http://registry.example:5000/v2/{repository}/tags/list?n=1"
    ));
    let mut connection = cluster.at(0).connect().await;
    for _ in 0..2 {
        assert_eq!(connection.ask(&request).await.status, 200);
    }
    let targets: Vec<_> = cluster
        .replica(1)
        .requests()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(targets, vec![format!("/v2/{repository}/tags/list?n=1"); 2]);
}
