//! What lives as long as the process: the generation in force, what is counted and logged, and whether
//! this member is on its way out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::http::transfers::Transfers;
use crate::http::via::Via;
use crate::member::generation::Generation;
use crate::member::leases::Leases;
use crate::member::replica::replica_id;
use crate::member::spaced::{Seldom, Spaced};
use crate::member::state_folder::StateFolder;
use crate::member::writes::Writes;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Certificate, Metrics};
use crate::observe::recent::ChangeKind;
use crate::observe::traces::Tracer;
use crate::shard::ownership::{Effect, Event, Holds, Note, ProcessId};
use crate::shard::{OtherView, View};

/// One member at run time.
pub struct State {
    generation: ArcSwap<Generation>,
    /// The same, for those who follow each change.
    generations: watch::Sender<Arc<Generation>>,
    /// Who may write now.
    pub(crate) writes: Writes,
    /// Another one after each start.
    pub(crate) process: ProcessId,
    /// How a request that comes back to this process is known.
    pub(crate) via: Via,
    /// What we count.
    pub(crate) metrics: Metrics,
    /// Where requests are logged, if the operator wants it.
    pub(crate) access_log: AccessLog,
    /// Records spans, if the operator wants them.
    pub(crate) tracer: Option<Tracer>,
    /// Requests under way, but for the peers' questions: what a drain waits for.
    pub(crate) work: TaskTracker,
    /// Bodies on their way between clients and upstreams.
    pub(crate) transfers: Arc<Transfers>,
    /// The certificates in use, and when they expire, in seconds since 1970.
    pub(crate) certificates: ArcSwap<Vec<(Certificate, i64)>>,
    /// Tells of other rules of who may write, which may let a held request go.
    changes: watch::Sender<()>,
    /// Requests that wait for their owner.
    held: AtomicUsize,
    /// Has held requests planned one at a time: a change may concern thousands of them.
    pub(crate) turns: Semaphore,
    /// When requests that have waited in vain are refused.
    pub(crate) refusals: Spaced,
    /// When a piece of a body is read away that nobody wants.
    pub(crate) pieces: Spaced,
    /// When it was last said that a TLS client came to a plain listener.
    pub(crate) tls_hello: Seldom,
    phase: AtomicU8,
    leaves: AtomicBool,
    drain_wanted: Notify,
    broken: Arc<Notify>,
}

/// The place of a request that waits for its owner; given back when dropped.
pub(crate) struct HeldPlace(Arc<State>);

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
    /// It takes no new client connection, and finishes what is in flight. Peers are told to send
    /// nothing more, and are served until they know.
    Closing,
    /// It takes nothing new from peers either.
    Closed,
}

