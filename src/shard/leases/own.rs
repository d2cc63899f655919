//! A member's own lease: taken, renewed, and what becomes of it.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::ending::Missed;
use super::event::{Answer, Call, CallId, Condition, Effect, Fault, Note, Tag};
use super::omit::{Rule, omits};
use super::record::{Epoch, Incarnation, Lease, LeaseState, Nonce};
use super::shared::take_call;
use super::{Ahead, Coordinator, Departure, Moment, Phase, Timing, UnderWay};

/// What is known of our own lease.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// As it was last known to be stored, if it was ours then.
    held: Option<(Lease, Tag)>,
    /// What is there and not ours, and what to write in its place.
    vacant: Option<Vacant>,
    /// When it is over.
    until: Moment,
    /// Puts up to this one are worth nothing.
    revoked: u64,
    /// Puts that may have been carried out, with the moments before they were sent.
    doubtful: VecDeque<(Nonce, Sent)>,
    /// Whether it has to be read before anything is put.
    unread: bool,
    /// No call before this.
    next: Moment,
    call: Option<(CallId, OwnCall, Moment)>,
    /// How far the clocks were ahead when it was sent.
    ahead_at_call: Ahead,
    /// What the process before may have left at the replica is over by then.
    quiet_from: Moment,
    /// How long its replica may take for that, as its lease said.
    left: Duration,
    /// Since when it is not there, or cannot be read, though it was.
    missed: Missed,
    /// Since when there is none, where the view knows of one.
    none_since: Option<Moment>,
    /// Whether its end was dealt with.
    pub(super) ended: bool,
    /// Whether a departure has cut what was under way.
    pub(super) cut: bool,
}

/// The clocks before something was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Moment,
    ahead: Ahead,
}

#[derive(Clone, Debug)]
enum OwnCall {
    Read,
    Put(Lease),
}

/// A place where a lease can be put.
#[derive(Clone, Debug)]
struct Vacant {
    condition: Condition,
    incarnation: Incarnation,
    version: u64,
    acked: Epoch,
}

/// So many puts without an answer are remembered, which is hours of them.
const DOUBTFUL: usize = 4096;

impl Own {
    /// Whether a write may be admitted, as far as the lease goes.
    pub(super) fn admits_at(&self, now: Moment, timing: &Timing) -> bool {
        now < self.admits_until(timing)
    }

    pub(super) fn admits_until(&self, timing: &Timing) -> Moment {
        match &self.held {
            Some((lease, _)) if lease.state == LeaseState::Live => {
                self.until.saturating_sub(timing.margin)
            }
            _ => Moment::ZERO,
        }
    }

    pub(super) fn was_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.held.as_ref().map(|(lease, _)| lease)
    }

    pub(super) fn state(&self) -> Option<LeaseState> {
        self.lease().map(|lease| lease.state)
    }

    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        self.lease().map(|lease| lease.incarnation)
    }

    /// When it is over, as others reckon; unknown where it was revoked.
    pub(super) fn lasts_until(&self) -> Moment {
        self.until
    }

    /// Whether there may be one yet, or soon, that was put and is not known to be stored.
    pub(super) fn is_taking(&self) -> bool {
        let puts = matches!(self.call, Some((_, OwnCall::Put(_), _)));
        puts || !self.doubtful.is_empty() || self.vacant.is_some()
    }

    /// Whether nothing of an earlier process is at the replica any more.
    pub(super) fn is_quiet(&self, now: Moment) -> bool {
        now >= self.quiet_from
    }

    /// Worth nothing until it is renewed by a put after this one.
    pub(super) fn revoke(&mut self, last_put: u64) {
        self.until = Moment::ZERO;
        self.revoked = last_put;
        self.next = Moment::ZERO;
    }

    /// It can be read at once, and put.
    pub(super) fn is_free(&mut self, now: Moment) {
        self.next = now;
    }

    pub(super) fn forget(&mut self) {
        *self = Self {
            ended: self.ended,
            quiet_from: self.quiet_from,
            left: self.left,
            ..Self::default()
        };
    }

    /// A put may have been carried out, or may still be.
    fn doubt(&mut self, nonce: Nonce, sent: Sent) {
        if self.doubtful.len() == DOUBTFUL {
            self.doubtful.pop_front();
        }
        self.doubtful.push_back((nonce, sent));
    }

    /// The view that it has acknowledged last.
    pub(super) fn acked(&self) -> Epoch {
        self.lease().map_or(Epoch::default(), |lease| lease.acked)
    }

    fn is_worth_something(&self, lease: &Lease) -> bool {
        lease.state == LeaseState::Live && lease.nonce.call > self.revoked
    }
}

