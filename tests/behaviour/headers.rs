//! Which header fields a replica sees, and which the client gets.

use crate::cluster::message::Head;
use crate::cluster::{Answer, Cluster, Plan, Request, Step};

/// Through the owner itself and through another member.
const SIDECARS: [usize; 2] = [1, 0];

const LOCATION: &str = "location";

async fn start_upload(
    cluster: &Cluster,
    sidecar: usize,
    fields: &[(&str, &str)],
) -> (Answer, Head) {
    let repository = cluster.repository_of(1);
    let mut request = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/"));
    for (name, value) in fields {
        request = request.field(name, value);
    }
    let answer = cluster.at(sidecar).ask(request.body("")).await;
    assert_eq!(answer.status, 202);
    let seen = cluster.replica(1).requests().pop().unwrap();
    (answer, seen.head)
}

#[tokio::test]
async fn forged_headers_change_nothing() {
    let cluster = Cluster::of_three().await;
    let forged = [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("Forwarded", "for=1.2.3.4;proto=https;host=evil.example"),
        ("X-Zot-Cluster-Hop-Count", "1"),
        ("X-Shardlet-View", "00000000000000000000000000000000"),
        ("x-shardlet-member", "zot-3"),
        ("X-Shardlet-Whatever", "1"),
        // Fields that the client would have us take away again.
        ("Connection", "Forwarded, X-Request-Id, X-Shardlet-View"),
    ];
    for sidecar in SIDECARS {
        let (answer, seen) = start_upload(&cluster, sidecar, &forged).await;
        assert_eq!(seen.one("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.one("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.one("x-forwarded-host"), Some("registry.example:5000"));
        assert_eq!(seen.one("x-forwarded-port"), None);
        assert_eq!(
            seen.one("forwarded"),
            Some("for=127.0.0.1;proto=http;host=\"registry.example:5000\"")
        );
        assert_eq!(seen.one("host"), Some("registry.example:5000"));
        assert_eq!(seen.one("x-request-id"), answer.field("x-request-id"));
        for (name, value) in &seen.fields {
            let name = name.to_ascii_lowercase();
            assert!(
                !name.starts_with("x-shardlet-") && !name.contains("hop-count"),
                "{name}: {value}"
            );
        }
        let location = answer.field(LOCATION).unwrap();
        assert!(
            location.starts_with("http://registry.example:5000/v2/"),
            "{location}"
        );
    }
    assert_eq!(cluster.requests_elsewhere(1), 0);
}

#[tokio::test]
async fn a_client_cannot_have_our_headers_taken_away() {
    let cluster = Cluster::of_three().await;
    for name in [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Host",
    ] {
        for sidecar in SIDECARS {
            let repository = cluster.repository_of(1);
            let request =
                Request::get(&format!("/v2/{repository}/tags/list")).field("Connection", name);
            let answer = cluster.at(sidecar).ask(request).await;
            assert_eq!(answer.refused(), (400, "connection".into()));
        }
    }
    assert_eq!(cluster.replica(1).requests().len(), 0);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let cluster = Cluster::start(Plan::of(3).set("trusted_proxies", "127.0.0.1/32")).await;
    let cases: [(&[(&str, &str)], &str); 4] = [
        (
            &[
                ("X-Forwarded-For", "9.9.9.9"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "public.example"),
            ],
            "https://public.example/v2/",
        ),
        // Appended to what the client has sent.
        (
            &[
                ("X-Forwarded-For", "6.6.6.6, 9.9.9.9"),
                ("X-Forwarded-Proto", "http, https"),
                ("X-Forwarded-Host", "evil.example, public.example"),
            ],
            "https://public.example/v2/",
        ),
        (
            &[(
                "Forwarded",
                "for=9.9.9.9;proto=https;host=\"public.example:8443\"",
            )],
            "https://public.example:8443/v2/",
        ),
        (
            &[("X-Forwarded-Proto", "javascript")],
            "http://registry.example:5000/v2/",
        ),
    ];
    for (fields, expected) in cases {
        for sidecar in SIDECARS {
            let (answer, seen) = start_upload(&cluster, sidecar, fields).await;
            let location = answer.field(LOCATION).unwrap();
            assert!(location.starts_with(expected), "{location} for {fields:?}");
            for name in ["x-forwarded-proto", "x-forwarded-host", "forwarded"] {
                assert!(!seen.one(name).unwrap().contains(','), "{name}: {seen:?}");
            }
        }
    }
    let (_, seen) = start_upload(&cluster, 0, &[("X-Forwarded-For", "6.6.6.6, 9.9.9.9")]).await;
    assert_eq!(seen.one("x-forwarded-for"), Some("9.9.9.9, 127.0.0.1"));
}

#[tokio::test]
async fn a_request_that_comes_back_is_answered_with_the_cause() {
    let cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
    let sent = Request::get(&target).field("Via", "1.0 cache.example:80 (a), 1.1 zot-1");
    assert_eq!(cluster.at(0).ask(sent).await.status, 200);
    let seen = cluster.replica(1).requests().pop().unwrap().head;
    let passed = seen.all("via");
    assert_eq!(passed.len(), 3, "{seen:?}");
    assert_eq!(passed[0], "1.0 cache.example:80 (a), 1.1 zot-1");
    for (line, member) in [(passed[1], "zot-1"), (passed[2], "zot-2")] {
        assert!(
            line.starts_with(&format!("1.1 shardlet-{member}-")),
            "{line}"
        );
    }

    // As the replica would send it on.
    let mut again = Request::get(&target).field("X-Zot-Cluster-Hop-Count", "1");
    for line in &passed {
        again = again.field("Via", line);
    }
    for member in [0, 1] {
        let answer = cluster.at(member).ask(again.clone()).await;
        assert_eq!(answer.refused(), (508, "loop_detected".into()));
        assert!(answer.text().contains("cluster block"), "{answer:?}");
    }
    // It has not been there yet, and could be on a way that ends.
    assert_eq!(cluster.at(2).ask(again.clone()).await.status, 200);
    // Another fleet with the same names, before or behind this one.
    let other = Cluster::of_three().await;
    for member in 0..3 {
        assert_eq!(other.at(member).ask(again.clone()).await.status, 200);
    }
}

#[tokio::test]
async fn other_cookies_than_ours_arrive_byte_for_byte() {
    let cluster = Cluster::of_three().await;
    let target = format!("/v2/{}/tags/list", cluster.repository_of(1));
    for sidecar in SIDECARS {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: r\r\nCookie: a=\"1\";b; SHARDLET=x");
        let bytes = [sent.as_bytes(), b"; name=J\xfcrgen ;c=3\r\n\r\n"].concat();
        let mut connection = cluster.at(sidecar).connect().await;
        connection.send(bytes).await;
        assert_eq!(connection.answer().await.status, 200);
        let seen = cluster.replica(1).requests().pop().unwrap().head;
        let cookies = seen.one("cookie").unwrap();
        assert!(cookies.starts_with("a=\"1\";b; name=J"), "{cookies}");
        assert!(cookies.ends_with("rgen ;c=3"), "{cookies}");
    }
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let cluster = Cluster::of_three().await;
    let sent = [
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("X-Public", "kept"),
    ];
    for sidecar in SIDECARS {
        let (_, seen) = start_upload(&cluster, sidecar, &sent).await;
        for name in ["x-private", "keep-alive", "proxy-connection", "te"] {
            assert_eq!(seen.one(name), None, "{seen:?}");
        }
        assert!(
            !seen
                .one("connection")
                .unwrap_or_default()
                .contains("X-Private"),
            "{seen:?}"
        );
        assert_eq!(seen.one("x-public"), Some("kept"));
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Private\r\nX-Private: 1\r\n\
                  Keep-Alive: timeout=5\r\nX-Public: kept\r\n\r\nok";
    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::say(answer)]);
    for sidecar in SIDECARS {
        let repository = cluster.repository_of(1);
        let answer = cluster
            .at(sidecar)
            .get(&format!("/v2/{repository}/tags/list"))
            .await;
        assert_eq!(
            (answer.field("x-private"), answer.field("keep-alive")),
            (None, None),
            "{answer:?}"
        );
        assert_eq!(answer.field("x-public"), Some("kept"));
    }
}

