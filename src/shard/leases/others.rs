//! The leases of others: who is looked at, when, and when one is fenced.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::event::{Effect, Note, Tag};
use super::omit::{Rule, omits};
use super::record::{Epoch, Incarnation, Lease, LeaseState};
use super::told::Reading;
use super::{Coordinator, Moment, Phase};
use crate::shard::members::MemberId;

/// What was read of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    seen: BTreeMap<MemberId, Seen>,
    /// Those that do not answer, and since when they are looked at.
    down: BTreeMap<MemberId, Moment>,
    /// Those whose acknowledgement a write waits for.
    wanted: BTreeSet<MemberId>,
    /// Who had a lease when that was asked last, and when it was.
    listed: Option<(Vec<MemberId>, Moment)>,
    /// Those whose leases cannot be read, and when they are looked at again.
    unreadable: BTreeMap<MemberId, Moment>,
    /// How far the raw clock is ahead of the one that counts, in milliseconds.
    raw_ahead: i64,
}

/// One lease, as it was read last.
#[derive(Clone, Debug)]
struct Seen {
    lease: Lease,
    tag: Tag,
    /// How long it was seen as it is, up to the last look that no failure came before.
    unchanged: Duration,
    /// Since when that goes on, and how far the raw clock was ahead then.
    from: Moment,
    raw_ahead: i64,
    /// Whether a call has failed since: it may have been renewed without our seeing it.
    doubted: bool,
    reads: u32,
    read_at: Moment,
    /// When it was seen that it had been renewed.
    renewed_at: Option<Moment>,
}

/// Fewer looks than this say nothing.
const LOOKS: u32 = 3;
/// More than so many who may join at once are a crowd.
const CROWD: usize = 8;
/// Nobody waits longer for those before it in a crowd.
const LONGEST_TURN: Duration = Duration::from_secs(60);

impl Others {
    pub(super) fn down(&mut self, member: MemberId, now: Moment) {
        self.down.entry(member).or_insert(now);
    }

    pub(super) fn up(&mut self, member: &MemberId) {
        self.down.remove(member);
    }

    pub(super) fn is_down(&self, member: &MemberId) -> bool {
        self.down.contains_key(member)
    }

    pub(super) fn want(&mut self, member: MemberId) {
        self.wanted.insert(member);
    }

    pub(super) fn wants_nothing(&mut self) {
        self.wanted.clear();
    }

    pub(super) fn lease(&self, id: &MemberId) -> Option<&Lease> {
        self.seen.get(id).map(|seen| &seen.lease)
    }

    /// Leases that last, as was seen: they were renewed not longer ago than that.
    pub(super) fn renewed_lately(&self, now: Moment) -> impl Iterator<Item = &Lease> {
        let lately = move |seen: &&Seen| {
            let renewed = seen
                .renewed_at
                .is_some_and(|at| now.saturating_sub(at) <= seen.lease.lasts());
            seen.lease.state == LeaseState::Live && (renewed || omits(Rule::AddOnlyRenewed))
        };
        self.seen.values().filter(lately).map(|seen| &seen.lease)
    }

    pub(super) fn raw_is_ahead(&mut self, millis: i64) {
        self.raw_ahead = millis;
    }

    /// When a lease was read last that is not over and knows a view.
    pub(super) fn acknowledgement_read_at(&self) -> Option<Moment> {
        let knowing = self
            .seen
            .values()
            .filter(|seen| !seen.lease.is_over() && seen.lease.acked > Epoch::default());
        knowing.map(|seen| seen.read_at).max()
    }

    pub(super) fn list(&mut self, members: Vec<MemberId>, now: Moment) {
        self.listed = Some((members, now));
    }

    /// When it was asked last who has leases.
    pub(super) fn listed_at(&self) -> Option<Moment> {
        self.listed.as_ref().map(|(_, at)| *at)
    }

    /// Those who had a lease then, and whose lease was not read since.
    fn unread(&self) -> impl Iterator<Item = &MemberId> {
        let listed = self.listed.iter();
        let all = listed.flat_map(|(ids, at)| ids.iter().map(|id| (id, *at)));
        all.filter(|(id, at)| self.seen.get(*id).is_none_or(|seen| seen.read_at < *at))
            .map(|(id, _)| id)
    }

