//! Who may write, at work in this process: the rules of [`crate::shard::ownership`] behind a lock for
//! events, a snapshot for requests, and the clock. Where members hold leases, those decide in their
//! place, and what is under way is still counted here.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use crate::member::leases::{LastLook, Leases};
use crate::member::state_folder::StateFolder;
use crate::shard::leases::record::Incarnation;
use crate::shard::leases::{self, Planned};
use crate::shard::ownership::{
    Effect, Event, Ledger, Moment, Ownership, ProcessId, ReplicaId, Rules, Snapshot, Verdict, Wait,
    WriteEnd, WriteId,
};
use crate::shard::view::View;
use crate::shard::{MemberId, Repository};

/// How old what is kept may be: it tells when this process was last there.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// Decides for every write. Requests never take the lock.
#[derive(Debug)]
pub(crate) struct Writes {
    rules: Mutex<Ownership>,
    snapshot: ArcSwap<Snapshot>,
    started: Instant,
    /// When this process was last seen to be running, in milliseconds since the start.
    awake: AtomicU64,
    /// What is left to the process after this one, and when that was last kept.
    folder: Option<(StateFolder, MemberId)>,
    kept: Mutex<Moment>,
    /// What decides instead.
    leases: Option<Arc<Leases>>,
}

/// What becomes of a write.
pub(crate) enum Admission {
    /// It may be sent.
    Admitted(WriteGuard),
    /// Its generation is over: the next one decides.
    Superseded,
    /// It waits, or is refused if it may not. With what says so.
    Hold(Wait, Arc<Snapshot>),
    /// The same, by a lease.
    HoldForLease(leases::Wait),
    /// Waiting is of no use.
    Refuse(Wait),
}

/// One write that was admitted; counted out when dropped.
pub(crate) struct WriteGuard {
    ledger: Arc<Ledger>,
    write: WriteId,
    sent: bool,
    answered: bool,
    /// Where it is written by a lease: to whom it was admitted. Then it is sent with its last byte.
    incarnation: Option<Incarnation>,
    started: Instant,
    aftermath: Duration,
}

impl Writes {
    /// A process that has just started.
    pub(crate) fn new(
        process: ProcessId,
        view: Arc<View>,
        replica: ReplicaId,
        rules: Rules,
        folder: Option<StateFolder>,
        leases: Option<Arc<Leases>>,
    ) -> Self {
        let us = view.members().get(view.members().local()).id.clone();
        let memory = folder.as_ref().and_then(|folder| folder.load(us.as_str()));
        let (rules, snapshot) =
            Ownership::new(process, view, replica, rules, memory.as_ref(), Moment::ZERO);
        let writes = Self {
            folder: folder.map(|folder| (folder, us)),
            kept: Mutex::default(),
            rules: Mutex::new(rules),
            snapshot: ArcSwap::new(snapshot),
            started: Instant::now(),
            awake: AtomicU64::new(0),
            leases,
        };
        writes.keep(&writes.rules(), true);
        writes
    }

    /// Leaves to the process after this one what it has to know.
    fn keep(&self, rules: &Ownership, durable: bool) {
        let Some((folder, us)) = &self.folder else {
            return;
        };
        let now = self.now();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = now;
        if let Err(error) = folder.save(us.as_str(), &rules.memory(now), durable) {
            tracing::error!(%error, "what this member knows cannot be kept in cluster.state: after its next start, \
                writes wait for timeouts.aftermath");
        }
    }

    fn is_stale(&self) -> bool {
        let kept = *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.now().saturating_sub(kept) > KEPT_FOR
    }

    /// The time, as the rules count it.
    pub(crate) fn now(&self) -> Moment {
        self.started.elapsed()
    }

    /// What the rules say at the moment.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The rules themselves, for what is not on a request's way.
    pub(crate) fn rules(&self) -> MutexGuard<'_, Ownership> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases, where members hold them.
    pub(crate) fn leases(&self) -> Option<&Arc<Leases>> {
        self.leases.as_ref()
    }

    /// Whether writes are taken, as far as it is known what others may be writing.
    pub(crate) fn are_ready(&self) -> bool {
        match &self.leases {
            Some(leases) => leases.is_ready(),
            None => self.snapshot.load().is_settled(),
        }
    }

