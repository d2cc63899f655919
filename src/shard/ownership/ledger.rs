//! Which writes one generation has admitted and not seen the end of.
//!
//! The order is what matters: a write is counted in first and judged second. Whoever retires the
//! ledger and looks at it afterwards either finds the write or has stopped it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claim::{Moment, ReplicaId};
use super::omit::{Rule, omits};
use crate::shard::view::OtherView;

/// The writes of one generation to one replica. Only writes lock it, until it is retired.
#[derive(Debug)]
pub struct Ledger {
    pub(super) view: Arc<OtherView>,
    pub(super) replica: ReplicaId,
    entries: Mutex<Entries>,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    retired: bool,
    next: u64,
    under_way: HashMap<u64, Arc<str>>,
    orphans: Vec<(Arc<str>, Moment)>,
}

/// One write of a ledger.
#[derive(Debug, PartialEq, Eq)]
pub struct WriteId(u64);

/// How a write has ended, as far as can be seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteEnd {
    /// The replica was sent none of it, or has answered: it does not work on it.
    Done,
    /// It was sent, and nobody waits for the answer any more. Registries finish storage calls for
    /// a client that is gone, so it counts until then.
    Orphaned {
        /// When the replica is done with it at the latest.
        until: Moment,
    },
}

/// What is named of writes under way: so many repositories, else the whole view.
const NAMED: usize = 64;

impl Ledger {
    pub(super) fn new(view: Arc<OtherView>, replica: ReplicaId) -> Arc<Self> {
        Arc::new(Self {
            view,
            replica,
            entries: Mutex::default(),
        })
    }

    /// The replica that its writes go to.
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// Counts a write in; none if the generation is over.
    pub fn begin(&self, repository: &Arc<str>) -> Option<WriteId> {
        let mut entries = self.entries();
        if entries.retired {
            return None;
        }
        let id = entries.next;
        entries.next += 1;
        entries.under_way.insert(id, repository.clone());
        Some(WriteId(id))
    }

    /// Counts it out.
    pub fn end(&self, write: &WriteId, end: WriteEnd) {
        let mut entries = self.entries();
        let Some(repository) = entries.under_way.remove(&write.0) else {
            return;
        };
        if let WriteEnd::Orphaned { until } = end
            && !omits(Rule::CountOrphans)
        {
            entries.orphans.retain(|(known, _)| *known != repository);
            entries.orphans.push((repository, until));
        }
    }

    /// Admits no more.
    pub(super) fn retire(&self) {
        self.entries().retired = true;
    }

    /// Whether a write of it may be under way.
    pub fn is_writing(&self, now: Moment) -> bool {
        let entries = self.entries();
        !entries.under_way.is_empty() || entries.orphans.iter().any(|(_, until)| now < *until)
    }

    /// Whether a write to this repository may be under way.
    pub(super) fn writes(&self, repository: &str, now: Moment) -> bool {
        let entries = self.entries();
        let mut under_way = entries.under_way.values();
        let mut orphans = entries.orphans.iter();
        under_way.any(|known| **known == *repository)
            || orphans.any(|(known, until)| **known == *repository && now < *until)
    }

    /// The repositories with writes under way; none if they are too many to be named.
    pub(super) fn repositories(&self, now: Moment) -> Option<Vec<Box<str>>> {
        let entries = self.entries();
        let orphans = entries.orphans.iter().filter(|(_, until)| now < *until);
        let orphans = orphans.map(|(repository, _)| repository);
        let mut names: Vec<Box<str>> = Vec::new();
        for repository in entries.under_way.values().chain(orphans) {
            if !names.iter().any(|known| **known == **repository) {
                if names.len() == NAMED {
                    return None;
                }
                names.push(repository.as_ref().into());
            }
        }
        names.sort_unstable();
        Some(names)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Ledger {
    /// The same once more, to go on from in another way.
    pub(super) fn copy(&self) -> Arc<Self> {
        let entries = self.entries().clone();
        Arc::new(Self {
            view: self.view.clone(),
            replica: self.replica.clone(),
            entries: Mutex::new(entries),
        })
    }

    /// Whether it is retired, how many writes are under way, and when the orphans end.
    pub(super) fn counts(&self, now: Moment) -> (bool, usize, Vec<Moment>) {
        let entries = self.entries();
        let orphans = entries.orphans.iter().map(|(_, until)| *until);
        let orphans = orphans.filter(|until| now < *until).collect();
        (entries.retired, entries.under_way.len(), orphans)
    }
}