impl Coordinator {
    /// Sends what our own lease needs.
    pub(super) fn call_own(
        &mut self,
        now: Moment,
        writes: &impl UnderWay,
        effects: &mut Vec<Effect>,
    ) {
        if self.asks_nothing() || self.own.call.is_some() {
            return;
        }
        let Some((what, call)) = self.next_own_call(now, writes) else {
            return;
        };
        let id = self.next_call();
        self.own.call = Some((id, what, now));
        self.own.ahead_at_call = self.ahead_now;
        effects.push(Effect::Call(id, call));
    }

    fn next_own_call(&mut self, now: Moment, writes: &impl UnderWay) -> Option<(OwnCall, Call)> {
        let read = || Some((OwnCall::Read, Call::ReadLease(self.setup.id.clone())));
        let due = now >= self.own.next;
        if let Some((lease, tag)) = &self.own.held {
            if self.own.unread {
                return if due { read() } else { None };
            }
            if lease.is_over() {
                return None;
            }
            let renewed = self.renewed(lease, now, writes);
            let says_more = renewed.state != lease.state
                || renewed.acked != lease.acked
                || renewed.policy != lease.policy;
            if !due && !says_more {
                return None;
            }
            let unchanged = Condition::Unchanged(tag.clone());
            return Some(self.put_own(unchanged, renewed));
        }
        if matches!(self.phase, Phase::Going(..)) && !self.own.is_taking() {
            return None;
        }
        if let Some(vacant) = self.own.vacant.take() {
            let lease = self.first_lease(&vacant, now);
            return Some(self.put_own(vacant.condition, lease));
        }
        // One that was not ours is watched as any other.
        let seen = self.others.lease(&self.setup.id);
        if due && seen.is_none_or(|lease| lease.state != LeaseState::Live) {
            return read();
        }
        None
    }

    fn put_own(&mut self, condition: Condition, mut lease: Lease) -> (OwnCall, Call) {
        lease.nonce = self.next_nonce();
        let call = Call::PutLease(condition, lease.clone());
        (OwnCall::Put(lease), call)
    }

    fn first_lease(&self, vacant: &Vacant, now: Moment) -> Lease {
        let timing = &self.setup.timing;
        Lease {
            id: self.setup.id.clone(),
            incarnation: vacant.incarnation,
            version: vacant.version,
            nonce: Nonce {
                process: 0,
                call: 0,
            },
            state: LeaseState::Live,
            lasts_ms: millis(timing.lease),
            grace_ms: millis(self.setup.grace().max(self.own.left)),
            acked: vacant.acked,
            address: self.setup.address.clone(),
            weight: self.setup.weight,
            replica: self.setup.replica.clone(),
            policy: self.policy.clone(),
            inherited: !self.own.is_quiet(now),
        }
    }

    /// What our lease is to say next.
    fn renewed(&self, lease: &Lease, now: Moment, writes: &impl UnderWay) -> Lease {
        let mut renewed = lease.clone();
        renewed.version += 1;
        (renewed.weight, renewed.policy) = (self.setup.weight, self.policy.clone());
        if let Some(epoch) = self.acknowledges(now, writes) {
            renewed.acked = renewed.acked.max(epoch);
        }
        renewed.inherited = !self.own.is_quiet(now);
        let left = if renewed.inherited {
            self.own.left
        } else {
            Duration::ZERO
        };
        renewed.grace_ms = millis(self.setup.grace().max(left));
        // What is admitted until a snapshot says so is under way only then.
        let admits_nothing = self.published.as_ref().is_some_and(|at| at.is_going());
        let quiet = admits_nothing && self.own.is_quiet(now) && !writes.any(now);
        if let (Phase::Going(departure, _), true) = (self.phase, quiet) {
            renewed.state = match departure {
                Departure::Leave => LeaseState::Released,
                Departure::Park => LeaseState::Parked,
            };
        }
        renewed
    }

