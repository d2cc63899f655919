//! The composition root: reads the certificates, binds the listeners, starts the background work
//! and ends all of it in order. Nothing here is global, so several members run in one process.

mod app;
mod caps;
mod doors;
mod handshakes;
mod listener;
mod observe;
mod serving;
mod start;

pub use start::StartError;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::admin::{Observed, Status};
use crate::config::{Config, Limits, Timeouts};
use crate::state::State;
use crate::telemetry::{Format, LineSender};

/// Where requests are logged, and how a line looks.
pub type LogOutput = (LineSender, Format);

/// A member that serves.
pub struct Server {
    addresses: Addresses,
    doors: doors::OpenDoors,
    state: Arc<State>,
    observer: Arc<observe::Observer>,
    shutdown: watch::Sender<bool>,
    connections: TaskTracker,
    /// Ended by being dropped.
    _background: JoinSet<()>,
}

/// Where a member listens, with the ports that port 0 became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client listener.
    pub clients: SocketAddr,
    /// The peer listener.
    pub peers: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was finished.
    Completely,
    /// Some were cut after `timeouts.drain`.
    Cut {
        /// Connections that were still open.
        connections: usize,
    },
}

impl Server {
    /// Binds and begins to serve. Must run inside a tokio runtime; returns once every listener
    /// accepts.
    ///
    /// # Errors
    /// Certificates that are of no use and addresses that cannot be bound. Names that do not
    /// resolve and peers that do not answer are no errors.
    pub async fn start(config: Config, log: Option<LogOutput>) -> Result<Self, StartError> {
        start::start(config, log).await
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What its parts share, for the banner and for tests.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Everything about it, as the admin listener tells it.
    pub fn status(&self) -> Status {
        self.observer.status()
    }

    /// New connections are served within these limits; open ones go on within theirs.
    pub fn set_limits(&self, limits: &Limits, timeouts: &Timeouts) {
        self.doors.set_limits(limits, timeouts);
    }

    /// Takes no new connection, lets requests in flight finish for up to `timeouts.drain`, then
    /// ends. `/readyz` says so from the first moment.
    pub async fn drain(self) -> Drained {
        self.state.draining.store(true, Ordering::Relaxed);
        self.state.metrics.draining(true);
        // No receiver left means that nothing is being served.
        let _ = self.shutdown.send(true);
        self.connections.close();
        let limit = self.state.timeouts.drain;
        match tokio::time::timeout(limit, self.connections.wait()).await {
            Ok(()) => Drained::Completely,
            Err(_) => Drained::Cut {
                connections: self.connections.len(),
            },
        }
    }
}
