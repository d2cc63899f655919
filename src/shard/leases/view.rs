//! The view: read, taken, acknowledged, composed anew, settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Condition, Effect, Fault, Tag};
use super::layout::Layout;
use super::omit::{Rule, omits};
use super::record::{Arrangement, Epoch, Lease, LeaseState, Seat, ViewRecord};
use super::{Coordinator, Departure, Moment, Phase, UnderWay};

/// The view that was read last.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) record: ViewRecord,
    tag: Tag,
    pub(super) layout: Arc<Layout>,
    pub(super) chain: Vec<Arc<Layout>>,
    /// When this epoch was read first.
    first_read_at: Moment,
    /// When it was put in force here.
    pub(super) adopted_at: Option<Moment>,
    /// Whether what it takes from this member was cut.
    cut: bool,
}

/// How many members were taken off lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Removals(VecDeque<(Moment, usize)>);

/// So many of them are remembered.
const REMEMBERED: usize = 8;
/// So many views may wait to be settled.
const LONGEST_CHAIN: usize = 8;

impl Coordinator {
    /// The driver has put a view in force.
    pub(super) fn adopted(&mut self, epoch: Epoch, now: Moment) {
        if let Some(view) = &mut self.view
            && view.layout.epoch() == epoch
        {
            view.adopted_at.get_or_insert(now);
        }
    }

    /// The epoch that this member can acknowledge.
    pub(super) fn acknowledges(&self, now: Moment, writes: &impl UnderWay) -> Option<Epoch> {
        let view = self.view.as_ref()?;
        view.adopted_at?;
        let quiet = self.own.is_quiet(now) && !writes.lost_by(&view.layout, now);
        (quiet || omits(Rule::AwaitWrites)).then(|| view.layout.epoch())
    }

    /// What the view takes from this member ends in time.
    pub(super) fn mind_handover(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        let handoff = self.setup.timing.handoff;
        let Some(view) = &mut self.view else { return };
        let late = view
            .adopted_at
            .is_some_and(|at| now.saturating_sub(at) >= handoff);
        if late && !view.cut && writes.lost_by(&view.layout, now) {
            view.cut = true;
            effects.push(Effect::CutLost(view.layout.clone()));
            if self.setup.kills_replica {
                effects.push(Effect::KillReplica);
            }
        }
    }

    /// A read of the view has found this, or a put has left it.
    pub(super) fn take_view(
        &mut self,
        found: Option<(ViewRecord, Tag)>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some((record, tag)) = found else {
            if self.view.is_some() {
                return self.freeze(Fault::Vanished, effects);
            }
            self.no_view_at = Some(now);
            return;
        };
        if let Some(known) = &mut self.view {
            let (before, after) = (&known.record, &record);
            let went_back = after.now.epoch < before.now.epoch
                || (after.now.epoch == before.now.epoch
                    && (after.now != before.now
                        || (before.chain.is_empty() && !after.chain.is_empty())));
            if went_back && !omits(Rule::NeverGoBack) {
                return self.freeze(Fault::WentBack, effects);
            }
            if after.now == before.now {
                known.tag = tag;
                if known.record.chain != record.chain {
                    known
                        .chain
                        .retain(|layout| record.chain.contains(layout.arrangement()));
                    self.others.wants_nothing();
                }
                known.record = record;
                return;
            }
            let gone = before.now.members.iter();
            let gone = gone.filter(|seat| !after.now.lists(&seat.id, seat.incarnation));
            self.removals.note(now, gone.count());
        }
        self.take_another_view(record, tag, now, effects);
    }

    fn take_another_view(
        &mut self,
        record: ViewRecord,
        tag: Tag,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let layout =
            |arrangement: &Arrangement| Layout::new(arrangement.clone(), &self.setup).map(Arc::new);
        let chain: Result<Vec<_>, _> = record.chain.iter().map(layout).collect();
        let (layout, chain) = match (layout(&record.now), chain) {
            (Ok(layout), Ok(chain)) => (layout, chain),
            (Err(why), _) | (_, Err(why)) => {
                return self.freeze(Fault::Incomprehensible(why), effects);
            }
        };
        effects.push(Effect::Adopt(layout.clone()));
        self.others.wants_nothing();
        self.view = Some(InForce {
            record,
            tag,
            layout,
            chain,
            first_read_at: now,
            adopted_at: None,
            cut: false,
        });
    }

