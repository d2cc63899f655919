//! How one upstream is called: address, TLS, timeouts and pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Load;
use super::dial::{Place, Route, Waits, Way};
use crate::config::{Registry, RegistryAddress, Timeouts};
use crate::http::trunk;
use crate::shard::Member;
use crate::tls::{Authority, KeyPair, caller};

/// How long an idle connection to the replica is kept. Below the 60 s after which zot (and Go
/// servers with its settings) closes idle connections, so that we close first: a request sent into
/// a connection that is just being closed is lost, and a write is not repeated.
const REPLICA_IDLE: Duration = Duration::from_secs(30);
/// The same towards peers, whose gate keeps idle connections for `timeouts.keepalive`; half of
/// that if it is short.
const PEER_IDLE: Duration = Duration::from_secs(45);

/// How much longer than the client the replica may be silent. An upload that stops is silent on both
/// sides, and it is the client that has to be told, not the replica that is to blame.
const REPLICA_GRACE: Duration = Duration::from_millis(500);
/// How much longer a peer may be silent: it is to tell of its replica before we give it up.
pub(crate) const PEER_GRACE: Duration = Duration::from_secs(1);

/// The kernel counts from the first retransmission on, which comes about so long after the data
/// (Linux: `TCP_RTO_MIN`, and what its timers round up to).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(270);

/// What we show to peers, and whom we believe.
#[derive(Clone)]
pub struct Credentials(Tls);

/// TLS as it is spoken to those that trust counts for, or why it cannot be.
type Tls = Result<Arc<rustls::ClientConfig>, DialError>;

/// Which of its two names a member's certificate is expected to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerName {
    /// The host of its address.
    Host,
    /// Its id.
    Id,
}

/// One upstream without its address, which may change.
pub(super) struct Target {
    place: Endpoint,
    names: Names,
    connect: Duration,
    /// How long it may take no byte.
    write_idle: Duration,
    /// How long it may send none.
    read_idle: Duration,
    pool_idle: Duration,
}

enum Endpoint {
    Address,
    Unix(PathBuf),
}

/// The names that its certificate may carry, and the trust anchors if they are its own.
struct Names {
    host: String,
    id: String,
    authority: Option<Own>,
}

struct Own {
    anchors: Authority,
    tls: Tls,
}

/// Why an upstream cannot be called at all.
#[derive(Debug, Clone)]
pub struct DialError(String);

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DialError {}

impl Credentials {
    /// What the cluster's files hold.
    pub fn new(authority: &Authority, pair: &KeyPair) -> Self {
        Self(speak(authority, Some(pair)))
    }
}

fn speak(authority: &Authority, shown: Option<&KeyPair>) -> Tls {
    caller(authority.roots(), shown).map_err(|error| DialError(error.to_string()))
}

impl Target {
    pub(super) fn replica(
        registry: &Registry,
        authority: Option<&Authority>,
        timeouts: &Timeouts,
    ) -> Self {
        let (place, host) = match &registry.address {
            RegistryAddress::Tcp(address) => (Endpoint::Address, address.host.to_string()),
            RegistryAddress::Unix(path) => (Endpoint::Unix(path.clone()), String::new()),
        };
        let name = registry
            .tls
            .as_ref()
            .map_or(host, |tls| tls.server_name.to_string());
        let names = Names {
            host: name.clone(),
            id: name,
            authority: authority.map(|anchors| Own {
                anchors: anchors.clone(),
                tls: speak(anchors, None),
            }),
        };
        Self::new(place, names, timeouts, REPLICA_GRACE, REPLICA_IDLE)
    }

    pub(super) fn peer(member: &Member, timeouts: &Timeouts) -> Self {
        let names = Names {
            host: member.address.host.to_string(),
            id: member.id.to_string(),
            authority: None,
        };
        let idle = PEER_IDLE.min(timeouts.keepalive / 2);
        Self::new(Endpoint::Address, names, timeouts, PEER_GRACE, idle)
    }

    fn new(
        place: Endpoint,
        names: Names,
        timeouts: &Timeouts,
        grace: Duration,
        pool_idle: Duration,
    ) -> Self {
        Self {
            place,
            names,
            connect: timeouts.connect,
            write_idle: timeouts.idle,
            read_idle: timeouts.idle.saturating_add(grace),
            pool_idle,
        }
    }

    /// Whether that is the member's id.
    pub(super) fn is_id(&self, name: &str) -> bool {
        name == self.names.id
    }

    /// The way there, or none while the address is unknown. `before` is the one until now.
    pub(super) fn route(
        &self,
        address: Option<SocketAddr>,
        name: PeerName,
        (credentials, generation): (Option<&Credentials>, u64),
        load: Load,
        before: Option<&Route>,
    ) -> Result<Option<Route>, DialError> {
        let own = self.names.authority.as_ref();
        let tls = credentials.map(|shown| &shown.0);
        let mut tls = tls.or(own.map(|own| &own.tls)).cloned().transpose()?;
        let by_trunk = load == Load::Brief && credentials.is_some();
        if let (true, Some(tls)) = (by_trunk, &mut tls) {
            let protocols = &mut Arc::make_mut(tls).alpn_protocols;
            protocols.insert(0, trunk::PROTOCOL.to_vec());
        }
        let place = match (&self.place, address) {
            (Endpoint::Unix(path), _) => Place::Unix(path.clone()),
            (Endpoint::Address, Some(at)) => Place::Address(at),
            (Endpoint::Address, None) => return Ok(None),
        };
        let way = Way {
            place,
            name: self.name(name, tls.is_some())?.to_owned(),
            is_tls: tls.is_some(),
            by_trunk,
            generation,
            authority: own.map(|own| own.anchors.clone()),
            unacknowledged: self.unacknowledged(load),
            pool_idle: self.pool_idle,
        };
        let waits = Waits {
            connect: self.connect,
            read: self.read_idle,
            write: self.write_idle,
        };
        Ok(Some(Route::new(way, waits, tls, before)))
    }

    /// What its certificate has to carry.
    fn name(&self, name: PeerName, is_tls: bool) -> Result<&String, DialError> {
        let name = match name {
            PeerName::Host => &self.names.host,
            PeerName::Id => &self.names.id,
        };
        if is_tls && name.is_empty() {
            return Err(DialError("TLS needs a name to verify".into()));
        }
        Ok(name)
    }

    /// How long it may leave unacknowledged what it was sent.
    fn unacknowledged(&self, load: Load) -> Option<Duration> {
        let before_first = self.connect.saturating_sub(FIRST_RETRANSMISSION);
        (load != Load::Large).then(|| before_first.max(self.connect / 2))
    }
}
