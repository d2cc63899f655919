//! How one member stands with us: the verdict of the probes, what it last told, and the way in to
//! it. For the local member all of that is about its replica. Outlives reloads, as long as the
//! member stays at its address, since the party at the other end does.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::shard::{Description, Fingerprint, Health, OtherView, View};
use crate::upstream::{Admission, Breaker};

/// One member as we know it. Written by the probes, read by every request.
#[derive(Debug)]
pub struct PeerState {
    verdict: AtomicU8,
    draining: AtomicBool,
    told: ArcSwapOption<Told>,
    /// What an earlier process there told, and until when its replica may still act on it.
    outlived: Mutex<Vec<(Description, Instant)>>,
    /// When it last answered.
    heard: Mutex<Option<Instant>>,
    /// Stops asking while asking is of no use.
    pub breaker: Arc<Breaker>,
    /// Bounds what we send there at a time.
    pub places: Admission,
    wake: Notify,
    news: AtomicBool,
}

/// What a peer last told of its views.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The view in force there; none if nothing is known of it but that it is another.
    pub view: Option<Fingerprint>,
    /// The same in words; none if it did not say.
    pub description: Option<Description>,
    /// Views under which it still writes.
    pub also: Vec<Description>,
    /// Whether it takes us for a member.
    pub lists_us: bool,
    /// Which process said so; empty if it did not say.
    pub start: String,
}

/// Views of one member that are looked at, beside the one in force there.
const VIEWS: usize = 16;

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl PeerState {
    /// Nothing is known yet.
    pub fn new(breaker: Breaker, places: Admission) -> Arc<Self> {
        Arc::new(Self {
            verdict: AtomicU8::new(UNKNOWN),
            draining: AtomicBool::new(false),
            told: ArcSwapOption::empty(),
            outlived: Mutex::default(),
            heard: Mutex::default(),
            breaker: Arc::new(breaker),
            places,
            wake: Notify::new(),
            // The first question says that somebody is new here.
            news: AtomicBool::new(true),
        })
    }

    /// The probes' verdict alone.
    pub fn verdict(&self) -> Health {
        match self.verdict.load(Ordering::Relaxed) {
            UP => Health::Up,
            DOWN => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Records the probes' verdict.
    pub fn set_verdict(&self, health: Health) {
        let value = match health {
            Health::Unknown => UNKNOWN,
            Health::Up | Health::Draining => UP,
            Health::Down => DOWN,
        };
        self.verdict.store(value, Ordering::Relaxed);
    }

    /// Whether requests may be sent there now: by the verdict, by the circuit, and by what it told.
    pub fn health(&self) -> Health {
        let verdict = self.verdict();
        if !self.breaker.admits() {
            return Health::Down;
        }
        verdict.when_draining(self.is_draining())
    }

    /// Records whether it takes new work. Says whether that is new.
    pub fn set_draining(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::Relaxed) != draining
    }

    /// Whether it said that it is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What it last told of its views.
    pub fn told(&self) -> Option<Arc<Told>> {
        self.told.load_full()
    }

    /// Records what it told. Says whether that is new. If another process answers than before, what
    /// that one told counts for `aftermath` longer: it may have died, but its replica has not.
    pub fn set_told(&self, told: Told, aftermath: Duration) -> bool {
        let before = self.told.load_full();
        if before.as_deref() == Some(&told) {
            return false;
        }
        if let Some(before) = before.filter(|before| before.start != told.start) {
            let until = Instant::now() + aftermath;
            let mut outlived = self.outlived.lock().unwrap_or_else(PoisonError::into_inner);
            for view in before.views() {
                outlived.retain(|(known, _)| known != view);
                outlived.push((view.clone(), until));
            }
        }
        self.told.store(Some(Arc::new(told)));
        true
    }

    /// The views that count with this member and are not ours.
    pub fn others(&self, ours: &View) -> Vec<OtherView> {
        let told = self.told();
        let mut others = told
            .as_ref()
            .map_or_else(Vec::new, |told| told.others(ours));
        let mut outlived = self.outlived.lock().unwrap_or_else(PoisonError::into_inner);
        outlived.retain(|(_, until)| Instant::now() < *until);
        if outlived.is_empty() {
            return others;
        }
        let own = ours.describe();
        let still_told = |view: &Description| {
            told.as_ref()
                .is_some_and(|told| told.views().any(|now| now == view))
        };
        let views = outlived.iter().map(|(view, _)| view);
        // Who is there now knows nothing of what its predecessor was writing, so it cannot be asked.
        let past = views.filter(|view| **view != own && !still_told(view));
        others.extend(past.map(|view| ours.compare(view).of_the_past()));
        others
    }

    /// Knows what another peer_state knows of this member's views.
    pub fn inherit(&self, other: &Self) {
        self.told.store(other.told.load_full());
        let outlived = other
            .outlived
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *self.outlived.lock().unwrap_or_else(PoisonError::into_inner) = outlived.clone();
    }

    /// Records that it answered, whatever.
    pub fn is_heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// For how long it has not answered; none if it never did.
    pub fn silence(&self) -> Option<Duration> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|heard| heard.elapsed())
    }

    /// Has it asked at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Has it asked at once, and told that we have changed, so that it asks back.
    pub fn tell_news(&self) {
        self.news.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// A question that brought news was lost: the next one brings it.
    pub fn keep_news(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody wants it asked.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether the next question brings news; asked once for each question.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }
}

impl Told {
    /// It takes us for no member.
    pub fn turned_away() -> Self {
        Self {
            lists_us: false,
            ..Self::unreadable()
        }
    }

    /// What it said cannot be read.
    pub fn unreadable() -> Self {
        Self {
            view: None,
            description: None,
            also: Vec::new(),
            lists_us: true,
            start: String::new(),
        }
    }

    /// All that it described.
    fn views(&self) -> impl Iterator<Item = &Description> {
        self.description.iter().chain(&self.also)
    }

    /// The views among these that are not ours.
    pub fn others(&self, ours: &View) -> Vec<OtherView> {
        let mut others = Vec::new();
        match (&self.view, &self.description) {
            (None, _) if !self.lists_us => others.push(OtherView::without_us()),
            (Some(view), _) if view == ours.fingerprint() => {}
            (Some(_), Some(told)) => others.push(ours.compare(told)),
            (Some(_) | None, None) | (None, Some(_)) => others.push(OtherView::unknown()),
        }
        if self.also.len() > VIEWS {
            others.push(OtherView::unknown());
        }
        if !self.also.is_empty() {
            let own = ours.describe();
            let also = self.also.iter().take(VIEWS).filter(|also| **also != own);
            others.extend(also.map(|also| ours.compare(also)));
        }
        others
    }
}
