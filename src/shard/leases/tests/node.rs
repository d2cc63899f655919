//! One machine: a sidecar's process, and the replica beside it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::record::Incarnation;
use super::super::{Clock, Coordinator, Layout, Moment, Planned, Setup, Snapshot, UnderWay};
use crate::shard::members::MemberId;
use crate::shard::repository::Repository;

/// A write, from its admission to the moment when the replica is done with it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) id: u64,
    pub(super) repository: usize,
    pub(super) node: usize,
    /// Which process of that node admitted it, and which replica works on it.
    pub(super) process: u64,
    pub(super) replica: u64,
    pub(super) incarnation: Incarnation,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its body is coming, and the last byte is held back.
    Body,
    /// The replica has all of it.
    Sent,
}

/// What a process knows of the writes under way: repositories, and until when an orphan counts.
#[derive(Clone)]
pub(super) struct Ledger {
    us: MemberId,
    pub(super) entries: Rc<RefCell<Vec<Entry>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) write: u64,
    pub(super) repository: usize,
    pub(super) orphaned_until: Option<Moment>,
}

pub(super) const REPOSITORIES: [&str; 8] = [
    "team/a", "team/b", "team/c", "base/x", "base/y", "base/z", "one", "two",
];

pub(super) fn repository(index: usize) -> Repository<'static> {
    Repository::parse(REPOSITORIES[index]).unwrap()
}

/// As a request for it is planned by this layout.
pub(super) fn planned<'a>(layout: &'a Layout, repository: &Repository<'_>) -> Planned<'a> {
    let view = layout.view();
    let owner = view.owner(repository);
    Planned { view, owner }
}

impl Ledger {
    pub(super) fn of(us: &MemberId) -> Self {
        Self {
            us: us.clone(),
            entries: Rc::default(),
        }
    }
}

impl UnderWay for Ledger {
    fn any(&self, now: Moment) -> bool {
        let entries = self.entries.borrow();
        entries.iter().any(|entry| entry.counts(now))
    }

    fn lost_by(&self, layout: &Layout, now: Moment) -> bool {
        let entries = self.entries.borrow();
        let is_lost = |entry: &Entry| *layout.owner(&repository(entry.repository)).0 != self.us;
        entries
            .iter()
            .any(|entry| entry.counts(now) && is_lost(entry))
    }
}

impl Entry {
    fn counts(&self, now: Moment) -> bool {
        self.orphaned_until.is_none_or(|until| now < until)
    }
}

/// A sidecar's process.
pub(super) struct Process {
    pub(super) number: u64,
    pub(super) coordinator: Coordinator,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) ledger: Ledger,
    /// Works on no view of the store, and takes itself for the owner of everything.
    pub(super) is_static: bool,
    /// Whether each of the others is up, as it was told last.
    pub(super) told: Vec<Option<bool>>,
}

/// A machine.
pub(super) struct Node {
    pub(super) setup: Setup,
    pub(super) process: Option<Process>,
    /// A second process of the same id, by mistake.
    pub(super) clone: Option<Process>,
    pub(super) replica: u64,
    /// It cannot reach the store.
    pub(super) cut_off: bool,
    /// How fast its clock goes, in thousandths, and what the time of day is ahead.
    pub(super) speed: u64,
    pub(super) ahead: Duration,
    pub(super) wall_stands: bool,
    /// When its clocks are corrected, for how long, and by how many thousandths.
    pub(super) slews: Vec<(Duration, Duration, i64)>,
    /// When it stood still, clock and all, and for how long.
    pub(super) lost: Vec<(Duration, Duration)>,
    /// It has gone for good.
    pub(super) gone: bool,
}

impl Node {
    pub(super) fn clock(&self, now: Duration) -> Clock {
        let stood = |(from, lasts): &(Duration, Duration)| now.saturating_sub(*from).min(*lasts);
        let lost: Duration = self.lost.iter().map(stood).sum();
        let slewed = |(from, lasts, by): &(Duration, Duration, i64)| {
            i64::try_from(stood(&(*from, *lasts)).as_micros()).unwrap() * by / 1000
        };
        let slewed: i64 = self.slews.iter().map(slewed).sum();
        let corrected = |time: Duration| {
            let by = Duration::from_micros(slewed.unsigned_abs());
            if slewed < 0 { time - by } else { time + by }
        };
        let at_speed = |time: Duration| time * u32::try_from(self.speed).unwrap() / 1000;
        let raw = at_speed(now.saturating_sub(lost));
        Clock {
            boot: corrected(raw),
            wall: self.ahead
                + match self.wall_stands {
                    true => corrected(raw),
                    false => corrected(at_speed(now)),
                },
            raw,
        }
    }
}