impl State {
    /// A member that serves under this generation.
    pub(crate) fn new(
        generation: Arc<Generation>,
        metrics: Metrics,
        access_log: AccessLog,
        tracer: Option<Tracer>,
        folder: Option<StateFolder>,
        leases: Option<Arc<Leases>>,
    ) -> Self {
        let process = ProcessId::new(crate::http::request_id::RequestId::make().as_str());
        let (view, replica) = (generation.view.clone(), generation.replica_id());
        let name = &view.members().get(view.members().local()).id;
        let via = Via::new(name.as_str());
        Self {
            via,
            writes: Writes::new(
                process.clone(),
                view,
                replica,
                generation.rules(),
                folder,
                leases,
            ),
            transfers: Transfers::new(generation.limits.transfers),
            generations: watch::Sender::new(generation.clone()),
            generation: ArcSwap::new(generation),
            process,
            metrics,
            access_log,
            tracer,
            work: TaskTracker::new(),
            certificates: ArcSwap::default(),
            changes: watch::Sender::new(()),
            held: AtomicUsize::new(0),
            turns: Semaphore::new(1),
            refusals: Spaced::default(),
            pieces: Spaced::default(),
            tls_hello: Seldom::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            leaves: AtomicBool::new(false),
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
        let _rules = self.writes.rules();
        self.generation.load_full()
    }

    /// Puts another generation in force. Writes that the old one has admitted go on; peers hear of
    /// its view until they are done.
    pub(crate) fn replace_generation(&self, next: Arc<Generation>) {
        let event = Event::ViewTaken {
            generation: next.number,
            view: next.view.clone(),
            replica: next.replica_id(),
            rules: next.rules(),
        };
        let before = self.generation();
        let effects = self
            .writes
            .step(event, || self.generation.store(next.clone()));
        self.carry_out(effects);
        self.transfers.set_limit(next.limits.transfers);
        before.note_change();
        self.generations.send_replace(next.clone());
        // Last: peers are being asked by now, and writes wait for that.
        self.keep_change(&before.view, &next.view);
    }

    /// Keeps another view for people.
    fn keep_change(&self, before: &View, next: &View) {
        if before.fingerprint() != next.fingerprint() {
            let text = format!("another view: {}", before.difference(&OtherView::of(next)));
            self.metrics.recent.changed(ChangeKind::View, text);
        }
    }

    /// Each generation from the one in force on.
    pub(crate) fn generations(&self) -> watch::Receiver<Arc<Generation>> {
        self.generations.subscribe()
    }

    /// Sends what is for the replica to this address from now on. Each address is another replica:
    /// what was admitted for the one before goes to that one, or waits.
    pub(crate) fn move_replica(&self, generation: &Generation, at: SocketAddr) {
        let event = Event::ReplicaMoved {
            generation: generation.number,
            replica: replica_id(&generation.replica_address, Some(at)),
        };
        let upstream = generation.upstreams.replica();
        let effects = self.writes.step(event, || upstream.use_address(at));
        self.carry_out(effects);
        generation.replica().note_change();
    }

    /// Takes what has happened, as far as it bears on who may write.
    pub(crate) fn step(&self, event: Event) {
        let effects = self.writes.step(event, || ());
        self.carry_out(effects);
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let generation = self.generation();
        for effect in effects {
            match effect {
                Effect::Publish(_) => {
                    // Under the lock: of two changes at once the later one has the last word.
                    let _rules = self.writes.rules();
                    self.rules_changed();
                }
                Effect::Ask(party) => {
                    if let Some(party) = generation.party_of(&party) {
                        generation.peer_state_of(party).wake();
                    }
                }
                Effect::TellAll => generation.tell_change(),
                // Views of a store differ for moments, and its leases say who may write.
                Effect::Note(_) if self.writes.leases().is_some() => {}
                Effect::Note(note) => log_note(&note),
            }
        }
    }

    /// What waits for other rules of who may write looks again.
    pub(crate) fn rules_changed(&self) {
        self.metrics.writes_ready(self.writes.are_ready());
        self.changes.send_replace(());
    }

    /// Tells of other rules of who may write.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Requests that wait for their owner.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A place for a request that waits for its owner, if fewer than `limit` wait.
    pub(crate) fn hold(self: &Arc<Self>, limit: usize) -> Option<HeldPlace> {
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        // Made before the look, so that it is given back whatever comes.
        let place = HeldPlace(self.clone());
        (before < limit).then_some(place)
    }

    /// How far this member is on its way out.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            2 => Phase::Closing,
            _ => Phase::Closed,
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
        self.generation().tell_change();
    }

    /// Once this member drains, it leaves the fleet and does not come back.
    pub(crate) fn leave_for_good(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(crate) fn leaves_for_good(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
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

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

fn log_note(note: &Note) {
    match note {
        Note::Complete => {
            tracing::info!("it is known what other members may be writing: writes are taken")
        }
        Note::WasAway(time) => tracing::warn!(
            seconds = time.as_secs_f64(),
            "this process was stopped for long, and others may have taken it for dead: writes wait until they are asked again"
        ),
        Note::Differs {
            member,
            difference,
            earlier: true,
        } => tracing::info!(peer = %member, %difference,
            "a peer has taken our view and finishes writes under an earlier one: writes to those repositories wait"),
        Note::Differs {
            member,
            difference,
            earlier: false,
        } => tracing::error!(peer = %member, %difference,
            "a peer has another view: writes to the repositories on which they disagree wait, then are refused; \
             give all members the same configuration"),
        Note::Agrees(member) => tracing::info!(peer = %member, "a peer agrees with our view now"),
        Note::Gone(member) => {
            tracing::info!(peer = %member, "a member that was taken off the list is gone")
        }
        Note::Closed {
            member,
            reason,
            holds: Holds::Everything,
        } => tracing::error!(peer = %member, %reason,
            "cannot read the peer's view, and nobody else knows it: no repository is written here until it can be \
             asked, or nobody is there"),
        Note::Closed {
            member,
            reason,
            holds: Holds::LastKnown,
        } => tracing::error!(peer = %member, %reason,
            "cannot read the peer's view: holding writes that it could own by the view that is last known"),
    }
}
