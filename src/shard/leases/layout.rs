//! An arrangement made ready to compute its owners.

use std::hash::{Hash, Hasher};

use super::Setup;
use super::record::{Arrangement, Epoch, Incarnation};
use crate::shard::members::{Member, MemberId, Members};
use crate::shard::pins::{Pin, Pins};
use crate::shard::placement::Placement;
use crate::shard::repository::Repository;
use crate::shard::view::View;

/// An arrangement and its owners.
#[derive(Clone, Debug)]
pub struct Layout {
    arrangement: Arrangement,
    view: View,
}

/// Why the owners of an arrangement cannot be computed here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Incomprehensible {
    /// Its hash key is not ours.
    OtherKey,
    /// Its placement, or the version of its hash, is not known here.
    OtherPlacement,
    /// Its members or pins are no list of members or pins.
    Broken,
}

impl Layout {
    /// Makes it ready.
    ///
    /// # Errors
    /// If its owners cannot be computed here.
    pub(super) fn new(arrangement: Arrangement, setup: &Setup) -> Result<Self, Incomprehensible> {
        if setup.policy.key != arrangement.policy.key {
            return Err(Incomprehensible::OtherKey);
        }
        let placement: Result<Placement, _> = arrangement.policy.placement.parse();
        let placement = placement.map_err(|_| Incomprehensible::OtherPlacement)?;
        if placement.version() != arrangement.policy.version {
            return Err(Incomprehensible::OtherPlacement);
        }
        let members = members(&arrangement, &setup.id).ok_or(Incomprehensible::Broken)?;
        let pins = pins(&arrangement, &members).ok_or(Incomprehensible::Broken)?;
        let view = setup.like.with_same_key(members, placement, pins);
        Ok(Self { arrangement, view })
    }

    /// What it was made of.
    #[must_use]
    pub fn arrangement(&self) -> &Arrangement {
        &self.arrangement
    }

    /// Members, placement and pins. The local member is another one where we are no member.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Its number.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.arrangement.epoch
    }

    /// The member that a repository belongs to, and which incarnation of it.
    #[must_use]
    pub fn owner(&self, repository: &Repository<'_>) -> (&MemberId, Incarnation) {
        let owner = self.view.owner(repository).get();
        let seat = &self.arrangement.members[owner];
        (&seat.id, seat.incarnation)
    }
}

// The view follows from the rest.
impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.arrangement == other.arrangement
    }
}

impl Eq for Layout {}

impl Hash for Layout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.arrangement.hash(state);
    }
}

fn members(arrangement: &Arrangement, me: &MemberId) -> Option<Members> {
    let list: Vec<Member> = arrangement
        .members
        .iter()
        .map(|seat| Member {
            id: seat.id.clone(),
            address: seat.address.clone(),
            weight: seat.weight,
        })
        .collect();
    let local = if arrangement.seat(me).is_some() {
        me.clone()
    } else {
        list.first()?.id.clone()
    };
    Members::new(list, &local).ok()
}

fn pins(arrangement: &Arrangement, members: &Members) -> Option<Pins> {
    let mut pins = Vec::new();
    for (prefix, id) in &arrangement.policy.pins {
        let prefix = prefix.parse().ok()?;
        if let Some(member) = members.find(&id.parse().ok()?) {
            pins.push(Pin { prefix, member });
        }
    }
    Pins::new(pins).ok()
}
