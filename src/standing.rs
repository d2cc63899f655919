//! How one member stands with us: the verdict of the probes, what it last told, and the way in to
//! it. For the local member all of that is about its replica. Outlives reloads, since the party at
//! the other end does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::shard::{Description, Fingerprint, Health, OtherView, View};
use crate::upstream::{Admission, Breaker};

/// One member as we know it. Written by the probes, read by every request.
#[derive(Debug)]
pub struct Standing {
    verdict: AtomicU8,
    draining: AtomicBool,
    told: ArcSwapOption<Told>,
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
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl Standing {
    /// Nothing is known yet.
    pub fn new(breaker: Breaker, places: Admission) -> Arc<Self> {
        Arc::new(Self {
            verdict: AtomicU8::new(UNKNOWN),
            draining: AtomicBool::new(false),
            told: ArcSwapOption::empty(),
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

    /// Records what it told. Says whether that is new.
    pub fn set_told(&self, told: Told) -> bool {
        let new = self.told.load().as_deref() != Some(&told);
        if new {
            self.told.store(Some(Arc::new(told)));
        }
        new
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
        }
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
        let own = ours.describe();
        let also = self.also.iter().filter(|also| **also != own);
        others.extend(also.map(|also| ours.compare(also)));
        others
    }
}
