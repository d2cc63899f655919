//! Accepting connections: caps first, then whose they are, then TLS, then the gate; the first head has
//! to be there by one deadline, however many of these steps come before it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::server::ShutdownWatch;
use rustls::{CommonState, ServerConfig};
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::caps::{Caps, Place};
use super::handshakes::Handshakes;
use super::introduction::{self, Fault};
use super::workers::Handout;
use crate::http::client::End;
use crate::http::proxy_protocol::Source;
use crate::http::respond::Failure;
use crate::http::tls::Tls;
use crate::http::trunk;
use crate::http::wire::Wire;
use crate::http::{Abuse, Gate, Serve};
use crate::member::state::State;
use crate::observe::metrics::{self, Refusal};

/// After a failed accept (no file descriptors left, usually) others get this long to finish.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For so long connections are still accepted when the listener is to be closed.
const LAST_ACCEPTS: Duration = Duration::from_millis(100);
/// Connections beyond the cap that are told so at the same time; the rest are closed unanswered.
const TOLD_AT_ONCE: usize = 128;

/// For so long, and for so many bytes, a member that was turned away may go on before it is cut.
const GOODBYE: Duration = Duration::from_secs(1);
const GOODBYE_BYTES: u64 = 64 * 1024;

/// What stands behind one listening address.
pub(crate) struct ListenerService<A> {
    /// Which listener this is, for the metrics.
    pub listener: metrics::Listener,
    /// Serves the connections: each by the gate that stood here when it was accepted.
    pub gate: ArcSwap<Gate<A>>,
    /// TLS, where this listener speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// Places for TLS handshakes under way.
    pub handshakes: Handshakes,
    /// Counts connections.
    pub caps: Arc<Caps>,
    /// The threads that serve them; none where they are served on the runtime that accepts them.
    pub handout: Option<Handout>,
    /// For the metrics.
    pub state: Arc<State>,
    /// Every connection's task, for the drain.
    pub tasks: TaskTracker,
}

/// A connection that may be served.
struct Received<A> {
    gate: Arc<Gate<A>>,
    wire: Wire,
    end: End,
    /// Until when its first head has to be there.
    deadline: Instant,
    _place: Place,
}

/// Binds a listening address with `SO_REUSEADDR`, so that a restart need not wait for old
/// connections to be forgotten. Not with `SO_REUSEPORT`: two processes would share the address, and
/// neither would know.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
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

