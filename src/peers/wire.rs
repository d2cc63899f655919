//! What one member says to another, on top of HTTP. Pinned by a test: members of two versions
//! meet during every rolling upgrade.

use crate::shard::Description;

/// The sender's view, as the hex of its fingerprint; also in a 421, as the receiver's view.
pub(crate) const VIEW: &str = "x-shardlet-view";
/// The sender's member id, for the receiver's log.
pub(crate) const MEMBER: &str = "x-shardlet-member";
/// In an answer: the metric reason for which the peer itself answered, as opposed to its replica.
pub(crate) const REJECT: &str = "x-shardlet-reject";
/// In a question after a member's state: the asker has changed, and wants to be asked back.
pub(crate) const NEWS: &str = "x-shardlet-news";
/// In a request: a read of a repository whose owner's replica is down, to be served by whoever gets it.
pub(crate) const FALLBACK: &str = "x-shardlet-fallback";
/// Every internal header begins so; whatever a client sends under it is dropped.
pub(crate) const PREFIX: &str = "x-shardlet-";
/// zot's own hop counter: any client can send it, and zot believes it.
pub(crate) const ZOT_HOP_COUNT: &str = "x-zot-cluster-hop-count";
/// Where a peer listener tells its member's state. No registry has such a path.
pub(crate) const STATE_PATH: &str = "/-/shardlet/state";

/// Where a peer listener tells whom its member takes for the owner of the repository that follows.
pub(crate) const OWNERS_PATH: &str = "/-/shardlet/owners/";

/// Whom a member takes for the owner of one repository.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Owners {
    /// Who says so.
    pub member: String,
    /// Ids: by its view in force, and by every other view under which it still writes.
    pub owners: Vec<String>,
}

/// A member's state as its peers see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MemberState {
    /// Its id.
    pub member: String,
    /// Its view's fingerprint.
    pub view: String,
    /// Another one after each start: who has a new one does not know what the one before it did.
    #[serde(default)]
    pub start: String,
    /// Whether its replica answers.
    pub replica_up: bool,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Whether it takes nothing more from its peers, and is about to be gone.
    #[serde(default)]
    pub closing: bool,
    /// Its view in words, for a peer whose own view is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Other views under which writes of its are still under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Description>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_between_members_do_not_change() {
        assert_eq!(
            (
                VIEW,
                MEMBER,
                REJECT,
                NEWS,
                FALLBACK,
                STATE_PATH,
                OWNERS_PATH
            ),
            (
                "x-shardlet-view",
                "x-shardlet-member",
                "x-shardlet-reject",
                "x-shardlet-news",
                "x-shardlet-fallback",
                "/-/shardlet/state",
                "/-/shardlet/owners/",
            )
        );
        let state = MemberState {
            member: "zot-1".into(),
            view: "00".into(),
            start: "ab".into(),
            replica_up: true,
            draining: false,
            closing: false,
            description: None,
            also: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"member":"zot-1","view":"00","start":"ab","replica_up":true,"draining":false,"closing":false}"#
        );
    }
}
