//! Whom we call: the local replica and the peers, each as a ready-made connection target.
//!
//! Names are resolved in the background ([`crate::upstream::resolve`]) and certificates are read in the
//! background ([`crate::tls`]), so a request never waits for either: it clones what is ready, or
//! is answered that nothing is.

mod admission;
mod ask;
mod breaker;
mod dial;
mod pool;
pub(crate) mod resolve;
mod target;
mod trust;

pub(crate) use admission::{Admission, Permit};
pub(crate) use ask::{Asker, brief, cause, os_error, question};
pub(crate) use breaker::{Breaker, Pass};
pub(crate) use dial::{ConnectError, Connection, Route};
pub(crate) use target::{Credentials, DialError, PEER_GRACE};
pub(crate) use trust::Trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use pingora::upstreams::peer::{HttpPeer, Peer};

use crate::config::{Registry, RegistryAddress, Timeouts};
use crate::shard::{MemberAddress, MemberIndex, Members};
use crate::tls::Authority;
use target::{PeerName, Target};

/// Every upstream of one generation.
pub struct Upstreams {
    replica: Arc<Upstream>,
    members: Box<[Arc<Upstream>]>,
}

/// One upstream: how to call it, where it is at the moment, and the targets made of both.
pub struct Upstream {
    target: Target,
    /// Empty for a Unix socket.
    name: Option<MemberAddress>,
    /// All that its name has.
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// The one in use: the only one, or one that has answered.
    address: ArcSwapOption<SocketAddr>,
    /// Whether its certificate carries the member's id rather than the host of its address.
    named_by_id: AtomicBool,
    ready: ArcSwapOption<Ready>,
    failed_lookups: AtomicU32,
    trust: Arc<Trust>,
    shows_credentials: bool,
}

struct Ready {
    small: Arc<HttpPeer>,
    large: Arc<HttpPeer>,
    routes: [Arc<Route>; 2],
}

/// How much of a request goes out before the other end must take some of it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// It fits into the smallest receive window: if the network does not acknowledge it within
    /// `timeouts.connect`, nobody is there.
    Small,
    /// The other end may close its window for as long as it works.
    Large,
}

impl Upstreams {
    /// Upstreams for these members, of which none is callable until it has an address (a Unix
    /// socket has one from the start). Addresses that an earlier generation has found are kept. The
    /// registry comes with the authority that its `tls` names.
    ///
    /// # Errors
    /// A socket that the framework cannot name.
    pub fn new(
        (registry, authority): (&Registry, Option<&Authority>),
        members: &Members,
        timeouts: &Timeouts,
        trust: &Arc<Trust>,
        before: Option<&Self>,
    ) -> Result<Self, DialError> {
        let name = match &registry.address {
            RegistryAddress::Tcp(address) => Some(address.clone()),
            RegistryAddress::Unix(_) => None,
        };
        let replica = Upstream::new(
            Target::replica(registry, authority, timeouts)?,
            name,
            trust,
            false,
        );
        let peer = |member: &crate::shard::Member| {
            let target = Target::peer(member, timeouts);
            Upstream::new(target, Some(member.address.clone()), trust, true)
        };
        let upstreams = Self {
            replica: Arc::new(replica),
            members: members
                .iter()
                .map(|(_, member)| Arc::new(peer(member)))
                .collect(),
        };
        upstreams.inherit(before)?;
        Ok(upstreams)
    }

    /// The local replica.
    pub fn replica(&self) -> &Arc<Upstream> {
        &self.replica
    }

    /// A member's peer listener.
    pub fn member(&self, member: MemberIndex) -> &Arc<Upstream> {
        &self.members[member.get()]
    }

    fn inherit(&self, before: Option<&Self>) -> Result<(), DialError> {
        self.replica
            .inherit(before.map(|before| &*before.replica))?;
        for member in &self.members {
            let known = before.and_then(|before| {
                let mut members = before.members.iter();
                members.find(|then| then.name == member.name)
            });
            member.inherit(known.map(|known| &**known))?;
        }
        Ok(())
    }
}

impl Upstream {
    fn new(
        target: Target,
        name: Option<MemberAddress>,
        trust: &Arc<Trust>,
        shows_credentials: bool,
    ) -> Self {
        Self {
            target,
            name,
            addresses: ArcSwap::default(),
            address: ArcSwapOption::empty(),
            named_by_id: AtomicBool::new(false),
            ready: ArcSwapOption::empty(),
            failed_lookups: AtomicU32::new(0),
            trust: trust.clone(),
            shows_credentials,
        }
    }

    fn inherit(&self, before: Option<&Self>) -> Result<(), DialError> {
        if let Some(before) = before.filter(|before| before.name == self.name) {
            self.addresses.store(before.addresses.load_full());
            self.address.store(before.address.load_full());
            let by_id = before.named_by_id.load(Ordering::Relaxed);
            self.named_by_id.store(by_id, Ordering::Relaxed);
            // With the connections that still fit.
            self.ready.store(before.ready.load_full());
        }
        self.prepare()
    }

    /// The way there for a request of this size, if its address is known.
    pub(crate) fn route(&self, load: Load) -> Option<Arc<Route>> {
        let ready = self.ready.load();
        let [small, large] = &ready.as_ref()?.routes;
        Some(match load {
            Load::Small => small.clone(),
            Load::Large => large.clone(),
        })
    }

    /// The target for a request of this size, if its address is known.
    pub fn ready(&self, load: Load) -> Option<Arc<HttpPeer>> {
        let ready = self.ready.load();
        let ready = ready.as_ref()?;
        Some(match load {
            Load::Small => ready.small.clone(),
            Load::Large => ready.large.clone(),
        })
    }

