//! How one member stands with us: the verdict of the probes, and the way in to it. For the local
//! member all of that is about its replica. Outlives reloads, as long as the member stays at its
//! address, since the party at the other end does.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use crate::shard::ownership::Moment;
use crate::shard::{Fingerprint, Health};
use crate::upstream::{Admission, Breaker};

/// One member as we know it. Written by the probes, read by every request.
#[derive(Debug)]
pub struct PeerState {
    verdict: AtomicU8,
    draining: AtomicBool,
    has_told: AtomicBool,
    invites: AtomicBool,
    /// When a request of its came last, in milliseconds and one more; zero: never.
    last_request: AtomicU64,
    /// The beginning of the view that it was last known by.
    view: AtomicU64,
    /// Stops asking while asking is of no use.
    pub(crate) breaker: Arc<Breaker>,
    /// Bounds what we send there at a time.
    pub places: Admission,
    wake: Notify,
    changed: AtomicBool,
    /// Tells of what may let a request go that waits for it.
    news: watch::Sender<()>,
    /// Whether it knows that we are closing.
    told_closing: AtomicBool,
    standing: Mutex<Standing>,
}

/// What the checks have seen, for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Since when the verdict is what it is.
    pub(crate) since: Option<SystemTime>,
    /// When it last answered.
    pub(crate) answered: Option<SystemTime>,
    /// What is wrong with it; nothing if the last check was good.
    pub(crate) why: Option<String>,
}

/// Longest reason that is kept, in characters: a part of it may be somebody else's words.
const REASON: usize = 200;

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl PeerState {
    /// Nothing is known yet.
    pub(crate) fn new(breaker: Breaker, places: Admission) -> Arc<Self> {
        Arc::new(Self {
            verdict: AtomicU8::new(UNKNOWN),
            draining: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
            // Until it tells otherwise: who waits for an invitation learns that soon.
            invites: AtomicBool::new(true),
            last_request: AtomicU64::new(0),
            view: AtomicU64::new(0),
            breaker: Arc::new(breaker),
            places,
            wake: Notify::new(),
            // The first question says that somebody is new here.
            changed: AtomicBool::new(true),
            news: watch::Sender::new(()),
            told_closing: AtomicBool::new(false),
            standing: Mutex::default(),
        })
    }

    /// The probes' verdict alone.
    pub(crate) fn verdict(&self) -> Health {
        match self.verdict.load(Ordering::Relaxed) {
            UP => Health::Up,
            DOWN => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Records the probes' verdict.
    pub(crate) fn set_verdict(&self, health: Health) {
        let value = match health {
            Health::Unknown => UNKNOWN,
            Health::Up | Health::Draining => UP,
            Health::Down => DOWN,
        };
        self.verdict.store(value, Ordering::Relaxed);
    }

    /// Records one check, for people: whether anybody answered, and what is wrong.
    pub(crate) fn note_check(&self, answered: bool, why: Option<&str>, is_new: bool) {
        let now = SystemTime::now();
        let mut standing = self.standing_now();
        if answered {
            standing.answered = Some(now);
        } else if standing.answered.is_none() && standing.since.is_none() {
            // It never answered: silent since it was first asked.
            standing.answered = Some(now);
        }
        if is_new || standing.since.is_none() {
            standing.since = Some(now);
        }
        if standing.why.as_deref() != why {
            standing.why = why.map(|why| why.chars().take(REASON).collect());
        }
    }

    /// What the checks have seen.
    pub(crate) fn standing(&self) -> Standing {
        self.standing_now().clone()
    }

    fn standing_now(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether requests may be sent there now: by the verdict, by the circuit, and by what it told.
    pub(crate) fn health(&self) -> Health {
        let verdict = self.verdict();
        if !self.breaker.admits() {
            return Health::Down;
        }
        verdict.when_draining(self.is_draining())
    }

    /// Records whether it takes new work. Says whether that is new.
    pub(crate) fn set_draining(&self, draining: bool) -> bool {
        self.has_told.store(true, Ordering::Relaxed);
        self.draining.swap(draining, Ordering::Relaxed) != draining
    }

    /// Whether it said that it is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Records whether it invites the bodies of large writes.
    pub(crate) fn set_invites(&self, invites: bool) {
        if self.invites.swap(invites, Ordering::Relaxed) != invites {
            self.note_change();
        }
    }

    /// Whether it invites the bodies of large writes, as far as is known: earlier releases do not.
    pub(crate) fn invites(&self) -> bool {
        self.invites.load(Ordering::Relaxed)
    }

    /// Whether it ever told its state.
    pub(crate) fn has_told(&self) -> bool {
        self.has_told.load(Ordering::Relaxed)
    }

    /// A request of its came, with this view. Says whether that view is not known to be its.
    pub(crate) fn note_request(&self, now: Moment, view: Option<&Fingerprint>) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last_request
            .store(now.saturating_add(1), Ordering::SeqCst);
        view.is_some_and(|view| beginning(view) != self.view.load(Ordering::SeqCst))
    }

    /// When a request of its came last.
    pub(crate) fn last_request(&self) -> Option<Moment> {
        let at = self.last_request.load(Ordering::SeqCst).checked_sub(1)?;
        Some(Duration::from_millis(at))
    }

    /// Records the view that it has told. Says when a request of its came last, rounded up, if that
    /// was with another one: whichever comes at the same time is seen here, or sees this view.
    pub(crate) fn take_view(&self, view: &Fingerprint) -> Option<Moment> {
        let known = self.view.swap(beginning(view), Ordering::SeqCst);
        let differs = known != 0 && known != beginning(view);
        let at = self.last_request().filter(|_| differs)?;
        Some(at.saturating_add(Duration::from_millis(1)))
    }

    /// Whether it was last known by this view.
    pub(crate) fn has_view(&self, view: &Fingerprint) -> bool {
        beginning(view) == self.view.load(Ordering::SeqCst)
    }

    /// Records the view that a request of its has shown.
    pub(crate) fn set_view(&self, view: &Fingerprint) {
        self.view.store(beginning(view), Ordering::SeqCst);
    }

    /// Something has changed that may let a request go that waits for it.
    pub(crate) fn note_change(&self) {
        self.news.send_replace(());
    }

    /// Tells of such changes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Has it asked at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Has it asked at once, and told that we have changed, so that it asks back.
    pub(crate) fn tell_change(&self) {
        self.changed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// A question that told of a change was lost: the next one tells it.
    pub(crate) fn keep_change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody wants it asked.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether the next question tells of a change; asked once for each question.
    pub(crate) fn take_change(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// It was told that we are closing.
    pub(crate) fn set_told_closing(&self) {
        self.told_closing.store(true, Ordering::Relaxed);
    }

    /// Whether it knows that we are closing.
    pub(crate) fn knows_closing(&self) -> bool {
        self.told_closing.load(Ordering::Relaxed)
    }
}

/// Enough of a fingerprint to see that it has changed.
fn beginning(view: &Fingerprint) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *view.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
