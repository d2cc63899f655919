//! What a member tells people of the last minutes.

use serde_json::Value;

use crate::cluster::{Cluster, Connection, Plan, Request, eventually};
use crate::moves::{pinned_to, put};

#[tokio::test]
async fn what_members_did_is_told_by_id_and_outlives_a_reload() {
    let mut cluster = Cluster::start(Plan::of(2).set("cluster", &pinned_to("zot-1"))).await;
    let (own, other) = (cluster.repository_of(0), cluster.repository_of(1));
    for repository in [&own, &own, &other] {
        assert_eq!(cluster.at(0).ask(put(repository)).await.status, 201);
    }
    // A request is counted when it has ended, which its client may see first.
    eventually("all three to be counted", async || {
        counts(&ask(&cluster, "/api/v1/activity").await) == [2, 1]
    })
    .await;
    let told = ask(&cluster, "/api/v1/activity").await;
    assert_eq!(told["repositories"][0]["repository"], own.as_str());
    assert_eq!(told["repositories"][0]["owner"], "zot-1");
    assert_eq!(told["errors"], serde_json::json!([]));

    let reloaded = cluster
        .reload(0, |plan| plan.set("cluster", &pinned_to("zot-2")))
        .await;
    assert!(reloaded.taken, "{:?}", reloaded.problems);
    let told = ask(&cluster, "/api/v1/activity").await;
    assert_eq!(counts(&told), [2, 1]);
    let changes = told["changes"].as_array().unwrap();
    let kinds: Vec<_> = changes.iter().take(2).map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["reload", "view"], "{changes:?}");
}

#[tokio::test]
async fn a_dead_member_is_in_the_verdict_with_its_reason_and_its_errors() {
    let plan = Plan::of(2).eager_probes().set("writes", "hold: 0s");
    let mut cluster = Cluster::start(plan).await;
    let repository = cluster.repository_of(1);
    cluster.stop(1).await;
    eventually("the verdict to say so", async || {
        ask(&cluster, "/api/v1/verdict").await["severity"] == "bad"
    })
    .await;
    let verdict = ask(&cluster, "/api/v1/verdict").await;
    let first = verdict["sentences"][0]["text"].as_str().unwrap();
    assert!(first.starts_with("zot-2 has not answered for "), "{first}");
    assert!(first.ends_with(": it refuses connections."), "{first}");
    assert_eq!(
        verdict["sentences"][1]["text"],
        "50 % of repositories are read-only."
    );

    let request = put(&repository).field("X-Request-Id", "in-vain");
    assert_eq!(cluster.at(0).ask(request).await.status, 503);
    eventually("the error to be told", async || {
        ask(&cluster, "/api/v1/activity").await["errors"][0]["request_id"] == "in-vain"
    })
    .await;
    let error = &ask(&cluster, "/api/v1/activity").await["errors"][0];
    let told = (&error["member"], &error["reason"], &error["status"]);
    assert_eq!(told, (&"zot-2".into(), &"owner_down".into(), &503.into()));
    let owner = ask(&cluster, &format!("/api/v1/owner?repo={repository}")).await;
    assert_eq!(owner["readers"], serde_json::json!(["zot-2", "zot-1"]));
    assert_eq!(
        owner["writes_here"],
        "is refused with 503: zot-2 does not answer"
    );
    let reads = &owner["reads_here"];
    assert_eq!(reads, "goes to its own replica, in place of zot-2");
}

/// Requests to each member, in the order of the view.
fn counts(activity: &Value) -> Vec<u64> {
    let members = activity["members"].as_array().unwrap();
    let sum = |member: &Value| {
        let slots = member["requests"].as_array().unwrap();
        slots.iter().filter_map(Value::as_u64).sum()
    };
    members.iter().map(sum).collect()
}

async fn ask(cluster: &Cluster, path: &str) -> Value {
    let mut operator = Connection::open(cluster.at(0).addresses().admin).await;
    let answer = operator.ask(&Request::get(path)).await;
    serde_json::from_slice(&answer.body).unwrap()
}
