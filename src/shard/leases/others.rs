//! The leases of others: who is looked at, when, and when one is fenced.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::event::{Effect, Note, Tag};
use super::omit::{Rule, omits};
use super::record::{Epoch, Incarnation, Lease, LeaseState};
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
}

/// One lease, as it was read last.
#[derive(Clone, Debug)]
struct Seen {
    lease: Lease,
    tag: Tag,
    /// When the first read was answered that found it as it is; none if a call has failed since.
    unchanged_since: Option<Moment>,
    reads: u32,
    read_at: Moment,
}

/// Fewer looks than this say nothing.
const LOOKS: u32 = 3;

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

    pub(super) fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.seen.values().map(|seen| &seen.lease)
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

    /// Everybody who had a lease then was read since.
    pub(super) fn knows_all(&self, but: &MemberId) -> bool {
        let Some((listed, at)) = &self.listed else {
            return false;
        };
        let read = |id: &MemberId| self.seen.get(id).is_some_and(|seen| seen.read_at >= *at);
        listed.iter().all(|id| id == but || read(id))
    }

    /// A lease was read. `sent` is when that was asked for.
    pub(super) fn saw(&mut self, lease: Lease, tag: Tag, sent: Moment, now: Moment) {
        let since = if omits(Rule::WaitFromAnswer) {
            sent
        } else {
            now
        };
        let entry = self.seen.entry(lease.id.clone()).or_insert_with(|| Seen {
            lease: lease.clone(),
            tag: tag.clone(),
            unchanged_since: None,
            reads: 0,
            read_at: now,
        });
        let order = |lease: &Lease| (lease.incarnation, lease.version);
        if order(&lease) < order(&entry.lease) {
            // An answer that was overtaken, or a store that went back: it says nothing new.
            entry.read_at = now;
            return;
        }
        let renewed = entry.lease.nonce != lease.nonce && !omits(Rule::SeeRenewals);
        if renewed || entry.unchanged_since.is_none() {
            entry.unchanged_since = Some(since);
            entry.reads = 0;
        }
        entry.reads += 1;
        entry.read_at = now;
        (entry.lease, entry.tag) = (lease, tag);
    }

    /// It is looked at again at once.
    pub(super) fn look_at(&mut self, id: &MemberId) {
        if let Some(seen) = self.seen.get_mut(id) {
            (seen.unchanged_since, seen.read_at) = (None, Moment::ZERO);
        }
    }

    /// A read has found no lease.
    pub(super) fn saw_none(&mut self, id: &MemberId) {
        self.seen.remove(id);
        if let Some((listed, _)) = &mut self.listed {
            listed.retain(|listed| listed != id);
        }
    }

    /// A call has failed: a lease may have been renewed without our seeing it.
    pub(super) fn wait_anew(&mut self) {
        if omits(Rule::WaitAnewAfterFailure) {
            return;
        }
        for seen in self.seen.values_mut() {
            seen.unchanged_since = None;
        }
    }

    fn is_due(&self, id: &MemberId, poll: Duration, now: Moment) -> Option<Moment> {
        match self.seen.get(id) {
            None => Some(Moment::ZERO),
            Some(seen) if now.saturating_sub(seen.read_at) >= poll => Some(seen.read_at),
            Some(_) => None,
        }
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
        if self.joins()
            && let Some((listed, at)) = &self.others.listed
        {
            let unread = |id: &&MemberId| {
                **id != self.setup.id
                    && self
                        .others
                        .seen
                        .get(*id)
                        .is_none_or(|seen| seen.read_at < *at)
            };
            listed
                .iter()
                .filter(unread)
                .for_each(|id| consider(id, Duration::ZERO));
        }
        let (settles, wishes_policy) = (self.settles(now), self.wishes_policy());
        for seat in self.seats().filter(|seat| seat.id != self.setup.id) {
            let is_over = self.is_over(&seat.id, seat.incarnation);
            let wanted = self.others.wanted.contains(&seat.id);
            let acked = self.has_acked(&seat.id, seat.incarnation);
            if !is_over && !acked && (wanted || settles) {
                consider(&seat.id, timing.poll);
            } else if wishes_policy {
                consider(&seat.id, timing.renew);
            } else if !is_over
                && let Some(down) = self.others.down.get(&seat.id)
                && now >= down.saturating_add(self.delay_of_rank(&seat.id))
            {
                consider(&seat.id, timing.renew / 2);
            }
        }
        next.map(|(_, id)| id)
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
            let grace = if omits(Rule::WaitForGrace) {
                Duration::ZERO
            } else {
                lease.grace()
            };
            let wait = timing.with_drift(lease.lasts().saturating_add(grace));
            let is_ours = lease.id == me;
            is_ours == waits_for_itself
                && !lease.is_over()
                && seen.reads >= LOOKS
                && seen
                    .unchanged_since
                    .is_some_and(|since| now.saturating_sub(since) > wait)
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
        let score = |id: &MemberId| {
            let mut hasher = SipHasher24::new();
            hasher.write(victim.as_str().as_bytes());
            hasher.write(id.as_str().as_bytes());
            hasher.finish()
        };
        let ours = score(&self.setup.id);
        let others = self
            .seats()
            .filter(|seat| seat.id != self.setup.id && seat.id != *victim);
        let up = others.filter(|seat| !self.others.down.contains_key(&seat.id));
        let before = up.filter(|seat| score(&seat.id) < ours).count();
        Duration::from_secs(u64::try_from(before).unwrap_or(u64::MAX).min(60))
    }
}
