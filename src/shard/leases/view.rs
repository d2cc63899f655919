//! The view: read, taken, acknowledged, composed anew, settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Condition, Effect, Fault, Tag};
use super::layout::Layout;
use super::omit::{Rule, omits};
use super::record::{Arrangement, Epoch, LeaseState, Seat, ViewRecord};
use super::{Coordinator, Departure, Moment, Phase, UnderWay};
use crate::shard::members::MemberId;

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
}

/// When members were taken off for having been fenced, and how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Removals(VecDeque<(Moment, usize)>);

/// What is to be put in place of a view.
struct Next {
    arrangement: Arrangement,
    chain: Vec<Arrangement>,
    fenced: u64,
}

/// Removals within that are remembered as one.
const SECOND: Duration = Duration::from_secs(1);

/// So many views may wait to be settled.
pub(super) const LONGEST_CHAIN: usize = 8;

impl Coordinator {
    /// The epoch that this member can acknowledge, and has not.
    pub(super) fn acknowledges(&self, now: Moment, writes: &impl UnderWay) -> Option<Epoch> {
        let view = self.view.as_ref()?;
        view.adopted_at?;
        if self.own.acked() == view.layout.epoch() {
            return None;
        }
        let quiet = self.own.is_quiet(now) && !writes.lost_by(&view.layout, now);
        (quiet || omits(Rule::AwaitWrites)).then(|| view.layout.epoch())
    }

    /// A read of the view has found this, or a put has left it.
    pub(super) fn take_view(
        &mut self,
        record: ViewRecord,
        tag: Tag,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.view_missed.is_over();
        if let Some(known) = &mut self.view {
            let (before, after) = (&known.record, &record);
            let went_back = after.now.epoch < before.now.epoch
                || (after.now.epoch == before.now.epoch
                    && (after.now != before.now
                        || (before.chain.is_empty() && !after.chain.is_empty())));
            if went_back && !omits(Rule::NeverGoBack) {
                return self.freeze(Fault::WentBack, now, effects);
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
            let removed = if omits(Rule::CountOnlyFenced) {
                let gone = before.now.members.iter();
                gone.filter(|seat| !after.now.lists(&seat.id, seat.incarnation))
                    .count()
            } else {
                usize::try_from(after.fenced.saturating_sub(before.fenced)).unwrap_or(usize::MAX)
            };
            self.removals.note(now, removed, self.setup.timing.lease);
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
                return self.freeze(Fault::Incomprehensible(why), now, effects);
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
        });
    }

    /// There is no view. Where one was there before, that may be wrong, and is looked at again.
    pub(super) fn find_no_view(&mut self, asked: Moment, now: Moment, effects: &mut Vec<Effect>) {
        let known = self.others.acknowledgement_read_at();
        if self.view.is_some() || known.is_some_and(|read_at| read_at < asked) {
            self.miss_view(Fault::Vanished, now, effects);
        }
        self.no_view_at = Some(now);
    }

