//! What a proxy in front of us says of its clients before their first byte: the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::cluster::{Answer, Cluster, Connection, Plan, Request};

const REFUSED: &str =
    "shardlet_connections_refused_total{listener=\"clients\",reason=\"proxy_header\"}";
const CLIENT: &str = "PROXY TCP4 203.0.113.9 192.0.2.1 40000 5000\r\n";
/// Not one of `trusted_proxies`.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 250, 0, 1));

fn introduced(members: usize) -> Plan {
    Plan::of(members)
        .set("trusted_proxies", "127.0.0.1/32")
        .proxy_protocol()
}

/// A header of version 2: command, family and what follows.
fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&start[..], &[0x20 | command, family], &length, rest].concat()
}

/// 2001:db8::9, port 40000, and an extension.
fn second_v6() -> Vec<u8> {
    let mut rest = vec![0; 36];
    rest[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    rest[15] = 9;
    rest[32..34].copy_from_slice(&40000_u16.to_be_bytes());
    rest.extend([0x05, 0, 3, b'a', b'b', b'c']);
    second(1, 0x21, &rest)
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let cluster = Cluster::start(introduced(2)).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
    let cases = [
        (
            CLIENT.into(),
            "203.0.113.9",
            "203.0.113.9:40000",
            "for=203.0.113.9;proto=http;host=\"registry.example:5000\"",
        ),
        (
            second_v6(),
            "2001:db8::9",
            "[2001:db8::9]:40000",
            "for=\"[2001:db8::9]\";proto=http;host=\"registry.example:5000\"",
        ),
    ];
    for (number, (header, client, logged, forwarded)) in cases.into_iter().enumerate() {
        for sidecar in [0, 1] {
            let id = format!("introduced-{number}-{sidecar}");
            let mut connection = cluster.at(sidecar).connect_behind(&header).await;
            // The client's own word counts for nothing.
            let request = Request::get(&target)
                .field("X-Request-Id", &id)
                .field("X-Forwarded-For", "6.6.6.6")
                .field("X-Forwarded-Proto", "https");
            for _ in 0..2 {
                assert_eq!(connection.ask(&request).await.status, 200);
                let seen = cluster.replica(1).requests().pop().unwrap().head;
                assert_eq!(seen.one("x-forwarded-for"), Some(client));
                assert_eq!(seen.one("x-forwarded-proto"), Some("http"));
                assert_eq!(seen.one("forwarded"), Some(forwarded));
            }
            let line = cluster.at(sidecar).log.of_request(&id).await;
            assert_eq!(line["client"], logged, "{line}");
        }
    }
    assert_eq!(cluster.at(0).metric(REFUSED), 0.0);
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let cluster = Cluster::start(introduced(1).client_tls()).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    for header in [CLIENT.as_bytes(), &second_v6()] {
        let mut connection = cluster.at(0).connect_behind(header).await;
        assert_eq!(connection.ask(&Request::get(&target)).await.status, 200);
        let seen = cluster.replica(0).requests().pop().unwrap().head;
        assert_eq!(seen.one("x-forwarded-proto"), Some("https"));
        assert_ne!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_proxy_may_speak_for_itself() {
    let cluster = Cluster::start(introduced(1)).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    let mut connection = cluster.at(0).connect_behind(&second(0, 0, &[])).await;
    // It is trusted, and so are its fields.
    let request = Request::get(&target).field("X-Forwarded-For", "203.0.113.9");
    assert_eq!(connection.ask(&request).await.status, 200);
    let seen = cluster.replica(0).requests().pop().unwrap().head;
    assert_eq!(seen.one("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
}

#[tokio::test]
async fn nobody_is_believed_whom_the_proxy_does_not_know() {
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        second(1, 0, &[]),
        second(1, 0x31, &[0; 216]),
    ];
    for plan in [introduced(1), introduced(1).client_tls()] {
        let cluster = Cluster::start(plan).await;
        let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
        for (number, header) in headers.iter().enumerate() {
            let id = format!("unknown-{number}");
            let mut connection = cluster.at(0).connect_behind(header).await;
            let request = Request::get(&target)
                .field("X-Request-Id", &id)
                .field("X-Forwarded-For", "203.0.113.9")
                .field("X-Forwarded-Host", "evil");
            assert_eq!(connection.ask(&request).await.status, 200);
            let seen = cluster.replica(0).requests().pop().unwrap().head;
            assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
            assert_ne!(seen.one("x-forwarded-host"), Some("evil"));
            // In the log it is the proxy's.
            let line = cluster.at(0).log.of_request(&id).await;
            let client = line["client"].as_str().unwrap();
            assert!(client.starts_with("127.0.0.1:"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_behind_another_that_sends_a_header_is_believed() {
    let plan = Plan::of(1).proxy_protocol();
    let plan = plan.set("trusted_proxies", "127.0.0.1/32, 203.0.113.9/32");
    let cluster = Cluster::start(plan).await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(0));
    let mut connection = cluster.at(0).connect_behind(CLIENT.as_bytes()).await;
    let request = Request::get(&target).field("X-Forwarded-For", "198.51.100.7");
    assert_eq!(connection.ask(&request).await.status, 200);
    let seen = cluster.replica(0).requests().pop().unwrap().head;
    let chain = Some("198.51.100.7, 203.0.113.9");
    assert_eq!(seen.one("x-forwarded-for"), chain);
}

/// Status and reason of the answer that a connection has got, if it has got one.
async fn answer_or_end(connection: &mut Connection) -> Option<(u16, String)> {
    if !connection.speaks().await {
        return None;
    }
    let answer: Answer = connection.answer().await;
    Some(answer.refused())
}

#[tokio::test]
async fn trusted_proxies_and_nobody_else_send_a_header() {
    let cluster = Cluster::start(introduced(1)).await;
    let request = Request::get("/v2/");

    let mut bare = cluster.at(0).connect().await;
    bare.send(request.bytes()).await;
    assert_eq!(answer_or_end(&mut bare).await, None, "no header");
    let mut wrong = cluster.at(0).connect().await;
    wrong.send("PROXY TCP4 203.0.113.9 nonsense\r\n").await;
    wrong.send(request.bytes()).await;
    assert_eq!(answer_or_end(&mut wrong).await, None, "no address");
    assert_eq!(cluster.at(0).metric(REFUSED), 2.0);
    // A check that only connects is no mistake.
    let mut check = cluster.at(0).connect().await;
    check.finish().await;
    check.until_closed().await;

    let mut stranger = cluster.at(0).connect_from(STRANGER).await;
    assert_eq!(stranger.ask(&request).await.status, 200);
    for (header, reason) in [
        (CLIENT.into(), (505, "http_version".to_owned())),
        (second_v6(), (400, "request_line".to_owned())),
    ] {
        let mut forger = cluster.at(0).connect_from(STRANGER).await;
        forger.send([header, request.bytes()].concat()).await;
        assert_eq!(answer_or_end(&mut forger).await, Some(reason));
    }
    assert_eq!(cluster.at(0).metric(REFUSED), 2.0);
    let seen = cluster.replica(0).requests();
    assert_eq!(seen.len(), 1, "the stranger's own request");
}

#[tokio::test]
async fn a_header_has_a_deadline_and_an_end() {
    let plan = introduced(1).set("timeouts", "request_header: 300ms");
    let cluster = Cluster::start(plan).await;
    for beginning in ["", "PROXY TCP4 203.0.1"] {
        let mut slow = cluster.at(0).connect().await;
        slow.send(beginning).await;
        assert_eq!(slow.until_closed().await, b"", "{beginning}");
    }
    let mut endless = cluster.at(0).connect().await;
    endless.send("PROXY UNKNOWN ").await;
    endless.send("x".repeat(1000)).await;
    assert_eq!(endless.until_closed().await, b"");
    assert_eq!(cluster.at(0).metric(REFUSED), 3.0);
}

#[tokio::test]
async fn clients_behind_a_proxy_are_counted_one_by_one() {
    let limits = "connections: 10, connections_per_address: 1";
    let cluster = Cluster::start(introduced(1).set("limits", limits)).await;
    let mut first = cluster.at(0).connect_behind(CLIENT.as_bytes()).await;
    assert_eq!(first.ask(&Request::get("/v2/")).await.status, 200);
    let mut second = cluster.at(0).connect_behind(CLIENT.as_bytes()).await;
    assert_eq!(
        second.answer().await.refused(),
        (503, "connections_full".into())
    );
    let mut other = cluster.at(0).connect_behind(&second_v6()).await;
    assert_eq!(other.ask(&Request::get("/v2/")).await.status, 200);
}

#[tokio::test]
async fn a_reload_turns_it_on_and_off() {
    let plan = Plan::of(1).set("trusted_proxies", "127.0.0.1/32");
    let mut cluster = Cluster::start(plan).await;
    let request = Request::get("/v2/");
    let mut before = cluster.at(0).connect().await;
    assert_eq!(before.ask(&request).await.status, 200);

    let reloaded = cluster.reload(0, Plan::proxy_protocol).await;
    assert!(reloaded.taken && reloaded.needs_restart.is_empty());
    let mut behind = cluster.at(0).connect_behind(CLIENT.as_bytes()).await;
    assert_eq!(behind.ask(&request).await.status, 200);
    assert_eq!(before.ask(&request).await.status, 200, "it was open before");

    let elsewhere = |plan: Plan| plan.set("trusted_proxies", "192.0.2.0/24");
    assert!(cluster.reload(0, elsewhere).await.taken);
    assert_eq!(cluster.at(0).ask(request).await.status, 200);
}

/// What TLS and the header have used up of the time for the first head is gone.
#[tokio::test]
async fn header_handshake_and_first_head_share_one_deadline() {
    let plan = introduced(1)
        .client_tls()
        .set("timeouts", "request_header: 6s");
    let cluster = Cluster::start(plan).await;
    let began = tokio::time::Instant::now();
    let late = Duration::from_secs(3);
    let mut connection = cluster
        .at(0)
        .connect_behind_after(CLIENT.as_bytes(), late)
        .await;
    connection.send("GET /v2/ HTTP/1.1\r\n").await;
    let answer = answer_or_end(&mut connection).await;
    assert_eq!(answer, Some((408, "header_timeout".into())));
    // Twice the time would end at 9 s.
    assert!(began.elapsed() < Duration::from_millis(8800));
}
