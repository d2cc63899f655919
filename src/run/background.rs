//! What goes on beside the requests of one generation: checks, look-ups of names, certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::certificates::Certificates;
use crate::config::RegistryAddress;
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::peers::probe::Checks;
use crate::shard::MemberAddress;
use crate::shard::ownership::Event;
use crate::tls;
use crate::upstream::resolve;

/// How often the rules of ownership look at the clock: so many times in `timeouts.aftermath`,
/// within these bounds.
const TICKS: u32 = 16;
const SHORTEST_TICK: Duration = Duration::from_millis(20);
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// What the work of every generation needs.
pub(super) struct Background {
    pub(super) state: Arc<State>,
    pub(super) certificates: Arc<Certificates>,
}

impl Background {
    /// Does the work of the generation in force, and of each that follows.
    pub(super) async fn follow(self) {
        let mut generations = self.state.generations();
        loop {
            let generation = generations.borrow_and_update().clone();
            // Ends with the next generation: nobody is asked twice.
            let _tasks = self.begin(&generation);
            // Only now: a question of the generation before that ended half-way would have taken the
            // news with it.
            generation.tell_change();
            if generations.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins the work of a generation. It ends when the result is dropped.
    fn begin(&self, generation: &Arc<Generation>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.keep_addresses(&mut tasks, generation);
        self.tick(&mut tasks, generation.aftermath());
        self.watch_health(&mut tasks, generation);
        let (state, certificates) = (self.state.clone(), self.certificates.clone());
        let alarm = self.state.alarm();
        let (files, in_use) = (generation.tls_files.clone(), certificates.in_use());
        tasks.spawn(async move {
            let _alarm = alarm;
            tls::watch(files, in_use, tls::RELOAD_INTERVAL, |change| {
                certificates.take(&state, change);
            })
            .await;
        });
        tasks
    }

    /// Has the rules of ownership see the time pass.
    fn tick(&self, tasks: &mut JoinSet<()>, aftermath: Duration) {
        let (state, alarm) = (self.state.clone(), self.state.alarm());
        let mut ticks =
            tokio::time::interval((aftermath / TICKS).clamp(SHORTEST_TICK, LONGEST_TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tasks.spawn(async move {
            let _alarm = alarm;
            loop {
                ticks.tick().await;
                state.step(Event::Tick);
            }
        });
    }

    fn keep_addresses(&self, tasks: &mut JoinSet<()>, generation: &Arc<Generation>) {
        let interval = generation.resolve.interval;
        if let RegistryAddress::Tcp(address) = &generation.replica_address {
            let (state, generation) = (self.state.clone(), generation.clone());
            let found =
                move |addresses| match generation.upstreams.replica().take_addresses(addresses) {
                    Some(at) => state.move_replica(&generation, at),
                    None => generation.replica().wake(),
                };
            self.keep(tasks, address, interval, found, |error| {
                tracing::debug!(%error, "the replica's name does not resolve");
            });
        }
        for party in generation.parties() {
            let member = generation.member_of(party);
            let (id, failed) = (member.id.clone(), generation.clone());
            let found_by = generation.clone();
            let found = move |addresses| match found_by.upstream_of(party).take_addresses(addresses)
            {
                Some(at) => found_by.use_address(party, at),
                None => found_by.peer_state_of(party).wake(),
            };
            self.keep(tasks, &member.address, interval, found, move |error| {
                failed.lookup_failed(party);
                tracing::debug!(%error, peer = %id, "a peer's name does not resolve");
            });
        }
    }

    fn keep(
        &self,
        tasks: &mut JoinSet<()>,
        name: &MemberAddress,
        interval: Duration,
        found: impl Fn(Vec<SocketAddr>) + Send + Sync + 'static,
        failed: impl Fn(&std::io::Error) + Send + Sync + 'static,
    ) {
        let (name, alarm) = (name.clone(), self.state.alarm());
        tasks.spawn(async move {
            let _alarm = alarm;
            resolve::keep(name, interval, found, failed).await;
        });
    }

    fn watch_health(&self, tasks: &mut JoinSet<()>, generation: &Arc<Generation>) {
        let checks = Checks::new(self.state.clone(), generation.clone());
        let host = match &generation.replica_address {
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
