//! What goes on beside the requests of one generation: checks, look-ups of names, certificates.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::certificates::Certificates;
use crate::config::{Config, Probes, RegistryAddress, Resolve};
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::peers::probe::Checks;
use crate::shard::MemberAddress;
use crate::tls;
use crate::upstream::resolve;
use crate::upstream::{DialError, Upstream};

/// What the work of every generation needs.
pub(super) struct Background {
    pub(super) state: Arc<State>,
    pub(super) certificates: Arc<Certificates>,
}

impl Background {
    /// Begins the work of an generation. It ends when the result is dropped.
    pub(super) fn begin(&self, config: &Config, generation: &Arc<Generation>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.keep_addresses(
            &mut tasks,
            &config.registry.address,
            &config.resolve,
            generation,
        );
        self.watch_health(
            &mut tasks,
            &config.registry.address,
            &config.probes,
            generation,
        );
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
        generation: &Arc<Generation>,
    ) {
        if let RegistryAddress::Tcp(address) = replica {
            let upstream = generation.upstreams.replica().clone();
            self.keep(tasks, address, resolve, upstream, |error| {
                tracing::debug!(%error, "the replica's name does not resolve");
            });
        }
        for party in generation.parties() {
            let member = generation.member_of(party);
            let (id, failed) = (member.id.clone(), generation.clone());
            let upstream = generation.upstream_of(party).clone();
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
        generation: &Arc<Generation>,
    ) {
        let checks = Checks {
            state: self.state.clone(),
            generation: generation.clone(),
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
        for party in generation.parties() {
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