    /// A lease was read. `sent` is when that was asked for.
    pub(super) fn saw(&mut self, lease: Lease, tag: Tag, sent: Moment, now: Moment) {
        let since = if omits(Rule::WaitFromAnswer) {
            sent
        } else {
            now
        };
        self.unreadable.remove(&lease.id);
        let raw_ahead = self.raw_ahead;
        let Some(entry) = self.seen.get_mut(&lease.id) else {
            let seen = Seen {
                lease: lease.clone(),
                tag,
                unchanged: Duration::ZERO,
                from: since,
                raw_ahead,
                doubted: false,
                reads: 1,
                read_at: now,
                renewed_at: None,
            };
            self.seen.insert(lease.id, seen);
            return;
        };
        let order = |lease: &Lease| (lease.incarnation, lease.version);
        if order(&lease) < order(&entry.lease) {
            // An answer that was overtaken, or a store that went back: it says nothing new.
            entry.read_at = now;
            return;
        }
        if entry.lease.nonce != lease.nonce {
            entry.renewed_at = Some(now);
        }
        if entry.lease.nonce != lease.nonce && !omits(Rule::SeeRenewals) {
            (entry.unchanged, entry.reads) = (Duration::ZERO, 0);
        } else {
            // What may have been in between does not count.
            entry.unchanged = entry.unchanged_at(since, raw_ahead);
        }
        (entry.from, entry.raw_ahead, entry.doubted) = (since, raw_ahead, false);
        entry.reads += 1;
        entry.read_at = now;
        (entry.lease, entry.tag) = (lease, tag);
    }

    /// It was asked for and cannot be read. It is not before then again. Whether that is new.
    pub(super) fn cannot_read(&mut self, id: &MemberId, again: Moment) -> bool {
        if let Some(seen) = self.seen.get_mut(id) {
            seen.doubted = true;
        }
        self.unreadable.insert(id.clone(), again).is_none()
    }

    /// It is looked at again at once.
    pub(super) fn look_at(&mut self, id: &MemberId) {
        if let Some(seen) = self.seen.get_mut(id) {
            (seen.doubted, seen.read_at) = (true, Moment::ZERO);
        }
    }

    /// A read has found no lease.
    pub(super) fn saw_none(&mut self, id: &MemberId) {
        self.seen.remove(id);
        self.unreadable.remove(id);
        if let Some((listed, _)) = &mut self.listed {
            listed.retain(|listed| listed != id);
        }
    }

    /// A call has failed: the time between the looks before and after it does not count.
    pub(super) fn call_failed(&mut self) {
        if omits(Rule::SkipFailures) {
            return;
        }
        for seen in self.seen.values_mut() {
            seen.doubted = true;
        }
    }

    fn is_due(&self, id: &MemberId, poll: Duration, now: Moment) -> Option<Moment> {
        if self.unreadable.get(id).is_some_and(|again| now < *again) {
            return None;
        }
        match self.seen.get(id) {
            None => Some(Moment::ZERO),
            Some(seen) if now.saturating_sub(seen.read_at) >= poll => Some(seen.read_at),
            Some(_) => None,
        }
    }
}

impl Seen {
    /// How long it was seen as it is, by the slower of two clocks.
    fn unchanged_at(&self, now: Moment, raw_ahead: i64) -> Duration {
        if self.doubted {
            return self.unchanged;
        }
        let too_fast = self.raw_ahead.saturating_sub(raw_ahead).max(0);
        let too_fast = if omits(Rule::CountByBothClocks) {
            Duration::ZERO
        } else {
            Duration::from_millis(u64::try_from(too_fast).unwrap_or(u64::MAX))
        };
        let passed = now.saturating_sub(self.from).saturating_sub(too_fast);
        self.unchanged.saturating_add(passed)
    }
}

