//! Rendezvous placement, version 1.
//!
//! Every member gets a score for a repository, and the best score wins. A member's score depends on that member and
//! the repository alone, so a member that comes takes over only what it wins, and one that goes gives up only what
//! it had.
//!
//! ```text
//! h             = SipHash-2-4(key, "shlt1rep" ‖ len ‖ repository)
//! score(member) = SipHash-2-4(key, "shlt1mem" ‖ len ‖ id ‖ zeros to a multiple of 8 ‖ low 7 bytes of h)
//! cost(member)  = −log2((score + 1) / 2^64), in units of 2^-40
//! owner         = the member with the least cost / weight; on a tie the highest score; then the least id
//! ```
//!
//! `len` and `h` are little-endian, `len` has 8 bytes.
//!
//! The cost is exponentially distributed, which is what makes shares proportional to weights. Its logarithm is read
//! from a table with linear interpolation: off by at most 3·10⁻⁶, the same on every machine.
//!
//! The lengths keep two different inputs from hashing the same bytes. Hashing the repository first keeps the work per
//! member the same however long the name is. The zeros put what follows on a word boundary, and 7 bytes are what fits
//! into SipHash's last word beside its own length byte, so each member costs a single word. Two names that share those
//! 56 bits share their owner, which is harmless.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::HashKey;
use super::log2_table::LOG2;
use crate::shard::members::{Member, MemberIndex, Members, Weight};
use crate::shard::repository::Repository;

/// Part of the fingerprint: members with different versions know that they differ.
pub(super) const VERSION: u8 = 1;

const REPOSITORY_DOMAIN: &[u8; 8] = b"shlt1rep";
const MEMBER_DOMAIN: &[u8; 8] = b"shlt1mem";
/// The low bytes of a repository's hash.
type RepositoryHash = [u8; 7];
/// Bits behind the point in a cost.
const FRACTION_BITS: u32 = 40;

/// Rendezvous placement over one list of members.
#[derive(Clone)]
pub(in crate::shard) struct Rendezvous {
    repository_hasher: SipHasher24,
    /// Candidates of equal weight together: among them the highest score wins, so only one cost per weight is needed.
    groups: Vec<Group>,
}

impl Rendezvous {
    pub(super) fn new(key: &HashKey, members: &Members) -> Self {
        let mut groups: BTreeMap<Weight, Vec<Candidate>> = BTreeMap::new();
        let mut by_id: Vec<_> = members.owners().collect();
        by_id.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        for (rank, (index, member)) in by_id.into_iter().enumerate() {
            let candidate = Candidate {
                prefix: keyed(key, &member_prefix(member)),
                index,
                rank,
            };
            groups.entry(member.weight).or_default().push(candidate);
        }
        let groups = groups
            .into_iter()
            .map(|(weight, candidates)| Group { weight, candidates })
            .collect();
        Self {
            repository_hasher: keyed(key, REPOSITORY_DOMAIN),
            groups,
        }
    }

    pub(super) fn owner(&self, repository: &Repository<'_>) -> MemberIndex {
        let hash = self.repository_hash(repository);
        let mut best: Option<Bid> = None;
        for group in &self.groups {
            let Some(bid) = group.best(&hash) else {
                continue;
            };
            if best.is_none_or(|best| bid.compare(&best) == Ordering::Greater) {
                best = Some(bid);
            }
        }
        // A member list is never empty, so there is a bid; index 0 keeps this function total.
        best.map_or(MemberIndex::FIRST, |bid| bid.index)
    }

    fn repository_hash(&self, repository: &Repository<'_>) -> RepositoryHash {
        let name = repository.as_str().as_bytes();
        let mut hasher = self.repository_hasher;
        hasher.write(&(name.len() as u64).to_le_bytes());
        let [low @ .., _] = hasher.hash(name).to_le_bytes();
        low
    }
}

impl fmt::Debug for Rendezvous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hashers hold the key.
        f.debug_struct("Rendezvous")
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Group {
    weight: Weight,
    /// In the order of ids.
    candidates: Vec<Candidate>,
}

impl Group {
    fn best(&self, hash: &RepositoryHash) -> Option<Bid> {
        let mut best: Option<(u64, &Candidate)> = None;
        for candidate in &self.candidates {
            let score = candidate.prefix.hash(hash);
            // Strictly greater: on a tie the first, which has the least id, stays.
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, candidate));
            }
        }
        best.map(|(score, candidate)| Bid {
            score,
            weight: self.weight,
            index: candidate.index,
            rank: candidate.rank,
        })
    }
}

#[derive(Clone)]
struct Candidate {
    /// Has taken in all of the member's message but the repository's hash.
    prefix: SipHasher24,
    index: MemberIndex,
    /// The position of its id among all ids.
    rank: usize,
}

/// A candidate's claim to one repository.
#[derive(Clone, Copy)]
struct Bid {
    score: u64,
    weight: Weight,
    index: MemberIndex,
    rank: usize,
}

impl Bid {
    /// The greater bid wins.
    fn compare(&self, other: &Self) -> Ordering {
        // a/wa < b/wb as a·wb < b·wa. A cost is at most 64·2^40 = 2^46 and a weight below 2^10: no overflow.
        let ours = cost(self.score) * u64::from(other.weight.get());
        let theirs = cost(other.score) * u64::from(self.weight.get());
        theirs
            .cmp(&ours)
            .then(self.score.cmp(&other.score))
            .then(other.rank.cmp(&self.rank))
    }
}

/// −log2((score + 1) / 2^64) in units of 2^-40. Falls as the score rises; 0 for the highest score.
fn cost(score: u64) -> u64 {
    let Some(value) = score.checked_add(1) else {
        return 0;
    };
    let exponent = value.ilog2();
    // The bits behind the leading one, as a fraction of 2^64.
    let mantissa = (value << (63 - exponent)) << 1;
    let step = (mantissa >> 56) as usize;
    let within = u128::from(mantissa << 8);
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let fraction = low + (((u128::from(high - low)) * within) >> 64) as u64;
    (u64::from(64 - exponent) << FRACTION_BITS) - fraction
}

fn keyed(key: &HashKey, prefix: &[u8]) -> SipHasher24 {
    let mut hasher = SipHasher24::new_with_key(key.bytes());
    hasher.write(prefix);
    hasher
}

fn member_prefix(member: &Member) -> Vec<u8> {
    let id = member.id.as_str().as_bytes();
    let mut prefix = MEMBER_DOMAIN.to_vec();
    prefix.extend_from_slice(&(id.len() as u64).to_le_bytes());
    prefix.extend_from_slice(id);
    prefix.resize(prefix.len().next_multiple_of(8), 0);
    prefix
}

#[cfg(test)]
mod tests;
