//! The three listeners: their sockets, their limits and what stands behind each.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::server::ShutdownWatch;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::caps::Caps;
use super::command_socket::CommandSocket;
use super::handshakes::Handshakes;
use super::listener::{ListenerService, bind};
use super::observe::Observer;
use super::workers::{Crew, Handout};
use super::{Addresses, StartError};
use crate::config::{AdminListener, Limits, Listen, Timeouts};
use crate::http::head::HeadLimits;
use crate::http::{Gate, GateLimits, Http2Limits, Serve, Tempo};
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::observe::metrics::Listener;
use crate::operate::serve::{AdminApp, OnRefused};
use crate::operate::status::CommandStatus;
use crate::proxy::Proxy;
use crate::shard::Arrival;

/// At most so many header fields does a member add to what a client sent (`crate::proxy::headers`,
/// `crate::peers::wire`), each of at most so many bytes.
const ADDED_FIELDS: usize = 16;
const FIELD_BYTES: usize = 512;
/// Connections to the admin listener: scrapers and people.
const ADMIN_CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Bound sockets.
pub(super) struct Sockets {
    clients: TcpListener,
    peers: TcpListener,
    admin: TcpListener,
    /// None where no usual folder lets us make one, and why.
    commands: Result<CommandSocket, String>,
}

impl Sockets {
    /// Connections are accepted on worker threads, since a scrape or a reload is to keep none waiting,
    /// those of clients and of peers on two of them, if there are two.
    pub(super) fn bind(listen: &Listen, crew: &Crew) -> Result<Self, StartError> {
        let bind = |listener, address, on: &Handle| {
            let _on = on.enter();
            bind(address).map_err(|error| StartError::Bind {
                listener,
                address,
                error,
            })
        };
        let (clients, peers) = (
            bind(
                "clients",
                listen.clients.address,
                crew.acceptor(Listener::Clients),
            )?,
            bind(
                "peers",
                listen.peers.address,
                crew.acceptor(Listener::Peers),
            )?,
        );
        let admin = bind("admin", listen.admin.address, &Handle::current())?;
        let commands = command_socket(&listen.admin, &admin)?;
        Ok(Self {
            clients,
            peers,
            admin,
            commands,
        })
    }

    /// Where commands are taken, or why nowhere.
    pub(super) fn commands(&self) -> CommandStatus {
        match &self.commands {
            Ok(socket) => CommandStatus {
                socket: Some(socket.path().display().to_string()),
                problem: None,
            },
            Err(problem) => CommandStatus {
                socket: None,
                problem: Some(problem.clone()),
            },
        }
    }

    pub(super) fn addresses(&self) -> Result<Addresses, StartError> {
        let local = |listener, socket: &TcpListener| {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            socket.local_addr().map_err(|error| StartError::Bind {
                listener,
                address: unknown,
                error,
            })
        };
        Ok(Addresses {
            clients: local("clients", &self.clients)?,
            peers: local("peers", &self.peers)?,
            admin: local("admin", &self.admin)?,
        })
    }
}

/// The socket that was asked for, or one in a usual folder. A member can do without the latter:
/// signals and the watch over its file are left.
fn command_socket(
    listen: &AdminListener,
    admin: &TcpListener,
) -> Result<Result<CommandSocket, String>, StartError> {
    if let Some(path) = &listen.socket {
        let made = CommandSocket::at(path).map_err(|error| StartError::CommandSocket {
            path: path.clone(),
            error,
        });
        return made.map(Ok);
    }
    let made = admin.local_addr().and_then(CommandSocket::for_admin);
    Ok(made.map_err(|error| {
        let problem =
            format!("no socket for commands in /run/shardlet or $XDG_RUNTIME_DIR ({error})");
        tracing::info!(%problem, "`shardlet reload` and `shardlet drain` need listen.admin.socket");
        problem
    }))
}

/// What the listeners have in common.
pub(super) struct Listeners<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) limits: &'a Limits,
    pub(super) timeouts: &'a Timeouts,
    pub(super) tasks: &'a Tasks,
    pub(super) crew: &'a Crew,
}

/// The connections of each listener, as tasks that a drain waits for.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) clients: TaskTracker,
    pub(super) peers: TaskTracker,
}

/// When the listeners stop accepting, each for itself.
pub(super) struct Closing<'a> {
    pub(super) clients: &'a ShutdownWatch,
    pub(super) peers: &'a ShutdownWatch,
}

/// The listeners at work.
pub(super) struct OpenListeners {
    clients: Arc<ListenerService<Proxy>>,
    peers: Arc<ListenerService<Proxy>>,
    admin: Arc<ListenerService<AdminApp>>,
}

