//! Another configuration, while requests are under way.

use shardlet::config::SourceName;

use crate::cluster::{Cluster, Plan, Request, eventually};
use crate::moves::{pinned_to, put, serves};

#[tokio::test]
async fn a_good_configuration_is_taken_without_a_failed_request() {
    let mut cluster = Cluster::start(
        Plan::of(2)
            .eager_probes()
            .set("cluster", &pinned_to("zot-1")),
    )
    .await;
    assert_eq!(
        serves(&cluster, 0, "moved/app").await.as_deref(),
        Some("zot-1")
    );
    let steady = cluster.repository_of(0);
    let mut connection = cluster.at(0).connect().await;
    let read = Request::get(&format!("/v2/{steady}/tags/list"));
    assert_eq!(connection.ask(&read).await.status, 200);

    for at in [0, 1] {
        let reloaded = cluster
            .reload(at, |plan| plan.set("cluster", &pinned_to("zot-2")))
            .await;
        assert!(reloaded.taken, "{:?}", reloaded.problems);
        assert_eq!(
            connection.ask(&read).await.status,
            200,
            "the connection lives on"
        );
    }
    for at in [0, 1] {
        assert_eq!(
            serves(&cluster, at, "moved/app").await.as_deref(),
            Some("zot-2")
        );
    }
    eventually("the new owner to write", async || {
        cluster.at(0).ask(put("moved/app")).await.status == 201
    })
    .await;
    assert!(
        cluster
            .replica(0)
            .requests()
            .iter()
            .all(|seen| seen.method == "GET")
    );
    assert_eq!(
        cluster
            .at(0)
            .metric("shardlet_config_reloads_total{result=\"taken\"}"),
        1.0
    );
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_is_reported() {
    let mut cluster = Cluster::start(Plan::of(2).set("cluster", &pinned_to("zot-1"))).await;
    let before = cluster.at(0).generation();
    let reloaded = cluster
        .reload(0, |plan| plan.set("timeouts", "idle: soon, conect: 1s"))
        .await;
    assert!(!reloaded.taken);
    let file = SourceName::File(cluster.at(0).file.clone());
    let place = format!("{}:", file.path().unwrap().display());
    assert_eq!(reloaded.problems.len(), 2, "{:?}", reloaded.problems);
    for (problem, word) in reloaded.problems.iter().zip(["`soon`", "`conect`"]) {
        assert!(
            problem.starts_with(&place) && problem.contains(word),
            "{problem}"
        );
    }
    assert!(std::sync::Arc::ptr_eq(&before, &cluster.at(0).generation()));
    assert_eq!(
        serves(&cluster, 0, "moved/app").await.as_deref(),
        Some("zot-1")
    );
    assert_eq!(cluster.at(0).metric("shardlet_config_last_reload_ok"), 0.0);

    let reloaded = cluster
        .reload(0, |plan| plan.set("timeouts", "idle: 7s"))
        .await;
    assert!(reloaded.taken, "{:?}", reloaded.problems);
    assert_eq!(cluster.at(0).generation().timeouts.idle.as_secs(), 7);
    assert_eq!(cluster.at(0).metric("shardlet_config_last_reload_ok"), 1.0);
}

#[tokio::test]
async fn a_changed_file_is_read_without_being_told() {
    let cluster = Cluster::start(Plan::of(1).set("reload", "watch: true")).await;
    let file = &cluster.at(0).file;
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("idle: 10s", "idle: 11s")).unwrap();
    eventually("the change to be taken", async || {
        cluster.at(0).generation().timeouts.idle.as_secs() == 11
    })
    .await;
    assert_eq!(
        cluster
            .at(0)
            .metric("shardlet_config_reloads_total{result=\"taken\"}"),
        1.0
    );
}

#[tokio::test]
async fn keys_that_take_a_restart_are_named() {
    let mut cluster = Cluster::start(Plan::of(2)).await;
    let reloaded = cluster
        .reload(0, |plan| plan.set("log", "level: warn"))
        .await;
    assert!(reloaded.taken);
    assert_eq!(reloaded.needs_restart, ["log"]);

    let file = cluster.at(0).file.clone();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("member: zot-1", "member: zot-2", 1)).unwrap();
    let reloaded = cluster.at(0).server.reload().await;
    assert!(!reloaded.taken);
    let said = "becoming zot-2 takes a restart";
    assert!(
        reloaded
            .problems
            .iter()
            .any(|problem| problem.contains(said)),
        "{:?}",
        reloaded.problems
    );
}
