//! The three listeners: their sockets, their limits and what stands behind each.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::apps::HttpServerApp;
use pingora::apps::http_app::HttpServer;
use pingora::listeners::tls::Acceptor;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::app::ProxyApp;
use super::caps::Caps;
use super::command_socket::CommandSocket;
use super::handshakes::Handshakes;
use super::listener::{ListenerService, bind};
use super::observe::Observer;
use super::{Addresses, StartError};
use crate::config::{AdminListener, Limits, Listen, Timeouts};
use crate::http::head::HeadLimits;
use crate::http::{Gate, GateLimits, Refused, Tempo};
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::observe::metrics::Listener;
use crate::operate::serve::AdminApp;
use crate::operate::status::CommandStatus;
use crate::proxy::{self, Proxy};
use crate::shard::Arrival;

/// Connections to upstreams that are kept for reuse, over all of them.
const POOL: usize = 1024;
/// Attempts per request as the framework counts them. Not limited here: a request that waits for its
/// owner tries again until its time is over, and anything else is tried again once
/// (`crate::proxy::verdict`).
const ATTEMPTS: usize = usize::MAX;
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
    pub(super) fn bind(listen: &Listen) -> Result<Self, StartError> {
        let bind = |listener, address| {
            bind(address).map_err(|error| StartError::Bind {
                listener,
                address,
                error,
            })
        };
        let (clients, peers) = (
            bind("clients", listen.clients.address)?,
            bind("peers", listen.peers.address)?,
        );
        let admin = bind("admin", listen.admin.address)?;
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
    pub(super) authority_file: Option<String>,
    pub(super) tasks: &'a Tasks,
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
    clients: Arc<ListenerService<ProxyApp>>,
    peers: Arc<ListenerService<ProxyApp>>,
    admin: Arc<ListenerService<HttpServer<AdminApp>>>,
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
    ) -> OpenListeners {
        let clients = self.proxy_door(Arrival::Client, Listener::Clients, client_tls);
        background.spawn(
            clients
                .clone()
                .open(sockets.clients, closing.clients.clone()),
        );
        let peers = self.proxy_door(Arrival::Peer, Listener::Peers, peer_tls);
        background.spawn(peers.clone().open(sockets.peers, closing.peers.clone()));
        if let Ok(socket) = sockets.commands {
            let gate = self.admin_gate(AdminApp::commanding(observer.clone()));
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
        OpenListeners {
            clients,
            peers,
            admin,
        }
    }

    fn admin_door(&self, observer: Arc<Observer>) -> Arc<ListenerService<HttpServer<AdminApp>>> {
        let gate = self.admin_gate(AdminApp::new(observer));
        let caps = Caps::new(ADMIN_CONNECTIONS, None);
        Arc::new(self.door(Listener::Admin, gate, None, caps))
    }

    fn admin_gate(&self, app: AdminApp) -> Gate<HttpServer<AdminApp>> {
        let state = self.state.clone();
        Gate::new(
            Arc::new(HttpServer::new_app(app)),
            gate_limits(self.limits, self.timeouts, Listener::Admin),
            move |refused: &Refused<'_>| {
                state.metrics.reject(refused.failure);
            },
        )
    }

    fn proxy_door(
        &self,
        arrival: Arrival,
        listener: Listener,
        tls: Option<Arc<ServerConfig>>,
    ) -> Arc<ListenerService<ProxyApp>> {
        let conf = ServerConf {
            threads: 1,
            max_retries: ATTEMPTS,
            upstream_keepalive_pool_size: POOL,
            // Only keeps the framework from reading the system's certificates at the start; each
            // target brings its own trust.
            ca_file: self.authority_file.clone(),
            ..ServerConf::default()
        };
        let proxy = Proxy::new(arrival, self.state.clone());
        let app = ProxyApp::new(conf, proxy, self.limits, self.timeouts);
        let state = self.state.clone();
        let gate = Gate::new(
            Arc::new(app),
            gate_limits(self.limits, self.timeouts, listener),
            move |refused: &Refused<'_>| {
                proxy::refused(arrival, &state, refused);
            },
        );
        let caps = Caps::new(self.limits.connections, per_address(listener, self.limits));
        Arc::new(self.door(listener, gate, tls, caps))
    }

    fn door<A: HttpServerApp + Send + Sync + 'static>(
        &self,
        listener: Listener,
        gate: Gate<A>,
        tls: Option<Arc<ServerConfig>>,
        caps: Arc<Caps>,
    ) -> ListenerService<A> {
        ListenerService {
            listener,
            gate: ArcSwap::from_pointee(gate),
            tls: tls.map(Acceptor::from_server_config),
            introducers: ArcSwap::from_pointee(match listener {
                Listener::Clients => self.state.generation().introducers(),
                Listener::Peers | Listener::Admin => Vec::new(),
            }),
            handshakes: Handshakes::new(self.limits.handshakes),
            caps,
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
            let introducers = Arc::new(generation.introducers());
            self.clients.introducers.store(introducers);
        }
    }

    fn set_limits(&self, limits: &Limits, timeouts: &Timeouts) {
        let Self {
            clients,
            peers,
            admin,
        } = self;
        for door in [clients, peers] {
            let gate = door.gate.load();
            let app = Arc::new(gate.app().with_limits(limits, timeouts));
            let limits_of_gate = gate_limits(limits, timeouts, door.listener);
            let changed = gate.with_limits(app, limits_of_gate);
            door.gate.store(Arc::new(changed));
            door.caps
                .set(limits.connections, per_address(door.listener, limits));
            door.handshakes.set(limits.handshakes);
        }
        let gate = admin.gate.load();
        let changed = gate.with_limits(
            gate.app().clone(),
            gate_limits(limits, timeouts, Listener::Admin),
        );
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
            bytes: (limits.header_bytes + limits.request_line).saturating_add(slack * FIELD_BYTES),
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
    }
}
