//! The composition root: reads the certificates, binds the listeners, starts the background work
//! and ends all of it in order. Nothing here is global, so several members run in one process.

mod background;
mod caps;
mod certificates;
mod command_socket;
mod cpus;
mod fixed;
mod handshakes;
mod introduction;
mod leases;
mod listener;
mod listeners;
mod observe;
mod reload;
mod serving;
mod start;
mod supervisor;
mod traces;
mod workers;

pub(crate) use leases::carried_out;
pub use reload::Loader;
pub use start::StartError;
pub use supervisor::Supervisor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::member::state::{Phase, State};
use crate::observe::telemetry::LineSender;
pub use crate::observe::telemetry::{Format, LineWriter};
pub use crate::operate::Reloaded;
use crate::operate::{Observed, Status};
use crate::shard::leases::Departure;
use listeners::Tasks;
use reload::Reloader;
use workers::Workers;

/// Where requests are logged, and how a line looks.
pub type LogOutput = (LineSender, Format);

/// How long the peer listener stays open at least, for peers to learn that nothing more is taken: a
/// write that meets a connection just being closed may or may not have arrived, and cannot be sent
/// again.
const GOODBYE: Duration = Duration::from_millis(500);
/// The same at most, for peers that are there and do not ask.
const LONGEST_GOODBYE: Duration = Duration::from_secs(2);
/// How often it is looked whether all peers know.
const GOODBYE_LOOK: Duration = Duration::from_millis(20);
/// How long peers' idle connections may take to close at the end, and then the worker threads.
const LAST_CONNECTIONS: Duration = Duration::from_secs(1);
/// How long the collector may take over the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// A member that serves.
pub struct Server {
    addresses: Addresses,
    state: Arc<State>,
    observer: Arc<observe::Observer>,
    reloader: Arc<Reloader>,
    close_clients: watch::Sender<bool>,
    close_peers: watch::Sender<bool>,
    connections: Tasks,
    /// Listeners and what goes on beside them; ended by being dropped.
    _listeners: JoinSet<()>,
    /// After the listeners: these are at work on them.
    workers: Workers,
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
        /// Requests that were still under way.
        requests: usize,
    },
}

/// What is legal and probably not meant, once for each time that a configuration is taken.
fn log_remarks(config: &Config) {
    for remark in &config.remarks {
        tracing::warn!("{remark}");
    }
}