    /// The answer to a call about our own lease; whether it was one.
    pub(super) fn take_own_answer(
        &mut self,
        call: CallId,
        answer: &Answer,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some((what, at)) = take_call(&mut self.own.call, call) else {
            return false;
        };
        let ahead = self.own.ahead_at_call;
        let sent = Sent { at, ahead };
        match (what, answer) {
            (OwnCall::Put(lease), Answer::Done(tag)) => {
                self.own_is_stored(lease, tag.clone(), sent, now, effects);
            }
            // Something in between may have sent it twice: then it is there.
            (OwnCall::Put(lease), Answer::Conflict) => {
                self.own.doubt(lease.nonce, sent);
                (self.own.unread, self.own.next) = (true, now);
            }
            (OwnCall::Put(lease), _) => {
                self.others.call_failed();
                if omits(Rule::DoubtUnknown) {
                    let tag = Tag(format!("{:?}", lease.nonce).into());
                    self.own_is_stored(lease, tag, sent, now, effects);
                    self.own.unread = true;
                    return true;
                }
                self.own.doubt(lease.nonce, sent);
                (self.own.unread, self.own.next) = (true, self.soon(now));
            }
            (OwnCall::Read, Answer::Lease(found)) => {
                self.take_own_lease(found.clone(), sent, now, effects);
            }
            (OwnCall::Read, Answer::Unreadable) => self.miss_own(Fault::Unreadable, now, effects),
            (OwnCall::Read, _) => {
                self.others.call_failed();
                self.own.next = self.soon(now);
            }
        }
        true
    }

    /// Ours is what is stored.
    fn own_is_stored(
        &mut self,
        lease: Lease,
        tag: Tag,
        sent: Sent,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let from = if omits(Rule::CountFromSending) {
            now
        } else {
            sent.at
        };
        if self.own.is_worth_something(&lease) {
            self.ahead = Some(sent.ahead);
            self.own.until = self.own.until.max(from.saturating_add(lease.lasts()));
        }
        self.own.held = Some((lease, tag));
        (self.own.unread, self.own.vacant) = (false, None);
        self.own.missed.is_over();
        self.own.doubtful.clear();
        self.own.next = sent
            .at
            .saturating_add(self.jittered(self.setup.timing.renew));
        if self.phase == Phase::Starting {
            self.phase = Phase::Serving;
            self.calls_view_now(now);
            effects.push(Effect::Note(Note::Leased));
        }
    }

    /// What a read of our own lease has found.
    fn take_own_lease(
        &mut self,
        found: Option<(Lease, Tag)>,
        sent: Sent,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.own.lease().cloned();
        match (known, found) {
            (None, None) => self.find_none(now),
            (Some(_), None) => self.miss_own(Fault::Vanished, now, effects),
            (known, Some((lease, tag))) => {
                self.own.missed.is_over();
                self.own.none_since = None;
                let mut doubtful = self.own.doubtful.iter();
                let ours = doubtful.find(|(nonce, _)| *nonce == lease.nonce).copied();
                if let Some((_, mut first)) = ours.filter(|_| !omits(Rule::KnowOwnPut)) {
                    if omits(Rule::MindClocksOfLostAnswers) {
                        first.ahead = self.ahead.unwrap_or_default();
                    }
                    let counted = if omits(Rule::CountFromFirstTry) {
                        sent
                    } else {
                        first
                    };
                    return self.own_is_stored(lease, tag, counted, now, effects);
                }
                match known {
                    None => self.find_vacant(lease, tag, now, effects),
                    Some(known) => self.compare_own(&known, lease, tag, now, effects),
                }
            }
        }
    }

    /// Our lease is not there, or cannot be read. Nothing is written until it is there again.
    fn miss_own(&mut self, fault: Fault, now: Moment, effects: &mut Vec<Effect>) {
        if self.own.missed.again(now, self.setup.timing.lease) {
            return self.freeze(fault, now, effects);
        }
        self.own.revoke(self.nonces);
        (self.own.unread, self.own.next) = (true, self.soon(now));
    }

    /// What is stored, against what we knew of it.
    fn compare_own(
        &mut self,
        known: &Lease,
        found: Lease,
        tag: Tag,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let order = |lease: &Lease| (lease.incarnation, lease.version);
        if found.nonce == known.nonce {
            // What was sent after it has not been carried out, or not yet.
            self.own.held = Some((found, tag));
            (self.own.unread, self.own.next) = (false, now);
        } else if order(&found) < order(known) && !omits(Rule::NeverGoBack) {
            self.freeze(Fault::WentBack, now, effects);
        } else if found.incarnation == known.incarnation && found.is_over() {
            self.own.forget();
            self.cut_all(now, effects);
            effects.push(Effect::Note(Note::Fenced));
            if self.phase == Phase::Serving {
                self.phase = Phase::Starting;
                self.find_vacant(found, tag, now, effects);
            }
        } else if omits(Rule::KnowClone) {
            self.own.held = Some((found, tag));
            (self.own.unread, self.own.next) = (false, now);
        } else {
            self.freeze(Fault::Clone, now, effects);
        }
    }

