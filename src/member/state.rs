//! What lives as long as the process: the generation in force, what is counted and logged, and whether
//! this member is on its way out.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::member::generation::Generation;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Certificate, Metrics};
use crate::shard::{Description, Repository};
use crate::upstream::Asker;

/// One member at run time.
pub struct State {
    generation: ArcSwap<Generation>,
    /// Epochs before this one, as long as writes that they admitted may be under way.
    past: Mutex<Vec<Arc<Generation>>>,
    /// Asks peers small questions.
    pub(crate) asker: Asker,
    /// Another one after each start.
    pub(crate) start: String,
    /// What we count.
    pub(crate) metrics: Metrics,
    /// Where requests are logged, if the operator wants it.
    pub(crate) access_log: AccessLog,
    /// Requests under way, but for the peers' questions: what a drain waits for.
    pub(crate) work: TaskTracker,
    /// The certificates in use, and when they expire, in seconds since 1970.
    pub(crate) certificates: ArcSwap<Vec<(Certificate, i64)>>,
    phase: AtomicU8,
    drain_wanted: Notify,
    broken: Arc<Notify>,
}

/// Held by a task that must not end by itself: rings if it panics.
pub(crate) struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

/// How far a member is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It takes work.
    Serving,
    /// It says that it is going, to load balancers and peers, and goes on as before until they have
    /// heard it.
    Leaving,
    /// It takes nothing new and finishes what is in flight.
    Closing,
}

impl State {
    /// A member that serves under this generation.
    pub(crate) fn new(
        generation: Arc<Generation>,
        asker: Asker,
        metrics: Metrics,
        access_log: AccessLog,
    ) -> Self {
        Self {
            generation: ArcSwap::new(generation),
            past: Mutex::default(),
            asker,
            start: crate::http::request_id::RequestId::make()
                .as_str()
                .to_owned(),
            metrics,
            access_log,
            work: TaskTracker::new(),
            certificates: ArcSwap::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            drain_wanted: Notify::new(),
            broken: Arc::default(),
        }
    }

    /// The generation in force. A request takes it once and keeps it to its end, so that its indices
    /// belong to its view.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// The same, once a change that is under way is done.
    pub(crate) fn next_generation(&self) -> Arc<Generation> {
        let _past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.load_full()
    }

    /// Whether an generation before this one may still be writing by another replica.
    pub(crate) fn has_other_replica_writing(&self, generation: &Generation) -> bool {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = past
            .iter()
            .filter(|other| other.replica_address != generation.replica_address);
        others.any(|other| other.is_writing())
    }

    /// Puts another generation in force. Writes that the old one has admitted go on; peers hear of its
    /// view until they are done.
    pub(crate) fn replace_generation(&self, next: Arc<Generation>) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        // In this order: a write that comes too late for `views` to see it sees the retirement.
        old.retire();
        past.push(old);
        past.retain(|generation| generation.is_writing());
        self.generation.store(next);
    }

    /// What a peer has to know of our views: the generation in force, and every other view under which
    /// a write may still be under way.
    pub(crate) fn views(&self) -> (Arc<Generation>, Vec<Description>) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.generation.load_full();
        past.retain(|generation| generation.is_writing());
        let mut told = vec![*current.view.fingerprint()];
        let mut also = Vec::new();
        for generation in past.iter() {
            if !told.contains(generation.view.fingerprint()) {
                told.push(*generation.view.fingerprint());
                also.push(generation.view.describe());
            }
        }
        (current, also)
    }

    /// Whom we take for a repository's owner: by the generation in force, and by every other under which
    /// a write may still be under way.
    pub(crate) fn owners(&self, repository: &Repository<'_>) -> Vec<String> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.generation.load_full();
        let writing = past.iter().filter(|generation| generation.is_writing());
        let views = writing.chain([&current]).map(|generation| &generation.view);
        let owners = views.map(|view| view.members().get(view.owner(repository)).id.to_string());
        owners.collect()
    }

    /// How far this member is on its way out.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            _ => Phase::Closing,
        }
    }

    /// Whether this member is on its way out.
    pub fn is_draining(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// Goes a step further on the way out, never back, and tells the peers at once.
    pub(crate) fn enter_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        self.metrics.draining(self.is_draining());
        self.generation().tell_news();
    }

    /// Asks whoever runs this member to drain it.
    pub(crate) fn ask_for_drain(&self) {
        self.drain_wanted.notify_one();
    }

    /// Waits until somebody asks for a drain.
    pub(crate) async fn drain_asked(&self) {
        self.drain_wanted.notified().await;
    }

    /// For a task that this member cannot be without.
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm(self.broken.clone())
    }

    /// Waits until such a task has panicked.
    pub(crate) async fn has_broken(&self) {
        self.broken.notified().await;
    }
}
