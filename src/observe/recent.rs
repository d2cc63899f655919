//! What happened lately, for people's eyes: what each member did in five minutes, the busiest
//! repositories, the last errors, the last changes. All of it bounded, and none of it waited for by
//! a request. Exact counts are the metrics' part.

mod busiest;
mod history;
mod traffic;

pub(crate) use busiest::{Busiest, Busy};
pub(crate) use history::{Change, ChangeKind, ErrorLine, History};
pub(crate) use traffic::{CURVE_SECONDS, Sample, Traffic};

use std::time::{Duration, Instant};

/// Errors and changes that are kept.
const KEPT: usize = 50;

/// All of it for one member's process.
pub(crate) struct Recent {
    started: Instant,
    /// Which repositories are asked for most.
    pub(crate) repositories: Busiest,
    /// The last errors that clients saw.
    pub(crate) errors: History<ErrorLine>,
    /// The last changes of members, view and configuration.
    pub(crate) changes: History<Change>,
}

impl Recent {
    /// Nothing has happened yet.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            repositories: Busiest::default(),
            errors: History::new(KEPT),
            changes: History::new(KEPT),
        }
    }

    /// The time by which all of it is counted.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A request has ended that went, or was to go, to the member of this traffic.
    pub(crate) fn request_ended(
        &self,
        now: Instant,
        traffic: Option<&Traffic>,
        repository: Option<&str>,
        sample: &Sample,
    ) {
        let now = now.saturating_duration_since(self.started);
        if let Some(traffic) = traffic {
            traffic.count(now, sample);
        }
        if let Some(repository) = repository {
            self.repositories.count(now, repository, sample);
        }
    }

    /// Something has changed.
    pub(crate) fn changed(&self, kind: ChangeKind, text: String) {
        self.changes.keep(Change::now(kind, text));
    }
}
