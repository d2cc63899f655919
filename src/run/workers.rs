//! The threads that serve requests, and which connection goes to which of them.
//!
//! Each has a runtime of its own, and a connection stays where it begins: what its requests wake is on
//! the same thread, and nothing of it is locked. Everything that is not a request (admin listener,
//! probes, names, certificates, reloads) is on the runtime that the server was started in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};

use super::cpus;
use crate::config::Threads;
use crate::http::{limit, worker};
use crate::observe::metrics::{Listener, Metrics, OpenConnection, WorkerConnections};

/// The threads. They end when this is dropped, and what is still served there with them.
pub(super) struct Workers {
    crew: Crew,
    /// Its end is theirs.
    end: watch::Sender<()>,
    /// Each has a sender as long as it is there. Nothing is sent.
    there: mpsc::Receiver<()>,
}

/// A way to give them work.
#[derive(Clone)]
pub(super) struct Crew(Arc<[Handle]>);

impl Workers {
    /// Starts as many as are wanted. Their limits are timed by this other runtime.
    ///
    /// # Errors
    /// If the system has no thread or no descriptor to give.
    pub(super) fn start(threads: Threads, timers: &Handle) -> io::Result<Self> {
        let count = match threads {
            Threads::Auto => cpus::usable(),
            Threads::Exactly(count) => count,
        };
        let end = watch::Sender::new(());
        let (is_there, there) = mpsc::channel(1);
        let start = |index| {
            let runtime = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()?;
            let (handle, end) = (runtime.handle().clone(), end.subscribe());
            let (is_there, timers) = (is_there.clone(), timers.clone());
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    work(index, runtime, end, timers);
                    drop(is_there);
                })?;
            Ok(handle)
        };
        let handles: io::Result<_> = (0..count.get()).map(start).collect();
        Ok(Self {
            crew: Crew(handles?),
            end,
            there,
        })
    }

    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Ends them, and waits until what was still served there is gone; not for one that is stuck.
    pub(super) async fn end(self, limit: Duration) {
        let Self { end, mut there, .. } = self;
        drop(end);
        let _ = tokio::time::timeout(limit, there.recv()).await;
    }
}

/// What such a thread does.
fn work(index: usize, runtime: Runtime, mut end: watch::Receiver<()>, timers: Handle) {
    worker::enter(index);
    runtime.block_on(async {
        tokio::select! {
            // The runtime that has the timers ends after this.
            biased;
            // Nothing is ever sent: this is an error once the sender is gone.
            _ = end.changed() => {}
            () = limit::watch(timers) => {}
        }
    });
    // Nothing waits for what blocks.
    runtime.shutdown_background();
}

impl Crew {
    /// How many they are: one at least.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }

    /// Who accepts the connections of a listener: they take turns, so that one alone has not all of it.
    pub(super) fn acceptor(&self, listener: Listener) -> &Handle {
        &self.0[listener as usize % self.size()]
    }

    /// Gives the connections of a listener to them.
    ///
    /// # Errors
    /// A metric that cannot be registered; a mistake of ours.
    pub(super) fn handout(
        &self,
        metrics: &Metrics,
        listener: Listener,
    ) -> prometheus::Result<Handout> {
        let workers = self.0.iter().enumerate().map(|(index, handle)| {
            let connections = metrics.worker_connections(listener, index)?;
            Ok((handle.clone(), connections))
        });
        let workers: prometheus::Result<_> = workers.collect();
        Ok(Handout {
            workers: workers?,
            turn: AtomicUsize::new(listener as usize),
        })
    }

    /// Comes back when each of them has found the time to do something: never, as long as one is stuck.
    pub(super) async fn respond(&self) {
        let asked: Vec<_> = self.0.iter().map(|one| one.spawn(async {})).collect();
        for answer in asked {
            // One that has ended is not stuck.
            let _ = answer.await;
        }
    }
}

