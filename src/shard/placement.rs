//! The function (members, repository) → owner.
//!
//! Two kinds. [`Placement::Rendezvous`] moves only what must move when the list changes, and knows weights.
//! [`Placement::Zot`] gives the same owners as zot's cluster mode, for replicas that run it and for moving off it.
//!
//! Every member must compute the same owner, on any machine and in any release, so both are integer arithmetic on
//! SipHash-2-4 over bytes, and golden vectors hold them fast. A change would be a new version, which is part of the
//! fingerprint that members compare.

mod log2_table;
mod rendezvous;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use siphasher::sip::SipHasher24;

use super::members::{MemberIndex, Members};
use super::repository::Repository;
use rendezvous::Rendezvous;

/// The cluster's 16-byte hash key. A secret: who knows it can choose names that all land on one member.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; Self::LENGTH]);

impl HashKey {
    /// Its length in bytes.
    pub const LENGTH: usize = 16;

    /// The bytes, for keying a hash. Never for printing.
    pub(super) fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; HashKey::LENGTH]> for HashKey {
    fn from(bytes: [u8; HashKey::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// The kinds of placement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Placement {
    /// Highest keyed score wins; weights count.
    #[default]
    Rendezvous,
    /// zot's own: hash modulo the number of members, in list order (zot, `pkg/cluster`). Weights do not count.
    Zot,
}

impl Placement {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Rendezvous, Self::Zot];

    /// The name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
            Self::Zot => "zot",
        }
    }

    /// The version of the hash, part of the fingerprint.
    pub(super) fn version(self) -> u8 {
        match self {
            Self::Rendezvous => rendezvous::VERSION,
            // Not ours to change.
            Self::Zot => 1,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(PlacementError)
    }
}

/// A text that names no placement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlacementError;

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a placement is rendezvous or zot")
    }
}

impl std::error::Error for PlacementError {}

/// A placement made ready for one list of members.
#[derive(Clone, Debug)]
pub(super) enum Placer {
    Rendezvous(Rendezvous),
    Zot(ZotPlacer),
}

impl Placer {
    pub(super) fn new(kind: Placement, key: &HashKey, members: &Members) -> Self {
        match kind {
            Placement::Rendezvous => Self::Rendezvous(Rendezvous::new(key, members)),
            Placement::Zot => Self::Zot(ZotPlacer(SipHasher24::new_with_key(key.bytes()))),
        }
    }

    pub(super) fn owner(&self, repository: &Repository<'_>, members: &Members) -> MemberIndex {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.owner(repository),
            Self::Zot(zot) => members.at_remainder(zot.hash(repository)),
        }
    }
}

/// zot hashes the repository's bytes, nothing else: member strings do not count, only how many there are.
#[derive(Clone)]
pub(super) struct ZotPlacer(SipHasher24);

impl ZotPlacer {
    fn hash(&self, repository: &Repository<'_>) -> u64 {
        self.0.hash(repository.as_str().as_bytes())
    }
}

impl fmt::Debug for ZotPlacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hasher holds the key.
        f.write_str("ZotPlacer(..)")
    }
}
