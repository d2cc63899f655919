//! From a configuration to a member that serves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::background::Background;
use super::certificates::{self, Certificates};
use super::fixed::Fixed;
use super::leases::Leased;
use super::listeners::{Closing, Listeners, Sockets, Tasks};
use super::observe::{Observer, Shown};
use super::reload::{InForce, Loader, Reloader, Report};
use super::serving::{Serving, Swaps};
use super::workers::Workers;
use super::{LogOutput, Server, traces};
use crate::config::Config;
use crate::member::generation::Generation;
use crate::member::leases::Leases;
use crate::member::state::State;
use crate::member::state_folder::StateFolder;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Metrics, SpanEnd};
use crate::observe::traces::{Told, Tracer};
use crate::shard::ownership::Event;
use crate::tls::{Authority, Lapsed, TlsFaults, TlsFiles, TlsMaterial, replica_authority};
use crate::upstream::{DialError, Trust, Upstreams};

/// Why a member cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A certificate, key or authority is of no use.
    Tls(TlsFaults),
    /// rustls does not take what the files hold.
    TlsSetup(String),
    /// An upstream cannot be called at all.
    Dial(DialError),
    /// The threads that serve requests cannot be had.
    Threads(std::io::Error),
    /// An address cannot be listened on.
    Bind {
        /// Which of `listen.…`.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The socket for commands cannot be made where it was wanted.
    CommandSocket {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The folder of `cluster.state` cannot be used.
    State {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store of leases cannot be used.
    Store(String),
    /// A metric cannot be registered; a mistake of ours.
    Metrics(prometheus::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => write!(f, "{error}"),
            Self::TlsSetup(error) => write!(f, "TLS cannot be set up: {error}"),
            Self::Dial(error) => write!(f, "{error}"),
            Self::Threads(error) => write!(f, "the worker threads cannot be started: {error}"),
            Self::Bind {
                listener,
                address,
                error,
            } => {
                write!(
                    f,
                    "cannot listen on {address} (listen.{listener}.address): {error}"
                )
            }
            Self::CommandSocket { path, error } => {
                write!(
                    f,
                    "cannot make {} (listen.admin.socket): {error}",
                    path.display()
                )
            }
            Self::State { folder, error } => {
                write!(
                    f,
                    "cannot use {} (cluster.state): {error}",
                    folder.display()
                )
            }
            Self::Store(error) => write!(f, "{error} (cluster.coordination.store)"),
            Self::Metrics(error) => write!(f, "metrics cannot be registered: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(super) async fn start(
    config: Config,
    log: Option<LogOutput>,
    loader: Option<Loader>,
) -> Result<Server, StartError> {
    let files = TlsFiles::of(&config);
    let (material, replica_authority) = read(&files, &config).await?;
    let serving = Serving::new(&material, &config)?;
    let workers =
        Workers::start(config.threads, &Handle::current()).map_err(StartError::Threads)?;
    let sockets = Sockets::bind(&config.listen, workers.crew())?;
    let addresses = sockets.addresses()?;
    let trust = Arc::new(Trust::new(certificates::credentials(&material)));
    let leased = Leased::open(&config)?;
    let leases = leased.as_ref().map(|leased| leased.leases.clone());
    let (state, spans) = state(&config, replica_authority.as_ref(), log, &trust, leases)?;
    certificates::report_expiry(&state, &material);
    hear_knocks(&serving.swaps, &state);
    let certificates = Certificates::new(serving.swaps, trust, material);
    let background = Background::new(&state, &certificates);
    let (limits, timeouts) = (config.limits.clone(), config.timeouts.clone());
    let traces = config.telemetry.traces.clone();
    let reloader = reloader(config, replica_authority, &state, certificates, loader);
    let observer = Observer::new(&state, &reloader, addresses, sockets.commands());
    let (close_clients, clients_close) = watch::channel(false);
    let (close_peers, peers_close) = watch::channel(false);
    let connections = Tasks::default();
    let open_listeners = Listeners {
        state: &state,
        limits: &limits,
        timeouts: &timeouts,
        tasks: &connections,
        crew: workers.crew(),
    };
    let mut listeners = JoinSet::new();
    let open_listeners = open_listeners.open(
        &mut listeners,
        sockets,
        (serving.clients, serving.peers),
        observer.clone(),
        &Closing {
            clients: &clients_close,
            peers: &peers_close,
        },
    )?;
    let following = open_listeners.follow(state.generations());
    spawn(&mut listeners, &state, following);
    spawn(&mut listeners, &state, background.follow());
    spawn(&mut listeners, &state, reloader.clone().watch());
    if let Some(driver) = leased.map(|leased| leased.driver(&state, &reloader)) {
        spawn(&mut listeners, &state, driver.run());
    }
    if let (Some(spans), Some(traces)) = (spans, traces) {
        let export = traces::export(spans, traces.endpoint, state.clone());
        spawn(&mut listeners, &state, export);
    }
    Ok(Server {
        addresses,
        state,
        observer,
        reloader,
        close_clients,
        close_peers,
        connections,
        _listeners: listeners,
        workers,
    })
}

/// Work that this member cannot be without.
fn spawn(tasks: &mut JoinSet<()>, state: &State, work: impl Future<Output = ()> + Send + 'static) {
    let alarm = state.alarm();
    tasks.spawn(async move {
        let _alarm = alarm;
        work.await;
    });
}

/// What the files hold, if this member can work with it.
async fn read(
    files: &TlsFiles,
    config: &Config,
) -> Result<(TlsMaterial, Option<Authority>), StartError> {
    let material = files.load_in_background(Lapsed::ForClients).await;
    let material = material.map_err(StartError::Tls)?;
    let registry = config.registry.clone();
    let authority = tokio::task::spawn_blocking(move || replica_authority(&registry)).await;
    let authority = authority.map_err(|error| StartError::TlsSetup(error.to_string()))?;
    let authority = authority.map_err(|fault| StartError::Tls(fault.into()))?;
    super::log_remarks(config);
    Ok((material, authority))
}

/// A former member that is turned away is alive.
fn hear_knocks(swaps: &Swaps, state: &Arc<State>) {
    let state = state.clone();
    swaps.on_knock(Box::new(move |member| {
        if let Some(leases) = state.writes.leases() {
            leases.poke();
        }
        state.step(Event::Asked {
            member: member.clone(),
            view: None,
            replica: None,
        });
    }));
}

fn state(
    config: &Config,
    replica_authority: Option<&Authority>,
    log: Option<LogOutput>,
    trust: &Arc<Trust>,
    leases: Option<Arc<Leases>>,
) -> Result<(Arc<State>, Option<Receiver<Told>>), StartError> {
    let metrics = Metrics::new().map_err(StartError::Metrics)?;
    // Before the first one.
    let epoch = leases.as_ref().map(|_| 0);
    let upstreams = Upstreams::new(
        (&config.registry, replica_authority),
        config.view.members(),
        &config.timeouts,
        trust,
        None,
    );
    let upstreams = upstreams.map_err(StartError::Dial)?;
    let generation = Generation::new((config, epoch), upstreams, &metrics, None, |_| true);
    let dropped = metrics.log_dropped();
    let access_log = match log.filter(|_| config.log.requests) {
        Some((sender, format)) => {
            let members = config.view.members();
            let member = members.get(members.local()).id.as_str();
            AccessLog::new(sender, format, member, dropped)
        }
        None => AccessLog::off(dropped),
    };
    let traces = config.telemetry.traces.as_ref();
    let (tracer, spans) = traces
        .map(|traces| Tracer::new(traces.sample, metrics.spans(SpanEnd::Dropped)))
        .unzip();
    // With leases it is theirs.
    let folder = config.state.as_deref().filter(|_| leases.is_none());
    let folder = folder.map(open_folder);
    let state = State::new(
        Arc::new(generation),
        metrics,
        access_log,
        tracer,
        folder.transpose()?,
        leases,
    );
    Ok((Arc::new(state), spans))
}

/// The folder of `cluster.state`.
pub(super) fn open_folder(folder: &Path) -> Result<StateFolder, StartError> {
    StateFolder::open(folder).map_err(|error| StartError::State {
        folder: folder.to_owned(),
        error,
    })
}

fn reloader(
    config: Config,
    replica_authority: Option<Authority>,
    state: &Arc<State>,
    certificates: Arc<Certificates>,
    loader: Option<Loader>,
) -> Arc<Reloader> {
    let reloader = Reloader {
        state: state.clone(),
        certificates,
        loader,
        fixed: Fixed::of(&config),
        report: ArcSwap::from_pointee(Report {
            shown: Shown::of(&config),
            loaded_at: SystemTime::now(),
            needs_restart: Vec::new(),
            last: None,
        }),
        in_force: Mutex::new(InForce {
            epoch: config.coordination.as_ref().map(|_| 0),
            config,
            replica_authority,
        }),
        seen: Mutex::default(),
        turn: tokio::sync::Mutex::new(()),
        supervisor: ArcSwapOption::empty(),
    };
    let seen = reloader.content_digest();
    *reloader
        .seen
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = seen;
    Arc::new(reloader)
}
