//! The running member, as the admin listener shows it.

mod activity;
mod leases;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Addresses;
use super::reload::Reloader;
use crate::config::{ClusterTls, Config, RegistryAddress};
use crate::member::generation::Generation;
use crate::member::state::{Phase, State};
use crate::observe::metrics::Listener;
use crate::operate::status::{
    Asker, CertificateStatus, CommandStatus, ListenerStatus, MemberFacts, ReplicaStatus,
    RequestTotals, TrafficStatus, ViewStatus, WritesStatus,
};
use crate::operate::{Activity, Check, Observed, Operated, OwnerAnswer, Reloaded, Status};
use crate::shard::ownership::PartyId;
use crate::shard::repository::NameError;
use crate::shard::{Access, Health, MemberIndex, OwnerDown};
use crate::tls::TlsFiles;

/// Looks into one member.
pub(super) struct Observer {
    state: Arc<State>,
    reloader: Arc<Reloader>,
    addresses: Addresses,
    commands: CommandStatus,
}

/// What is shown of the configuration.
#[derive(Clone)]
pub(super) struct Shown {
    /// The security of the client and the peer listener.
    security: (&'static str, &'static str),
    /// The replica's address.
    replica: String,
    /// The file, as the operator named it.
    pub(super) source: String,
    /// What was remarkable.
    remarks: Vec<String>,
    /// Where it was read from, certificates aside; those have a watch of their own.
    pub(super) files: Vec<PathBuf>,
    /// Whether those are watched.
    pub(super) watches: bool,
    /// Where leases are kept, and the level, where members hold them.
    leases: Option<(String, &'static str)>,
}

impl Shown {
    pub(super) fn of(config: &Config) -> Self {
        let clients = if config.listen.clients.tls.is_some() {
            "tls"
        } else {
            "none"
        };
        let peers = match &config.cluster {
            ClusterTls::Mutual { .. } => "mtls",
            ClusterTls::Insecure => "none",
        };
        let certificates = TlsFiles::of(config);
        let is_certificate = |path: &PathBuf| certificates.paths().any(|other| other == path);
        let files = config.files.iter().filter(|path| !is_certificate(path));
        Self {
            security: (clients, peers),
            replica: match &config.registry.address {
                RegistryAddress::Tcp(address) => address.to_string(),
                RegistryAddress::Unix(path) => format!("unix:{}", path.display()),
            },
            source: config.files.first().map_or_else(
                || "standard input".to_owned(),
                |file| file.display().to_string(),
            ),
            remarks: config.remarks.iter().map(ToString::to_string).collect(),
            files: files.cloned().collect(),
            watches: config.reload.watch,
            leases: config
                .coordination
                .as_ref()
                .map(|leases| (leases.store.to_string(), leases.level().name())),
        }
    }
}

impl Observer {
    pub(super) fn new(
        state: &Arc<State>,
        reloader: &Arc<Reloader>,
        addresses: Addresses,
        commands: CommandStatus,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: state.clone(),
            reloader: reloader.clone(),
            addresses,
            commands,
        })
    }

    fn facts(&self, generation: &Generation, member: MemberIndex) -> MemberFacts {
        let local = member == generation.view.members().local();
        let address = generation.upstreams.member(member).address();
        let peer_state = generation.peer_state(member);
        let (standing, places) = (peer_state.standing(), &peer_state.places);
        let both = [Access::Read, Access::Write];
        let in_flight: usize = both.iter().map(|access| places.in_flight(*access)).sum();
        let waiting: usize = both.iter().map(|access| places.waiting(*access)).sum();
        MemberFacts {
            // What the circuit does is told apart.
            health: peer_state.verdict(),
            circuit: peer_state.breaker.state().into(),
            draining: if local {
                self.state.is_draining()
            } else {
                peer_state.is_draining()
            },
            same_view: self
                .state
                .writes
                .rules()
                .tells_our_view(&PartyId::of(generation.view.members().get(member))),
            resolved: address
                .iter()
                .filter(|_| !local)
                .map(ToString::to_string)
                .collect(),
            since: standing.since,
            answered: standing.answered.filter(|_| standing.why.is_some()),
            why: standing.why,
            load: (in_flight as u64, waiting as u64),
            lease: self
                .state
                .writes
                .leases()
                .and_then(|leases| leases::of_member(leases, generation, member)),
            traffic: self.traffic(generation, member),
        }
    }

    fn traffic(&self, generation: &Generation, member: MemberIndex) -> TrafficStatus {
        let Some(traffic) = generation.metrics.traffic(member) else {
            return TrafficStatus::default();
        };
        let shown = traffic.shown(self.state.metrics.recent.now());
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        TrafficStatus {
            requests_per_second: shown.requests_per_second,
            errors_per_second: shown.errors_per_second,
            bytes_per_second: shown.bytes_per_second,
            p50_ms: shown.p50.map(millis),
            p99_ms: shown.p99.map(millis),
        }
    }

    fn everybody_was_asked(&self) -> bool {
        let rules = self.state.writes.rules();
        let mut parties = rules.asked_parties();
        parties.all(|party| rules.was_asked(party))
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        let Addresses {
            clients,
            peers,
            admin,
        } = self.addresses;
        let (client_security, peer_security) = self.reloader.report.load().shown.security;
        [
            (Listener::Clients, clients, client_security),
            (Listener::Peers, peers, peer_security),
            (Listener::Admin, admin, "none"),
        ]
        .into_iter()
        .map(|(listener, address, security)| ListenerStatus {
            name: listener.as_str().to_owned(),
            address: address.to_string(),
            security: security.to_owned(),
            connections: self.state.metrics.connections_open(listener),
        })
        .collect()
    }

    /// What is in the way of writes, where members work by a list in a file.
    fn ownership_warnings(&self) -> Vec<String> {
        let rules = self.state.writes.rules();
        let leaving: Vec<String> = rules
            .former_members()
            .map(|member| {
                format!(
                    "{member} is listed no more and not known to be gone: stop it, or list it again"
                )
            })
            .collect();
        drop(rules);
        let snapshot = self.state.writes.snapshot();
        let starting = (!snapshot.is_settled()).then(|| {
            "it is not known yet what other members may be writing: writes wait".to_owned()
        });
        let differing = snapshot.disputes();
        starting
            .into_iter()
            .chain(differing)
            .chain(leaving)
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let writers = match self.state.writes.leases() {
            Some(leases) => leases::warnings(leases),
            None => self.ownership_warnings(),
        };
        let refused = self.reloader.certificates.refused().map(|why| {
            format!("changed certificates are not taken, the old ones stay in use: {why}")
        });
        let report = self.reloader.report.load();
        let remarks = report.shown.remarks.iter().cloned();
        remarks
            .chain(self.reloader.certificates.lapsed())
            .chain(refused)
            .chain(writers)
            .collect()
    }
}

