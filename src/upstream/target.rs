//! How one upstream is called: address, TLS, timeouts and pool, as the framework wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::tls::CaType;
use pingora::protocols::{ALPN, TcpKeepalive};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::Load;
use crate::config::{Registry, RegistryAddress, Timeouts};
use crate::shard::Member;
use crate::tls::{Authority, KeyPair};

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

/// A silent connection, in the pool or waiting for an answer, is asked for a sign of life after so
/// long, so often, so many times: a machine that is gone sends no reset.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_COUNT: usize = 3;

/// The kernel counts from the first retransmission on, which comes about so long after the data
/// (Linux: `TCP_RTO_MIN`, and what its timers round up to).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(270);

/// What we show to peers, and whom we believe.
#[derive(Clone)]
pub struct Credentials {
    authority: Arc<CaType>,
    pair: Arc<CertKey>,
}

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
    authority: Option<Arc<CaType>>,
}

/// Why an upstream cannot be called at all.
#[derive(Debug)]
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
        }
    }
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
            authority: authority.map(wrap),
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

    /// Whether this peer of ours was expected to carry the member's id.
    pub(super) fn is_named_by_id(&self, peer: &HttpPeer) -> bool {
        peer.sni == self.names.id
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
        let name = match name {
            PeerName::Host => &self.names.host,
            PeerName::Id => &self.names.id,
        };
        let tls = credentials.is_some() || self.names.authority.is_some();
        // An empty server name would turn all verification off.
        if tls && name.is_empty() {
            return Err(DialError("TLS needs a name to verify".into()));
        }
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
            .or_else(|| self.names.authority.clone());
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
            count: KEEPALIVE_COUNT,
            // Zero is the system's own, which is many minutes.
            #[cfg(target_os = "linux")]
            user_timeout: match load {
                Load::Small => self
                    .connect
                    .saturating_sub(FIRST_RETRANSMISSION)
                    .max(self.connect / 2),
                Load::Large => Duration::ZERO,
            },
        });
        Ok(Some(peer))
    }
}