impl<A: Serve> ListenerService<A> {
    /// Accepts until the shutdown begins.
    pub(crate) async fn open(self: Arc<Self>, tcp: TcpListener, mut shutdown: ShutdownWatch) {
        let _alarm = self.state.alarm();
        // The drain waits for this loop too, or it could miss the last connection.
        let _accepting = self.tasks.token();
        let telling = Arc::new(Semaphore::new(TOLD_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = tcp.accept() => accepted,
                _ = shutdown.wait_for(|draining| *draining) => break,
            };
            self.welcome(accepted, &telling, &shutdown).await;
        }
        // Who is just connecting has not heard of it yet.
        let until = Instant::now() + LAST_ACCEPTS;
        while let Ok(accepted) = tokio::time::timeout_at(until, tcp.accept()).await {
            self.welcome(accepted, &telling, &shutdown).await;
        }
        // Connections that the kernel has taken for us would be reset with the listener.
        let Ok(tcp) = tcp.into_std() else {
            return;
        };
        while let Ok((stream, address)) = tcp.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            self.welcome(stream.map(|stream| (stream, address)), &telling, &shutdown)
                .await;
        }
    }

    /// Serves one connection in a task of its own, if there is a place for it.
    async fn welcome(
        self: &Arc<Self>,
        accepted: std::io::Result<(TcpStream, SocketAddr)>,
        telling: &Arc<Semaphore>,
        shutdown: &ShutdownWatch,
    ) {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, listener = self.listener.as_str(), "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return;
            }
        };
        // Only the header says whom such a connection counts for.
        let client = (!self.introduces(address.ip())).then(|| address.ip());
        let Some(place) = self.caps.take(client) else {
            return self.turn_away(stream, telling);
        };
        // From this runtime to that of its worker.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let here = Handle::current();
        let (worker, counted) = match self.handout.as_ref().and_then(Handout::next) {
            Some((worker, counted)) => (worker, Some(counted)),
            None => (&here, None),
        };
        // In a box: the connection will be served much longer than it takes to get there, and what waits
        // for its next request has no use for what this took.
        let received = Box::pin(
            self.clone()
                .receive((stream, address), place, telling.clone()),
        );
        let (door, shutdown) = (self.clone(), shutdown.clone());
        let served = async move {
            let _counted = counted;
            let _open = door.state.metrics.connection_opens(door.listener);
            let Some(Received {
                gate,
                wire,
                end,
                deadline,
                _place,
            }) = received.await
            else {
                return;
            };
            let wire = match wire.into_trunk() {
                Ok(tls) => return Box::pin(door.serve_trunk(tls, end, shutdown)).await,
                Err(wire) => wire,
            };
            if let Some(cut) = gate.serve(wire, &end, deadline, &shutdown).await {
                door.report(&cut.abuse, end.address);
                Box::pin(cut.close()).await;
            }
        };
        self.tasks.spawn_on(served, worker);
    }

    /// Finds out whose connection it is, and shakes hands.
    async fn receive(
        self: Arc<Self>,
        (stream, address): (std::net::TcpStream, SocketAddr),
        mut place: Place,
        telling: Arc<Semaphore>,
    ) -> Option<Received<A>> {
        let mut stream = TcpStream::from_std(stream).ok()?;
        let gate = self.gate.load_full();
        let deadline = Instant::now() + gate.limits().request_header;
        let mut source = Source::Client(address);
        if !place.is_counted() {
            source = self.introduction(&mut stream, address, deadline).await?;
            if place.count_for(address_of(source, address).ip()).is_none() {
                drop(place);
                self.turn_away(stream, &telling);
                return None;
            }
        }
        let mut end = End {
            address: Some(address_of(source, address)),
            local: stream.local_addr().ok(),
            is_unknown: source == Source::Unknown,
            ..End::default()
        };
        let wire = self.handshake(stream, &mut end, deadline).await?;
        Some(Received {
            gate,
            wire,
            end,
            deadline,
            _place: place,
        })
    }

    /// Serves each stream of a trunk as a connection, in a task of its own.
    async fn serve_trunk(self: Arc<Self>, tls: Box<Tls>, end: End, shutdown: ShutdownWatch) {
        let end = Arc::new(end);
        let mut drains = shutdown.clone();
        let drains = async move {
            // An error tells that nobody is left who could say so.
            let _ = drains.wait_for(|draining| *draining).await;
        };
        let idle = self.gate.load().limits().keepalive;
        let serve = |stream| {
            let (gate, end, shutdown) = (self.gate.load_full(), end.clone(), shutdown.clone());
            let deadline = Instant::now() + gate.limits().request_header;
            self.tasks.spawn(async move {
                let wire = Wire::Stream(stream);
                gate.serve(wire, &end, deadline, &shutdown).await;
            });
        };
        trunk::accept(tls, idle, drains, serve).await;
    }

    /// Closes a connection that there is no place for. Some of them are told why.
    fn turn_away(&self, stream: TcpStream, telling: &Arc<Semaphore>) {
        self.state
            .metrics
            .connection_refused(self.listener, Refusal::Full);
        self.state.metrics.reject(&Failure::ConnectionsFull);
        if let (None, Ok(turn)) = (&self.tls, telling.clone().try_acquire_owned()) {
            self.tasks.spawn(tell_full(stream, turn));
        }
    }

    /// Whether connections from this address begin with a PROXY header.
    fn introduces(&self, address: IpAddr) -> bool {
        self.listener == metrics::Listener::Clients && self.state.generation().introduces(address)
    }

    /// Whose connection this is, as the proxy at its other end says.
    async fn introduction(
        &self,
        tcp: &mut TcpStream,
        proxy: SocketAddr,
        deadline: Instant,
    ) -> Option<Source> {
        let told = tokio::time::timeout_at(deadline, introduction::source(tcp)).await;
        let fault = match told.unwrap_or(Err(Fault::Late)) {
            Ok(source) => return Some(source),
            Err(fault) => fault,
        };
        // A check that only connects is no mistake.
        if !matches!(fault, Fault::Silent) {
            tracing::info!(
                %proxy,
                "connection from a trusted proxy closed: {fault}; with listen.clients.proxy_protocol \
                 each of them begins with one"
            );
            self.state
                .metrics
                .connection_refused(self.listener, Refusal::ProxyHeader);
        }
        None
    }

    fn report(&self, abuse: &Abuse, client: Option<SocketAddr>) {
        let (listener, reason) = (self.listener.as_str(), abuse.as_str());
        tracing::info!(
            client = client.map(tracing::field::display),
            listener,
            reason,
            "HTTP/2 connection ended by GOAWAY for what its client does"
        );
        self.state
            .metrics
            .connection_refused(self.listener, Refusal::Abuse);
    }

    async fn handshake(&self, tcp: TcpStream, end: &mut End, deadline: Instant) -> Option<Wire> {
        // Small answers must not wait for an acknowledgement of the ones before.
        let _ = tcp.set_nodelay(true);
        let Some(config) = &self.tls else {
            return Some(Wire::Tcp(tcp));
        };
        let spare = match self.listener {
            metrics::Listener::Peers => tcp.as_fd().try_clone_to_owned().ok(),
            metrics::Listener::Clients | metrics::Listener::Admin => None,
        };
        let shaken = tokio::time::timeout_at(deadline, async {
            // Who has not said anything yet takes no place from those who have.
            let _ = tcp.peek(&mut [0]).await;
            let handshake = Tls::accept(tcp, config.clone());
            self.handshakes.shake(handshake).await
        });
        let why = match shaken.await {
            Ok(Some(Ok(tls))) => {
                end.tls = version_of(tls.agreed());
                return Some(Wire::Tls(tls));
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, client = ?end.address, "handshake failed");
                let why = refusal_of(&error);
                if let (Refusal::NotMember, Some(spare)) = (why, spare) {
                    leave_time_to_read(spare).await;
                }
                why
            }
            Ok(None) | Err(_) => Refusal::Tls,
        };
        self.state.metrics.connection_refused(self.listener, why);
        None
    }
}

