//! Whom we call: the local replica and the peers, each by ready-made routes.
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
pub(crate) use ask::{Answer, NoAnswer, Question};
pub(crate) use breaker::{Breaker, Pass};
pub(crate) use dial::{ConnectError, Connection, Place, Route};
pub(crate) use target::{Credentials, DialError, PEER_GRACE};
pub(crate) use trust::Trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::config::{Registry, RegistryAddress, Timeouts};
use crate::shard::{MemberAddress, MemberIndex, Members};
use crate::tls::Authority;
use target::{PeerName, Target};

/// Every upstream of one generation.
pub struct Upstreams {
    replica: Arc<Upstream>,
    members: Box<[Arc<Upstream>]>,
}

/// One upstream: how to call it, where it is at the moment, and the routes made of both.
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
    /// One for each [`Load`].
    routes: ArcSwapOption<Routes>,
    failed_lookups: AtomicU32,
    trust: Arc<Trust>,
    shows_credentials: bool,
}

type Routes = [Arc<Route>; 4];

/// How much of a request goes out before the other end must take some of it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// A small one whose answer is small as well, as a rule: between members it shares a connection with
    /// others ([`crate::http::trunk`]).
    Brief,
    /// It fits into the smallest receive window: if the network does not acknowledge it within
    /// `timeouts.connect`, nobody is there.
    Small,
    /// The other end may close its window for as long as it works.
    Large,
    /// A small one of our own, over connections of its own: a probe neither takes a warm connection from
    /// a request nor waits behind one.
    Question,
}

impl Upstreams {
    /// Upstreams for these members, of which none is callable until it has an address (a Unix
    /// socket has one from the start). Addresses that an earlier generation has found are kept. The
    /// registry comes with the authority that its `tls` names.
    ///
    /// # Errors
    /// Credentials that TLS cannot be spoken with, or no name to verify.
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
            Target::replica(registry, authority, timeouts),
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
            routes: ArcSwapOption::empty(),
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
            self.routes.store(before.routes.load_full());
        }
        self.prepare()
    }

    /// The way there for a request of this size, if its address is known.
    pub(crate) fn route(&self, load: Load) -> Option<Arc<Route>> {
        let routes = self.routes.load();
        Some(routes.as_ref()?[load as usize].clone())
    }

    /// The address in use; none for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.load_full().map(|at| *at)
    }

    /// Takes the addresses that its name has now. Says which is to be used at once, if that changes:
    /// an only one is. Of several it is one that has answered, as the checks find out
    /// ([`Upstream::routes`]): the first may be of the wrong family, or of a machine that is gone.
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

    /// A way for a question to each of its addresses, the one in use first.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        let addresses = self.addresses.load();
        if self.name.is_none() || addresses.is_empty() {
            return self.route(Load::Question).into_iter().collect();
        }
        let in_use = self.address().filter(|at| addresses.contains(at));
        let others = addresses.iter().copied();
        let others = others.filter(|at| Some(*at) != in_use);
        let all = in_use.into_iter().chain(others);
        all.filter_map(|at| self.route_at(Some(at))).collect()
    }

    /// A way for a question to this address, by what is known now.
    pub(crate) fn route_at(&self, at: Option<SocketAddr>) -> Option<Arc<Route>> {
        if at.is_none() || at == self.address() {
            return self.route(Load::Question);
        }
        let mut made = None;
        let result = self.trust.with(|credentials, generation| {
            made = self.make(at, (credentials, generation), Load::Question, None)?;
            Ok(())
        });
        if let Err(error) = result {
            tracing::error!(%error, ?at, "an upstream cannot be called");
        }
        made.map(Arc::new)
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
    pub(crate) fn expect_other_name(&self, failed: &Route) -> Result<(), DialError> {
        let by_id = !self.target.is_id(failed.name());
        self.named_by_id.store(by_id, Ordering::Relaxed);
        self.prepare()
    }

    /// Makes the routes anew from what is known now.
    ///
    /// # Errors
    /// See [`Upstreams::new`].
    pub fn prepare(&self) -> Result<(), DialError> {
        self.trust.with(|credentials, generation| {
            let before = self.routes.load();
            let before = before.as_deref().map(|routes| routes.each_ref());
            let make = |load: Load| {
                let before = before.map(|routes| &**routes[load as usize]);
                let trust = (credentials, generation);
                let route = self.make(self.address(), trust, load, before)?;
                let is_new = |route: &Route| {
                    before.is_none_or(|before| !Arc::ptr_eq(before.pool(), route.pool()))
                };
                if let Some(route) = route.as_ref().filter(|route| is_new(route)) {
                    self.trust.watch(route.pool());
                }
                Ok(route.map(Arc::new))
            };
            let small = make(Load::Small)?;
            // A trunk is agreed on in the handshake between members.
            let by_trunk = self.shows_credentials && credentials.is_some();
            let brief = if by_trunk {
                make(Load::Brief)?
            } else {
                small.clone()
            };
            let routes = [brief, small, make(Load::Large)?, make(Load::Question)?];
            // All of them, or none while the address is unknown.
            let routes: Option<Vec<_>> = routes.into_iter().collect();
            let routes = routes.and_then(|routes| routes.try_into().ok());
            self.routes.store(routes.map(Arc::new));
            Ok(())
        })
    }

    fn make(
        &self,
        at: Option<SocketAddr>,
        (credentials, generation): (Option<&Credentials>, u64),
        load: Load,
        before: Option<&Route>,
    ) -> Result<Option<Route>, DialError> {
        let credentials = credentials.filter(|_| self.shows_credentials);
        let trust = (credentials, generation);
        self.target.route(at, self.peer_name(), trust, load, before)
    }

    fn peer_name(&self) -> PeerName {
        if self.named_by_id.load(Ordering::Relaxed) {
            PeerName::Id
        } else {
            PeerName::Host
        }
    }
}
