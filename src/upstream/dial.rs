//! One way to call an upstream: at this address, by this name, under these credentials; and its
//! connections.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};

use super::pool::{Pool, Turn};
use crate::http::line::Line;
use crate::http::tls::Tls;
use crate::http::wire::Wire;
use crate::tls::Authority;

/// A silent connection, in the pool or waiting for an answer, is asked for a sign of life after so
/// long, so often, so many times: a machine that is gone sends no reset.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const KEEPALIVE_COUNT: u32 = 3;

/// The longest wait of a way that no configuration is for: who asks has less patience.
const ASIDE: Duration = Duration::from_secs(60);

/// See the module. Made anew whenever any of it changes.
pub(crate) struct Route {
    way: Way,
    waits: Waits,
    tls: Option<Arc<ClientConfig>>,
    pool: Arc<Pool>,
}

/// All that makes a connection fit for a request: it is reused where this is the same, and nowhere
/// else.
#[derive(PartialEq)]
pub(super) struct Way {
    pub(super) place: Place,
    /// What its certificate has to carry, if it shows one.
    pub(super) name: String,
    pub(super) is_tls: bool,
    /// Whether it may carry many requests at once, if the other end knows how.
    pub(super) by_trunk: bool,
    /// Connections made under other credentials are not reused.
    pub(super) generation: u64,
    /// Trust anchors of its own.
    pub(super) authority: Option<Authority>,
    /// How long it may leave unacknowledged what it was sent; the system's own many minutes if none.
    /// So small and large requests have connections of their own: what is set on one stays.
    pub(super) unacknowledged: Option<Duration>,
    /// For how long a connection may wait for its next request.
    pub(super) pool_idle: Duration,
}

/// Where it is.
#[derive(PartialEq)]
pub(crate) enum Place {
    Address(SocketAddr),
    Unix(PathBuf),
}

/// How long it is waited for.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    /// In all, TLS included.
    pub(super) connect: Duration,
    /// How long it may send no byte.
    pub(super) read: Duration,
    /// How long it may take none.
    pub(super) write: Duration,
}

/// A connection to an upstream. Closed when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) line: Line,
    is_reused: bool,
    pool: Arc<Pool>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nobody listens there.
    Refused(io::Error),
    /// Neither it nor the network has answered in time.
    TimedOut,
    /// Whatever else the system says: there is no way there, or nothing left to make one with.
    Failed(io::Error),
    /// One of both does not take the other for who it should be, or the handshake broke off.
    Tls(io::Error),
}

impl Route {
    /// `before` is the way that was used until now: what is the same of it is kept.
    pub(super) fn new(
        way: Way,
        waits: Waits,
        tls: Option<Arc<ClientConfig>>,
        before: Option<&Self>,
    ) -> Self {
        let same = before.filter(|before| before.way == way);
        let pool = same.map(|same| same.pool.clone());
        Self {
            pool: pool.unwrap_or_else(|| Arc::new(Pool::new(way.pool_idle))),
            tls: match same {
                // With the sessions that it may resume.
                Some(same) => same.tls.clone(),
                None => tls,
            },
            way,
            waits,
        }
    }

    /// A way beside those of the members, for a few questions in their own time. With TLS by this
    /// configuration to whom has this name.
    pub(crate) fn aside(place: Place, tls: Option<(String, Arc<rustls::ClientConfig>)>) -> Self {
        let (name, tls) = tls.unzip();
        let way = Way {
            place,
            name: name.unwrap_or_default(),
            is_tls: tls.is_some(),
            by_trunk: false,
            generation: 0,
            authority: None,
            unacknowledged: None,
            pool_idle: ASIDE,
        };
        let waits = Waits {
            connect: ASIDE,
            read: ASIDE,
            write: ASIDE,
        };
        Self::new(way, waits, tls, None)
    }

    /// A connection that was used before, if there is one.
    pub(crate) fn pooled(&self) -> Option<Connection> {
        Some(self.connection(self.pool.take()?, true))
    }

