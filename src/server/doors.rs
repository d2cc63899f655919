//! The three listeners: their sockets, their limits and what stands behind each.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::http_app::HttpServer;
use pingora::apps::{HttpServerApp, HttpServerOptions};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::listener::{Caps, Door, bind};
use super::observe::Observer;
use super::serving::Serving;
use super::{Addresses, StartError};
use crate::admin::serve::AdminApp;
use crate::config::{Limits, Listen};
use crate::gate::head::HeadLimits;
use crate::gate::{Gate, GateLimits, Refused};
use crate::metrics::Listener;
use crate::proxy::{self, Proxy};
use crate::shard::Arrival;
use crate::state::State;

/// Connections to upstreams that are kept for reuse, over all of them.
const POOL: usize = 1024;
/// Attempts per request as the framework counts them: the first and one more.
const ATTEMPTS: usize = 2;
/// HTTP/2 streams that a client has reset and that are still remembered; a client that resets
/// faster loses its connection (CVE-2023-44487).
const H2_RESET_STREAMS: usize = 32;
/// The connection's receive window, in stream windows.
const H2_CONNECTION_WINDOWS: u32 = 4;
/// At most so many header fields does a member add to what a client sent (`crate::proxy::headers`,
/// `crate::proxy::wire`), each of at most so many bytes.
const ADDED_FIELDS: usize = 16;
const FIELD_BYTES: usize = 512;
/// Connections to the admin listener: scrapers and people.
const ADMIN_CONNECTIONS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(255);

/// Bound sockets.
pub(super) struct Sockets {
    clients: TcpListener,
    peers: TcpListener,
    admin: TcpListener,
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
        Ok(Self {
            clients: bind("clients", listen.clients.address)?,
            peers: bind("peers", listen.peers.address)?,
            admin: bind("admin", listen.admin.address)?,
        })
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

/// What the listeners have in common.
pub(super) struct Doors<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) limits: &'a Limits,
    pub(super) authority_file: Option<String>,
    pub(super) tasks: &'a TaskTracker,
}

impl Doors<'_> {
    /// Begins to accept on all three.
    pub(super) fn open(
        &self,
        background: &mut JoinSet<()>,
        sockets: Sockets,
        serving: Serving,
        observer: Arc<Observer>,
        shutdown: &ShutdownWatch,
    ) {
        let Sockets {
            clients,
            peers,
            admin,
        } = sockets;
        let Serving {
            clients: client_tls,
            peers: peer_tls,
            ..
        } = serving;
        let door = self.proxy_door(Arrival::Client, Listener::Clients, client_tls);
        background.spawn(door.open(clients, shutdown.clone()));
        let door = self.proxy_door(Arrival::Peer, Listener::Peers, peer_tls);
        background.spawn(door.open(peers, shutdown.clone()));
        let app = HttpServer::new_app(AdminApp::new(observer));
        let state = self.state.clone();
        let gate = Gate::new(
            Arc::new(app),
            self.gate_limits(0),
            move |refused: &Refused<'_>| {
                state.metrics.reject(refused.failure);
            },
        );
        let caps = Caps::new(ADMIN_CONNECTIONS, None);
        let mut door = self.door(Listener::Admin, gate, None, caps);
        // The admin listener outlives the others, to tell how the drain goes; nothing waits for it.
        door.tasks = TaskTracker::new();
        let door = Arc::new(door);
        // Kept as long as the listener: a sender that is gone counts as the end.
        let (never, shutdown) = tokio::sync::watch::channel(false);
        background.spawn(async move {
            let _never = never;
            door.open(admin, shutdown).await;
        });
    }

    fn proxy_door(
        &self,
        arrival: Arrival,
        listener: Listener,
        tls: Option<Arc<ServerConfig>>,
    ) -> Arc<Door<HttpProxy<Proxy>>> {
        let conf = Arc::new(ServerConf {
            threads: 1,
            max_retries: ATTEMPTS,
            upstream_keepalive_pool_size: POOL,
            // Only keeps the framework from reading the system's certificates at the start; each
            // target brings its own trust.
            ca_file: self.authority_file.clone(),
            ..ServerConf::default()
        });
        let mut app = http_proxy(&conf, Proxy::new(arrival, self.state.clone()));
        app.server_options = Some(self.server_options());
        app.h2_options = Some(self.h2_options());
        let state = self.state.clone();
        // What a member adds to a client's request must not push it over the limit at its peer.
        let slack = match arrival {
            Arrival::Client => 0,
            Arrival::Peer => ADDED_FIELDS,
        };
        let gate = Gate::new(
            Arc::new(app),
            self.gate_limits(slack),
            move |refused: &Refused<'_>| {
                proxy::refused(arrival, &state, refused);
            },
        );
        let caps = Caps::new(self.limits.connections, self.limits.connections_per_address);
        Arc::new(self.door(listener, gate, tls, caps))
    }

    fn door<A: HttpServerApp + Send + Sync + 'static>(
        &self,
        listener: Listener,
        gate: Gate<A>,
        tls: Option<Arc<ServerConfig>>,
        caps: Arc<Caps>,
    ) -> Door<A> {
        Door {
            listener,
            gate,
            tls: tls.map(Acceptor::from_server_config),
            handshake: self.state.timeouts.request_header,
            caps,
            state: self.state.clone(),
            tasks: self.tasks.clone(),
        }
    }

    fn server_options(&self) -> HttpServerOptions {
        let mut options = HttpServerOptions::default();
        // Refused by us, with an OCI error; the framework's own refusal has no body.
        options.allow_connect_method_proxying = true;
        options.h2_idle_timeout = Some(self.state.timeouts.keepalive);
        options
    }

    fn h2_options(&self) -> H2Options {
        let limits = self.limits;
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(limits.h2_streams)
            .max_concurrent_reset_streams(H2_RESET_STREAMS)
            .max_pending_accept_reset_streams(H2_RESET_STREAMS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_window_size(limits.h2_window)
            .initial_connection_window_size(limits.h2_window.saturating_mul(H2_CONNECTION_WINDOWS));
        options
    }

    /// `slack` header fields more than a client may send.
    fn gate_limits(&self, slack: usize) -> GateLimits {
        let limits = self.limits;
        GateLimits {
            head: HeadLimits {
                request_line: limits.request_line,
                bytes: (limits.header_bytes + limits.request_line)
                    .saturating_add(slack * FIELD_BYTES),
                count: limits.header_count + slack,
            },
            request_header: self.state.timeouts.request_header,
            idle: self.state.timeouts.idle,
            keepalive: self.state.timeouts.keepalive,
            requests: limits.requests_per_connection.get(),
        }
    }
}
