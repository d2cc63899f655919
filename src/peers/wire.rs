//! What one member says to another, on top of HTTP. Pinned by a test: members of two versions
//! meet during every rolling upgrade.

use crate::member::leases::Tenure;
use crate::shard::ownership::Report;

/// The sender's view, as the hex of its fingerprint; also in a 421, as the receiver's view.
pub(crate) const VIEW: &str = "x-shardlet-view";
/// The sender's member id.
pub(crate) const MEMBER: &str = "x-shardlet-member";
/// In an answer: the metric reason for which the peer itself answered, as opposed to its replica.
pub(crate) const REJECT: &str = "x-shardlet-reject";
/// In a question: the asker has changed, and wants to be asked back.
pub(crate) const CHANGED: &str = "x-shardlet-changed";
/// In a question: the asker's process.
pub(crate) const START: &str = "x-shardlet-start";
/// In a question: the replica that the asker writes with.
pub(crate) const REPLICA: &str = "x-shardlet-replica";
/// In a question: fingerprints of views that need no description, separated by commas.
pub(crate) const KNOWS: &str = "x-shardlet-knows";
/// In a question: the asker wants to know what was seen of others.
pub(crate) const WITNESS: &str = "x-shardlet-witness";
/// In a request: for how many milliseconds it may still wait for its owner.
pub(crate) const HOLD: &str = "x-shardlet-hold";
/// In a request: a read of a repository whose owner's replica is down, to be served by whoever gets it.
pub(crate) const FALLBACK: &str = "x-shardlet-fallback";
/// In a write, where members hold leases: the number of the sender's view, where the peer may be behind that.
pub(crate) const EPOCH: &str = "x-shardlet-epoch";
/// In a write: its sender keeps the body back until a `100 Continue` with the same field has come.
pub(crate) const INVITE: &str = "x-shardlet-invite";
/// Before the view of a member that works by leases: one that works by a file cannot read it, and
/// holds all writes.
pub(crate) const LEASED: &str = "leased-";
/// Where a peer listener tells its member's state. No registry has such a path.
pub(crate) const STATE_PATH: &str = "/-/shardlet/state";

/// A member's state as its peers see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MemberState {
    /// Its id.
    pub(crate) member: String,
    /// Whether its replica answers.
    pub(crate) replica_up: bool,
    /// Whether it takes no new work.
    pub(crate) draining: bool,
    /// Whether it takes nothing more from its peers, and is about to be gone.
    #[serde(default)]
    pub(crate) closing: bool,
    /// Whether its lease lasts, where members hold leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<bool>,
    /// More of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenure: Option<Tenure>,
    /// Whether it invites bodies ([`INVITE`]).
    #[serde(default)]
    pub(crate) invites: bool,
    /// What bears on who may write.
    #[serde(flatten)]
    pub(crate) report: Report,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::field::Name;
    use crate::member::leases::Wish;

    #[test]
    fn names_between_members_do_not_change() {
        let names = [
            VIEW, MEMBER, REJECT, CHANGED, START, REPLICA, KNOWS, WITNESS, HOLD, FALLBACK, EPOCH,
            INVITE, STATE_PATH,
        ];
        assert_eq!(
            names,
            [
                "x-shardlet-view",
                "x-shardlet-member",
                "x-shardlet-reject",
                "x-shardlet-changed",
                "x-shardlet-start",
                "x-shardlet-replica",
                "x-shardlet-knows",
                "x-shardlet-witness",
                "x-shardlet-hold",
                "x-shardlet-fallback",
                "x-shardlet-epoch",
                "x-shardlet-invite",
                "/-/shardlet/state",
            ]
        );
        assert_eq!(LEASED, "leased-");
        // Whatever a client sends under one of them is dropped.
        for name in names.into_iter().filter(|name| *name != STATE_PATH) {
            assert_eq!(Name::of(name.as_bytes()), Name::Internal, "{name}");
        }
        let state = MemberState {
            member: "zot-1".into(),
            replica_up: true,
            draining: false,
            closing: false,
            lease: None,
            tenure: None,
            invites: true,
            report: Report {
                view: "00".into(),
                start: "ab".into(),
                up_ms: 7,
                replica: "10.0.0.1:5001".into(),
                vouches: true,
                ..Report::default()
            },
        };
        let text = r#"{"member":"zot-1","replica_up":true,"draining":false,"closing":false,"invites":true,"view":"00","start":"ab","up_ms":7,"replica":"10.0.0.1:5001","vouches":true}"#;
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        let read: MemberState = serde_json::from_str(text).unwrap();
        assert_eq!(read, state);
        let leased = MemberState {
            lease: Some(true),
            tenure: Some(Tenure {
                incarnation: 2,
                acked: 7,
                left_ms: 8999,
                wish: Some(Wish::Leave),
            }),
            ..state
        };
        let more = r#""closing":false,"lease":true,"tenure":{"incarnation":2,"acked":7,"left_ms":8999,"wish":"leave"}"#;
        let text = text.replace(r#""closing":false"#, more);
        assert_eq!(serde_json::to_string(&leased).unwrap(), text);
    }
}
