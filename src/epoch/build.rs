//! From a configuration, and the epoch before if there is one, to an epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{Epoch, Leaver, Party, Writes};
use crate::config::{Config, Queue};
use crate::metrics::Metrics;
use crate::shard::{CircuitState, Member, MemberId, MemberIndex, View};
use crate::standing::{Standing, Told};
use crate::upstream::{Admission, Breaker, Upstreams};

impl Epoch {
    /// Puts an epoch together. What the one before knows of members that stay is kept: verdicts,
    /// circuits, addresses, and what they last told of their views.
    pub fn new(
        config: &Config,
        upstreams: Upstreams,
        metrics: &Metrics,
        before: Option<&Epoch>,
    ) -> Self {
        let view = config.view.clone();
        let members = metrics.members(&view);
        metrics.replica_limit(config.registry.max_in_flight.get());
        let leavers = before.map_or_else(Vec::new, |before| leavers(&view, before));
        let standings: Box<[_]> = view
            .members()
            .iter()
            .map(|(index, member)| standing(config, index, member, before))
            .collect();
        let parties = standings.len() + leavers.len();
        let epoch = Self {
            metrics: members,
            policy: config.reads,
            sticky: config.sticky.clone(),
            timeouts: config.timeouts.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            upstreams,
            standings,
            leavers: leavers.into(),
            asked: (0..parties).map(|_| AtomicU8::new(0)).collect(),
            asked_one: Notify::new(),
            others: ArcSwap::default(),
            writes: Writes::default(),
            patience: config.probes.timeout,
            replica_address: config.registry.address.clone(),
            view,
        };
        if let Some(before) = before {
            epoch.inherit(before);
        }
        epoch.show_circuits();
        epoch
    }

    /// Members at a new address begin anew, and so do their series.
    fn show_circuits(&self) {
        for (member, _) in self.view.members().iter() {
            if self.standing(member).breaker.state() == CircuitState::Closed {
                self.metrics.circuit_closes(member);
            }
            if self.standing(member).told().is_some() {
                let draining = self.standing(member).is_draining();
                self.metrics.peer_draining(member, draining);
            }
        }
    }

    /// What was known of the parties' views stays known; with the same view of ours, so does who
    /// was asked.
    fn inherit(&self, before: &Self) {
        let same = self.view.fingerprint() == before.view.fingerprint();
        for party in self.parties() {
            let standing = self.standing_of(party);
            self.set_others(party, &standing.others(&self.view));
            // The same process at the same address, and nothing in between.
            let is_it = |then: &Party| Arc::ptr_eq(before.standing_of(*then), standing);
            let then = before.parties().find(is_it);
            if same && then.is_some_and(|then| before.was_asked(then)) {
                self.set_asked(party);
            }
        }
    }

    /// The party of this name.
    pub fn party(&self, id: &MemberId) -> Option<Party> {
        self.parties()
            .find(|party| self.member_of(*party).id == *id)
    }
}

/// A new member's standing, or the one that it had.
fn standing(
    config: &Config,
    index: MemberIndex,
    member: &Member,
    before: Option<&Epoch>,
) -> Arc<Standing> {
    let local = index == config.view.members().local();
    let (places, Queue { limit, timeout }) = if local {
        (config.registry.max_in_flight, &config.registry.queue)
    } else {
        (config.peer_limits.max_in_flight, &config.peer_limits.queue)
    };
    let new = || {
        let places = Admission::new(places, *limit, *timeout);
        Standing::new(Breaker::new(config.circuit), places)
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
        let known = before.standing_of(then).clone();
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
fn leavers(view: &View, before: &Epoch) -> Vec<Leaver> {
    let local = view.members().local();
    let local = &view.members().get(local).id;
    let was_here = before.parties().filter(|party| match party {
        Party::Peer(_) => true,
        Party::Leaver(at) => !before.leavers[*at].is_gone(),
    });
    let left = was_here.filter(|party| {
        let then = before.member_of(*party);
        let mut members = view.members().iter();
        let is_listed = |(_, now): (_, &Member)| now.id == then.id && now.address == then.address;
        then.id != *local && !members.any(is_listed)
    });
    left.map(|party| {
        let standing = before.standing_of(party).clone();
        if standing.told().is_none() {
            // It never told of a view; the one that we shared is the likeliest.
            let told = Told {
                view: Some(*before.view.fingerprint()),
                description: Some(before.view.describe()),
                also: Vec::new(),
                lists_us: true,
                start: String::new(),
            };
            standing.set_told(told, before.timeouts.aftermath);
        }
        Leaver {
            member: before.member_of(party).clone(),
            standing,
            upstream: before.upstream_of(party).clone(),
            gone: AtomicBool::new(false),
        }
    })
    .collect()
}
