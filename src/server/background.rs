//! What goes on beside the requests of one epoch: checks, look-ups of names, certificates.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::certificates::Certificates;
use crate::config::{Config, Probes, RegistryAddress, Resolve};
use crate::epoch::Epoch;
use crate::probe::Checks;
use crate::shard::MemberAddress;
use crate::state::State;
use crate::upstream::{DialError, Upstream};
use crate::{resolve, tls};

/// What the work of every epoch needs.
pub(super) struct Background {
    pub(super) state: Arc<State>,
    pub(super) certificates: Arc<Certificates>,
}

impl Background {
    /// Begins the work of an epoch. It ends when the result is dropped.
    pub(super) fn begin(&self, config: &Config, epoch: &Arc<Epoch>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.keep_addresses(&mut tasks, &config.registry.address, &config.resolve, epoch);
        self.watch_health(&mut tasks, &config.registry.address, &config.probes, epoch);
        let (state, certificates) = (self.state.clone(), self.certificates.clone());
        let alarm = self.state.alarm();
        let (files, in_use) = (super::certificates::files(config), certificates.in_use());
        tasks.spawn(async move {
            let _alarm = alarm;
            tls::watch(files, in_use, tls::RELOAD_INTERVAL, |change| {
                certificates.take(&state, change);
            })
            .await;
        });
        tasks
    }

    fn keep_addresses(
        &self,
        tasks: &mut JoinSet<()>,
        replica: &RegistryAddress,
        resolve: &Resolve,
        epoch: &Arc<Epoch>,
    ) {
        if let RegistryAddress::Tcp(address) = replica {
            let upstream = epoch.upstreams.replica().clone();
            self.keep(tasks, address, resolve, upstream, |error| {
                tracing::debug!(%error, "the replica's name does not resolve");
            });
        }
        for party in epoch.parties() {
            let member = epoch.member_of(party);
            let (id, failed) = (member.id.clone(), epoch.clone());
            let upstream = epoch.upstream_of(party).clone();
            self.keep(tasks, &member.address, resolve, upstream, move |error| {
                failed.lookup_failed(party);
                tracing::debug!(%error, member = %id, "a peer's name does not resolve");
            });
        }
    }

    fn keep(
        &self,
        tasks: &mut JoinSet<()>,
        name: &MemberAddress,
        resolve: &Resolve,
        upstream: Arc<Upstream>,
        failed: impl Fn(&std::io::Error) + Send + Sync + 'static,
    ) {
        let (name, interval, alarm) = (name.clone(), resolve.interval, self.state.alarm());
        tasks.spawn(async move {
            let _alarm = alarm;
            let found = |at| log_dial_error(upstream.set_address(at));
            resolve::keep(name, interval, found, failed).await;
        });
    }

    fn watch_health(
        &self,
        tasks: &mut JoinSet<()>,
        replica: &RegistryAddress,
        probes: &Probes,
        epoch: &Arc<Epoch>,
    ) {
        let checks = Checks {
            state: self.state.clone(),
            epoch: epoch.clone(),
            probes: probes.clone(),
        };
        let host = match replica {
            RegistryAddress::Tcp(address) => address.to_string(),
            RegistryAddress::Unix(_) => "localhost".to_owned(),
        };
        let (alarm, check) = (self.state.alarm(), checks.clone());
        tasks.spawn(async move {
            let _alarm = alarm;
            check.watch_replica(host).await;
        });
        for party in epoch.parties() {
            let (alarm, check) = (self.state.alarm(), checks.clone());
            tasks.spawn(async move {
                let _alarm = alarm;
                check.watch_party(party).await;
            });
        }
    }
}

fn log_dial_error(result: Result<(), DialError>) {
    if let Err(error) = result {
        tracing::error!(%error, "an upstream cannot be called");
    }
}
