//! Which replica sees a request.

use crate::cluster::{Cluster, End, Plan, Request, Step};

#[tokio::test]
async fn a_repository_is_served_by_its_owner_through_every_sidecar() {
    let cluster = Cluster::of_three().await;
    for owner in 0..3 {
        let count = |at: usize| cluster.replica(at).requests().len();
        let before = [count(0), count(1), count(2)];
        let repository = cluster.repository_of(owner);
        for sidecar in 0..3 {
            let answer = cluster
                .at(sidecar)
                .get(&format!("/v2/{repository}/tags/list"))
                .await;
            assert_eq!((answer.status, answer.end), (200, End::Whole));
            assert_eq!(answer.field("x-replica"), Some(&*cluster.plan().id(owner)));
        }
        let mut after = before;
        after[owner] += 3;
        assert_eq!([count(0), count(1), count(2)], after);
    }
}

#[tokio::test]
async fn a_pinned_prefix_is_served_by_its_member() {
    let key = "hash_key: 000102030405060708090a0b0c0d0e0f";
    let pins =
        "pins: [ { prefix: base/, member: zot-3 }, { prefix: base/images/, member: zot-1 } ]";
    let cluster = Cluster::start(Plan::of(3).set("cluster", &format!("{key}, {pins}"))).await;
    let owners = [
        ("base/a", "zot-3"),
        ("base/b/c", "zot-3"),
        ("base/images/a", "zot-1"),
    ];
    for (repository, owner) in owners {
        for sidecar in 0..3 {
            let answer = cluster
                .at(sidecar)
                .get(&format!("/v2/{repository}/tags/list"))
                .await;
            assert_eq!(answer.field("x-replica"), Some(owner), "{repository}");
        }
    }
}

#[tokio::test]
async fn target_bytes_are_forwarded_unchanged() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let targets = [
        format!("/v2/{repository}/tags/list?n=10&last=a%2Fb%20c&&=;x"),
        format!("/v2/{repository}/blobs/uploads/?mount=sha256%3Aab&from=other/repo"),
        format!("/v2/{repository}/blobs/uploads/id?_state=a-b_c%3D%3D&digest=sha256:00"),
        format!("/v2/{repository}/manifests/sha256%3Aabc"),
        format!("/v2/{repository}/manifests/latest?"),
    ];
    for target in &targets {
        cluster.at(0).ask(Request::get(target)).await;
        cluster.at(1).ask(Request::get(target)).await;
    }
    let seen: Vec<String> = cluster
        .replica(1)
        .requests()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    let sent: Vec<&String> = targets.iter().flat_map(|target| [target, target]).collect();
    assert_eq!(seen.iter().collect::<Vec<_>>(), sent);
}

#[tokio::test]
async fn a_repository_is_what_the_path_names_whatever_a_mirrors_client_adds() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    for sidecar in [0, 1] {
        for (query, kept) in [
            ("ns=docker.io", ""),
            ("n=5&%6es=docker.io&last=a%2Fb", "?n=5&last=a%2Fb"),
        ] {
            let asked = Request::get(&format!("/v2/{repository}/tags/list?{query}"));
            assert_eq!(cluster.at(sidecar).ask(asked).await.status, 200);
            let seen = cluster.replica(1).requests().pop().unwrap();
            assert_eq!(seen.target, format!("/v2/{repository}/tags/list{kept}"));
        }
    }
    let push = format!("/v2/{repository}/manifests/v1?ns=docker.io");
    let push = Request::new("PUT", &push).body("{}");
    assert_eq!(cluster.at(0).ask(push).await.status, 201);
    let seen = cluster.replica(1).requests().pop().unwrap();
    assert_eq!(seen.target, format!("/v2/{repository}/manifests/v1"));
    assert_eq!(cluster.requests_elsewhere(1), 0);
}

#[tokio::test]
async fn registry_wide_endpoints_are_answered_by_the_local_replica() {
    let cluster = Cluster::of_three().await;
    for sidecar in 0..3 {
        for target in [
            "/v2",
            "/v2/",
            "/v2/_catalog?n=5",
            "/v2/_oci/ext/discover",
            "/zot/auth/token",
        ] {
            let answer = cluster.at(sidecar).get(target).await;
            assert_eq!(
                answer.field("x-replica"),
                Some(&*cluster.plan().id(sidecar)),
                "{target}"
            );
            assert_eq!(answer.field("set-cookie"), None, "{target}");
        }
        assert_eq!(cluster.replica(sidecar).requests().len(), 5);
    }
}

