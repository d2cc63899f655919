//! From a configuration, and the generation before if there is one, to an generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{FormerMember, Generation, PeerRef, Writes};
use crate::config::{Config, Queue};
use crate::member::peer_state::{PeerState, Told};
use crate::observe::metrics::Metrics;
use crate::shard::{CircuitState, Member, MemberId, MemberIndex, View};
use crate::upstream::{Admission, Breaker, Upstreams};

impl Generation {
    /// Puts an generation together. What the one before knows of members that stay is kept: verdicts,
    /// circuits, addresses, and what they last told of their views.
    pub(crate) fn new(
        config: &Config,
        upstreams: Upstreams,
        metrics: &Metrics,
        before: Option<&Generation>,
    ) -> Self {
        let view = config.view.clone();
        let members = metrics.members(&view);
        metrics.replica_limit(config.registry.max_in_flight.get());
        let former_members = before.map_or_else(Vec::new, |before| former_members(&view, before));
        let peer_states: Box<[_]> = view
            .members()
            .iter()
            .map(|(index, member)| peer_state(config, index, member, before))
            .collect();
        let parties = peer_states.len() + former_members.len();
        let generation = Self {
            metrics: members,
            policy: config.reads,
            sticky: config.sticky.clone(),
            timeouts: config.timeouts.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            upstreams,
            peer_states,
            former_members: former_members.into(),
            asked: (0..parties).map(|_| AtomicU8::new(0)).collect(),
            asked_one: Notify::new(),
            others: ArcSwap::default(),
            writes: Writes::default(),
            patience: config.probes.timeout,
            replica_address: config.registry.address.clone(),
            view,
        };
        if let Some(before) = before {
            generation.inherit(before);
        }
        generation.show_circuits();
        generation
    }

    /// Members at a new address begin anew, and so do their series.
    fn show_circuits(&self) {
        for (member, _) in self.view.members().iter() {
            if self.peer_state(member).breaker.state() == CircuitState::Closed {
                self.metrics.circuit_closes(member);
            }
            if self.peer_state(member).told().is_some() {
                let draining = self.peer_state(member).is_draining();
                self.metrics.peer_draining(member, draining);
            }
        }
    }

    /// What was known of the parties' views stays known; with the same view of ours, so does who
    /// was asked.
    fn inherit(&self, before: &Self) {
        let same = self.view.fingerprint() == before.view.fingerprint();
        for party in self.parties() {
            let peer_state = self.peer_state_of(party);
            self.set_others(party, &peer_state.others(&self.view));
            // The same process at the same address, and nothing in between.
            let is_it = |then: &PeerRef| Arc::ptr_eq(before.peer_state_of(*then), peer_state);
            let then = before.parties().find(is_it);
            if same && then.is_some_and(|then| before.was_asked(then)) {
                self.set_asked(party);
            }
        }
    }

    /// The party of this name.
    pub fn party(&self, id: &MemberId) -> Option<PeerRef> {
        self.parties()
            .find(|party| self.member_of(*party).id == *id)
    }
}

/// A new member's peer_state, or the one that it had.
fn peer_state(
    config: &Config,
    index: MemberIndex,
    member: &Member,
    before: Option<&Generation>,
) -> Arc<PeerState> {
    let local = index == config.view.members().local();
    let (places, Queue { limit, timeout }) = if local {
        (config.registry.max_in_flight, &config.registry.queue)
    } else {
        (config.peer_limits.max_in_flight, &config.peer_limits.queue)
    };
    let new = || {
        let places = Admission::new(places, *limit, *timeout);
        PeerState::new(Breaker::new(config.circuit), places)
    };
    let Some(before) = before else {
        return new();
    };
    let known = if local && before.replica_address != config.registry.address {
        return new();
    } else if local {
        before.replica().clone()
    } else {
        let Some(then) = before.party(&member.id) else {
            return new();
        };
        let known = before.peer_state_of(then).clone();
        if before.member_of(then).address != member.address {
            // There may be somebody else there; what was told before counts until then.
            let new = new();
            new.inherit(&known);
            return new;
        }
        known
    };
    known.places.set_limits(places, *limit, *timeout);
    known.breaker.set_limits(config.circuit);
    known
}

/// Who was a member, or was leaving, and is not listed now: not at all, or not at that address.
fn former_members(view: &View, before: &Generation) -> Vec<FormerMember> {
    let local = view.members().local();
    let local = &view.members().get(local).id;
    let was_here = before.parties().filter(|party| match party {
        PeerRef::Peer(_) => true,
        PeerRef::FormerMember(at) => !before.former_members[*at].is_gone(),
    });
    let left = was_here.filter(|party| {
        let then = before.member_of(*party);
        let mut members = view.members().iter();
        let is_listed = |(_, now): (_, &Member)| now.id == then.id && now.address == then.address;
        then.id != *local && !members.any(is_listed)
    });
    left.map(|party| {
        let peer_state = before.peer_state_of(party).clone();
        if peer_state.told().is_none() {
            // It never told of a view; the one that we shared is the likeliest.
            let told = Told {
                view: Some(*before.view.fingerprint()),
                description: Some(before.view.describe()),
                also: Vec::new(),
                lists_us: true,
                start: String::new(),
            };
            peer_state.set_told(told, before.timeouts.aftermath);
        }
        FormerMember {
            member: before.member_of(party).clone(),
            peer_state,
            upstream: before.upstream_of(party).clone(),
            gone: AtomicBool::new(false),
        }
    })
    .collect()
}
