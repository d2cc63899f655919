//! What comes to its end: a lease, what a view takes from this member, the process. What is under way
//! then is cut. Where the replica can be killed, it is for what it was sent, and for nothing else.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Effect, Fault, Note};
use super::layout::Layout;
use super::omit::{Rule, omits};
use super::record::{Epoch, LeaseState};
use super::view::LONGEST_CHAIN;
use super::{Coordinator, Departure, Moment, Phase, UnderWay};

/// What a view takes from this member, from the moment when it was put in force here.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    layout: Arc<Layout>,
    from: Moment,
    cut_at: Option<Moment>,
    killed: bool,
}

/// When the replica is killed, unless nothing is under way then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    from: Moment,
    /// Nor if the lease was renewed before.
    unless_renewed: bool,
}

/// Since when a record is not there, or cannot be read, and how many answers said so. One of them may
/// be wrong; what stays so is not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed(Option<(Moment, u32)>);

/// Fewer answers than this say nothing.
const ANSWERS: u32 = 3;

impl Missed {
    /// One more answer says so. Whether that has stayed so.
    pub(super) fn again(&mut self, now: Moment, lasts: Duration) -> bool {
        let (since, answers) = self.0.get_or_insert((now, 0));
        *answers += 1;
        *answers >= ANSWERS && now.saturating_sub(*since) >= lasts
    }

    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }

    pub(super) fn is_missed(self) -> bool {
        self.0.is_some()
    }
}

impl Coordinator {
    /// The lease is over: what is under way is cut.
    pub(super) fn mind_own_end(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        let timing = self.setup.timing;
        if self.own.admits_at(now, &timing) {
            self.own.ended = false;
            self.kill = self.kill.filter(|kill| !kill.unless_renewed);
            return;
        }
        if std::mem::replace(&mut self.own.ended, true) || !self.own.was_held() {
            return;
        }
        effects.push(Effect::Note(Note::LeaseOver));
        if writes.any(now) {
            effects.push(Effect::CutAll);
        }
        if writes.any(now) && self.setup.kills_replica {
            // Others wait for that long. The replica has most of it to end by itself what it was sent.
            let grace = self.setup.grace();
            let waits = (grace / 2).max(grace.saturating_sub(timing.killed));
            let from = self.own.lasts_until().saturating_add(waits);
            self.kill = Some(Kill {
                from: from.max(now.saturating_add(timing.margin)),
                unless_renewed: true,
            });
        }
    }

    /// The driver has put a view in force.
    pub(super) fn adopted(&mut self, epoch: Epoch, now: Moment) {
        let Some(view) = self
            .view
            .as_mut()
            .filter(|view| view.layout.epoch() == epoch && view.adopted_at.is_none())
        else {
            return;
        };
        view.adopted_at = Some(now);
        if self.handovers.len() > LONGEST_CHAIN {
            self.handovers.remove(0);
        }
        self.handovers.push(Handover {
            layout: view.layout.clone(),
            from: now,
            cut_at: None,
            killed: false,
        });
    }

    /// What views take from this member ends in time. A view that follows puts nothing off.
    pub(super) fn mind_handover(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        let Some(view) = &self.view else { return };
        let (handoff, takes) = (self.setup.timing.handoff, self.cut_takes());
        let last = self.handovers.pop();
        self.handovers
            .retain(|one| writes.lost_by(&one.layout, now));
        self.handovers.extend(last);
        let late = |one: &Handover| now.saturating_sub(one.from) >= handoff && !one.killed;
        if !self.handovers.iter().any(late) || !writes.lost_by(&view.layout, now) {
            return;
        }
        let mut kills = false;
        for one in self.handovers.iter_mut().filter(|one| late(one)) {
            if !writes.lost_by(&one.layout, now) {
                continue;
            }
            match one.cut_at {
                None => {
                    one.cut_at = Some(now);
                    effects.push(Effect::CutLost(one.layout.clone()));
                }
                Some(at) if now.saturating_sub(at) >= takes => {
                    (one.killed, kills) = (true, true);
                }
                Some(_) => {}
            }
        }
        if kills && self.setup.kills_replica {
            effects.push(Effect::KillReplica);
        }
    }

    /// The time of what the replica was sent is over.
    pub(super) fn mind_kill(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        if self.kill.take_if(|kill| now >= kill.from).is_some()
            && self.setup.kills_replica
            && writes.any(now)
        {
            effects.push(Effect::KillReplica);
        }
    }

    pub(super) fn go(&mut self, departure: Departure, now: Moment) {
        match self.phase {
            Phase::Serving | Phase::Starting | Phase::Frozen(_) => {
                self.phase = Phase::Going(departure, now);
            }
            Phase::Going(..) | Phase::Gone(_) => {}
        }
    }

    /// A process that goes cuts what takes too long, and is gone once its view says so.
    pub(super) fn mind_departure(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Going(departure, since) = self.phase else {
            return;
        };
        let late = now.saturating_sub(since) >= self.setup.timing.handoff;
        if late && writes.any(now) && !std::mem::replace(&mut self.own.cut, true) {
            self.cut_all(now, effects);
        }
        let is_gone = match (departure, self.own.state()) {
            (Departure::Park, Some(LeaseState::Parked)) => true,
            (Departure::Leave, Some(LeaseState::Released)) => match &self.view {
                // The last ones leave nobody behind who could be told.
                Some(view) => {
                    let mut seats = view.record.now.members.iter();
                    !self.is_listed(view)
                        || seats.all(|seat| self.is_over(&seat.id, seat.incarnation))
                }
                None => true,
            },
            // It has none, or none any more. One that it may get yet is given back first.
            (_, None) => {
                self.kill.is_none() && (!self.own.is_taking() || omits(Rule::GiveBackEarlyLease))
            }
            _ => false,
        };
        if is_gone {
            self.gone(departure, effects);
        }
    }

    fn gone(&mut self, departure: Departure, effects: &mut Vec<Effect>) {
        self.phase = Phase::Gone(departure);
        effects.push(Effect::Gone(departure));
    }

    pub(super) fn freeze(&mut self, fault: Fault, now: Moment, effects: &mut Vec<Effect>) {
        // Who goes goes on without its lease.
        if !matches!(self.phase, Phase::Going(..)) {
            self.phase = Phase::Frozen(fault);
        }
        self.own.forget();
        self.cut_all(now, effects);
        effects.push(Effect::Note(Note::Frozen(fault)));
    }

    /// Whatever is under way ends now.
    pub(super) fn cut_all(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::CutAll);
        if self.setup.kills_replica {
            self.kill = Some(Kill {
                from: now.saturating_add(self.cut_takes()),
                unless_renewed: false,
            });
        }
    }

    /// After that long only what the replica was sent is under way of what was cut.
    fn cut_takes(&self) -> Duration {
        self.setup.timing.poll * 2
    }
}
