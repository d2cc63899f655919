//! The running member, as the admin listener shows it.

use std::sync::Arc;

use super::Addresses;
use crate::admin::status::{
    CertificateStatus, ListenerStatus, MemberFacts, ReplicaStatus, RequestTotals, ViewStatus,
};
use crate::admin::{Check, Observed, OwnerAnswer, Status};
use crate::config::{ClusterTls, Config, RegistryAddress};
use crate::metrics::Listener;
use crate::shard::repository::NameError;
use crate::shard::{Access, MemberIndex};
use crate::state::State;

/// Looks into one member.
pub(super) struct Observer {
    state: Arc<State>,
    addresses: Addresses,
    shown: Shown,
}

/// What is shown of the configuration.
pub(super) struct Shown {
    /// The security of the client and the peer listener.
    security: (&'static str, &'static str),
    /// The replica's address.
    replica: String,
    /// What was remarkable.
    remarks: Vec<String>,
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
        Self {
            security: (clients, peers),
            replica: match &config.registry.address {
                RegistryAddress::Tcp(address) => address.to_string(),
                RegistryAddress::Unix(path) => format!("unix:{}", path.display()),
            },
            remarks: config.remarks.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn observer(self, state: &Arc<State>, addresses: Addresses) -> Arc<Observer> {
        Arc::new(Observer {
            state: state.clone(),
            addresses,
            shown: self,
        })
    }
}

impl Observer {
    fn facts(&self, member: MemberIndex) -> MemberFacts {
        let state = &self.state;
        let local = member == state.view.members().local();
        let address = if local {
            state.upstreams.replica_address()
        } else {
            state.upstreams.member_address(member)
        };
        let told = state.health.view_of(member);
        MemberFacts {
            health: state.health_of(member),
            same_view: told.map(|view| view == *state.view.fingerprint()),
            resolved: address
                .iter()
                .filter(|_| !local)
                .map(ToString::to_string)
                .collect(),
        }
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        let Addresses {
            clients,
            peers,
            admin,
        } = self.addresses;
        let (client_security, peer_security) = self.shown.security;
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

    fn warnings(&self) -> Vec<String> {
        let members = self.state.view.members();
        let others = self.state.health.others();
        let differing = others.iter().map(|(index, other)| {
            let member = &members.get(*index).id;
            format!("{member} has another view ({other}): writes in dispute are refused")
        });
        self.shown
            .remarks
            .iter()
            .cloned()
            .chain(differing)
            .collect()
    }
}

impl Observed for Observer {
    fn status(&self) -> Status {
        let state = &self.state;
        let members = state.view.members();
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
            uptime_seconds: state.metrics.uptime().as_secs(),
            ready: self.readiness().iter().all(|check| check.ok),
            draining: state.is_draining(),
            listeners: self.listeners(),
            view: ViewStatus::of(&state.view, |member| self.facts(member)),
            replica: ReplicaStatus {
                address: self.shown.replica.clone(),
                health: state.health_of(members.local()).into(),
                in_flight: both(|access| state.admission.in_flight(access)),
                in_flight_limit: state.admission.capacity() as u64,
                queued: both(|access| state.admission.waiting(access)),
                queue_limit: state.admission.queue_limit() as u64,
            },
            requests: RequestTotals {
                in_flight: state.metrics.in_flight(),
                ended: totals.ended,
                rejected: totals.rejected,
                fallbacks: totals.fallbacks,
                retries: totals.retries,
            },
            certificates: certificates.collect(),
            warnings: self.warnings(),
        }
    }

    fn owner(&self, repository: &str) -> Result<OwnerAnswer, NameError> {
        OwnerAnswer::of(&self.state.view, repository, |member| {
            self.state.health_of(member)
        })
    }

    fn readiness(&self) -> Vec<Check> {
        let state = &self.state;
        let replica = state.health_of(state.view.members().local());
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
                replica == crate::shard::Health::Up,
                "the local replica does not answer",
            ),
            check(
                "peers",
                state
                    .view
                    .members()
                    .peers()
                    .all(|(peer, _)| state.health.was_asked(peer)),
                "not every peer has been asked for its view yet",
            ),
            check(
                "draining",
                !state.is_draining(),
                "this member takes no new work",
            ),
        ]
    }

    fn metrics(&self) -> String {
        self.state.metrics.render()
    }
}

/// Reads and writes together.
fn both(count: impl Fn(Access) -> usize) -> u64 {
    (count(Access::Read) + count(Access::Write)) as u64
}
