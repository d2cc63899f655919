//! What one configuration has made: everything that a reload swaps as one.
//!
//! A request keeps the generation that it began under. A new generation writes nothing before it knows that
//! nobody else writes the same repository:
//!
//! - it has asked every peer once, after the old generation was retired ([`Generation::doubts`]);
//! - every peer whose view, or whose writes still under way, name another owner keeps the
//!   repositories concerned in dispute;
//! - a member that is no longer listed is asked on until it is silent, as it may not know yet.
//!
//! So of two members that both take themselves for the owner, the one that asked later was told of
//! the other, as long as they can reach each other: who never answers counts as dead.

mod build;
mod writes;

pub use writes::WriteGuard;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::Notify;

use crate::config::{RegistryAddress, Sticky, Timeouts};
use crate::http::respond::Failure;
use crate::member::peer_state::PeerState;
use crate::observe::metrics::MemberMetrics;
use crate::shard::{Health, Member, MemberIndex, OtherView, Policy, Repository, View};
use crate::upstream::{DialError, Upstream, Upstreams};
use writes::Writes;

/// How long a write waits for an generation that has just begun.
const SETTLE: Duration = Duration::from_secs(5);

/// A party was asked in vain.
const TRIED: u8 = 1;
/// It was asked, and has told its view or is not there.
const ASKED: u8 = 2;

/// One configuration at work.
pub struct Generation {
    /// Members, placement and pins.
    pub view: View,
    /// The operator's choices about reads.
    pub policy: Policy,
    /// The cookie for routes without a repository.
    pub sticky: Sticky,
    /// Deadlines and idle limits.
    pub timeouts: Timeouts,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whom we call.
    pub upstreams: Upstreams,
    /// Counts by member.
    pub(crate) metrics: MemberMetrics,
    peer_states: Box<[Arc<PeerState>]>,
    /// Members of views before this one that may not know yet that they are members no more.
    former_members: Box<[FormerMember]>,
    /// How far the asking has come, for each member and behind them for each former_member.
    asked: Box<[AtomicU8]>,
    asked_one: Notify,
    /// The views that are not ours, as far as we know.
    others: ArcSwap<Vec<(PeerRef, OtherView)>>,
    writes: Writes,
    /// How long a peer may take to answer a small question.
    pub patience: Duration,
    /// Where the local replica is.
    pub replica_address: RegistryAddress,
}

/// A member that is not listed any more.
pub struct FormerMember {
    /// As it was listed.
    pub member: Member,
    /// What is known of it.
    pub peer_state: Arc<PeerState>,
    /// How to reach it.
    pub upstream: Arc<Upstream>,
    gone: AtomicBool,
}

/// Somebody whose view is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRef {
    /// A member.
    Peer(MemberIndex),
    /// One that was a member, by its place among the former_members.
    FormerMember(usize),
}

impl Generation {
    /// How a member stands; the local one by its replica.
    pub fn peer_state(&self, member: MemberIndex) -> &Arc<PeerState> {
        &self.peer_states[member.get()]
    }

    /// How the local replica stands.
    pub fn replica(&self) -> &Arc<PeerState> {
        self.peer_state(self.view.members().local())
    }

    /// Whether a member can be sent requests; for the local one, whether its replica can.
    pub fn health_of(&self, member: MemberIndex) -> Health {
        self.peer_state(member).health()
    }

    /// The members that are listed no more, silent ones too.
    pub fn former_members(&self) -> &[FormerMember] {
        &self.former_members
    }

    /// Everybody whose view is to be asked for.
    pub fn parties(&self) -> impl Iterator<Item = PeerRef> {
        let peers = self.view.members().peers();
        let former_members = (0..self.former_members.len()).map(PeerRef::FormerMember);
        peers
            .map(|(peer, _)| PeerRef::Peer(peer))
            .chain(former_members)
    }

    /// Who that is.
    pub fn member_of(&self, party: PeerRef) -> &Member {
        match party {
            PeerRef::Peer(peer) => self.view.members().get(peer),
            PeerRef::FormerMember(at) => &self.former_members[at].member,
        }
    }

    /// How it stands.
    pub fn peer_state_of(&self, party: PeerRef) -> &Arc<PeerState> {
        match party {
            PeerRef::Peer(peer) => self.peer_state(peer),
            PeerRef::FormerMember(at) => &self.former_members[at].peer_state,
        }
    }

    /// How it is reached.
    pub fn upstream_of(&self, party: PeerRef) -> &Arc<Upstream> {
        match party {
            PeerRef::Peer(peer) => self.upstreams.member(peer),
            PeerRef::FormerMember(at) => &self.former_members[at].upstream,
        }
    }

