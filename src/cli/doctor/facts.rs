//! What `doctor` goes by: gathered once, judged without input or output.

use crate::cli::import::tree::Tree;
use crate::config::Config;
use crate::operate::Status;
use crate::shard::leases::record::{Lease, ViewRecord};
use crate::shard::view::Description;

use super::finding::NotChecked;

/// All that is known.
pub(super) struct Facts<'c> {
    /// Its view has the members that the running sidecar tells, where they hold leases.
    pub(super) config: &'c Config,
    /// The local member's id.
    pub(super) local: String,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// What the running sidecar says, or why it says nothing.
    pub(super) sidecar: Result<Status, String>,
    /// Why the replica does not answer; none if it does.
    pub(super) replica_fault: Option<String>,
    /// Addresses, other than loopback, at which this machine answers for the replica.
    pub(super) exposed_at: Vec<String>,
    pub(super) peers: Vec<Peer>,
    /// Where members hold leases, what the store has.
    pub(super) stored: Option<Stored>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) replicas: Vec<ReplicaFile>,
    /// Peers whose replica stores elsewhere than the local one, and how that was seen.
    pub(super) stores_elsewhere: Vec<(String, String)>,
    /// What could not be looked at.
    pub(super) not_checked: Vec<NotChecked>,
}

/// What the store of leases has.
pub(super) struct Stored {
    pub(super) view: ViewRecord,
    /// For each member of the view, in its order: its lease, or why that cannot be read.
    pub(super) leases: Vec<Result<Option<Lease>, String>>,
}

/// A peer, and what it said.
pub(super) struct Peer {
    pub(super) id: String,
    pub(super) address: String,
    /// What it said, or why it said nothing.
    pub(super) answer: Result<Told, String>,
}

/// What a peer says of itself.
pub(super) struct Told {
    pub(super) member: String,
    pub(super) replica_up: bool,
    /// Whether it works by a lease, and whether that lasts.
    pub(super) lease: Option<bool>,
    /// Its view's fingerprint, and the view in words.
    pub(super) view: String,
    pub(super) description: Option<Description>,
    /// By how many seconds its clock is ahead, at the least; none if it tells no time.
    pub(super) clock_ahead: Option<f64>,
}

/// A certificate that is shown, or the authority.
pub(super) struct Certificate {
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) expires: i64,
}

/// The configuration of one member's replica.
pub(super) struct ReplicaFile {
    pub(super) member: String,
    /// As it was named.
    pub(super) file: String,
    /// Whether its sidecar reaches it at an address that is not this machine's loopback.
    pub(super) reached_over_network: bool,
    pub(super) tree: Tree,
}
