//! Accepting connections: caps first, then TLS under a deadline, then the gate.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest, Stream};
use pingora::server::ShutdownWatch;
use std::os::fd::AsRawFd;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::metrics::{self, Refusal};
use crate::respond::Failure;
use crate::state::State;

/// After a failed accept (no file descriptors left, usually) others get this long to finish.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections beyond the cap that are told so at the same time; the rest are closed unanswered.
const TOLD_AT_ONCE: usize = 128;

/// What stands behind one listening address.
pub struct Door<A> {
    /// Which listener this is, for the metrics.
    pub listener: metrics::Listener,
    /// Serves the connections.
    pub gate: Gate<A>,
    /// TLS, where this listener speaks it.
    pub tls: Option<Acceptor>,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Counts connections.
    pub caps: Arc<Caps>,
    /// For the metrics.
    pub state: Arc<State>,
    /// Every connection's task, for the drain.
    pub tasks: TaskTracker,
}

/// Binds a listening address with `SO_REUSEADDR`, so that a restart need not wait for old
/// connections to be forgotten.
///
/// # Errors
/// Those of the operating system.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections that the kernel holds for us; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

impl<A: HttpServerApp + Send + Sync + 'static> Door<A> {
    /// Accepts until the shutdown begins.
    pub async fn open(self: Arc<Self>, tcp: TcpListener, mut shutdown: ShutdownWatch) {
        let telling = Arc::new(tokio::sync::Semaphore::new(TOLD_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = tcp.accept() => accepted,
                _ = shutdown.wait_for(|draining| *draining) => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, listener = self.listener.as_str(), "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = self.caps.take(address.ip().to_canonical()) else {
                self.state
                    .metrics
                    .connection_refused(self.listener, Refusal::Full);
                self.state.metrics.reject(&Failure::ConnectionsFull);
                if let (None, Ok(turn)) = (&self.tls, telling.clone().try_acquire_owned()) {
                    self.tasks.spawn(tell_full(stream, turn));
                }
                continue;
            };
            let door = self.clone();
            let shutdown = shutdown.clone();
            self.tasks.spawn(async move {
                let _place = place;
                let _open = door.state.metrics.connection_opens(door.listener);
                if let Some(stream) = door.handshake(stream, address).await {
                    door.gate.serve(stream, &shutdown).await;
                }
            });
        }
    }

    async fn handshake(&self, tcp: TcpStream, address: SocketAddr) -> Option<Stream> {
        // Small answers must not wait for an acknowledgement of the ones before.
        let _ = tcp.set_nodelay(true);
        let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        let _ = digest.peer_addr.set(Some(address.into()));
        let mut stream = L4Stream::from(tcp);
        stream.set_socket_digest(digest);
        let Some(acceptor) = &self.tls else {
            return Some(Box::new(stream));
        };
        match tokio::time::timeout(self.handshake, acceptor.tls_handshake(stream)).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                let why = refusal_of(&error.to_string());
                tracing::debug!(%error, client = %address, "handshake failed");
                self.state.metrics.connection_refused(self.listener, why);
                None
            }
            Err(_) => {
                self.state
                    .metrics
                    .connection_refused(self.listener, Refusal::Tls);
                None
            }
        }
    }
}

/// rustls tells a certificate that names nobody apart from one that is not valid at all.
fn refusal_of(error: &str) -> Refusal {
    if error.contains("NotValidForName") {
        Refusal::NotMember
    } else {
        Refusal::Tls
    }
}

/// A plain connection beyond the cap is told so before it is closed.
async fn tell_full(tcp: TcpStream, _turn: tokio::sync::OwnedSemaphorePermit) {
    let mut stream: Stream = Box::new(L4Stream::from(tcp));
    let id = crate::request_id::RequestId::make();
    crate::gate::answer(&mut stream, &Failure::ConnectionsFull, id.as_str(), false).await;
}

/// Bounds on the open connections of one listener.
#[derive(Debug)]
pub struct Caps {
    total: usize,
    per_address: Option<NonZeroUsize>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection, given back when dropped.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    address: IpAddr,
}

impl Caps {
    /// At most `total` connections, and at most `per_address` of one client address.
    pub fn new(total: NonZeroUsize, per_address: Option<NonZeroUsize>) -> Arc<Self> {
        Arc::new(Self {
            total: total.get(),
            per_address,
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `address`, if there is one.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return None;
        }
        if let Some(limit) = self.per_address {
            let of_address = open.by_address.entry(address).or_default();
            if *of_address >= limit.get() {
                return None;
            }
            *of_address += 1;
        }
        open.total += 1;
        Some(Place {
            caps: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .caps
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_and_places_come_back() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let caps = Caps::new(NonZeroUsize::new(3).unwrap(), NonZeroUsize::new(2));
        let first = caps.take(one).unwrap();
        let _second = caps.take(one).unwrap();
        assert!(caps.take(one).is_none(), "two of one address");
        let _third = caps.take(two).unwrap();
        assert!(caps.take(two).is_none(), "three in all");
        drop(first);
        assert!(caps.take(one).is_some());
    }
}