    /// There is no lease: the first one is put. Where a view knows of one, that was deleted, and its
    /// process may be alive: it is waited for as long as that may write.
    fn find_none(&mut self, now: Moment) {
        let timing = self.setup.timing;
        let Some(known) = self.latest_incarnation() else {
            self.own.next = now.saturating_add(timing.poll);
            return;
        };
        let since = *self.own.none_since.get_or_insert(now);
        let wait = timing.with_drift(timing.lease.saturating_add(timing.grace));
        let is_new = known == Incarnation::default() || omits(Rule::GoBeyondDeleted);
        if !is_new && now.saturating_sub(since) <= wait {
            self.own.next = self.soon(now);
            return;
        }
        self.own.vacant = Some(Vacant {
            condition: Condition::Absent,
            incarnation: self.unheard_of(known),
            version: 1,
            acked: Epoch(0),
        });
    }

    /// One that no member has ever heard of: a member that left may have had its lease deleted, and others
    /// remember that it was over. Since then there was another view.
    fn unheard_of(&self, known: Incarnation) -> Incarnation {
        let views = if omits(Rule::GoBeyondForgotten) {
            0
        } else {
            self.epoch().0
        };
        Incarnation(known.0.max(views) + 1)
    }

    /// The latest incarnation of this member that a view knows; none if no view was looked for.
    fn latest_incarnation(&self) -> Option<Incarnation> {
        let Some(view) = &self.view else {
            return self.no_view_at.map(|_| Incarnation::default());
        };
        let all = view.record.chain.iter().chain([&view.record.now]);
        let ours = all.filter_map(|arrangement| arrangement.seat(&self.setup.id));
        let latest = ours.map(|seat| seat.incarnation).max();
        Some(latest.unwrap_or_default())
    }

    /// Whether a lease can be put in place of this one.
    fn find_vacant(&mut self, lease: Lease, tag: Tag, now: Moment, effects: &mut Vec<Effect>) {
        let dead = self.setup.dead_predecessor == Some(lease.nonce.process)
            && lease.replica == self.setup.replica;
        if dead && lease.inherited && self.no_view_at.is_none() && self.view.is_none() {
            self.own.next = self.soon(now);
            return;
        }
        let dead = dead && !self.keeps_a_view_open(&lease);
        let (incarnation, acked) = match lease.state {
            LeaseState::Parked => (lease.incarnation, lease.acked),
            LeaseState::Live if dead || omits(Rule::ProveDeath) => {
                self.own.left = lease.grace().max(self.setup.grace());
                self.own.quiet_from =
                    now.saturating_add(self.setup.timing.with_drift(self.own.left));
                (lease.incarnation, lease.acked)
            }
            LeaseState::Live => {
                // What we put before it was replaced, if it was ever carried out.
                self.own.doubtful.clear();
                effects.push(Effect::Note(Note::WaitsForPredecessor));
                self.others.saw(lease, tag, now, now);
                return;
            }
            LeaseState::Released | LeaseState::Fenced if omits(Rule::BeginAnew) => {
                (lease.incarnation, lease.acked)
            }
            LeaseState::Released | LeaseState::Fenced => {
                (Incarnation(lease.incarnation.0 + 1), Epoch(0))
            }
        };
        self.own.vacant = Some(Vacant {
            condition: Condition::Unchanged(tag),
            incarnation,
            version: lease.version + 1,
            acked,
        });
    }

    /// Processes that die one after the other, each before what the one before it has left is over, would
    /// keep a view from being settled for as long as they do. The second one waits, and is fenced.
    fn keeps_a_view_open(&self, lease: &Lease) -> bool {
        let open = self.view.iter().filter(|view| !view.chain.is_empty());
        let mut waits = open.filter(|view| {
            let arrangement = view.layout.arrangement();
            arrangement.lists(&lease.id, lease.incarnation) && lease.acked != arrangement.epoch
        });
        lease.inherited && waits.next().is_some() && !omits(Rule::EndLoops)
    }

    /// A moment later, not the same for all.
    pub(super) fn soon(&self, now: Moment) -> Moment {
        now.saturating_add(self.jittered(self.setup.timing.renew / 2))
    }

    /// A tenth more or less.
    pub(super) fn jittered(&self, time: Duration) -> Duration {
        let mut hasher = SipHasher24::new();
        hasher.write_u64(self.setup.process);
        hasher.write_u64(self.calls);
        let part = u32::try_from(hasher.finish() % 1024).unwrap_or(0);
        time - time / 10 + time / 5 * part / 1024
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