    /// The address in use; none for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.load_full().map(|at| *at)
    }

    /// Takes the addresses that its name has now. Says which is to be used at once, if that changes:
    /// an only one is. Of several it is one that has answered, as the checks find out
    /// ([`Upstream::targets`]): the first may be of the wrong family, or of a machine that is gone.
    pub fn take_addresses(&self, addresses: Vec<SocketAddr>) -> Option<SocketAddr> {
        self.failed_lookups.store(0, Ordering::Relaxed);
        let only = match addresses.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        self.addresses.store(Arc::new(addresses));
        only.filter(|only| self.address() != Some(*only))
    }

    /// Uses this address from now on.
    pub fn use_address(&self, at: SocketAddr) {
        self.address.store(Some(Arc::new(at)));
        if let Err(error) = self.prepare() {
            tracing::error!(%error, %at, "an upstream cannot be called");
        }
    }

    /// A target for a small question at each of its addresses, the one in use first.
    pub fn targets(&self) -> Vec<Arc<HttpPeer>> {
        let addresses = self.addresses.load();
        let in_use = self.address().filter(|at| addresses.contains(at));
        if self.name.is_none() || addresses.is_empty() {
            return self.ready(Load::Small).into_iter().collect();
        }
        let others = addresses.iter().filter(|at| Some(**at) != in_use);
        let first = in_use.and_then(|_| self.ready(Load::Small));
        let others = others.filter_map(|at| self.target_at(*at));
        first.into_iter().chain(others).collect()
    }

    /// A target at the same address, by what is known now.
    pub fn target_again(&self, target: &HttpPeer) -> Option<Arc<HttpPeer>> {
        match Peer::address(target).as_inet() {
            Some(at) => self.target_at(*at),
            None => self.ready(Load::Small),
        }
    }

    fn target_at(&self, at: SocketAddr) -> Option<Arc<HttpPeer>> {
        let mut made = None;
        let result = self.trust.with(|credentials, generation| {
            made = self.make(Some(at), credentials, generation, Load::Small)?;
            Ok(())
        });
        if let Err(error) = result {
            tracing::error!(%error, %at, "an upstream cannot be called");
        }
        made
    }

    /// Records that its name did not resolve.
    pub fn lookup_failed(&self) {
        self.failed_lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// How often its name did not resolve.
    pub fn failed_lookups(&self) -> u32 {
        self.failed_lookups.load(Ordering::Relaxed)
    }

    /// Expects the other of the two names that a member's certificate may carry than the one that
    /// was not found in it: its id instead of its host, or back. Called after a handshake failed;
    /// harmless if it failed for another reason, since both names are the member's own. Says which
    /// name failed, so that two handshakes that fail at the same time do not undo each other.
    ///
    /// # Errors
    /// As [`Upstream::prepare`].
    pub fn expect_other_name(&self, failed: &HttpPeer) -> Result<(), DialError> {
        self.expect_other_name_than(&failed.sni)
    }

    /// The same, after this way failed.
    ///
    /// # Errors
    /// As [`Upstream::prepare`].
    pub(crate) fn expect_other_name_on(&self, failed: &Route) -> Result<(), DialError> {
        self.expect_other_name_than(failed.name())
    }

    fn expect_other_name_than(&self, failed: &str) -> Result<(), DialError> {
        let by_id = !self.target.is_id(failed);
        self.named_by_id.store(by_id, Ordering::Relaxed);
        self.prepare()
    }

    /// Makes the targets anew from what is known now.
    ///
    /// # Errors
    /// A certificate that the framework cannot read.
    pub fn prepare(&self) -> Result<(), DialError> {
        self.trust.with(|credentials, generation| {
            let make = |load| self.make(self.address(), credentials, generation, load);
            let before = self.ready.load();
            let routes = before.as_ref().map(|before| &before.routes);
            let [small, large] = routes.map_or([None, None], |[small, large]| {
                [Some(&**small), Some(&**large)]
            });
            let trust = (credentials, generation);
            let (small, large) = (
                self.make_route(trust, Load::Small, small)?,
                self.make_route(trust, Load::Large, large)?,
            );
            let routes = small.zip(large).map(<[_; 2]>::from);
            let ready = match (make(Load::Small)?, make(Load::Large)?, routes) {
                (Some(small), Some(large), Some(routes)) => Some(Arc::new(Ready {
                    small,
                    large,
                    routes,
                })),
                _ => None,
            };
            self.ready.store(ready);
            Ok(())
        })
    }

    fn make(
        &self,
        address: Option<SocketAddr>,
        credentials: Option<&Credentials>,
        generation: u64,
        load: Load,
    ) -> Result<Option<Arc<HttpPeer>>, DialError> {
        let credentials = credentials.filter(|_| self.shows_credentials);
        let made =
            self.target
                .http_peer(address, self.peer_name(), credentials, generation, load)?;
        Ok(made.map(Arc::new))
    }

    fn make_route(
        &self,
        (credentials, generation): (Option<&Credentials>, u64),
        load: Load,
        before: Option<&Route>,
    ) -> Result<Option<Arc<Route>>, DialError> {
        let credentials = credentials.filter(|_| self.shows_credentials);
        let (name, trust) = (self.peer_name(), (credentials, generation));
        let route = self
            .target
            .route(self.address(), name, trust, load, before)?;
        let route = route.map(Arc::new);
        if let Some(route) = &route
            && before.is_none_or(|before| !Arc::ptr_eq(before.pool(), route.pool()))
        {
            self.trust.watch(route.pool());
        }
        Ok(route)
    }

    fn peer_name(&self) -> PeerName {
        if self.named_by_id.load(Ordering::Relaxed) {
            PeerName::Id
        } else {
            PeerName::Host
        }
    }
}