impl Coordinator {
    /// The lease that is to be looked at next, if one is.
    pub(super) fn next_look(&self, now: Moment) -> Option<MemberId> {
        let timing = &self.setup.timing;
        let mut next: Option<(Moment, MemberId)> = None;
        let mut consider = |id: &MemberId, poll: Duration| {
            if let Some(due) = self.others.is_due(id, poll, now)
                && next.as_ref().is_none_or(|(earliest, _)| due < *earliest)
            {
                next = Some((due, id.clone()));
            }
        };
        if self.phase == Phase::Starting {
            // An earlier process of this member.
            if self
                .others
                .lease(&self.setup.id)
                .is_some_and(|lease| !lease.is_over())
            {
                consider(&self.setup.id, timing.renew / 2);
            }
        }
        if self.joins() && now >= self.turn_to_join() {
            let strangers = self.others.unread().filter(|id| self.is_stranger(id));
            strangers.for_each(|id| consider(id, Duration::ZERO));
        } else if self.joins()
            && let Some(first) = self.before_us().min_by_key(|id| score(id))
        {
            // It may be of the past.
            consider(first, timing.renew);
        }
        if let Some(id) = self.keeps_policy() {
            consider(id, timing.renew);
        }
        let settles = self.settles(now);
        for seat in self.seats().filter(|seat| seat.id != self.setup.id) {
            let is_over = self.is_over(&seat.id, seat.incarnation);
            let wanted = self.others.wanted.contains(&seat.id);
            let acked = self.has_acked(&seat.id, seat.incarnation);
            if !is_over && !acked && (wanted || settles) {
                consider(&seat.id, timing.poll);
            } else if !is_over
                && let Some(down) = self.others.down.get(&seat.id)
                && now >= down.saturating_add(self.delay_of_rank(&seat.id))
            {
                consider(&seat.id, timing.renew / 2);
            }
        }
        next.map(|(_, id)| id)
    }

    /// Whether a member has to be known before we join: those of the view are.
    fn is_stranger(&self, id: &MemberId) -> bool {
        *id != self.setup.id && !self.seats().any(|seat| seat.id == *id)
    }

    /// Those who may want to be members too, as far as is known: those whose leases are over, or are not
    /// renewed, do not.
    fn crowd(&self) -> impl Iterator<Item = &MemberId> {
        let renews = self.setup.timing.renew;
        let renews = renews.saturating_add(renews / 2);
        let is_idle = move |seen: &Seen| seen.lease.is_over() || seen.unchanged >= renews;
        let listed = self.others.listed.iter().flat_map(|(ids, _)| ids);
        let wishes = listed.filter(|id| self.is_stranger(id));
        wishes.filter(move |id| !self.others.seen.get(*id).is_some_and(is_idle))
    }

    /// Those of them whose turn comes before ours.
    fn before_us(&self) -> impl Iterator<Item = &MemberId> {
        let ours = score(&self.setup.id);
        self.crowd().filter(move |id| score(id) < ours)
    }

    /// Whether so many may join at once that one is to read the leases of all, and not each.
    pub(super) fn joins_in_a_crowd(&self) -> bool {
        self.joins() && !omits(Rule::TakeTurns) && self.crowd().nth(CROWD).is_some()
    }

    /// When it is our turn to read the leases of a crowd: those before us get the time that it takes them
    /// to see all of them renewed. Who is added by them has no need to.
    fn turn_to_join(&self) -> Moment {
        let listed_at = self.others.listed_at().unwrap_or_default();
        if !self.joins_in_a_crowd() {
            return listed_at;
        }
        let times =
            |time: Duration, count| time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let takes = times(self.setup.timing.poll / 4, self.crowd().count());
        let waits = times(takes, self.before_us().count());
        listed_at.saturating_add(waits.min(LONGEST_TURN))
    }

    /// Whether all in a crowd were seen renewed, so that they can be added at once.
    pub(super) fn knows_wishes(&self) -> bool {
        let is_renewed = |id: &MemberId| {
            let seen = self.others.seen.get(id);
            seen.is_none_or(|seen| seen.renewed_at.is_some())
        };
        !self.joins_in_a_crowd() || self.crowd().all(is_renewed)
    }

    /// Everybody who may want to be a member, or knows of a view where there is none, was read since it
    /// was asked who is there. One whose lease cannot be read may know of a view, and is no wish.
    pub(super) fn knows_all(&self) -> bool {
        let unreadable = |id: &MemberId| self.others.unreadable.contains_key(id);
        let mut unread = self.others.unread();
        self.others.listed.is_some()
            && !unread.any(|id| self.is_stranger(id) && !(self.view.is_some() && unreadable(id)))
    }

