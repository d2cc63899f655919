//! The owner, or its replica, does not answer.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::cluster::{Answer, Cluster, End, Plan, Program, Request, Step, eventually};

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

fn manifest(repository: &str) -> String {
    format!("/v2/{repository}/manifests/latest")
}

async fn write(cluster: &Cluster, sidecar: usize, method: &str, repository: &str) -> Answer {
    let request = match method {
        "DELETE" => Request::new(method, &manifest(repository)),
        // The framework would call it idempotent, and so send it again.
        "PUT" => Request::new(method, &manifest(repository)).body(""),
        _ => Request::new(method, &manifest(repository)).body("the manifest"),
    };
    cluster.at(sidecar).ask(request).await
}

async fn reads_fall_back(cluster: &Cluster, repository: &str) {
    for method in ["GET", "HEAD"] {
        let target = format!("/v2/{repository}/tags/list");
        let answer = cluster.at(0).ask(Request::new(method, &target)).await;
        assert_eq!(
            (answer.status, answer.field("x-replica")),
            (200, Some("zot-1")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn reads_fall_back_and_writes_wait_while_the_owner_is_gone() {
    let mut cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    reads_fall_back(&cluster, &repository).await;
    for method in WRITES {
        let answer = write(&cluster, 0, method, &repository).await;
        assert_eq!(
            answer.refused(),
            (503, "upstream_refused".into()),
            "{method}"
        );
    }
    let written = cluster
        .replica(0)
        .requests()
        .iter()
        .filter(|seen| seen.method != "GET" && seen.method != "HEAD")
        .count();
    assert_eq!(written, 0);
    assert_eq!(
        cluster
            .at(2)
            .get(&format!("/v2/{}/tags/list", cluster.repository_of(0)))
            .await
            .status,
        200
    );

    cluster.restart(1).await;
    assert_eq!(write(&cluster, 0, "PUT", &repository).await.status, 201);
}

#[tokio::test]
async fn probes_spare_requests_the_attempt() {
    let mut cluster = Cluster::start(Plan::of(3).eager_probes()).await;
    let repository = cluster.repository_of(1);
    let up = |cluster: &Cluster| cluster.at(0).metric("shardlet_peer_up{member=\"zot-2\"}") > 0.0;
    eventually("the owner to be seen up", async || up(&cluster)).await;
    cluster.stop(1).await;
    eventually("the owner to be seen down", async || !up(&cluster)).await;
    reads_fall_back(&cluster, &repository).await;
    for method in WRITES {
        let answer = write(&cluster, 0, method, &repository).await;
        assert_eq!(answer.refused(), (503, "owner_down".into()), "{method}");
        assert_eq!(answer.oci_error()["detail"]["owner"], "zot-2");
    }
    cluster.restart(1).await;
    eventually("the owner to be seen up again", async || up(&cluster)).await;
    assert_eq!(write(&cluster, 0, "PUT", &repository).await.status, 201);
}

#[tokio::test]
async fn an_upload_that_asks_first_is_not_told_to_continue() {
    let mut cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let mut connection = cluster.at(0).connect().await;
    let put = Request::new("PUT", &manifest(&repository))
        .field("Expect", "100-continue")
        .body("x");
    connection.send(put.head_bytes()).await;
    let answer = connection.answer().await;
    assert_eq!(
        (answer.refused(), answer.interim.len()),
        ((503, "upstream_refused".into()), 0)
    );
    // Whether the body follows now is for the client to know alone.
    assert_eq!(connection.until_closed().await, b"");
}

#[tokio::test]
async fn reads_do_not_fall_back_where_the_operator_forbids_it() {
    let mut cluster = Cluster::start(Plan::of(3).set("reads", "owner_down: reject")).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    let answer = cluster.at(0).get(&manifest(&repository)).await;
    assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    assert_eq!(cluster.requests_elsewhere(usize::MAX), 0);
}

/// Listens where a member listened that was stopped, and never accepts.
async fn listen_in_its_place(address: SocketAddr, backlog: u32) -> TcpListener {
    let mut listener = None;
    eventually("the address to be free", async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        listener = socket
            .bind(address)
            .and_then(|()| socket.listen(backlog))
            .ok();
        listener.is_some()
    })
    .await;
    listener.unwrap()
}

#[tokio::test]
async fn an_owner_that_takes_no_connection_costs_the_connect_timeout() {
    let mut cluster = Cluster::start(Plan::of(3).set("timeouts", "connect: 1s")).await;
    let repository = cluster.repository_of(1);
    let address = cluster.plan().peer_address(1);
    cluster.stop(1).await;
    // A backlog that is full: the kernel drops every further connection attempt.
    let full = listen_in_its_place(address, 1).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let socket = TcpSocket::new_v4().unwrap();
        let pending = tokio::spawn(async move { socket.connect(address).await });
        waiting.push(pending);
    }
    eventually("the backlog to be full", async || {
        waiting
            .iter()
            .filter(|attempt| attempt.is_finished())
            .count()
            >= 2
    })
    .await;
    let answer = write(&cluster, 0, "PUT", &repository).await;
    assert_eq!(answer.refused(), (503, "upstream_connect_timeout".into()));
    reads_fall_back(&cluster, &repository).await;
    drop(full);
}

#[tokio::test]
async fn an_owner_that_never_shakes_hands_costs_the_connect_timeout() {
    let mut cluster = Cluster::start(Plan::of(3).set("timeouts", "connect: 1s")).await;
    let repository = cluster.repository_of(1);
    let address = cluster.plan().peer_address(1);
    cluster.stop(1).await;
    let silent = listen_in_its_place(address, 64).await;
    let answer = write(&cluster, 0, "PUT", &repository).await;
    assert_eq!(answer.refused().0, 503);
    reads_fall_back(&cluster, &repository).await;
    drop(silent);
}

#[tokio::test]
async fn a_dead_replica_is_told_by_its_sidecar() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    cluster.replica(1).stop().await;
    reads_fall_back(&cluster, &repository).await;
    for sidecar in [0, 1] {
        let answer = write(&cluster, sidecar, "PUT", &repository).await;
        assert_eq!(answer.refused(), (503, "upstream_refused".into()));
    }
    // The other members' repositories go on through it.
    let other = cluster.repository_of(2);
    assert_eq!(write(&cluster, 1, "PUT", &other).await.status, 201);
    cluster.replica(1).start_again();
    assert_eq!(write(&cluster, 0, "PUT", &repository).await.status, 201);
}

#[tokio::test]
async fn a_replica_that_fails_its_probes_is_spared() {
    let cluster = Cluster::start(Plan::of(3).eager_probes()).await;
    let repository = cluster.repository_of(1);
    let up = "shardlet_replica_up";
    // A registry that asks for a login lives.
    cluster.replica(1).answers_probes(401);
    let probes = cluster.replica(1).record().probes;
    cluster
        .replica(1)
        .until("probes to see it", |record| record.probes > probes + 1)
        .await;
    eventually("it to be up", async || cluster.at(1).metric(up) > 0.0).await;

    cluster.replica(1).answers_probes(500);
    let peer_up = "shardlet_peer_up{member=\"zot-2\"}";
    eventually("it to be down for all", async || {
        cluster.at(1).metric(up) < 1.0 && cluster.at(0).metric(peer_up) < 1.0
    })
    .await;
    for (sidecar, reason) in [(1, "replica_down"), (0, "owner_down")] {
        let answer = write(&cluster, sidecar, "PUT", &repository).await;
        assert_eq!(answer.refused(), (503, reason.into()));
    }
    reads_fall_back(&cluster, &repository).await;
    assert_eq!(cluster.replica(1).requests().len(), 0);
    // What every client asks first is answered by another replica.
    let base = cluster.at(1).get("/v2/").await;
    assert_eq!((base.status, base.field("x-replica")), (200, Some("zot-3")));

    cluster.replica(1).answers_probes(200);
    eventually("writes to be taken again", async || {
        write(&cluster, 0, "PUT", &repository).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_never_answers_costs_the_idle_timeout() {
    let cluster = Cluster::start(Plan::of(3).set("timeouts", "idle: 1s, commit: 1s")).await;
    let repository = cluster.repository_of(1);
    cluster.replica(1).steps([Step::ReadBody, Step::Stall]);
    let tags = format!("/v2/{repository}/tags/list");
    let answers = tokio::join!(
        write(&cluster, 0, "PUT", &repository),
        write(&cluster, 1, "PATCH", &repository),
        cluster.at(1).get(&tags),
        reads_fall_back(&cluster, &repository),
    );
    for answer in [answers.0, answers.1] {
        assert_eq!(answer.refused(), (504, "upstream_timeout".into()));
    }
    let read = answers.2;
    assert_eq!((read.status, read.field("x-replica")), (200, Some("zot-3")));
    let seen = cluster.replica(1).requests();
    for method in ["PUT", "PATCH"] {
        assert_eq!(
            seen.iter()
                .filter(|request| request.method == method)
                .count(),
            1,
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_write_reaches_the_replica_at_most_once() {
    let cluster = Cluster::of_three().await;
    let repository = cluster.repository_of(1);
    let ends: [&[Step]; 4] = [
        &[Step::Close],
        &[Step::Reset],
        &[Step::ReadBody, Step::Close],
        &[Step::ReadBody, Step::Reset],
    ];
    for steps in ends {
        cluster.replica(1).steps(steps);
        for sidecar in [0, 1] {
            for method in WRITES {
                let before = cluster.replica(1).requests().len();
                let answer = write(&cluster, sidecar, method, &repository).await;
                assert_eq!(answer.refused(), (502, "upstream_reset".into()), "{method}");
                assert_eq!(cluster.replica(1).requests().len(), before + 1, "{method}");
            }
        }
    }
    assert_eq!(cluster.requests_elsewhere(1), 0);
}

#[tokio::test]
async fn a_read_on_a_connection_that_was_just_closing_is_sent_again_and_a_write_is_not() {
    // Each thread has connections of its own.
    let cluster = Cluster::start(Plan::of(3).set("threads", "1")).await;
    let repository = cluster.repository_of(1);
    cluster.replica(1).does(Program::ClosesOnReuse);
    for sidecar in [0, 1] {
        let before = cluster.replica(1).requests().len();
        for _ in 0..2 {
            let answer = cluster
                .at(sidecar)
                .get(&format!("/v2/{repository}/tags/list"))
                .await;
            assert_eq!((answer.status, answer.end), (200, End::Whole));
            assert_eq!(answer.field("x-replica"), Some("zot-2"));
        }
        // First, lost on the old connection, again on a new one.
        assert_eq!(cluster.replica(1).requests().len(), before + 3);

        for method in WRITES {
            assert_eq!(
                cluster
                    .at(sidecar)
                    .get(&format!("/v2/{repository}/tags/list"))
                    .await
                    .status,
                200
            );
            let before = cluster.replica(1).requests().len();
            let answer = write(&cluster, sidecar, method, &repository).await;
            assert_eq!(answer.refused(), (502, "upstream_reset".into()), "{method}");
            assert_eq!(cluster.replica(1).requests().len(), before + 1, "{method}");
        }
    }
}

#[tokio::test]
async fn blobs_come_from_any_replica_where_the_operator_allows_it() {
    let cluster = Cluster::start(Plan::of(3).set("reads", "blobs: any")).await;
    let repository = cluster.repository_of(1);
    let target = format!("/v2/{repository}/blobs/sha256:00");
    cluster.replica(0).steps([Step::say(
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nblob",
    )]);
    assert_eq!(cluster.at(0).get(&target).await.text(), "blob");
    assert_eq!(cluster.replica(1).requests().len(), 0);

    // A part, a question and anything but a blob go to the owner.
    cluster
        .at(0)
        .ask(Request::get(&target).field("Range", "bytes=0-1"))
        .await;
    cluster.at(0).ask(Request::new("HEAD", &target)).await;
    cluster.at(0).get(&manifest(&repository)).await;
    assert_eq!(cluster.replica(1).requests().len(), 3);

    // What the local replica does not have, the owner may have.
    cluster.replica(0).does(Program::Registry);
    cluster.replica(1).steps([Step::say(
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nowners",
    )]);
    let answer = cluster.at(0).get(&target).await;
    assert_eq!((answer.status, answer.text()), (200, "owners".into()));
}
