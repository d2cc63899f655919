//! What the tests of reloads, takeovers, drains and circuits have in common.

use crate::cluster::{Cluster, Connection, Gate, Request, Step};

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

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

/// A write that has reached the member's own replica, which answers when the gate opens.
pub async fn held_write(cluster: &Cluster, at: usize, repository: &str) -> (Connection, Gate) {
    let gate = Gate::shut();
    let steps = [Step::ReadBody, Step::Wait(gate.clone()), Step::say(CREATED)];
    cluster.replica(at).steps(steps);
    let mut connection = cluster.at(at).connect().await;
    connection.send(put(repository).bytes()).await;
    cluster.replica(at).until_requests(1).await;
    (connection, gate)
}

/// Whose replica serves a read of a repository through one member.
pub async fn serves(cluster: &Cluster, at: usize, repository: &str) -> Option<String> {
    let target = format!("/v2/{repository}/tags/list");
    let answer = cluster.at(at).get(&target).await;
    answer.field("x-replica").map(str::to_owned)
}
