//! What the request path reads: whether a write may go now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::event::Effect;
use super::layout::{Layout, Planned};
use super::omit::{Rule, omits};
use super::record::Incarnation;
use super::{Ahead, Clock, Coordinator, Moment, Phase};
use crate::shard::members::MemberId;
use crate::shard::repository::Repository;

/// The rules as they stand at one moment. Swapped whole; nothing is locked to read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    me: MemberId,
    /// Of our lease.
    incarnation: Option<Incarnation>,
    /// Until when writes are admitted, if nothing else is in the way.
    until: Moment,
    /// How far other clocks were ahead of the one that counts, and how far they may be from that now.
    ahead: Ahead,
    margin_ms: u64,
    /// The view in force.
    layout: Option<Arc<Layout>>,
    /// Those before it that are not settled.
    chain: Vec<Arc<Layout>>,
    /// Members that have not acknowledged it, and are not over.
    unacked: BTreeSet<(MemberId, Incarnation)>,
    /// Nothing is written at all.
    wait: Option<Wait>,
}

/// What a write waits for. Nobody knows for how long, so it waits as long as it may.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Wait {
    /// This member has no lease yet, or is no member yet.
    Starting,
    /// The view that was read last is not in force here yet, or was not there when it was read again.
    Adopting,
    /// The lease is over: the store does not answer, or this process was stopped.
    LeaseOver,
    /// This member goes.
    Going,
    /// This process cannot go on.
    Frozen,
    /// The repository is another member's.
    NotOurs,
    /// This member may be writing it still.
    Acknowledgement(MemberId),
    /// This member works by other rules, and may be writing anything.
    OtherRules(MemberId),
}

impl Snapshot {
    /// Admits a write, which must be counted as under way before. What it was `planned` by spares computing its
    /// owner, as long as that is in force. The incarnation is for [`Self::may_finish`].
    ///
    /// # Errors
    /// What it has to wait for.
    pub fn may_write(
        &self,
        repository: &Repository<'_>,
        planned: Option<Planned<'_>>,
        clock: Clock,
    ) -> Result<Incarnation, Wait> {
        if let Some(wait) = &self.wait {
            return Err(wait.clone());
        }
        let (Some(layout), Some(incarnation)) = (&self.layout, self.incarnation) else {
            return Err(Wait::Starting);
        };
        if !self.lasts(clock) {
            return Err(Wait::LeaseOver);
        }
        if !layout.is_ours(repository, planned, incarnation) {
            return Err(Wait::NotOurs);
        }
        // Nearly always.
        if self.chain.is_empty() {
            return Ok(incarnation);
        }
        match self.awaited_for(repository) {
            Some(member) if !omits(Rule::AwaitAcknowledgement) => {
                Err(Wait::Acknowledgement(member.clone()))
            }
            _ => Ok(incarnation),
        }
    }

    /// Who owned it by an earlier view that is not settled, and has not acknowledged the one in force.
    fn awaited_for(&self, repository: &Repository<'_>) -> Option<&MemberId> {
        let chain = if omits(Rule::MindWholeChain) {
            self.chain.get(..1).unwrap_or_default()
        } else {
            &self.chain
        };
        let mut owners = chain.iter().map(|earlier| earlier.owner(repository));
        let awaited = owners.find(|(owner, incarnation)| {
            let mut unacked = self.unacked.iter();
            unacked.any(|(id, of)| id == *owner && of == incarnation)
        });
        awaited.map(|(owner, _)| owner)
    }

    /// Whether the last byte of a write that was admitted to this incarnation may be sent.
    #[must_use]
    pub fn may_finish(&self, incarnation: Incarnation, clock: Clock) -> bool {
        omits(Rule::AskAtLastByte) || (self.incarnation == Some(incarnation) && self.lasts(clock))
    }

    /// Whether the lease lasts, as far as the clocks can be believed.
    #[must_use]
    pub fn lasts(&self, clock: Clock) -> bool {
        let apart = clock.apart_from(self.ahead) > self.margin_ms && !omits(Rule::MindClocks);
        clock.boot < self.until && !apart
    }

