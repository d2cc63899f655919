//! Everything that placement depends on, as one value.
//!
//! A view is built whole and swapped whole. Nothing else knows where members come from, so a list from a file and a
//! list from a shared store look the same from here. Two members whose views have one fingerprint agree on the owner
//! of every repository.

mod description;
mod fingerprint;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::members::{MemberIndex, Members};
use super::pins::Pins;
use super::placement::{HashKey, Placement, Placer};
use super::repository::Repository;

pub use description::{Description, OtherView};
pub use fingerprint::{Fingerprint, FingerprintError, StickyToken};

/// Members, placement and pins.
#[derive(Clone, Debug)]
pub struct View {
    members: Members,
    placement: Placement,
    /// To compute the owners of another view with the same key.
    key: HashKey,
    placer: Placer,
    pins: Pins,
    fingerprint: Fingerprint,
    /// One for each member, in order. Made when the first is asked for: nobody asks a view that was
    /// only told, and they take longer than all the rest of it.
    sticky_tokens: OnceLock<Box<[StickyToken]>>,
}

impl View {
    /// Puts a view together. The pins must name members of this list.
    #[must_use]
    pub fn new(members: Members, placement: Placement, key: &HashKey, pins: Pins) -> Self {
        let placer = Placer::new(placement, key, &members);
        let fingerprint = Fingerprint::of(key, placement, &members, &pins);
        Self {
            members,
            placement,
            key: key.clone(),
            placer,
            pins,
            fingerprint,
            sticky_tokens: OnceLock::new(),
        }
    }

    /// The one member that a repository maps to. The same on every member with this fingerprint.
    #[must_use]
    pub fn owner(&self, repository: &Repository<'_>) -> MemberIndex {
        self.pins
            .owner(repository)
            .unwrap_or_else(|| self.placer.owner(repository, &self.members))
    }

    /// Another view with the same key. The pins must name members of this list.
    #[must_use]
    pub fn with_same_key(&self, members: Members, placement: Placement, pins: Pins) -> Self {
        Self::new(members, placement, &self.key, pins)
    }

    /// The key as zot writes it, if its bytes are text. For zot's own configuration, and never for a message.
    #[must_use]
    pub fn zot_hash_key(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.key.bytes()).ok()?;
        (!text.contains(char::is_control)).then_some(text)
    }

    /// Whether the other view has the same key.
    #[must_use]
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The kind of placement.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The pins.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// What tells this view from any other that could name another owner.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The part of all repositories that each member is expected to own, pins aside; the parts add up to 1.
    ///
    /// For display only: placement itself never uses floating point.
    pub fn shares(&self) -> impl Iterator<Item = (MemberIndex, f64)> {
        let weight = |index| match self.placement {
            Placement::Rendezvous => f64::from(self.members.get(index).weight.get()),
            Placement::Zot => 1.0,
        };
        let total: f64 = self.members.owners().map(|(index, _)| weight(index)).sum();
        self.members
            .owners()
            .map(move |(index, _)| (index, weight(index) / total))
    }

    /// The cookie value that names a member.
    ///
    /// # Panics
    /// If the index came from a longer list than this view's.
    #[must_use]
    pub fn sticky_token(&self, index: MemberIndex) -> &StickyToken {
        let tokens = self.sticky_tokens.get_or_init(|| {
            let members = self.members.iter();
            members
                .map(|(_, member)| StickyToken::of(&self.key, &member.id))
                .collect()
        });
        &tokens[index.get()]
    }

    /// The member that a cookie value names, if any.
    #[must_use]
    pub fn sticky_member(&self, cookie: &str) -> Option<MemberIndex> {
        let named = |(index, _): &(MemberIndex, _)| self.sticky_token(*index).as_str() == cookie;
        self.members.iter().find(named).map(|(index, _)| index)
    }
}