    /// A connection that was used before, or a new one.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        if let Some(wire) = self.pool.take() {
            return Ok(self.connection(wire, true));
        }
        // On the heap: few requests need it, and every request's task would be as large.
        if self.way.by_trunk {
            return Box::pin(self.within_time(self.stream(false))).await;
        }
        Box::pin(self.within_time(self.take_turn())).await
    }

    /// A new connection, for a request that found one which was just being closed.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub(crate) async fn connect_anew(&self) -> Result<Connection, ConnectError> {
        if self.way.by_trunk {
            return Box::pin(self.within_time(self.stream(true))).await;
        }
        Box::pin(self.within_time(async {
            // A peer that starts again closes many connections at once.
            let _turn = match &self.tls {
                Some(_) => self.pool.turn_to_dial().await,
                None => None,
            };
            let wire = self.dial().await?;
            Ok(self.connection(wire, false))
        }))
        .await
    }

    /// Where it leads; none for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.way.place {
            Place::Address(at) => Some(at),
            Place::Unix(_) => None,
        }
    }

    /// How long it may send no byte.
    pub(crate) fn read_idle(&self) -> Duration {
        self.waits.read
    }

    /// How long it may take none.
    pub(crate) fn write_idle(&self) -> Duration {
        self.waits.write
    }

    /// The name that its certificate has to carry.
    pub(super) fn name(&self) -> &str {
        &self.way.name
    }

    #[cfg(test)]
    pub(super) fn has_idle(&self) -> bool {
        self.pool.take().is_some()
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    async fn within_time(
        &self,
        connect: impl Future<Output = Result<Connection, ConnectError>>,
    ) -> Result<Connection, ConnectError> {
        match tokio::time::timeout(self.waits.connect, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn take_turn(&self) -> Result<Connection, ConnectError> {
        // Without TLS a connection costs the other end nothing to speak of.
        let turn = match &self.tls {
            Some(_) => self.pool.turn().await,
            None => Turn::Dial(None),
        };
        match turn {
            Turn::Reused(wire) => Ok(self.connection(wire, true)),
            Turn::Dial(_turn) => {
                let wire = self.dial().await?;
                Ok(self.connection(wire, false))
            }
        }
    }

    /// A stream of this thread's trunk, which is made if there is none; or a connection, where the other end
    /// knows no trunks.
    async fn stream(&self, anew: bool) -> Result<Connection, ConnectError> {
        let trunk = self.pool.trunk();
        if let Some(stream) = trunk.open() {
            return Ok(self.connection(Wire::Stream(stream), !anew));
        }
        // Whoever waits here gets a stream of the one that is made meanwhile.
        let _turn = trunk.turn().await;
        if let Some(stream) = trunk.open() {
            return Ok(self.connection(Wire::Stream(stream), !anew));
        }
        let wire = match self.dial().await?.into_trunk() {
            Ok(tls) => trunk.begin(tls).map(Wire::Stream),
            Err(wire) => Some(wire),
        };
        // It cannot have too many streams yet.
        let wire = wire.ok_or_else(|| ConnectError::Failed(ErrorKind::Other.into()))?;
        Ok(self.connection(wire, false))
    }

    async fn dial(&self) -> Result<Wire, ConnectError> {
        let tcp = match &self.way.place {
            Place::Address(at) => TcpStream::connect(at).await,
            Place::Unix(path) => {
                let unix = UnixStream::connect(path).await;
                return unix.map(Wire::Unix).map_err(ConnectError::of);
            }
        };
        let tcp = tcp.map_err(ConnectError::of)?;
        self.set_options(&tcp).map_err(ConnectError::of)?;
        let Some(tls) = &self.tls else {
            return Ok(Wire::Tcp(tcp));
        };
        let name = ServerName::try_from(self.way.name.clone())
            .map_err(|error| ConnectError::Tls(io::Error::new(ErrorKind::InvalidInput, error)))?;
        let shaken = Tls::connect(tcp, tls.clone(), name).await;
        Ok(Wire::Tls(shaken.map_err(ConnectError::Tls)?))
    }

    fn set_options(&self, tcp: &TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(tcp);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_COUNT);
        socket.set_tcp_keepalive(&keepalive)?;
        match self.way.unacknowledged {
            Some(_) => socket.set_tcp_user_timeout(self.way.unacknowledged),
            None => Ok(()),
        }
    }

    fn connection(&self, wire: Wire, is_reused: bool) -> Connection {
        Connection {
            line: wire.into(),
            is_reused,
            pool: self.pool.clone(),
        }
    }
}

impl Connection {
    /// Whether requests went over it before: then the other end may be closing it just now.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Keeps it for another request: the last one and its answer have been read to their ends, and
    /// neither side has said that it would close.
    pub(crate) fn give_back(self) {
        self.pool.put(self.line.into_wire());
    }
}

impl ConnectError {
    fn of(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == ErrorKind::ConnectionRefused {
            Self::Refused(error)
        } else if kind == ErrorKind::TimedOut {
            Self::TimedOut
        } else {
            Self::Failed(error)
        }
    }

    /// What the system, or TLS, says of it.
    pub(crate) fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Refused(error) | Self::Failed(error) | Self::Tls(error) => Some(error),
            Self::TimedOut => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("it refuses connections"),
            Self::TimedOut => f.write_str("connecting takes too long"),
            Self::Failed(error) => write!(f, "connecting failed: {error}"),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|error| error as _)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({:?} as {:?})", self.address(), self.name())
    }
}
