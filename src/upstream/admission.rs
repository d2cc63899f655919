//! At most so many requests at a time for one party; the rest wait in bounded queues, as HAProxy's
//! `maxconn` has it. A replica that is flooded answers nobody; one that is fed steadily answers
//! everybody a little later.
//!
//! Reads and writes have a lane each, with three quarters of the places. A request takes one of its
//! lane's and then one of all, so however many pushes come and however slow they are, a quarter of the
//! places is for pulls, and the other way round; and a queue that is full of pushes refuses no pull.

mod places;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::respond::Failure;
use crate::shard::Access;
use places::{Places, Taken};

/// The door to one party: the local replica, or a peer.
#[derive(Debug)]
pub struct Admission {
    rooms: Arc<Rooms>,
    limits: Mutex<Limits>,
}

/// One request's place; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    rooms: Arc<Rooms>,
    access: Access,
}

#[derive(Debug)]
struct Rooms {
    /// One for each request.
    places: Places,
    reads: Lane,
    writes: Lane,
}

#[derive(Debug)]
struct Lane {
    /// One more for each of its requests.
    places: Places,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    max_in_flight: NonZeroUsize,
    queue_limit: usize,
    queue_timeout: Duration,
}

impl Admission {
    /// `max_in_flight` requests at a time; beyond it up to `queue_limit` of each lane wait for at
    /// most `queue_timeout`.
    pub fn new(max_in_flight: NonZeroUsize, queue_limit: usize, queue_timeout: Duration) -> Self {
        let max_in_flight = max_in_flight.min(places::MAX);
        Self {
            rooms: Arc::new(Rooms {
                places: Places::new(max_in_flight),
                reads: Lane::new(max_in_flight),
                writes: Lane::new(max_in_flight),
            }),
            limits: Mutex::new(Limits {
                max_in_flight,
                queue_limit,
                queue_timeout,
            }),
        }
    }

    /// A place, if there is one at once.
    pub fn try_enter(&self, access: Access) -> Option<Permit> {
        let of_lane = self.rooms.lane(access).places.try_take()?;
        let of_all = self.rooms.places.try_take()?;
        Some(self.permit(access, [of_lane, of_all]))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Failure::QueueFull`] at once when too many of this lane wait already,
    /// [`Failure::QueueTimeout`] when the wait was in vain.
    pub(crate) async fn wait(&self, access: Access) -> Result<Permit, Failure> {
        let Limits {
            max_in_flight: _,
            queue_limit,
            queue_timeout,
        } = *self.limits();
        let Some(_waiting) = Waiting::join(self.rooms.lane(access), queue_limit) else {
            return Err(Failure::QueueFull);
        };
        match tokio::time::timeout(queue_timeout, self.enter(access)).await {
            Ok(Some(permit)) => Ok(permit),
            // Never closed.
            Ok(None) => Err(Failure::Internal),
            Err(_) => Err(Failure::QueueTimeout),
        }
    }

    /// Takes other limits. Nothing that is in flight is cut: fewer places take effect as places
    /// come back. Who waits already keeps its own limits.
    pub fn set_limits(
        &self,
        max_in_flight: NonZeroUsize,
        queue_limit: usize,
        queue_timeout: Duration,
    ) {
        let max_in_flight = max_in_flight.min(places::MAX);
        let mut limits = self.limits();
        let before = limits.max_in_flight;
        // Under the lock: two changes at a time would add up to neither.
        resize(&self.rooms.places, before, max_in_flight);
        for lane in [&self.rooms.reads, &self.rooms.writes] {
            resize(&lane.places, lane_of(before), lane_of(max_in_flight));
        }
        *limits = Limits {
            max_in_flight,
            queue_limit,
            queue_timeout,
        };
    }

    /// Requests of one lane that have a place now.
    pub fn in_flight(&self, access: Access) -> usize {
        self.rooms.lane(access).in_flight.load(Ordering::Relaxed)
    }

    /// Requests of one lane that wait now.
    pub fn waiting(&self, access: Access) -> usize {
        self.rooms.lane(access).waiting.load(Ordering::Relaxed)
    }

    /// Requests that may have a place, of both lanes together.
    pub fn capacity(&self) -> usize {
        self.limits().max_in_flight.get()
    }

    /// Requests that may wait, in each lane.
    pub fn queue_limit(&self) -> usize {
        self.limits().queue_limit
    }

    async fn enter(&self, access: Access) -> Option<Permit> {
        let of_lane = self.rooms.lane(access).places.take().await?;
        let of_all = self.rooms.places.take().await?;
        Some(self.permit(access, [of_lane, of_all]))
    }

    fn permit(&self, access: Access, places: [Taken<'_>; 2]) -> Permit {
        places.into_iter().for_each(Taken::keep);
        let in_flight = &self.rooms.lane(access).in_flight;
        in_flight.fetch_add(1, Ordering::Relaxed);
        Permit {
            rooms: self.rooms.clone(),
            access,
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn lane(&self, access: Access) -> &Lane {
        match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        }
    }
}

impl Lane {
    fn new(max_in_flight: NonZeroUsize) -> Self {
        Self {
            places: Places::new(lane_of(max_in_flight)),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // First, or the next could be counted while we still are.
        let lane = self.rooms.lane(self.access);
        lane.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.rooms.places.give_back();
        lane.places.give_back();
    }
}

/// How many of these places one lane may hold: three quarters, but one at least.
fn lane_of(max_in_flight: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(max_in_flight.get() / 4 * 3 + max_in_flight.get() % 4 * 3 / 4)
        .unwrap_or(NonZeroUsize::MIN)
}

fn resize(places: &Places, before: NonZeroUsize, after: NonZeroUsize) {
    if after >= before {
        places.grow(after.get() - before.get());
    } else {
        places.shrink(before.get() - after.get());
    }
}

/// A place in the queue, given back even when the request is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(lane: &'a Lane, limit: usize) -> Option<Self> {
        let joined = lane
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < limit).then_some(waiting + 1)
            });
        // Made only when it is taken: dropping it gives a place back.
        joined.is_ok().then(|| Self(&lane.waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
