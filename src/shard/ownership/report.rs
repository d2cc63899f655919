//! What one member tells another of its views, its writes and what it has seen of others, as it
//! crosses the wire. Readers take any of it as missing or wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claim::ProcessId;
use crate::shard::members::MemberId;
use crate::shard::view::{Description, Fingerprint};

/// A member's account of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Its view's fingerprint.
    pub view: String,
    /// Which process says so.
    #[serde(default)]
    pub start: String,
    /// How long that process has been up, in milliseconds.
    #[serde(default)]
    pub up_ms: u64,
    /// The replica that it writes with.
    #[serde(default)]
    pub replica: String,
    /// Its view in words, for an asker that does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Other views, or another replica, under which writes of its are still under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<UnderWay>,
    /// Whether it knows all that its own replica may be writing, from processes before it too.
    #[serde(default)]
    pub vouches: bool,
    /// What it has seen of others that is not the asker's view; only if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Witness>,
}

/// Writes under way from before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The fingerprint of the view under which they were admitted.
    #[serde(default)]
    pub fingerprint: String,
    /// That view in words.
    #[serde(flatten)]
    pub description: Description,
    /// The replica that they went to.
    #[serde(default)]
    pub replica: String,
    /// The repositories, unless they are too many to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
}

/// What a member has seen of others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Witness {
    /// Whether this is all that may be under way anywhere, beside what the asker's own view allows.
    pub complete: bool,
    /// Who may be writing what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Seen>,
    /// The views that these name, in words, each with its fingerprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<(String, Description)>,
    /// Members of whom it hears nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<Unheard>,
}

/// One of whom nothing is heard, though it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// Who.
    pub member: String,
    /// Where it is asked.
    pub address: String,
    /// For how long, in milliseconds; more than `aftermath` makes no difference.
    pub for_ms: u64,
}

/// One claim of a third.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whose.
    pub member: String,
    /// Where it is asked.
    pub address: String,
    /// Which process.
    pub start: String,
    /// With which replica.
    pub replica: String,
    /// The view's fingerprint; none if it may be any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// These repositories alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// For how long it counts from now on, in milliseconds.
    pub left_ms: u64,
}

/// What a process leaves to the one after it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// What it may have been writing.
    pub own: Vec<UnderWay>,
    /// Everybody else who counted.
    pub parties: Vec<(String, String)>,
    /// Whether that is all.
    pub complete: bool,
}

/// Who asks for a report, as far as it says so.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Its id.
    pub member: Option<MemberId>,
    /// Its process.
    pub process: ProcessId,
    /// Its view.
    pub view: Option<Fingerprint>,
    /// Views that need no description.
    pub knows: Vec<Fingerprint>,
    /// Whether it asks what was seen of others.
    pub wants_witness: bool,
}

/// Views that are told of: a member has at most so many beside the one in force, and a witness
/// describes at most so many.
pub(super) const TOLD_VIEWS: usize = 16;
pub(super) const WITNESS_VIEWS: usize = 64;

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