    /// Whether this member is to see to it that the view is settled: who made it first, then others.
    pub(super) fn settles(&self, now: Moment) -> bool {
        let Some(view) = self.view.as_ref().filter(|view| !view.chain.is_empty()) else {
            return false;
        };
        let Some(first) = view.record.now.members.first() else {
            return false;
        };
        let turn = self
            .setup
            .timing
            .renew
            .saturating_add(self.delay_of_rank(&first.id));
        view.record.nonce.process == self.setup.process
            || self.joins()
            || now.saturating_sub(view.first_read_at) >= turn
    }

    /// Whether this member has a lease and is no member yet.
    pub(super) fn joins(&self) -> bool {
        self.phase == Phase::Serving
            && self.own.state() == Some(LeaseState::Live)
            && self
                .view
                .as_ref()
                .map_or(self.no_view_at.is_some(), |view| !self.is_listed(view))
    }

    /// The view that is to be put in place of the one that was read, if one is.
    pub(super) fn next_view(
        &mut self,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Option<(Condition, ViewRecord)> {
        let leaves = self.own.state() == Some(LeaseState::Released)
            && matches!(self.phase, Phase::Going(Departure::Leave, _));
        let serves = self.phase == Phase::Serving && self.own.admits_at(now, &self.setup.timing);
        if !leaves && !serves {
            return None;
        }
        let (condition, next, chain) = match &self.view {
            None => (
                Condition::Absent,
                self.first_arrangement(now, effects)?,
                Vec::new(),
            ),
            Some(view) => {
                let (next, chain) = self.composed(view, now).or_else(|| self.settled(view))?;
                (Condition::Unchanged(view.tag.clone()), next, chain)
            }
        };
        // What cannot be read again is not written.
        Layout::new(next.clone(), &self.setup).ok()?;
        let record = ViewRecord {
            nonce: self.next_nonce(),
            now: next,
            chain,
        };
        #[cfg(test)]
        if omits(Rule::ReplaceWhatWasRead) {
            return Some((Condition::Always, record));
        }
        Some((condition, record))
    }

    /// The first view of all: everybody who is there.
    fn first_arrangement(&mut self, now: Moment, effects: &mut Vec<Effect>) -> Option<Arrangement> {
        let no_view_at = self.no_view_at?;
        if !self.joins() || !self.others.knows_all(&self.setup.id) {
            return None;
        }
        if let Some(read_at) = self.others.acknowledgement_read_at() {
            // A fleet is there: its view has come meanwhile, or is there no more.
            if read_at <= no_view_at {
                self.freeze(Fault::Vanished, effects);
            } else {
                self.calls_view_now(now);
            }
            return None;
        }
        let mut members = Vec::new();
        self.add_wishes(&mut members);
        Some(Arrangement {
            epoch: Epoch(1),
            members,
            policy: self.setup.policy.clone(),
        })
    }

    /// Another view, where one is due: without those who are over, with those who wish to be in.
    fn composed(&self, view: &InForce, now: Moment) -> Option<(Arrangement, Vec<Arrangement>)> {
        let base = &view.record.now;
        let settled = view.record.chain.is_empty();
        let mut members = self.remaining(base, now);
        if settled || omits(Rule::JoinWhenSettled) {
            let may_add = self.joins()
                && self
                    .others
                    .listed_at()
                    .is_some_and(|at| at >= view.first_read_at)
                && self.others.knows_all(&self.setup.id);
            if may_add {
                self.add_wishes(&mut members);
            }
            self.change_ours(&mut members);
        }
        let policy = if settled {
            self.policy_of_all(base)
        } else {
            &base.policy
        };
        if members.is_empty() || (members == base.members && *policy == base.policy) {
            return None;
        }
        let mut chain = view.record.chain.clone();
        chain.push(base.clone());
        let next = Arrangement {
            epoch: Epoch(base.epoch.0 + 1),
            members,
            policy: policy.clone(),
        };
        (chain.len() <= LONGEST_CHAIN).then_some((next, chain))
    }

    /// The same view without its chain, once all members have acknowledged it or are over.
    fn settled(&self, view: &InForce) -> Option<(Arrangement, Vec<Arrangement>)> {
        let base = &view.record.now;
        let mut members = base.members.iter();
        let all = members.all(|seat| {
            self.has_acked(&seat.id, seat.incarnation) || self.is_over(&seat.id, seat.incarnation)
        });
        (all && !view.record.chain.is_empty()).then(|| (base.clone(), Vec::new()))
    }

    /// Members that are not over. Of those that were fenced, no more go than may go at once.
    fn remaining(&self, base: &Arrangement, now: Moment) -> Vec<Seat> {
        let lately = self
            .removals
            .since(now.saturating_sub(self.setup.timing.lease));
        let most = usize::max(1, (base.members.len() + lately) / 2);
        let mut allowed = most.saturating_sub(lately);
        let mut remaining = base.members.clone();
        remaining.retain(|seat| {
            let suspected = omits(Rule::RemoveOnlyOver) && self.others.is_down(&seat.id);
            if !suspected && !self.is_over(&seat.id, seat.incarnation) {
                return true;
            }
            let lease = self.others.lease(&seat.id);
            let fenced = lease.is_some_and(|lease| lease.state == LeaseState::Fenced);
            if fenced && allowed == 0 {
                return true;
            }
            allowed -= usize::from(fenced);
            false
        });
        remaining
    }

    /// Adds this member, and all others who have a lease and are no members.
    fn add_wishes(&self, members: &mut Vec<Seat>) {
        let live = |lease: &&Lease| lease.state == LeaseState::Live;
        let wishes = self.others.leases().filter(live).map(|lease| Seat {
            id: lease.id.clone(),
            incarnation: lease.incarnation,
            address: lease.address.clone(),
            weight: lease.weight,
        });
        let us = self.incarnation().map(|incarnation| self.seat(incarnation));
        for seat in us.into_iter().chain(wishes) {
            let mut known = members.iter();
            if !known.any(|known| known.id == seat.id || known.address == seat.address) {
                members.push(seat);
            }
        }
        members.sort_by(|one, other| one.id.cmp(&other.id));
    }

    /// Our address and weight, where they are other ones than before.
    fn change_ours(&self, members: &mut [Seat]) {
        let Some(incarnation) = self.incarnation() else {
            return;
        };
        let taken = |seat: &Seat| seat.id != self.setup.id && seat.address == self.setup.address;
        if members.iter().any(taken) {
            return;
        }
        let ours = members
            .iter_mut()
            .find(|seat| seat.id == self.setup.id && seat.incarnation == incarnation);
        if let Some(seat) = ours {
            *seat = self.seat(incarnation);
        }
    }

    /// Our file's placement and pins, once the files of all members say the same.
    fn policy_of_all<'a>(&'a self, base: &'a Arrangement) -> &'a super::Policy {
        let ours = self.setup.policy.id();
        let agrees = |seat: &Seat| {
            seat.id == self.setup.id
                || self.others.lease(&seat.id).is_some_and(|lease| {
                    lease.incarnation == seat.incarnation && lease.policy == ours
                })
        };
        if self.setup.policy != base.policy && base.members.iter().all(agrees) {
            &self.setup.policy
        } else {
            &base.policy
        }
    }

    /// Whether the view has other placement or pins than our file.
    pub(super) fn wishes_policy(&self) -> bool {
        let base = self.view.as_ref().filter(|view| view.chain.is_empty());
        base.is_some_and(|view| view.record.now.policy != self.setup.policy)
    }
}

impl Removals {
    fn note(&mut self, now: Moment, count: usize) {
        if count > 0 {
            self.0.push_back((now, count));
        }
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    fn since(&self, from: Duration) -> usize {
        let lately = self.0.iter().filter(|(at, _)| *at >= from);
        lately.map(|(_, count)| count).sum()
    }
}
