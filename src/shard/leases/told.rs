//! What the rules know, for people. Nothing here decides anything.

use super::record::{Epoch, Incarnation, LeaseState, Seat, ViewRecord};
use super::{Coordinator, Moment};
use crate::shard::members::MemberId;

/// Another member's lease, as this process has read it last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Whose it is.
    pub id: MemberId,
    /// Of which of its incarnations.
    pub incarnation: Incarnation,
    /// What it is.
    pub state: LeaseState,
    /// The view that it has acknowledged last.
    pub acked: Epoch,
    /// When it was read.
    pub read_at: Moment,
    /// When it may be taken, if it is watched and not renewed.
    pub falls_at: Option<Moment>,
}

/// What one view has of another sort than the one before it that this process had.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Its number.
    pub epoch: Epoch,
    /// How many members it has.
    pub members: usize,
    /// Whether this process had none before it.
    pub is_first: bool,
    /// Those that it has and the one before had not.
    pub came: Vec<MemberId>,
    /// Those that had left.
    pub left: Vec<MemberId>,
    /// Those whose leases had been taken.
    pub fenced: Vec<MemberId>,
    /// Those of which it was not seen why they are there no more.
    pub went: Vec<MemberId>,
    /// Those that are there as another incarnation.
    pub anew: Vec<MemberId>,
    /// Those with another address or share.
    pub changed: Vec<MemberId>,
    /// Whether placement or pins are other ones.
    pub policy: bool,
}

impl Reading {
    fn is_over(&self) -> bool {
        matches!(self.state, LeaseState::Released | LeaseState::Fenced)
    }
}

impl Coordinator {
    /// The view that was read last.
    #[must_use]
    pub fn view(&self) -> Option<&ViewRecord> {
        self.view.as_ref().map(|view| &view.record)
    }

    /// Our own lease: of which incarnation, and what it has acknowledged last.
    #[must_use]
    pub fn tenure(&self) -> Option<(Incarnation, Epoch)> {
        let lease = self.own.lease()?;
        Some((lease.incarnation, lease.acked))
    }

    /// Whether it has a lease and wishes to be a member.
    #[must_use]
    pub fn wishes_in(&self) -> bool {
        self.joins()
    }

    /// What is known of the leases of the members, but for our own.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let others = self.seats().filter(|seat| seat.id != self.setup.id);
        others.filter_map(|seat| self.reading(&seat.id)).collect()
    }

    /// Whose file keeps the view from taking the placement and pins of ours, as far as is known.
    #[must_use]
    pub fn policy_waits_for(&self) -> Option<&MemberId> {
        let base = &self.view.as_ref()?.record.now;
        (base.policy != self.setup.policy)
            .then(|| self.first_to_disagree(base))
            .flatten()
    }

    /// What the view that was read last has changed.
    #[must_use]
    pub fn change_since(&self, before: Option<&ViewRecord>) -> Option<Change> {
        let after = self.view()?;
        let over = |seat: &Seat| {
            let reading = self.reading(&seat.id)?;
            if reading.incarnation != seat.incarnation {
                // A later one of the same member says nothing of how this one has ended.
                return Some(LeaseState::Live);
            }
            // It may have ended since it was read.
            reading.is_over().then_some(reading.state)
        };
        Some(Change::between(before, after, over))
    }
}

impl Change {
    /// `state` says what is known of a lease of this very incarnation.
    pub(super) fn between(
        before: Option<&ViewRecord>,
        after: &ViewRecord,
        state: impl Fn(&Seat) -> Option<LeaseState>,
    ) -> Self {
        let mut change = Self {
            epoch: after.now.epoch,
            members: after.now.members.len(),
            is_first: before.is_none(),
            ..Self::default()
        };
        let Some(before) = before else {
            return change;
        };
        change.policy = before.now.policy != after.now.policy;
        for seat in &after.now.members {
            match before.now.seat(&seat.id) {
                None => change.came.push(seat.id.clone()),
                Some(was) if was.incarnation != seat.incarnation => {
                    change.anew.push(seat.id.clone());
                }
                Some(was) if was != seat => change.changed.push(seat.id.clone()),
                Some(_) => {}
            }
        }
        let is_gone = |seat: &&Seat| after.now.seat(&seat.id).is_none();
        let gone: Vec<&Seat> = before.now.members.iter().filter(is_gone).collect();
        // The view counts those that were fenced, so that all of them were, or none was.
        let taken = after.fenced.saturating_sub(before.fenced);
        let of_all = match usize::try_from(taken) {
            Ok(0) => Some(LeaseState::Released),
            Ok(taken) if taken == gone.len() && change.anew.is_empty() => Some(LeaseState::Fenced),
            _ => None,
        };
        for seat in gone {
            let list = match state(seat).or(of_all) {
                Some(LeaseState::Released) => &mut change.left,
                Some(LeaseState::Fenced) => &mut change.fenced,
                Some(LeaseState::Live | LeaseState::Parked) | None => &mut change.went,
            };
            list.push(seat.id.clone());
        }
        change
    }
}
