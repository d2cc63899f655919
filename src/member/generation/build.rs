//! From a configuration, and the generation before if there is one, to a generation.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{FormerMember, Generation};
use crate::config::{Config, Queue, RegistryAddress};
use crate::member::peer_state::PeerState;
use crate::observe::metrics::Metrics;
use crate::shard::ownership::PartyId;
use crate::shard::{CircuitLimits, CircuitState, Health, Member, View};
use crate::tls::TlsFiles;
use crate::upstream::{Admission, Breaker, Upstreams};

impl Generation {
    /// Puts a generation together. What the one before knows of members that stay is kept: verdicts,
    /// circuits, addresses. `counts` says which former members still do.
    pub(crate) fn new(
        (config, epoch): (&Config, Option<u64>),
        upstreams: Upstreams,
        metrics: &Metrics,
        before: Option<&Generation>,
        counts: impl Fn(&PartyId) -> bool,
    ) -> Self {
        // Whole, so that a new key is not forgotten.
        let Config {
            registry,
            view,
            peer_limits: _,
            hold,
            reads,
            sticky,
            timeouts,
            limits,
            circuit: _,
            trusted_proxies,
            probes,
            resolve,
            listen,
            threads: _,
            cluster: _,
            key_known: _,
            identified: _,
            log: _,
            telemetry: _,
            reload: _,
            state: _,
            coordination: _,
            files: _,
            remarks: _,
        } = config;
        let view = view.clone();
        metrics.limits(registry.max_in_flight.get(), limits.transfers.get());
        let former = before.map_or_else(Vec::new, |before| former_members(&view, before, counts));
        let peer_states = peer_states(config, &view, before);
        let generation = Self {
            epoch,
            number: before.map_or(0, |before| before.number + 1),
            metrics: metrics.members(&view),
            policy: *reads,
            sticky: sticky.clone(),
            timeouts: timeouts.clone(),
            hold: hold.clone(),
            trusted_proxies: trusted_proxies.clone(),
            proxy_protocol: listen.clients.proxy_protocol,
            limits: limits.clone(),
            probes: probes.clone(),
            resolve: resolve.clone(),
            tls_files: TlsFiles::of(config),
            upstreams,
            peer_states,
            former_members: former.into(),
            replica_address: registry.address.clone(),
            reads_write: registry.reads_write,
            view,
        };
        generation.show_known();
        generation
    }

    /// Members at a new address begin anew, and so do their series.
    fn show_known(&self) {
        for (member, _) in self.view.members().iter() {
            let state = self.peer_state(member);
            if state.breaker.state() == CircuitState::Closed {
                self.metrics.circuit_closes(member);
            }
            // No probe tells what it knew before, of one that was no member for a while.
            let verdict = state.verdict();
            if verdict != Health::Unknown {
                self.metrics.peer_up(member, verdict == Health::Up);
            }
            if state.has_told() {
                self.metrics.peer_draining(member, state.is_draining());
            }
        }
    }
}

/// What the generation before knew of this member.
fn known_state(
    before: Option<&Generation>,
    replica: &RegistryAddress,
    local: bool,
    member: &Member,
) -> Option<Arc<PeerState>> {
    let before = before?;
    if local {
        // Another address is another replica, of which nothing is known.
        let same = before.replica_address == *replica;
        return same.then(|| before.replica().clone());
    }
    let then = before.party(member.id.as_str())?;
    // At another address there may be somebody else.
    let same = before.member_of(then).address == member.address;
    same.then(|| before.peer_state_of(then).clone())
}

/// Of each member, as far as they are known; limits are those of now.
fn peer_states(config: &Config, view: &View, before: Option<&Generation>) -> Box<[Arc<PeerState>]> {
    let (registry, peers) = (&config.registry, &config.peer_limits);
    let states = view.members().iter().map(|(index, member)| {
        let local = index == view.members().local();
        let known = known_state(before, &registry.address, local, member);
        let (places, queue) = if local {
            (registry.max_in_flight, &registry.queue)
        } else {
            (peers.max_in_flight, &peers.queue)
        };
        peer_state(known, config.circuit, places, queue)
    });
    states.collect()
}

fn peer_state(
    known: Option<Arc<PeerState>>,
    circuit: CircuitLimits,
    places: NonZeroUsize,
    Queue { limit, timeout }: &Queue,
) -> Arc<PeerState> {
    let Some(known) = known else {
        let places = Admission::new(places, *limit, *timeout);
        return PeerState::new(Breaker::new(circuit), places);
    };
    known.places.set_limits(places, *limit, *timeout);
    known.breaker.set_limits(circuit);
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
