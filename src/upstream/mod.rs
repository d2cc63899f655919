//! Whom we call: the local replica and the peers, each as a ready-made connection target.
//!
//! Names are resolved in the background ([`crate::resolve`]) and certificates are read in the
//! background ([`crate::tls`]), so a request never waits for either: it clones what is ready, or
//! is answered that nothing is.

mod admission;
mod ask;
mod breaker;
mod target;

pub use admission::{Admission, Permit};
pub use ask::Asker;
pub use breaker::{Breaker, Pass};
pub use target::{Credentials, DialError, PEER_GRACE};

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use pingora::upstreams::peer::HttpPeer;

use crate::config::{Registry, RegistryAddress, Timeouts};
use crate::shard::{MemberIndex, Members};
use target::{PeerName, Target};

/// Every upstream of one member.
pub struct Upstreams {
    replica: Slot,
    members: Box<[Slot]>,
    credentials: ArcSwap<Option<Credentials>>,
    /// Part of every connection pool key: connections made under other credentials are not reused.
    generation: AtomicU64,
    preparing: Mutex<()>,
}

/// One upstream: how to call it, where it is at the moment, and the target made of both.
struct Slot {
    target: Target,
    address: ArcSwapOption<SocketAddr>,
    /// Whether its certificate carries the member's id rather than the host of its address.
    named_by_id: AtomicBool,
    ready: ArcSwapOption<HttpPeer>,
}

impl Upstreams {
    /// Upstreams for these members, of which none is callable until it has an address (a Unix
    /// socket has one from the start).
    ///
    /// # Errors
    /// A replica authority that cannot be read.
    pub fn new(
        registry: &Registry,
        members: &Members,
        credentials: Option<Credentials>,
        timeouts: &Timeouts,
    ) -> Result<Self, DialError> {
        let upstreams = Self {
            replica: Slot::new(Target::replica(registry, timeouts)?),
            members: members
                .iter()
                .map(|(_, member)| Slot::new(Target::peer(member, timeouts)))
                .collect(),
            credentials: ArcSwap::from_pointee(credentials),
            generation: AtomicU64::new(0),
            preparing: Mutex::new(()),
        };
        if matches!(registry.address, RegistryAddress::Unix(_)) {
            upstreams.replica.prepare(None, 0)?;
        }
        Ok(upstreams)
    }

    /// The local replica, if its address is known.
    pub fn replica(&self) -> Option<Arc<HttpPeer>> {
        self.replica.ready.load_full()
    }

    /// A member's peer listener, if its address is known.
    pub fn member(&self, member: MemberIndex) -> Option<Arc<HttpPeer>> {
        self.members
            .get(member.get())
            .and_then(|slot| slot.ready.load_full())
    }

    /// The address last resolved for a member.
    pub fn member_address(&self, member: MemberIndex) -> Option<SocketAddr> {
        self.members
            .get(member.get())
            .and_then(|slot| slot.address.load_full())
            .map(|at| *at)
    }

    /// The address last resolved for the local replica; none for a Unix socket.
    pub fn replica_address(&self) -> Option<SocketAddr> {
        self.replica.address.load_full().map(|at| *at)
    }

    /// Takes a newly resolved address of the local replica.
    ///
    /// # Errors
    /// As [`Upstreams::set_credentials`].
    pub fn set_replica_address(&self, address: SocketAddr) -> Result<(), DialError> {
        self.replica.address.store(Some(Arc::new(address)));
        self.replica
            .prepare(None, self.generation.load(Ordering::Relaxed))
    }

    /// Takes a newly resolved address of a member.
    ///
    /// # Errors
    /// As [`Upstreams::set_credentials`].
    pub fn set_member_address(
        &self,
        member: MemberIndex,
        address: SocketAddr,
    ) -> Result<(), DialError> {
        let Some(slot) = self.members.get(member.get()) else {
            return Ok(());
        };
        slot.address.store(Some(Arc::new(address)));
        self.prepare_member(slot)
    }

    /// Expects the other of the two names that a member's certificate may carry than the one that
    /// was not found in it: its id instead of its host, or back. Called after a handshake failed;
    /// harmless if it failed for another reason, since both names are the member's own. Says which
    /// name failed, so that two handshakes that fail at the same time do not undo each other.
    ///
    /// # Errors
    /// As [`Upstreams::set_credentials`].
    pub fn expect_other_name(
        &self,
        member: MemberIndex,
        failed: &HttpPeer,
    ) -> Result<(), DialError> {
        let Some(slot) = self.members.get(member.get()) else {
            return Ok(());
        };
        slot.named_by_id
            .store(!slot.target.is_named_by_id(failed), Ordering::Relaxed);
        self.prepare_member(slot)
    }

    /// Shows and trusts other certificates from the next connection on. Connections made before
    /// are used up by the requests on them and not reused.
    ///
    /// # Errors
    /// A certificate that the framework cannot read.
    pub fn set_credentials(&self, credentials: Option<Credentials>) -> Result<(), DialError> {
        self.credentials.store(Arc::new(credentials));
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.members
            .iter()
            .try_for_each(|slot| self.prepare_member(slot))
    }

    fn prepare_member(&self, slot: &Slot) -> Result<(), DialError> {
        // Or one caller could put back what another has just replaced.
        let _one_at_a_time = self
            .preparing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let credentials = self.credentials.load();
        slot.prepare(
            (**credentials).as_ref(),
            self.generation.load(Ordering::Relaxed),
        )
    }
}

impl Slot {
    fn new(target: Target) -> Self {
        Self {
            target,
            address: ArcSwapOption::empty(),
            named_by_id: AtomicBool::new(false),
            ready: ArcSwapOption::empty(),
        }
    }

    fn prepare(&self, credentials: Option<&Credentials>, generation: u64) -> Result<(), DialError> {
        let name = if self.named_by_id.load(Ordering::Relaxed) {
            PeerName::Id
        } else {
            PeerName::Host
        };
        let address = self.address.load_full().map(|at| *at);
        let ready = self
            .target
            .http_peer(address, name, credentials, generation)?;
        self.ready.store(ready.map(Arc::new));
        Ok(())
    }
}
