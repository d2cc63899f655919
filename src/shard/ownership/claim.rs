//! What somebody may be writing, and with which replica.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::shard::view::{Fingerprint, OtherView};

/// Time since this process began, by a clock that only goes forward.
pub type Moment = Duration;

/// Random per process: another value means that the member restarted and forgot its writes under
/// way. Empty if it was not told.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ProcessId(String);

/// Which registry process a member writes with, as its host and the address tell. Two processes of
/// a registry have two locks, so a write at one of them excludes none at the other. Empty if it is
/// not known.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReplicaId(String);

/// What one process may be writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    pub(super) extent: Extent,
    pub(super) replica: ReplicaId,
}

/// Which repositories.
#[derive(Clone, Debug)]
pub(super) enum Extent {
    /// Whatever it owns by this view.
    View(Arc<OtherView>),
    /// These, on which it had writes under way when it took another view.
    Repositories(Arc<[Box<str>]>),
    /// Any, and why nothing better is known.
    Any(Unknown),
}

/// Tells extents apart, as long as both are there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum ExtentKey {
    View(usize),
    Repositories(usize),
    Any(Unknown),
}

/// Why nothing is known of a view.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unknown {
    /// It does not describe it, or describes too many.
    NotDescribed,
    /// Its answer cannot be read.
    Unreadable,
    /// It takes us for none of its view's members.
    WithoutUs,
    /// Its requests come with a view that it has not told yet, and it cannot be asked.
    SeenInRequest,
}

/// A claim with an end: of a process that is gone, or told by a third.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TimedClaim {
    pub(super) process: ProcessId,
    pub(super) claim: Claim,
    pub(super) until: Moment,
}

/// Each claim of each process once, with its latest end.
#[derive(Clone, Default, Debug)]
pub(super) struct TimedClaims(Vec<TimedClaim>);

impl TimedClaims {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, TimedClaim> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether it is new.
    pub(super) fn add(&mut self, process: ProcessId, claim: Claim, until: Moment) -> bool {
        let mut known = self.0.iter_mut();
        let same = known.find(|timed| timed.process == process && timed.claim == claim);
        match same {
            Some(timed) => {
                timed.until = timed.until.max(until);
                false
            }
            None => {
                self.0.push(TimedClaim {
                    process,
                    claim,
                    until,
                });
                true
            }
        }
    }

    /// None ends before this.
    pub(super) fn prolong(&mut self, until: Moment) {
        for timed in &mut self.0 {
            timed.until = timed.until.max(until);
        }
    }

    /// Drops what this process claims. Says whether there was anything.
    pub(super) fn forget(&mut self, process: &ProcessId) -> bool {
        self.keep(|timed| timed.process != *process)
    }

    /// Drops what has ended. Says whether there was anything.
    pub(super) fn expire(&mut self, now: Moment) -> bool {
        self.keep(|timed| now < timed.until)
    }

    fn keep(&mut self, which: impl Fn(&TimedClaim) -> bool) -> bool {
        let known = self.0.len();
        self.0.retain(which);
        self.0.len() != known
    }
}

impl ProcessId {
    /// As it was told.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is told.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReplicaId {
    /// Nothing is written with one that is not known yet.
    pub(super) fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// As it was told.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is told.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Claim {
    /// With whichever replica.
    pub(super) fn of_somebody(extent: Extent) -> Self {
        let replica = ReplicaId::default();
        Self { extent, replica }
    }
}

impl Extent {
    pub(super) fn repositories(names: &[String]) -> Self {
        Self::Repositories(names.iter().map(|name| name.as_str().into()).collect())
    }

    /// The view that it is, as far as that is known.
    pub(super) fn view(&self) -> Option<&Fingerprint> {
        match self {
            Self::View(view) => view.fingerprint(),
            Self::Repositories(_) | Self::Any(_) => None,
        }
    }

    pub(super) fn key(&self) -> ExtentKey {
        match self {
            // Each view is built once ([`super::views`]), and anew when our key has changed.
            Self::View(view) => ExtentKey::View(Arc::as_ptr(view).addr()),
            Self::Repositories(names) => ExtentKey::Repositories(names.as_ptr().addr()),
            Self::Any(unknown) => ExtentKey::Any(*unknown),
        }
    }
}

impl PartialEq for Extent {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::View(one), Self::View(other)) => Arc::ptr_eq(one, other),
            (Self::Repositories(one), Self::Repositories(other)) => one == other,
            (Self::Any(one), Self::Any(other)) => one == other,
            (Self::View(_) | Self::Repositories(_) | Self::Any(_), _) => false,
        }
    }
}

impl Eq for Extent {}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDescribed => "a view that it does not describe",
            Self::Unreadable => "an answer that cannot be read",
            Self::WithoutUs => "a view in which this member is none",
            Self::SeenInRequest => "a view that was seen in its requests and not told yet",
        })
    }
}
