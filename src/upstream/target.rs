//! How one upstream is called: address, TLS, timeouts and pool, as the framework wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::tls::CaType;
use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::Load;
use super::dial::{KEEPALIVE_COUNT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, Place, Route, Waits, Way};
use crate::config::{Registry, RegistryAddress, Timeouts};
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
pub struct Credentials {
    authority: Arc<CaType>,
    pair: Arc<CertKey>,
    tls: Tls,
}

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
    Unix(String),
}

/// The names that its certificate may carry, and the trust anchors if they are its own.
struct Names {
    host: String,
    id: String,
    authority: Option<Own>,
}

struct Own {
    anchors: Authority,
    framed: Arc<CaType>,
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
    /// What the cluster's files hold, as the framework wants it.
    pub fn new(authority: &Authority, pair: &KeyPair) -> Self {
        Self {
            authority: wrap(authority),
            pair: Arc::new(CertKey::new(pair.chain_der(), pair.key_der().to_vec())),
            tls: speak(authority, Some(pair)),
        }
    }
}

fn speak(authority: &Authority, shown: Option<&KeyPair>) -> Tls {
    caller(authority, shown).map_err(|error| DialError(error.to_string()))
}

/// The framework parses with a panic on bad input; ours comes from [`Authority`], which has parsed
/// the same bytes already.
fn wrap(authority: &Authority) -> Arc<CaType> {
    authority
        .der()
        .iter()
        .map(|der| WrappedX509::new(der.clone(), parse_x509))
        .collect()
}

impl Target {
    pub(super) fn replica(
        registry: &Registry,
        authority: Option<&Authority>,
        timeouts: &Timeouts,
    ) -> Result<Self, DialError> {
        let (place, host) = match &registry.address {
            RegistryAddress::Tcp(address) => (Endpoint::Address, address.host.to_string()),
            RegistryAddress::Unix(path) => {
                let path = path
                    .to_str()
                    .ok_or_else(|| DialError(format!("{} is not valid UTF-8", path.display())))?;
                (Endpoint::Unix(path.to_owned()), String::new())
            }
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
                framed: wrap(anchors),
                tls: speak(anchors, None),
            }),
        };
        Ok(Self::new(
            place,
            names,
            timeouts,
            REPLICA_GRACE,
            REPLICA_IDLE,
        ))
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
        let tls = credentials.map(|shown| &shown.tls);
        let tls = tls.or(own.map(|own| &own.tls)).cloned().transpose()?;
        let place = match (&self.place, address) {
            (Endpoint::Unix(path), _) => Place::Unix(path.into()),
            (Endpoint::Address, Some(at)) => Place::Address(at),
            (Endpoint::Address, None) => return Ok(None),
        };
        let way = Way {
            place,
            name: self.name(name, tls.is_some())?.to_owned(),
            is_tls: tls.is_some(),
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
        // The framework would take an empty one for leave to verify nothing.
        if is_tls && name.is_empty() {
            return Err(DialError("TLS needs a name to verify".into()));
        }
        Ok(name)
    }

    /// How long it may leave unacknowledged what it was sent.
    fn unacknowledged(&self, load: Load) -> Option<Duration> {
        let before_first = self.connect.saturating_sub(FIRST_RETRANSMISSION);
        (load == Load::Small).then(|| before_first.max(self.connect / 2))
    }

    /// The framework's peer, or none while the address is unknown.
    pub(super) fn http_peer(
        &self,
        address: Option<SocketAddr>,
        name: PeerName,
        credentials: Option<&Credentials>,
        generation: u64,
        load: Load,
    ) -> Result<Option<HttpPeer>, DialError> {
        let tls = credentials.is_some() || self.names.authority.is_some();
        let name = self.name(name, tls)?;
        let mut peer = match (&self.place, address) {
            (Endpoint::Unix(path), _) => HttpPeer::new_uds(path, tls, name.clone())
                .map_err(|error| DialError(error.to_string()))?,
            (Endpoint::Address, Some(address)) => HttpPeer::new(address, tls, name.clone()),
            (Endpoint::Address, None) => return Ok(None),
        };
        // The socket options of a pooled connection stay: each kind has connections of its own.
        peer.group_key = generation * 2 + u64::from(load == Load::Large);
        peer.client_cert_key = credentials.map(|own| own.pair.clone());
        let options = &mut peer.options;
        options.ca = credentials
            .map(|own| own.authority.clone())
            .or_else(|| self.names.authority.as_ref().map(|own| own.framed.clone()));
        options.connection_timeout = Some(self.connect);
        options.total_connection_timeout = Some(self.connect);
        options.read_timeout = Some(self.read_idle);
        options.write_timeout = Some(self.write_idle);
        options.idle_timeout = Some(self.pool_idle);
        options.alpn = ALPN::H1;
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: KEEPALIVE_IDLE,
            interval: KEEPALIVE_INTERVAL,
            count: KEEPALIVE_COUNT as usize,
            // Zero is the system's own, which is many minutes.
            #[cfg(target_os = "linux")]
            user_timeout: self.unacknowledged(load).unwrap_or_default(),
        });
        Ok(Some(peer))
    }
}
