//! An arrangement made ready to compute its owners.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Setup;
use super::record::{Arrangement, Epoch, Incarnation};
use crate::shard::members::{Member, MemberAddress, MemberId, MemberIndex, Members};
use crate::shard::pins::{Pin, Pins};
use crate::shard::placement::Placement;
use crate::shard::repository::Repository;
use crate::shard::view::View;

/// An address that no member has (RFC 6761, section 6.4).
const NOWHERE: &str = "nowhere.invalid:1";

/// An arrangement and its owners.
#[derive(Clone, Debug)]
pub struct Layout {
    arrangement: Arrangement,
    view: Arc<View>,
}

/// The owner of a repository, as a request was planned by it.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The view that has named it.
    pub view: &'a Arc<View>,
    /// The member.
    pub owner: MemberIndex,
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
        let members = members(&arrangement, setup).ok_or(Incomprehensible::Broken)?;
        let pins = pins(&arrangement, &members).ok_or(Incomprehensible::Broken)?;
        let view = Arc::new(setup.like.with_same_key(members, placement, pins));
        Ok(Self { arrangement, view })
    }

    /// What it was made of.
    #[must_use]
    pub fn arrangement(&self) -> &Arrangement {
        &self.arrangement
    }

    /// Members, placement and pins. Where this process is no member it is there as a guest.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
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

    /// Whether a repository belongs to the member that this was made for, in this incarnation. Computed once more,
    /// unless the plan is by this very view.
    pub(super) fn is_ours(
        &self,
        repository: &Repository<'_>,
        planned: Option<Planned<'_>>,
        incarnation: Incarnation,
    ) -> bool {
        let owner = match planned {
            Some(planned) if Arc::ptr_eq(planned.view, &self.view) => planned.owner,
            _ => self.view.owner(repository),
        };
        let seat = self.arrangement.members.get(owner.get());
        owner == self.view.members().local()
            && seat.is_some_and(|seat| seat.incarnation == incarnation)
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

/// With this process as a guest where it is no member.
fn members(arrangement: &Arrangement, setup: &Setup) -> Option<Members> {
    let list: Vec<Member> = arrangement
        .members
        .iter()
        .map(|seat| Member {
            id: seat.id.clone(),
            address: seat.address.clone(),
            weight: seat.weight,
        })
        .collect();
    if arrangement.seat(&setup.id).is_some() {
        return Members::new(list, &setup.id).ok();
    }
    let guest = |address: MemberAddress| Member {
        id: setup.id.clone(),
        address,
        weight: setup.weight,
    };
    let members = Members::with_guest(list.clone(), guest(setup.address.clone())).ok();
    // Nobody calls itself: another member may have taken over our address.
    members.or_else(|| Members::with_guest(list, guest(NOWHERE.parse().ok()?)).ok())
}

/// A pin to who is no member says nothing.
fn pins(arrangement: &Arrangement, members: &Members) -> Option<Pins> {
    let mut pins = Vec::new();
    for (prefix, id) in &arrangement.policy.pins {
        let (prefix, id) = (prefix.parse().ok()?, id.parse().ok()?);
        let member = members
            .find(&id)
            .filter(|_| arrangement.seat(&id).is_some());
        pins.extend(member.map(|member| Pin { prefix, member }));
    }
    Pins::new(pins).ok()
}
