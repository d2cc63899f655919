//! Calls about the view and the leases of others, one at a time.

use super::event::{Answer, Call, CallId, Condition, Effect, Fault, Note};
#[cfg(test)]
use super::omit::{Rule, omits};
use super::{Coordinator, Moment, Phase, SharedCall};

/// Takes the call with this number, if it is the one that is under way.
pub(super) fn take_call<T>(
    under_way: &mut Option<(CallId, T, Moment)>,
    call: CallId,
) -> Option<(T, Moment)> {
    let (_, what, sent) = under_way.take_if(|(id, ..)| *id == call)?;
    Some((what, sent))
}

impl Coordinator {
    /// Sends what is most urgent.
    pub(super) fn call_shared(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.asks_nothing() || self.call.is_some() || now < self.calls_from {
            return;
        }
        let Some((what, call)) = self.next_shared_call(now) else {
            return;
        };
        let id = self.next_call();
        self.call = Some((id, what, now));
        effects.push(Effect::Call(id, call));
    }

    fn next_shared_call(&mut self, now: Moment) -> Option<(SharedCall, Call)> {
        if now >= self.view_from {
            // What is said meanwhile of another view is not forgotten with the answer.
            self.view_from = Moment::MAX;
            return Some((SharedCall::ReadView, Call::ReadView));
        }
        if let Some((condition, record)) = self.next_view(now) {
            let call = Call::PutView(condition, record.clone());
            return Some((SharedCall::PutView(record), call));
        }
        if let Some((lease, tag)) = self.next_fence(now) {
            #[cfg(test)]
            if omits(Rule::FenceWhatWasSeen) {
                let call = Call::PutLease(Condition::Always, lease.clone());
                return Some((SharedCall::Fence(lease), call));
            }
            let call = Call::PutLease(Condition::Unchanged(tag), lease.clone());
            return Some((SharedCall::Fence(lease), call));
        }
        // Not again before all who were there have been read, however long that takes.
        let renew = self.setup.timing.renew;
        let is_old = |at: Moment| now.saturating_sub(at) >= renew / 2 && self.knows_all();
        if self.joins() && self.others.listed_at().is_none_or(is_old) {
            return Some((SharedCall::List, Call::List));
        }
        let id = self.next_look(now)?;
        Some((SharedCall::ReadLease(id.clone()), Call::ReadLease(id)))
    }

    /// The answer to a call.
    pub(super) fn take_answer(
        &mut self,
        call: CallId,
        answer: Answer,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if self.asks_nothing() || self.take_own_answer(call, &answer, now, effects) {
            return;
        }
        let Some((what, sent)) = take_call(&mut self.call, call) else {
            return;
        };
        match (what, answer) {
            (SharedCall::ReadView, Answer::View(found)) => {
                self.view_from = self.view_from.min(now.saturating_add(self.view_period()));
                match found {
                    Some((record, tag)) => self.take_view(record, tag, now, effects),
                    None => self.find_no_view(sent, now, effects),
                }
            }
            (SharedCall::ReadView, Answer::Unreadable) => {
                self.miss_view(Fault::Unreadable, now, effects);
            }
            (SharedCall::PutView(record), Answer::Done(tag)) => {
                self.take_view(record, tag, now, effects);
                effects.push(Effect::Poke);
            }
            // Other calls go in between, so that a put that is refused for ever keeps nothing up.
            (SharedCall::PutView(_), Answer::Conflict) => {
                self.view_from = now;
                self.put_view_from = now.saturating_add(self.jittered(self.setup.timing.poll));
            }
            (SharedCall::List, Answer::Listed(members)) => self.others.list(members, now),
            (SharedCall::ReadLease(_), Answer::Lease(Some((lease, tag)))) => {
                if lease.acked > self.epoch() {
                    self.calls_view_now(now);
                }
                self.others.saw(lease, tag, sent, now);
            }
            (SharedCall::ReadLease(id), Answer::Lease(None)) => self.others.saw_none(&id),
            (SharedCall::ReadLease(id), Answer::Unreadable) => {
                if self.others.cannot_read(&id, self.soon(now)) {
                    effects.push(Effect::Note(Note::Unreadable(id)));
                }
            }
            (SharedCall::Fence(lease), Answer::Done(tag)) => self.fenced(lease, tag, now, effects),
            // It is alive.
            (SharedCall::Fence(lease), Answer::Conflict) => self.others.look_at(&lease.id),
            (what, _) => {
                self.others.call_failed();
                self.calls_from = self.soon(now);
                // It may have been carried out.
                if matches!(what, SharedCall::PutView(_) | SharedCall::ReadView) {
                    self.view_from = self.view_from.min(self.calls_from);
                }
            }
        }
    }

    /// Whether this process asks the store nothing any more.
    pub(super) fn asks_nothing(&self) -> bool {
        matches!(self.phase, Phase::Gone(_) | Phase::Frozen(_))
    }

    /// Who joins waits for the view to be settled. A crowd is told of it, as members are.
    fn view_period(&self) -> Moment {
        let timing = &self.setup.timing;
        if self.joins() && !self.joins_in_a_crowd() {
            timing.poll * 2
        } else {
            self.jittered(timing.renew)
        }
    }

    /// The view is read again at once.
    pub(super) fn calls_view_now(&mut self, now: Moment) {
        self.view_from = self.view_from.min(now);
    }
}