    /// Whether the replica may be at a write of this process.
    pub(crate) fn are_under_way(&self) -> bool {
        let now = self.now();
        self.ledgers().iter().any(|ledger| ledger.is_writing(now))
    }

    /// What is under way is counted in these.
    pub(crate) fn ledgers(&self) -> Vec<Arc<Ledger>> {
        self.rules().ledgers().cloned().collect()
    }

    /// Takes an event and puts what follows into force. Returns what is left to be done; `and_then`
    /// runs before anybody else's event.
    pub(crate) fn step(&self, event: Event, and_then: impl FnOnce()) -> Vec<Effect> {
        // Another view, or another replica, is kept before anything is written under it.
        let durable = matches!(event, Event::ViewTaken { .. } | Event::ReplicaMoved { .. });
        let mut rules = self.rules();
        let now = self.now();
        let effects = rules.step(event, now);
        if durable || self.is_stale() {
            self.keep(&rules, durable);
        }
        for effect in &effects {
            if let Effect::Publish(snapshot) = effect {
                self.snapshot.store(snapshot.clone());
            }
        }
        let awake = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.awake.store(awake, Ordering::Release);
        and_then();
        effects
    }

    /// Whether a write to a repository of ours may be sent now.
    pub(crate) fn admit(
        &self,
        generation: u64,
        repository: &Repository<'_>,
        planned: Option<Planned<'_>>,
        aftermath: Duration,
    ) -> Admission {
        let before = self.snapshot.load();
        if before.generation != generation {
            return Admission::Superseded;
        }
        // Counted in first and judged second: see `Ledger`.
        let Some(write) = before
            .ledger
            .begin(&repository.as_str().into(), self.leases.is_some())
        else {
            return Admission::Superseded;
        };
        let mut guard = WriteGuard {
            ledger: before.ledger.clone(),
            write,
            sent: false,
            answered: false,
            incarnation: None,
            started: self.started,
            aftermath,
        };
        let snapshot = self.snapshot.load();
        if !Arc::ptr_eq(&snapshot.ledger, &guard.ledger) {
            return Admission::Superseded;
        }
        if let Some(leases) = &self.leases {
            if snapshot.is_written_elsewhere(repository, || self.now()) {
                return Admission::Hold(Wait::OwnReplica, Guard::into_inner(snapshot));
            }
            return match leases.admit(repository, planned) {
                Ok(incarnation) => {
                    guard.incarnation = Some(incarnation);
                    Admission::Admitted(guard)
                }
                Err(wait) => Admission::HoldForLease(wait),
            };
        }
        let awake = Duration::from_millis(self.awake.load(Ordering::Acquire));
        match snapshot.may_write(repository, self.now(), awake) {
            Verdict::Admit => Admission::Admitted(guard),
            Verdict::Hold(wait) => Admission::Hold(wait, Guard::into_inner(snapshot)),
            Verdict::Refuse(wait) => Admission::Refuse(wait),
        }
    }
}

impl WriteGuard {
    /// The replica that it may be sent to, and no other.
    pub(crate) fn replica(&self) -> &ReplicaId {
        self.ledger.replica()
    }

    /// The replica is about to be sent it.
    pub(crate) fn mark_sent(&mut self) {
        self.sent = true;
    }

    /// What is asked before its last byte, where it is written by a lease.
    pub(crate) fn last_look<'l>(&self, leases: Option<&'l Arc<Leases>>) -> Option<LastLook<'l>> {
        let (leases, incarnation) = (leases?, self.incarnation?);
        let ledger = self.ledger.clone();
        Some(LastLook::new(leases, ledger, self.write, incarnation))
    }

    /// Waits until it must not go to the replica any more. For ever where nobody has leases.
    pub(crate) fn cut(&self) -> impl Future<Output = ()> {
        poll_fn(|context| self.ledger.poll_cut(self.write, context))
    }

    /// Whether it must not go to the replica any more: its repository has gone to another, or its lease is over.
    pub(crate) fn is_cut(&self) -> bool {
        self.ledger.is_cut(self.write)
    }

    /// The replica has answered: it works on it no longer.
    pub(crate) fn mark_answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        let end = if self.sent && !self.answered {
            let until = self.started.elapsed().saturating_add(self.aftermath);
            WriteEnd::Orphaned { until }
        } else {
            WriteEnd::Done
        };
        self.ledger.end(self.write, end);
    }
}
