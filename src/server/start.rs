//! From a configuration to a member that serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::doors::{Closing, Doors, Sockets};
use super::observe::Shown;
use super::serving::Serving;
use super::{LogOutput, Server};
use crate::access_log::AccessLog;
use crate::config::{ClusterTls, Config, Probes, RegistryAddress, Resolve};
use crate::metrics::{Certificate, Metrics};
use crate::state::{HealthTable, State};
use crate::tls::{self, TlsFileError, TlsFiles, TlsMaterial};
use crate::upstream::{Admission, Asker, Credentials, DialError, Upstreams};
use crate::{probe, resolve};

/// Why a member cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A certificate, key or authority is of no use.
    Tls(TlsFileError),
    /// rustls does not take what the files hold.
    TlsSetup(String),
    /// An upstream cannot be called at all.
    Dial(DialError),
    /// An address cannot be listened on.
    Bind {
        /// Which of `listen.…`.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// A metric cannot be registered; a mistake of ours.
    Metrics(prometheus::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => write!(f, "{error}"),
            Self::TlsSetup(error) => write!(f, "TLS cannot be set up: {error}"),
            Self::Dial(error) => write!(f, "{error}"),
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
            Self::Metrics(error) => write!(f, "metrics cannot be registered: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(super) async fn start(config: Config, log: Option<LogOutput>) -> Result<Server, StartError> {
    let files = tls_files(&config);
    let material = files.load().map_err(StartError::Tls)?;
    let serving = Serving::new(&material, config.view.members())?;
    let sockets = Sockets::bind(&config.listen)?;
    let addresses = sockets.addresses()?;
    let authority_file = files
        .cluster
        .as_ref()
        .map(|(ca, _, _)| ca.display().to_string());
    let (limits, timeouts) = (config.limits.clone(), config.timeouts.clone());
    let (probes, resolve) = (config.probes.clone(), config.resolve.clone());
    let replica = config.registry.address.clone();
    let shown = Shown::of(&config);
    let state = Arc::new(state(config, log, &material)?);
    report_expiry(&state, &material);

    let mut background = JoinSet::new();
    keep_addresses(&mut background, &state, &replica, &resolve);
    watch_health(
        &mut background,
        &state,
        &probes,
        &replica,
        authority_file.clone(),
    );
    let swaps = serving.swaps();
    let for_certificates = state.clone();
    background.spawn(tls::watch(files, tls::RELOAD_INTERVAL, move |change| {
        take_certificates(&for_certificates, &swaps, change);
    }));

    let (shutdown, draining) = watch::channel(false);
    let connections = TaskTracker::new();
    let observer = shown.observer(&state, addresses);
    let doors = Doors {
        state: &state,
        limits: &limits,
        timeouts: &timeouts,
        authority_file,
        tasks: &connections,
    };
    let closing = Closing {
        clients: &draining,
        peers: &draining,
    };
    let doors = doors.open(
        &mut background,
        sockets,
        serving,
        observer.clone(),
        &closing,
    );
    Ok(Server {
        addresses,
        doors,
        state,
        observer,
        shutdown,
        connections,
        _background: background,
    })
}

fn tls_files(config: &Config) -> TlsFiles {
    TlsFiles {
        client: config
            .listen
            .clients
            .tls
            .as_ref()
            .map(|tls| (tls.cert.clone(), tls.key.clone())),
        cluster: match &config.cluster {
            ClusterTls::Mutual { ca, cert, key } => Some((ca.clone(), cert.clone(), key.clone())),
            ClusterTls::Insecure => None,
        },
    }
}

fn state(
    config: Config,
    log: Option<LogOutput>,
    material: &TlsMaterial,
) -> Result<State, StartError> {
    let view = config.view;
    let members = view.members();
    let queue = &config.registry.queue;
    let capacity = config.registry.max_in_flight.get();
    let metrics = Metrics::new(&view, capacity).map_err(StartError::Metrics)?;
    let credentials = credentials(material);
    let upstreams = Upstreams::new(&config.registry, members, credentials, &config.timeouts)
        .map_err(StartError::Dial)?;
    let dropped = metrics.log_dropped();
    let access_log = match log.filter(|_| config.log.requests) {
        Some((sender, format)) => AccessLog::new(sender, format, dropped),
        None => AccessLog::off(dropped),
    };
    Ok(State {
        policy: config.reads,
        sticky: config.sticky,
        timeouts: config.timeouts,
        trusted_proxies: config.trusted_proxies,
        upstreams,
        admission: Admission::new(capacity, queue.limit, queue.timeout),
        health: HealthTable::new(members.len()),
        metrics,
        access_log,
        draining: AtomicBool::new(false),
        certificates: ArcSwap::default(),
        view,
    })
}

fn credentials(material: &TlsMaterial) -> Option<Credentials> {
    material
        .cluster
        .as_ref()
        .map(|(authority, pair)| Credentials::new(authority, pair))
}

fn report_expiry(state: &State, material: &TlsMaterial) {
    let client = material
        .client
        .iter()
        .map(|pair| (Certificate::Clients, pair));
    let member = material
        .cluster
        .iter()
        .map(|(_, pair)| (Certificate::Member, pair));
    let in_use = client.chain(member).map(|(certificate, pair)| {
        state.metrics.tls_expiry(certificate, pair.not_after());
        (certificate, pair.not_after())
    });
    state.certificates.store(Arc::new(in_use.collect()));
}

/// Certificates have changed on disk: all of them are taken, or none.
fn take_certificates(
    state: &State,
    swaps: &super::serving::Swaps,
    change: Result<TlsMaterial, TlsFileError>,
) {
    let taken = change
        .map_err(|error| error.to_string())
        .and_then(|material| {
            swaps.apply(&material, state.view.members())?;
            let credentials = credentials(&material);
            state
                .upstreams
                .set_credentials(credentials)
                .map_err(|error| error.to_string())?;
            report_expiry(state, &material);
            Ok(())
        });
    for certificate in swaps.certificates() {
        state.metrics.tls_reload(certificate, taken.is_ok());
    }
    match taken {
        Ok(()) => tracing::info!("certificates reloaded"),
        Err(error) => {
            tracing::error!(%error, "changed certificates are not taken; the old ones stay in use")
        }
    }
}

fn keep_addresses(
    background: &mut JoinSet<()>,
    state: &Arc<State>,
    replica: &RegistryAddress,
    resolve: &Resolve,
) {
    if let RegistryAddress::Tcp(address) = replica {
        let state = state.clone();
        background.spawn(resolve::keep(
            address.clone(),
            resolve.interval,
            move |at| log_dial_error(state.upstreams.set_replica_address(at)),
            |error| tracing::debug!(%error, "the replica's name does not resolve"),
        ));
    }
    for (index, member) in state.view.members().peers() {
        let (found, failed) = (state.clone(), state.clone());
        let id = member.id.clone();
        background.spawn(resolve::keep(
            member.address.clone(),
            resolve.interval,
            move |at| log_dial_error(found.upstreams.set_member_address(index, at)),
            move |error| {
                failed.metrics.resolve_error(index);
                tracing::debug!(%error, member = %id, "a peer's name does not resolve");
            },
        ));
    }
}

fn log_dial_error(result: Result<(), DialError>) {
    if let Err(error) = result {
        tracing::error!(%error, "an upstream cannot be called");
    }
}

fn watch_health(
    background: &mut JoinSet<()>,
    state: &Arc<State>,
    probes: &Probes,
    replica: &RegistryAddress,
    authority_file: Option<String>,
) {
    let asker = Arc::new(Asker::new(authority_file));
    let host = match replica {
        RegistryAddress::Tcp(address) => address.to_string(),
        RegistryAddress::Unix(_) => "localhost".to_owned(),
    };
    background.spawn(probe::watch_replica(
        state.clone(),
        asker.clone(),
        probes.clone(),
        host,
    ));
    let peers: Vec<_> = state
        .view
        .members()
        .peers()
        .map(|(index, _)| index)
        .collect();
    for peer in peers {
        background.spawn(probe::watch_peer(
            state.clone(),
            asker.clone(),
            probes.clone(),
            peer,
        ));
    }
}