/// Gives the connections of one listener to the workers, each to one that has the fewest of them.
pub(super) struct Handout {
    workers: Box<[(Handle, WorkerConnections)]>,
    /// Where the next look begins, so that equals take turns.
    turn: AtomicUsize,
}

impl Handout {
    /// Where the next connection goes; it is counted there until the second value is dropped.
    pub(super) fn next(&self) -> Option<(&Handle, OpenConnection)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let open = |index: usize| self.workers[index].1.open();
        let (worker, connections) = &self.workers[fewest(self.workers.len(), turn, open)?];
        Some((worker, connections.begin()))
    }
}

/// The first of those that have the fewest, looking round from `turn` on.
fn fewest(count: usize, turn: usize, open: impl Fn(usize) -> i64) -> Option<usize> {
    let round = (0..count).map(|step| (turn % count + step) % count);
    round.min_by_key(|index| open(*index))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::sync::mpsc as blocking;

    use super::*;

    fn started(count: usize) -> Workers {
        Workers::start(
            Threads::Exactly(count.try_into().unwrap()),
            &Handle::current(),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn each_worker_has_a_thread_and_an_index_of_its_own() {
        let workers = started(3);
        let (found, told) = blocking::channel();
        for handle in workers.crew().0.iter() {
            let found = found.clone();
            handle.spawn(async move {
                let name = thread::current().name().unwrap_or_default().to_owned();
                found.send((worker::index(), name)).unwrap();
            });
        }
        let mut all: Vec<_> = told.iter().take(3).collect();
        all.sort();
        let expected = [0, 1, 2].map(|index| (index, format!("worker-{index}")));
        assert_eq!(all, expected);
        assert_eq!(worker::index(), 0, "this is no worker");
    }

    #[tokio::test]
    async fn one_that_is_stuck_does_not_respond() {
        let workers = started(2);
        let crew = workers.crew();
        crew.respond().await;
        let (release, released) = blocking::channel::<()>();
        let (reached, stuck) = tokio::sync::oneshot::channel();
        crew.0[1].spawn(async move {
            reached.send(()).unwrap();
            let _ = released.recv();
        });
        stuck.await.unwrap();
        let mut response = Box::pin(crew.respond());
        let soon = Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, &mut response).await.is_err());
        release.send(()).unwrap();
        response.await;
    }

    #[tokio::test]
    async fn what_is_still_served_ends_with_the_workers() {
        let workers = started(1);
        let (held, mut ended) = tokio::sync::oneshot::channel::<()>();
        let crew = workers.crew().clone();
        crew.0[0].spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        crew.respond().await;
        workers.end(Duration::from_secs(60)).await;
        let closed = Err(tokio::sync::oneshot::error::TryRecvError::Closed);
        assert_eq!(ended.try_recv(), closed, "dropped, and nothing was sent");
        crew.respond().await;
    }

    #[test]
    fn equals_take_turns() {
        let one_by_one: Vec<_> = (0..6).map(|turn| fewest(3, turn, |_| 0)).collect();
        assert_eq!(one_by_one, [0, 1, 2, 0, 1, 2].map(Some));
        assert_eq!(fewest(3, 1, |index| [0, 5, 5][index]), Some(0));
        assert_eq!(fewest(0, 7, |_| 0), None);
    }

    proptest! {
        /// Whatever comes and goes: who gets the next one has no more than any other.
        #[test]
        fn nobody_gets_more_who_has_more(
            workers in 1..9_usize,
            steps in prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..200),
        ) {
            let mut open = vec![0_i64; workers];
            let mut connections = Vec::new();
            for (turn, closes) in steps.into_iter().enumerate() {
                match closes {
                    Some(which) if !connections.is_empty() => {
                        let gone: usize = connections.swap_remove(which.index(connections.len()));
                        open[gone] -= 1;
                    }
                    _ => {
                        let taken = fewest(workers, turn, |index| open[index]).unwrap();
                        prop_assert!(open.iter().all(|others| open[taken] <= *others));
                        open[taken] += 1;
                        connections.push(taken);
                    }
                }
            }
        }
    }
}
