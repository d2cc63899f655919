//! What one configuration has made: everything that a reload swaps as one. A request keeps the
//! generation that it began under, so that its indices belong to its view.

mod build;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Hold, Limits, Probes, RegistryAddress, Resolve, Sticky, Timeouts};
use crate::member::peer_state::PeerState;
use crate::member::replica::replica_id;
use crate::observe::metrics::MemberMetrics;
use crate::shard::ownership::{PartyId, ReplicaId, Rules};
use crate::shard::{Access, Health, Member, MemberIndex, Policy, Resource, Route, View};
use crate::tls::TlsFiles;
use crate::upstream::{self, DialError, Upstream, Upstreams};

/// One configuration at work.
pub struct Generation {
    /// Its number, from 0; the next one's is greater.
    pub(crate) number: u64,
    /// Members, placement and pins.
    pub view: Arc<View>,
    /// The number of that view, where members hold leases.
    pub(crate) epoch: Option<u64>,
    /// The operator's choices about reads.
    pub(crate) policy: Policy,
    /// The cookie for routes without a repository.
    pub(crate) sticky: Sticky,
    /// Deadlines and idle limits.
    pub timeouts: Timeouts,
    /// How long a write may wait for its owner.
    pub(crate) hold: Hold,
    /// Who is believed about the clients before it.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Whether their connections begin with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Bounds on what clients and peers may ask of this process.
    pub(crate) limits: Limits,
    /// Active checks.
    pub(crate) probes: Probes,
    /// Resolution of names.
    pub(crate) resolve: Resolve,
    /// The certificates that are watched.
    pub(crate) tls_files: TlsFiles,
    /// Whom we call.
    pub upstreams: Upstreams,
    /// Counts by member.
    pub(crate) metrics: MemberMetrics,
    peer_states: Box<[Arc<PeerState>]>,
    /// Members of views before this one that may not know yet that they are members no more.
    former_members: Box<[FormerMember]>,
    pub(crate) replica_address: RegistryAddress,
    /// Whether reads of manifests write, as with on-demand sync.
    reads_write: bool,
}

/// A member that is not listed any more.
pub(crate) struct FormerMember {
    /// As it was listed.
    pub(crate) member: Member,
    /// What is known of it.
    pub(crate) peer_state: Arc<PeerState>,
    /// How to reach it.
    pub(crate) upstream: Arc<Upstream>,
}

/// Somebody whose view is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRef {
    /// A member.
    Peer(MemberIndex),
    /// One that was a member, by its place among the former ones.
    Former(usize),
}

impl Generation {
    /// How a member stands; the local one by its replica.
    pub(crate) fn peer_state(&self, member: MemberIndex) -> &Arc<PeerState> {
        &self.peer_states[member.get()]
    }

    /// How the local replica stands.
    pub fn replica(&self) -> &Arc<PeerState> {
        self.peer_state(self.view.members().local())
    }

    /// Which registry process writes go to now.
    pub(crate) fn replica_id(&self) -> ReplicaId {
        replica_id(&self.replica_address, self.upstreams.replica().address())
    }

    /// The one that this way leads to.
    pub(crate) fn replica_id_by(&self, route: &upstream::Route) -> ReplicaId {
        replica_id(&self.replica_address, route.address())
    }

    /// Whether client connections from this address begin with a PROXY header.
    pub(crate) fn introduces(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut proxies = self.trusted_proxies.iter();
        self.proxy_protocol && proxies.any(|net| net.contains(&address))
    }

    /// The numbers that ownership works with.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            aftermath: self.timeouts.aftermath,
            patience: self.hold.time,
        }
    }

    /// Whether a member can be sent requests; for the local one, whether its replica can.
    pub(crate) fn health_of(&self, member: MemberIndex) -> Health {
        self.peer_state(member).health()
    }

    /// Whether a request may change anything in the registry.
    pub(crate) fn access_of(&self, method: &str, route: &Route<'_>) -> Access {
        let is_manifest = match route {
            Route::Repository { resource, .. } => matches!(resource, Resource::Manifest { .. }),
            Route::Registry(_) | Route::Session | Route::Private => false,
        };
        if self.reads_write && is_manifest {
            Access::Write
        } else {
            Access::of(method)
        }
    }

    /// Everybody whose view is to be asked for.
    pub(crate) fn parties(&self) -> impl Iterator<Item = PeerRef> {
        let peers = self.view.members().peers();
        let former = (0..self.former_members.len()).map(PeerRef::Former);
        peers.map(|(peer, _)| PeerRef::Peer(peer)).chain(former)
    }

    /// Who that is.
    pub(crate) fn member_of(&self, party: PeerRef) -> &Member {
        match party {
            PeerRef::Peer(peer) => self.view.members().get(peer),
            PeerRef::Former(at) => &self.former_members[at].member,
        }
    }

    /// How it stands.
    pub(crate) fn peer_state_of(&self, party: PeerRef) -> &Arc<PeerState> {
        match party {
            PeerRef::Peer(peer) => self.peer_state(peer),
            PeerRef::Former(at) => &self.former_members[at].peer_state,
        }
    }

    /// How it is reached.
    pub(crate) fn upstream_of(&self, party: PeerRef) -> &Arc<Upstream> {
        match party {
            PeerRef::Peer(peer) => self.upstreams.member(peer),
            PeerRef::Former(at) => &self.former_members[at].upstream,
        }
    }

    /// The party of this name; a listed one if there are two.
    pub(crate) fn party(&self, id: &str) -> Option<PeerRef> {
        self.parties()
            .find(|party| self.member_of(*party).id.as_str() == id)
    }

    /// Former members of this name: it may be listed at another address.
    pub(crate) fn former(&self, id: &str) -> impl Iterator<Item = PeerRef> {
        let former = self.former_members.iter().enumerate();
        let named = former.filter(move |(_, former)| former.member.id.as_str() == id);
        named.map(|(at, _)| PeerRef::Former(at))
    }

    /// The party that the rules of ownership know by this.
    pub(crate) fn party_of(&self, id: &PartyId) -> Option<PeerRef> {
        self.parties()
            .find(|party| PartyId::of(self.member_of(*party)) == *id)
    }

    /// Sends what is for a party to this address from now on.
    pub(crate) fn use_address(&self, party: PeerRef, at: SocketAddr) {
        self.upstream_of(party).use_address(at);
        self.peer_state_of(party).note_change();
    }

    /// Makes every target anew, with the credentials in force.
    ///
    /// # Errors
    /// A certificate that the framework cannot read.
    pub(crate) fn take_credentials(&self) -> Result<(), DialError> {
        self.parties()
            .try_for_each(|party| self.upstream_of(party).prepare())
    }

    /// A party's host name did not resolve.
    pub(crate) fn lookup_failed(&self, party: PeerRef) {
        self.upstream_of(party).lookup_failed();
        if let PeerRef::Peer(peer) = party {
            self.metrics.resolve_error(peer);
        }
    }

    /// Has all requests that wait for a member look again.
    pub(crate) fn note_change(&self) {
        self.peer_states
            .iter()
            .for_each(|member| member.note_change());
    }

    /// Has every peer told at once that something here has changed.
    pub(crate) fn tell_change(&self) {
        for party in self.parties() {
            self.peer_state_of(party).tell_change();
        }
    }

    /// How long the replica may go on with a write after nobody waits for it any more.
    pub(crate) fn aftermath(&self) -> Duration {
        self.timeouts.aftermath
    }
}