    /// Counts in a write of this member, the owner in its own view. It may be carried out once
    /// [`Generation::doubts`] has nothing against it.
    ///
    /// # Errors
    /// When this generation is over.
    pub fn begin_write(self: &Arc<Self>) -> Result<WriteGuard, Failure> {
        writes::begin(self).ok_or(Failure::Reloading)
    }

    /// Who may take another member for the owner, or may write as one. When in doubt somebody does.
    /// Those whose views cannot be computed here are to be asked themselves.
    ///
    /// # Errors
    /// [`Failure::Starting`] before everybody was asked for their view once,
    /// [`Failure::ViewsDiffer`] if somebody is known to have another owner, or cannot be asked.
    pub fn doubts(&self, repository: &Repository<'_>) -> Result<Vec<PeerRef>, Failure> {
        if !self.is_settled() {
            return Err(Failure::Starting);
        }
        let mut doubts = Vec::new();
        for (party, other) in self.others.load().iter() {
            if !self.view.is_disputed(repository, other) {
                continue;
            }
            if !other.must_be_asked_for() {
                return Err(Failure::ViewsDiffer);
            }
            doubts.push(*party);
        }
        Ok(doubts)
    }

    /// Whether everybody was asked for their view.
    pub fn is_settled(&self) -> bool {
        self.parties().all(|party| self.was_asked(party))
    }

    /// Waits until everybody was asked or the next generation has come, but not for long: a write that
    /// comes right after a start or a reload need not be sent again for a few milliseconds.
    pub async fn settle(&self) {
        let settled = async {
            loop {
                let asked = self.asked_one.notified();
                if self.is_settled() || self.writes.are_over() {
                    return;
                }
                asked.await;
            }
        };
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }

    /// Admits no more writes.
    pub fn retire(&self) {
        self.writes.retire();
        self.asked_one.notify_waiters();
    }

    /// Whether a write that this generation admitted may be under way.
    pub fn is_writing(&self) -> bool {
        self.writes.are_under_way()
    }

    /// Records that a party has told its view, or that nobody is there to tell one.
    pub fn set_asked(&self, party: PeerRef) {
        self.asked[self.place_of(party)].store(ASKED, Ordering::Release);
        self.asked_one.notify_waiters();
    }

    /// Whether that is so in this generation.
    pub fn was_asked(&self, party: PeerRef) -> bool {
        self.asked[self.place_of(party)].load(Ordering::Acquire) == ASKED
    }

    /// Records that a party was asked in vain: somebody is there, and does not tell. Says whether
    /// that is new.
    pub fn set_tried(&self, party: PeerRef) -> bool {
        self.asked[self.place_of(party)].fetch_max(TRIED, Ordering::Release) < TRIED
    }

    /// Whether a party was asked, in vain or not.
    pub fn was_tried(&self, party: PeerRef) -> bool {
        self.asked[self.place_of(party)].load(Ordering::Acquire) >= TRIED
    }

    /// The views that are not ours, with who has them.
    pub fn others(&self) -> Arc<Vec<(PeerRef, OtherView)>> {
        self.others.load_full()
    }

    /// Records which views of a party are not ours; none if it agrees with us. One that falls
    /// silent keeps those it last told: it may be at work where we cannot see it.
    pub fn set_others(&self, party: PeerRef, views: &[OtherView]) {
        self.others.rcu(|others| {
            let mut others: Vec<_> = (**others).clone();
            others.retain(|(known, _)| *known != party);
            others.extend(views.iter().map(|view| (party, view.clone())));
            others
        });
    }

    /// A former_member is silent, or is not any more. One that is silent is counted with no more.
    pub fn set_gone(&self, party: PeerRef, gone: bool) {
        if let PeerRef::FormerMember(at) = party {
            self.former_members[at].gone.store(gone, Ordering::Relaxed);
        }
        if gone {
            self.set_others(party, &[]);
        }
    }

    /// Makes every target anew, with the credentials in force.
    ///
    /// # Errors
    /// A certificate that the framework cannot read.
    pub fn take_credentials(&self) -> Result<(), DialError> {
        self.parties()
            .try_for_each(|party| self.upstream_of(party).prepare())
    }

    /// A party's host name did not resolve.
    pub fn lookup_failed(&self, party: PeerRef) {
        self.upstream_of(party).lookup_failed();
        if let PeerRef::Peer(peer) = party {
            self.metrics.resolve_error(peer);
        }
    }

    /// Has every peer told at once that something here has changed.
    pub fn tell_news(&self) {
        for party in self.parties() {
            self.peer_state_of(party).tell_news();
        }
    }

    fn place_of(&self, party: PeerRef) -> usize {
        match party {
            PeerRef::Peer(peer) => peer.get(),
            PeerRef::FormerMember(at) => self.peer_states.len() + at,
        }
    }
}

impl FormerMember {
    /// Whether it has fallen silent.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}