/// The address that a connection counts for.
fn address_of(source: Source, proxy: SocketAddr) -> SocketAddr {
    match source {
        Source::Client(client) => client,
        Source::Proxy | Source::Unknown => proxy,
    }
}

/// As it is logged.
fn version_of(connection: &CommonState) -> Option<&'static str> {
    connection.protocol_version()?.as_str()
}

/// Keeps a connection for a moment longer than the handshake that failed on it. A member that is
/// turned away has to learn why, and closing at once, with its first request unread, would take the
/// alert away from it.
async fn leave_time_to_read(end: OwnedFd) {
    let tcp = std::net::TcpStream::from(end);
    let Ok(mut tcp) = TcpStream::from_std(tcp) else {
        return;
    };
    let reading = async {
        let _ = tcp.shutdown().await;
        // What comes is thrown away; a stranger is not listened to for long.
        let _ = tokio::io::copy(&mut (&mut tcp).take(GOODBYE_BYTES), &mut tokio::io::sink()).await;
    };
    let _ = tokio::time::timeout(GOODBYE, reading).await;
}

/// rustls tells a certificate that names nobody apart from one that is not valid at all.
fn refusal_of(error: &std::io::Error) -> Refusal {
    if error.to_string().contains("ApplicationVerificationFailure") {
        Refusal::NotMember
    } else {
        Refusal::Tls
    }
}

/// A plain connection beyond the cap is told so before it is closed.
async fn tell_full(tcp: TcpStream, _turn: tokio::sync::OwnedSemaphorePermit) {
    let mut wire = Wire::Tcp(tcp);
    let id = crate::http::request_id::RequestId::make();
    crate::http::answer(&mut wire, &Failure::ConnectionsFull, id.as_str(), false).await;
}
