//! Which replica sees a request.

use crate::cluster::{Cluster, End, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_served_by_its_owner_through_every_sidecar() {
    let cluster = Cluster::of_three().await;
    for owner in 0..3 {
        let before: Vec<usize> = (0..3).map(|at| cluster.replica(at).requests().len()).collect();
        let repository = cluster.repository_of(owner);
        for sidecar in 0..3 {
            let answer = cluster.at(sidecar).get(&format!("/v2/{repository}/tags/list")).await;
            assert_eq!((answer.status, answer.end), (200, End::Whole));
            assert_eq!(answer.field("x-replica"), Some(&*cluster.plan().id(owner)));
        }
        for at in 0..3 {
            let more = if at == owner { 3 } else { 0 };
            assert_eq!(cluster.replica(at).requests().len(), before[at] + more);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
    let seen: Vec<String> = cluster.replica(1).requests().into_iter().map(|seen| seen.target).collect();
    let sent: Vec<&String> = targets.iter().flat_map(|target| [target, target]).collect();
    assert_eq!(seen.iter().collect::<Vec<_>>(), sent);
}