#[tokio::test]
async fn a_session_stays_with_the_member_that_began_it() {
    let cluster = Cluster::of_three().await;
    let login = cluster.at(1).get("/zot/auth/login").await;
    assert_eq!(login.field("x-replica"), Some("zot-2"));
    let cookie = login.field("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();

    for target in ["/zot/auth/callback/github?state=1", "/v2/_catalog", "/"] {
        let request = Request::get(target).field("Cookie", &format!("theme=dark; {pair}; a=b"));
        let answer = cluster.at(0).ask(request).await;
        assert_eq!(answer.field("x-replica"), Some("zot-2"), "{target}");
        assert_eq!(answer.field("set-cookie"), None, "{target}");
    }
    // The cookie is between the client and us.
    let seen = cluster.replica(1).requests().pop().unwrap();
    assert_eq!(seen.head.one("cookie"), Some("theme=dark; a=b"));

    let forged = Request::get("/").field("Cookie", "SHARDLET=0123456789abcdef");
    let answer = cluster.at(2).ask(forged).await;
    assert_eq!(answer.field("x-replica"), Some("zot-3"));
    assert!(
        answer.field("set-cookie").is_some(),
        "a cookie of no member is replaced"
    );
}

#[tokio::test]
async fn a_login_by_the_registrys_base_hands_out_no_cookie_of_ours() {
    let cluster = Cluster::of_three().await;
    // As zot answers its user interface.
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: session=s; Path=/\r\nContent-Length: 0\r\n\r\n";
    cluster.replica(1).steps([Step::say(answer)]);
    let login = Request::get("/v2/")
        .field("Authorization", "Basic dTpw")
        .field("X-ZOT-API-CLIENT", "zot-ui");
    let answer = cluster.at(1).ask(login).await;
    assert_eq!(answer.field("set-cookie"), Some("session=s; Path=/"));

    // Where a repository is served, no cookie has a say.
    let page = cluster.at(0).get("/").await;
    let sticky = page.field("set-cookie").unwrap();
    let pair = sticky.split(';').next().unwrap();
    let target = format!("/v2/{}/tags/list", cluster.repository_of(2));
    let call = Request::get(&target).field("Cookie", &format!("session=s; {pair}"));
    let answer = cluster.at(0).ask(call).await;
    assert_eq!(answer.field("x-replica"), Some("zot-3"));
    let seen = cluster.replica(2).requests().pop().unwrap();
    assert_eq!(seen.head.one("cookie"), Some("session=s"));
}

#[tokio::test]
async fn operators_endpoints_are_refused_to_clients() {
    let cluster = Cluster::of_three().await;
    for target in ["/metrics", "/v2/_zot/pprof/heap", "/swagger/index.html"] {
        let answer = cluster.at(0).get(target).await;
        assert_eq!(answer.refused(), (403, "private".into()), "{target}");
    }
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn a_path_that_another_reader_could_take_for_another_is_never_forwarded() {
    let cluster = Cluster::of_three().await;
    let targets = [
        "/v2/team%2Fapp/tags/list",
        "/v2/team/%61pp/manifests/latest",
        "/v2//team/app/tags/list",
        "//v2/team/app/tags/list",
        "/v2/team/../other/tags/list",
        "/v2/team/./app/tags/list",
        "/./v2/team/app/tags/list",
        "/x/../v2/team/app/tags/list",
        "/%76%32/team/app/tags/list",
        "/v2/Team/app/tags/list",
        "/v2/team/app;x=1/tags/list",
        "/v2/team\\app/tags/list",
        "/v2/team/app/tags/list/",
        "/v2/team/app/unknown/x",
        "/v2/_unknown",
        "/V2/team/app/../tags/list",
    ];
    for target in targets {
        let answer = cluster.at(0).get(target).await;
        assert!(matches!(answer.status, 400 | 404), "{target}: {answer:?}");
        assert_eq!(answer.refused().1, "route", "{target}");
    }
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

#[tokio::test]
async fn an_error_to_a_head_request_has_no_body() {
    let cluster = Cluster::of_three().await;
    let mut connection = cluster.at(0).connect().await;
    let answer = connection
        .ask(&Request::new("HEAD", "/v2/Team/app/manifests/latest"))
        .await;
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (400, Some("application/json"))
    );
    assert_ne!(answer.field("content-length"), Some("0"));
    // Had a body come, it would stand where the next answer is looked for.
    assert_eq!(connection.ask(&Request::get("/v2/")).await.status, 200);
}