impl Observed for Observer {
    fn status(&self) -> Status {
        let state = &self.state;
        let generation = state.generation();
        let members = generation.view.members();
        let report = self.reloader.report.load();
        let places = &generation.replica().places;
        let (reads, writes) = (
            places.in_flight(Access::Read),
            places.in_flight(Access::Write),
        );
        let totals = state.metrics.totals();
        let in_use = state.certificates.load();
        let certificates = in_use
            .iter()
            .map(|(certificate, expiry)| CertificateStatus {
                name: certificate.as_str().to_owned(),
                expires_unix: *expiry,
            });
        Status {
            member: members.get(members.local()).id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() as i64),
            uptime_seconds: state.metrics.uptime().as_secs(),
            ready: self.readiness().iter().all(|check| check.ok),
            draining: state.is_draining(),
            listeners: self.listeners(),
            commands: self.commands.clone(),
            view: ViewStatus::of(&generation.view, |member| self.facts(&generation, member)),
            replica: ReplicaStatus {
                address: report.shown.replica.clone(),
                health: generation.replica().verdict().into(),
                circuit: generation.replica().breaker.state().into(),
                reads_in_flight: reads as u64,
                writes_in_flight: writes as u64,
                in_flight: (reads + writes) as u64,
                in_flight_limit: places.capacity() as u64,
                queued: (places.waiting(Access::Read) + places.waiting(Access::Write)) as u64,
                queue_limit: places.queue_limit() as u64,
            },
            writes: WritesStatus {
                ready: state.writes.are_ready(),
                held: state.metrics.held(),
                held_limit: generation.hold.limit as u64,
                hold_seconds: generation.hold.time.as_secs_f64(),
            },
            leases: state
                .writes
                .leases()
                .map(|leases| leases::status(leases, report.shown.leases.clone())),
            requests: RequestTotals {
                in_flight: state.metrics.in_flight(),
                transfers: state.transfers.total() as u64,
                transfers_limit: state.transfers.limit() as u64,
                ended: totals.ended,
                rejected: totals.rejected,
                fallbacks: totals.fallbacks,
                retries: totals.retries,
            },
            owner_down: match generation.policy.owner_down {
                OwnerDown::Fallback => "fallback".to_owned(),
                OwnerDown::Reject => "reject".to_owned(),
            },
            configuration: report.status(),
            certificates: certificates.collect(),
            warnings: self.warnings(),
        }
    }

    fn owner(&self, repository: &str) -> Result<OwnerAnswer, NameError> {
        let generation = self.state.generation();
        let asker = Asker {
            view: &generation.view,
            policy: &generation.policy,
            hold: generation.hold.time,
            in_doubt: &|repository| {
                let writes = &self.state.writes;
                if !writes.are_ready() {
                    return Some(
                        "it is not known yet what other members may be writing".to_owned(),
                    );
                }
                if writes.leases().is_some() {
                    return None;
                }
                let snapshot = writes.snapshot();
                let dispute = snapshot.dispute(repository, writes.now())?;
                drop(dispute);
                Some("another member's view gives it to another owner".to_owned())
            },
            health: &|member| generation.health_of(member),
        };
        OwnerAnswer::of(&asker, repository)
    }

    fn activity(&self) -> Activity {
        activity::shown(&self.state)
    }

    fn readiness(&self) -> Vec<Check> {
        let generation = self.state.generation();
        let check = |name, ok, detail: &str| Check {
            name,
            ok,
            detail: detail.to_owned(),
        };
        vec![
            // Both hold by construction: nothing answers here before they do.
            check("listeners", true, ""),
            check("view", true, ""),
            check(
                "replica",
                generation.replica().verdict() == Health::Up,
                "the local replica does not answer",
            ),
            match self.state.writes.leases() {
                Some(leases) => check(
                    "lease",
                    leases.standing().is_member,
                    "this member is not in the view of the store",
                ),
                None => check(
                    "peers",
                    self.everybody_was_asked(),
                    "not every peer has been asked for its view yet",
                ),
            },
            check(
                "draining",
                !self.state.is_draining(),
                "this member takes no new work",
            ),
        ]
    }

    fn metrics(&self) -> String {
        self.state.metrics.render()
    }
}

#[async_trait::async_trait]
impl Operated for Observer {
    async fn reload(&self) -> Reloaded {
        self.reloader.reload().await
    }

    fn drain(&self) {
        self.state.enter_phase(Phase::Leaving);
        self.state.ask_for_drain();
    }

    fn leave(&self) -> bool {
        let is_leased = self.state.writes.leases().is_some();
        if is_leased {
            self.state.leave_for_good();
            self.drain();
        }
        is_leased
    }
}
