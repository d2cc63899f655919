//! What goes on beside the requests of one generation: checks, look-ups of names, certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
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
/// How often idle connections to upstreams are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// What the work of every generation needs.
pub(super) struct Background {
    state: Arc<State>,
    certificates: Arc<Certificates>,
}

impl Background {
    pub(super) fn new(state: &Arc<State>, certificates: &Arc<Certificates>) -> Self {
        Self {
            state: state.clone(),
            certificates: certificates.clone(),
        }
    }

    /// Does the work of the generation in force, and of each that follows.
    pub(super) async fn follow(self) {
        let generations = self.state.generations();
        one_at_a_time(generations, |generation| {
            let tasks = self.begin(generation);
            // Only now: a question of the generation before that ended half-way would have taken the
            // news with it.
            generation.tell_change();
            tasks
        })
        .await;
    }

    /// Begins the work of a generation. It ends when the result is dropped.
    fn begin(&self, generation: &Arc<Generation>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        self.keep_addresses(&mut tasks, generation);
        self.tick(&mut tasks, generation.aftermath());
        self.watch_health(&mut tasks, generation);
        self.sweep(&mut tasks);
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

    fn sweep(&self, tasks: &mut JoinSet<()>) {
        let (trust, alarm) = (self.certificates.trust().clone(), self.state.alarm());
        tasks.spawn(async move {
            let _alarm = alarm;
            loop {
                tokio::time::sleep(SWEEP).await;
                trust.sweep();
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
        let host = generation.replica_address.host();
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

/// Does the work of each value that a channel brings, until the next one or its end.
async fn one_at_a_time<T: Clone>(
    mut values: watch::Receiver<T>,
    begin: impl Fn(&T) -> JoinSet<()>,
) {
    loop {
        let value = values.borrow_and_update().clone();
        let mut work = begin(&value);
        let goes_on = values.changed().await.is_ok();
        // Waited for: a task that is just at work ends with its next pause, and nobody is to be asked,
        // nor an address to be set, for a value that has had its day.
        work.shutdown().await;
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// Counts the tasks that are there.
    struct Here(Arc<AtomicUsize>);

    impl Here {
        fn new(count: &Arc<AtomicUsize>) -> Self {
            count.fetch_add(1, Ordering::SeqCst);
            Self(count.clone())
        }
    }

    impl Drop for Here {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_work_before_has_ended_when_the_next_begins() {
        const ROUNDS: usize = 5;
        let count = Arc::new(AtomicUsize::new(0));
        let left_over = AtomicUsize::new(0);
        let (at_work, mut is_at_work) = tokio::sync::mpsc::unbounded_channel();
        let (values, received) = watch::channel(0);
        let working = one_at_a_time(received, |_| {
            left_over.fetch_add(count.load(Ordering::SeqCst), Ordering::SeqCst);
            let mut tasks = JoinSet::new();
            let (here, at_work) = (Here::new(&count), at_work.clone());
            tasks.spawn(async move {
                let _here = here;
                // In the middle of a step, where an abort cannot reach it.
                at_work.send(()).unwrap();
                thread::sleep(Duration::from_millis(20));
                std::future::pending::<()>().await;
            });
            tasks
        });
        let changing = async {
            for round in 1..=ROUNDS {
                is_at_work.recv().await.unwrap();
                values.send(round).unwrap();
            }
            is_at_work.recv().await.unwrap();
            drop(values);
        };
        tokio::join!(working, changing);
        assert_eq!(left_over.into_inner(), 0, "still there when the next began");
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