    /// For how long it lasts without another renewal.
    #[must_use]
    pub fn left(&self, clock: Clock) -> Duration {
        if self.lasts(clock) {
            self.until.saturating_sub(clock.boot)
        } else {
            Duration::ZERO
        }
    }

    /// How many earlier views may still be written by.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.chain.len()
    }

    /// Whose acknowledgements are missing for them.
    #[must_use]
    pub fn awaited(&self) -> Vec<MemberId> {
        self.unacked.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Whether writes are taken, but for those that wait for one member.
    #[must_use]
    pub fn takes_writes(&self, clock: Clock) -> bool {
        let members = |layout: &Arc<Layout>| layout.arrangement().seat(&self.me).is_some();
        self.wait.is_none() && self.lasts(clock) && self.layout.as_ref().is_some_and(members)
    }

    /// Whether it admits nothing any more since its member goes.
    pub(super) fn is_going(&self) -> bool {
        self.wait == Some(Wait::Going)
    }

    /// The view in force.
    #[must_use]
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }
}

#[cfg(test)]
impl Snapshot {
    /// Of a lease of this incarnation that never ends.
    pub(crate) fn lasting(me: MemberId, incarnation: Incarnation) -> Arc<Self> {
        Arc::new(Self {
            me,
            incarnation: Some(incarnation),
            until: Moment::MAX,
            ahead: Ahead::default(),
            margin_ms: u64::MAX,
            layout: None,
            chain: Vec::new(),
            unacked: BTreeSet::new(),
            wait: None,
        })
    }
}

impl Coordinator {
    /// What the request path is to read, if it is something new.
    pub(super) fn publish(&mut self, effects: &mut Vec<Effect>) {
        let snapshot = self.snapshot();
        if self.published.as_deref() == Some(&snapshot) {
            return;
        }
        let snapshot = Arc::new(snapshot);
        self.published = Some(snapshot.clone());
        effects.push(Effect::Publish(snapshot));
    }

    fn snapshot(&self) -> Snapshot {
        let view = self.view.as_ref();
        let unacked = self
            .seats()
            .filter(|seat| seat.id != self.setup.id)
            .filter(|seat| !self.has_acked(&seat.id, seat.incarnation))
            .filter(|seat| !self.is_over(&seat.id, seat.incarnation));
        let chain = view.map(|view| view.chain.clone()).unwrap_or_default();
        Snapshot {
            me: self.setup.id.clone(),
            incarnation: self.incarnation(),
            until: self.own.admits_until(&self.setup.timing),
            ahead: self.ahead.unwrap_or_default(),
            margin_ms: u64::try_from(self.setup.timing.margin.as_millis()).unwrap_or(u64::MAX),
            layout: view.map(|view| view.layout.clone()),
            // Where nothing is open nobody is waited for.
            unacked: if chain.is_empty() {
                BTreeSet::new()
            } else {
                unacked
                    .map(|seat| (seat.id.clone(), seat.incarnation))
                    .collect()
            },
            chain,
            wait: self.wait(),
        }
    }

    fn wait(&self) -> Option<Wait> {
        match self.phase {
            Phase::Starting => return Some(Wait::Starting),
            Phase::Going(..) | Phase::Gone(_) => return Some(Wait::Going),
            Phase::Frozen(_) => return Some(Wait::Frozen),
            Phase::Serving => {}
        }
        if let Some(member) = self.differing.first()
            && !omits(Rule::MindOtherRules)
        {
            return Some(Wait::OtherRules(member.clone()));
        }
        match &self.view {
            None => Some(Wait::Starting),
            Some(view) if view.adopted_at.is_none() => Some(Wait::Adopting),
            Some(_) if self.view_missed.is_missed() => Some(Wait::Adopting),
            // The process before, whose lease this is, has followed a later one.
            Some(_) if self.own.acked() > self.epoch() => Some(Wait::Adopting),
            Some(_) => None,
        }
    }
}