    /// The view is not there, or cannot be read: nothing is written by it until it is there again.
    pub(super) fn miss_view(&mut self, fault: Fault, now: Moment, effects: &mut Vec<Effect>) {
        let stays = self.view_missed.again(now, self.setup.timing.lease);
        if stays || omits(Rule::DoubtMissing) {
            return self.freeze(fault, now, effects);
        }
        self.view_from = self.view_from.min(self.soon(now));
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
            || (self.joins() && !self.joins_in_a_crowd())
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
    pub(super) fn next_view(&mut self, now: Moment) -> Option<(Condition, ViewRecord)> {
        let leaves = self.own.state() == Some(LeaseState::Released)
            && matches!(self.phase, Phase::Going(Departure::Leave, _));
        let serves = self.phase == Phase::Serving && self.own.admits_at(now, &self.setup.timing);
        if (!leaves && !serves) || now < self.put_view_from {
            return None;
        }
        // What cannot be read again is not written.
        let is_whole = |next: &Next| Layout::new(next.arrangement.clone(), &self.setup).is_ok();
        let (condition, next) = match &self.view {
            None => {
                let first = self.first_view(now).filter(is_whole)?;
                (Condition::Absent, first)
            }
            Some(view) => {
                let composed = self.composed(view, now).filter(is_whole);
                let next = composed.or_else(|| self.settled(view))?;
                (Condition::Unchanged(view.tag.clone()), next)
            }
        };
        let record = ViewRecord {
            nonce: self.next_nonce(),
            now: next.arrangement,
            chain: next.chain,
            fenced: next.fenced,
        };
        #[cfg(test)]
        if omits(Rule::ReplaceWhatWasRead) {
            return Some((Condition::Always, record));
        }
        Some((condition, record))
    }

    /// The first view of all: everybody who is there.
    fn first_view(&self, now: Moment) -> Option<Next> {
        // Where somebody knows a view, that has come meanwhile, or is there no more.
        let is_first = self.others.acknowledgement_read_at().is_none();
        if !is_first || !self.joins() || !self.knows_all() || !self.knows_wishes() {
            return None;
        }
        let mut members = Vec::new();
        self.add_wishes(&mut members, now);
        let arrangement = Arrangement {
            epoch: Epoch(1),
            members,
            policy: self.setup.policy.clone(),
        };
        Some(Next {
            arrangement,
            chain: Vec::new(),
            fenced: 0,
        })
    }

    /// Another view, where one is due: without those who are over, with those who wish to be in.
    fn composed(&self, view: &InForce, now: Moment) -> Option<Next> {
        let base = &view.record.now;
        let settled = view.record.chain.is_empty();
        let (mut members, fenced) = self.remaining(base, now);
        if settled || omits(Rule::JoinWhenSettled) {
            let may_add = self.joins()
                && self
                    .others
                    .listed_at()
                    .is_some_and(|at| at >= view.first_read_at)
                && self.knows_all()
                && self.knows_wishes();
            if may_add {
                self.add_wishes(&mut members, now);
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
        let arrangement = Arrangement {
            epoch: Epoch(base.epoch.0 + 1),
            members,
            policy: policy.clone(),
        };
        let fenced = view.record.fenced.saturating_add(fenced);
        (chain.len() <= LONGEST_CHAIN).then_some(Next {
            arrangement,
            chain,
            fenced,
        })
    }

    /// The same view without its chain, once all members have acknowledged it or are over.
    fn settled(&self, view: &InForce) -> Option<Next> {
        let base = &view.record.now;
        let mut members = base.members.iter();
        let all = members.all(|seat| {
            self.has_acked(&seat.id, seat.incarnation) || self.is_over(&seat.id, seat.incarnation)
        });
        (all && !view.record.chain.is_empty()).then(|| Next {
            arrangement: base.clone(),
            chain: Vec::new(),
            fenced: view.record.fenced,
        })
    }

    /// Members that are not over, and how many go that were fenced: no more than may go at once.
    fn remaining(&self, base: &Arrangement, now: Moment) -> (Vec<Seat>, u64) {
        let lately = self.removals.within(self.setup.timing.lease, now);
        let most = usize::max(1, (base.members.len() + lately) / 2);
        let (mut allowed, mut gone) = (most.saturating_sub(lately), 0);
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
            gone += u64::from(fenced);
            false
        });
        (remaining, gone)
    }

    /// Adds this member, and all others who are no members and renew their leases. One that nobody
    /// renews may be of a process that died before it was a member.
    fn add_wishes(&self, members: &mut Vec<Seat>, now: Moment) {
        let wishes = self.others.renewed_lately(now).map(|lease| Seat {
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
        if self.setup.policy != base.policy && self.first_to_disagree(base).is_none() {
            &self.setup.policy
        } else {
            &base.policy
        }
    }

    /// The first member whose file has another placement or other pins than ours, as far as is known.
    pub(super) fn first_to_disagree<'a>(&self, base: &'a Arrangement) -> Option<&'a MemberId> {
        let disagrees = |seat: &&Seat| {
            let lease = self.others.lease(&seat.id);
            seat.id != self.setup.id
                && lease.is_none_or(|lease| {
                    lease.incarnation != seat.incarnation || lease.policy != self.policy
                })
        };
        base.members.iter().find(disagrees).map(|seat| &seat.id)
    }

    /// Who keeps our file's placement and pins from being those of the view. Nobody else has to be
    /// looked at until that one agrees.
    pub(super) fn keeps_policy(&self) -> Option<&MemberId> {
        let view = self.view.as_ref();
        let settled = view.is_some_and(|view| view.chain.is_empty());
        self.policy_waits_for().filter(|_| settled)
    }
}

impl Removals {
    pub(super) fn note(&mut self, now: Moment, count: usize, remembered: Duration) {
        self.0
            .retain(|(at, _)| now.saturating_sub(*at) <= remembered + SECOND);
        match self.0.back_mut() {
            Some((at, known)) if now.saturating_sub(*at) < SECOND => {
                *known = known.saturating_add(count);
            }
            _ if count > 0 => self.0.push_back((now, count)),
            _ => {}
        }
    }

    pub(super) fn within(&self, time: Duration, now: Moment) -> usize {
        let lately = |at: Moment| now.saturating_sub(at) <= time + SECOND;
        let counts = self.0.iter().filter(|(at, _)| lately(*at));
        counts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}