impl Listeners<'_> {
    /// Begins to accept on all three.
    pub(super) fn open(
        &self,
        background: &mut JoinSet<()>,
        sockets: Sockets,
        (client_tls, peer_tls): (Option<Arc<ServerConfig>>, Option<Arc<ServerConfig>>),
        observer: Arc<Observer>,
        closing: &Closing<'_>,
    ) -> Result<OpenListeners, StartError> {
        let clients = self.proxy_door(Arrival::Client, Listener::Clients, client_tls)?;
        let peers = self.proxy_door(Arrival::Peer, Listener::Peers, peer_tls)?;
        for (door, socket, closing) in [
            (&clients, sockets.clients, closing.clients),
            (&peers, sockets.peers, closing.peers),
        ] {
            let accepting = door.clone().open(socket, closing.clone());
            background.spawn_on(accepting, self.crew.acceptor(door.listener));
        }
        if let Ok(socket) = sockets.commands {
            let gate = self.admin_gate(AdminApp::commanding(observer.clone(), self.on_refused()));
            let (never, shutdown) = tokio::sync::watch::channel(false);
            background.spawn(async move {
                let _never = never;
                socket.serve(gate, shutdown).await;
            });
        }
        let admin = self.admin_door(observer);
        let (door, socket) = (admin.clone(), sockets.admin);
        // Kept as long as the listener: a sender that is gone counts as the end.
        let (never, shutdown) = tokio::sync::watch::channel(false);
        background.spawn(async move {
            let _never = never;
            door.open(socket, shutdown).await;
        });
        Ok(OpenListeners {
            clients,
            peers,
            admin,
        })
    }

    fn admin_door(&self, observer: Arc<Observer>) -> Arc<ListenerService<AdminApp>> {
        let gate = self.admin_gate(AdminApp::new(observer, self.on_refused()));
        let caps = Caps::new(ADMIN_CONNECTIONS, None);
        Arc::new(self.door(Listener::Admin, gate, None, caps, None))
    }

    fn on_refused(&self) -> OnRefused {
        let state = self.state.clone();
        Box::new(move |failure| state.metrics.reject(failure))
    }

    fn admin_gate(&self, app: AdminApp) -> Gate<AdminApp> {
        let limits = gate_limits(self.limits, self.timeouts, Listener::Admin);
        Gate::new(Arc::new(app), limits)
    }

    fn proxy_door(
        &self,
        arrival: Arrival,
        listener: Listener,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Arc<ListenerService<Proxy>>, StartError> {
        let proxy = Proxy::new(arrival, self.state.clone());
        let limits = gate_limits(self.limits, self.timeouts, listener);
        let gate = Gate::new(Arc::new(proxy), limits);
        let caps = Caps::new(self.limits.connections, per_address(listener, self.limits));
        let handout = self.crew.handout(&self.state.metrics, listener);
        let handout = handout.map_err(StartError::Metrics)?;
        Ok(Arc::new(self.door(
            listener,
            gate,
            tls,
            caps,
            Some(handout),
        )))
    }

    fn door<A: Serve>(
        &self,
        listener: Listener,
        gate: Gate<A>,
        tls: Option<Arc<ServerConfig>>,
        caps: Arc<Caps>,
        handout: Option<Handout>,
    ) -> ListenerService<A> {
        ListenerService {
            listener,
            gate: ArcSwap::from_pointee(gate),
            tls,
            handshakes: Handshakes::new(self.limits.handshakes),
            caps,
            handout,
            state: self.state.clone(),
            tasks: match listener {
                Listener::Clients => self.tasks.clients.clone(),
                Listener::Peers => self.tasks.peers.clone(),
                // It outlives the others, to tell how the drain goes; nothing waits for it.
                Listener::Admin => TaskTracker::new(),
            },
        }
    }
}

impl OpenListeners {
    /// Takes new connections as the generation in force has it; open ones go on within their limits.
    pub(super) async fn follow(self, mut generations: watch::Receiver<Arc<Generation>>) {
        while generations.changed().await.is_ok() {
            let generation = generations.borrow_and_update().clone();
            self.set_limits(&generation.limits, &generation.timeouts);
        }
    }

    fn set_limits(&self, limits: &Limits, timeouts: &Timeouts) {
        let Self {
            clients,
            peers,
            admin,
        } = self;
        for door in [clients, peers] {
            let limits_of_gate = gate_limits(limits, timeouts, door.listener);
            let changed = door.gate.load().with_limits(limits_of_gate);
            door.gate.store(Arc::new(changed));
            door.caps
                .set(limits.connections, per_address(door.listener, limits));
            door.handshakes.set(limits.handshakes);
        }
        let limits_of_gate = gate_limits(limits, timeouts, Listener::Admin);
        let changed = admin.gate.load().with_limits(limits_of_gate);
        admin.gate.store(Arc::new(changed));
    }
}

/// A peer brings the requests of many clients from one address.
fn per_address(listener: Listener, limits: &Limits) -> Option<NonZeroUsize> {
    match listener {
        Listener::Clients => limits.connections_per_address,
        Listener::Peers | Listener::Admin => None,
    }
}

/// Within these limits is a connection of this listener.
fn gate_limits(limits: &Limits, timeouts: &Timeouts, listener: Listener) -> GateLimits {
    // What a member adds to a client's request must not push it over the limit at its peer, which
    // also leaves it to the member to judge how slow its client is.
    let (slack, upload_rate, download_rate) = match listener {
        Listener::Clients => (0, limits.upload_rate, limits.download_rate),
        Listener::Peers => (ADDED_FIELDS, None, None),
        Listener::Admin => (0, None, None),
    };
    GateLimits {
        head: HeadLimits {
            request_line: limits.request_line,
            fields: limits.header_bytes.saturating_add(slack * FIELD_BYTES),
            count: limits.header_count + slack,
        },
        request_header: timeouts.request_header,
        tempo: Tempo {
            patience: timeouts.idle,
            upload_rate,
            download_rate,
        },
        keepalive: timeouts.keepalive,
        requests: limits.requests_per_connection.get(),
        http2: Some(Http2Limits {
            streams: limits.h2_streams,
            window: limits.h2_window,
            header_bytes: limits.header_bytes,
        }),
    }
}
