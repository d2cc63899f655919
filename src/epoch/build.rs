//! From a configuration, and the epoch before if there is one, to an epoch.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{Epoch, Leaver, Party, Writes};
use crate::config::{Config, Queue};
use crate::metrics::Metrics;
use crate::shard::{Member, MemberId, MemberIndex, View};
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
        let leavers = before.map_or_else(Vec::new, |before| leavers(&view, before));
        let standings: Box<[_]> = view
            .members()
            .iter()
            .map(|(index, member)| standing(config, index, member, before))
            .collect();
        let parties = standings.len() + leavers.len();
        let epoch = Self {
            metrics: metrics.members(&view),
            policy: config.reads,
            sticky: config.sticky.clone(),
            timeouts: config.timeouts.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            upstreams,
            standings,
            leavers: leavers.into(),
            asked: (0..parties).map(|_| AtomicBool::new(false)).collect(),
            asked_one: Notify::new(),
            others: ArcSwap::default(),
            writes: Writes::default(),
            patience: config.probes.timeout,
            view,
        };
        if let Some(before) = before {
            epoch.inherit(before);
        }
        epoch
    }

    /// What was known of the parties' views stays known; with the same view of ours, so does who
    /// was asked.
    fn inherit(&self, before: &Self) {
        let same = self.view.fingerprint() == before.view.fingerprint();
        for party in self.parties() {
            if let Some(told) = self.standing_of(party).told() {
                self.set_others(party, &told.others(&self.view));
            }
            let id = &self.member_of(party).id;
            if same && before.party(id).is_some_and(|then| before.was_asked(then)) {
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
    let known = before.and_then(|before| {
        if local {
            return Some(before.replica().clone());
        }
        let then = before.party(&member.id)?;
        // At another address there may be somebody else.
        let same = before.member_of(then).address == member.address;
        same.then(|| before.standing_of(then).clone())
    });
    let Some(known) = known else {
        let places = Admission::new(places, *limit, *timeout);
        return Standing::new(Breaker::new(config.circuit), places);
    };
    known.places.set_limits(places, *limit, *timeout);
    known.breaker.set_limits(config.circuit);
    known
}

/// Who was a member, or was leaving, and is not listed now.
fn leavers(view: &View, before: &Epoch) -> Vec<Leaver> {
    let local = view.members().local();
    let local = &view.members().get(local).id;
    let was_here = before.parties().filter(|party| match party {
        Party::Peer(_) => true,
        Party::Leaver(at) => !before.leavers[*at].is_gone(),
    });
    let left = was_here.filter(|party| {
        let id = &before.member_of(*party).id;
        id != local && view.members().find(id).is_none()
    });
    left.map(|party| {
        let standing = before.standing_of(party).clone();
        if standing.told().is_none() {
            // It never told of a view; the one that we shared is the likeliest.
            standing.set_told(Told {
                view: Some(*before.view.fingerprint()),
                description: Some(before.view.describe()),
                also: Vec::new(),
                lists_us: true,
            });
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
