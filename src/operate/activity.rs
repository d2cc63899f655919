//! What happened lately, as documents: each panel of the page that changes with traffic.

use serde::{Deserialize, Serialize};

/// What members did lately, under `/api/v1/activity` and, by part, under its own paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// Requests to each member, in five minutes.
    pub members: Vec<MemberActivity>,
    /// The repositories that are asked for most, busiest first. Estimates.
    pub repositories: Vec<RepositoryActivity>,
    /// The last errors, newest first.
    pub errors: Vec<ErrorEntry>,
    /// The last changes of members, view and configuration, newest first.
    pub changes: Vec<ChangeEntry>,
}

/// Requests that this member sent to another, or to its own replica, and those that it would have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberActivity {
    /// Its id.
    pub id: String,
    /// How long each slot is, in seconds.
    pub slot_seconds: u64,
    /// Requests that ended in each slot, oldest first; the last slot is not over yet.
    pub requests: Vec<u64>,
    /// Of those, errors.
    pub errors: Vec<u64>,
}

/// One repository of the last minute or so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RepositoryActivity {
    /// Its name.
    pub repository: String,
    /// Id of its owner now.
    pub owner: String,
    pub requests_per_second: f64,
    pub errors_per_second: f64,
    pub bytes_per_second: f64,
}

/// A request that was answered with 5xx, 421 or 429.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorEntry {
    /// When it ended, in RFC 3339.
    pub at: String,
    /// The same in the access log of every member that it passed.
    pub request_id: String,
    /// What was asked for.
    pub operation: String,
    /// In which repository, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The member that it went, or was to go, to.
    pub member: String,
    /// What the client saw.
    pub status: u16,
    /// As in `shardlet_rejects_total`; `upstream` if a registry gave the status.
    pub reason: String,
}

/// Something that an operator may have noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeEntry {
    /// When, in RFC 3339.
    pub at: String,
    /// `member`, `view` or `reload`.
    pub kind: String,
    /// What.
    pub text: String,
}