impl Server {
    /// Binds and begins to serve, on worker threads of its own; everything else goes on in the tokio
    /// runtime that this must run in. Returns once every listener accepts. `loader` reads the configuration again for a reload; none if there is no file.
    ///
    /// # Errors
    /// Certificates that are of no use and addresses that cannot be bound. Names that do not
    /// resolve and peers that do not answer are no errors.
    pub async fn start(
        config: Config,
        log: Option<LogOutput>,
        loader: Option<Loader>,
    ) -> Result<Self, StartError> {
        start::start(config, log, loader).await
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

    /// Its metrics in the Prometheus text format.
    pub fn metrics(&self) -> String {
        self.observer.metrics()
    }

    /// Reads the configuration anew and takes it, if nothing is wrong with it.
    pub async fn reload(&self) -> Reloaded {
        self.reloader.reload().await
    }

    /// The same, without waiting for it: files on a network may take their time.
    pub fn reload_in_background(&self) {
        let reloader = self.reloader.clone();
        tokio::spawn(async move { reloader.reload().await });
    }

    /// Tells the service manager that it serves, and from now on of reloads, of the end, and that it
    /// is still alive.
    pub async fn supervised_by(&self, supervisor: Supervisor) {
        let supervisor = Arc::new(supervisor);
        supervisor.ready().await;
        self.reloader.supervisor.store(Some(supervisor.clone()));
        // It falls silent with this runtime or any worker; to the very end, since a drain can freeze too.
        let crew = self.workers.crew().clone();
        tokio::spawn(async move { supervisor.feed_watchdog(&crew).await });
    }

    /// Says to load balancers and peers that it is going, and goes on as before for
    /// `timeouts.drain_delay`, until they have heard it. Then takes no new client connection, lets
    /// requests in flight finish for up to `timeouts.drain`, and ends. Peers can ask for its state
    /// to the end.
    pub async fn drain(self) -> Drained {
        self.state.enter_phase(Phase::Leaving);
        if self.state.leaves_for_good() {
            self.hand_over().await;
        }
        let delay = self.state.generation().timeouts.drain_delay;
        self.tell_stopping(delay).await;
        tokio::time::sleep(delay).await;
        self.close().await
    }

    /// Drains, and leaves the fleet for good where members hold leases: others own at once what this
    /// member does.
    pub async fn leave(self) -> Drained {
        self.state.leave_for_good();
        self.drain().await
    }

    /// Others own what this member does, and nothing of it is under way any more.
    async fn hand_over(&self) {
        let Some(leases) = self.state.writes.leases() else {
            return;
        };
        let limit = self.state.generation().timeouts.drain;
        if tokio::time::timeout(limit, leases.go(Departure::Leave))
            .await
            .is_err()
        {
            tracing::warn!("the fleet has not let this member go in time: it will be fenced");
        }
    }

    async fn tell_stopping(&self, delay: Duration) {
        if let Some(supervisor) = self.reloader.supervisor.load_full() {
            let drain = self.state.generation().timeouts.drain;
            let mut goodbyes = LONGEST_GOODBYE + LAST_CONNECTIONS;
            if self.state.tracer.is_some() {
                goodbyes += LAST_SPANS;
            }
            supervisor.stopping(delay + drain + goodbyes).await;
        }
    }

    /// The same without the delay.
    pub async fn close(self) -> Drained {
        self.state.enter_phase(Phase::Closing);
        self.tell_stopping(Duration::ZERO).await;
        // No receiver left means that nothing is being served.
        let _ = self.close_clients.send(true);
        let (work, Tasks { clients, peers }) = (&self.state.work, &self.connections);
        work.close();
        clients.close();
        peers.close();
        let finished = async {
            self.say_goodbye().await;
            clients.wait().await;
            work.wait().await;
        };
        let limit = self.state.generation().timeouts.drain;
        let drained = match tokio::time::timeout(limit, self.and_park(finished, limit)).await {
            Ok(()) => Drained::Completely,
            Err(_) => Drained::Cut {
                requests: work.len(),
            },
        };
        let _ = self.close_peers.send(true);
        // Only idle ones are left, and answers that are just being taken.
        let _ = tokio::time::timeout(LAST_CONNECTIONS, peers.wait()).await;
        if let Some(tracer) = &self.state.tracer {
            let _ = tokio::time::timeout(LAST_SPANS, tracer.flush()).await;
        }
        self.workers.end(LAST_CONNECTIONS).await;
        drained
    }

    /// Parks the lease when all is finished, and in time for the limit if it is not: some of it may be waiting
    /// for others. Not sooner than that, since a parked lease lasts no longer than another.
    async fn and_park(&self, finished: impl Future<Output = ()>, limit: Duration) {
        let Some(leases) = self.state.writes.leases() else {
            return finished.await;
        };
        let before_end = |time| tokio::time::sleep(limit.saturating_sub(time).max(limit / 2));
        let (to_cut, to_tell) = leases.departs_within();
        let (to_cut, to_tell) = (before_end(to_cut + to_tell), before_end(to_tell));
        let early = async {
            to_cut.await;
            if !self.state.writes.are_under_way() {
                to_tell.await;
            }
            leases.go(Departure::Park).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = finished => leases.go(Departure::Park).await,
            () = early => {}
        }
    }

    /// Serves peers until all that can be reached know that nothing more is taken, and what they had
    /// sent by then has come: it would be refused otherwise, and cannot be sent again.
    async fn say_goodbye(&self) {
        let told = async {
            let generation = self.state.generation();
            let peers = || {
                generation
                    .parties()
                    .map(|party| generation.peer_state_of(party))
            };
            while !peers().all(|peer| peer.knows_closing() || !peer.verdict().is_usable()) {
                tokio::time::sleep(GOODBYE_LOOK).await;
            }
        };
        let (_, ()) = tokio::join!(
            tokio::time::timeout(LONGEST_GOODBYE, told),
            tokio::time::sleep(GOODBYE)
        );
        self.state.enter_phase(Phase::Closed);
    }

    /// Ends at once and tells nobody: as a crash looks to others.
    pub async fn abandon(self) {
        let _ = self.close_clients.send(true);
        let _ = self.close_peers.send(true);
        let Tasks { clients, peers } = &self.connections;
        clients.close();
        peers.close();
        let closed = async { tokio::join!(clients.wait(), peers.wait()) };
        let _ = tokio::time::timeout(LAST_CONNECTIONS, closed).await;
        self.workers.end(LAST_CONNECTIONS).await;
    }
}
