//! From a configuration, and the generation before if there is one, to a generation.

use std::sync::Arc;

use super::{FormerMember, Generation};
use crate::config::{Config, Queue};
use crate::member::peer_state::PeerState;
use crate::observe::metrics::Metrics;
use crate::shard::ownership::PartyId;
use crate::shard::{CircuitState, Member, MemberIndex, View};
use crate::upstream::{Admission, Breaker, Upstreams};

impl Generation {
    /// Puts a generation together. What the one before knows of members that stay is kept: verdicts,
    /// circuits, addresses. `counts` says which former members still do.
    pub(crate) fn new(
        config: &Config,
        upstreams: Upstreams,
        metrics: &Metrics,
        before: Option<&Generation>,
        counts: impl Fn(&PartyId) -> bool,
    ) -> Self {
        let view = Arc::new(config.view.clone());
        let members = metrics.members(&view);
        metrics.replica_limit(config.registry.max_in_flight.get());
        let former_members =
            before.map_or_else(Vec::new, |before| former_members(&view, before, counts));
        let peer_states = view
            .members()
            .iter()
            .map(|(index, member)| peer_state(config, index, member, before));
        let generation = Self {
            number: before.map_or(0, |before| before.number + 1),
            metrics: members,
            policy: config.reads,
            sticky: config.sticky.clone(),
            timeouts: config.timeouts.clone(),
            hold: config.hold.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            upstreams,
            peer_states: peer_states.collect(),
            former_members: former_members.into(),
            replica_address: config.registry.address.clone(),
            reads_write: config.registry.reads_write,
            view,
        };
        generation.show_circuits();
        generation
    }

    /// Members at a new address begin anew, and so do their series.
    fn show_circuits(&self) {
        for (member, _) in self.view.members().iter() {
            let state = self.peer_state(member);
            if state.breaker.state() == CircuitState::Closed {
                self.metrics.circuit_closes(member);
            }
            if state.has_told() {
                self.metrics.peer_draining(member, state.is_draining());
            }
        }
    }
}

/// A new member's state, or the one that it had.
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
    let known = before.and_then(|before| {
        if local {
            // Another address is another replica, of which nothing is known.
            let same = before.replica_address == config.registry.address;
            return same.then(|| before.replica().clone());
        }
        let then = before.party(&member.id)?;
        // At another address there may be somebody else.
        let same = before.member_of(then).address == member.address;
        same.then(|| before.peer_state_of(then).clone())
    });
    let Some(known) = known else {
        let places = Admission::new(places, *limit, *timeout);
        return PeerState::new(Breaker::new(config.circuit), places);
    };
    known.places.set_limits(places, *limit, *timeout);
    known.breaker.set_limits(config.circuit);
    known
}

/// Who was a member, or a former one, and is not listed now: not at all, or not at that address.
fn former_members(
    view: &View,
    before: &Generation,
    counts: impl Fn(&PartyId) -> bool,
) -> Vec<FormerMember> {
    let local = &view.members().get(view.members().local()).id;
    let is_former = |then: &Member| {
        let mut members = view.members().iter();
        let is_listed = |(_, now): (_, &Member)| now.id == then.id && now.address == then.address;
        then.id != *local && !members.any(is_listed) && counts(&PartyId::of(then))
    };
    let former = before
        .parties()
        .filter(|party| is_former(before.member_of(*party)));
    former
        .map(|party| FormerMember {
            member: before.member_of(party).clone(),
            peer_state: before.peer_state_of(party).clone(),
            upstream: before.upstream_of(party).clone(),
        })
        .collect()
}
