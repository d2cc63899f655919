//! What members leave in the shared storage: one lease for each, and the view.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::shard::members::{MemberAddress, MemberId, Weight};
use crate::shard::view::{Description, View};

/// The number of a view. Never falls.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// Counts how often a member began anew, without the leave of its lease. One that is over never
/// comes back.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// Who wrote a record, and in which of its calls: tells whether a call whose answer was lost was
/// carried out. Tags cannot, since equal bytes may have equal tags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Nonce {
    /// Random for each process.
    pub process: u64,
    /// Counts its calls.
    pub call: u64,
}

/// That a member is there, renewed by itself alone; taken from it by a fence.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Whose it is.
    #[serde(with = "as_text")]
    pub id: MemberId,
    /// Of which of its incarnations.
    pub incarnation: Incarnation,
    /// Another one with each renewal: what others watch.
    pub version: u64,
    /// Of the call that wrote it.
    pub nonce: Nonce,
    /// Whether it is one.
    pub state: LeaseState,
    /// In milliseconds: how long it lasts from the moment when it was asked for.
    pub lasts_ms: u64,
    /// In milliseconds: how long its replica may go on with a write after that. It is short where
    /// something outside the process kills the replica.
    pub grace_ms: u64,
    /// Nothing is under way that this view gives to others. It says nothing of any other view.
    pub acked: Epoch,
    /// Where its peer listener is reached.
    #[serde(with = "as_text")]
    pub address: MemberAddress,
    /// Its share.
    #[serde(with = "as_weight")]
    pub weight: Weight,
    /// The replica that it writes with.
    pub replica: String,
    /// What its file says of placement and pins.
    pub policy: PolicyId,
    /// Its process took it up from one that had died, and what that has left may be under way still.
    #[serde(default)]
    pub inherited: bool,
}

/// Whether a lease is one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// It is.
    Live,
    /// Its process has ended with nothing under way, and the next one takes it up.
    Parked,
    /// Its member has left, with nothing under way.
    Released,
    /// Others have taken it.
    Fenced,
}

/// One member of a view.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Its name.
    #[serde(with = "as_text")]
    pub id: MemberId,
    /// The incarnation that is a member; another one of the same name is not.
    pub incarnation: Incarnation,
    /// Where its peer listener is reached.
    #[serde(with = "as_text")]
    pub address: MemberAddress,
    /// Its share.
    #[serde(with = "as_weight")]
    pub weight: Weight,
}

/// What owners depend on beside the members.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// The kind of placement.
    pub placement: String,
    /// The version of its hash.
    pub version: u8,
    /// Differs when the hash key differs, and tells nothing else about it.
    pub key: String,
    /// Prefixes and the ids of their members. A pin to a member that is not there says nothing.
    pub pins: Vec<(String, String)>,
}

/// Stands for a [`Policy`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PolicyId(String);

/// Who the members are, and what they own.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Arrangement {
    /// Its number.
    pub epoch: Epoch,
    /// Ordered by id.
    pub members: Vec<Seat>,
    /// What owners depend on beside them.
    pub policy: Policy,
}

/// The view: who the members are now, and who may still be writing by earlier ones.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ViewRecord {
    /// Of the call that wrote it.
    pub nonce: Nonce,
    /// Who may write.
    pub now: Arrangement,
    /// Those before it that are not settled, with the last settled one first. Empty: all members
    /// have acknowledged the one in force.
    pub chain: Vec<Arrangement>,
    /// How many members were ever taken off for having been fenced.
    pub fenced: u64,
}

/// A record that cannot be used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a record of the store cannot be read ({}): was it written by a later version, or by something else?",
            self.0
        )
    }
}

impl std::error::Error for Unreadable {}

impl Lease {
    /// As it is stored.
    ///
    /// # Errors
    /// None that is known of: all fields are text and numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Unreadable> {
        serde_json::to_vec(self).map_err(|error| Unreadable(error.to_string()))
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// If it is no lease as this version knows them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))
    }

    /// Whether this incarnation never writes again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            LeaseState::Released | LeaseState::Fenced => true,
            LeaseState::Live | LeaseState::Parked => false,
        }
    }

    pub(super) fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }

    /// Nothing is under way where a process has ended in good order.
    pub(super) fn grace(&self) -> Duration {
        match self.state {
            LeaseState::Live => Duration::from_millis(self.grace_ms),
            LeaseState::Parked | LeaseState::Released | LeaseState::Fenced => Duration::ZERO,
        }
    }
}

impl ViewRecord {
    /// As it is stored.
    ///
    /// # Errors
    /// None that is known of: all fields are text and numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Unreadable> {
        serde_json::to_vec(self).map_err(|error| Unreadable(error.to_string()))
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// If it is no view as this version knows them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))
    }
}

impl Policy {
    /// Of a template: what a view says beside its members.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let Description {
            key,
            placement,
            version,
            members: _,
            pins,
        } = view.describe();
        Self {
            placement,
            version,
            key,
            pins,
        }
    }

    /// What stands for it, the same in every release.
    #[must_use]
    pub fn id(&self) -> PolicyId {
        let Self {
            placement,
            version,
            key,
            pins,
        } = self;
        let mut hasher = SipHasher24::new();
        let mut text = |text: &str| {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        };
        text(placement);
        text(&version.to_string());
        text(key);
        for (prefix, member) in pins {
            text(prefix);
            text(member);
        }
        PolicyId(format!("{:016x}", hasher.finish()))
    }
}

impl Arrangement {
    /// The member of this name.
    pub(super) fn seat(&self, id: &MemberId) -> Option<&Seat> {
        self.members.iter().find(|seat| seat.id == *id)
    }

    /// Whether this incarnation is a member.
    pub(super) fn lists(&self, id: &MemberId, incarnation: Incarnation) -> bool {
        self.seat(id)
            .is_some_and(|seat| seat.incarnation == incarnation)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What has a text of its own is stored as that.
mod as_text {
    use super::{FromStr, fmt};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A weight is stored as its number.
mod as_weight {
    use super::Weight;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(weight: &Weight, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(weight.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weight, D::Error> {
        Weight::new(u16::deserialize(from)?).map_err(de::Error::custom)
    }
}
