//! What the tests of reloads, takeovers, drains and circuits have in common.

use crate::cluster::{Cluster, Request};

/// The inside of `cluster` that gives everything under `moved/` to one member.
pub fn pinned_to(member: &str) -> String {
    format!(
        "hash_key: 000102030405060708090a0b0c0d0e0f, pins: [ {{ prefix: moved/, member: {member} }} ]"
    )
}

/// A write to a repository.
pub fn put(repository: &str) -> Request {
    Request::new("PUT", &format!("/v2/{repository}/manifests/latest")).body("x")
}

/// Whose replica serves a read of a repository through one member.
pub async fn serves(cluster: &Cluster, at: usize, repository: &str) -> Option<String> {
    let target = format!("/v2/{repository}/tags/list");
    let answer = cluster.at(at).get(&target).await;
    answer.field("x-replica").map(str::to_owned)
}