    /// A lease that may be fenced.
    pub(super) fn next_fence(&mut self, now: Moment) -> Option<(Lease, Tag)> {
        let waits_for_itself = self.phase == Phase::Starting;
        if !waits_for_itself && !self.own.admits_at(now, &self.setup.timing) {
            return None;
        }
        let timing = self.setup.timing;
        let me = self.setup.id.clone();
        let overdue = |seen: &&Seen| {
            let lease = &seen.lease;
            let wait = timing.longest_life(lease);
            let is_ours = lease.id == me;
            is_ours == waits_for_itself
                && !lease.is_over()
                && seen.reads >= LOOKS
                && !seen.doubted
                && now.saturating_sub(seen.read_at) <= timing.renew
                && seen.unchanged_at(now, self.others.raw_ahead) > wait
        };
        let seen = self.others.seen.values().find(overdue)?;
        let (mut lease, tag) = (seen.lease.clone(), seen.tag.clone());
        (lease.state, lease.version) = (LeaseState::Fenced, lease.version + 1);
        lease.nonce = self.next_nonce();
        Some((lease, tag))
    }

    /// A fence was carried out.
    pub(super) fn fenced(
        &mut self,
        lease: Lease,
        tag: Tag,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let id = lease.id.clone();
        self.others.saw(lease, tag, now, now);
        if id == self.setup.id {
            self.own.is_free(now);
        } else {
            effects.push(Effect::Note(Note::FencedOther(id)));
        }
        effects.push(Effect::Poke);
    }

    /// A member's lease, as it was read last; our own as we know it.
    fn lease_of(&self, id: &MemberId) -> Option<&Lease> {
        let own = self.own.lease().filter(|lease| lease.id == *id);
        own.or_else(|| self.others.lease(id))
    }

    /// What is known of another member's lease.
    pub(super) fn reading(&self, id: &MemberId) -> Option<Reading> {
        let seen = self.others.seen.get(id)?;
        let lease = &seen.lease;
        let is_watched = self.others.is_down(id) && !lease.is_over() && seen.reads > 0;
        let left = self
            .setup
            .timing
            .longest_life(lease)
            .saturating_sub(seen.unchanged);
        Some(Reading {
            id: id.clone(),
            incarnation: lease.incarnation,
            state: lease.state,
            acked: lease.acked,
            read_at: seen.read_at,
            falls_at: is_watched.then(|| seen.from.saturating_add(left)),
        })
    }

    /// Whether an incarnation never writes again: its lease says so, or a later one has begun.
    pub(super) fn is_over(&self, id: &MemberId, incarnation: Incarnation) -> bool {
        self.lease_of(id).is_some_and(|lease| {
            lease.incarnation > incarnation || (lease.incarnation == incarnation && lease.is_over())
        })
    }

    /// Whether a member has acknowledged the view that was read last.
    pub(super) fn has_acked(&self, id: &MemberId, incarnation: Incarnation) -> bool {
        let Some(view) = &self.view else { return false };
        self.lease_of(id).is_some_and(|lease| {
            // A later one says nothing of this: what it gives back may be under way all the time.
            lease.incarnation == incarnation && lease.acked == view.layout.epoch()
        })
    }

    /// Others have less to do the later they come: each waits for those before it, in an order that
    /// differs for each member that is looked at.
    pub(super) fn delay_of_rank(&self, victim: &MemberId) -> Duration {
        let rank = |id: &MemberId| {
            let mut hasher = SipHasher24::new();
            hasher.write(victim.as_str().as_bytes());
            hasher.write(id.as_str().as_bytes());
            hasher.finish()
        };
        let ours = rank(&self.setup.id);
        let others = self
            .seats()
            .filter(|seat| seat.id != self.setup.id && seat.id != *victim);
        let up = others.filter(|seat| !self.others.down.contains_key(&seat.id));
        let before = up.filter(|seat| rank(&seat.id) < ours).count();
        Duration::from_secs(u64::try_from(before).unwrap_or(u64::MAX).min(60))
    }
}

/// In a crowd the lowest one is first.
fn score(id: &MemberId) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(id.as_str().as_bytes());
    hasher.finish()
}
