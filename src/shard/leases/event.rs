//! What happens, and what is to be done about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Departure;
use super::layout::{Incomprehensible, Layout};
use super::record::{Epoch, Lease, Policy, ViewRecord};
use super::snapshot::Snapshot;
use crate::shard::members::{MemberId, Weight};

/// What has happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The store has answered a call, or it was given up.
    Answered {
        /// Which call.
        call: CallId,
        /// What came of it.
        answer: Answer,
    },
    /// The view of this epoch is in force: writes that were admitted before are counted apart.
    Adopted(Epoch),
    /// A member does not answer its peers, or tells them that its lease is over. Nobody is taken for
    /// dead for that; it is looked at.
    Down(MemberId),
    /// It answers, and has a lease.
    Up(MemberId),
    /// A write waits for this member's acknowledgement.
    Wanted(MemberId),
    /// A member says that there is something new in the store.
    Poked,
    /// A member works by other rules, or with another hash key.
    Differs(MemberId),
    /// It does not any more, or is not there.
    Agrees(MemberId),
    /// The file of this member says something else.
    Wishes(Wishes),
    /// This process is to end.
    Go(Departure),
}

/// What the file of a member says, and a view may take in while that runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wishes {
    /// Placement and pins, which a view takes once the files of all members say the same. Its hash key has to be
    /// the one that this process has.
    pub policy: Policy,
    /// The share of this member.
    pub weight: Weight,
}

/// Tells calls apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CallId(pub u64);

/// The state of a key of the store. Another one after each put that was carried out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tag(pub Arc<str>);

/// One call to the store, to be made once and given up after a second.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Reads the view.
    ReadView,
    /// Writes it.
    PutView(Condition, ViewRecord),
    /// Lists the members that have leases.
    List,
    /// Reads a lease.
    ReadLease(MemberId),
    /// Writes one.
    PutLease(Condition, Lease),
}

/// When a put is to be carried out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Condition {
    /// If nothing is there.
    Absent,
    /// If nobody else has written since.
    Unchanged(Tag),
    /// For the tests alone: in any case.
    #[cfg(test)]
    Always,
}

/// What came of a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The view; none if there is none.
    View(Option<(ViewRecord, Tag)>),
    /// A lease; none if there is none.
    Lease(Option<(Lease, Tag)>),
    /// Who has leases.
    Listed(Vec<MemberId>),
    /// The put was carried out.
    Done(Tag),
    /// Its condition did not hold.
    Conflict,
    /// Nothing is known: a put may have been carried out, or may still be.
    Unknown,
    /// What is there cannot be read.
    Unreadable,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The store is asked.
    Call(CallId, Call),
    /// This view is put in force, and [`Event::Adopted`] said when it is.
    Adopt(Arc<Layout>),
    /// The request path reads this from now on.
    Publish(Arc<Snapshot>),
    /// Writes under way to repositories that this view gives to others are cut.
    CutLost(Arc<Layout>),
    /// All writes under way are cut.
    CutAll,
    /// The operator's command is run: nothing is under way at the replica after it.
    KillReplica,
    /// All members are told that there is something new in the store.
    Poke,
    /// This process has nothing to do any more.
    Gone(Departure),
    /// For the log.
    Note(Note),
}

/// What an operator wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// This member holds a lease.
    Leased,
    /// Its lease is over, and nothing is admitted until it is renewed.
    LeaseOver,
    /// Others have taken its lease: it begins anew.
    Fenced,
    /// It has taken the lease of another.
    FencedOther(MemberId),
    /// The clocks of this machine have gone apart by so much.
    ClocksApart(Duration),
    /// A member works by other rules, or with another hash key.
    Differs(MemberId),
    /// Its lease cannot be read: was it written by a later version?
    Unreadable(MemberId),
    /// An earlier process of this member may be alive, so it is waited for.
    WaitsForPredecessor,
    /// This process cannot go on.
    Frozen(Fault),
}

/// Why a process cannot go on. Each needs a person.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// Another process has the same member id.
    Clone,
    /// The store has an older state than was seen before: it was restored, or is not consistent.
    WentBack,
    /// The lease, or the view, is not there any more, and that has stayed so.
    Vanished,
    /// Its own lease, or the view, cannot be read, and that has stayed so.
    Unreadable,
    /// The owners of the view cannot be computed here.
    Incomprehensible(Incomprehensible),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clone => {
                "another process has the same member id: give each its own, then restart this one"
            }
            Self::WentBack => {
                "the store has an older state than was seen before: it was restored, or is not consistent; \
                 stop all members, then start them"
            }
            Self::Vanished => {
                "the lease, or the view, is not in the store any more: keep others from deleting there, then restart \
                 this member"
            }
            Self::Unreadable => {
                "a record of the store cannot be read: was it written by a later version, or by something else?"
            }
            Self::Incomprehensible(Incomprehensible::OtherKey) => {
                "the members of the store have another cluster.hash_key"
            }
            Self::Incomprehensible(Incomprehensible::OtherPlacement) => {
                "the members of the store have a placement that is not known here: is this an older version?"
            }
            Self::Incomprehensible(Incomprehensible::Broken) => {
                "the view of the store names no members that can be"
            }
        })
    }
}