#[tokio::test]
async fn request_ids_and_traces_are_kept_or_made() {
    const TRACE: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00";
    let cluster = Cluster::of_three().await;
    for sidecar in SIDECARS {
        let kept = [("X-Request-Id", "build-42.step_7"), ("traceparent", TRACE)];
        let (answer, seen) = start_upload(&cluster, sidecar, &kept).await;
        assert_eq!(answer.field("x-request-id"), Some("build-42.step_7"));
        assert_eq!(seen.one("x-request-id"), Some("build-42.step_7"));
        assert_eq!(seen.one("traceparent"), Some(TRACE));

        let bad = [("X-Request-Id", "two words"), ("traceparent", "00-zz")];
        for fields in [&bad[..], &[]] {
            let (answer, seen) = start_upload(&cluster, sidecar, fields).await;
            let id = answer.field("x-request-id").unwrap();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
            assert_eq!(seen.one("x-request-id"), Some(id));
            assert_eq!(seen.one("traceparent").unwrap().len(), TRACE.len());
        }
    }
}

#[tokio::test]
async fn the_registrys_own_fields_pass_through() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n\
                  Location: https://storage.example/blob?X-Amz-Signature=a%2Fb\r\n\
                  Docker-Content-Digest: sha256:00\r\nOCI-Filters-Applied: artifactType\r\n\
                  WWW-Authenticate: Bearer realm=\"r\",service=\"s\"\r\n\
                  WWW-Authenticate: Basic realm=\"b\"\r\n\r\n";
    cluster
        .replica(1)
        .steps([Step::ReadBody, Step::say(answer)]);
    for sidecar in SIDECARS {
        let request = Request::get(&format!("/v2/{repository}/blobs/sha256:00"))
            .field("Range", "bytes=0-9")
            .field("Authorization", "Bearer token")
            .field("Accept", "a/b")
            .field("Accept", "c/d");
        let answer = cluster.at(sidecar).ask(request).await;
        assert_eq!(answer.status, 307);
        let location = answer.field(LOCATION);
        assert_eq!(
            location,
            Some("https://storage.example/blob?X-Amz-Signature=a%2Fb")
        );
        assert_eq!(answer.field("docker-content-digest"), Some("sha256:00"));
        assert_eq!(answer.field("oci-filters-applied"), Some("artifactType"));
        assert_eq!(answer.head.all("www-authenticate").len(), 2);
        let seen = cluster.replica(1).requests().pop().unwrap().head;
        assert_eq!(seen.one("range"), Some("bytes=0-9"));
        assert_eq!(seen.one("authorization"), Some("Bearer token"));
        assert_eq!(seen.all("accept"), ["a/b", "c/d"]);
    }
}

#[tokio::test]
async fn an_answer_of_many_fields_passes_through_a_hop() {
    // The most that a registry may send, and one more.
    for (count, status) in [(256, 200), (257, 502)] {
        let cluster = Cluster::of_three().await;
        let target = format!("/v2/{}/manifests/latest", cluster.repository_of(1));
        let fields: String = (1..count).map(|at| format!("X-{at}: {at}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
        cluster
            .replica(1)
            .steps([Step::ReadBody, Step::say(answer)]);
        for sidecar in SIDECARS {
            // A read would go to another replica.
            let put = Request::new("PUT", &target).body("x");
            let answer = cluster.at(sidecar).ask(put).await;
            assert_eq!(answer.status, status, "{count} fields at {sidecar}");
            if status == 200 {
                assert_eq!(answer.text(), "ok");
                let passed = answer.head.fields.iter();
                let passed = passed.filter(|(name, _)| name.starts_with("X-"));
                assert_eq!(passed.count(), 255);
            }
        }
    }
}
