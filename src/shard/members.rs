//! The member list.
//!
//! A list that is empty, names a member twice or lacks the local one would make two members disagree about owners
//! or loop; such a list cannot be built.

mod address;
mod id;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;

pub use address::{AddressError, Host, MemberAddress};
pub use id::{MemberId, MemberIdError};

/// All members, in the configured order, and which of them is the local one.
///
/// The order counts: zot placement numbers members by it, and the fingerprint covers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members {
    list: Vec<Member>,
    local: MemberIndex,
    /// So many of them own repositories: all, or all but the last, who is a guest.
    seats: usize,
}

#[allow(clippy::len_without_is_empty, reason = "a member list is never empty")]
impl Members {
    /// Most members that a list may have.
    pub const MAX: usize = 1024;

    /// Checks a list and finds the local member in it.
    ///
    /// # Errors
    /// The first [`MembersError`] found.
    pub fn new(list: Vec<Member>, local: &MemberId) -> Result<Self, MembersError> {
        if list.is_empty() {
            return Err(MembersError::Empty);
        }
        if list.len() > Self::MAX {
            return Err(MembersError::TooMany { count: list.len() });
        }
        let mut ids = HashMap::with_capacity(list.len());
        let mut addresses = HashMap::with_capacity(list.len());
        for (second, member) in list.iter().enumerate() {
            if let Some(first) = ids.insert(&member.id, second) {
                return Err(MembersError::DuplicateId {
                    id: member.id.clone(),
                    first,
                    second,
                });
            }
            if let Some(first) = addresses.insert(&member.address, second) {
                return Err(MembersError::DuplicateAddress {
                    address: member.address.clone(),
                    first,
                    second,
                });
            }
        }
        let local = ids
            .get(local)
            .copied()
            .ok_or_else(|| MembersError::LocalMissing { id: local.clone() })?;
        Ok(Self {
            seats: list.len(),
            list,
            local: MemberIndex(local),
        })
    }

    /// The same for one that is not a member, or not yet, or no more: it sends on what belongs to the
    /// members, and owns nothing. A guest is listed last.
    ///
    /// # Errors
    /// As [`Members::new`], of the list with the guest.
    pub fn with_guest(mut list: Vec<Member>, guest: Member) -> Result<Self, MembersError> {
        if list.is_empty() {
            return Err(MembersError::Empty);
        }
        let seats = list.len();
        let local = guest.id.clone();
        list.push(guest);
        Self::new(list, &local).map(|members| Self { seats, ..members })
    }

    /// This member.
    #[must_use]
    pub fn local(&self) -> MemberIndex {
        self.local
    }

    /// The member at an index that came from this list.
    ///
    /// # Panics
    /// If the index came from a longer list. Indices never come from outside the process.
    #[must_use]
    pub fn get(&self, index: MemberIndex) -> &Member {
        &self.list[index.0]
    }

    /// The index of the member with this id.
    #[must_use]
    pub fn find(&self, id: &MemberId) -> Option<MemberIndex> {
        self.list
            .iter()
            .position(|member| member.id == *id)
            .map(MemberIndex)
    }

    /// All members, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (MemberIndex, &Member)> + Clone {
        self.list
            .iter()
            .enumerate()
            .map(|(index, member)| (MemberIndex(index), member))
    }

    /// Those that own repositories, in order: all but a guest.
    pub fn owners(&self) -> impl ExactSizeIterator<Item = (MemberIndex, &Member)> + Clone {
        self.iter().take(self.seats)
    }

    /// All members but the local one, in order.
    pub fn peers(&self) -> impl Iterator<Item = (MemberIndex, &Member)> + Clone {
        self.iter().filter(|(index, _)| *index != self.local)
    }

    /// How many members there are, the local one included; at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The index that a hash modulo the number of owners names.
    pub(super) fn at_remainder(&self, hash: u64) -> MemberIndex {
        // Both casts are exact: there are at most `MAX` seats, and the remainder is below that.
        MemberIndex((hash % self.seats as u64) as usize)
    }
}

/// One sidecar and the replica beside it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Its name, unique in the list.
    pub id: MemberId,
    /// Where its peer listener is reached, unique in the list.
    pub address: MemberAddress,
    /// Its share of the repositories, relative to the others.
    pub weight: Weight,
}

/// A member's position in the list that handed it out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberIndex(usize);

impl MemberIndex {
    /// The first member, which every list has.
    pub(super) const FIRST: Self = Self(0);

    /// The position, from 0.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// How many repositories a member takes, relative to the other members: 1 to [`Weight::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The greatest weight.
    pub const MAX: u16 = 1000;

    /// Takes a number between 1 and [`Weight::MAX`].
    ///
    /// # Errors
    /// [`WeightError`] for any other number.
    pub fn new(weight: u16) -> Result<Self, WeightError> {
        match NonZeroU16::new(weight) {
            Some(weight) if weight.get() <= Self::MAX => Ok(Self(weight)),
            Some(_) | None => Err(WeightError { weight }),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU16::MIN)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is no weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WeightError {
    /// The number.
    pub weight: u16,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a weight is between 1 and {}, not {}",
            Weight::MAX,
            self.weight
        )
    }
}

impl std::error::Error for WeightError {}

/// Why a list of members is refused. Positions count list entries from 0, so that a caller can point at the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MembersError {
    /// The list has no entry.
    Empty,
    /// The list has more than [`Members::MAX`] entries.
    TooMany {
        /// How many it has.
        count: usize,
    },
    /// Two entries have one id.
    DuplicateId {
        /// The id.
        id: MemberId,
        /// The earlier entry.
        first: usize,
        /// The later entry.
        second: usize,
    },
    /// Two entries have one address.
    DuplicateAddress {
        /// The address.
        address: MemberAddress,
        /// The earlier entry.
        first: usize,
        /// The later entry.
        second: usize,
    },
    /// No entry has the local member's id.
    LocalMissing {
        /// The local member's id.
        id: MemberId,
    },
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no members"),
            Self::TooMany { count } => write!(
                f,
                "{count} members are too many, the limit is {}",
                Members::MAX
            ),
            Self::DuplicateId { id, first, second } => {
                write!(
                    f,
                    "members {} and {} have the same id {id}",
                    first + 1,
                    second + 1
                )
            }
            Self::DuplicateAddress {
                address,
                first,
                second,
            } => {
                write!(
                    f,
                    "members {} and {} have the same address {address}",
                    first + 1,
                    second + 1
                )
            }
            Self::LocalMissing { id } => write!(f, "this member, {id}, is not among the members"),
        }
    }
}

impl std::error::Error for MembersError {}
